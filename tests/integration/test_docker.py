from __future__ import annotations

import gc
import io
import json
import tarfile
from collections.abc import Iterator

import docker
import pytest

from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.errors import NotFound, Unavailable
from registries.kinds.docker import SavedImage, docker_image
from registries.kinds.http import http_registry
from registries.manifest import Manifest
from registries.registry import Location
from registries.server import serve_in_thread
from tests import peers
from tests.e2e.shop import opened

pytestmark = pytest.mark.peer

_NAME = "shop/api:1.0"
# The second and the third layer are the same: an engine saves them once.
_DOCKERFILE = b'FROM scratch\nCOPY hello /hello\nCOPY world /world\nCOPY world /world\nUSER 1000\nCMD ["/hello"]\n'


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """A Docker engine with one image of three layers in it."""
    with peers.dockerd() as socket:
        host = f"unix://{socket}"
        client = docker.DockerClient(base_url=host)
        try:
            client.images.build(fileobj=context(), custom_context=True, tag=_NAME)
            yield host
        finally:
            client.close()


def context() -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in (("Dockerfile", _DOCKERFILE), ("hello", b"hello\n" * 1000), ("world", b"world\n" * 1000)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    target.seek(0)
    return target


def take(host: str, name: str = _NAME) -> SavedImage:
    return docker_image(name, environment={"DOCKER_HOST": host})


def image_id(host: str) -> str:
    return peers.run("docker", "--host", host, "image", "inspect", "--format", "{{.Id}}", _NAME).strip()


def only(taken: SavedImage) -> Manifest:
    return taken.manifest("", taken.resolve("", "1.0"))


def test_an_image_taken_twice_has_the_same_digest(host: str) -> None:
    first, second = take(host), take(host)
    assert only(first).content == only(second).content
    assert first.tags("") == ("1.0",)


def test_an_image_can_be_taken_by_its_id(host: str) -> None:
    by_id = take(host, image_id(host))
    assert by_id.manifest("", only(take(host)).digest).content == only(take(host)).content


def test_the_layers_are_those_that_the_configuration_names(host: str) -> None:
    taken = take(host)
    manifest = only(taken)
    assert manifest.config is not None
    assert str(manifest.config.digest) == image_id(host)
    configuration = json.loads(b"".join(taken.blob("", manifest.config)))
    assert configuration["config"]["User"] == "1000"
    assert [str(layer.digest) for layer in manifest.layers] == configuration["rootfs"]["diff_ids"]
    for layer in manifest.layers:
        content = b"".join(taken.blob("", layer))
        assert Digest.of(content) == layer.digest
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            assert archive.getnames() in (["hello"], ["world"])


def test_another_engine_gives_the_same_image_the_same_digest(host: str) -> None:
    client = docker.DockerClient(base_url=host)
    saved = b"".join(client.images.get(_NAME).save(named=True))
    client.close()
    with peers.dockerd() as socket:
        other = docker.DockerClient(base_url=f"unix://{socket}")
        other.images.load(saved)
        other.close()
        assert only(take(f"unix://{socket}")).content == only(take(host)).content


def test_an_image_goes_from_the_engine_to_the_embedded_registry_and_back(
    host: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    taken = take(host)
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as address:
        destination = Location(http_registry(address, environment={}), "shop/api")
        manifest = only(taken)
        copy_image(plan_copy(manifest.digest, Location(taken, ""), destination))
        destination.registry.tag("shop/api", "1.0", manifest, expected=None)
        assert peers.run("crane", "digest", f"{address}/shop/api:1.0").strip() == str(manifest.digest)
        peers.run("docker", "--host", host, "pull", f"{address}/shop/api:1.0")
        assert take(host, f"{address}/shop/api:1.0").resolve("", "1.0") == manifest.digest


def test_the_command_promotes_an_image_out_of_the_engine_and_again_is_nothing(
    host: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(tmp_path_factory.mktemp("shop")) as shop:
        words, engine = ("promote", "build", f"docker:{_NAME}", "-o", "json"), {"DOCKER_HOST": host}
        first = shop.run(*words, key="ci-build", env=engine)
        again = shop.run(*words, key="ci-build", env=engine)
        assert (first.code, first.result["verdict"]) == (0, "admitted"), first.stderr
        assert first.result["image"] == str(only(take(host)).digest)
        assert (again.result["verdict"], again.result["record"]) == ("already-admitted", first.result["record"])
        assert shop.tags("build") == ("1.0",)


def test_the_engine_pushes_to_the_embedded_registry(host: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as address:
        name = f"{address}/shop/pushed:1.0"
        peers.run("docker", "--host", host, "tag", _NAME, name)
        said = peers.run("docker", "--host", host, "push", name)
        assert peers.run("crane", "digest", name).strip() in said
        assert peers.run("crane", "validate", "--remote", name).startswith("PASS")


def test_an_image_that_the_engine_does_not_have_is_not_found(host: str) -> None:
    with pytest.raises(NotFound) as error:
        take(host, "no/such:image")
    assert error.value.code == "image-not-found"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_does_not_run_is_unavailable(host: str) -> None:
    with pytest.raises(Unavailable) as error:
        take(f"{host}.gone")
    assert error.value.code == "docker-unavailable"
    error = None  # type: ignore[assignment]
    gc.collect()  # the SDK drops the socket that could not connect without closing it; let that be seen here
