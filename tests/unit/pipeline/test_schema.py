"""The JSON Schema agrees with what is read, and the generated pages agree with the code."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipeline.scaffold import files
from pipeline.schema import Moment, definition_schema
from registries.errors import UsageError
from stages.gates import GATES

ROOT = Path(__file__).parents[3]


def example() -> Any:
    written = files(pipeline="shop-api", registry="127.0.0.1:5001", production="127.0.0.1:5002")
    return yaml.safe_load(written["samebits.yaml"][0])


def is_valid(value: object) -> bool:
    return jsonschema.Draft202012Validator(definition_schema()).is_valid(value)


def test_the_schema_is_a_schema_and_takes_the_example() -> None:
    jsonschema.Draft202012Validator.check_schema(definition_schema())
    jsonschema.validate(example(), definition_schema())


def test_the_schema_knows_every_gate_and_its_options() -> None:
    made = definition_schema()
    gates = made["$defs"]["StageEntry"]["properties"]["gates"]
    assert set(gates["properties"]) == set(GATES)
    assert gates["additionalProperties"] is False
    options = made["$defs"]["Vulnerabilities"]
    assert set(options["properties"]) == {
        "none-at-or-above",
        "max-age",
        "by",
        "max-data-age",
        "vex-by",
        "waivers-by",
        "effective-on",
    }
    assert options["required"] == ["none-at-or-above", "max-age"]
    assert "medium" in options["properties"]["none-at-or-above"]["enum"]


def test_every_key_of_the_definition_tells_an_editor_what_it_is() -> None:
    made = definition_schema()
    assert [key for key, value in made["properties"].items() if "description" not in value] == []
    assert [name for name, entry in made["$defs"].items() if not entry["description"]] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("samebits",), 2),
        (("pipeline",), "Shop"),
        (("version",), 0),
        (("owners", "threshold"), 0),
        (("owners", "signers"), []),
        (("signers", "owner"), {"kms": "awskms:///b"}),
        (("signers", "owner"), {"issuer": "https://issuer.example"}),
        (("stages", 0, "admit"), "ci-build"),
        (("stages", 0, "steps", 0, "evidence"), "junitt"),
        (("stages", 1, "after"), {"all-of": ["build"]}),
        (("stages", 1, "gates"), {"vulnerabilities": {"none-at-or-above": "medium"}}),
        (("stages", 1, "gates"), {"virus": {}}),
        (("unknown",), 1),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(path: tuple[str | int, ...], value: object) -> None:
    bent = example()
    place = bent
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not is_valid(bent)


def test_the_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T08:30:00Z", datetime(2026, 1, 1, 8, 30, tzinfo=UTC)),
        ("2026-01-01T08:30:00+02:00", datetime(2026, 1, 1, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_day_or_a_time_with_its_zone(text: str, time: datetime) -> None:
    moment = Moment.parse(text)
    assert moment.time == time
    assert moment.time.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "today",
        "2026",
        "2026-01",
        "20260101",
        "2026-13-01",
        "2026-02-30",
        "2026-01-01T08:30:00",
        "2026-01-01T08:30Z",
        "2026-01-01 08:30:00Z",
        "2026-01-01T08:30:00.5Z",
        "2026-01-01T25:00:00Z",
        "2026-01-01\n",
        "\uff12026-01-01",
        "0001-01-01T00:00:00+23:00",
        "2026-01-01T08:30:00+99:00",
    ],
)
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Moment.parse(text)
    assert error.value.code == "definition-invalid"
