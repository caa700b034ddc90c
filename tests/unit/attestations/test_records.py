"""samebits' own records: what is written is what is read, and no field can be missing, added or bent."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from attestations.errors import AttestationError
from attestations.records import RECORDS
from attestations.records.admission import ADMISSION, Admission, AdmissionKind, GateOutcome, admission_statement
from attestations.records.approval import APPROVAL, approval_statement
from attestations.records.definition import DEFINITION, DefinitionRecord, definition_statement
from attestations.records.step import STEP, StepRecord, StepResult, step_statement
from attestations.records.waivers import WAIVERS, WaiversRecord, pipeline_subject, waivers_statement
from attestations.statement import Statement
from registries.digest import Digest
from tests.unit.attestations.samples import ADMITTED, APPROVED, DEFINED, IMAGE, NOW, OTHER, STEPPED, WAIVED

Path = tuple[str | int, ...]

STATEMENTS = {
    ADMISSION: admission_statement(ADMITTED, IMAGE, name="registry.acme.example/test/shop/api"),
    APPROVAL: approval_statement(APPROVED, IMAGE),
    STEP: step_statement(STEPPED, IMAGE),
    DEFINITION: definition_statement(DEFINED, IMAGE, name="samebits.yaml"),
    WAIVERS: waivers_statement(WAIVED),
}
ABOUT = dict.fromkeys(STATEMENTS, IMAGE) | {WAIVERS: pipeline_subject("shop-api")}
FREE_NAMES = {"by", "tool", "counts", "summary"}
"""Objects in a predicate whose keys are free."""


def predicate_of(predicate_type: str) -> dict[str, Any]:
    return copy.deepcopy(dict(STATEMENTS[predicate_type].predicate))


def read(predicate_type: str, predicate: Any) -> Any:
    statement = Statement.about(ABOUT[predicate_type], predicate_type=predicate_type, predicate=predicate)
    return RECORDS[predicate_type](statement)


def refused(predicate_type: str, predicate: Any) -> str:
    with pytest.raises(AttestationError) as error:
        read(predicate_type, predicate)
    return error.value.code


def objects(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every object with fixed names in a predicate, by the way that leads to it."""
    if isinstance(value, dict):
        yield path
        for name, item in value.items():
            if name not in FREE_NAMES:
                yield from objects(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from objects(item, (*path, number))


def at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


FIELDS = [
    (predicate_type, (*path, name))
    for predicate_type, statement in STATEMENTS.items()
    for path in objects(dict(statement.predicate))
    for name in at(statement.predicate, path)
]
WITHOUT_SCOPES = [(predicate_type, path) for predicate_type, path in FIELDS if "scope" not in path[:-1]]
"""What `null` means within the scope of a waiver is in test_waivers_record."""
OBJECTS = [
    (predicate_type, path)
    for predicate_type, statement in STATEMENTS.items()
    for path in objects(dict(statement.predicate))
]


def test_the_table_has_every_record() -> None:
    assert set(RECORDS) == set(STATEMENTS)


@pytest.mark.parametrize(
    ("predicate_type", "record"),
    [(ADMISSION, ADMITTED), (APPROVAL, APPROVED), (STEP, STEPPED), (DEFINITION, DEFINED), (WAIVERS, WAIVED)],
)
def test_what_is_written_is_what_is_read(predicate_type: str, record: object) -> None:
    assert RECORDS[predicate_type](STATEMENTS[predicate_type]) == record


def test_a_record_names_one_subject_by_digest() -> None:
    value = json.loads(STATEMENTS[ADMISSION].content)
    assert value["subject"] == [{"name": "registry.acme.example/test/shop/api", "digest": {"sha256": IMAGE.hex}}]
    assert list(value) == ["_type", "subject", "predicateType", "predicate"]


def test_an_admission_is_written_in_the_words_of_the_design() -> None:
    predicate = predicate_of(ADMISSION)
    assert list(predicate) == [
        "pipeline", "stage", "kind", "predecessors", "gates", "approvals",
        "source", "destination", "copied", "by", "decidedAt", "tool",
    ]  # fmt: skip
    assert predicate["pipeline"] == {"name": "shop-api", "definition": str(ADMITTED.pipeline.definition), "version": 7}
    assert predicate["predecessors"][0]["steps"] == [{"name": "sbom", "record": str(Digest.of(b"the step record"))}]
    assert predicate["gates"][0]["newestDataDate"] == "2026-11-23T22:40:30Z"
    assert predicate["gates"][1]["newestDataDate"] is None
    assert predicate["decidedAt"] == "2026-11-23T22:40:30Z"
    assert predicate["by"] == {"url": "https://ci.acme.example/runs/17", "commit": "5e2c9b1"}


def test_a_step_is_written_in_the_words_of_the_design() -> None:
    predicate = predicate_of(STEP)
    assert list(predicate) == [
        "pipeline", "stage", "step", "admission", "spec", "result",
        "startedAt", "finishedAt", "command", "exitCode", "reports", "supersedes",
    ]  # fmt: skip
    assert predicate["reports"] == [
        {"format": "junit", "digest": str(Digest.of(b"<testsuite/>")), "size": 12, "summary": {"tests": 4}}
    ]


@pytest.mark.parametrize(("predicate_type", "path"), FIELDS)
def test_a_record_with_a_field_dropped_is_never_read(predicate_type: str, path: Path) -> None:
    predicate = predicate_of(predicate_type)
    del at(predicate, path[:-1])[path[-1]]
    assert refused(predicate_type, predicate) == "predicate-incomplete"


@pytest.mark.parametrize(("predicate_type", "path"), OBJECTS)
def test_a_record_with_a_field_added_is_never_read(predicate_type: str, path: Path) -> None:
    predicate = predicate_of(predicate_type)
    at(predicate, path)["except"] = True
    assert refused(predicate_type, predicate) == "field-unknown"


@pytest.mark.parametrize(("predicate_type", "path"), FIELDS)
@pytest.mark.parametrize("wrong", [True, 1.5, {"no": []}, ["\x00"]], ids=["true", "1.5", "object", "array"])
def test_a_field_of_another_type_is_never_read(predicate_type: str, path: Path, wrong: Any) -> None:
    predicate = predicate_of(predicate_type)
    at(predicate, path[:-1])[path[-1]] = wrong
    assert refused(predicate_type, predicate) in {"payload-malformed", "field-unknown", "control-characters"}


@pytest.mark.parametrize(("predicate_type", "path"), WITHOUT_SCOPES)
def test_null_is_read_only_where_there_may_be_nothing(predicate_type: str, path: Path) -> None:
    predicate = predicate_of(predicate_type)
    at(predicate, path[:-1])[path[-1]] = None
    if path[-1] in {"newestDataDate", "exitCode", "previous"}:
        read(predicate_type, predicate)
    else:
        assert refused(predicate_type, predicate) == "payload-malformed"


@pytest.mark.parametrize(
    ("predicate_type", "change"),
    [
        (ADMISSION, {"kind": "Promotion"}),
        (ADMISSION, {"kind": ""}),
        (ADMISSION, {"by": {"url": 1}}),
        (ADMISSION, {"tool": {"version": None}}),
        (ADMISSION, {"copied": {"manifests": -1, "blobs": 0, "bytes": 0, "mounted": 0}}),
        (STEP, {"result": "PASSED"}),
        (STEP, {"exitCode": "0"}),
        (STEP, {"exitCode": False}),
        (DEFINITION, {"version": -1}),
        (DEFINITION, {"version": "7"}),
    ],
)
def test_a_value_that_means_nothing_is_refused(predicate_type: str, change: dict[str, Any]) -> None:
    assert refused(predicate_type, predicate_of(predicate_type) | change) == "payload-malformed"


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T22:40:30+00:00",
        "2026-11-23T22:40:30.5Z",
        "2026-11-23 22:40:30Z",
        "2026-11-23T22:40Z",
        "2026-11-23T22:40:30z",
        "2026-02-30T22:40:30Z",
        "2026-11-23T24:00:01Z",
        "\u0662026-11-23T22:40:30Z",
        "",
    ],
)
def test_a_time_is_written_in_one_way_only(written: str) -> None:
    assert refused(STEP, predicate_of(STEP) | {"startedAt": written}) == "payload-malformed"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (IMAGE.hex, "digest-malformed"),
        (f"sha256:{IMAGE.hex.upper()}", "digest-malformed"),
        (f"sha1:{'0' * 40}", "algorithm-not-allowed"),
        (f"sha256:{IMAGE.hex}\n", "control-characters"),
    ],
)
def test_a_digest_is_written_in_one_way_only(written: str, code: str) -> None:
    assert refused(STEP, predicate_of(STEP) | {"admission": written}) == code


@pytest.mark.parametrize(
    "character", ["\x00", "\n", "\x1b", "\x7f", "\x85", "\u202e", "\u2028", "\u200b", "\ufeff", "\u2066"]
)
@pytest.mark.parametrize(
    ("predicate_type", "member", "wrap"),
    [
        (ADMISSION, "stage", lambda text: text),
        (ADMISSION, "by", lambda text: {"url": text}),
        (ADMISSION, "tool", lambda text: {text: "name"}),
        (STEP, "command", lambda text: ["echo", text]),
        (DEFINITION, "materials", lambda text: [{"path": text, "digest": str(IMAGE)}]),
    ],
    ids=["text", "value", "name", "list", "path"],
)
def test_characters_that_can_not_be_seen_are_refused(
    character: str, predicate_type: str, member: str, wrap: Callable[[str], Any]
) -> None:
    changed = predicate_of(predicate_type) | {member: wrap(f"prod{character}")}
    assert refused(predicate_type, changed) == "control-characters"


def test_a_record_with_characters_that_can_not_be_seen_is_not_written() -> None:
    with pytest.raises(AttestationError) as error:
        step_statement(replace(STEPPED, command=("sh", "-c", "true\nfalse")), IMAGE)
    assert error.value.code == "control-characters"


@pytest.mark.parametrize("predicate_type", RECORDS)
@pytest.mark.parametrize(
    "subjects",
    [
        [{"digest": {"sha256": IMAGE.hex}}, {"digest": {"sha256": OTHER.hex}}],
        [{"digest": {"sha256": OTHER.hex}}, {"digest": {"sha256": IMAGE.hex}}],
        [{"digest": {"sha256": IMAGE.hex}}, {"digest": {"sha256": IMAGE.hex}}],
        [{"digest": {"sha256": IMAGE.hex, "sha512": Digest.of(b"another image", "sha512").hex}}],
    ],
)
def test_a_record_about_two_things_is_refused(predicate_type: str, subjects: list[Any]) -> None:
    value = json.loads(STATEMENTS[predicate_type].content) | {"subject": subjects}
    with pytest.raises(AttestationError) as error:
        RECORDS[predicate_type](Statement.from_bytes(json.dumps(value).encode()))
    assert error.value.code == "subject-count"


@pytest.mark.parametrize(
    ("wanted", "given"),
    [(Admission, STEP), (StepRecord, DEFINITION), (DefinitionRecord, ADMISSION), (WaiversRecord, STEP)],
)
def test_a_record_is_read_as_its_own_type_only(wanted: Any, given: str) -> None:
    with pytest.raises(AttestationError) as error:
        wanted.read(STATEMENTS[given])
    assert error.value.code == "predicate-type-mismatch"


def test_times_are_written_in_utc_and_cut_to_the_second() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30))) + timedelta(microseconds=999_999)
    written = admission_statement(replace(ADMITTED, decided_at=local), IMAGE)
    assert Admission.read(written).decided_at == NOW
    assert Admission.read(written).decided_at.tzinfo == UTC


def test_a_time_without_its_zone_is_not_written() -> None:
    with pytest.raises(ValueError, match="zone"):
        admission_statement(replace(ADMITTED, decided_at=datetime(2026, 11, 23)), IMAGE)


def test_every_kind_and_result_can_be_written() -> None:
    for kind in AdmissionKind:
        assert Admission.read(admission_statement(replace(ADMITTED, kind=kind), IMAGE)).kind is kind
    for result in StepResult:
        assert StepRecord.read(step_statement(replace(STEPPED, result=result, exit_code=-9), IMAGE)).result is result


def test_an_image_addressed_by_sha512_keeps_its_algorithm() -> None:
    image = Digest.of(b"the image", "sha512")
    assert admission_statement(ADMITTED, image).subjects[0].digests == {"sha512": image.hex}


def test_a_gate_that_counted_nothing_says_so() -> None:
    silent = replace(ADMITTED, gates=(GateOutcome(gate="freeze", verdict="passed"),))
    assert Admission.read(admission_statement(silent, IMAGE)).gates == silent.gates
