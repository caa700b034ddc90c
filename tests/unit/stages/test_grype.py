from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registries.digest import Digest
from registries.errors import ContentError
from stages.finding import Severity
from stages.reports import grype

ASSETS = Path(__file__).parents[2] / "assets" / "reports"
CONFIG = Digest.of(b"shop/api linux/amd64 config")
MANIFEST = Digest.of(b"shop/api linux/amd64 manifest")


def sample(name: str = "grype-image.json", **changes: Any) -> bytes:
    """A recorded report with some members changed; None takes a member out."""
    value = json.loads((ASSETS / name).read_bytes()) | changes
    return json.dumps({name: member for name, member in value.items() if member is not None}).encode()


def refusal(content: bytes) -> str:
    with pytest.raises(ContentError) as error:
        grype.read(content)
    return error.value.code


def ignored(*rules: dict[str, Any]) -> bytes:
    """A report with nothing but one ignored match."""
    match = {"vulnerability": {"id": "CVE-1", "severity": "Low"}, "artifact": {"name": "tar", "version": "1"}}
    return sample(matches=[], ignoredMatches=[match | {"appliedIgnoreRules": list(rules)}])


def test_a_report_is_read_with_its_dates_tool_and_image() -> None:
    found = grype.read(sample())
    assert (found.tool, found.tool_version) == ("grype", "0.104.0")
    assert found.scanned_at == datetime(2026, 11, 20, 8, 21, 30, 500000, tzinfo=UTC)
    assert found.data_date == datetime(2026, 11, 20, 6, 31, 45, tzinfo=UTC)
    assert found.about == (MANIFEST, CONFIG)


def test_a_report_over_a_database_of_version_5_has_its_date_too() -> None:
    found = grype.read(sample("grype-clean.json"))
    assert (found.data_date, found.scanned_at) == (datetime(2026, 11, 19, 1, 28, 31, tzinfo=UTC), None)
    assert found.findings == ()


def test_a_finding_is_read_with_aliases_and_fixes() -> None:
    found = grype.read(sample()).findings[1]
    assert (found.id, found.aliases) == ("GHSA-aaaa-bbbb-cccc", ("CVE-2026-10004",))
    assert (found.severity, found.fixed_in) == (Severity.MEDIUM, "2.2.8, 2.3.1")


def test_ignored_matches_count_unless_it_was_grypes_own_rule() -> None:
    assert [f.id for f in grype.read(sample()).findings[2:]] == ["CVE-2026-10006", "CVE-2026-10007"]


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{}],
        [{"vulnerability": "CVE-1", "reason": "we do not use it"}],
        [{"fix-state": "wont-fix"}],
        [{"vex-status": "not_affected"}],
        [{"package": {"name": "linux-libc-dev", "upstream-name": "linux"}}],
        [{"package": {"name": "linux-libc-dev"}, "match-type": "exact-indirect-match"}],
        [
            {"package": {"name": "kernel-headers", "upstream-name": "kernel"}, "match-type": "exact-indirect-match"},
            {"vulnerability": "CVE-1"},
        ],
    ],
)
def test_an_ignore_rule_is_no_waiver(rules: list[dict[str, Any]]) -> None:
    assert [f.id for f in grype.read(ignored(*rules)).findings] == ["CVE-1"]


@pytest.mark.parametrize("kind", ["directory", "file", "sbom-file", "unknown"])
def test_a_scan_of_something_else_than_an_image_is_about_another_thing(kind: str) -> None:
    assert refusal(sample(source={"type": kind, "target": "./"})) == "subject-mismatch"


@pytest.mark.parametrize("missing", ["matches", "source", "descriptor"])
def test_a_report_without_its_parts_is_empty(missing: str) -> None:
    value = json.loads(sample())
    assert refusal(json.dumps(value | {missing: None}).encode()) == "evidence-empty"
    del value[missing]
    assert refusal(json.dumps(value).encode()) == "evidence-empty"


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_a_crashed_scan_is_empty(content: bytes) -> None:
    assert refusal(content) == "evidence-empty"


@pytest.mark.parametrize(
    "changes",
    [
        {"matches": {}},
        {"matches": "none"},
        {"matches": [{}]},
        {"matches": [{"vulnerability": {"id": "CVE-1"}}]},
        {"matches": [{"artifact": {"name": "zlib"}}]},
        {"matches": [{"vulnerability": {"id": "CVE-1", "fix": {"versions": [1]}}, "artifact": {"name": "zlib"}}]},
        {"ignoredMatches": [{}]},
        {"source": {"target": {}}},
        {"source": {"type": "image", "target": "shop"}},
        {"descriptor": {"name": "syft", "version": "1"}},
        {"descriptor": {"name": "grype"}},
        {"descriptor": {"version": "1"}},
        {"descriptor": {"name": "grype", "version": "1", "timestamp": "now"}},
        {"descriptor": {"name": "grype", "version": "1", "db": {"built": 0}}},
    ],
)
def test_a_report_of_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    assert refusal(sample(**changes)) == "evidence-malformed"


def test_a_digest_that_the_user_typed_names_the_image() -> None:
    other = Digest.of(b"other")
    found = grype.read(sample(source={"type": "image", "target": {"userInput": f"registry:shop/api@{other}"}}))
    assert found.about == (other,)
