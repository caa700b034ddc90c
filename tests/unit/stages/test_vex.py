"""VEX in the vulnerability gate: it takes away exactly what a trusted signer says of this image, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestations.verify import Verified
from registries.digest import Digest
from stages.duration import Duration
from stages.evidence import Report
from stages.finding import Severity
from stages.gate import Outcome, Verdict
from stages.gates.vulnerabilities import Vulnerabilities
from stages.purl import Purl
from stages.vex import JUSTIFICATIONS
from tests.evidence import (
    AMD64,
    ARM64,
    HOUR,
    NOW,
    STRANGER,
    SUBJECT,
    attested,
    evidence,
    grype,
    match,
    rejected,
    report,
)

GATE = Vulnerabilities(
    none_at_or_above=Severity.MEDIUM, max_age=Duration.parse("24h"), by=("scanner",), vex_by=("vendor",)
)
OPENVEX = "https://openvex.dev/ns/v0.2.0"
WHY = "vulnerable_code_not_in_execute_path"
FOUND = match("CVE-2026-1", also=["GHSA-1"], package="libssl3", version="3.0.15")


def image(digest: Digest = SUBJECT, *parts: str) -> dict[str, Any]:
    """A product: this image, and the packages in it that are meant."""
    product: dict[str, Any] = {"@id": f"pkg:oci/api@{str(digest).replace(':', '%3A')}"}
    return product | ({"subcomponents": [{"@id": part} for part in parts]} if parts else {})


def says(
    status: str = "not_affected",
    *,
    name: str = "CVE-2026-1",
    aliases: Sequence[str] = (),
    products: Sequence[dict[str, Any]] | None = None,
    why: str = WHY,
    at: datetime = NOW - HOUR,
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "vulnerability": {"name": name, "aliases": list(aliases)},
        "status": status,
        "timestamp": at.isoformat(),
        "products": [image()] if products is None else list(products),
    }
    return statement | ({"justification": why} if why else {})


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"@context": OPENVEX, "author": "vendor", "timestamp": NOW.isoformat(), "statements": list(statements)}


def vex(*statements: dict[str, Any], signer: str = "vendor", about: Sequence[Digest] = (SUBJECT,)) -> Verified:
    return attested(OPENVEX, document(*statements), signer=signer, about=about)


def scans(*found: dict[str, Any]) -> tuple[Report, ...]:
    return (report("grype", grype(*(found or (FOUND,)))),)


def judged(*said: Verified, found: Sequence[dict[str, Any]] = (), gate: Vulnerabilities = GATE) -> Verdict:
    return gate.judge(replace(evidence(*scans(*found)), statements=said))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


@pytest.mark.parametrize(
    "statement",
    [
        *(says(why=why) for why in sorted(JUSTIFICATIONS)),
        says("fixed", why=""),
        says(name="GHSA-1", aliases=["CVE-2026-1"]),
        says(products=[image(STRANGER), image()]),
        says(products=[image(AMD64.manifest)]),
        says(products=[{"hashes": {"sha-256": SUBJECT.hex}}]),
        says(products=[{"identifiers": {"purl": f"pkg:docker/acme/api@{SUBJECT}"}}]),
        says(products=[image(SUBJECT, "pkg:deb/debian/libssl3@3.0.15?arch=amd64")]),
        says(products=[image(SUBJECT, "pkg:deb/debian/other", "pkg:deb/debian/libssl3")]),
    ],
)
def test_what_a_trusted_signer_says_of_this_image_takes_the_finding_away(statement: dict[str, Any]) -> None:
    said = vex(statement)
    verdict = judged(said)
    assert (verdict.outcome, verdict.reasons) == (Outcome.PASSED, ())
    assert said.record in verdict.evidence


@pytest.mark.parametrize(
    "statement",
    [
        says(why=""),
        says(why="we think so"),
        says("affected"),
        says("under_investigation"),
        says(name="CVE-2026-2", aliases=["GHSA-1"]),
        says(name="GHSA-1", aliases=["CVE-2026-1", "CVE-2026-2"]),
        says(products=[]),
        says(products=[image(STRANGER)]),
        says(products=[{"@id": "pkg:oci/api"}]),
        says(products=[{"@id": "registry.example/shop/api"}]),
        says(products=[{"@id": f"pkg:generic/api@{SUBJECT}"}]),
        says(products=[image(SUBJECT, "pkg:deb/debian/libssl3@3.0.14")]),
        says(products=[image(SUBJECT, "pkg:deb/debian/libcrypto3@3.0.15")]),
        says(products=[image() | {"subcomponents": []}]),
        says(at=NOW + timedelta(minutes=6)),
    ],
)
def test_what_says_less_than_that_has_no_effect_and_is_told(statement: dict[str, Any]) -> None:
    verdict = judged(vex(statement))
    assert verdict.outcome is Outcome.BLOCKED
    assert codes(verdict) == ["vulnerability-found", "vex-untrusted"]


def test_a_name_that_the_finding_does_not_have_is_about_something_else() -> None:
    assert codes(judged(vex(says(name="CVE-2026-9")))) == ["vulnerability-found"]


def test_t107_nobody_in_particular_can_say_that_a_finding_does_not_matter() -> None:
    """Unsigned, by a foreign author, for another package URL, for another digest; and where nobody was named."""
    unsigned = replace(evidence(*scans()), rejected=(rejected(OPENVEX),))
    stranger = replace(evidence(*scans()), statements=(vex(says(), signer="builder"),))
    for seen in (unsigned, stranger):
        verdict = GATE.judge(seen)
        assert (codes(verdict), [it.code for it in verdict.warnings]) == (["vulnerability-found"], ["vex-untrusted"])
    for product in ({"@id": "pkg:oci/other"}, image(STRANGER)):
        assert codes(judged(vex(says(products=[product])))) == ["vulnerability-found", "vex-untrusted"]
    nobody = replace(GATE, vex_by=())
    named = replace(evidence(*scans()), statements=(vex(says()),), admitters=("vendor",))
    assert [it.code for it in nobody.judge(named).warnings] == ["vex-untrusted"]
    assert nobody.judge(named).outcome is Outcome.BLOCKED


def test_a_statement_without_products_is_about_what_was_attested() -> None:
    statement = says()
    del statement["products"]
    assert judged(vex(statement)).outcome is Outcome.PASSED
    recorded = report("openvex", json.dumps(document(statement)).encode(), signer="vendor", step="vex")
    assert codes(GATE.judge(evidence(*scans(), recorded))) == ["vulnerability-found", "vex-untrusted"]


def test_a_recorded_document_counts_when_a_trusted_signer_recorded_it() -> None:
    content = json.dumps(document(says())).encode()
    for signer, outcome in (("vendor", Outcome.PASSED), ("scanner", Outcome.BLOCKED)):
        assert GATE.judge(evidence(*scans(), report("openvex", content, signer=signer, step="vex"))).outcome is outcome


def test_a_finding_on_two_platforms_is_taken_away_on_both_or_not_at_all() -> None:
    both = [report("grype", grype(FOUND, about=[it.manifest]), step=it.name[-5:]) for it in (AMD64, ARM64)]
    seen = evidence(*both, platforms=(AMD64, ARM64))
    one, other = vex(says(products=[image(AMD64.manifest)])), vex(says(products=[image(ARM64.manifest)]))
    assert codes(GATE.judge(replace(seen, statements=(one,)))) == ["vulnerability-found", "vex-untrusted"]
    assert GATE.judge(replace(seen, statements=(one, other))).outcome is Outcome.PASSED
    below = vex(says(), about=(AMD64.manifest,))
    assert GATE.judge(replace(seen, statements=(below,))).outcome is Outcome.BLOCKED


def test_the_newest_statement_decides_and_of_two_at_once_the_stricter() -> None:
    old, new = vex(says(at=NOW - 3 * HOUR)), vex(says("affected", at=NOW - 2 * HOUR))
    newest, same = vex(says("fixed", why="", at=NOW - HOUR)), vex(says("affected", at=NOW - HOUR))
    assert judged(old, new).outcome is Outcome.BLOCKED
    assert judged(old, new, newest).outcome is Outcome.PASSED
    assert judged(old, new, newest, same).outcome is Outcome.BLOCKED
    assert len({judged(*order) for order in permutations((old, new, newest, same))}) == 1


def test_what_two_cves_have_grown_into_needs_both() -> None:
    grown = (match("GHSA-1", also=["CVE-2026-1"]), match("GHSA-1", also=["CVE-2026-2"]))
    one, other = says(name="CVE-2026-1"), says(name="CVE-2026-2")
    assert judged(vex(one), found=grown).outcome is Outcome.BLOCKED
    assert judged(vex(one, other), found=grown).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("bend", [{"@context": "https://openvex.dev/ns/v9"}, {"statements": []}, {"author": ""}])
def test_a_document_that_is_not_understood_has_no_effect(bend: dict[str, Any]) -> None:
    verdict = judged(attested(OPENVEX, document(says()) | bend, signer="vendor"))
    assert verdict.outcome is Outcome.BLOCKED
    assert [it.code for it in verdict.warnings] == ["vex-untrusted"]


NAMES = st.sampled_from(["CVE-2026-1", "CVE-2026-2", "GHSA-1", "GHSA-2"])
STATEMENTS = st.builds(
    says,
    st.sampled_from(["not_affected", "affected", "fixed", "under_investigation"]),
    name=NAMES,
    products=st.lists(
        st.sampled_from([image(), image(STRANGER), image(SUBJECT, "pkg:deb/debian/libssl3")]), max_size=2
    ),
    why=st.sampled_from([WHY, ""]),
    at=st.sampled_from([NOW - HOUR, NOW - 2 * HOUR]),
)


@given(st.lists(STATEMENTS, max_size=5), st.randoms(use_true_random=False))
def test_statements_take_away_only_what_they_name_in_any_order(statements: list[dict[str, Any]], random: Any) -> None:
    """Whatever is said, a finding that no statement names stays; and the order of documents changes nothing."""
    found = (FOUND, match("CVE-2026-2"), match("CVE-2026-3"))
    said = [vex(statement) for statement in statements]
    verdict = judged(*said, found=found)
    random.shuffle(said)
    assert judged(*said, found=found) == verdict
    standing = " ".join(reason.message for reason in verdict.reasons if reason.code == "vulnerability-found")
    assert "CVE-2026-3" in standing
    good = {it["vulnerability"]["name"] for it in statements if it["status"] in ("fixed", "not_affected")}
    assert "CVE-2026-2" in standing or "CVE-2026-2" in good
    assert "CVE-2026-1" in standing or good & {"CVE-2026-1", "GHSA-1"}


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.none() | st.booleans() | st.text(max_size=5), max_size=3))
def test_unknown_members_of_a_statement_never_widen_it(extra: dict[str, Any]) -> None:
    for statement in (says("affected"), says(products=[image(STRANGER)])):
        assert judged(vex(extra | statement)).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("text", ["", "pkg:", "libssl3", "pkg:deb", "pkg:deb/", "https://example.com/pkg:deb/a"])
def test_what_is_no_package_url_names_no_package(text: str) -> None:
    assert Purl.parse(text) is None


def test_packages_are_compared_by_url_where_the_scanner_has_one_and_else_by_name() -> None:
    purl = Purl.parse("pkg:maven/org.acme/core@1.0?type=jar#x")
    assert purl is not None
    assert purl.is_package("core", "1.0", "pkg:maven/org.acme/core@1.0")
    assert not purl.is_package("core", "1.0", "pkg:maven/org.other/core@1.0")
    assert not purl.is_package("core", "1.1", "pkg:maven/org.acme/core@1.1")
    assert purl.is_package("org.acme:core", "1.0", "")
    assert not purl.is_package("org.other:core", "1.0", "")
