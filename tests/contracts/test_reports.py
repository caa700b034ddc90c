"""What every report reader promises; a new line in REPORTS is tested before a test is written for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.errors import ContentError
from registries.limits import REPORT_BYTES
from stages.report import Findings, Read, TestResults
from stages.reports import REPORTS

ASSETS = Path(__file__).parents[1] / "assets" / "reports"
CODES = {"evidence-malformed", "evidence-empty", "subject-mismatch", "size-limit"}

# What each sample says: of tests (tests, failures, errors, skipped), of all others its counts.
SAMPLES: dict[str, dict[str, int] | tuple[int, int, int, int]] = {
    "clamav-eicar.json": {"files": 2, "found": 1, "unscanned": 0},
    "cosign-vuln-trivy.json": {"high": 1, "low": 1, "critical": 1, "unknown": 1},
    "cyclonedx-syft.json": {"components": 2},
    "grype-clean.json": {},
    "grype-image.json": {"high": 1, "medium": 1, "negligible": 1, "critical": 1},
    "in-toto-vulns-image.json": {"high": 1, "medium": 1},
    "in-toto-vulns-statement.json": {},
    "junit-googletest.xml": (3, 0, 0, 1),
    "junit-nested.xml": (4, 1, 0, 0),
    "junit-pytest-failed.xml": (6, 2, 2, 0),
    "junit-pytest.xml": (5, 0, 0, 1),
    "junit-surefire.xml": (3, 0, 0, 1),
    "openvex-image.json": {"not_affected": 1, "under_investigation": 1},
    "osv-image.json": {"critical": 1, "medium": 1},
    "sarif-bandit.json": {"high": 2, "low": 1},
    "sarif-semgrep.json": {"high": 1},
    "slsa-buildkit.json": {"sources": 1, "parameters": 5},
    "slsa-github.json": {"sources": 1, "parameters": 1},
    "spdx-syft.json": {"components": 2},
    "spdx-three.json": {"components": 2},
    "test-result-failed.json": (3, 1, 0, 0),
    "test-result-passed.json": (2, 0, 0, 0),
    "trivy-clean.json": {},
    "trivy-image.json": {"high": 1, "low": 1, "critical": 1, "unknown": 1},
}

FORMATS = st.sampled_from(sorted(REPORTS))
NAMES = st.sampled_from(sorted(SAMPLES))
JSON_NAMES = st.sampled_from(sorted(name for name in SAMPLES if name.endswith(".json")))


def documents(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | numbers | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )


PLAIN_JSON = documents(st.integers(-(2**53), 2**53))
ODD_JSON = documents(st.integers() | st.floats())


def kind(name: str) -> str:
    """The format of a sample: what its name begins with."""
    return next(known for known in REPORTS if name.startswith(f"{known}-"))


def reader(name: str) -> Callable[[bytes], Read]:
    return REPORTS[kind(name)]


def content(name: str) -> bytes:
    return (ASSETS / name).read_bytes()


def reads_or_refuses(read: Callable[[bytes], object], given: bytes) -> None:
    """Anything but a value or a refusal with one of the readers' codes is a fault."""
    refusals: list[str] = []
    try:
        read(given)
    except ContentError as error:
        refusals.append(error.code)
    assert set(refusals) <= CODES


def test_every_format_has_samples_and_every_sample_a_format() -> None:
    assert {kind(name) for name in SAMPLES} == set(REPORTS)
    assert {path.name for path in ASSETS.glob("*-*.*")} == set(SAMPLES)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_reads_as_noted(name: str) -> None:
    match reader(name)(content(name)):
        case Findings() as found:
            assert Counter(str(finding.severity) for finding in found.findings) == SAMPLES[name]
            assert found.about or found.layers or name == "in-toto-vulns-image.json"  # a predicate alone
        case TestResults() as results:
            counted = tuple(getattr(results, part) for part in ("tests", "failures", "errors", "skipped"))
            assert counted == SAMPLES[name]
        case other:
            assert dict(other.counts) == SAMPLES[name]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_same_bytes_read_the_same(name: str) -> None:
    assert reader(name)(content(name)) == reader(name)(content(name))


@pytest.mark.parametrize("read", REPORTS.values(), ids=REPORTS)
@pytest.mark.parametrize("given_bytes", [b"", b" ", b"\n\n"])
def test_an_empty_file_is_empty(read: Callable[[bytes], object], given_bytes: bytes) -> None:
    with pytest.raises(ContentError) as error:
        read(given_bytes)
    assert error.value.code == "evidence-empty"


@pytest.mark.parametrize("read", REPORTS.values(), ids=REPORTS)
def test_too_many_bytes_are_not_parsed(read: Callable[[bytes], object]) -> None:
    with pytest.raises(ContentError) as error:
        read(b"x" * (REPORT_BYTES + 1))
    assert error.value.code == "size-limit"


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_reader_refuses_the_samples_of_other_formats(name: str) -> None:
    for other, read in REPORTS.items():
        if other != kind(name):
            with pytest.raises(ContentError) as error:
                read(content(name))
            assert error.value.code in CODES


@settings(deadline=None)
@given(FORMATS, st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_a_refusal(name: str, given: bytes) -> None:
    reads_or_refuses(REPORTS[name], given)


@settings(deadline=None)
@given(FORMATS, ODD_JSON)
def test_any_json_raises_nothing_but_a_refusal(name: str, value: object) -> None:
    reads_or_refuses(REPORTS[name], json.dumps(value).encode())


@settings(deadline=None)
@given(st.text(st.sampled_from("<>/=\"'&;! abtestcasefailureskipped"), max_size=80))
def test_anything_like_xml_raises_nothing_but_a_refusal(text: str) -> None:
    reads_or_refuses(REPORTS["junit"], f"<testsuite><testcase>{text}</testcase></testsuite>".encode())
    reads_or_refuses(REPORTS["junit"], text.encode())


@settings(max_examples=100, deadline=None)
@given(NAMES, st.data())
def test_a_flipped_bit_raises_nothing_but_a_refusal(name: str, data: st.DataObject) -> None:
    changed = bytearray(content(name))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    reads_or_refuses(reader(name), bytes(changed))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_report_that_was_cut_is_refused(name: str) -> None:
    whole = content(name).rstrip()
    for end in range(0, len(whole), 7):
        with pytest.raises(ContentError) as error:
            reader(name)(whole[:end])
        assert error.value.code in {"evidence-malformed", "evidence-empty"}


@settings(max_examples=100, deadline=None)
@given(JSON_NAMES, ODD_JSON, st.data())
def test_any_member_may_be_anything_and_raises_nothing_but_a_refusal(
    name: str, value: object, data: st.DataObject
) -> None:
    report = json.loads(content(name))
    parent, key = data.draw(st.sampled_from(list(members(report))))
    parent[key] = value
    reads_or_refuses(reader(name), json.dumps(report).encode())


@settings(deadline=None)
@given(JSON_NAMES, PLAIN_JSON)
def test_a_member_that_nobody_knows_changes_nothing(name: str, value: object) -> None:
    report = json.loads(content(name))
    with_more = report | {"NobodyKnows": value}
    assert reader(name)(json.dumps(with_more).encode()) == reader(name)(json.dumps(report).encode())


def members(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON document, as its parent and its key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, child in pairs for place in ((value, key), *members(child))]
