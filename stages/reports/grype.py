"""Grype's JSON report of a container image (`grype IMAGE -o json`).

Matches that Grype was told to ignore count like the others: an ignore rule or an unsigned VEX document is no waiver.
Only its own rules do not count that are on by default: a kernel's headers are not the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from registries.errors import ContentError
from stages.finding import Finding, Fix, Severity
from stages.report import Findings, empty, malformed
from stages.reports.fields import Fields, digest_in, digests
from stages.scores import severity_of, worst

NAME: Final = "grype"
# Source: grype, grype/vulnerability/fix.go.
FIXES: Final = {"fixed": Fix.FIXED, "wont-fix": Fix.WONT_FIX, "not-fixed": Fix.NOT_FIXED}

# Package and upstream of Grype's own rules (`match-upstream-kernel-headers: false`, the default).
# Source: grype, cmd/grype/cli/commands/root.go, ignoreLinuxKernelHeaders.
KERNEL_HEADERS: Final = frozenset(
    {
        ("kernel-headers", "kernel"),
        ("linux(-.*)?-headers-.*", "linux.*"),
        ("linux-libc-dev", "linux"),
        ("linux-kbuild-.*", "linux.*"),
    }
)


def read(content: bytes) -> Findings:
    """A report about something else than an image is `subject-mismatch`; without `matches` it is `evidence-empty`."""
    return findings(Fields.read(content))


def findings(report: Fields) -> Findings:
    """What a report says that stands by itself or within another document."""
    descriptor, source = report.object("descriptor"), report.object("source")
    if report.value.get("matches") is None:
        raise empty("the report has no `matches`")
    if not descriptor.value or not source.value:
        raise empty("the report does not say what was scanned (`source`), or by what (`descriptor`)")
    if descriptor.text("name") != NAME:
        raise malformed(f"a report by {descriptor.text('name')!r:.60}, not by Grype")
    if source.text("type") != "image":
        raise ContentError("subject-mismatch", f"a scan of {source.text('type')!r:.60}, not of an image")
    target, database = source.object("target"), descriptor.object("db")
    return Findings(
        tool=NAME,
        tool_version=descriptor.text("version"),
        findings=(
            *(_finding(match) for match in report.objects("matches")),
            *(_finding(match) for match in _ignored(report)),
        ),
        data_date=database.object("status").time("built") or database.time("built"),
        scanned_at=descriptor.time("timestamp"),
        about=digests(
            target.optional_text("manifestDigest"),
            target.optional_text("imageID"),
            *map(digest_in, target.texts("repoDigests")),
            digest_in(target.optional_text("userInput")),
        ),
        targets=1,
    )


def _ignored(report: Fields) -> Iterator[Fields]:
    """The ignored matches that count: all but those that only Grype's own rules left out."""
    for match in report.objects("ignoredMatches"):
        rules = match.objects("appliedIgnoreRules")
        if not rules or not all(_is_built_in(rule) for rule in rules):
            yield match


def _is_built_in(rule: Fields) -> bool:
    package = rule.object("package")
    names = (package.optional_text("name"), package.optional_text("upstream-name"))
    return names in KERNEL_HEADERS and rule.optional_text("match-type") == "exact-indirect-match"


def _finding(match: Fields) -> Finding:
    vulnerability, package = match.object("vulnerability"), match.object("artifact")
    fix = vulnerability.object("fix")
    fixed_in = ", ".join(fix.texts("versions"))
    return Finding(
        id=vulnerability.text("id"),
        severity=_severity(match),
        package=package.text("name"),
        version=package.optional_text("version"),
        aliases=tuple(related.text("id") for related in match.objects("relatedVulnerabilities")),
        fixed_in=fixed_in,
        title=vulnerability.optional_text("description"),
        fix=Fix.FIXED if fixed_in else FIXES.get(fix.optional_text("state"), Fix.UNKNOWN),
        purl=package.optional_text("purl"),
    )


def _severity(match: Fields) -> Severity:
    """Grype's own word; where it has none, the worst of the scores of the vulnerability and of those related to it."""
    vulnerability = match.object("vulnerability")
    told = Severity.told(vulnerability.optional_text("severity"))
    if told is not Severity.UNKNOWN:
        return told
    same = (vulnerability, *match.objects("relatedVulnerabilities"))
    return worst(severity_of(score.optional_text("vector")) for one in same for score in one.objects("cvss"))
