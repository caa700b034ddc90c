"""What comes from outside is shown as text: it steers no terminal, forges no CI command, and hides no digest."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, initialized
from tests.faults import FaultRegistry, status

# Every run of `Shop.run` looks for control characters and for digests that were cut.

ESCAPE = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\u202eevil\r"


@pytest.mark.parametrize(
    "command", [("verify", "prod"), ("plan", "prod"), ("audit",), ("promote", "prod", "--key=keys/ci-promote.key")]
)
def test_control_characters_in_a_tag_are_shown_as_text(shop: Shop, command: tuple[str, ...]) -> None:
    ended = shop.run(*command, f"1.0{ESCAPE}")

    assert (ended.code, ended.reasons) == (2, ["reference-malformed"])
    assert "\u202e" not in ended.stderr


def test_control_characters_in_a_layouts_tags_are_shown_as_text(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    twin.built("1.0")
    index = tmp_path / "image/index.json"
    value = json.loads(index.read_bytes())
    for number in (1, 2):
        entry = dict(value["manifests"][0])
        entry["annotations"] = {"org.opencontainers.image.ref.name": f"{number}{ESCAPE}"}
        value["manifests"].append(entry)
    index.write_text(json.dumps(value))

    ended = twin.run("plan", "build", "oci:image")

    assert ended.code in {2, 5, 6}
    assert ended.reasons
    assert "\u202e" not in ended.stderr


def test_control_characters_in_a_registrys_answer_are_shown_as_text(tmp_path: Path) -> None:
    message = json.dumps({"errors": [{"code": "DENIED" + ESCAPE, "message": f"no{ESCAPE}\n::error::forged"}]})
    with FaultRegistry() as registry:
        shop = initialized(tmp_path, registry.host, registry.host)
        registry.rule("GET|HEAD", "/v2/", status(403, body=message.encode()))
        ended = shop.run("verify", "prod", "1.0", "-v", "-o", "json")

    assert (ended.code, ended.reasons) == (4, ["access-denied"])
    assert not [line for line in ended.stderr.splitlines() if line.startswith("::")]
    assert "\u202e" not in ended.stderr


def test_control_characters_in_a_definition_are_shown_as_text(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    escaped = r'"\e[2J\e]0;owned\a\u202Eevil"'
    twin.write("samebits.yaml", (tmp_path / "samebits.yaml").read_text().replace("name: unit", f"name: {escaped}"))

    ended = twin.run("definition", "check")

    assert ended.code == 2
    assert "definition-invalid" in ended.reasons
    assert "\u202e" not in ended.stderr


def test_a_file_name_with_control_characters_is_shown_as_text(shop: Shop) -> None:
    ended = shop.run("definition", "check", "--definition", f"a{ESCAPE}.yaml")

    assert (ended.code, ended.reasons) == (2, ["file-unreadable"])


def test_a_folder_with_control_characters_is_shown_as_text(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[2Jb"

    ended = shop.run("init", str(folder))

    assert (ended.code, ended.reasons) == (0, [])
    assert (folder / "samebits.yaml").is_file()


@pytest.mark.parametrize("columns", ["20", "many"])
def test_a_narrow_terminal_cuts_no_digest(shop: Shop, columns: str) -> None:
    ended = shop.run("plan", "test", "ready", env={"COLUMNS": columns})

    assert ended.code == 0, ended.stderr
    assert re.fullmatch(r"would be admitted to test: sha256:[0-9a-f]{64}", ended.stdout.splitlines()[0])


def test_no_color_is_printed_unless_it_is_asked_for(shop: Shop) -> None:
    assert "\x1b" not in shop.run("explain", "nothing-like-this", env={"NO_COLOR": "1", "FORCE_COLOR": "1"}).stderr
