"""A registry that forgot the bytes and remembers the digest (T063), with the real programs.

Distribution caches what it knows of a blob. When its garbage collector removes the bytes while it serves, HEAD still
says 200, GET promises all bytes and ends without any, and a push that asks with HEAD first uploads nothing.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.http import http_registry
from registries.registry import Location
from registries.server import serve_in_thread
from tests import peers
from tests.images import Image
from tests.world import World, world_on

pytestmark = pytest.mark.peer


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[str]:
    with serve_in_thread(tmp_path / "dev") as host:
        yield host


def answer(place: Location, method: str, target: str) -> tuple[int, bytes]:
    """The status, and the bytes that really come before the connection ends."""
    connection = http.client.HTTPConnection(place.registry.name, timeout=20)
    try:
        connection.request(method, f"/v2/{place.repository}/{target}")
        response = connection.getresponse()
        try:
            return response.status, response.read()
        except http.client.IncompleteRead as cut:
            return response.status, cut.partial
    finally:
        connection.close()


def forget(image: Image, place: Location, registry: peers.Distribution) -> None:
    """Delete the image and collect the garbage; the registry goes on serving, and lies about each of the blobs."""
    for manifest in reversed(image.manifests):
        peers.run("crane", "delete", "--insecure", place.at(manifest.digest))
    registry.collect_garbage()
    for blob, _ in image.blobs:
        assert answer(place, "HEAD", f"blobs/{blob.digest}") == (200, b"")
        assert answer(place, "GET", f"blobs/{blob.digest}") == (200, b"")
        assert not registry.stored(str(blob.digest)).exists()


def again(world: World) -> None:
    """What a run of its own would know: nothing of what the runs before it have read."""
    world.registries = {host: http_registry(host, environment={}) for host in world.registries if ".test:" not in host}


def assert_whole(image: Image, place: Location, registry: peers.Distribution) -> None:
    """On disk, and for a tool that reads all bytes."""
    for digest in (*(blob.digest for blob, _ in image.blobs), *(manifest.digest for manifest in image.manifests)):
        assert Digest.of(registry.stored(str(digest)).read_bytes()) == digest
    assert peers.run("crane", "validate", "--insecure", "--remote", place.at(image.digest)).startswith("PASS")


def test_t063_an_image_that_was_collected_while_the_registry_serves_is_brought_again(dev: str) -> None:
    with peers.distribution() as registry:
        world = world_on(dev, registry.host, "collected")
        image, place = world.in_prod(), world.place("prod")
        assert_whole(image, place, registry)
        forget(image, place, registry)
        again(world)

        world.promote("1.0", "prod")

        assert_whole(image, place, registry)
        again(world)
        assert world.tag("prod", "1.0") == world.tag("prod", "stable") == image.digest
        assert world.verify("1.0", "prod").link.record == world.promote("1.0", "prod").record


def test_t063_a_registry_that_takes_the_manifest_and_does_not_keep_it_is_no_destination(dev: str) -> None:
    """Version 2.8 asks its cache before it writes a manifest: 201, and nothing on disk until it is started again."""
    with peers.distribution("docker-registry") as registry:
        world = world_on(dev, registry.host, "collected")
        image = world.in_prod()
        forget(image, world.place("prod"), registry)
        again(world)
        with pytest.raises(Refusal) as error:
            world.promote("1.0", "prod")
        assert error.value.code == "destination-incomplete"
        assert world.tag("prod", "1.0") is None
        assert world.tag("prod", "stable") is None
