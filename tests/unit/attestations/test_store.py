"""The store: what hangs on an image is found by its content, and what was written is read back until it is listed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from attestations.bundle import BUNDLE_TYPE, Bundle
from attestations.records.admission import ADMISSION, admission_statement
from attestations.records.step import step_statement
from attestations.store import REPORT_ARTIFACT, attach, fetch, fetch_report
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Refusal, Unauthorized, Unavailable
from registries.limits import BUNDLE_BYTES, REPORT_BYTES
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_MANIFEST, Manifest, artifact
from registries.registry import Location
from tests.unit.attestations.samples import ADMITTED, NOW, OTHER, SIGNER, STEPPED
from tests.unit.attestations.shelf import Shelf

IMAGE = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(b"the image"), size=9)
ADMISSION_BUNDLE = SIGNER.sign(admission_statement(ADMITTED, IMAGE.digest))
STEP_BUNDLE = SIGNER.sign(step_statement(STEPPED, IMAGE.digest))


def place(shelf: Shelf) -> Location:
    return Location(shelf, "shop/api")


def put(shelf: Shelf, *bundles: Bundle, subject: Descriptor = IMAGE, wait_seconds: float = 0) -> list[float]:
    pauses: list[float] = []
    attach(place(shelf), subject, bundles, created=NOW, sleep=pauses.append, wait_seconds=wait_seconds)
    return [pause for pause in pauses if pause]


def hang(shelf: Shelf, *layers: bytes, media_type: str = BUNDLE_TYPE, subject: Descriptor = IMAGE) -> Manifest:
    """Any artifact, as somebody else may have pushed it."""
    descriptors = [Descriptor(media_type=media_type, digest=Digest.of(layer), size=len(layer)) for layer in layers]
    shelf.blobs |= {Digest.of(layer): layer for layer in (*layers, EMPTY_CONTENT)}
    manifest = artifact(artifact_type=media_type, layers=tuple(descriptors), subject=subject, annotations={})
    shelf.manifests[manifest.digest] = manifest
    return manifest


def rejected(shelf: Shelf) -> list[tuple[Digest, str]]:
    return [(item.record, item.reason.code) for item in fetch((place(shelf),), IMAGE.digest).unreadable]


def records(*shelves: Shelf) -> set[Digest]:
    return {bundle.record for bundle in fetch([place(shelf) for shelf in shelves], IMAGE.digest).bundles}


def test_what_was_attached_is_fetched_byte_for_byte() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE, STEP_BUNDLE)
    found = fetch((place(shelf),), IMAGE.digest)
    assert {bundle.content for bundle in found.bundles} == {ADMISSION_BUNDLE.content, STEP_BUNDLE.content}
    assert found.unreadable == ()


def test_a_bundle_is_attached_as_cosign_does_it() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    (manifest,) = shelf.manifests.values()
    layer = {
        "mediaType": BUNDLE_TYPE,
        "digest": str(ADMISSION_BUNDLE.record),
        "size": len(ADMISSION_BUNDLE.content),
    }
    assert json.loads(manifest.content) == {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": BUNDLE_TYPE,
        "config": EMPTY.json(),
        "layers": [layer],
        "annotations": {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": ADMISSION,
            "org.opencontainers.image.created": "2026-11-23T22:40:30Z",
        },
        "subject": {"mediaType": OCI_MANIFEST, "digest": str(IMAGE.digest), "size": 9},
    }
    assert shelf.blobs == {EMPTY.digest: b"{}", ADMISSION_BUNDLE.record: ADMISSION_BUNDLE.content}


def test_attaching_twice_is_attaching_once() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    put(shelf, ADMISSION_BUNDLE)
    assert len(shelf.manifests) == 1


def test_attaching_nothing_writes_no_referrer() -> None:
    shelf = Shelf()
    put(shelf)
    assert shelf.manifests == {}


def test_a_list_that_lags_is_waited_for_and_written_again() -> None:
    shelf = Shelf()
    shelf.lists_late = 3
    pauses = put(shelf, ADMISSION_BUNDLE, wait_seconds=30)
    assert pauses == [0.1, 0.2, 0.4]
    assert [call for call, _ in shelf.asked].count("push_manifest") == 4


def test_a_record_that_is_never_listed_is_no_success() -> None:
    shelf = Shelf()
    shelf.lists_late = 1000
    pauses: list[float] = []
    with pytest.raises(Unavailable) as error:
        attach(place(shelf), IMAGE, (ADMISSION_BUNDLE,), created=NOW, sleep=pauses.append, wait_seconds=20)
    assert error.value.code == "attestation-not-visible"
    assert sum(pauses) == pytest.approx(20)
    assert max(pauses) <= 5


def test_a_record_whose_bytes_can_not_be_read_back_is_no_success() -> None:
    shelf = Shelf()
    shelf.unreadable = {ADMISSION_BUNDLE.record}
    with pytest.raises(Unavailable) as error:
        put(shelf, ADMISSION_BUNDLE, wait_seconds=1)
    assert error.value.code == "attestation-not-visible"


def test_one_of_two_records_that_is_not_listed_is_no_success() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    shelf.unreadable = {STEP_BUNDLE.record}
    with pytest.raises(Unavailable):
        put(shelf, ADMISSION_BUNDLE, STEP_BUNDLE, wait_seconds=1)


@pytest.mark.parametrize(
    "refusal", [Unavailable("registry-unavailable", "503"), Unauthorized("credentials-missing", "401")]
)
@pytest.mark.parametrize("call", ["referrers", "push_blob"])
def test_a_registry_that_does_not_take_the_record_raises(call: str, refusal: Refusal) -> None:
    shelf = Shelf()
    shelf.fails[call, IMAGE.digest if call == "referrers" else ADMISSION_BUNDLE.record] = refusal
    with pytest.raises(type(refusal)) as error:
        put(shelf, ADMISSION_BUNDLE, wait_seconds=1)
    assert error.value.code == refusal.code


def test_records_of_several_places_are_united_by_digest_in_one_order() -> None:
    one, other = Shelf("one.example"), Shelf("other.example")
    put(one, ADMISSION_BUNDLE)
    put(other, ADMISSION_BUNDLE, STEP_BUNDLE)
    found = fetch((place(one), place(other)), IMAGE.digest)
    assert found == fetch((place(other), place(one)), IMAGE.digest)
    assert [bundle.record for bundle in found.bundles] == sorted([ADMISSION_BUNDLE.record, STEP_BUNDLE.record])


def test_the_same_referrer_in_two_places_is_read_once() -> None:
    one, other = Shelf("one.example"), Shelf("other.example")
    for shelf in (one, other):
        put(shelf, ADMISSION_BUNDLE)
        shelf.asked.clear()
    assert records(one, other) == {ADMISSION_BUNDLE.record}
    assert [call for call, _ in one.asked + other.asked].count("blob") == 1


def test_what_is_damaged_in_one_place_is_read_from_another() -> None:
    one, other = Shelf("one.example"), Shelf("other.example")
    for shelf in (one, other):
        put(shelf, ADMISSION_BUNDLE)
    del one.blobs[ADMISSION_BUNDLE.record]
    found = fetch((place(one), place(other)), IMAGE.digest)
    assert [bundle.record for bundle in found.bundles] == [ADMISSION_BUNDLE.record]
    assert found.unreadable == ()


def test_of_several_failures_the_first_place_is_told() -> None:
    one, other = Shelf("one.example"), Shelf("other.example")
    for shelf in (one, other):
        put(shelf, ADMISSION_BUNDLE)
    one.fails["blob", ADMISSION_BUNDLE.record] = ContentError("digest-mismatch", "other bytes")
    del other.blobs[ADMISSION_BUNDLE.record]
    (found,) = fetch((place(one), place(other)), IMAGE.digest).unreadable
    assert found.reason.code == "digest-mismatch"


def test_a_bundle_referred_to_twice_is_one_bundle_even_if_one_way_to_it_is_broken() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    stray = hang(shelf, ADMISSION_BUNDLE.content, subject=replace(IMAGE, digest=OTHER))
    shelf.also_lists = (stray.listed,)
    assert records(shelf) == {ADMISSION_BUNDLE.record}
    assert rejected(shelf) == []


def test_nothing_hangs_on_an_image_nobody_attested() -> None:
    empty = place(Shelf())
    found = fetch((empty,), IMAGE.digest)
    assert (found.bundles, found.unreadable) == ((), ())
    assert (found.listed, found.records) == ({empty: frozenset()}, {empty: frozenset()})
    assert fetch((), IMAGE.digest).bundles == ()


def test_other_referrers_are_left_aside() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    hang(shelf, b"sbom", media_type="application/spdx+json")
    hang(shelf, b"notary", media_type="application/jose+json")
    hang(shelf, STEP_BUNDLE.content, b"two layers")
    shelf.also_lists = (hang(shelf, b"stray", media_type="text/plain", subject=replace(IMAGE, digest=OTHER)).listed,)
    assert records(shelf) == {ADMISSION_BUNDLE.record}
    assert rejected(shelf) == []


@pytest.mark.parametrize("listed_as", ["application/vnd.oci.empty.v1+json", None])
def test_what_the_list_says_about_an_entry_is_not_believed(listed_as: str | None) -> None:
    shelf = Shelf()
    manifest = hang(shelf, ADMISSION_BUNDLE.content)
    lying = replace(manifest.listed, artifact_type=listed_as, size=1, annotations={"stage": "prod"})
    shelf.manifests.pop(manifest.digest)
    shelf.manifests[manifest.digest] = manifest
    shelf.also_lists = (lying,)
    assert records(shelf) == {ADMISSION_BUNDLE.record}
    (told,) = fetch((place(shelf),), IMAGE.digest).misdescribed
    assert (told.record, told.reason.code) == (manifest.digest, "referrer-descriptor-mismatch")
    assert "size 1 for" in told.reason.message


def test_a_list_that_leaves_things_out_tells_no_lie() -> None:
    shelf = Shelf()
    manifest = hang(shelf, ADMISSION_BUNDLE.content)
    shelf.also_lists = (replace(manifest.listed, artifact_type=None, annotations={}),)
    assert fetch((place(shelf),), IMAGE.digest).misdescribed == ()


def test_a_referrer_that_hangs_on_another_image_is_rejected() -> None:
    shelf = Shelf()
    shelf.also_lists = (hang(shelf, ADMISSION_BUNDLE.content, subject=replace(IMAGE, digest=OTHER)).listed,)
    assert records(shelf) == set()
    (found,) = fetch((place(shelf),), IMAGE.digest).unreadable
    assert (found.record, found.reason.code) == (ADMISSION_BUNDLE.record, "referrer-subject-mismatch")
    assert found.reason.message == f"hangs on {OTHER}, not on {IMAGE.digest}"


def test_a_referrer_that_hangs_on_nothing_is_rejected() -> None:
    shelf = Shelf()
    value = json.loads(hang(shelf, ADMISSION_BUNDLE.content).content)
    del value["subject"]
    loose = Manifest.from_bytes(json.dumps(value).encode())
    shelf.manifests = {loose.digest: loose}
    shelf.also_lists = (loose.listed,)
    assert rejected(shelf) == [(ADMISSION_BUNDLE.record, "referrer-subject-mismatch")]


def test_a_referrer_that_is_listed_but_gone_is_rejected_under_its_own_digest() -> None:
    shelf = Shelf()
    shelf.also_lists = (replace(IMAGE, digest=OTHER),)
    assert rejected(shelf) == [(OTHER, "image-not-found")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not json", "bundle-malformed"),
        (b'{"mediaType":1,"mediaType":2}', "json-ambiguous"),
        (b"{}", "bundle-version"),
    ],
)
def test_a_bundle_that_does_not_parse_is_rejected_and_hides_no_good_one(content: bytes, code: str) -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    hang(shelf, content)
    assert records(shelf) == {ADMISSION_BUNDLE.record}
    assert rejected(shelf) == [(Digest.of(content), code)]


@pytest.mark.parametrize("call", ["manifest", "blob"])
def test_wrong_bytes_are_rejected_with_their_code(call: str) -> None:
    shelf = Shelf()
    manifest = hang(shelf, ADMISSION_BUNDLE.content)
    digest = manifest.digest if call == "manifest" else ADMISSION_BUNDLE.record
    shelf.fails[call, digest] = ContentError("digest-mismatch", "other bytes")
    assert rejected(shelf) == [(digest, "digest-mismatch")]


def test_a_bundle_too_large_is_not_even_asked_for() -> None:
    shelf = Shelf()

    def sized(size: int) -> tuple[list[tuple[Digest, str]], list[str]]:
        layer = Descriptor(media_type=BUNDLE_TYPE, digest=ADMISSION_BUNDLE.record, size=size)
        manifest = artifact(artifact_type=BUNDLE_TYPE, layers=(layer,), subject=IMAGE, annotations={})
        shelf.manifests = {manifest.digest: manifest}
        shelf.asked.clear()
        return rejected(shelf), [call for call, _ in shelf.asked]

    assert sized(BUNDLE_BYTES + 1) == ([(ADMISSION_BUNDLE.record, "size-limit")], ["referrers", "manifest"])
    assert sized(BUNDLE_BYTES) == ([(ADMISSION_BUNDLE.record, "blob-not-found")], ["referrers", "manifest", "blob"])


@pytest.mark.parametrize(
    "refusal", [Unavailable("registry-unavailable", "503"), Unauthorized("credentials-missing", "401")]
)
@pytest.mark.parametrize("call", ["referrers", "manifest", "blob"])
def test_what_could_not_be_asked_is_unknown_not_absent(call: str, refusal: Refusal) -> None:
    shelf = Shelf()
    manifest = hang(shelf, ADMISSION_BUNDLE.content)
    digests = {"referrers": IMAGE.digest, "manifest": manifest.digest, "blob": ADMISSION_BUNDLE.record}
    shelf.fails[call, digests[call]] = refusal
    with pytest.raises(type(refusal)) as error:
        fetch((place(shelf),), IMAGE.digest)
    assert error.value.code == refusal.code


def test_a_thousand_referrers_are_read_and_one_more_is_refused() -> None:
    shelf = Shelf()
    entries = [replace(IMAGE, digest=Digest.of(str(number).encode())) for number in range(1001)]
    shelf.also_lists = tuple(entries[:1000])
    assert len(rejected(shelf)) == 1000
    shelf.also_lists = tuple(entries)
    with pytest.raises(ContentError) as error:
        fetch((place(shelf),), IMAGE.digest)
    assert error.value.code == "too-many-referrers"


REPORTS: Sequence[tuple[str, bytes]] = (("trivy", b'{"Results":[]}'), ("junit", b"<testsuite/>"))


def put_reports(shelf: Shelf, reports: Sequence[tuple[str, bytes]] = REPORTS, **more: Any) -> None:
    attach(place(shelf), IMAGE, (), reports=reports, created=NOW, sleep=lambda _: None, wait_seconds=1, **more)


def test_reports_hang_on_the_image_as_one_artifact() -> None:
    shelf = Shelf()
    put_reports(shelf)
    put_reports(shelf)
    (manifest,) = shelf.manifests.values()
    assert manifest.artifact_type == REPORT_ARTIFACT
    assert manifest.subject == IMAGE
    assert [(layer.media_type, layer.digest, layer.size) for layer in manifest.layers] == [
        ("application/vnd.samebits.report.trivy+json", Digest.of(REPORTS[0][1]), 14),
        ("application/vnd.samebits.report.junit+xml", Digest.of(REPORTS[1][1]), 12),
    ]


def test_a_report_is_no_attestation() -> None:
    shelf = Shelf()
    put_reports(shelf)
    put_reports(shelf, [("trivy", ADMISSION_BUNDLE.content)])
    assert records(shelf) == set()
    assert rejected(shelf) == []


def test_a_report_that_is_not_listed_is_no_success() -> None:
    shelf = Shelf()
    shelf.lists_late = 1000
    with pytest.raises(Unavailable) as error:
        put_reports(shelf)
    assert error.value.code == "attestation-not-visible"


def test_a_report_is_fetched_from_the_first_place_that_has_it() -> None:
    empty, shelf = Shelf("empty.example"), Shelf()
    put_reports(shelf)
    content = REPORTS[0][1]
    assert fetch_report((place(empty), place(shelf)), Digest.of(content), len(content)) == content


def test_a_report_that_is_nowhere_is_not_found() -> None:
    with pytest.raises(NotFound) as error:
        fetch_report((place(Shelf("one.example")), place(Shelf("other.example"))), OTHER, 3)
    assert error.value.code == "blob-not-found"
    assert "one.example/shop/api or other.example/shop/api" in str(error.value)


@pytest.mark.parametrize(
    "refusal", [Unavailable("registry-unavailable", "503"), ContentError("digest-mismatch", "other bytes")]
)
def test_a_place_that_can_not_give_a_report_is_not_passed_over(refusal: Refusal) -> None:
    broken, shelf = Shelf("broken.example"), Shelf()
    put_reports(shelf)
    content = REPORTS[0][1]
    broken.fails["blob", Digest.of(content)] = refusal
    with pytest.raises(type(refusal)):
        fetch_report((place(broken), place(shelf)), Digest.of(content), len(content))


def test_a_report_too_large_is_neither_written_nor_asked_for() -> None:
    shelf = Shelf()
    with pytest.raises(ContentError) as error:
        put_reports(shelf, [("trivy", b"x" * (REPORT_BYTES + 1))])
    assert error.value.code == "size-limit"
    with pytest.raises(ContentError) as error:
        fetch_report((place(shelf),), OTHER, REPORT_BYTES + 1)
    assert error.value.code == "size-limit"
    assert shelf.asked == []
    with pytest.raises(NotFound):
        fetch_report((place(shelf),), OTHER, REPORT_BYTES)


def test_another_moment_makes_another_referrer_of_the_same_record() -> None:
    shelf = Shelf()
    put(shelf, ADMISSION_BUNDLE)
    later = NOW + timedelta(minutes=1)
    attach(place(shelf), IMAGE, (ADMISSION_BUNDLE,), created=later, sleep=lambda _: None)
    assert len(shelf.manifests) == 2
    assert records(shelf) == {ADMISSION_BUNDLE.record}
