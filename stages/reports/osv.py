"""OSV-Scanner's JSON report of a container image (`osv-scanner scan image --all-packages --format json`), version 2.

It names no image, but the image's layers, and without `--all-packages` it does not show that it looked at anything.
NOTE: what a configuration file told it to ignore is not listed, and can't be seen here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stages.finding import Finding, Fix, Severity
from stages.report import Findings, empty, malformed
from stages.reports.fields import Fields, digests
from stages.scores import severity_of, worst

NAME: Final = "osv-scanner"


def read(content: bytes) -> Findings:
    """A report that lists no package is `evidence-empty`."""
    return findings(Fields.read(content))


def findings(report: Fields) -> Findings:
    """What a report says that stands by itself or within another document."""
    if "results" not in report.value:
        raise malformed("`results` is missing")
    packages = [package for source in report.objects("results") for package in source.objects("packages")]
    if not packages:
        raise empty("no package is listed; OSV-Scanner lists what it looked at with --all-packages")
    layers = report.object("image_metadata").objects("layer_metadata")
    return Findings(
        tool=NAME,
        tool_version="",
        findings=tuple(finding for package in packages for finding in _findings(package)),
        data_date=None,
        scanned_at=None,
        about=(),
        targets=len(packages),
        layers=digests(
            *(layer.optional_text("diff_id") for layer in layers if layer.value.get("is_empty") is not True)
        ),
    )


def _findings(found: Fields) -> Iterator[Finding]:
    package = found.object("package")
    name = package.text("name")
    groups = found.objects("groups")
    for vulnerability in found.objects("vulnerabilities"):
        affected = [
            one for one in vulnerability.objects("affected") if one.object("package").optional_text("name") == name
        ]
        fixes = list(dict.fromkeys(fix for one in affected for fix in _fixes(one)))
        yield Finding(
            id=vulnerability.text("id"),
            severity=_severity(vulnerability, affected, groups),
            package=package.optional_text("os_package_name") or name,
            version=package.optional_text("version"),
            aliases=(*vulnerability.texts("aliases"), *vulnerability.texts("upstream")),
            fixed_in=" or ".join(fixes),
            title=vulnerability.optional_text("summary"),
            fix=Fix.FIXED if fixes else Fix.NOT_FIXED if affected else Fix.UNKNOWN,
        )


def _fixes(affected: Fields) -> Iterator[str]:
    """The versions that end a range (OSV schema 1.7, "affected[].ranges[].events[]"); commits are no versions."""
    for span in affected.objects("ranges"):
        if span.optional_text("type") != "GIT":
            for event in span.objects("events"):
                if fixed := event.optional_text("fixed"):
                    yield fixed


def _severity(vulnerability: Fields, affected: list[Fields], groups: tuple[Fields, ...]) -> Severity:
    """The worst of all ratings: of the vulnerability, of the package, of the group it is in, and of its database."""
    name = vulnerability.text("id")
    rated = (vulnerability, *affected)
    return worst(
        (
            *(
                severity_of(one.optional_text("score"), one.optional_text("type"))
                for it in rated
                for one in it.objects("severity")
            ),
            *(severity_of(group.optional_text("max_severity")) for group in groups if name in group.texts("ids")),
            *(
                severity_of(_word(it.object(part)))
                for it in rated
                for part in ("database_specific", "ecosystem_specific")
            ),
        )
    )


def _word(specific: Fields) -> str:
    """A database's own rating, where it is a word: what else it says there is its own affair."""
    word = specific.value.get("severity")
    return word if isinstance(word, str) else ""
