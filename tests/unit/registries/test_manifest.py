from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import LAYERS_PER_MANIFEST, MANIFEST_BYTES, MANIFESTS_PER_IMAGE
from registries.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    artifact,
    index_bytes,
)
from registries.strict_json import dumps
from tests.images import LAYER_TYPE, blob, image, index_value, manifest_value, referrer

LAYER = blob(b"layer", LAYER_TYPE)


def read(value: Mapping[str, Any], **claims: Any) -> Manifest:
    return Manifest.from_bytes(dumps(value), **claims)


def code(value: Mapping[str, Any] | bytes, **claims: Any) -> str:
    content = value if isinstance(value, bytes) else dumps(value)
    with pytest.raises(ContentError) as error:
        Manifest.from_bytes(content, where="here", **claims)
    assert error.value.reasons[0].where.startswith("here")
    return error.value.code


def without(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in keys}


def test_a_manifest_is_its_bytes_with_what_they_say_beside_them() -> None:
    content = b" \n" + dumps(manifest_value(layers=[LAYER], annotations={"a": "b"})) + b"\t"
    found = Manifest.from_bytes(content)
    assert found.content == content
    assert found.digest == Digest.of(content)
    assert (found.config, found.layers, found.children, found.subject) == (EMPTY, (LAYER,), (), None)
    assert found.blobs == (EMPTY, LAYER)
    assert found.descriptor == Descriptor(media_type=OCI_MANIFEST, digest=found.digest, size=len(content))
    assert not found.is_index


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_has_children_and_no_blobs(media_type: str) -> None:
    child = image(("linux/amd64",)).manifest.descriptor
    entry = {**child.json(), "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
    found = read({**index_value([entry]), "mediaType": media_type})
    assert found.is_index
    assert (found.children[0].digest, found.children[0].platform) == (child.digest, "linux/arm/v7")
    assert (found.config, found.layers, found.blobs) == (None, (), ())


def test_the_subject_of_a_referrer_is_read() -> None:
    made = image()
    found = referrer(made.manifest).manifest
    assert found.subject is not None
    assert found.subject.digest == made.digest


HYBRIDS: dict[str, dict[str, Any]] = {
    "an image that lists manifests": manifest_value(manifests=[]),
    "an index with layers": {**index_value([]), "layers": []},
    "an index with a config": {**index_value([]), "config": EMPTY.json()},
    "an index with all of an image": {**manifest_value(), "mediaType": OCI_INDEX, "manifests": []},
    "a Docker image that lists manifests": manifest_value(mediaType=DOCKER_MANIFEST, manifests=[]),
    "a Docker list with layers": {**index_value([]), "mediaType": DOCKER_LIST, "layers": None},
}


@pytest.mark.parametrize("value", HYBRIDS.values(), ids=HYBRIDS)
def test_t050_a_document_with_two_readings_is_refused(value: dict[str, Any]) -> None:
    assert code(value) == "media-type-confusion"


@pytest.mark.parametrize("value", [manifest_value(), index_value([])], ids=["image", "index"])
@pytest.mark.parametrize("stated", [None, 7, ["x"], {}])
def test_t050_the_media_type_must_be_stated(value: dict[str, Any], stated: Any) -> None:
    assert code(without(value, "mediaType")) == "media-type-confusion"
    assert code({**value, "mediaType": stated}) == "media-type-confusion"


@pytest.mark.parametrize(
    ("value", "claimed"),
    [
        (manifest_value(), OCI_INDEX),
        (index_value([]), OCI_MANIFEST),
        (manifest_value(), DOCKER_MANIFEST),
        (manifest_value(mediaType=DOCKER_MANIFEST), OCI_MANIFEST),
        (manifest_value(), ""),
        (manifest_value(), OCI_MANIFEST.upper()),
        (manifest_value(), OCI_MANIFEST + " "),
    ],
)
def test_t051_what_the_header_claims_must_be_what_the_document_says(value: dict[str, Any], claimed: str) -> None:
    assert code(value, media_type=claimed) == "media-type-confusion"


def test_t051_a_true_claim_passes() -> None:
    assert read(manifest_value(), media_type=OCI_MANIFEST).media_type == OCI_MANIFEST


@pytest.mark.parametrize(
    "value",
    [
        {"schemaVersion": 1, "fsLayers": [], "mediaType": OCI_MANIFEST},
        {"schemaVersion": 1},
        manifest_value(fsLayers=[]),
        manifest_value(mediaType="application/vnd.docker.distribution.manifest.v1+prettyjws"),
        manifest_value(mediaType="application/vnd.oci.artifact.manifest.v1+json"),
        manifest_value(mediaType=""),
        manifest_value(mediaType=OCI_MANIFEST + "\n"),
    ],
)
def test_t053_another_kind_of_document_is_refused(value: dict[str, Any]) -> None:
    assert code(value) == "manifest-unsupported"


@pytest.mark.parametrize("version", [None, 0, 3, "2", 2.5, [2], True])
def test_the_schema_version_is_two(version: Any) -> None:
    assert code(manifest_value(schemaVersion=version)) in {"manifest-malformed", "manifest-unsupported"}


GOOD = LAYER.json()
DESCRIPTORS: list[Any] = [
    None,
    [],
    "x",
    {},
    without(GOOD, "size"),
    without(GOOD, "digest"),
    without(GOOD, "mediaType"),
    {**GOOD, "size": -1},
    {**GOOD, "size": "5"},
    {**GOOD, "size": 5.0},
    {**GOOD, "size": True},
    {**GOOD, "size": None},
    {**GOOD, "mediaType": ""},
    {**GOOD, "mediaType": None},
    {**GOOD, "urls": "https://evil.test/"},
    {**GOOD, "urls": [1]},
    {**GOOD, "annotations": "x"},
    {**GOOD, "annotations": {"a": 1}},
    {**GOOD, "artifactType": 5},
    {**GOOD, "artifactType": None},
    {**GOOD, "platform": "linux/amd64"},
    {**GOOD, "digest": 5},
]


@pytest.mark.parametrize("bad", [item for item in DESCRIPTORS if item != []])
@pytest.mark.parametrize("place", ["config", "layers", "manifests", "subject"])
def test_a_descriptor_of_the_wrong_shape_is_refused(place: str, bad: Any) -> None:
    if place == "subject" and bad is None:
        assert read(manifest_value(subject=None)).subject is None
        return
    value = index_value([]) if place == "manifests" else manifest_value()
    assert code({**value, place: [bad] if place in ("layers", "manifests") else bad}) == "manifest-malformed"


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("sha256:abc", "digest-malformed"),
        ("sha256:" + "A" * 64, "digest-malformed"),
        ("md5:0", "algorithm-not-allowed"),
    ],
)
def test_t059_a_descriptor_with_a_bad_digest_is_refused(digest: str, expected: str) -> None:
    assert code(manifest_value(layers=[]) | {"layers": [{**GOOD, "digest": digest}]}) == expected


@pytest.mark.parametrize(
    "value",
    [
        manifest_value(layers=[]) | {"layers": None},
        without(manifest_value(), "layers"),
        without(manifest_value(), "config"),
        without(index_value([]), "manifests"),
        {**index_value([]), "manifests": {}},
        manifest_value(annotations=["a"]),
        manifest_value(annotations={"a": None}),
        manifest_value(artifactType=5),
    ],
)
def test_a_document_of_the_wrong_shape_is_refused(value: dict[str, Any]) -> None:
    assert code(value) == "manifest-malformed"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "json-malformed"),
        (b"[]", "json-malformed"),
        (b"\xff", "json-ambiguous"),
        (b'{"schemaVersion":2,"schemaVersion":2}', "json-ambiguous"),
        (dumps(manifest_value())[:-1] + b',"layers":[]}', "json-ambiguous"),
    ],
)
def test_t019_a_manifest_is_strict_json(content: bytes, expected: str) -> None:
    assert code(content) == expected


def test_layers_are_read_to_the_limit_and_refused_one_beyond() -> None:
    assert len(read(manifest_value(layers=[LAYER] * LAYERS_PER_MANIFEST)).layers) == LAYERS_PER_MANIFEST
    assert code(manifest_value(layers=[LAYER] * (LAYERS_PER_MANIFEST + 1))) == "limit-exceeded"


def test_t055_children_are_read_to_the_limit_and_refused_one_beyond() -> None:
    assert len(read(index_value([GOOD] * MANIFESTS_PER_IMAGE)).children) == MANIFESTS_PER_IMAGE
    assert code(index_value([GOOD] * (MANIFESTS_PER_IMAGE + 1))) == "limit-exceeded"


def test_t057_bytes_are_read_to_the_limit_and_refused_one_beyond() -> None:
    room = MANIFEST_BYTES - len(dumps(manifest_value()))
    assert len(Manifest.from_bytes(dumps(manifest_value()) + b" " * room).content) == MANIFEST_BYTES
    assert code(dumps(manifest_value()) + b" " * (room + 1)) == "size-limit"


def test_a_referrers_list_shows_the_artifact_type_or_that_of_the_config() -> None:
    made = image(("linux/amd64",)).manifest
    assert referrer(made).manifest.listed.artifact_type == "application/vnd.test.note"
    bare = read(manifest_value(subject=made.descriptor.json(), annotations={"a": "b"}))
    assert (bare.listed.artifact_type, bare.listed.annotations) == (EMPTY.media_type, {"a": "b"})
    assert read({**index_value([]), "subject": made.descriptor.json()}).listed.artifact_type is None


def test_what_is_written_here_is_read_here() -> None:
    made = image(("linux/amd64",)).manifest
    hung = artifact(artifact_type="text/x", layers=(LAYER,), subject=made.descriptor, annotations={"k": "v"})
    assert (hung.artifact_type, hung.layers, hung.subject) == ("text/x", (LAYER,), made.descriptor)
    foreign = {**made.descriptor.json(), "unknown": {"kept": True}}
    assert b'"unknown":{"kept":true}' in index_bytes((foreign,))
    assert Manifest.from_bytes(index_bytes((foreign,)), media_type=OCI_INDEX).children == (made.descriptor,)
