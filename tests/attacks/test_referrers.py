"""Where records are kept, T076 to T086: lists that lose, lag, lie, hide and swell, each told by its own reason.

With an API, the registry lists what hangs on an image; without one, clients keep the list under a tag themselves.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from attestations import store
from attestations.bundle import Bundle
from attestations.statement import Statement
from pipeline.definition import definition_statement
from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.kinds.http import http_registry
from registries.limits import REFERRER_DEPTH, REFERRER_PAGES
from registries.manifest import OCI_INDEX, OCI_MANIFEST
from registries.registry import Location
from registries.strict_json import dumps
from tests import faults
from tests.evidence import junit
from tests.faults import Action, Answer, FaultRegistry, Reply, Seen
from tests.images import image, referrer
from tests.over_http import codes, opened, reopen, world_over
from tests.world import World

BUILD, TEST, PROD = "dev/shop/api", "test/shop/api", "prod/shop/api"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def with_api() -> FaultRegistry:
    return FaultRegistry()


def without_api() -> FaultRegistry:
    return FaultRegistry(referrers_api=False, oci_subject=False)


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    with with_api() as registry:
        yield registry


@pytest.fixture
def plain() -> Iterator[FaultRegistry]:
    """A registry without the referrers API."""
    with without_api() as registry:
        yield registry


@pytest.fixture(params=[with_api, without_api], ids=["API", "tag"])
def either(request: pytest.FixtureRequest) -> Iterator[FaultRegistry]:
    with request.param() as registry:
        yield registry


def hung_on(registry: FaultRegistry, repository: str, subject: Digest) -> dict[str, Any]:
    """Digest -> manifest of everything in the store that refers to the subject."""
    stored = {
        digest: json.loads(found[1]) for (name, digest), found in registry.manifests.items() if name == repository
    }
    return {digest: value for digest, value in stored.items() if value.get("subject", {}).get("digest") == str(subject)}


def tag_of(subject: Digest) -> str:
    return f"sha256-{subject.hex}"


def entries(registry: FaultRegistry, repository: str, subject: Digest) -> list[Any]:
    """What the tag lists that stands in for the API."""
    content = registry.manifests[repository, registry.tags[repository, tag_of(subject)]][1]
    found: list[Any] = json.loads(content)["manifests"]
    return found


def rewrite(registry: FaultRegistry, repository: str, subject: Digest, listed: list[Any]) -> None:
    """Somebody else writes that list."""
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    registry.put_manifest(repository, dumps(value), tag_of(subject), OCI_INDEX)


LISTS = "/(referrers/|manifests/sha256-)"


def listing(change: Callable[[list[Any]], list[Any]]) -> Action:
    """Lists, from API or tag, with other entries than are true. What is no list stays as it is."""

    def altered(content: bytes) -> bytes:
        value = json.loads(content)
        return dumps({**value, "manifests": change(value["manifests"])}) if "manifests" in value else content

    return faults.body(altered)


def hiding(*digests: str) -> Action:
    return listing(lambda listed: [entry for entry in listed if entry["digest"] not in digests])


hiding_all = listing(lambda _: [])


def records(registry: FaultRegistry, repository: str, subject: Digest) -> list[Digest]:
    """The records at a place, as a new run reads them."""
    place = Location(opened(registry), repository)
    return [bundle.record for bundle in store.fetch((place,), subject).bundles]


# Lost updates (T076)


def test_t076_a_record_that_another_writer_drops_is_added_again(plain: FaultRegistry) -> None:
    world = world_over(dev=plain)
    made = world.built()
    lost: list[Any] = []

    def drop(_: Seen) -> None:
        lost.extend(entries(plain, BUILD, made.digest))
        rewrite(plain, BUILD, made.digest, [])

    plain.rule("PUT", "/manifests/sha256-[0-9a-f]{64}$", faults.call(drop, after=True), nth=1)
    record = world.enter().record
    assert len(lost) == 2  # the admission and its summary are listed together
    assert record in records(plain, BUILD, made.digest)
    assert {entry["digest"] for entry in entries(plain, BUILD, made.digest)} == set(hung_on(plain, BUILD, made.digest))


def test_t076_a_record_that_never_stays_in_the_list_is_no_success_and_moves_no_tag(plain: FaultRegistry) -> None:
    world = world_over(dev=plain)
    made = world.built()
    plain.rule("PUT", "/manifests/sha256-", faults.call(lambda _: rewrite(plain, BUILD, made.digest, []), after=True))
    assert codes(world.enter) == ["attestation-not-visible"]
    assert world.tag("build", "1.0") is None


def test_t076_a_list_is_looked_at_again_since_a_writer_who_read_early_may_write_late(plain: FaultRegistry) -> None:
    place = Location(opened(plain), BUILD)
    made = image(("linux/amd64",)).push(place)
    note = referrer(made.manifest)
    written = f"/manifests/{tag_of(made.digest)}"

    def late(seen: Seen, answer: Answer) -> Reply:
        reply = answer()
        if reply.status == 200 and sum(written in one.path for one in plain.writes()) == 1:
            rewrite(plain, BUILD, made.digest, [])
        return reply

    plain.rule("GET", written, late)
    note.push(place)
    assert [entry["digest"] for entry in entries(plain, BUILD, made.digest)] == [str(note.digest)]


def bundles(world: World, count: int) -> list[Bundle]:
    """So many records that differ."""
    signed: list[Bundle] = []
    for number in range(count):
        world.definition_text = world.definition_text.replace("pipeline: shop", f"pipeline: shop{number}", 1)
        statement: Statement = definition_statement(world.definition)
        signed.append(world.signer("owner").sign(statement))
    return signed


@pytest.mark.parametrize("conditions", [False, True], ids=["no conditions", "If-Match"])
def test_t076_twelve_writers_at_once_lose_no_record(*, conditions: bool) -> None:
    with FaultRegistry(referrers_api=False, oci_subject=False, conditions=conditions) as plain:
        world = World()
        made = image(("linux/amd64",)).push(Location(opened(plain), BUILD))
        signed = bundles(world, 12)

        def write(bundle: Bundle) -> None:
            place = Location(http_registry(plain.host, environment={}), BUILD)
            store.attach(place, made.manifest.descriptor, (bundle,), created=world.now)

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(write, signed))
        assert set(records(plain, BUILD, made.digest)) == {bundle.record for bundle in signed}


# What a registry withholds (T077)


def test_t077_a_list_that_is_empty_admits_nothing(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    made = world.in_build()
    reopen(world)
    either.rule("GET", LISTS, hiding_all)
    assert codes(lambda: world.promote(str(made.digest), "test")) == ["predecessor-missing"]
    assert codes(lambda: world.verify(str(made.digest), "build")) == ["predecessor-missing"]


def test_t077_a_failure_that_is_withheld_is_no_success(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    world.built()
    world.enter()
    record, done = world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=1, failed=1))])
    assert done.result == "failed"
    reopen(world)
    assert "step-failed" in codes(lambda: world.promote("1.0", "test"))
    digest = world.tag("build", "1.0")
    assert digest is not None
    withheld = [
        name for name, value in hung_on(either, BUILD, digest).items() if value["layers"][0]["digest"] == str(record)
    ]
    reopen(world)
    either.rule("GET", LISTS, hiding(*withheld))
    assert "step-missing" in codes(lambda: world.promote("1.0", "test"))


def test_t077_a_revocation_comes_from_the_trust_file_and_can_not_be_withheld(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    world.in_build()
    world.trust_text += "revocations:\n  signers: {scanner: 2026-11-24T00:00:00Z}\n"
    reopen(world)
    assert "key-revoked" in codes(lambda: world.promote("1.0", "test"))
    assert world.tag("test", "1.0") is None


# A flood of entries (T078)


def next_page(number: int, body: bytes) -> Reply:
    link = f'</v2/{BUILD}/referrers/more?page={number + 1}>; rel="next"'
    return Reply(headers={"Content-Type": OCI_INDEX, "Link": link}, body=body)


def junk(first: int, count: int) -> list[Any]:
    return [
        {"mediaType": OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 2}
        for number in range(first, first + count)
    ]


def index_of(listed: list[Any]) -> bytes:
    return dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed})


def asked(registry: FaultRegistry, what: str) -> int:
    return sum(what in seen.path for seen in registry.requests)


def test_t078_pages_without_end_are_left_at_the_limit(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    world.in_build()
    reopen(world)
    registry.requests.clear()
    pages = f"/{BUILD}/referrers/"
    registry.rule("GET", pages, lambda *_: next_page(asked(registry, pages), index_of([])))
    assert codes(lambda: world.promote("1.0", "test")) == ["too-many-referrers"]
    assert asked(registry, pages) == 3 * REFERRER_PAGES  # of the index and its two children, at the same time
    assert world.tag("test", "1.0") is None


@pytest.mark.parametrize("page", [1000, 10_000], ids=["a thousand to a page", "ten thousand to a page"])
def test_t078_a_hundred_thousand_entries_beside_a_good_one_are_not_all_read(registry: FaultRegistry, page: int) -> None:
    world = world_over(dev=registry)
    made = world.in_build()
    good = [
        {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(registry.manifests[BUILD, digest][1])}
        for digest in hung_on(registry, BUILD, made.digest)
    ]
    reopen(world)
    registry.requests.clear()

    def flood(seen: Seen, answer: Answer) -> Reply:
        number = int(seen.query.get("page", 0))
        body = index_of([*(good if number == 0 else []), *junk(page * number, page)])
        return (
            next_page(number, body)
            if page * (number + 1) < 100_000
            else Reply(headers={"Content-Type": OCI_INDEX}, body=body)
        )

    pages = f"/{BUILD}/referrers/"
    registry.rule("GET", pages, flood)
    assert codes(lambda: world.promote("1.0", "test")) == ["too-many-referrers"]
    assert asked(registry, pages) <= 2 * 3


@pytest.mark.parametrize(("number", "code"), [(20_000, "too-many-referrers"), (100_000, "size-limit")])
def test_t078_a_flooded_fallback_tag_is_one_request(plain: FaultRegistry, number: int, code: str) -> None:
    world = world_over(dev=plain)
    made = world.in_build()
    rewrite(plain, BUILD, made.digest, [*entries(plain, BUILD, made.digest), *junk(0, number)])
    reopen(world)
    plain.requests.clear()
    assert codes(lambda: world.promote("1.0", "test")) == [code]
    tag = f"/{BUILD}/manifests/{tag_of(made.digest)}"
    assert sum(seen.path.endswith(tag) for seen in plain.requests) <= 2


# Lists that lie (T079 and T080)


def lies_about(digests: set[str], **said: Any) -> Action:
    return listing(lambda listed: [{**entry, **said} if entry["digest"] in digests else entry for entry in listed])


@pytest.mark.parametrize(
    "said",
    [
        {"artifactType": "application/vnd.test.note"},
        {"annotations": {"dev.sigstore.bundle.predicateType": "https://example.test/note"}},
        {"annotations": {"stage": "prod"}},
        {"size": 1},
        {"mediaType": OCI_INDEX},
    ],
    ids=["artifact type", "annotation", "added annotation", "size", "media type"],
)
def test_t079_a_record_counts_whatever_the_list_calls_it_and_the_lie_is_told(
    either: FaultRegistry, said: dict[str, Any]
) -> None:
    world = world_over(dev=either)
    made = world.in_build()
    records_there = set(hung_on(either, BUILD, made.digest))
    reopen(world)
    either.rule("GET", f"/{BUILD}{LISTS}", lies_about(records_there, **said))
    told = world.audit(f"{either.host}/{BUILD}:1.0").rejected
    assert {item.reason.code for item in told} == {"referrer-descriptor-mismatch"}
    assert {str(item.record) for item in told} == records_there
    world.promote("1.0", "test")
    assert world.tag("test", "1.0") == made.digest


def test_t079_something_else_that_is_listed_as_a_record_is_none_and_is_told(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    made = world.in_build()
    note = referrer(made.manifest).push(world.place("build")).digest
    reopen(world)
    either.rule("GET", f"/{BUILD}{LISTS}", lies_about({str(note)}, artifactType=BUNDLE))
    told = world.audit(f"{either.host}/{BUILD}:1.0").rejected
    assert [(item.record, item.reason.code) for item in told] == [(note, "referrer-descriptor-mismatch")]
    assert world.verify("1.0", "build").image.digest == made.digest


def test_t079_a_filter_that_is_claimed_and_was_not_asked_for_changes_nothing(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.in_build()
    referrer(made.manifest).push(world.place("build"))
    reopen(world)
    registry.rule("GET", "/referrers/", faults.header("OCI-Filters-Applied", "artifactType"))
    world.promote("1.0", "test")
    assert world.tag("test", "1.0") == made.digest
    assert asked(registry, "artifactType=") == 0


def test_t080_a_listed_manifest_that_hangs_elsewhere_or_nowhere_is_skipped_and_told(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    made, other = world.in_build(), world.in_build(seed="b", tag="2.0")
    loose = image(("linux/amd64",), seed="loose").push(world.place("build")).manifest
    elsewhere = list(hung_on(either, BUILD, other.digest))
    forged = [
        *({"mediaType": OCI_MANIFEST, "digest": digest, "size": 1} for digest in elsewhere),
        loose.descriptor.json(),
    ]
    reopen(world)
    lists = f"/{BUILD}/(referrers/{made.digest}|manifests/{tag_of(made.digest)})"
    either.rule("GET", lists, listing(lambda listed: [*forged, *listed]))
    rejected = world.audit(f"{either.host}/{BUILD}:1.0").rejected
    assert "referrer-subject-mismatch" in {item.reason.code for item in rejected}
    (transfer,) = world.promote("1.0", "test").plan.transfers
    assert world.tag("test", "1.0") == made.digest
    left_behind = {reason.where.rpartition("@")[2]: reason.code for reason in transfer.skipped}
    assert left_behind == dict.fromkeys([*elsewhere, str(loose.digest)], "referrer-subject-mismatch")


def test_t080_records_of_another_image_do_not_admit_this_one(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    admitted = world.in_build()
    evil = image(seed="evil").push(world.place("build"))
    foreign = [
        {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(either.manifests[BUILD, digest][1])}
        for digest in hung_on(either, BUILD, admitted.digest)
    ]
    rewrite(either, BUILD, evil.digest, foreign)
    reopen(world)
    either.rule("GET", f"/{BUILD}/referrers/{evil.digest}", listing(lambda _: foreign))
    assert "predecessor-missing" in codes(lambda: world.promote(str(evil.digest), "test"))
    told = world.audit(f"{either.host}/{BUILD}@{evil.digest}").rejected
    assert {item.reason.code for item in told} == {"referrer-subject-mismatch"}


# Referrers of referrers (T081)


def test_t081_a_chain_of_fifty_referrers_is_left_at_the_limit(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.in_build()
    below = made.manifest
    for number in range(50):
        below = referrer(below, f"note {number}".encode()).push(world.place("build")).manifest
    reopen(world)
    registry.requests.clear()
    assert codes(lambda: world.promote("1.0", "test")) == ["limit-exceeded"]
    levels = {seen.path.rpartition("/")[2] for seen in registry.requests if "/referrers/" in seen.path}
    records_and_image = len(hung_on(registry, BUILD, made.digest)) + len(made.manifests)
    assert len(levels) <= records_and_image + REFERRER_DEPTH
    assert world.tag("test", "1.0") is None


# All of them, once (T082)


def test_t082_promoted_twice_there_are_the_same_records_in_the_same_number(either: FaultRegistry) -> None:
    world = world_over(dev=either)
    made = world.in_build()
    before = set(hung_on(either, BUILD, made.digest))
    first = world.promote("1.0", "test")
    once = set(hung_on(either, TEST, made.digest))
    either.requests.clear()
    reopen(world)
    again = world.promote("1.0", "test")
    assert again.record == first.record
    assert either.writes() == []
    assert set(hung_on(either, TEST, made.digest)) == once >= before
    assert len(once) == len(before) + 2  # the admission and its summary
    assert all(either.manifests[TEST, digest] == either.manifests[BUILD, digest] for digest in before)


def test_t082_a_copy_that_loses_a_record_is_no_success(registry: FaultRegistry) -> None:
    world = world_over(prod=registry)
    made = world.in_test()
    place = world.place("test")
    lost = place.registry.referrers(place.repository, made.digest)[0].digest
    registry.rule("GET", "/referrers/", hiding(str(lost)))
    transfer = plan_copy(made.digest, place, world.place("prod"))
    waited: list[float] = []
    assert codes(lambda: copy_image(transfer, sleep=waited.append, wait_seconds=3)) == ["referrers-incomplete"]
    assert sum(waited) == pytest.approx(3)


# Lists that are not kept, change sides, or lag (T083 to T085)


@pytest.mark.parametrize(
    ("api", "header"), [(False, False), (False, True), (True, False)], ids=["neither", "header only", "API only"]
)
def test_t083_where_the_registry_does_not_say_that_it_lists_the_tag_lists(*, api: bool, header: bool) -> None:
    with FaultRegistry(referrers_api=api, oci_subject=header) as registry:
        world = world_over(dev=registry)
        made = world.built()
        record = world.enter().record
        assert {entry["digest"] for entry in entries(registry, BUILD, made.digest)} == set(
            hung_on(registry, BUILD, made.digest)
        )
        assert record in records(registry, BUILD, made.digest)


def test_t083_a_registry_that_keeps_no_list_at_all_is_refused(plain: FaultRegistry) -> None:
    world = world_over(dev=plain)
    world.built()
    plain.rule("PUT", "/manifests/sha256-", faults.status(201))
    assert codes(world.enter) == ["attestation-not-visible"]
    assert world.tag("build", "1.0") is None
    place = Location(opened(plain), BUILD)
    made = image(("linux/amd64",)).push(place)
    assert codes(lambda: referrer(made.manifest).push(place)) == ["attestation-not-visible"]


def test_t084_a_registry_that_gains_the_api_loses_no_record_of_before(plain: FaultRegistry) -> None:
    world = world_over(dev=plain)
    made = world.built()
    world.enter()
    world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=3))])
    before = set(hung_on(plain, BUILD, made.digest))

    plain.referrers_api = plain.oci_subject = True
    plain.rule("GET", f"/{BUILD}/referrers/", hiding(*before))
    reopen(world)
    world.step("build", "scan", "1.0", by="scanner", reports=world.scans(made))
    after = set(hung_on(plain, BUILD, made.digest)) - before
    assert after.isdisjoint(entry["digest"] for entry in entries(plain, BUILD, made.digest))

    reopen(world)
    world.promote("1.0", "test")
    world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    reopen(world)
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == made.digest
    assert [stage.standing for stage in world.audit("1.0").stages] == ["admitted"] * 3


def lagging(world: World, seconds: float) -> Action:
    """A list that shows nothing until those who look have waited so long."""
    return lambda seen, answer: answer() if sum(world.waited) >= seconds else hiding_all(seen, answer)


def test_t085_a_list_that_is_three_seconds_late_is_waited_for(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.built()
    registry.rule("GET", f"/{BUILD}/referrers/", lagging(world, 3))
    record = world.enter().record
    assert 3 <= sum(world.waited) < 10
    assert world.tag("build", "1.0") == made.digest
    assert record in records(registry, BUILD, made.digest)


def test_t085_a_list_that_stays_empty_is_no_success_and_the_next_run_goes_on(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.built()
    registry.rule("GET", f"/{BUILD}/referrers/", lagging(world, 31))
    assert codes(world.enter) == ["attestation-not-visible"]
    assert world.tag("build", "1.0") is None
    left = set(hung_on(registry, BUILD, made.digest))
    world.waited.append(1)
    reopen(world)
    world.enter()
    assert world.tag("build", "1.0") == made.digest
    assert set(hung_on(registry, BUILD, made.digest)) == left


def test_t085_records_that_were_copied_are_waited_for_as_well(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.in_build()
    world.waited.clear()
    reopen(world)
    registry.rule("GET", f"/{TEST}/referrers/", lagging(world, 3))
    world.promote("1.0", "test")
    assert 3 <= sum(world.waited) < 20
    assert world.tag("test", "1.0") == made.digest


def test_t085_a_copy_waits_until_what_it_copied_is_listed(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.in_build()
    world.waited.clear()
    reopen(world)
    registry.rule("GET", f"/{TEST}/referrers/", lagging(world, 3))
    copy_image(plan_copy(made.digest, world.place("build"), world.place("test")), sleep=world.waited.append)
    assert 3 <= sum(world.waited) < 10


# What was deleted (T086)


@pytest.mark.parametrize("how", ["manifest deleted", "list overwritten"])
@pytest.mark.parametrize("stage", ["build", "test"])
def test_t086_an_audit_shows_the_hole_that_a_deleted_record_leaves(plain: FaultRegistry, how: str, stage: str) -> None:
    world = world_over(prod=plain)
    made = world.in_prod()
    link = world.verify("1.0", "prod").chain.link(stage)
    assert link is not None
    (gone,) = (
        digest
        for digest, value in hung_on(plain, PROD, made.digest).items()
        if value["layers"][0]["digest"] == str(link.record)
    )
    if how == "manifest deleted":
        del plain.manifests[PROD, gone]
    else:
        kept = [entry for entry in entries(plain, PROD, made.digest) if entry["digest"] != gone]
        rewrite(plain, PROD, made.digest, kept)
    reopen(world)
    story = world.audit("1.0")
    assert [told.standing for told in story.stages] == ["admitted", "admitted", "broken"]
    assert "predecessor-missing" in {fault.code for fault in story.faults}
    assert "predecessor-missing" in codes(lambda: world.verify("1.0", "prod"))
