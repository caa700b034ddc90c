"""Registry content and digests, T047 to T064: what a hostile registry may answer, each time refused for its own reason.

A hostile source is met where an image enters the pipeline, a hostile destination is the place of the entry stage.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.reasons import exit_code
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.limits import INDEX_DEPTH, MANIFEST_BYTES
from registries.manifest import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Manifest
from registries.registry import Location
from registries.strict_json import dumps
from registries.tree import manifests_below
from tests import faults
from tests.bent import Bent
from tests.faults import Action, Answer, FaultRegistry, Reply, Seen
from tests.images import CONFIG_TYPE, LAYER_TYPE, Image, blob, image, index_value, manifest_value, referrer
from tests.over_http import as_if, both, builder, codes, opened, reopen, storing, world_over
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]
BUILDER = "builder/api"
BUILD, TEST = "dev/shop/api", "test/shop/api"


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        yield registry


def nothing_arrived(world: World) -> bool:
    place = world.place("build")
    return place.registry.tags(place.repository) == ()


def spaced(content: bytes) -> bytes:
    """The same document as JSON, other bytes."""
    return content + b" "


def reformatted(content: bytes) -> bytes:
    return json.dumps(json.loads(content), indent=3, sort_keys=True).encode()


# A source that lies (T047 to T051)


@pytest.mark.parametrize(
    ("path", "action"),
    [
        ("/manifests/1.0", faults.body(spaced)),
        ("/manifests/sha256:", faults.body(spaced)),
        ("/manifests/sha256:", both(faults.body(spaced), faults.header("Docker-Content-Digest", None))),
    ],
    ids=["by tag", "by digest", "by digest, without the header"],
)
def test_t047_bytes_that_do_not_have_their_digest_are_refused_whatever_the_header_says(
    registry: FaultRegistry, path: str, action: Action
) -> None:
    world = world_over(source=registry)
    world.built()
    reopen(world)
    registry.rule("GET", path, action)
    assert codes(world.enter) == ["digest-mismatch"]
    assert nothing_arrived(world)


def test_t048_a_tag_is_asked_for_once_and_what_it_named_then_arrives(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    first = world.in_test()
    other = image(seed="b").push(world.place("test"))
    reopen(world)
    registry.requests.clear()
    registry.rule("GET", f"/{TEST}/manifests/1.0", as_if(registry, str(other.digest)), nth=range(2, 100))
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == first.digest
    assert [seen.method for seen in registry.requests if seen.path.endswith("/manifests/1.0")] == ["GET"]


def test_t048_a_tag_that_names_another_image_already_is_refused(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    world.in_test()
    other = image(seed="b").push(world.place("test"))
    reopen(world)
    registry.rule("GET", f"/{TEST}/manifests/1.0", as_if(registry, str(other.digest)), nth=1)
    assert codes(lambda: world.promote("1.0", "prod"))[0] == "digest-changed"
    assert world.tag("prod", "1.0") is None


def claiming(digest: Digest) -> Action:
    return faults.status(200, {"Content-Type": OCI_INDEX, "Docker-Content-Digest": str(digest)})


def test_t049_an_image_is_what_a_get_gives_and_nobody_asks_with_head(registry: FaultRegistry) -> None:
    world = world_over(source=registry)
    made, other = world.built(), image(seed="b")
    reopen(world)
    registry.rule("HEAD", "/manifests/", claiming(other.digest))
    world.enter()
    assert world.tag("build", "1.0") == made.digest
    assert "HEAD" not in {seen.method for seen in registry.requests}


def test_t049_a_head_that_tells_the_truth_is_no_alibi_for_a_get_with_other_bytes(registry: FaultRegistry) -> None:
    world = world_over(source=registry)
    made, other = world.built(), image(seed="b").push(builder(world))
    reopen(world)
    registry.rule("HEAD", "/manifests/", claiming(made.digest))
    registry.rule("GET", f"/manifests/{made.digest}", as_if(registry, str(other.digest)))
    assert codes(lambda: world.promote(f"source.test:5000/builder/api@{made.digest}", "build")) == ["digest-mismatch"]
    assert nothing_arrived(world)


def hybrids() -> dict[str, dict[str, Any]]:
    """Documents that one reader takes for an image, and another one for an index."""
    made = image(("linux/amd64",))
    one = json.loads(made.manifest.content)
    many = index_value([made.manifest.descriptor.json()])
    return {
        "an index with layers": {**many, "layers": one["layers"]},
        "an index with a config": {**many, "config": one["config"]},
        "an image with manifests": {**one, "manifests": many["manifests"]},
        "both, and no media type": {key: value for key, value in {**one, **many}.items() if key != "mediaType"},
        "an image without a media type": {key: value for key, value in one.items() if key != "mediaType"},
    }


@pytest.mark.parametrize("name", hybrids())
def test_t050_a_document_with_two_readings_is_refused(registry: FaultRegistry, name: str) -> None:
    world = world_over(source=registry)
    value = hybrids()[name]
    world.built()
    registry.put_manifest(BUILDER, dumps(value), "1.0", value.get("mediaType", OCI_MANIFEST))
    reopen(world)
    assert codes(world.enter) == ["media-type-confusion"]
    assert nothing_arrived(world)


@pytest.mark.parametrize(
    ("path", "claimed"),
    [("/manifests/1.0", OCI_MANIFEST), ("/manifests/sha256:", OCI_INDEX)],
    ids=["an index called an image", "an image called an index"],
)
def test_t051_a_content_type_that_contradicts_the_document_is_refused(
    registry: FaultRegistry, path: str, claimed: str
) -> None:
    world = world_over(source=registry)
    world.built()
    reopen(world)
    registry.rule("GET", path, faults.header("Content-Type", claimed))
    assert codes(world.enter) == ["media-type-confusion"]
    assert nothing_arrived(world)


# Bytes stay as they are (T052 and T053)


def docker_image(place: Location) -> Image:
    """What `docker push` makes: the same content under the media types of Docker's schema 2."""

    def as_docker(manifest: Manifest) -> Manifest:
        text = manifest.content.decode()
        for oci, docker in (
            (OCI_INDEX, DOCKER_LIST),
            (OCI_MANIFEST, DOCKER_MANIFEST),
            (CONFIG_TYPE, "application/vnd.docker.container.image.v1+json"),
            (LAYER_TYPE, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ):
            text = text.replace(oci, docker)
        return Manifest.from_bytes(text.encode())

    made = image(("linux/amd64",))
    for descriptor, content in made.blobs:
        place.registry.push_blob(place.repository, descriptor, lambda content=content: (content,))  # type: ignore[misc]
    manifest = as_docker(made.manifest)
    place.registry.push_manifest(place.repository, manifest)
    place.registry.tag(place.repository, "1.0", manifest, expected=None)
    return Image((manifest,), made.blobs)


def oddly_written(place: Location) -> Image:
    return image(spaces=7).push(place, "1.0")


@pytest.mark.parametrize("make", [oddly_written, docker_image])
def test_t052_t053_every_manifest_arrives_with_the_bytes_it_had(
    registry: FaultRegistry, make: Callable[[Location], Image]
) -> None:
    world = world_over(dev=registry)
    made = make(builder(world))
    world.enter()
    arrived = {manifest.digest: registry.manifests[BUILD, str(manifest.digest)] for manifest in made.manifests}
    assert arrived == {manifest.digest: (manifest.media_type, manifest.content) for manifest in made.manifests}


def to_oci(content: bytes) -> bytes:
    return content.replace(DOCKER_MANIFEST.encode(), OCI_MANIFEST.encode())


def renamed(content: bytes, change: Callable[[bytes], bytes]) -> Action:
    """Say in the answer to a push that it was stored under the digest of other bytes."""
    return faults.header("Docker-Content-Digest", str(Digest.of(change(content))))


@pytest.mark.parametrize(
    ("make", "change"),
    [(oddly_written, reformatted), (docker_image, to_oci)],
    ids=["T052 reformats", "T053 converts"],
)
@pytest.mark.parametrize("how", ["when it is read", "when it is stored", "and says so"])
def test_t052_t053_a_destination_that_rewrites_manifests_is_noticed(
    registry: FaultRegistry, make: Callable[[Location], Image], change: Callable[[bytes], bytes], how: str
) -> None:
    world = world_over(dev=registry)
    made = make(builder(world))
    match how:
        case "when it is read":
            registry.rule("GET", "/manifests/sha256:", faults.body(change))
        case "when it is stored":
            registry.rule("PUT", "/manifests/sha256:", storing(registry, change))
        case _:
            registry.rule("PUT", "/manifests/sha256:", renamed(made.manifests[0].content, change))
    assert codes(world.enter) == ["destination-altered"]
    assert nothing_arrived(world)


def test_t053_a_schema_1_image_can_not_be_kept_and_is_refused(registry: FaultRegistry) -> None:
    world = world_over(source=registry)
    value = {"schemaVersion": 1, "name": "api", "tag": "1.0", "fsLayers": [], "history": [], "signatures": []}
    registry.put_manifest(BUILDER, dumps(value), "1.0", "application/vnd.docker.distribution.manifest.v1+prettyjws")
    assert codes(world.enter) == ["manifest-unsupported"]
    assert nothing_arrived(world)


# Blobs with wrong bytes (T054)


WRONG = pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: bytes([content[0] ^ 1]) + content[1:], "digest-mismatch"),
        (lambda content: content + b"x", "size-mismatch"),
        (lambda content: content[:-1], "size-mismatch"),
    ],
    ids=["other bytes", "longer", "shorter"],
)


@WRONG
def test_t054_a_blob_with_wrong_bytes_ends_the_upload_and_the_copy(
    registry: FaultRegistry, change: Callable[[bytes], bytes], code: str
) -> None:
    with FaultRegistry() as destination:
        world = world_over(source=registry, dev=destination)
        layer = world.built().manifests[0].layers[0].digest
        registry.rule("GET", f"/blobs/{layer}", faults.body(change))
        assert codes(world.enter) == [code]
        assert (BUILD, str(layer)) not in destination.blobs
        assert destination.manifests == {}


@WRONG
def test_t054_a_destination_that_checks_nothing_is_spared_the_manifests_of_a_wrong_blob(
    registry: FaultRegistry, change: Callable[[bytes], bytes], code: str
) -> None:
    with FaultRegistry() as destination:
        world = world_over(source=registry, dev=destination)
        layer = world.built().manifests[0].layers[0].digest
        registry.rule("GET", f"/blobs/{layer}", faults.body(change))
        destination.rule("PUT", f"/blobs/uploads/.*{layer.hex}", unchecked(destination))
        assert codes(world.enter) == [code]
        assert destination.manifests == {}


def unchecked(registry: FaultRegistry) -> Action:
    """Take a blob for what its sender calls it."""

    def act(seen: Seen, answer: Answer) -> Reply:
        registry.blobs[BUILD, seen.query["digest"]] = seen.body
        return Reply(status=201)

    return act


# Bombs (T055 to T057)


def unlimited(levels: int, entries: Callable[[int, Manifest], list[dict[str, Any]]]) -> list[Manifest]:
    """Indexes over each other, the outermost one last."""
    made = [image(("linux/amd64",)).manifest]
    for level in range(levels):
        made.append(Manifest.from_bytes(dumps(index_value(entries(level, made[-1])))))
    return made


def made_up(number: int) -> dict[str, Any]:
    return Descriptor(media_type=OCI_MANIFEST, digest=Digest("sha256", f"{number:064x}"), size=2).json()


def put_all(registry: FaultRegistry, manifests: list[Manifest]) -> None:
    for manifest in manifests:
        registry.put_manifest(BUILDER, manifest.content)
    registry.tags[BUILDER, "1.0"] = str(manifests[-1].digest)


def manifests_asked(registry: FaultRegistry) -> list[Seen]:
    return [seen for seen in registry.requests if "/manifests/sha256:" in seen.path]


def test_t055_an_index_nested_without_end_is_left_at_the_limit(registry: FaultRegistry) -> None:
    world = world_over(source=registry)
    put_all(registry, unlimited(50, lambda _, inner: [inner.descriptor.json()]))
    assert codes(world.enter) == ["limit-exceeded"]
    assert len(manifests_asked(registry)) <= INDEX_DEPTH


def test_t055_a_tree_with_too_many_manifests_is_left_before_they_are_asked_for(registry: FaultRegistry) -> None:
    world = world_over(source=registry)
    branches = [
        Manifest.from_bytes(dumps(index_value([made_up(40 * branch + leaf) for leaf in range(40)])))
        for branch in range(40)
    ]
    root = Manifest.from_bytes(dumps(index_value([branch.descriptor.json() for branch in branches])))
    put_all(registry, [*branches, root])
    assert codes(world.enter) == ["limit-exceeded"]
    assert len(manifests_asked(registry)) == len(branches)


@pytest.mark.parametrize(("children", "code"), [(20_000, "limit-exceeded"), (100_000, "size-limit")])
def test_t055_an_index_with_a_hundred_thousand_children_is_one_request(
    registry: FaultRegistry, children: int, code: str
) -> None:
    world = world_over(source=registry)
    content = dumps(index_value([made_up(number) for number in range(children)]))
    assert (len(content) > MANIFEST_BYTES) == (code == "size-limit")
    registry.put_manifest(BUILDER, content, "1.0")
    assert codes(world.enter) == [code]
    assert len(registry.requests) == 1


def test_t055_what_is_listed_again_and_again_is_fetched_once(registry: FaultRegistry) -> None:
    world = world_over(source=registry)
    made = image(("linux/amd64",)).push(builder(world))
    levels = unlimited(INDEX_DEPTH, lambda _, inner: [inner.descriptor.json()] * 900)
    assert levels[0].digest == made.digest
    put_all(registry, levels)
    registry.requests.clear()
    reopen(world)
    world.enter()
    asked = [seen.path for seen in registry.requests if "/manifests/sha256:" in seen.path]
    assert len(asked) == len(set(asked)) == INDEX_DEPTH


@pytest.mark.parametrize("header", [True, False], ids=["with the right header", "without one"])
def test_t056_a_parent_in_the_place_of_its_child_is_refused(registry: FaultRegistry, *, header: bool) -> None:
    world = world_over(source=registry)
    made = world.built()
    child = made.manifests[0].digest
    reopen(world)
    says = faults.header("Docker-Content-Digest", str(child) if header else None)
    registry.rule("GET", f"/manifests/{child}", both(as_if(registry, str(made.digest)), says))
    assert codes(world.enter) == ["digest-mismatch"]
    assert nothing_arrived(world)


@dataclass
class Circular(Bent):
    """A registry that checks nothing, so that what hangs below a manifest is the manifest again."""

    instead: dict[Digest, Manifest] = field(default_factory=dict)

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        self._called("manifest", str(digest))
        return self.instead[digest]


def test_t056_behind_the_hash_check_a_circle_ends_where_it_begins() -> None:
    one, two = Digest.of(b"one"), Digest.of(b"two")
    size = len(dumps(index_value([Descriptor(media_type=OCI_INDEX, digest=one, size=999).json()])))

    def listing(name: Digest, other: Digest) -> Manifest:
        entry = Descriptor(media_type=OCI_INDEX, digest=other, size=size).json()
        return replace(Manifest.from_bytes(dumps(index_value([entry]))), digest=name)

    circle = Circular(World().registries["dev.test:5000"], instead={one: listing(one, two), two: listing(two, one)})
    assert set(manifests_below(Location(circle, "app"), one)) == {one, two}
    assert circle.count("manifest") == 2


PROBE = """
import resource, sys
from registries.errors import Refusal
from registries.kinds.http import http_registry

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
registry = http_registry(sys.argv[1], environment={})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
registry.resolve("builder/api", "good")
idle = peak()
try:
    registry.resolve("builder/api", "1.0")
except Refusal as refusal:
    print(refusal.code, peak() - idle)
"""


@pytest.mark.parametrize(
    "action",
    [
        faults.endless(),
        both(faults.endless(), faults.header("Content-Length", str(10**12))),
        faults.body(lambda content: content + b" " * (MANIFEST_BYTES + 1 - len(content))),
    ],
    ids=["without end", "with a length of a terabyte", "one byte too long"],
)
def test_t057_a_manifest_without_end_costs_its_limit_and_not_the_memory(
    registry: FaultRegistry, action: Action
) -> None:
    world = world_over(source=registry)
    world.built(tag="good")
    world.built()
    registry.rule("GET", "/manifests/1.0", action)
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, registry.host], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    code, grown = ended.stdout.split()
    assert code == "size-limit"
    assert int(grown) < 64 * 1024  # KiB


# What lies elsewhere (T058)


@pytest.mark.parametrize("where", ["layer", "config", "child", "by its type"])
def test_t058_what_lies_elsewhere_is_refused_and_nobody_is_asked_there(registry: FaultRegistry, where: str) -> None:
    with FaultRegistry() as canary:
        world = world_over(source=registry)
        made = image(("linux/amd64",)).push(builder(world))
        value = json.loads(made.manifest.content)
        urls = [f"{canary.url}/v2/app/blobs/x"]
        match where:
            case "layer":
                value["layers"][0]["urls"] = urls
            case "config":
                value["config"]["urls"] = urls
            case "child":
                value = index_value([{**made.manifest.descriptor.json(), "urls": urls}])
            case _:
                value["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        registry.put_manifest(BUILDER, dumps(value), "1.0")
        assert codes(world.enter) == ["foreign-layer-refused"]
        assert nothing_arrived(world)
        assert canary.requests == []


def test_t058_an_attached_thing_that_lies_elsewhere_is_left_behind_and_told(registry: FaultRegistry) -> None:
    with FaultRegistry() as canary:
        world = world_over(source=registry)
        made = world.built()
        value = json.loads(referrer(made.manifest).push(builder(world)).manifest.content)
        value["layers"][0]["urls"] = [f"{canary.url}/v2/app/blobs/x"]
        digest = registry.put_manifest(BUILDER, dumps(value))
        reopen(world)
        (transfer,) = world.enter().plan.transfers
        assert [reason.code for reason in transfer.skipped if digest in reason.where] == ["foreign-layer-refused"]
        assert world.tag("build", "1.0") == made.digest
        assert canary.requests == []


# Digests outside the grammar (T059)


@pytest.mark.parametrize(
    ("digest", "code"),
    [
        (f"sha1:{'a' * 40}", "algorithm-not-allowed"),
        (f"md5:{'a' * 32}", "algorithm-not-allowed"),
        (f"sha256:{'A' * 64}", "digest-malformed"),
        (f"sha256:{'a' * 63}", "digest-malformed"),
        (f"sha512:{'a' * 64}", "digest-malformed"),
        (f"sha256-{'a' * 64}", "digest-malformed"),
    ],
    ids=["sha1", "md5", "upper case", "a digit short", "sha512 with 64 digits", "a hyphen"],
)
def test_t059_a_digest_outside_the_grammar_is_refused(registry: FaultRegistry, digest: str, code: str) -> None:
    world = world_over(source=registry)
    value = json.loads(image(("linux/amd64",)).push(builder(world)).manifest.content)
    value["layers"][0]["digest"] = digest
    registry.put_manifest(BUILDER, dumps(value), "1.0")
    assert codes(world.enter) == [code]
    assert nothing_arrived(world)


def test_t059_a_sha512_digest_is_verified_and_kept(registry: FaultRegistry) -> None:
    with FaultRegistry() as destination:
        world = world_over(source=registry, dev=destination)
        content = b"a layer"
        long = Descriptor(media_type=LAYER_TYPE, digest=Digest.of(content, "sha512"), size=len(content))
        config = blob(b"{}", CONFIG_TYPE)
        registry.put_blob(BUILDER, b"{}")
        registry.blobs[BUILDER, str(long.digest)] = content
        manifest = Manifest.from_bytes(dumps(manifest_value(config, [long])))
        registry.put_manifest(BUILDER, manifest.content, "1.0")
        world.enter()
        assert destination.blobs[BUILD, str(long.digest)] == content

        registry.blobs[BUILDER, str(long.digest)] = b"b layer"
        destination.blobs.pop((BUILD, str(long.digest)))
        reopen(world)
        assert codes(world.enter) == ["digest-mismatch"]


@pytest.mark.parametrize(
    ("path", "stored_as", "code"),
    [
        ("/blobs/uploads/", str(Digest.of(b"other")), "digest-mismatch"),
        ("/blobs/uploads/", str(Digest.of(b"other", "sha512")), "digest-mismatch"),
        ("/manifests/sha256:", str(Digest.of(b"other")), "destination-altered"),
        ("/manifests/sha256:", f"sha1:{'a' * 40}", "algorithm-not-allowed"),
        ("/manifests/sha256:", f"sha256:{'a' * 63}", "digest-malformed"),
    ],
)
def test_t059_a_destination_that_stores_under_another_digest_is_refused(
    registry: FaultRegistry, path: str, stored_as: str, code: str
) -> None:
    world = world_over(dev=registry)
    world.built()
    registry.rule("PUT", path, faults.header("Docker-Content-Digest", stored_as))
    assert codes(world.enter) == [code]
    assert nothing_arrived(world)


# A forged list of referrers (T061)


def forged_list(registry: FaultRegistry, repository: str, subject: Digest, entries: list[Any]) -> None:
    """Push the tag that lists the referrers of `subject` where there is no API."""
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    registry.put_manifest(repository, dumps(value), f"sha256-{subject.hex}", OCI_INDEX)


def fallback_entries(registry: FaultRegistry, repository: str, subject: Digest) -> list[Any]:
    content = registry.manifests[repository, registry.tags[repository, f"sha256-{subject.hex}"]][1]
    entries: list[Any] = json.loads(content)["manifests"]
    return entries


@pytest.fixture
def plain() -> Iterator[FaultRegistry]:
    """A registry without the referrers API."""
    with FaultRegistry(referrers_api=False, oci_subject=False) as registry:
        yield registry


def test_t061_records_of_another_image_in_a_forged_list_do_not_count(plain: FaultRegistry) -> None:
    world = world_over(dev=plain)
    admitted = world.in_build()
    evil = image(seed="evil").push(world.place("build"))
    forged_list(plain, BUILD, evil.digest, fallback_entries(plain, BUILD, admitted.digest))
    reopen(world)
    refused = codes(lambda: world.promote(str(evil.digest), "test"))
    assert "predecessor-missing" in refused
    assert {item.reason.code for item in world.audit(f"{plain.host}/{BUILD}@{evil.digest}").rejected} == {
        "referrer-subject-mismatch"
    }


def test_t061_forged_entries_beside_the_real_ones_are_skipped_and_told(plain: FaultRegistry) -> None:
    world = world_over(dev=plain)
    made, other = world.in_build(), world.in_build(seed="b", tag="2.0")
    foreign = fallback_entries(plain, BUILD, other.digest)
    loose = image(("linux/amd64",), seed="loose").push(world.place("build")).manifest
    own = fallback_entries(plain, BUILD, made.digest)
    forged_list(plain, BUILD, made.digest, [loose.descriptor.json(), *foreign, *own])
    reopen(world)
    (transfer,) = world.promote("1.0", "test").plan.transfers
    assert world.tag("test", "1.0") == made.digest
    told = {reason.where.rpartition("@")[2]: reason.code for reason in transfer.skipped}
    assert told == dict.fromkeys([str(loose.digest), *(entry["digest"] for entry in foreign)], told[str(loose.digest)])
    assert told[str(loose.digest)] == "referrer-subject-mismatch"


# A destination that says yes (T062 to T064)


def mounted(registry: FaultRegistry) -> list[Seen]:
    return [seen for seen in registry.requests if seen.method == "POST" and "mount" in seen.query]


def test_t062_a_mount_that_only_claims_success_becomes_an_upload(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.in_build()
    registry.rule("POST", "mount=", faults.status(201))
    reopen(world)
    assert world.promote("1.0", "test").moved.mounted == 0
    assert has_all(registry, TEST, made)
    assert {seen.query["from"] for seen in mounted(registry)} == {BUILD}
    assert world.verify("1.0", "test").image.digest == made.digest


def test_t062_a_destination_that_mounts_and_takes_everything_and_gives_nothing_is_refused(
    registry: FaultRegistry,
) -> None:
    world = world_over(dev=registry)
    world.in_build()
    registry.rule("POST", "mount=", faults.status(201))
    registry.rule("GET", f"/{TEST}/blobs/", faults.status(404))
    reopen(world)
    assert codes(lambda: world.promote("1.0", "test")) == ["destination-incomplete"]
    assert mounted(registry)
    assert world.tag("test", "1.0") is None


def nothing_follows(seen: Seen, answer: Answer) -> Reply:
    """200 with the length of the whole blob, and then the end."""
    return Reply(headers={"Content-Length": "1000000"}, body=b"", cut=0)


GHOSTS: dict[str, Action] = {
    "HEAD 200, GET 404": faults.status(404),
    "HEAD 200, GET 200 and no bytes": nothing_follows,
    "HEAD 200, GET 206 and no bytes": faults.cut(0),
    "HEAD 200, GET 200 and other bytes": lambda *_: Reply(body=b"gone"),
}


def haunt(registry: FaultRegistry, made: Image, ghost: Action, *, until_uploaded: bool) -> None:
    """At `build`, every blob of the image is said to be there and can't be read: until it is uploaded, or for ever."""
    there = {digest for repository, digest in registry.blobs if repository == BUILD} - blobs_of(made)

    def take(seen: Seen, answer: Answer) -> Reply:
        reply = answer()
        if until_uploaded or seen.query["digest"] not in blobs_of(made):
            there.add(seen.query["digest"])
        return reply

    def give(seen: Seen, answer: Answer) -> Reply:
        return answer() if seen.path.rpartition("/")[2] in there else ghost(seen, answer)

    registry.rule("HEAD", f"/{BUILD}/blobs/sha", faults.status(200, {"Content-Length": "1000000"}))
    registry.rule("PUT", f"/{BUILD}/blobs/uploads/", take)
    registry.rule("GET", f"/{BUILD}/blobs/sha", give)


def blobs_of(made: Image) -> set[str]:
    return {str(descriptor.digest) for descriptor, _ in made.blobs}


def has_all(registry: FaultRegistry, repository: str, made: Image) -> bool:
    return all(registry.blobs.get((repository, str(item.digest))) == content for item, content in made.blobs)


@pytest.mark.parametrize("ghost", GHOSTS)
def test_t063_a_blob_that_head_promises_and_get_lacks_is_uploaded(registry: FaultRegistry, ghost: str) -> None:
    world = world_over(dev=registry)
    made = world.built()
    haunt(registry, made, GHOSTS[ghost], until_uploaded=True)
    assert world.enter().moved.blobs == len(blobs_of(made))
    assert has_all(registry, BUILD, made)


@pytest.mark.parametrize("ghost", GHOSTS)
def test_t063_a_destination_that_never_gives_a_blob_back_is_refused_and_may_be_tried_again(
    registry: FaultRegistry, ghost: str
) -> None:
    world = world_over(dev=registry)
    haunt(registry, world.built(), GHOSTS[ghost], until_uploaded=False)
    refused = codes(world.enter)
    assert refused == ["destination-incomplete"]
    assert exit_code(refused) == 7
    assert registry.manifests == {}


@pytest.mark.parametrize("ghost", GHOSTS)
def test_t063_an_image_whose_blobs_were_collected_is_repaired_by_the_next_run(
    registry: FaultRegistry, ghost: str
) -> None:
    world = world_over(dev=registry)
    made = world.built()
    first = world.enter()
    for digest in blobs_of(made):
        del registry.blobs[BUILD, digest]
    haunt(registry, made, GHOSTS[ghost], until_uploaded=True)
    reopen(world)
    again = world.enter()
    assert again.moved.blobs == len(blobs_of(made))
    assert has_all(registry, BUILD, made)
    assert again.record == first.record


def accepting(registry: FaultRegistry, *, keeps: str) -> None:
    """201 for everything that is pushed; what is not kept is gone."""

    def keep(seen: Seen, answer: Answer) -> Reply:
        registry.manifests[BUILD, seen.path.rpartition("/")[2]] = (seen.headers["content-type"], seen.body)
        return Reply(status=201)

    registry.rule("PUT", "/manifests/sha256:", keep if keeps == "manifests" else faults.status(201))
    if keeps != "blobs":
        registry.rule("POST", "/blobs/uploads/", faults.status(202, {"Location": "/v2/x/blobs/uploads/1"}))
        registry.rule("PUT", "/blobs/uploads/", faults.status(201))


@pytest.mark.parametrize("keeps", ["nothing", "blobs", "manifests"])
def test_t064_a_destination_that_accepts_everything_and_keeps_little_is_refused(
    registry: FaultRegistry, keeps: str
) -> None:
    world = world_over(dev=registry)
    world.built()
    accepting(registry, keeps=keeps)
    refused = codes(world.enter)
    assert refused == ["destination-incomplete"]
    assert exit_code(refused) == 7
    assert nothing_arrived(world)


def test_t064_blobs_go_before_the_manifests_that_name_them_and_the_tag_goes_last(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.built()
    world.enter()
    written = [seen.query.get("digest") or seen.path.rpartition("/")[2] for seen in registry.writes()]
    for manifest in made.manifests:
        parts = [*manifest.blobs, *manifest.children]
        assert all(written.index(str(part.digest)) < written.index(str(manifest.digest)) for part in parts)
    assert written[-1] == "1.0"


# A dry run (T105)


def test_t105_a_plan_sends_nothing_but_questions(registry: FaultRegistry) -> None:
    with FaultRegistry() as production:
        world = world_over(dev=registry, prod=production)
        made = world.in_test()
        registry.requests.clear()
        reopen(world, read_only=True)
        assert world.plan("1.0", "prod").image.digest == made.digest
        assert registry.requests
        assert production.requests
        assert registry.writes() == production.writes() == []


def test_t105_the_transport_of_a_dry_run_refuses_every_write(registry: FaultRegistry) -> None:
    world = world_over(dev=registry)
    made = world.built()
    reopen(world, read_only=True)
    assert codes(world.enter) == ["write-in-dry-run"]
    place = opened(registry, read_only=True)
    layer, content = made.blobs[0]
    for write in (
        lambda: place.push_blob(BUILD, layer, lambda: (content,)),
        lambda: place.mount(BUILD, layer, TEST),
        lambda: place.push_manifest(BUILD, made.manifest),
        lambda: place.tag(BUILD, "1.0", made.manifest, expected=None),
    ):
        assert codes(write) == ["write-in-dry-run"]
    assert registry.writes() == []
