from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import REPORT_BYTES
from stages.finding import Severity
from stages.reports import trivy

ASSETS = Path(__file__).parents[2] / "assets" / "reports"
CONFIG = Digest.of(b"shop/api linux/amd64 config")
MANIFEST = Digest.of(b"shop/api linux/amd64 manifest")


def sample(**changes: Any) -> bytes:
    """The recorded report with some members changed; None takes a member out."""
    value = json.loads((ASSETS / "trivy-image.json").read_bytes()) | changes
    return json.dumps({name: member for name, member in value.items() if member is not None}).encode()


def refusal(content: bytes) -> str:
    with pytest.raises(ContentError) as error:
        trivy.read(content)
    return error.value.code


def test_a_report_is_read_with_its_dates_tool_and_image() -> None:
    found = trivy.read(sample(Trivy={"Version": "0.70.0", "VulnerabilityDB": {"UpdatedAt": "2026-11-20T06:00:00Z"}}))
    assert (found.tool, found.tool_version, found.targets) == ("trivy", "0.70.0", 2)
    assert found.scanned_at == datetime(2026, 11, 20, 8, 20, 30, 123456, tzinfo=UTC)
    assert found.data_date == datetime(2026, 11, 20, 6, tzinfo=UTC)
    assert found.about == (CONFIG, MANIFEST)


def test_a_finding_is_read_with_package_versions_and_severity() -> None:
    first, second, *_ = trivy.read(sample()).findings
    assert str(first) == "high CVE-2026-10001 in libssl3 3.0.15-1, fixed in 3.0.15-2"
    assert (second.severity, second.fixed_in, second.title) == (Severity.LOW, "", "a made-up leak")


def test_a_finding_that_was_suppressed_counts() -> None:
    assert [f.id for f in trivy.read(sample()).findings if f.severity is Severity.CRITICAL] == ["CVE-2026-10003"]


def test_what_was_suppressed_counts_only_where_it_is_a_vulnerability() -> None:
    target = {"Class": "os-pkgs", "ExperimentalModifiedFindings": [{"Type": "misconfiguration", "Finding": {}}]}
    assert trivy.read(sample(Results=[target])).findings == ()


def test_a_severity_that_nobody_knows_is_unknown() -> None:
    assert [f.id for f in trivy.read(sample()).findings if f.severity is Severity.UNKNOWN] == ["GHSA-aaaa-bbbb-cccc"]


@pytest.mark.parametrize("artifact", ["filesystem", "repository", "vm", "cyclonedx", "", None])
def test_a_scan_of_something_else_than_an_image_is_about_another_thing(artifact: str | None) -> None:
    assert refusal(sample(ArtifactType=artifact)) == "subject-mismatch"


@pytest.mark.parametrize("version", [1, 3, "2", None])
def test_only_schema_version_2_is_read(version: object) -> None:
    assert refusal(sample(SchemaVersion=version)) == "evidence-malformed"


@pytest.mark.parametrize("results", [None, [], [{"Target": "/app", "Class": "secret"}], [{"Class": "license-file"}]])
def test_a_report_without_package_targets_is_empty(results: object) -> None:
    assert refusal(sample(Results=results)) == "evidence-empty"


@pytest.mark.parametrize("content", [b"", b" \n", b"{}"])
def test_a_crashed_scan_is_empty(content: bytes) -> None:
    assert refusal(content) == "evidence-empty"


@pytest.mark.parametrize(
    "flaw",
    [
        {"PkgName": "zlib"},
        {"VulnerabilityID": "", "PkgName": "zlib"},
        {"VulnerabilityID": 7, "PkgName": "zlib"},
        {"VulnerabilityID": "CVE-1"},
        {"VulnerabilityID": "CVE-1", "PkgName": ["zlib"]},
        {"VulnerabilityID": "CVE-1", "PkgName": "zlib", "Severity": 9},
        {"VulnerabilityID": "CVE-1", "PkgName": "zlib", "Severity": False},
        "CVE-1",
    ],
)
def test_a_finding_without_id_or_package_is_malformed(flaw: object) -> None:
    assert refusal(sample(Results=[{"Class": "os-pkgs", "Vulnerabilities": [flaw]}])) == "evidence-malformed"


def test_a_refusal_says_where_in_the_report_the_fault_is() -> None:
    for results, fault in (
        ([{"Class": "os-pkgs", "Vulnerabilities": [{}]}], "`Results[0].Vulnerabilities[0].VulnerabilityID` is missing"),
        ({}, "`Results` is not an array, but an object"),
    ):
        with pytest.raises(ContentError) as error:
            trivy.read(sample(Results=results))
        assert str(error.value) == fault


@pytest.mark.parametrize(
    "changes",
    [
        {"Results": {}},
        {"Results": "none"},
        {"Results": [{"Class": "os-pkgs", "Vulnerabilities": {}}]},
        {"Results": [{"Class": "os-pkgs", "ExperimentalModifiedFindings": [{"Type": "vulnerability"}]}]},
        {"Metadata": []},
        {"Metadata": {"RepoDigests": "x"}},
        {"Metadata": {"ImageID": 1}},
        {"CreatedAt": "yesterday"},
        {"CreatedAt": "2026-11-20"},
        {"CreatedAt": "2026-11-20T08:20:30"},
        {"CreatedAt": "2026-13-20T08:20:30Z"},
        {"CreatedAt": "9999-12-31T23:59:59-23:59"},
        {"Trivy": "0.69"},
    ],
)
def test_a_member_of_another_type_is_malformed(changes: dict[str, Any]) -> None:
    assert refusal(sample(**changes)) == "evidence-malformed"


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"null",
        b"not JSON",
        b'{"SchemaVersion":2,"SchemaVersion":2}',
        b'{"SchemaVersion":NaN}',
        b"[" * 100_000,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b"\xff\xfe{}",
    ],
)
def test_json_that_is_none_or_ambiguous_is_malformed(content: bytes) -> None:
    with pytest.raises(ContentError) as error:
        trivy.read(content)
    assert error.value.code == "evidence-malformed"
    assert isinstance(error.value.__cause__, ContentError)


def test_a_report_has_a_greatest_size() -> None:
    content = sample()
    padded = content + b" " * (REPORT_BYTES - len(content))
    assert len(trivy.read(padded).findings) == 4
    assert refusal(padded + b" ") == "size-limit"


def test_a_digest_counts_only_where_the_report_names_the_image() -> None:
    other = Digest.of(b"other")
    about = trivy.read(
        sample(
            ArtifactName=f"shop/api:{other.hex}",
            ArtifactID=str(other),
            Metadata={"ImageID": "", "RepoDigests": ["shop/api", "shop/api@sha256:abc"], "DiffIDs": [str(other)]},
        )
    ).about
    assert about == ()
    assert trivy.read(sample(ArtifactName=str(other), Metadata=None)).about == ()
    assert trivy.read(sample(ArtifactName=f"shop/api@{other}", Metadata=None)).about == (other,)


def test_a_time_that_go_never_set_is_no_time() -> None:
    assert trivy.read(sample(CreatedAt="0001-01-01T00:00:00Z")).scanned_at is None
