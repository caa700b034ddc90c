from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from registries.copy import Moved, Transfer, copy_content, copy_image, plan_copy, platforms, tree
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Refusal, Unavailable, UsageError
from registries.kinds.layout import LayoutRegistry
from registries.kinds.memory import MemoryRegistry, Repository
from registries.limits import CHUNK_BYTES, INDEX_DEPTH, MANIFESTS_PER_IMAGE, REFERRER_DEPTH, REFERRERS
from registries.manifest import DOCKER_LIST, DOCKER_MANIFEST, EMPTY, EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST, Manifest
from registries.presence import is_whole
from registries.read_only import ReadOnly
from registries.registry import Location
from registries.shelf import Shelf
from registries.strict_json import dumps
from registries.tree import MANIFEST_BYTES_TOGETHER
from tests.bent import Bent
from tests.images import (
    CONFIG_TYPE,
    LAYER_TYPE,
    Image,
    attestation,
    blob,
    image,
    index,
    index_value,
    manifest_value,
    push_blob,
    referrer,
)


@pytest.fixture
def source() -> Location:
    return Location(MemoryRegistry("source.test:5000"), "team/image")


@pytest.fixture
def destination() -> Location:
    return Location(MemoryRegistry("destination.test:5000"), "prod/image")


def held(location: Location) -> Repository:
    registry = location.registry
    assert isinstance(registry, MemoryRegistry)
    return registry.repositories[location.repository]


def bent(location: Location) -> tuple[Bent, Location]:
    registry = Bent(location.registry)
    return registry, Location(registry, location.repository)


def copy(subject: Digest, source: Location, destination: Location, *, more: tuple[Location, ...] = ()) -> Moved:
    return copy_image(plan_copy(subject, source, destination, more_sources=more))


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def parsed(value: dict[str, object]) -> Manifest:
    return Manifest.from_bytes(dumps(value))


def interrupt() -> None:
    raise KeyboardInterrupt


def force(location: Location, manifest: Manifest) -> Manifest:
    """Put a manifest there without what it refers to, as an attacker's registry would."""
    held(location).manifests[manifest.digest] = manifest.content
    return manifest


def listed(location: Location, subject: Digest) -> set[Digest]:
    return {entry.digest for entry in location.registry.referrers(location.repository, subject)}


# the tree


def test_an_index_is_read_with_all_its_platforms(source: Location) -> None:
    made = image(("linux/amd64", "linux/arm/v7")).push(source)
    found = tree(source, made.digest)
    assert found.manifest == made.manifest
    assert found.manifests == {manifest.digest: manifest for manifest in made.manifests}
    assert platforms(source, found) == made.platforms
    assert {item.digest for item in found.blobs} == {descriptor.digest for descriptor, _ in made.blobs}


def test_an_image_without_an_index_names_its_platform_itself(source: Location) -> None:
    made = image(("linux/arm64/v8",)).push(source)
    assert platforms(source, tree(source, made.digest)) == made.platforms


@pytest.mark.parametrize("config", [b"{}", b"no json", b'{"os":1}', b'{"os":"linux","os":"other"}'])
def test_a_configuration_that_names_no_platform_is_no_error(source: Location, config: bytes) -> None:
    push_blob(source, blob(config, CONFIG_TYPE), config)
    made = force(source, parsed(manifest_value(blob(config, CONFIG_TYPE))))
    assert [platform.name for platform in platforms(source, tree(source, made.digest))] == ["unknown"]


def test_an_attestation_in_an_index_is_no_platform(source: Location) -> None:
    platform = image(("linux/amd64",))
    made = index(platform, attestation(), names=("linux/amd64", "unknown/unknown")).push(source)
    found = tree(source, made.digest)
    assert platforms(source, found) == platform.platforms
    assert len(found.manifests) == 3


def test_an_image_that_is_called_unknown_is_a_platform_all_the_same(source: Location) -> None:
    """Whoever writes an index could otherwise hide an image from every scan by its name."""
    hidden = image(("linux/amd64",))
    made = index(hidden, names=("unknown/unknown",)).push(source)
    assert [platform.manifest for platform in platforms(source, tree(source, made.digest))] == [hidden.digest]


def test_a_child_that_is_listed_twice_is_one_child(source: Location) -> None:
    child = image(("linux/amd64",))
    made = index(child, child).push(source)
    assert len(tree(source, made.digest).manifests) == 2


def test_an_image_that_is_not_there_is_not_found(source: Location) -> None:
    assert code(lambda: tree(source, Digest.of(b"absent"))) == "image-not-found"


def test_a_child_that_is_not_there_is_not_found(source: Location) -> None:
    made = image().push(source)
    del held(source).manifests[made.manifests[0].digest]
    assert code(lambda: tree(source, made.digest)) == "image-not-found"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"size": 1}, "size-mismatch"),
        ({"mediaType": OCI_INDEX}, "media-type-confusion"),
        ({"mediaType": DOCKER_MANIFEST}, "media-type-confusion"),
        ({"urls": ["https://evil.test/"]}, "foreign-layer-refused"),
    ],
)
@pytest.mark.parametrize("others", ["none", "before", "after"])
def test_a_child_must_be_what_its_descriptor_promises(
    source: Location, change: dict[str, object], expected: str, others: str
) -> None:
    child = image(("linux/amd64",)).push(source)
    true = child.manifest.descriptor.json()
    lie = {**true, **change}
    lying = force(source, parsed(index_value({"none": [lie], "before": [true, lie], "after": [lie, true]}[others])))
    assert code(lambda: tree(source, lying.digest)) == expected


def test_a_child_that_breaks_its_promise_is_noticed_before_the_next_one_is_read(source: Location) -> None:
    """The sizes that are promised are the ones that are added up against the limit."""
    child = image(("linux/amd64",)).push(source)
    absent = image(("linux/arm64",)).manifest.descriptor
    lying = force(source, parsed(index_value([{**child.manifest.descriptor.json(), "size": 1}, absent.json()])))
    assert code(lambda: tree(source, lying.digest)) == "size-mismatch"


def test_two_descriptors_of_one_blob_must_agree_about_its_size(source: Location) -> None:
    layer = blob(b"layer")
    lying = force(source, parsed(manifest_value(layers=[layer, replace(layer, size=6)])))
    assert code(lambda: tree(source, lying.digest)) == "size-mismatch"


def nested(depth: int) -> Image:
    made = image(("linux/amd64",))
    for number in range(depth):
        made = index(made, spaces=number)
    return made


def test_t055_indexes_are_read_to_the_depth_limit_and_refused_one_beyond(source: Location) -> None:
    assert len(tree(source, nested(INDEX_DEPTH).push(source).digest).manifests) == INDEX_DEPTH + 1
    deep = nested(INDEX_DEPTH + 1).push(source)
    assert code(lambda: tree(source, deep.digest)) == "limit-exceeded"


def many(location: Location, number: int) -> list[Manifest]:
    push_blob(location, EMPTY, EMPTY_CONTENT)
    return [force(location, parsed(manifest_value(annotations={"number": str(n)}))) for n in range(number)]


def over(location: Location, children: list[Manifest]) -> Manifest:
    return force(location, parsed(index_value([child.descriptor.json() for child in children])))


def test_t055_manifests_are_read_to_the_number_limit_and_refused_one_beyond(source: Location) -> None:
    children = many(source, MANIFESTS_PER_IMAGE)
    half = MANIFESTS_PER_IMAGE // 2
    full = over(source, [over(source, children[:half]), over(source, children[half : MANIFESTS_PER_IMAGE - 3])])
    assert len(tree(source, full.digest).manifests) == MANIFESTS_PER_IMAGE
    too_full = over(source, [over(source, children[:half]), over(source, children[half : MANIFESTS_PER_IMAGE - 2])])
    assert code(lambda: tree(source, too_full.digest)) == "limit-exceeded"


def test_t055_all_manifests_together_have_a_limit_in_bytes_too(source: Location) -> None:
    push_blob(source, EMPTY, EMPTY_CONTENT)
    large = 4_000_000
    number = MANIFEST_BYTES_TOGETHER // large + 1
    children = [force(source, parsed(manifest_value(annotations={str(count): "x" * large}))) for count in range(number)]
    assert len(tree(source, over(source, children[:-1]).digest).manifests) == number
    too_large = over(source, children)
    registry, place = bent(source)
    assert code(lambda: tree(place, too_large.digest)) == "size-limit"
    assert registry.count("manifest") == 1


def test_t055_every_manifest_of_a_lattice_is_fetched_once(source: Location) -> None:
    """Each level lists both manifests of the level below twice: 2**n paths, 2n manifests."""
    level = [image(("linux/amd64",), seed=seed) for seed in "ab"]
    for number in range(INDEX_DEPTH):
        level = [index(*level, *level, spaces=2 * number + side) for side in range(2)]
    for item in level:
        item.push(source)
    registry, place = bent(source)
    tree(place, level[0].digest)
    assert registry.count("manifest") == 2 * INDEX_DEPTH + 1


@dataclass
class Liar(Bent):
    """Answers with another manifest than the one that was asked for, and calls it by the right name."""

    instead: dict[Digest, Digest] = field(default_factory=dict)

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        found = self.inner.manifest(repository, self.instead.get(digest, digest))
        return replace(found, digest=digest)


def test_t056_a_child_that_is_its_own_parent_ends_somewhere(source: Location) -> None:
    made = image().push(source)
    liar = Liar(source.registry, instead={made.manifests[0].digest: made.digest})
    assert code(lambda: tree(Location(liar, source.repository), made.digest)) in {"size-mismatch", "limit-exceeded"}


FOREIGN = [
    Descriptor(media_type=LAYER_TYPE, digest=Digest.of(b"f"), size=1, urls=("https://canary.test/layer",)),
    blob(b"f", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    blob(b"f", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
]


@pytest.mark.parametrize("layer", FOREIGN, ids=["urls", "nondistributable", "foreign"])
def test_t058_a_layer_that_is_kept_elsewhere_is_refused_and_not_fetched(
    source: Location, destination: Location, layer: Descriptor
) -> None:
    entry = {**layer.json(), "urls": list(layer.urls)}
    made = force(source, parsed({**manifest_value(), "layers": [entry]}))
    registry, place = bent(source)
    assert code(lambda: plan_copy(made.digest, place, destination)) == "foreign-layer-refused"
    assert registry.count("blob") == 0
    assert held(destination) == Repository()


def test_a_registry_in_memory_takes_nothing_that_lacks_its_parts(source: Location) -> None:
    made = image()
    for manifest in made.manifests:
        with pytest.raises(ContentError) as error:
            source.registry.push_manifest(source.repository, manifest)
        assert error.value.code == "destination-incomplete"
    assert held(source).manifests == {}


# what is planned


def test_a_plan_says_what_would_move_and_writes_nothing(source: Location, destination: Location) -> None:
    made = image(seed="planned").push(source)
    note = referrer(made.manifest).push(source)
    plan = plan_copy(made.digest, source, Location(ReadOnly(destination.registry), destination.repository))
    assert plan.manifests == (*made.manifests, *note.manifests)
    blobs = {descriptor.digest: descriptor.size for descriptor, _ in (*made.blobs, *note.blobs)}
    assert {move.descriptor.digest: move.descriptor.size for move in plan.blobs} == blobs
    assert (plan.bytes, plan.mounts) == (sum(blobs.values()), 0)
    assert plan.requests >= 3 * len(plan.blobs) + 2 * len(plan.manifests)
    assert (plan.present, plan.skipped, plan.legacy) == ((), (), ())
    assert not plan.is_empty
    assert held(destination) == Repository()


def test_a_plan_leaves_out_what_is_there_already(source: Location, destination: Location) -> None:
    made = image().push(source)
    descriptor, content = made.blobs[0]
    push_blob(destination, descriptor, content)
    plan = plan_copy(made.digest, source, destination)
    assert descriptor.digest not in {move.descriptor.digest for move in plan.blobs}
    assert plan.present == (descriptor,)


def test_an_image_is_not_copied_onto_itself(source: Location) -> None:
    made = image().push(source, f"sha256-{'a' * 64}.sig")
    referrer(made.manifest).push(source)
    registry, place = bent(source)
    plan = plan_copy(made.digest, place, place, more_sources=(place,))
    assert {method for method, _ in registry.calls} == {"manifest"}
    assert plan.is_empty
    assert (plan.blobs, plan.manifests, plan.bytes, plan.requests) == ((), (), 0, 0)
    assert copy_image(plan) == Moved(manifests=0, blobs=0, bytes=0, mounted=0)


def test_an_image_that_is_there_already_still_gets_what_hangs_on_it_elsewhere(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    made.push(destination)
    note = referrer(made.manifest).push(destination)
    moved = copy(made.digest, source, source, more=(destination,))
    assert moved.manifests == 1
    assert listed(source, made.digest) == {note.digest}


def test_a_write_through_a_registry_that_is_read_only_is_refused(source: Location, destination: Location) -> None:
    made = image().push(source)
    sealed = ReadOnly(destination.registry)
    with pytest.raises(UsageError) as error:
        copy(made.digest, source, Location(sealed, destination.repository))
    assert error.value.code == "write-in-dry-run"
    for write in (
        lambda: sealed.push_manifest("a", made.manifest),
        lambda: sealed.tag("a", "v1", made.manifest, expected=None),
        lambda: sealed.mount("a", made.blobs[0][0], "b"),
    ):
        assert code(write) == "write-in-dry-run"
    assert held(destination) == Repository()


def test_a_registry_that_is_read_only_answers_like_the_one_behind_it(source: Location) -> None:
    made = image().push(source, "v1")
    note = referrer(made.manifest).push(source)
    descriptor, content = made.blobs[0]
    sealed, repository = ReadOnly(source.registry), source.repository
    assert sealed.name == source.registry.name
    assert sealed.resolve(repository, "v1") == made.digest
    assert sealed.manifest(repository, made.digest) == made.manifest
    assert b"".join(sealed.blob(repository, descriptor)) == content
    assert sealed.holds(repository, descriptor)
    assert [entry.digest for entry in sealed.referrers(repository, made.digest)] == [note.digest]
    assert sealed.tags(repository) == ("v1",)


# what arrives


def test_an_index_arrives_whole(source: Location, destination: Location) -> None:
    made = index(
        image(("linux/amd64",)), image(("linux/arm64",)), attestation(), names=("linux/amd64", "linux/arm64")
    ).push(source)
    moved = copy(made.digest, source, destination)
    assert (moved.manifests, moved.blobs, moved.mounted) == (4, 8, 0)
    assert moved.bytes == sum(descriptor.size for descriptor, _ in made.blobs)
    assert held(destination).manifests == held(source).manifests
    assert held(destination).blobs == held(source).blobs


def test_t052_odd_white_space_and_unknown_fields_arrive_as_they_are(source: Location, destination: Location) -> None:
    children = [image((name,), spaces=7) for name in ("linux/amd64", "linux/arm64")]
    made = index(*children, spaces=3, unknown=["kept"]).push(source)
    copy(made.digest, source, destination)
    assert destination.registry.manifest(destination.repository, made.digest).content == made.manifest.content
    assert made.manifest.content.endswith(b"]}   ")


def test_t053_a_docker_image_arrives_as_a_docker_image(source: Location, destination: Location) -> None:
    push_blob(source, EMPTY, EMPTY_CONTENT)
    child = force(source, parsed(manifest_value(mediaType=DOCKER_MANIFEST)))
    made = force(source, parsed({**index_value([child.descriptor.json()]), "mediaType": DOCKER_LIST}))
    copy(made.digest, source, destination)
    assert held(destination).manifests == {item.digest: item.content for item in (child, made)}


def test_an_image_goes_from_memory_to_a_layout_and_back(
    source: Location, destination: Location, tmp_path: Path
) -> None:
    made = image().push(source)
    note = referrer(made.manifest).push(source)
    between = Location(LayoutRegistry.create(tmp_path / "layout"), "")
    copy(made.digest, source, between)
    copy(made.digest, between, destination)
    assert held(destination).manifests == held(source).manifests
    assert listed(destination, made.digest) == {note.digest}


def test_the_same_blob_moves_once_however_often_it_is_named(source: Location, destination: Location) -> None:
    push_blob(source, EMPTY, EMPTY_CONTENT)
    children = many(source, 5)
    made = over(source, children)
    registry, place = bent(destination)
    assert copy(made.digest, source, place).blobs == 1
    assert registry.count("push_blob") == 1


def test_a_second_copy_writes_nothing(source: Location, destination: Location) -> None:
    made = image().push(source)
    referrer(referrer(made.manifest).push(source).manifest, b"an answer").push(source)
    legacy(source, made.digest, ".att")
    first = copy(made.digest, source, destination)
    registry, place = bent(destination)
    plan = plan_copy(made.digest, source, place)
    assert first.manifests > 0
    assert plan.is_empty
    assert copy_image(plan) == Moved(manifests=0, blobs=0, bytes=0, mounted=0)
    assert registry.writes == []


def test_t131_a_copy_that_was_broken_off_is_completed(source: Location, destination: Location) -> None:
    made = image().push(source)
    referrer(made.manifest).push(source)
    plan = plan_copy(made.digest, source, destination)
    writes = [("push_blob", n) for n in range(len(plan.blobs))] + [("push_manifest", n) for n in range(4)]
    for method, number in writes:
        fresh = Location(MemoryRegistry(), "app")
        registry, place = bent(fresh)
        registry.before(number + 1, method, interrupt)
        with pytest.raises(KeyboardInterrupt):
            copy_image(plan_copy(made.digest, source, place), jobs=1)
        copy(made.digest, source, fresh)
        assert held(fresh) == held(source)


# the order


def test_children_go_before_the_index_and_the_image_before_what_hangs_on_it(
    source: Location, destination: Location
) -> None:
    made = nested(3).push(source)
    note = referrer(made.manifest).push(source)
    answer = referrer(note.manifest, b"an answer").push(source)
    early = referrer(made.manifests[0], b"on the platform").push(source)
    plan = plan_copy(made.digest, source, destination)
    order = [manifest.digest for manifest in plan.manifests]
    assert order[:4] == [manifest.digest for manifest in made.manifests]
    assert set(order[4:6]) == {note.digest, early.digest}
    assert order[6:] == [answer.digest]
    assert [len(wave) for wave in plan.content] == [1, 1, 1, 1]
    assert [len(wave) for wave in plan.hanging] == [2, 1]


def test_a_manifest_that_is_child_and_grandchild_goes_before_both_its_parents(
    source: Location, destination: Location
) -> None:
    leaf = image(("linux/amd64",))
    made = index(leaf, index(leaf)).push(source)
    copy(made.digest, source, destination)
    assert held(destination).manifests == held(source).manifests


def test_a_platform_that_hangs_on_what_hangs_on_the_image_makes_no_circle(
    source: Location, destination: Location
) -> None:
    """A descriptor in a manifest can't lead in a circle, but a tag can lead back."""
    other = image(("linux/amd64",), seed="other").push(source)
    push_blob(source, EMPTY, EMPTY_CONTENT)
    child = force(source, parsed(manifest_value(subject=other.manifest.descriptor.json())))
    made = over(source, [child])
    held(source).tags[f"sha256-{made.digest.hex}.att"] = other.digest
    copy(made.digest, source, destination)
    assert held(destination) == held(source)


def test_an_index_that_hangs_on_the_image_brings_its_children(source: Location, destination: Location) -> None:
    made = image().push(source)
    report = index(image(("linux/s390x",), seed="report"), subject=made.manifest.descriptor.json()).push(source)
    copy(made.digest, source, destination)
    assert held(destination).manifests == held(source).manifests
    assert listed(destination, made.digest) == {report.digest}


# wrong bytes


@pytest.mark.parametrize("number", range(6))
def test_t095_a_byte_changed_in_any_blob_at_the_source_is_refused_before_any_manifest(
    source: Location, destination: Location, number: int
) -> None:
    made = image().push(source)
    descriptor, content = made.blobs[number]
    held(source).blobs[descriptor.digest] = content[:-1] + bytes([content[-1] ^ 1])
    assert code(lambda: copy(made.digest, source, destination)) == "digest-mismatch"
    assert held(destination).manifests == {}
    assert descriptor.digest not in held(destination).blobs


@pytest.mark.parametrize("change", [b"", b"x"], ids=["shorter", "longer"])
def test_t054_a_blob_of_another_size_is_refused_before_any_manifest(
    source: Location, destination: Location, change: bytes
) -> None:
    made = image().push(source)
    descriptor, content = made.blobs[1]
    held(source).blobs[descriptor.digest] = content + change if change else content[:-1]
    assert code(lambda: copy(made.digest, source, destination)) == "size-mismatch"
    assert held(destination).manifests == {}


@pytest.mark.parametrize("number", range(3))
def test_a_byte_changed_in_any_manifest_at_the_source_is_refused(
    source: Location, destination: Location, number: int
) -> None:
    made = image().push(source)
    manifest = made.manifests[number]
    held(source).manifests[manifest.digest] = manifest.content + b" "
    assert code(lambda: plan_copy(made.digest, source, destination)) == "digest-mismatch"
    assert held(destination) == Repository()


def test_a_blob_that_is_not_there_stops_the_copy_before_any_manifest(source: Location, destination: Location) -> None:
    made = image().push(source)
    del held(source).blobs[made.blobs[0][0].digest]
    plan = plan_copy(made.digest, source, destination)
    assert code(lambda: copy_image(plan)) == "blob-not-found"
    assert held(destination).manifests == {}


@dataclass
class Forgetful(Bent):
    """Confirms everything and keeps some of it badly."""

    loses_blobs: bool = False
    loses_manifests: bool = False
    rewrites: bool = False
    mounts_nothing: bool = False
    mounted: list[Digest] = field(default_factory=list)

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        if not self.loses_blobs:
            super().push_blob(repository, descriptor, chunks)

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        if not self.loses_manifests:
            super().push_manifest(repository, manifest)

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        found = super().manifest(repository, digest)
        return replace(found, content=found.content + b" ") if self.rewrites else found

    def mount(self, repository: str, descriptor: Descriptor, source: str) -> bool:
        self.mounted.append(descriptor.digest)
        assert isinstance(self.inner, MemoryRegistry)
        return self.mounts_nothing or self.inner.mount(repository, descriptor, source)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("loses_blobs", "destination-incomplete"),
        ("loses_manifests", "destination-incomplete"),
        ("rewrites", "destination-altered"),
    ],
)
def test_t052_t064_a_destination_that_only_says_yes_is_noticed(
    source: Location, destination: Location, fault: str, expected: str
) -> None:
    made = image().push(source)
    bad = Forgetful(destination.registry)
    plan = plan_copy(made.digest, source, Location(bad, destination.repository))
    setattr(bad, fault, True)
    assert code(lambda: copy_image(plan)) == expected
    assert (bad.count("push_manifest") == 0) == (fault in ("loses_blobs", "loses_manifests"))


def test_a_destination_with_damaged_content_is_repaired(source: Location, destination: Location) -> None:
    made = image().push(source)
    copy(made.digest, source, destination)
    held(destination).blobs[made.blobs[0][0].digest] = b"damaged"
    held(destination).manifests[made.manifests[0].digest] = b"{}"
    plan = plan_copy(made.digest, source, destination)
    assert [move.descriptor for move in plan.blobs] == [made.blobs[0][0]]
    assert plan.manifests == (made.manifests[0],)


# mounting


def test_blobs_are_mounted_within_one_registry(source: Location) -> None:
    made = image().push(source)
    registry = Forgetful(source.registry)
    here, there = Location(registry, source.repository), Location(registry, "prod/image")
    plan = plan_copy(made.digest, here, there)
    assert (plan.mounts, plan.bytes) == (len(made.blobs), 0)
    assert copy_image(plan) == Moved(manifests=3, blobs=0, bytes=0, mounted=len(made.blobs))
    assert sorted(registry.mounted) == sorted(descriptor.digest for descriptor, _ in made.blobs)
    assert registry.count("push_blob") == registry.count("blob") == 0


def test_t062_a_mount_that_only_claims_to_have_happened_becomes_an_upload(source: Location) -> None:
    made = image().push(source)
    registry = Forgetful(source.registry, mounts_nothing=True)
    here, there = Location(registry, source.repository), Location(registry, "prod/image")
    moved = copy_image(plan_copy(made.digest, here, there))
    assert (moved.blobs, moved.mounted) == (len(made.blobs), 0)
    assert all(there.registry.holds(there.repository, descriptor) for descriptor, _ in made.blobs)


# what hangs on the image


def test_referrers_of_the_image_of_its_children_and_of_referrers_arrive(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    on_index = referrer(made.manifest, b"on the index").push(source)
    on_child = referrer(made.manifests[0], b"on the child").push(source)
    on_note = referrer(on_index.manifest, b"on the note").push(source)
    stranger = referrer(image(seed="stranger").push(source).manifest, b"elsewhere").push(source)
    moved = copy(made.digest, source, destination)
    assert moved.manifests == 6
    assert listed(destination, made.digest) == {on_index.digest}
    assert listed(destination, made.manifests[0].digest) == {on_child.digest}
    assert listed(destination, on_index.digest) == {on_note.digest}
    assert stranger.digest not in held(destination).manifests


def test_further_sources_add_what_hangs_on_the_image_there_and_nothing_else(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    elsewhere = Location(MemoryRegistry("elsewhere.test:5000"), "other")
    note = referrer(made.manifest, b"noted elsewhere").push(elsewhere)
    answer = referrer(note.manifest, b"answered here").push(source)
    legacy(elsewhere, made.digest, ".sig")
    copy(made.digest, source, destination, more=(elsewhere, elsewhere, destination))
    assert listed(destination, made.digest) == {note.digest}
    assert listed(destination, note.digest) == {answer.digest}
    assert held(destination).tags == {}


def test_a_referrer_that_is_damaged_in_one_place_is_taken_from_the_other(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    elsewhere = Location(MemoryRegistry("elsewhere.test:5000"), "other")
    note = referrer(made.manifest)
    note.push(source)
    note.push(elsewhere)
    del held(source).manifests[note.digest]
    place = Location(Listing(source.registry, under={made.digest: [note.manifest.listed]}), source.repository)
    plan = plan_copy(made.digest, place, destination, more_sources=(elsewhere,))
    copy_image(plan)
    assert plan.skipped == ()
    assert listed(destination, made.digest) == {note.digest}


@dataclass
class Listing(Bent):
    """Lists more under a digest than what hangs on it."""

    under: dict[Digest, list[Descriptor]] = field(default_factory=dict)

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        return (*super().referrers(repository, digest), *self.under.get(digest, ()))


def codes(plan: Transfer) -> list[str]:
    return sorted(reason.code for reason in plan.skipped)


def test_t061_t080_forged_entries_beside_good_ones_are_skipped_and_told(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    good = referrer(made.manifest, b"good").push(source)
    elsewhere = referrer(image(seed="other").push(source).manifest, b"about something else").push(source)
    bare = image(("linux/amd64",), seed="bare").push(source)
    damaged = force(source, parsed(manifest_value(subject=made.manifest.descriptor.json(), annotations={"b": "c"})))
    held(source).manifests[damaged.digest] += b" "
    absent = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(b"absent"), size=6)
    forged = [elsewhere.manifest.listed, bare.manifest.listed, damaged.descriptor, absent]
    registry = Listing(source.registry, under={made.digest: forged})
    plan = plan_copy(made.digest, Location(registry, source.repository), destination)
    mismatch = "referrer-subject-mismatch"
    assert codes(plan) == ["digest-mismatch", "image-not-found", mismatch, mismatch]
    assert all(reason.where.startswith("source.test:5000/team/image@sha256:") for reason in plan.skipped)
    copy_image(plan)
    assert listed(destination, made.digest) == {good.digest}
    assert len(held(destination).manifests) == 4


def test_a_list_that_is_wrong_about_size_and_type_hides_nothing(source: Location, destination: Location) -> None:
    made = image().push(source)
    note = referrer(made.manifest).push(source)
    lying = replace(note.manifest.listed, size=1, media_type=OCI_INDEX, artifact_type="text/lie", annotations={})
    registry = Listing(source.registry, under={made.digest: [lying]})
    copy(made.digest, Location(registry, source.repository), destination)
    assert listed(destination, made.digest) == {note.digest}


@pytest.mark.parametrize("kind", ["absent", "too long", "too short", "foreign", "damaged"])
def test_a_referrer_that_can_not_be_copied_does_not_stop_the_image(
    source: Location, destination: Location, kind: str
) -> None:
    made = image().push(source)
    good = referrer(made.manifest, b"good").push(source)
    layer = blob(b"evidence")
    if kind != "absent":
        push_blob(source, layer, b"evidence")
    if kind == "damaged":
        held(source).blobs[layer.digest] = b"Evidence"
    size = {"too long": 9, "too short": 7}.get(kind, 8)
    entry = {**replace(layer, size=size).json(), **({"urls": ["https://canary.test/"]} if kind == "foreign" else {})}
    bad = {**manifest_value(subject=made.manifest.descriptor.json()), "layers": [entry]}
    push_blob(source, EMPTY, EMPTY_CONTENT)
    force(source, parsed(bad))
    plan = plan_copy(made.digest, source, destination)
    assert codes(plan) == ["foreign-layer-refused" if kind == "foreign" else "blob-not-found"]
    copy_image(plan)
    assert listed(destination, made.digest) == {good.digest}


def test_a_referrer_that_lies_about_a_blob_of_the_image_does_not_stop_the_image(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    descriptor, _ = made.blobs[0]
    lie = {"layers": [replace(descriptor, size=descriptor.size + 1).json()]}
    push_blob(source, EMPTY, EMPTY_CONTENT)
    force(source, parsed({**manifest_value(subject=made.manifest.descriptor.json()), **lie}))
    plan = plan_copy(made.digest, source, destination)
    assert codes(plan) == ["blob-not-found"]
    copy_image(plan)
    assert held(destination).blobs[descriptor.digest] == held(source).blobs[descriptor.digest]


def test_a_place_that_does_not_answer_is_not_a_place_without_referrers(source: Location, destination: Location) -> None:
    made = image().push(source)
    registry, place = bent(source)

    def down() -> None:
        raise Unavailable("registry-unavailable", "503")

    registry.before(2, "referrers", down)
    assert code(lambda: plan_copy(made.digest, place, destination)) == "registry-unavailable"


def chain(location: Location, subject: Manifest, length: int) -> list[Image]:
    notes: list[Image] = []
    for number in range(length):
        notes.append(referrer(notes[-1].manifest if notes else subject, str(number).encode()).push(location))
    return notes


def test_t081_referrers_of_referrers_are_followed_to_the_limit_and_refused_one_beyond(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    notes = chain(source, made.manifest, REFERRER_DEPTH)
    assert len(plan_copy(made.digest, source, destination).manifests) == 3 + REFERRER_DEPTH
    referrer(notes[-1].manifest, b"one more").push(source)
    assert code(lambda: plan_copy(made.digest, source, destination)) == "limit-exceeded"


def test_t081_a_forged_entry_beyond_the_limit_is_no_level(source: Location, destination: Location) -> None:
    made = image().push(source)
    last = chain(source, made.manifest, REFERRER_DEPTH)[-1]
    registry = Listing(source.registry, under={last.digest: [image().manifest.descriptor]})
    plan = plan_copy(made.digest, Location(registry, source.repository), destination)
    assert codes(plan) == ["referrer-subject-mismatch"]


def hang(location: Location, subject: Manifest, number: int) -> None:
    push_blob(location, EMPTY, EMPTY_CONTENT)
    for count in range(number):
        force(location, parsed(manifest_value(subject=subject.descriptor.json(), annotations={"number": str(count)})))


def test_t078_referrers_are_copied_to_the_limit_and_refused_one_beyond(source: Location, destination: Location) -> None:
    made = image(("linux/amd64",)).push(source)
    hang(source, made.manifest, REFERRERS)
    assert len(plan_copy(made.digest, source, destination).manifests) == 1 + REFERRERS
    referrer(made.manifest).push(source)
    assert code(lambda: plan_copy(made.digest, source, destination)) == "too-many-referrers"


def test_t078_junk_in_a_list_counts_although_it_is_not_copied(source: Location, destination: Location) -> None:
    made = image(("linux/amd64",)).push(source)
    junk = [
        Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(bytes([n % 256, n // 256])), size=1) for n in range(1001)
    ]
    registry = Listing(source.registry, under={made.digest: junk})
    place = Location(registry, source.repository)
    assert code(lambda: plan_copy(made.digest, place, destination)) == "too-many-referrers"
    assert registry.count("manifest") == 1


def test_t055_what_hangs_on_an_image_may_not_be_larger_together_than_an_image(
    source: Location, destination: Location
) -> None:
    made = image(("linux/amd64",)).push(source)
    push_blob(source, EMPTY, EMPTY_CONTENT)
    for count in range(MANIFEST_BYTES_TOGETHER // 4_000_000 + 1):
        subject = made.manifest.descriptor.json()
        force(source, parsed(manifest_value(subject=subject, annotations={str(count): "x" * 4_000_000})))
    assert code(lambda: plan_copy(made.digest, source, destination)) == "size-limit"


# the list at the destination


@dataclass
class Lagging(Bent):
    """Lists what was pushed only after it was asked some times; a forgetful one drops what it was told first."""

    lag: int = 0
    asked: int = 0

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        self.asked += 1
        return super().referrers(repository, digest) if self.asked > self.lag else ()


def test_t085_a_list_that_lags_is_waited_for(source: Location, destination: Location) -> None:
    made = image().push(source)
    referrer(made.manifest).push(source)
    lagging = Lagging(destination.registry, lag=4)
    waited: list[float] = []
    plan = plan_copy(made.digest, source, Location(lagging, destination.repository))
    copy_image(plan, sleep=waited.append)
    assert waited == sorted(waited)
    assert len(waited) == 3


def test_t082_a_referrer_that_never_gets_listed_is_missed(source: Location, destination: Location) -> None:
    made = image().push(source)
    note = referrer(made.manifest).push(source)
    lagging = Lagging(destination.registry, lag=1_000_000)
    waited: list[float] = []
    plan = plan_copy(made.digest, source, Location(lagging, destination.repository))
    with pytest.raises(Unavailable) as error:
        copy_image(plan, sleep=waited.append, wait_seconds=7)
    assert error.value.code == "referrers-incomplete"
    assert str(note.digest) in error.value.reasons[0].where
    assert sum(waited) == pytest.approx(7)


@dataclass
class Dropping(Bent):
    """Another writer of the list overwrites what was pushed to it the first time."""

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        entries = super().referrers(repository, digest)
        pushed = [what for method, what in self.calls if method == "push_manifest"]
        return tuple(entry for entry in entries if pushed.count(str(entry.digest)) > 1)


def test_t076_a_referrer_that_another_writer_dropped_is_pushed_again(source: Location, destination: Location) -> None:
    made = image().push(source)
    dropped = [referrer(made.manifest, text).push(source) for text in (b"first", b"second")]
    place = Location(Dropping(destination.registry), destination.repository)
    waited: list[float] = []
    copy_image(plan_copy(made.digest, source, place), sleep=waited.append)
    assert listed(place, made.digest) == {note.digest for note in dropped}
    assert len(waited) == 1


def test_a_referrer_that_is_there_but_not_listed_is_pushed_again(source: Location, destination: Location) -> None:
    made = image().push(source)
    note = referrer(made.manifest).push(source)
    copy(made.digest, source, destination)
    registry = Bent(destination.registry, hidden=set())
    lagging = Lagging(registry, lag=1)
    plan = plan_copy(made.digest, source, Location(lagging, destination.repository))
    assert plan.manifests == (note.manifest,)
    copy_image(plan)
    assert registry.writes == ["push_manifest"]


# tags of older tools


def legacy(location: Location, subject: Digest, suffix: str, *layers: bytes, signature: str = "") -> Manifest:
    """What cosign 2 keeps beside an image; a signature is an annotation of its layer."""
    entries = []
    for content in layers or (b"envelope",):
        push_blob(location, blob(content), content)
        entries.append(replace(blob(content), annotations={"dev.cosignproject.cosign/signature": signature}))
    push_blob(location, EMPTY, EMPTY_CONTENT)
    manifest = force(location, parsed(manifest_value(layers=entries)))
    held(location).tags[f"sha256-{subject.hex}{suffix}"] = manifest.digest
    return manifest


@pytest.mark.parametrize("suffix", [".sig", ".att", ".sbom"])
@pytest.mark.parametrize("which", [0, -1], ids=["child", "index"])
def test_the_tags_of_older_tools_arrive(source: Location, destination: Location, suffix: str, which: int) -> None:
    made = image().push(source)
    manifest = legacy(source, made.manifests[which].digest, suffix)
    plan = plan_copy(made.digest, source, destination)
    assert [(move.tag, move.expected) for move in plan.legacy] == [
        (f"sha256-{made.manifests[which].digest.hex}{suffix}", None)
    ]
    copy_image(plan)
    assert held(destination).tags == held(source).tags
    assert destination.registry.manifest(destination.repository, manifest.digest) == manifest


def test_other_tags_and_the_fallback_tag_do_not_travel(source: Location, destination: Location) -> None:
    made = image().push(source, "v1")
    index(image(seed="listed")).push(source, f"sha256-{made.digest.hex}")
    legacy(source, made.digest, ".txt")
    copy(made.digest, source, destination)
    assert held(destination).tags == {}


def test_a_tag_to_which_a_signature_was_added_moves_on(source: Location, destination: Location) -> None:
    made = image().push(source)
    legacy(source, made.digest, ".sig", b"first")
    copy(made.digest, source, destination)
    newer = legacy(source, made.digest, ".sig", b"first", b"second")
    copy(made.digest, source, destination)
    assert held(destination).tags[f"sha256-{made.digest.hex}.sig"] == newer.digest


def test_a_tag_that_has_more_at_the_destination_stays(source: Location, destination: Location) -> None:
    made = image().push(source)
    legacy(source, made.digest, ".sig", b"first")
    richer = legacy(destination, made.digest, ".sig", b"first", b"second")
    plan = plan_copy(made.digest, source, destination)
    assert (plan.legacy, plan.skipped) == ((), ())
    copy_image(plan)
    assert held(destination).tags[f"sha256-{made.digest.hex}.sig"] == richer.digest


@pytest.mark.parametrize(("ours", "theirs"), [("", "another"), ("one", "two")])
def test_a_tag_with_other_signatures_at_the_destination_stays_and_is_told(
    source: Location, destination: Location, ours: str, theirs: str
) -> None:
    made = image().push(source)
    legacy(source, made.digest, ".sig", b"payload", signature=ours)
    there = legacy(destination, made.digest, ".sig", b"payload", signature=theirs)
    plan = plan_copy(made.digest, source, destination)
    assert codes(plan) == ["tag-conflict"]
    copy_image(plan)
    assert held(destination).tags[f"sha256-{made.digest.hex}.sig"] == there.digest


def test_a_blob_that_is_there_is_no_alibi_for_a_lie_about_its_size(source: Location, destination: Location) -> None:
    made = image().push(source).push(destination)
    descriptor, _ = made.blobs[0]
    lie = {"layers": [replace(descriptor, size=descriptor.size + 1).json()]}
    push_blob(source, EMPTY, EMPTY_CONTENT)
    force(source, parsed({**manifest_value(subject=made.manifest.descriptor.json()), **lie}))
    plan = plan_copy(made.digest, source, destination)
    assert codes(plan) == ["blob-not-found"]
    assert plan.is_empty


@pytest.mark.parametrize("fault", ["manifest", "blob", "absent"])
def test_a_damaged_tag_of_an_older_tool_does_not_stop_the_image(
    source: Location, destination: Location, fault: str
) -> None:
    made = image().push(source)
    manifest = legacy(source, made.digest, ".att")
    match fault:
        case "manifest":
            held(source).manifests[manifest.digest] += b" "
        case "blob":
            held(source).blobs[manifest.layers[0].digest] = b"damaged"
        case _:
            del held(source).blobs[manifest.layers[0].digest]
    plan = plan_copy(made.digest, source, destination)
    assert codes(plan) == ["digest-mismatch" if fault == "manifest" else "blob-not-found"]
    copy_image(plan)
    assert held(destination).tags == {}
    assert made.digest in held(destination).manifests


def test_a_tag_of_an_older_tool_that_names_the_image_itself_can_not_leave_the_image_behind(
    source: Location, destination: Location
) -> None:
    made = image().push(source)
    held(source).tags[f"sha256-{made.digest.hex}.att"] = made.digest
    del held(source).blobs[made.blobs[0][0].digest]
    assert code(lambda: copy(made.digest, source, destination)) == "blob-not-found"


# while it runs


@dataclass
class Told:
    """What a copy tells about itself."""

    started: dict[Digest, int] = field(default_factory=dict)
    passed: dict[Digest, int] = field(default_factory=dict)
    ways: dict[Digest, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, descriptor: Descriptor, total: int) -> None:
        self.started[descriptor.digest] = total

    def advance(self, descriptor: Descriptor, count: int) -> None:
        assert count > 0
        with self.lock:
            self.passed[descriptor.digest] = self.passed.get(descriptor.digest, 0) + count

    def done(self, descriptor: Descriptor, how: str) -> None:
        self.ways[descriptor.digest] = how


def test_a_copy_tells_how_it_goes_on(source: Location, destination: Location) -> None:
    made = image().push(source)
    there, content = made.blobs[0]
    push_blob(destination, there, content)
    told = Told()
    copy_image(plan_copy(made.digest, source, destination), progress=told)
    sizes = {descriptor.digest: descriptor.size for descriptor, _ in made.blobs[1:]}
    assert told.started == told.passed == sizes
    assert told.ways == {there.digest: "present", **dict.fromkeys(sizes, "copied")}


def test_mounted_blobs_are_told_as_mounted(source: Location) -> None:
    made = image().push(source)
    told = Told()
    copy_image(plan_copy(made.digest, source, Location(source.registry, "prod/image")), progress=told)
    assert set(told.ways.values()) == {"mounted"}
    assert told.passed == {}


@dataclass
class Retrying(Bent):
    """Takes every blob in a second try."""

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        next(iter(chunks()))
        super().push_blob(repository, descriptor, chunks)


def test_bytes_that_are_sent_again_are_told_once(source: Location, destination: Location) -> None:
    made = image().push(source)
    told = Told()
    retrying = Location(Retrying(destination.registry), destination.repository)
    copy_image(plan_copy(made.digest, source, retrying), progress=told)
    assert told.passed == told.started


@dataclass
class Slow(Bent):
    """Serves one blob without end until it is left alone, and fails with the others once that one is under way."""

    endless: Digest | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        if descriptor.digest != self.endless:
            assert self.begun.wait(20)
            raise ContentError("digest-mismatch", "the first failure")
        return self._without_end()

    def _without_end(self) -> Iterator[bytes]:
        try:
            while True:
                self.begun.set()
                yield b"x"
        finally:
            self.ended.set()


@dataclass
class Swallowing(Bent):
    """Reads a blob to its end, however long that takes."""

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        for _ in chunks():
            pass


def test_the_first_failure_stops_what_is_under_way(source: Location, destination: Location) -> None:
    made = image().push(source)
    slow = Slow(source.registry, endless=made.blobs[0][0].digest)
    to = Location(Swallowing(destination.registry), destination.repository)
    plan = plan_copy(made.digest, Location(slow, source.repository), to)
    with pytest.raises(ContentError, match="the first failure"):
        copy_image(plan, jobs=2)
    assert slow.ended.is_set()
    assert held(destination).manifests == {}


def test_after_the_first_failure_nothing_new_is_begun(source: Location, destination: Location) -> None:
    made = image(layers=5).push(source)
    held(source).blobs[made.blobs[0][0].digest] = b"damaged"
    registry, place = bent(source)
    plan = plan_copy(made.digest, place, destination)
    before = registry.count("blob")
    with pytest.raises(ContentError):
        copy_image(plan, jobs=1)
    assert registry.count("blob") == before + 1


def test_an_interruption_stops_what_is_under_way(source: Location, destination: Location) -> None:
    made = image().push(source)
    slow = Slow(source.registry, endless=made.blobs[0][0].digest)

    class Interrupting(Told):
        def done(self, descriptor: Descriptor, how: str) -> None:
            raise KeyboardInterrupt

    @dataclass
    class Half(Swallowing):
        def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
            return slow.begun.is_set() and descriptor.digest != slow.endless

        def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
            if descriptor.digest == slow.endless:
                super().push_blob(repository, descriptor, chunks)
            assert slow.begun.wait(20)

    to = Location(Half(destination.registry), destination.repository)
    plan = plan_copy(made.digest, Location(slow, source.repository), to)
    with pytest.raises(KeyboardInterrupt):
        copy_image(plan, progress=Interrupting(), jobs=2)
    assert slow.ended.wait(20)


def test_a_large_blob_passes_in_chunks(source: Location, destination: Location) -> None:
    content = bytes(5 * CHUNK_BYTES)
    push_blob(source, blob(content), content)
    push_blob(source, EMPTY, EMPTY_CONTENT)
    made = force(source, parsed(manifest_value(layers=[blob(content)])))
    chunks: list[int] = []

    class Counting(Told):
        def advance(self, descriptor: Descriptor, count: int) -> None:
            chunks.append(count)

    copy_image(plan_copy(made.digest, source, destination), progress=Counting())
    assert max(chunks) == CHUNK_BYTES


def test_an_image_that_is_not_at_the_source_is_not_found(source: Location, destination: Location) -> None:
    with pytest.raises(NotFound) as error:
        plan_copy(Digest.of(b"absent"), source, destination)
    assert error.value.code == "image-not-found"


# several destinations


def test_mirrors_are_fed_from_one_read(source: Location) -> None:
    made = image().push(source)
    registry, here = bent(source)
    mirrors = [Location(MemoryRegistry(f"mirror{number}.test:5000"), "prod/image") for number in range(3)]
    transfers = [plan_copy(made.digest, here, mirror) for mirror in mirrors]
    before = registry.count("blob")
    moved = copy_content(transfers)
    assert registry.count("blob") - before == len(made.blobs)
    assert [it.blobs for it in moved] == [len(made.blobs)] * 3
    assert all(held(mirror).blobs == held(source).blobs for mirror in mirrors)
    assert all(made.digest in held(mirror).manifests for mirror in mirrors)


def test_two_mirrors_in_one_registry_get_each_blob_once(source: Location) -> None:
    made = image().push(source)
    registry = Forgetful(MemoryRegistry("mirrors.test:5000"))
    mirrors = [Location(registry, "eu/image"), Location(registry, "us/image")]
    first, second = copy_content([plan_copy(made.digest, source, mirror) for mirror in mirrors])
    assert (first.blobs, first.mounted, second.blobs, second.mounted) == (6, 0, 0, 6)
    assert registry.count("push_blob") == len(made.blobs)


def test_a_mirror_that_loses_a_blob_stops_all_before_any_manifest(source: Location, destination: Location) -> None:
    made = image().push(source)
    bad = Forgetful(MemoryRegistry("mirror.test:5000"), loses_blobs=True)
    transfers = [plan_copy(made.digest, source, to) for to in (destination, Location(bad, "prod/image"))]
    assert code(lambda: copy_content(transfers)) == "destination-incomplete"
    assert held(destination).manifests == {}


def test_a_mirror_that_has_the_image_already_is_left_alone(source: Location, destination: Location) -> None:
    made = image().push(source)
    copy(made.digest, source, destination)
    other = Location(MemoryRegistry("mirror.test:5000"), "prod/image")
    registry, there = bent(destination)
    copy_content([plan_copy(made.digest, source, to) for to in (there, other)])
    assert registry.writes == []
    assert held(other).manifests == held(source).manifests


# where blobs come from, and how they are proven


def test_blobs_are_mounted_from_other_places_of_the_image_in_the_destination_s_registry(source: Location) -> None:
    made = image().push(source)
    registry = Forgetful(MemoryRegistry("prod.test:5000"))
    before = Location(registry, "staging/image")
    copy(made.digest, source, before)
    there = Location(registry, "prod/image")
    moved = copy_image(plan_copy(made.digest, source, there, holders=[there, before]))
    assert (moved.blobs, moved.mounted) == (0, len(made.blobs))


def test_a_place_in_another_registry_is_nothing_to_mount_from(source: Location, destination: Location) -> None:
    made = image().push(source)
    plan = plan_copy(made.digest, source, destination, holders=[source])
    assert plan.mounts == 0


@dataclass
class Damaging(Bent):
    """Keeps the first upload of each blob with a byte changed in its middle."""

    proofs: list[bool] = field(default_factory=list)

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        again = ("push_blob", str(descriptor.digest)) in self.calls
        super().push_blob(repository, descriptor, chunks)
        if not again:
            assert isinstance(self.inner, MemoryRegistry)
            self.inner.repositories[repository].blobs[descriptor.digest] = b"damaged"

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        self.proofs.append(whole)
        return super().holds(repository, descriptor, whole=whole)


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_uploaded_is_read_and_uploaded_once_more_if_need_be(source: Location, *, whole: bool) -> None:
    made = image().push(source)
    bad = Damaging(MemoryRegistry("prod.test:5000"))
    there = Location(bad, "prod/image")
    copy_image(plan_copy(made.digest, source, there, whole=whole), whole=whole)
    assert bad.count("push_blob") == 2 * len(made.blobs)
    assert set(bad.proofs) == {whole}
    assert is_whole(there, tree(source, made.digest), whole=whole)


def test_an_image_that_lacks_anything_is_not_whole(source: Location, destination: Location) -> None:
    made = image().push(source)
    copy(made.digest, source, destination)
    found = tree(source, made.digest)
    assert is_whole(destination, found, whole=False)
    for shelf, digests in (
        (held(destination).blobs, [descriptor.digest for descriptor, _ in made.blobs]),
        (held(destination).manifests, [manifest.digest for manifest in made.manifests]),
    ):
        for digest in digests:
            content = shelf.pop(digest)
            assert not is_whole(destination, found, whole=False)
            shelf[digest] = content


def test_what_is_on_the_shelf_is_not_read_at_the_source_again(source: Location, destination: Location) -> None:
    made = image().push(source)
    note = referrer(made.manifest).push(source)
    registry, here = bent(source)
    shelf = Shelf()
    plan = plan_copy(made.digest, here, destination, shelf=shelf)
    asked = registry.count("blob")
    copy_image(plan, shelf=shelf)
    assert registry.count("blob") - asked == len(made.blobs)
    assert note.digest in held(destination).manifests
