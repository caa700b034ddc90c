"""Whether a vulnerability affects the image, as somebody the gate trusts has said: OpenVEX statements, and no others.

A statement counts for exactly the vulnerability, image and packages that it names, and of those that count the newest
one decides. Source: OpenVEX specification v0.2.0, "VEX Statement", "Status Justifications", "Data Inheritance".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from attestations.chain import CLOCK_TOLERANCE
from registries.digest import Digest
from registries.errors import Reason
from stages.evidence import Evidence, Platform, Report
from stages.finding import cves, equal_names
from stages.purl import Purl


class Status(StrEnum):
    """What can be said."""

    NOT_AFFECTED = "not_affected"
    AFFECTED = "affected"
    FIXED = "fixed"
    UNDER_INVESTIGATION = "under_investigation"


JUSTIFICATIONS: Final = frozenset(
    {
        "component_not_present",
        "vulnerable_code_not_present",
        "vulnerable_code_not_in_execute_path",
        "vulnerable_code_cannot_be_controlled_by_adversary",
        "inline_mitigations_already_exist",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A piece of software by its package URLs and digests."""

    purls: tuple[str, ...]
    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """An image, and the packages in it that are meant; None means all of it."""

    component: Component
    subcomponents: tuple[Component, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VexStatement:
    """One statement. Without `products` it is about what the attestation around it is about."""

    vulnerability: str
    aliases: tuple[str, ...]
    products: tuple[Product, ...] | None
    status: Status
    justification: str
    said_at: datetime

    @property
    def names(self) -> tuple[str, ...]:
        """By which names the vulnerability is the same."""
        return equal_names(self.vulnerability, self.aliases)

    @property
    def fault(self) -> str:
        """Why it takes nothing away, whatever it is about; empty when it does."""
        match self.status:
            case Status.NOT_AFFECTED if self.justification not in JUSTIFICATIONS:
                return (
                    f"not_affected needs a justification of the specification, not {self.justification or 'none'!r:.60}"
                )
            case Status.NOT_AFFECTED | Status.FIXED:
                return ""
            case _:
                return f"it says {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VexDocument:
    """All statements of one document."""

    author: str
    statements: tuple[VexStatement, ...]

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many statements of each status there are."""
        numbers = Counter(statement.status for statement in self.statements)
        return tuple((str(status), numbers[status]) for status in Status if numbers[status])


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was found, as far as a statement may fit it: equal names, every id known for it, the package, where."""

    names: tuple[str, ...]
    ids: tuple[str, ...]
    package: str
    version: str
    purls: tuple[str, ...]
    platforms: tuple[Platform, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What statements say about one finding: the records that took it away, or why those that name it did not."""

    records: tuple[Digest, ...] = ()
    aside: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """A statement with where it stands and the platforms that its attestation is about."""

    statement: VexStatement
    report: Report
    covered: tuple[Platform, ...]
    where: str

    def about(self, evidence: Evidence, found: Subject) -> frozenset[Platform]:
        """The platforms for which it speaks about what was found there."""
        if self.statement.products is None:
            return frozenset(self.covered) if self.report.is_attested else frozenset()
        named = (
            platform
            for product in self.statement.products
            if _has_package(product, found)
            for platform in _platforms(product.component, evidence)
        )
        return frozenset(named) & frozenset(self.covered)


@dataclass(slots=True)
class Statements:
    """The statements that a gate believes, by the names of vulnerabilities; `warnings` are about all others."""

    evidence: Evidence
    warnings: list[Reason] = field(default_factory=list)
    _by_name: dict[str, list[_Said]] = field(default_factory=dict)

    def add(self, document: VexDocument, report: Report, covered: tuple[Platform, ...], where: str) -> None:
        """One document of a trusted signer."""
        for statement in document.statements:
            said = _Said(statement, report, covered, where)
            for name in dict.fromkeys((statement.vulnerability, *statement.aliases)):
                self._by_name.setdefault(name, []).append(said)

    def about(self, found: Subject) -> Settled:
        """What is said about one finding. It goes away only if that is so on every platform that it is on."""
        named = list({id(said): said for name in found.ids for said in self._by_name.get(name, ())}.values())
        if not named:
            return Settled()
        fitting = [(said, said.about(self.evidence, found)) for said in named]
        records: set[Digest] = set()
        for platform in found.platforms:
            there = [said for said, platforms in fitting if platform in platforms]
            newest = max((said.statement.said_at for said in there), default=None)
            deciding = [said for said in there if said.statement.said_at == newest]
            if not deciding or any(self._why_not(said, found) for said in deciding):
                return Settled(aside=tuple(self._aside(fitting, found)))
            records.update(said.report.record for said in deciding)
        return Settled(records=tuple(sorted(records)))

    def _why_not(self, said: _Said, found: Subject) -> str:
        """Why a statement about this package and image takes nothing away."""
        if said.statement.said_at > self.evidence.now + CLOCK_TOLERANCE:
            return f"it is of {said.statement.said_at.isoformat()}, which is ahead of now"
        names = frozenset(said.statement.names)
        if not names & frozenset(found.names) or not cves(found.names) <= names:
            return f"it is about {', '.join(sorted(names))}, which is not the same as {', '.join(sorted(found.names))}"
        return said.statement.fault

    def _aside(self, fitting: Iterable[tuple[_Said, frozenset[Platform]]], found: Subject) -> Iterator[Reason]:
        told: dict[tuple[str, str], None] = {}
        for said, platforms in fitting:
            missing = [platform.name for platform in found.platforms if platform not in platforms]
            why = self._why_not(said, found)
            if missing and not why:
                why = f"it is not about this package of {', '.join(missing)}"
            why = why or "a newer one, or one of the same time, says otherwise"
            told[said.where, f"on {said.statement.vulnerability}: {why}"] = None
        yield from (untrusted(message, where) for where, message in sorted(told))


def untrusted(message: str, where: str) -> Reason:
    """Why a statement has no effect."""
    return Reason("vex-untrusted", message, where)


def _platforms(component: Component, evidence: Evidence) -> Sequence[Platform]:
    purls = (Purl.parse(text) for text in component.purls)
    images = {*component.digests, *(purl.image for purl in purls if purl is not None)}
    if evidence.subject in images:
        return evidence.platforms
    return tuple(platform for platform in evidence.platforms if platform.manifest in images)


def _has_package(product: Product, found: Subject) -> bool:
    """Whether the package is meant: any package without subcomponents, one of them where there are some."""
    if product.subcomponents is None:
        return True
    parts = (Purl.parse(text) for part in product.subcomponents for text in part.purls)
    purls = found.purls or ("",)
    return any(
        part is not None and all(part.is_package(found.package, found.version, purl) for purl in purls)
        for part in parts
    )
