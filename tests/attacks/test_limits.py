"""Every limit of the threat catalogue that guards a promotion, at the limit and one beyond."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from attestations.bundle import Bundle
from registries.checked import read_limited
from registries.copy import plan_copy, tree
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.memory import MemoryRegistry
from registries.limits import (
    BUNDLE_BYTES,
    INDEX_DEPTH,
    JSON_DEPTH,
    LAYERS_PER_MANIFEST,
    MANIFEST_BYTES,
    MANIFESTS_PER_IMAGE,
    REFERRER_DEPTH,
    REFERRERS,
)
from registries.manifest import OCI_INDEX, Manifest, index_bytes
from registries.registry import Location
from registries.strict_json import loads
from tests.bent import Bent
from tests.images import Image, image, referrer


def place() -> Location:
    return Location(MemoryRegistry(), "shop/api")


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def index(*children: Manifest, padding: int = 0) -> Manifest:
    return Manifest.from_bytes(index_bytes(tuple(child.descriptor.json() for child in children)) + b" " * padding)


def test_a_manifest_of_four_mebibytes_is_read_and_one_byte_more_is_not() -> None:
    content = index_bytes(())
    full = content + b" " * (MANIFEST_BYTES - len(content))
    assert Manifest.from_bytes(full).media_type == OCI_INDEX
    assert code(lambda: Manifest.from_bytes(full + b" ")) == "size-limit"


def test_a_stream_without_end_is_cut_one_chunk_after_the_limit() -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1024
            yield b" " * 1024

    assert code(lambda: read_limited(endless(), MANIFEST_BYTES)) == "size-limit"  # type: ignore[arg-type]
    assert taken == MANIFEST_BYTES + 1024


def test_a_bundle_of_sixteen_mebibytes_is_parsed_and_one_byte_more_is_refused_unparsed() -> None:
    assert code(lambda: Bundle.from_bytes(b"{}" + b" " * (BUNDLE_BYTES - 2))) != "size-limit"
    assert code(lambda: Bundle.from_bytes(b"{}" + b" " * (BUNDLE_BYTES - 1))) == "size-limit"


def test_json_of_depth_64_is_read_and_of_depth_65_is_not() -> None:
    assert loads(b"[" * JSON_DEPTH + b"]" * JSON_DEPTH, limit=1000)
    deeper = JSON_DEPTH + 1
    assert code(lambda: loads(b"[" * deeper + b"]" * deeper, limit=1000)) == "json-ambiguous"


def test_an_image_of_a_thousand_layers_is_read_and_one_more_is_not() -> None:
    def manifest(layers: int) -> bytes:
        value = json.loads(image(platforms=("linux/amd64",)).manifest.content)
        return json.dumps({**value, "layers": value["layers"][:1] * layers}).encode()

    assert len(Manifest.from_bytes(manifest(LAYERS_PER_MANIFEST)).layers) == LAYERS_PER_MANIFEST
    assert code(lambda: Manifest.from_bytes(manifest(LAYERS_PER_MANIFEST + 1))) == "limit-exceeded"


def test_t055_an_index_of_a_thousand_manifests_is_parsed_and_one_more_is_not() -> None:
    child = image(platforms=("linux/amd64",)).manifest
    assert len(index(*[child] * MANIFESTS_PER_IMAGE).children) == MANIFESTS_PER_IMAGE
    assert code(lambda: index(*[child] * (MANIFESTS_PER_IMAGE + 1))) == "limit-exceeded"


def nested(here: Location, depth: int) -> Manifest:
    made: Image = image(platforms=("linux/amd64",)).push(here)
    manifest = made.manifest
    for _ in range(depth):
        manifest = index(manifest)
        here.registry.push_manifest(here.repository, manifest)
    return manifest


def test_t055_indexes_nested_four_deep_are_walked_and_five_deep_are_not() -> None:
    here = place()
    assert len(tree(here, nested(here, INDEX_DEPTH).digest).manifests) == INDEX_DEPTH + 1
    deeper = nested(here, INDEX_DEPTH + 1)
    assert code(lambda: tree(here, deeper.digest)) == "limit-exceeded"


def test_t078_a_thousand_referrers_are_listed_and_one_more_is_too_many() -> None:
    here, there = place(), Location(MemoryRegistry("other.test:5000"), "shop/api")
    made = image(platforms=("linux/amd64",)).push(here)
    bent = Bent(here.registry)
    listed = [Descriptor(media_type=OCI_INDEX, digest=Digest.of(str(n).encode()), size=1) for n in range(REFERRERS)]
    bent.extra = listed
    assert plan_copy(made.digest, Location(bent, "shop/api"), there).manifests == (made.manifest,)
    bent.extra = [*listed, made.manifest.descriptor]
    assert code(lambda: plan_copy(made.digest, Location(bent, "shop/api"), there)) == "too-many-referrers"


def test_t081_referrers_of_referrers_four_deep_are_copied_and_deeper_ones_are_refused() -> None:
    here, there = place(), Location(MemoryRegistry("other.test:5000"), "shop/api")
    made = image(platforms=("linux/amd64",)).push(here)
    subject = made.manifest
    for number in range(REFERRER_DEPTH):
        subject = referrer(subject, f"note {number}".encode()).push(here).manifest
    assert len(plan_copy(made.digest, here, there).manifests) == 1 + REFERRER_DEPTH
    referrer(subject, b"one more").push(here)
    assert code(lambda: plan_copy(made.digest, here, there)) == "limit-exceeded"
