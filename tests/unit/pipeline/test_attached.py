"""What other tools attached to an image: evidence where a configured signer signed it, and in any case shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from attestations import store
from attestations.bundle import Bundle
from attestations.foreign.attachment import Attachment
from attestations.foreign.cosign_legacy import ENVELOPE_TYPE
from attestations.foreign.envelopes import CERTIFICATE
from attestations.keys import load_private_key
from attestations.records.admission import admission_statement
from attestations.statement import Statement
from pipeline import rewrap as room
from pipeline.formats import json as as_json
from pipeline.formats import text as as_text
from pipeline.formats.result import Result
from pipeline.gather import Gathered, gather, of_platforms, with_attached
from pipeline.promote import promote
from pipeline.rewrap import Outcome as Became
from pipeline.rewrap import Rewrapped
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, Unavailable
from registries.limits import BUNDLE_BYTES
from registries.manifest import OCI_INDEX, OCI_MANIFEST, Manifest, index_bytes
from registries.registry import Location, Registry
from registries.shelf import Shelf
from registries.strict_json import dumps
from stages.evidence import Evidence
from stages.gate import Outcome, Verdict
from tests.images import Image, attestation, image, manifest_value, referrer
from tests.legacy import (
    Layer,
    envelope,
    notation_jws,
    push_referrer,
    push_signature,
    push_tag,
    signed,
)
from tests.sigstore import Key, Sigstore, new_ec, pem
from tests.unit.attestations.samples import ADMITTED
from tests.world import World

REVIEW = "https://example.test/review/v1"
IN_TOTO = "application/vnd.in-toto+json"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def made(world: World) -> Image:
    """An image in `build`, with nothing but its own records."""
    return world.in_build()


def key(world: World, name: str = "scanner") -> Key:
    world.signer(name)
    found = load_private_key(world.keys[name][0])
    assert isinstance(found, EllipticCurvePrivateKey)
    return found


def review(about: Digest, says: str = "good") -> bytes:
    return Statement.about(about, predicate_type=REVIEW, predicate={"says": says}).content


def gathered(world: World, about: Digest, *, whole: bool = True) -> Gathered:
    places, shelf, revocations = (world.place("build"),), Shelf(), world.anchors.revocations
    found = gather(about, places, pipeline=world.pipeline, revocations=revocations, now=world.now, shelf=shelf)
    return with_attached(
        found, places, pipeline=world.pipeline, revocations=revocations, now=world.now, shelf=shelf, whole=whole
    )


def attached(world: World, about: Digest) -> list[tuple[str, str, str, str]]:
    return [_shown(one) for one in gathered(world, about).attached]


def _shown(one: Attachment) -> tuple[str, str, str, str]:
    return str(one.writer), str(one.what), str(one.standing), one.reason.code if one.reason else one.says


def reviews(found: Gathered) -> list[Digest]:
    return [it.record for it in found.records.verified if it.statement.predicate_type == REVIEW]


class Listing:
    """A registry whose list names these manifests too, wherever they say that they hang."""

    def __init__(self, there: Registry, more: list[Manifest]) -> None:
        self._there = there
        self._more = more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._there, name)

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        return (*self._there.referrers(repository, digest), *(one.listed for one in self._more))


def list_unhung(world: World, *bundles: Bundle) -> None:
    """Push these in manifests without `subject`, as sigstore-js does at some registries, and list them."""
    place = world.place("build")
    layers = [Layer(bundle.content, {}, bundle.material.media_type) for bundle in bundles]
    more = [push_referrer(place, None, layer.media_type, [layer]) for layer in layers]
    world.registries["dev.test:5000"] = Listing(place.registry, more)


def test_an_older_attestation_by_a_known_key_is_evidence_also_of_a_promotion(world: World, made: Image) -> None:
    layer = signed(review(made.digest), key(world))
    push_tag(world.place("build"), made.digest, [layer])
    assert attached(world, made.digest) == [("cosign", "attestation", "counts", REVIEW)]
    found = gathered(world, made.digest, whole=False)
    assert reviews(found) == [layer.digest]
    assert layer.digest not in {item.record for item in found.records.rejected}


def test_an_older_attestation_by_a_stranger_is_rejected_with_its_reason(world: World, made: Image) -> None:
    layer = signed(review(made.digest), new_ec())
    push_tag(world.place("build"), made.digest, [layer])
    assert attached(world, made.digest) == [("cosign", "attestation", "rejected", "signer-unknown")]
    found = gathered(world, made.digest)
    assert reviews(found) == []
    assert {it.record: it.reason.code for it in found.records.rejected} == {layer.digest: "signer-unknown"}


def test_an_older_attestation_of_another_image_is_rejected(world: World, made: Image) -> None:
    push_tag(world.place("build"), made.digest, [signed(review(Digest.of(b"other")), key(world))])
    assert attached(world, made.digest) == [("cosign", "attestation", "rejected", "subject-mismatch")]


def test_a_record_of_samebits_counts_in_a_bundle_only(world: World, made: Image) -> None:
    record = admission_statement(ADMITTED, made.digest).content
    push_tag(world.place("build"), made.digest, [signed(record, key(world, "ci-promote"))])
    assert attached(world, made.digest) == [("cosign", "attestation", "rejected", "record-not-bundled")]
    assert gathered(world, made.digest).records.admissions("test") == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_of_layers_with_the_same_bytes_the_one_with_good_proof_counts(
    world: World, made: Image, order: tuple[int, ...]
) -> None:
    layer = signed(review(made.digest), key(world))
    unread = Layer(layer.content, {CERTIFICATE: "no certificate"})
    certified = Layer(layer.content, {CERTIFICATE: pem("CERTIFICATE", Sigstore().ca.certify(key(world)))})
    layers = (unread, certified, layer)
    push_tag(world.place("build"), made.digest, [layers[number] for number in order])
    found = gathered(world, made.digest)
    assert reviews(found) == [layer.digest]
    standings = ["rejected", "rejected", "counts"]
    assert [str(one.standing) for one in found.attached] == [standings[number] for number in order]
    assert found.records.rejected == ()


def test_layers_of_another_type_under_the_tag_are_nobodys(world: World, made: Image) -> None:
    layer = signed(review(made.digest), key(world))
    push_tag(world.place("build"), made.digest, [Layer(layer.content, {}, "application/json")])
    assert attached(world, made.digest) == []


def test_a_revoked_signer_is_revoked_in_the_older_form_too(world: World, made: Image) -> None:
    since = world.now - timedelta(days=1)
    push_tag(world.place("build"), made.digest, [signed(review(made.digest), key(world, "ci-promote"))])
    world.trust_text += f"revocations:\n  signers: {{ci-promote: {since:%Y-%m-%dT%H:%M:%SZ}}}\n"
    assert attached(world, made.digest) == [("cosign", "attestation", "rejected", "key-revoked")]
    assert reviews(gathered(world, made.digest)) == []


def test_a_layer_that_is_too_large_is_not_read(world: World, made: Image) -> None:
    place = world.place("build")
    manifest = push_tag(place, made.digest, [signed(review(made.digest), key(world))])
    huge = Descriptor(media_type=ENVELOPE_TYPE, digest=manifest.layers[0].digest, size=BUNDLE_BYTES + 1)
    lying = Manifest.from_bytes(dumps(manifest_value(manifest.config or huge, [huge])), media_type=OCI_MANIFEST)
    place.registry.push_manifest(place.repository, lying)
    place.registry.tag(place.repository, f"sha256-{made.digest.hex}.att", lying, expected=manifest.digest)
    assert attached(world, made.digest) == [("cosign", "attestation", "rejected", "size-limit")]


def test_a_place_that_does_not_answer_about_its_tags_is_not_one_without_tags(world: World, made: Image) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            return getattr(there, name)

        def resolve(self, repository: str, tag: str) -> Digest:
            raise Unavailable("registry-unavailable", "not now")

    there = world.registries["dev.test:5000"]
    world.registries["dev.test:5000"] = Silent()
    with pytest.raises(Unavailable):
        gathered(world, made.digest)


@pytest.mark.parametrize("fails", ["resolve", "manifest"])
def test_a_tag_that_leads_to_nothing_good_is_rejected_and_stops_nothing(world: World, made: Image, fails: str) -> None:
    class Bad:
        def __getattr__(self, name: str) -> Any:
            return getattr(there, name)

        def resolve(self, repository: str, tag: str) -> Digest:
            if fails == "resolve" and tag.endswith(".att"):
                raise ContentError("digest-mismatch", "other bytes")
            return there.resolve(repository, tag)

        def manifest(self, repository: str, digest: Digest) -> Manifest:
            if digest == older.digest:
                raise ContentError("digest-mismatch", "other bytes")
            return there.manifest(repository, digest)

    older = push_tag(world.place("build"), made.digest, [signed(review(made.digest), key(world))])
    there = world.registries["dev.test:5000"]
    world.registries["dev.test:5000"] = Bad()
    assert attached(world, made.digest) == [("cosign", "attestation", "rejected", "digest-mismatch")]
    assert reviews(gathered(world, made.digest)) == []


def test_signatures_and_sboms_under_tags_are_shown(world: World, made: Image) -> None:
    place = world.place("build")
    push_signature(place, made.digest, key(world))
    push_tag(place, made.digest, [Layer(b"{}", {}, "application/spdx+json")], ".sbom")
    assert attached(world, made.digest) == [
        ("cosign", "signature", "shown", "by a key"),
        ("cosign", "SBOM", "shown", "application/spdx+json"),
    ]
    assert gathered(world, made.digest, whole=False).attached == ()


def test_what_tekton_chains_hangs_on_an_image_is_evidence(world: World, made: Image) -> None:
    about = review(made.digest)
    ours = Layer(envelope(about, key(world), key_id="SHA256:abc"))
    theirs = Layer(envelope(about, new_ec()))
    push_referrer(world.place("build"), made.manifest, IN_TOTO, [ours, theirs])
    found = gathered(world, made.digest, whole=False)
    assert sorted(map(_shown, found.attached)) == [
        ("Tekton Chains", "attestation", "counts", REVIEW),
        ("Tekton Chains", "attestation", "rejected", "signer-unknown"),
    ]
    assert reviews(found) == [ours.digest]


def test_envelopes_in_referrers_of_another_type_or_on_another_image_are_not_read(world: World, made: Image) -> None:
    place, layer = world.place("build"), Layer(envelope(review(made.digest), key(world)))
    push_referrer(place, made.manifest, "application/vnd.test.note", [layer])
    other = image(seed="other").push(place)
    elsewhere = push_referrer(place, other.manifest, IN_TOTO, [layer])
    world.registries["dev.test:5000"] = Listing(place.registry, [elsewhere])
    assert attached(world, made.digest) == []
    assert reviews(gathered(world, made.digest)) == []


def test_a_statement_that_nobody_signed_is_no_evidence(world: World, made: Image) -> None:
    push_referrer(world.place("build"), made.manifest, IN_TOTO, [Layer(review(made.digest), {}, IN_TOTO)])
    (found,) = attached(world, made.digest)
    assert found[:3] == ("Tekton Chains", "attestation", "rejected")
    assert reviews(gathered(world, made.digest)) == []


def test_a_bundle_that_does_not_say_on_what_it_hangs_counts_for_what_it_signs(world: World, made: Image) -> None:
    statement = Statement.from_bytes(review(made.digest))
    ours, theirs = world.signer("scanner").sign(statement), world.signer("stranger").sign(statement)
    list_unhung(world, ours, theirs)
    found = gathered(world, made.digest)
    assert reviews(found) == [ours.record]
    assert sorted(map(_shown, found.attached)) == [
        ("sigstore-js", "attestation", "counts", REVIEW),
        ("sigstore-js", "attestation", "rejected", "signer-unknown"),
    ]
    assert {it.record: it.reason.code for it in found.records.rejected} == {theirs.record: "referrer-subject-mismatch"}


def test_a_bundle_that_hangs_there_and_also_on_nothing_counts_once(world: World, made: Image) -> None:
    place, bundle = world.place("build"), world.signer("scanner").sign(Statement.from_bytes(review(made.digest)))
    store.attach(place, made.manifest.descriptor, (bundle,), created=world.now)
    list_unhung(world, bundle)
    assert reviews(gathered(world, made.digest)) == [bundle.record]


def test_t080_a_record_of_samebits_that_hangs_on_nothing_does_not_count(world: World, made: Image) -> None:
    record = world.signer("ci-promote").sign(admission_statement(ADMITTED, made.digest))
    list_unhung(world, record)
    found = gathered(world, made.digest)
    assert found.records.admissions("test") == ()
    assert {it.record: it.reason.code for it in found.records.rejected} == {record.record: "referrer-subject-mismatch"}


def test_what_buildkit_puts_into_an_index_is_shown_and_never_evidence(world: World) -> None:
    place = world.place("build")
    claim = attestation()
    entry = {
        **claim.manifest.descriptor.json(),
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
        "platform": {"os": "unknown", "architecture": "unknown"},
    }
    claim.push(place)
    index = Manifest.from_bytes(index_bytes((entry,)), media_type=OCI_INDEX)
    place.registry.push_manifest(place.repository, index)
    assert attached(world, index.digest) == [("BuildKit", "attestation", "shown", "(unsigned)")]
    assert gathered(world, index.digest).records.verified == ()
    unmarked = Manifest.from_bytes(index_bytes((claim.manifest.descriptor.json(),)), media_type=OCI_INDEX)
    place.registry.push_manifest(place.repository, unmarked)
    assert attached(world, unmarked.digest) == []


def test_notation_is_shown_as_signed_by(world: World, made: Image) -> None:
    place, kind = world.place("build"), "application/vnd.cncf.notary.signature"
    good, other = notation_jws(str(made.digest), None), notation_jws(str(Digest.of(b"other")), None)
    cose = Layer(b"\xd2", {}, "application/cose")
    layers = [Layer(good, {}, "application/jose+json"), Layer(other, {}, "application/jose+json"), cose]
    push_referrer(place, made.manifest, kind, layers)
    assert attached(world, made.digest) == [
        ("Notation", "signature", "shown", "nobody by name"),
        ("Notation", "signature", "rejected", "subject-mismatch"),
        ("Notation", "signature", "shown", ""),
    ]


def test_an_audit_shows_what_else_is_attached(world: World, made: Image) -> None:
    push_tag(world.place("build"), made.digest, [signed(review(made.digest), key(world))])
    push_signature(world.place("build"), made.digest, key(world))
    result = Result(command="audit", exit_code=0, shown=world.audit(str(made.digest)))
    said = as_text.render(result)
    assert "also attached: 2\n  cosign attestation counts: https://example.test/review/v1\n" in said
    value = json.loads(as_json.render(result))["attached"]
    assert [(one["what"], one["standing"]) for one in value] == [("attestation", "counts"), ("signature", "shown")]
    assert value[0]["where"] == f"dev.test:5000/dev/shop/api:sha256-{made.digest.hex}.att"


def test_a_promotion_counts_it_where_its_gates_are_judged(world: World, made: Image) -> None:
    ours, theirs = signed(review(made.digest), key(world)), signed(review(made.digest), new_ec())
    push_tag(world.place("build"), made.digest, [ours, theirs])
    intended = world.plan(str(made.digest), "test")
    assert ours.digest in intended.believed
    assert theirs.digest not in intended.believed


@dataclass(frozen=True)
class Reviewed:
    """A gate that passes with every review as its evidence."""

    def judge(self, evidence: Evidence) -> Verdict:
        records = (it.record for it in evidence.statements if it.statement.predicate_type == REVIEW)
        return Verdict(gate="reviewed", outcome=Outcome.PASSED, evidence=tuple(records))


def about_image_and_platform(place: Location, made: Image, signer: Key) -> list[Digest]:
    """A review of the image under cosign's tag, and one of a platform as Tekton hangs it on."""
    whole, part = signed(review(made.digest), signer), signed(review(made.platforms[0].manifest), signer)
    push_tag(place, made.digest, [whole])
    push_referrer(place, made.manifests[0], IN_TOTO, [part])
    return [whole.digest, part.digest]


def test_what_a_gate_counted_is_an_input_of_the_summary(world: World, made: Image) -> None:
    counted = about_image_and_platform(world.place("build"), made, key(world))
    pipeline = world.pipeline
    stages = tuple(
        replace(stage, gates=(("reviewed", Reviewed()),)) if stage.name == "test" else stage
        for stage in pipeline.definition.stages
    )
    judged = replace(pipeline, definition=replace(pipeline.definition, stages=stages))
    tools = world.tools("ci-promote")
    found = tools.places.incoming(str(made.digest), "test", judged)
    promote(found, "test", pipeline=judged, tools=tools, now=world.now)
    hanging = store.fetch((world.place("test"),), made.digest).bundles
    summary = next(json.loads(it.envelope.payload) for it in hanging if b"SAMEBITS_STAGE_TEST" in it.envelope.payload)
    inputs = summary["predicate"]["inputAttestations"]
    assert all({"digest": {"sha256": record.hex}} in inputs for record in counted)


def test_what_is_said_about_a_platform_is_evidence_but_not_another_promotions_record_of_it(
    world: World, made: Image
) -> None:
    place, child = world.place("build"), made.manifests[0]
    _, part = about_image_and_platform(place, made, key(world))
    admission = world.signer("ci-build").sign(admission_statement(ADMITTED, child.digest))
    store.attach(place, child.descriptor, [admission], created=world.now)
    theirs = signed(review(child.digest), new_ec())
    push_tag(place, child.digest, [theirs])
    below = of_platforms(
        made.platforms,
        made.digest,
        (place,),
        pipeline=world.pipeline,
        revocations=world.anchors.revocations,
        now=world.now,
        shelf=Shelf(),
    )
    assert [item.record for one in below for item in one.verified] == [part]
    assert [item.record for one in below for item in one.rejected] == [theirs.digest]


# rewrap


def rewrapped(
    world: World, about: Image, *, dry_run: bool = False, files: Sequence[tuple[str, bytes]] = ()
) -> Rewrapped:
    found = world.tools(None).places.anywhere(str(about.digest), "build", world.pipeline)
    return room.rewrap(found, tools=world.tools(None), now=world.now, dry_run=dry_run, files=files)


def test_older_attestations_are_carried_over_once_with_their_signatures(world: World, made: Image) -> None:
    layer = signed(review(made.digest), key(world))
    push_tag(world.place("build"), made.digest, [layer])
    child = made.platforms[0].manifest
    push_tag(world.place("build"), child, [signed(review(child), key(world))])

    planned = rewrapped(world, made, dry_run=True)
    assert reviews(gathered(world, made.digest)) == [layer.digest]
    done = rewrapped(world, made)
    assert done.items == planned.items
    assert [(it.subject, it.outcome, it.left) for it in done.items] == [
        (made.digest, Became.CARRIED, ()),
        (child, Became.CARRIED, ()),
    ]
    found = gathered(world, made.digest)
    assert sorted(reviews(found)) == sorted([layer.digest, done.items[0].record or layer.digest])
    assert found.bundles[done.items[0].record or layer.digest].envelope.payload == review(made.digest)

    world.pass_time(days=1)
    listed = world.place("build").registry.referrers("dev/shop/api", made.digest)
    assert [it.outcome for it in rewrapped(world, made).items] == [Became.THERE, Became.THERE]
    assert world.place("build").registry.referrers("dev/shop/api", made.digest) == listed


def test_what_can_not_be_carried_is_told_with_its_reason(world: World, made: Image) -> None:
    sigstore, good = Sigstore(), signed(review(made.digest), key(world))
    layers = [
        good,
        signed(review(Digest.of(b"other")), key(world)),
        Layer(b"{}"),
        signed(review(made.digest, "certified"), key(world), certificate=sigstore.ca.certify(key(world))),
    ]
    push_tag(world.place("build"), made.digest, layers)
    done = rewrapped(world, made)
    assert [(it.layer, it.outcome, [reason.code for reason in it.left]) for it in done.items] == [
        (good.digest, Became.CARRIED, []),
        (layers[1].digest, Became.LEFT, ["subject-mismatch"]),
        (layers[2].digest, Became.LEFT, ["bundle-malformed"]),
        (layers[3].digest, Became.LEFT, ["proof-not-portable"]),
    ]
    assert [reason.code for reason in done.faults] == ["subject-mismatch", "bundle-malformed", "proof-not-portable"]
    said = as_text.render(Result(command="rewrap", exit_code=5, shown=done))
    assert f"carried {REVIEW} {good.digest}" in said
    assert "[proof-not-portable]" in said
    value = json.loads(as_json.render(Result(command="rewrap", exit_code=5, shown=done)))
    assert [it["standing"] for it in value["attestations"]] == ["carried", "left", "left", "left"]


def test_bundles_from_a_file_are_hung_on_the_image_as_they_are(world: World, made: Image) -> None:
    signer, child = world.signer("scanner"), made.platforms[0].manifest
    ours, of_child, other = (
        signer.sign(Statement.from_bytes(review(about))) for about in (made.digest, child, Digest.of(b"other"))
    )
    content = b"\n".join((ours.content, of_child.content, b"", other.content, b"{", b""))
    done = rewrapped(world, made, files=[("github.jsonl", content)])
    assert sorted((it.where, it.subject, it.outcome, [why.code for why in it.left]) for it in done.items) == [
        ("github.jsonl:1", made.digest, Became.CARRIED, []),
        ("github.jsonl:2", child, Became.CARRIED, []),
        ("github.jsonl:4", made.digest, Became.LEFT, ["subject-mismatch"]),
        ("github.jsonl:5", made.digest, Became.LEFT, ["bundle-malformed"]),
    ]
    assert reviews(gathered(world, made.digest)) == [ours.record]
    assert gathered(world, made.digest).bundles[ours.record].content == ours.content
    assert reviews(gathered(world, child)) == [of_child.record]
    again = rewrapped(world, made, files=[("github.jsonl", content)])
    assert sorted(str(it.outcome) for it in again.items) == ["left", "left", "there", "there"]


def test_nothing_in_the_older_form_is_nothing_to_do(world: World, made: Image) -> None:
    done = rewrapped(world, made)
    assert (done.items, done.faults) == ((), ())
    assert "nothing is attached in an older form" in as_text.render(Result(command="rewrap", exit_code=0, shown=done))


def test_more_referrers_than_samebits_reads_are_not_made(world: World, made: Image) -> None:
    place = world.place("build")
    count = 1000 - len(place.registry.referrers(place.repository, made.digest))
    layers = [signed(review(made.digest, str(number)), key(world)) for number in range(count + 1)]
    push_tag(place, made.digest, layers[:1000])
    referrer(made.manifest, b"one more").push(place)
    with pytest.raises(ContentError) as refusal:
        rewrapped(world, made)
    assert refusal.value.code == "too-many-referrers"


def test_a_promotion_warns_that_the_first_bundle_hides_the_older_attestations(world: World) -> None:
    made = world.built()
    source = Location(world.registries["source.test:5000"], "builder/api")
    assert world.plan("source.test:5000/builder/api:1.0", "build").warnings == ()
    push_tag(source, made.digest, [signed(review(made.digest), key(world))])
    (warning,) = world.plan("source.test:5000/builder/api:1.0", "build").warnings
    assert (warning.code, warning.hint) == ("attestations-hidden", f"samebits rewrap {made.digest} --stage build")

    world.enter()
    assert world.plan("source.test:5000/builder/api:1.0", "build").warnings == ()
    assert [it.outcome for it in rewrapped(world, made).items] == [Became.CARRIED]


def test_a_promotion_of_an_image_that_has_a_bundle_hides_nothing_more(world: World) -> None:
    made = world.built()
    source = Location(world.registries["source.test:5000"], "builder/api")
    push_tag(source, made.digest, [signed(review(made.digest), key(world))])
    bundle = world.signer("scanner").sign(Statement.from_bytes(review(made.digest)))
    store.attach(source, made.manifest.descriptor, (bundle,), created=world.now)
    assert world.plan("source.test:5000/builder/api:1.0", "build").warnings == ()
