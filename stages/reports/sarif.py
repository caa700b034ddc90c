"""SARIF 2.1.0, as static analysis of every kind writes it.

An alert is as bad as the worst that is said of it: its own and its rule's `security-severity`, else its level, else the
levels of its rule (default and overridden). Source: OASIS SARIF 2.1.0, sections 3.14 (run), 3.20 (invocation),
3.27 (result), 3.35 (suppression), 3.49 (rule), 3.51 (overrides); the numbers are GitHub's `security-severity`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from registries.digest import Digest
from stages.finding import Severity
from stages.report import Alert, Analyses, Analysis, empty, malformed
from stages.reports.fields import Fields, digest_in, digests
from stages.source import Source

_T = TypeVar("_T")

VERSION: Final = "2.1.0"

_LEVELS: Final = {
    "error": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "note": Severity.LOW,
    "none": Severity.NEGLIGIBLE,
}
_SCORES: Final = (
    (9.0, Severity.CRITICAL),
    (7.0, Severity.HIGH),
    (4.0, Severity.MEDIUM),
    (0.1, Severity.LOW),
    (0.0, Severity.NEGLIGIBLE),
)
_SCORE: Final = re.compile(r"\d{1,2}(?:\.\d{1,6})?", re.ASCII)
_SECURITY_SEVERITY: Final = "security-severity"
_GOOD_KINDS: Final = frozenset({"pass", "notApplicable", "informational"})
_DEFAULT_LEVEL: Final = "warning"
_ELSEWHERE: Final = ("results", "invocations", "driver", "extensions")


def read(content: bytes) -> Analyses:
    """No run, a run that failed or one that shows nothing is `evidence-empty`; so is one whose tool is not named."""
    report = Fields.read(content)
    if report.optional_text("version") != VERSION:
        raise malformed(f"`version` is {report.optional_text('version')!r:.40}, and no SARIF {VERSION}")
    if report.objects("inlineExternalProperties"):
        raise malformed("parts of the runs stand outside of them (`inlineExternalProperties`)")
    runs = report.objects("runs")
    if not runs:
        raise empty("the report has no `runs`")
    return Analyses(runs=tuple(_run(run) for run in runs))


def _run(run: Fields) -> Analysis:
    external = run.object("externalPropertyFileReferences").value
    if any(external.get(part) for part in _ELSEWHERE):
        raise malformed(f"parts of `{run.path}` are in other files (`externalPropertyFileReferences`)")
    driver = run.object("tool").object("driver")
    name = driver.optional_text("name")
    version = driver.optional_text("version") or driver.optional_text("semanticVersion")
    if not name or not version:
        raise empty(f"`{run.path}` does not say which tool ran, in which version")
    if run.value.get("results") is None:
        raise empty(f"`{run.path}` has no `results`: the tool did not get that far")
    rules, results, invocations = _Rules.of(run), run.objects("results"), run.objects("invocations")
    ended = _ended(invocations)
    if not invocations and not results and not rules.known:
        raise empty(f"`{run.path}` says neither that {name} ran to its end, nor what it looked for")
    return Analysis(
        tool=name,
        tool_version=version,
        alerts=tuple(alert for result in results for alert in _alerts(result, rules)),
        sources=tuple(dict.fromkeys(_sources(run))),
        about=_about(run),
        ended_at=ended,
    )


def _ended(invocations: Sequence[Fields]) -> datetime | None:
    """When the last of the invocations ended; one that did not succeed, or says that it went wrong, shows nothing."""
    for invocation in invocations:
        if invocation.value.get("executionSuccessful") is not True:
            raise empty(f"`{invocation.path}.executionSuccessful` is not true: the tool failed")
        for notification in invocation.objects("toolExecutionNotifications"):
            if notification.optional_text("level") == "error":
                said = notification.object("message").optional_text("text")
                raise empty(f"the tool reports an error: {said!r:.200}")
    return max((end for one in invocations if (end := one.time("endTimeUtc"))), default=None)


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules of a run, those of the driver and of its extensions, and what an invocation overrides."""

    driver: tuple[Fields, ...]
    extensions: tuple[tuple[Fields, ...], ...]
    overrides: tuple[Fields, ...]

    @classmethod
    def of(cls, run: Fields) -> _Rules:
        tool = run.object("tool")
        return cls(
            driver=tool.object("driver").objects("rules"),
            extensions=tuple(extension.objects("rules") for extension in tool.objects("extensions")),
            overrides=tuple(
                override
                for invocation in run.objects("invocations")
                for override in invocation.objects("ruleConfigurationOverrides")
            ),
        )

    @property
    def known(self) -> bool:
        """Whether the tool says what it looked for."""
        return bool(self.driver) or any(self.extensions)

    def named(self, result: Fields) -> tuple[str, tuple[Fields, ...]]:
        """The id of the result's rule, and every rule that may be meant: by its id, or by its place."""
        reference = result.object("rule")
        told = result.optional_text("ruleId") or reference.optional_text("id")
        places: list[tuple[tuple[Fields, ...], Any]] = [
            (self._component(reference), reference.value.get("index")),
            (self.driver, result.value.get("ruleIndex")),
        ]
        rules = [rule for many in (self.driver, *self.extensions) for rule in many if told and _is_named(told, rule)]
        rules += [rule for many, place in places for rule in _at(many, place)]
        ids = [told, *(rule.optional_text("id") for rule in rules)]
        return next((name for name in ids if name), "a rule without a name"), tuple(rules)

    def _component(self, reference: Fields) -> tuple[Fields, ...]:
        extension = _at(self.extensions, reference.object("toolComponent").value.get("index"))
        return extension[0] if extension else self.driver

    def levels(self, told: str, rules: Sequence[Fields]) -> Iterator[str]:
        """What level a result has that does not say it itself."""
        given = [level for rule in rules if (level := rule.object("defaultConfiguration").optional_text("level"))]
        yield from given or [_DEFAULT_LEVEL]
        for override in self.overrides:
            level, named = override.object("configuration").optional_text("level"), override.object("descriptor")
            meant = _at(self.driver, named.value.get("index"))
            if level and (named.optional_text("id") == told or any(rule in rules for rule in meant)):
                yield level


def _is_named(told: str, rule: Fields) -> bool:
    """Ids are hierarchical: `CA1000/1` is of the rule `CA1000`."""
    rule_id = rule.optional_text("id")
    return bool(rule_id) and (told == rule_id or told.startswith(f"{rule_id}/"))


def _at(many: Sequence[_T], place: Any) -> Sequence[_T]:
    """What stands at this place, if anything does."""
    return many[place : place + 1] if type(place) is int and place >= 0 else ()


def _alerts(result: Fields, rules: _Rules) -> Iterator[Alert]:
    """The result, unless it says that all is well, or that what was there before is gone."""
    kind = result.optional_text("kind") or "fail"
    if kind in _GOOD_KINDS or result.optional_text("baselineState") == "absent":
        return
    (told, candidates), (file, line) = rules.named(result), _place(result)
    yield Alert(
        rule=told,
        severity=_severity(result, told, candidates, rules) if kind == "fail" else Severity.UNKNOWN,
        place=f"{file}:{line}" if type(line) is int else file,
        message=result.object("message").optional_text("text") or result.object("message").optional_text("id"),
        suppressed=_is_suppressed(result),
        file=file,
    )


def _severity(result: Fields, told: str, candidates: Sequence[Fields], rules: _Rules) -> Severity:
    scores = [
        properties.value[_SECURITY_SEVERITY]
        for properties in (result.object("properties"), *(rule.object("properties") for rule in candidates))
        if _SECURITY_SEVERITY in properties.value
    ]
    if scores:
        return max((_scored(score) for score in scores), key=lambda severity: severity.rank)
    own = result.optional_text("level")
    levels = [own] if own else rules.levels(told, candidates)
    return max((_LEVELS.get(level, Severity.UNKNOWN) for level in levels), key=lambda severity: severity.rank)


def _scored(score: Any) -> Severity:
    """GitHub's bands: from 9.0 critical, 7.0 high, 4.0 medium, above 0 low. What is no score is unknown."""
    text = score if isinstance(score, str) else str(score) if type(score) in (int, float) else ""
    if not _SCORE.fullmatch(text) or float(text) > 10:  # noqa: PLR2004  the end of the scale
        return Severity.UNKNOWN
    return next(severity for least, severity in _SCORES if float(text) >= least)


def _is_suppressed(result: Fields) -> bool:
    """Only if nobody still looks at it, or has refused it (section 3.35.3)."""
    suppressions = result.objects("suppressions")
    return bool(suppressions) and all(one.optional_text("status") in ("", "accepted") for one in suppressions)


def _place(result: Fields) -> tuple[str, Any]:
    """The first file that is named, and what stands for its line."""
    for location in result.objects("locations"):
        physical = location.object("physicalLocation")
        uri = physical.object("artifactLocation").optional_text("uri")
        if uri:
            return uri, physical.object("region").value.get("startLine")
    return "", None


def _sources(run: Fields) -> Iterator[Source]:
    for details in run.objects("versionControlProvenance"):
        source = Source.at(
            details.optional_text("repositoryUri"),
            ref=details.optional_text("branch"),
            commit=details.optional_text("revisionId"),
        )
        if source is not None:
            yield source


def _about(run: Fields) -> tuple[Digest, ...]:
    """As Trivy names an image; the format itself has no place for it."""
    properties = run.object("properties").value
    names = properties.get("repoDigests")
    texts = [properties.get("imageID"), *(map(_digest_of, names) if isinstance(names, list) else ())]
    return digests(*(text for text in texts if isinstance(text, str)))


def _digest_of(name: Any) -> str:
    return digest_in(name) if isinstance(name, str) else ""
