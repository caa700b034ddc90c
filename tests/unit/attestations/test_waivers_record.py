"""The waivers record: exact, scoped, owned and ending; whatever could be read as more is refused (T106)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from attestations.errors import AttestationError
from attestations.records.admission import ADMISSION, Admission, GateOutcome, WaiverUsed, admission_statement
from attestations.records.waivers import LONGEST, WAIVERS, WaiversRecord, pipeline_subject, waivers_statement
from attestations.statement import Statement
from registries.digest import Digest
from tests.unit.attestations.samples import ADMITTED, IMAGE, NOW, WAIVED


def refused(bend: Callable[[dict[str, Any]], None]) -> str:
    """The code for the record whose first waiver was bent."""
    predicate = copy.deepcopy(WAIVED.json())
    bend(predicate["waivers"][0])
    statement = Statement.about(pipeline_subject("shop-api"), predicate_type=WAIVERS, predicate=predicate)
    with pytest.raises(AttestationError) as error:
        WaiversRecord.read(statement)
    return error.value.code


BAD: dict[str, dict[str, Any]] = {
    "a wildcard": {"findings": ["CVE-*"]},
    "a wildcard among exact ids": {"findings": ["CVE-2026-1000", "CVE-2026-?000"]},
    "a pattern": {"findings": ["CVE-2026-[0-9]"]},
    "no id": {"findings": []},
    "an empty id": {"findings": [""]},
    "a list in one id": {"findings": ["CVE-2026-1000 CVE-2026-1001"]},
    "an empty package": {"scope": {"pipeline": None, "image": None, "package": "", "version": None}},
    "any package": {"scope": {"pipeline": None, "image": None, "package": "*", "version": None}},
    "a version of any package": {"scope": {"pipeline": None, "image": str(IMAGE), "package": None, "version": "1"}},
    "no scope": {"scope": {"pipeline": None, "image": None, "package": None, "version": None}},
    "another pipeline": {"scope": {"pipeline": "billing", "image": None, "package": None, "version": None}},
    "two scopes": {"scope": {"pipeline": "shop-api", "image": str(IMAGE), "package": None, "version": None}},
    "no owner": {"owner": ""},
    "a blank reason": {"reason": "  "},
    "no evidence for a solution": {"evidence": []},
    "empty evidence": {"evidence": [" "]},
    "any gate": {"gate": "*"},
    "a name that another waiver has": {"id": "W-2"},
    "an end before its beginning": {"expiresAt": "2026-11-23T22:40:30Z"},
    "an end that is never reached": {"expiresAt": "9999-12-31T23:59:59Z"},
}


@pytest.mark.parametrize("change", BAD.values(), ids=list(BAD))
def test_a_waiver_that_could_mean_more_than_one_thing_is_refused(change: dict[str, Any]) -> None:
    assert refused(lambda waiver: waiver.update(change)) == "waiver-invalid"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kind": "accepted"}, "payload-malformed"),
        ({"expiresAt": None}, "payload-malformed"),
        ({"expiresAt": "2026-12-24"}, "payload-malformed"),
        ({"scope": {"pipeline": None, "image": "sha256:abc", "package": None, "version": None}}, "digest-malformed"),
    ],
)
def test_what_is_no_waiver_at_all_is_refused(change: dict[str, Any], code: str) -> None:
    assert refused(lambda waiver: waiver.update(change)) == code


def test_a_waiver_lasts_a_year_at_most() -> None:
    first, second = WAIVED.waivers
    longest = replace(WAIVED, waivers=(first, replace(second, expires=NOW + LONGEST)))
    assert WaiversRecord.read(waivers_statement(longest)) == longest
    with pytest.raises(AttestationError) as error:
        waivers_statement(replace(WAIVED, waivers=(replace(second, expires=NOW + LONGEST + timedelta(seconds=1)),)))
    assert error.value.code == "waiver-invalid"


def test_a_record_about_another_pipeline_or_an_image_is_refused() -> None:
    for subject in (pipeline_subject("billing"), IMAGE):
        statement = Statement.about(subject, predicate_type=WAIVERS, predicate=WAIVED.json())
        with pytest.raises(AttestationError) as error:
            WaiversRecord.read(statement)
        assert error.value.code == "subject-mismatch"


def test_an_admission_names_the_waivers_that_it_used_and_older_records_name_none() -> None:
    used = WaiverUsed(id="W-1", record=Digest.of(b"the waivers"), expires=NOW)
    outcome = replace(ADMITTED.gates[0], waivers=(used,))
    admitted = replace(ADMITTED, gates=(outcome, GateOutcome(gate="tests", verdict="passed")))
    statement = admission_statement(admitted, IMAGE)
    assert Admission.read(statement) == admitted
    first, second = statement.predicate["gates"]
    assert first["waiversUsed"] == [{"id": "W-1", "record": str(used.record), "expiresAt": "2026-11-23T22:40:30Z"}]
    assert "waiversUsed" not in second


@pytest.mark.parametrize("member", ["id", "record", "expiresAt"])
def test_a_waiver_that_was_used_is_named_whole(member: str) -> None:
    used = WaiverUsed(id="W-1", record=Digest.of(b"the waivers"), expires=NOW)
    admitted = replace(ADMITTED, gates=(replace(ADMITTED.gates[0], waivers=(used,)),))
    predicate = copy.deepcopy(dict(admission_statement(admitted, IMAGE).predicate))
    del predicate["gates"][0]["waiversUsed"][0][member]
    with pytest.raises(AttestationError) as error:
        Admission.read(Statement.about(IMAGE, predicate_type=ADMISSION, predicate=predicate))
    assert error.value.code == "predicate-incomplete"
