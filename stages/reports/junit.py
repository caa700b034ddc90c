"""JUnit XML, as test runners of every language write it.

The cases themselves are counted. What a suite claims in its attributes must agree, so that a report that was cut or
put together by hand is noticed. Suites may be nested; the elements read are those of the Ant and Surefire schemas.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from registries.errors import ContentError
from registries.limits import JSON_DEPTH
from stages.report import TestResults, empty, malformed, presented

_NUMBER = re.compile(r"[0-9]{1,9}")
_SUITES: Final = frozenset({"testsuites", "testsuite"})
_COUNTED: Final = frozenset({"tests", "failures", "errors", "skipped", "disabled"})
_NOT_RUN: Final = frozenset({"notrun", "skipped", "disabled", "suppressed"})
_BROKEN: Final = frozenset({"fail", "failed", "failure", "error"})


def read(content: bytes) -> TestResults:
    """No case is `evidence-empty`; a document type, an entity, or a claim that is not so `evidence-malformed`."""
    reading = _Reading()
    # The parser hands events to `reading` and builds no tree: memory does not grow with the number of elements.
    parser = DefusedXMLParser(target=reading, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(presented(content))
        parser.close()
    except ContentError:
        raise
    except DefusedXmlException as error:
        raise malformed("a document type or an entity in a report; neither has a place there") from error
    except (ParseError, ValueError, LookupError) as error:
        raise malformed(f"not XML: {error}") from error
    return reading.results()


@dataclass(slots=True, kw_only=True)
class _Suite:
    """A suite while it is read: what it claims, its own cases, and all cases at and below it."""

    name: str
    claims: Mapping[str, str]
    own: Counter[str] = field(default_factory=Counter)
    all: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True)
class _Case:
    """A case while it is read."""

    name: str
    failure: bool
    error: bool
    skipped: bool


@dataclass(slots=True)
class _Reading:
    """The target of the parser's events."""

    suites: list[_Suite] = field(default_factory=list)
    case: _Case | None = None
    depth: int = 0
    total: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    contradiction: str = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element opens."""
        self.depth += 1
        if self.depth > JSON_DEPTH:
            raise malformed(f"elements are nested deeper than {JSON_DEPTH} levels")
        if self.depth == 1 and tag not in _SUITES:
            raise malformed(f"the outermost element is {tag!r:.60}, not `testsuites` or `testsuite`")
        if self.case is not None:
            self._mark(self.case, tag)
        elif tag == "testcase":
            self.case = _case(attributes)
        elif tag in _SUITES:
            self.suites.append(_Suite(name=attributes.get("name", ""), claims=dict(attributes)))
        elif tag in ("failure", "error"):
            self._suite_error()

    def end(self, tag: str) -> None:
        """An element closes."""
        self.depth -= 1
        if tag == "testcase" and self.case is not None:
            self._count(self.case)
            self.case = None
        elif tag in _SUITES:
            self._close(self.suites.pop())

    def data(self, text: str) -> None:
        """Text between elements says nothing that is counted."""

    def close(self) -> None:
        """The document ends."""

    def results(self) -> TestResults:
        """The sum, once the document was read to its end."""
        if not self.total["tests"] and not self.failed:
            raise empty("the report holds no test case")
        # A report with failures says no in any case, and runners count a case that fails twice in different ways.
        if self.contradiction and not self.failed:
            raise malformed(self.contradiction)
        return TestResults(
            tests=self.total["tests"],
            failures=self.total["failures"],
            errors=self.total["errors"],
            skipped=self.total["skipped"],
            failed=tuple(self.failed),
        )

    def _mark(self, case: _Case, tag: str) -> None:
        if tag in _SUITES or tag == "testcase":
            raise malformed(f"a {tag} within the case {case.name!r:.60}")
        case.failure |= tag == "failure"
        case.error |= tag == "error"
        case.skipped |= tag == "skipped"

    def _count(self, case: _Case) -> None:
        ended = "failures" if case.failure else "errors" if case.error else "skipped" if case.skipped else "passed"
        if ended in ("failures", "errors"):
            self.failed.append(case.name)
        for tally in (self.total, self.suites[-1].own):
            tally.update(("tests", ended))

    def _suite_error(self) -> None:
        """A failure of a whole suite, outside of its cases: nothing ran there."""
        self.failed.append(self.suites[-1].name or "a suite without a name")
        self.total["errors"] += 1

    def _close(self, suite: _Suite) -> None:
        suite.all.update(suite.own)
        for name, claimed in _claims(suite.claims):
            # Some runners claim for a suite with suites in it only the cases that are directly there.
            if claimed != suite.all[name] and not (suite.own["tests"] and claimed == suite.own[name]):
                self.contradiction = f"the suite {suite.name!r:.60} claims {claimed} {name}; it has {suite.all[name]}"
        if self.suites:
            self.suites[-1].all.update(suite.all)


def _case(attributes: Mapping[str, str]) -> _Case:
    name = ".".join(part for part in (attributes.get("classname", ""), attributes.get("name", "")) if part)
    said = {attributes.get("status", "").lower(), attributes.get("result", "").lower()}
    return _Case(
        name=name or "a case without a name",
        failure=bool(said & _BROKEN),
        error=False,
        skipped=bool(said & _NOT_RUN),
    )


def _claims(attributes: Mapping[str, str]) -> list[tuple[str, int]]:
    """What a suite says of itself; cases that GoogleTest and CTest call disabled are among those that did not run."""
    given = {name: _number(name, text) for name, text in attributes.items() if name in _COUNTED}
    claims: list[tuple[str, int]] = [(name, given[name]) for name in ("tests", "failures", "errors") if name in given]
    if "skipped" in given or "disabled" in given:
        claims.append(("skipped", given.get("skipped", 0) + given.get("disabled", 0)))
    return claims


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise malformed(f"`{name}` is {text!r:.40}, which is no number of cases")
    return int(text)
