"""What every kind of place promises, held against every kind. See `registries/registry.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from registries.checked import checked
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import Refusal, TagMoved, UsageError
from registries.limits import CHUNK_BYTES
from registries.manifest import DOCKER_LIST, DOCKER_MANIFEST, EMPTY, EMPTY_CONTENT, OCI_MANIFEST, Manifest
from registries.registry import Location, Mounting
from registries.strict_json import dumps
from tests.images import Image, blob, image, index, manifest_value, push_blob, referrer

LARGE = bytes(range(256)) * (3 * CHUNK_BYTES // 256) + b"the end"


@dataclass(frozen=True)
class Place:
    """A fresh repository, and a way to change what it stores behind its back."""

    location: Location
    overwrite: Callable[[Digest, bytes], None]

    @property
    def beside(self) -> Location:
        """Another repository of the same registry."""
        return Location(self.location.registry, f"{self.location.repository}-other")


@contextlib.contextmanager
def memory(_: Path) -> Iterator[Place]:
    from registries.kinds.memory import MemoryRegistry

    registry = MemoryRegistry()

    def overwrite(digest: Digest, content: bytes) -> None:
        held = registry.repositories["team/image"]
        (held.manifests if digest in held.manifests else held.blobs)[digest] = content

    yield Place(Location(registry, "team/image"), overwrite)


@contextlib.contextmanager
def layout(root: Path) -> Iterator[Place]:
    from registries.kinds.layout import LayoutRegistry

    registry = LayoutRegistry.create(root / "layout")
    yield Place(Location(registry, ""), lambda digest, content: _write(registry.blob_path(digest), content))


@contextlib.contextmanager
def http(root: Path) -> Iterator[Place]:
    from registries.kinds.http import http_registry
    from registries.kinds.layout import Layout
    from registries.server import serve_in_thread

    stored = Layout(root / "team" / "image" / "_oci")
    with serve_in_thread(root) as host:
        registry = http_registry(host, environment={})
        yield Place(Location(registry, "team/image"), lambda digest, content: _write(stored.blob_path(digest), content))


KINDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Place]]] = {
    "memory": memory,
    "layout": layout,
    "http": http,
}


@pytest.fixture(params=sorted(KINDS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with KINDS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture
def location(place: Place) -> Location:
    return place.location


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def read(location: Location, descriptor: Descriptor) -> bytes:
    return b"".join(location.registry.blob(location.repository, descriptor))


def parsed(content: bytes, algorithm: str = "sha256") -> Manifest:
    return Manifest.from_bytes(content, algorithm=algorithm)


def prepare(location: Location) -> None:
    push_blob(location, EMPTY, EMPTY_CONTENT)


# blobs


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "one byte", "several chunks"])
def test_a_blob_comes_back_as_it_was_pushed(location: Location, content: bytes) -> None:
    descriptor = blob(content)
    push_blob(location, descriptor, content)
    assert read(location, descriptor) == content
    assert location.registry.holds(location.repository, descriptor)


def test_a_blob_may_be_pushed_in_chunks_of_any_size(location: Location) -> None:
    chunks = (b"", b"a", LARGE, b"", b"z")
    descriptor = blob(b"".join(chunks))
    location.registry.push_blob(location.repository, descriptor, lambda: chunks)
    assert read(location, descriptor) == b"".join(chunks)


def test_a_blob_with_a_sha512_digest_is_kept_under_it(location: Location) -> None:
    digest = Digest.of(b"long", "sha512")
    descriptor = Descriptor(media_type="text/plain", digest=digest, size=4)
    push_blob(location, descriptor, b"long")
    assert read(location, descriptor) == b"long"


def test_pushing_a_blob_twice_is_pushing_it_once(location: Location) -> None:
    for _ in range(2):
        push_blob(location, blob(b"same"), b"same")
    assert read(location, blob(b"same")) == b"same"


def test_a_blob_that_nobody_pushed_is_not_found(location: Location) -> None:
    assert code(lambda: read(location, blob(b"absent"))) == "blob-not-found"
    assert not location.registry.holds(location.repository, blob(b"absent"))
    prepare(location)
    assert code(lambda: read(location, blob(b"absent"))) == "blob-not-found"


@pytest.mark.parametrize(
    ("sent", "expected"), [(b"other", "digest-mismatch"), (b"shor", "size-mismatch"), (b"longer", "size-mismatch")]
)
def test_bytes_that_are_not_what_was_announced_are_not_stored(location: Location, sent: bytes, expected: str) -> None:
    descriptor = blob(b"right")
    assert code(lambda: push_blob(location, descriptor, sent)) == expected
    assert not location.registry.holds(location.repository, descriptor)
    assert not location.registry.holds(location.repository, blob(sent))


def test_a_source_that_fails_on_the_way_leaves_nothing_behind(location: Location) -> None:
    class SourceFailed(Exception):
        pass

    def chunks() -> Iterator[bytes]:
        yield LARGE[:100]
        raise SourceFailed

    with pytest.raises(SourceFailed):
        location.registry.push_blob(location.repository, blob(LARGE), chunks)
    assert not location.registry.holds(location.repository, blob(LARGE))


def test_a_copy_that_meets_wrong_bytes_leaves_nothing_behind(location: Location) -> None:
    descriptor = blob(LARGE)
    wrong = LARGE[:-1] + b"!"
    chunks = lambda: checked([wrong], descriptor.digest, descriptor.size)  # noqa: E731
    assert code(lambda: location.registry.push_blob(location.repository, descriptor, chunks)) == "digest-mismatch"
    assert not location.registry.holds(location.repository, descriptor)


@pytest.mark.parametrize("size", [0, 4, 6])
def test_a_descriptor_that_lies_about_the_size_gets_no_blob(location: Location, size: int) -> None:
    push_blob(location, blob(b"right"), b"right")
    lying = Descriptor(media_type="text/plain", digest=Digest.of(b"right"), size=size)
    assert code(lambda: read(location, lying)) == "size-mismatch"
    assert not location.registry.holds(location.repository, lying)


@pytest.mark.parametrize(
    ("stored", "expected"), [(b"wrong", "digest-mismatch"), (b"rig", "size-mismatch"), (b"", "size-mismatch")]
)
def test_a_blob_that_was_changed_where_it_is_stored_is_never_returned(
    place: Place, stored: bytes, expected: str
) -> None:
    push_blob(place.location, blob(b"right"), b"right")
    place.overwrite(Digest.of(b"right"), stored)
    assert code(lambda: read(place.location, blob(b"right"))) == expected


def test_a_blob_of_which_only_a_part_is_left_does_not_count_as_held(place: Place) -> None:
    push_blob(place.location, blob(LARGE), LARGE)
    place.overwrite(Digest.of(LARGE), b"")
    assert not place.location.registry.holds(place.location.repository, blob(LARGE))
    push_blob(place.location, blob(LARGE), LARGE)
    assert place.location.registry.holds(place.location.repository, blob(LARGE))


def test_many_threads_read_and_write_at_once(location: Location) -> None:
    contents = [f"{number}".encode() * 5000 for number in range(16)]

    def push(content: bytes) -> bytes:
        push_blob(location, blob(content), content)
        return read(location, blob(content))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(push, contents)) == contents


# manifests


def test_a_manifest_keeps_its_exact_bytes(location: Location) -> None:
    odd = image(("linux/amd64",), spaces=3)
    odd.push(location, "odd")
    found = location.registry.manifest(location.repository, odd.digest)
    assert found == odd.manifest
    assert found.content.startswith(b"   {")
    assert location.registry.resolve(location.repository, "odd") == odd.digest


def test_an_index_with_odd_white_space_and_unknown_fields_keeps_its_exact_bytes(location: Location) -> None:
    odd = index(*(image((name,)) for name in ("linux/amd64", "linux/arm64")), spaces=5, unknown={"kept": [1.5, None]})
    odd.push(location)
    assert location.registry.manifest(location.repository, odd.digest).content == odd.manifest.content


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, DOCKER_LIST])
def test_a_docker_manifest_is_not_converted(location: Location, media_type: str) -> None:
    prepare(location)
    value = manifest_value(mediaType=media_type)
    if media_type == DOCKER_LIST:
        value = {"schemaVersion": 2, "mediaType": media_type, "manifests": []}
    manifest = parsed(dumps(value))
    location.registry.push_manifest(location.repository, manifest)
    assert location.registry.manifest(location.repository, manifest.digest) == manifest


def test_a_manifest_with_a_sha512_digest_is_kept_under_it(location: Location) -> None:
    prepare(location)
    manifest = parsed(dumps(manifest_value()), "sha512")
    location.registry.push_manifest(location.repository, manifest)
    assert location.registry.manifest(location.repository, manifest.digest) == manifest


def test_a_manifest_that_nobody_pushed_is_not_found(location: Location) -> None:
    absent = Digest.of(b"absent")
    assert code(lambda: location.registry.manifest(location.repository, absent)) == "image-not-found"
    assert code(lambda: location.registry.resolve(location.repository, "absent")) == "image-not-found"
    image().push(location)
    assert code(lambda: location.registry.manifest(location.repository, absent)) == "image-not-found"
    assert code(lambda: location.registry.resolve(location.repository, "absent")) == "image-not-found"


def test_a_blob_that_reads_like_a_manifest_is_none(location: Location) -> None:
    content = dumps(manifest_value())
    push_blob(location, blob(content), content)
    assert code(lambda: location.registry.manifest(location.repository, Digest.of(content))) == "image-not-found"


@pytest.mark.parametrize("changed", [b"{}", b"", dumps(manifest_value(annotations={"evil": "yes"}))])
def test_a_manifest_that_was_changed_where_it_is_stored_is_never_returned(place: Place, changed: bytes) -> None:
    location = place.location
    made = image(("linux/amd64",)).push(location, "v1")
    place.overwrite(made.digest, changed)
    with pytest.raises(Refusal):
        location.registry.manifest(location.repository, made.digest)


def test_pushing_a_manifest_twice_is_pushing_it_once(location: Location) -> None:
    made = image()
    made.push(location, "v1")
    made.push(location)
    assert location.registry.tags(location.repository) == ("v1",)
    assert location.registry.manifest(location.repository, made.digest) == made.manifest


# tags


def test_a_tag_points_where_it_was_put(location: Location) -> None:
    first = image(seed="first").push(location, "v1")
    assert location.registry.resolve(location.repository, "v1") == first.digest


def test_a_tag_moves_only_from_where_it_was_expected(location: Location) -> None:
    first, second = (image(seed=seed).push(location) for seed in ("first", "second"))

    def tag(made: Image, expected: Digest | None) -> None:
        location.registry.tag(location.repository, "v1", made.manifest, expected=expected)

    tag(first, None)
    for expected in (None, Digest.of(b"elsewhere")):
        with pytest.raises(TagMoved) as error:
            tag(second, expected)
        assert error.value.code == "tag-conflict"
        assert location.registry.resolve(location.repository, "v1") == first.digest
    tag(second, first.digest)
    assert location.registry.resolve(location.repository, "v1") == second.digest
    with pytest.raises(TagMoved):
        tag(first, first.digest)
    assert location.registry.manifest(location.repository, first.digest) == first.manifest


def test_a_tag_that_is_expected_somewhere_must_exist(location: Location) -> None:
    made = image().push(location)
    with pytest.raises(TagMoved) as error:
        location.registry.tag(location.repository, "v1", made.manifest, expected=Digest.of(b"gone"))
    assert error.value.code == "tag-conflict"
    assert location.registry.tags(location.repository) == ()


@pytest.mark.parametrize("expected", [None, Digest.of(b"elsewhere")])
def test_a_tag_that_is_there_already_is_left_as_it_is(location: Location, expected: Digest | None) -> None:
    made = image().push(location, "v1")
    location.registry.tag(location.repository, "v1", made.manifest, expected=expected)
    assert location.registry.resolve(location.repository, "v1") == made.digest


def test_of_many_who_want_to_be_first_one_is(location: Location) -> None:
    made = [image(("linux/amd64",), seed=str(number)).push(location) for number in range(6)]

    def claim(number: int) -> bool:
        try:
            location.registry.tag(location.repository, "v1", made[number].manifest, expected=None)
        except TagMoved:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(claim, range(6)))
    assert sum(won) == 1
    assert location.registry.resolve(location.repository, "v1") == made[won.index(True)].digest


def test_tags_are_sorted_and_a_place_without_any_has_none(place: Place) -> None:
    location = place.location
    assert location.registry.tags(location.repository) == ()
    for name in ("v2", "Z", "v10", "_"):
        image(("linux/amd64",)).push(location, name)
    assert location.registry.tags(location.repository) == ("Z", "_", "v10", "v2")


@pytest.mark.parametrize("tag", ["", "-v1", "v 1", "a" * 129, "../x", "v1\n", "é"])
def test_a_name_that_is_no_tag_is_refused(location: Location, tag: str) -> None:
    made = image().push(location)
    with pytest.raises(UsageError) as error:
        location.registry.tag(location.repository, tag, made.manifest, expected=None)
    assert error.value.code == "reference-malformed"
    assert location.registry.tags(location.repository) == ()


# referrers


def test_nobody_refers_to_an_unknown_digest(location: Location) -> None:
    assert location.registry.referrers(location.repository, Digest.of(b"absent")) == ()
    made = image().push(location)
    assert location.registry.referrers(location.repository, made.digest) == ()


def test_a_manifest_with_a_subject_is_listed_as_its_referrer(location: Location) -> None:
    made = image().push(location)
    note = referrer(made.manifest, annotations={"by": "me"}).push(location)
    (listed,) = location.registry.referrers(location.repository, made.digest)
    assert listed == note.manifest.listed
    assert (listed.artifact_type, listed.annotations) == ("application/vnd.test.note", {"by": "me"})


def test_referrers_of_referrers_are_listed_each_under_its_own_subject(location: Location) -> None:
    made = image().push(location)
    note = referrer(made.manifest).push(location)
    answer = referrer(note.manifest, b"an answer").push(location)
    assert [item.digest for item in location.registry.referrers(location.repository, made.digest)] == [note.digest]
    assert [item.digest for item in location.registry.referrers(location.repository, note.digest)] == [answer.digest]


def test_an_index_can_refer_to_an_image(location: Location) -> None:
    made = image().push(location)
    listing = index(image(("linux/s390x",)), subject=made.manifest.descriptor.json()).push(location)
    assert [item.digest for item in location.registry.referrers(location.repository, made.digest)] == [listing.digest]


def test_the_subject_of_a_referrer_may_come_later_or_never(location: Location) -> None:
    made = image()
    note = referrer(made.manifest).push(location)
    assert [item.digest for item in location.registry.referrers(location.repository, made.digest)] == [note.digest]


def test_a_referrer_is_listed_once_however_often_it_is_pushed(location: Location) -> None:
    made = image().push(location)
    for _ in range(3):
        referrer(made.manifest).push(location)
    assert len(location.registry.referrers(location.repository, made.digest)) == 1


def test_no_referrer_of_many_writers_is_lost(location: Location) -> None:
    made = image().push(location)
    notes = [referrer(made.manifest, f"note {number}".encode()) for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda note: note.push(location), notes))
    listed = {item.digest for item in location.registry.referrers(location.repository, made.digest)}
    assert listed == {note.digest for note in notes}


def test_what_a_fallback_tag_lists_is_listed_too(location: Location) -> None:
    made = image().push(location)
    own = referrer(made.manifest, b"own").push(location)
    stranger = image(("linux/amd64",), seed="stranger")
    listing = index(stranger)
    listing.push(location, f"sha256-{made.digest.hex}")
    listed = {item.digest for item in location.registry.referrers(location.repository, made.digest)}
    assert listed == {own.digest, stranger.digest}


# several repositories


def test_what_one_repository_holds_another_one_does_not(place: Place) -> None:
    if not isinstance(place.location.registry, Mounting):
        assert place.location.repository == ""  # it has one repository only
        return
    made = image().push(place.location, "v1")
    other = place.beside
    assert code(lambda: other.registry.manifest(other.repository, made.digest)) == "image-not-found"
    assert not any(other.registry.holds(other.repository, descriptor) for descriptor, _ in made.blobs)
    assert other.registry.tags(other.repository) == ()


def test_a_mounted_blob_can_be_read_and_an_absent_one_is_not_mounted(place: Place) -> None:
    location, other = place.location, place.beside
    if not isinstance(location.registry, Mounting):
        assert location.repository == ""  # there is nothing to mount from
        return
    push_blob(other, blob(b"shared"), b"shared")
    assert location.registry.mount(location.repository, blob(b"shared"), other.repository)
    assert read(location, blob(b"shared")) == b"shared"
    assert not location.registry.mount(location.repository, blob(b"absent"), other.repository)
    assert not location.registry.holds(location.repository, blob(b"absent"))


def test_a_place_has_a_name_that_people_can_read(location: Location) -> None:
    assert location.registry.name
    assert str(location).startswith(location.registry.name)
    assert OCI_MANIFEST not in location.at(Digest.of(b""))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
