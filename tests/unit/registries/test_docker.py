"""Images as a Docker engine saves them, made by hand; a real engine saves some in `tests/integration`."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from registries.catalogue import REF_NAME
from registries.copy import copy_image, plan_copy, platforms, tree
from registries.digest import Digest
from registries.errors import NotFound, Refusal, Unavailable
from registries.kinds.docker import CONFIG_TYPE, PLAIN_LAYER_TYPE, SavedImage, docker_image
from registries.kinds.memory import MemoryRegistry
from registries.manifest import OCI_MANIFEST
from registries.registry import Location
from registries.strict_json import dumps
from registries.tarball import Tarball
from tests.images import Image, blob, image, index_value, layer_tar

LAYERS = tuple(layer_tar(f"file{number}", f"content {number}".encode() * 100) for number in range(3))

# The order and white space of an engine, which nobody else would write: the bytes must stay as they are.
CONFIG = b'{"os" : "linux", "architecture":"amd64",\n "rootfs":{"type":"layers","diff_ids":[%s]} }' % b",".join(
    b'"%s"' % str(Digest.of(layer)).encode() for layer in LAYERS
)
IMAGE_ID = Digest.of(CONFIG)
FOLDERS = ("1" * 64, "2" * 64, "3" * 64)


def legacy(**changes: Any) -> dict[str, bytes | str]:
    """What Debian's docker.io 20.10 saves: names with bytes, or with the target of a link."""
    config = changes.get("config", CONFIG)
    name = f"{Digest.of(config).hex}.json"
    entry = {"Config": name, "RepoTags": None, "Layers": [f"{folder}/layer.tar" for folder in FOLDERS]}
    files: dict[str, bytes | str] = {name: config}
    for folder, layer in zip(FOLDERS, LAYERS, strict=True):
        files |= {f"{folder}/VERSION": b"1.0", f"{folder}/json": b"{}", f"{folder}/layer.tar": layer}
    files["manifest.json"] = dumps([{**entry, **changes.get("entry", {})}])
    return files


def saved(files: Mapping[str, bytes | str]) -> Tarball:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return Tarball.spool([stream.getvalue()], where="docker:app")


def taken(files: Mapping[str, bytes | str], image_id: Digest = IMAGE_ID) -> SavedImage:
    return SavedImage(saved(files), name="docker:app", tag="latest", image_id=image_id)


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


# engines before version 25


def test_a_manifest_is_written_over_the_exact_configuration_and_the_plain_layers() -> None:
    found = taken(legacy())
    manifest = found.manifest("", found.resolve("", "latest"))
    assert manifest.media_type == OCI_MANIFEST
    assert manifest.config == blob(CONFIG, CONFIG_TYPE)
    assert manifest.layers == tuple(blob(layer, PLAIN_LAYER_TYPE) for layer in LAYERS)
    assert b"".join(found.blob("", manifest.blobs[0])) == CONFIG
    assert [b"".join(found.blob("", layer)) for layer in manifest.layers] == list(LAYERS)
    assert found.tags("") == ("latest",)
    assert found.referrers("", manifest.digest) == ()


def test_the_digest_depends_on_the_image_id_alone() -> None:
    files = legacy()
    others = {name.replace("1" * 64, "9" * 64): content for name, content in reversed(files.items())}
    others["manifest.json"] = dumps(
        [
            {
                "Layers": ["9" * 64 + "/layer.tar", *json.loads(files["manifest.json"])[0]["Layers"][1:]],
                "RepoTags": ["x:y"],
            }
        ]
    ).replace(b'"RepoTags"', b'"Config":"%s.json","RepoTags"' % IMAGE_ID.hex.encode())
    assert taken(files).resolve("", "latest") == taken(others).resolve("", "latest")


def test_the_digest_is_this_one_in_every_run_and_version() -> None:
    """It is what people sign: a change here would make every image of an engine another image."""
    expected = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":'
        + pointer("application/vnd.oci.image.config.v1+json", CONFIG)
        + ',"layers":['
        + ",".join(pointer("application/vnd.oci.image.layer.v1.tar", layer) for layer in LAYERS)
        + "]}"
    )
    assert taken(legacy()).resolve("", "latest") == Digest.of(expected.encode())


def pointer(media_type: str, content: bytes) -> str:
    return f'{{"mediaType":"{media_type}","digest":"{Digest.of(content)}","size":{len(content)}}}'


def test_a_layer_that_is_a_link_to_another_one_is_read_there() -> None:
    layers = [LAYERS[0], LAYERS[0], LAYERS[1]]
    config = dumps({"os": "linux", "rootfs": {"diff_ids": [str(Digest.of(layer)) for layer in layers]}})
    files = legacy(config=config)
    files[f"{FOLDERS[1]}/layer.tar"] = f"../{FOLDERS[0]}/layer.tar"
    files[f"{FOLDERS[2]}/layer.tar"] = LAYERS[1]
    found = taken(files, Digest.of(config))
    manifest = found.manifest("", found.resolve("", "latest"))
    assert [layer.digest for layer in manifest.layers] == [Digest.of(layer) for layer in layers]
    assert all(found.holds("", layer) for layer in manifest.layers)


def test_an_image_of_an_engine_is_copied_like_any_other() -> None:
    found = taken(legacy())
    digest = found.resolve("", "latest")
    destination = Location(MemoryRegistry(), "app")
    moved = copy_image(plan_copy(digest, Location(found, ""), destination))
    assert (moved.manifests, moved.blobs) == (1, 4)
    assert [platform.name for platform in platforms(destination, tree(destination, digest))] == ["linux/amd64"]


def test_an_image_without_layers_is_one_too() -> None:
    config = dumps({"os": "linux", "rootfs": {"diff_ids": []}})
    found = taken(legacy(config=config, entry={"Layers": []}), Digest.of(config))
    assert found.manifest("", found.resolve("", "latest")).layers == ()


@pytest.mark.parametrize("number", range(3))
def test_a_layer_that_is_not_the_one_of_the_configuration_is_refused(number: int) -> None:
    files = legacy()
    files[f"{FOLDERS[number]}/layer.tar"] = LAYERS[number][:-1] + b"x"
    assert code(lambda: taken(files)) == "digest-mismatch"


def test_layers_in_another_order_are_refused() -> None:
    files = legacy(entry={"Layers": [f"{folder}/layer.tar" for folder in reversed(FOLDERS)]})
    assert code(lambda: taken(files)) == "digest-mismatch"


@pytest.mark.parametrize("config", [CONFIG + b" ", CONFIG.replace(b"amd64", b"arm64")])
def test_an_image_that_is_not_the_one_that_was_asked_for_is_refused(config: bytes) -> None:
    assert code(lambda: taken(legacy(config=config))) == "digest-mismatch"
    assert taken(legacy(config=config), Digest.of(config)).tags("") == ("latest",)


ONE_LAYER = [f"{FOLDERS[0]}/layer.tar"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"Layers": ONE_LAYER}, "archive-malformed"),
        ({"Layers": ONE_LAYER * 4}, "archive-malformed"),
        ({"Layers": None}, "archive-malformed"),
        ({"Layers": "x"}, "archive-malformed"),
        ({"Layers": [1, 2, 3]}, "archive-malformed"),
        ({"Layers": ["absent"] * 3}, "archive-malformed"),
        ({"Layers": ["../../etc/passwd"] * 3}, "archive-malformed"),
        ({"Config": "absent"}, "archive-malformed"),
        ({"Config": None}, "archive-malformed"),
        ({"Config": ["x"]}, "archive-malformed"),
    ],
)
def test_a_manifest_json_that_can_not_be_meant_is_refused(entry: dict[str, Any], expected: str) -> None:
    assert code(lambda: taken(legacy(entry=entry))) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[]", "archive-malformed"),
        (b"[{},{}]", "archive-malformed"),
        (b"[[]]", "archive-malformed"),
        (b"{}", "archive-malformed"),
        (b"", "json-malformed"),
        (b'[{"Config":"a","Config":"b"}]', "json-ambiguous"),
        (None, "archive-malformed"),
    ],
)
def test_an_archive_without_one_image_is_refused(content: bytes | None, expected: str) -> None:
    files = legacy()
    del files["manifest.json"]
    assert code(lambda: taken(files | ({"manifest.json": content} if content is not None else {}))) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (b"{}", "archive-malformed"),
        (b'{"rootfs":[]}', "archive-malformed"),
        (b'{"rootfs":{"diff_ids":{}}}', "archive-malformed"),
        (b'{"rootfs":{"diff_ids":["x","y","z"]}}', "digest-malformed"),
        (b'{"rootfs":{"diff_ids":[1,2,3]}}', "digest-malformed"),
        (b"no json", "json-malformed"),
        (b'{"rootfs":{},"rootfs":{}}', "json-ambiguous"),
    ],
)
def test_a_configuration_that_names_no_layers_is_refused(config: bytes, expected: str) -> None:
    assert code(lambda: taken(legacy(config=config), Digest.of(config))) == expected


def test_links_that_lead_in_a_circle_are_refused() -> None:
    files = legacy()
    files[f"{FOLDERS[0]}/layer.tar"] = f"../{FOLDERS[1]}/layer.tar"
    files[f"{FOLDERS[1]}/layer.tar"] = f"../{FOLDERS[0]}/layer.tar"
    assert code(lambda: taken(files)) == "archive-malformed"


# engines since version 25


def whole(made: Image, **entry: Any) -> dict[str, bytes | str]:
    """A saved OCI layout beside what older programs read."""
    pointing = {**made.manifest.descriptor.json(), "annotations": {"io.containerd.image.name": "docker.io/library/app"}}
    files: dict[str, bytes | str] = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": dumps(index_value([{**pointing, **entry}])),
    }
    files |= {f"blobs/sha256/{descriptor.digest.hex}": content for descriptor, content in made.blobs}
    files |= {f"blobs/sha256/{manifest.digest.hex}": manifest.content for manifest in made.manifests}
    config = made.manifests[0].config
    assert config is not None
    names = [f"blobs/sha256/{layer.digest.hex}" for layer in made.manifests[0].layers]
    files["manifest.json"] = dumps([{"Config": f"blobs/sha256/{config.digest.hex}", "Layers": names}])
    return files


def config_of(made: Image) -> Digest:
    return made.platforms[0].config


def test_a_whole_layout_is_taken_as_it_is() -> None:
    made = image(("linux/amd64",), gzipped=False, spaces=2)
    found = taken(whole(made), config_of(made))
    assert found.resolve("", "latest") == made.digest
    assert found.manifest("", made.digest) == made.manifest
    assert all(found.holds("", descriptor) for descriptor, _ in made.blobs)


def test_an_engine_that_keeps_whole_indexes_names_an_image_by_its_index() -> None:
    made = image()
    found = taken(whole(made), made.digest)
    assert found.resolve("", "latest") == made.digest
    assert len(tree(Location(found, ""), made.digest).manifests) == 3


def test_the_tag_is_ours_whatever_the_engine_wrote() -> None:
    made = image(("linux/amd64",))
    found = taken(whole(made, annotations={REF_NAME: "evil"}), config_of(made))
    assert found.tags("") == ("latest",)


def test_an_index_with_a_platform_missing_becomes_the_image_that_is_there() -> None:
    made = image(gzipped=False)
    files = whole(made)
    for descriptor in made.manifests[1].blobs:
        del files[f"blobs/sha256/{descriptor.digest.hex}"]
    found = taken(files, config_of(made))
    manifest = found.manifest("", found.resolve("", "latest"))
    assert manifest.config == made.manifests[0].config
    assert [layer.digest for layer in manifest.layers] == [layer.digest for layer in made.manifests[0].layers]


@pytest.mark.parametrize(
    "index_json",
    [b"", b"{}", b'{"manifests":[]}', b"[]", dumps(index_value([image(seed="x").manifest.descriptor.json()]))],
)
def test_a_layout_that_can_not_be_read_falls_back_to_the_layers(index_json: bytes) -> None:
    made = image(("linux/amd64",), gzipped=False)
    found = taken({**whole(made), "index.json": index_json}, config_of(made))
    assert found.manifest("", found.resolve("", "latest")).layers == made.manifest.layers


def test_a_layout_of_several_images_is_not_guessed_about() -> None:
    made, other = (image(("linux/amd64",), seed=seed, gzipped=False) for seed in "ab")
    files = {**whole(other), **whole(made)}
    files["index.json"] = dumps(index_value([item.manifest.descriptor.json() for item in (other, made)]))
    found = taken(files, config_of(made))
    assert found.manifest("", found.resolve("", "latest")).config == made.manifest.config


def test_a_layout_of_another_image_than_the_one_asked_for_is_refused() -> None:
    made, other = (image(("linux/amd64",), seed=seed) for seed in "ab")
    assert code(lambda: taken(whole(made), config_of(other))) == "digest-mismatch"


def test_compressed_layers_without_their_manifest_are_refused() -> None:
    made = image(("linux/amd64",))
    files = whole(made)
    del files["index.json"]
    assert code(lambda: taken(files, config_of(made))) == "digest-mismatch"


def test_t095_a_damaged_blob_of_a_whole_layout_is_noticed_when_it_is_read() -> None:
    made = image(("linux/amd64",))
    layer = made.manifest.layers[0]
    files = whole(made)
    files[f"blobs/sha256/{layer.digest.hex}"] = b"x" * layer.size
    found = taken(files, config_of(made))
    assert code(lambda: list(found.blob("", layer))) == "digest-mismatch"


def test_nothing_can_be_put_into_a_saved_image() -> None:
    found = taken(legacy())
    manifest = found.manifest("", found.resolve("", "latest"))
    assert code(lambda: found.tag("", "v2", manifest, expected=None)) == "place-read-only"


# the engine itself


class Engine(BaseHTTPRequestHandler):
    """As much of the engine's API as saving an image takes, for one image."""

    protocol_version = "HTTP/1.1"
    tags: tuple[str, ...] = ("app:latest", "registry.test:5000/team/app:1.4.2")
    names = (*tags, "app", str(IMAGE_ID), f"app@{IMAGE_ID}")
    asked: ClassVar[list[str]]
    environment: Mapping[str, str]
    archive = b""
    cut = False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].replace("%3A", ":").replace("%2F", "/").replace("%40", "@")
        self.asked.append(path)
        if path.endswith("/version"):
            self._answer({"ApiVersion": "1.41", "Version": "20.10.24"})
        elif path.endswith("/get"):
            self._stream()
        elif any(path.endswith(f"/images/{name}/json") for name in self.names):
            self._answer({"Id": str(IMAGE_ID), "RepoTags": list(self.tags)})
        else:
            self._answer({"message": "No such image"}, 404)

    def _answer(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.archive)))
        self.end_headers()
        self.wfile.write(self.archive[: len(self.archive) // 2] if self.cut else self.archive)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[type[Engine]]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in legacy().items():
            assert isinstance(content, bytes)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    class One(Engine):
        asked: ClassVar[list[str]] = []
        archive = stream.getvalue()

    with ThreadingHTTPServer(("127.0.0.1", 0), One) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        One.environment = {"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_port}"}
        yield One
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("app", "latest"),
        ("app:latest", "latest"),
        ("registry.test:5000/team/app:1.4.2", "1.4.2"),
        (str(IMAGE_ID), str(IMAGE_ID)),
        (f"app@{IMAGE_ID}", str(IMAGE_ID)),
    ],
)
def test_an_image_is_asked_for_by_name_and_saved_by_id(engine: type[Engine], name: str, tag: str) -> None:
    found = docker_image(name, environment=engine.environment)
    assert found.tags("") == (tag,)
    assert found.resolve("", tag) == taken(legacy()).resolve("", "latest")
    assert found.name == f"docker:{name}"
    assert engine.asked[-1].endswith(f"/images/{IMAGE_ID}/get")


def test_an_image_that_the_engine_does_not_have_is_not_found(engine: type[Engine]) -> None:
    with pytest.raises(NotFound) as error:
        docker_image("absent", environment=engine.environment)
    assert error.value.code == "image-not-found"
    assert error.value.reasons[0].where == "docker:absent"


def test_an_engine_that_breaks_off_is_unavailable(engine: type[Engine]) -> None:
    engine.cut = True
    with pytest.raises(Unavailable) as error:
        docker_image("app", environment=engine.environment)
    assert error.value.code == "docker-unavailable"


@pytest.mark.parametrize(
    "host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:{port}", "ssh://host", "nonsense://x"]
)
def test_an_engine_that_is_not_there_is_unavailable(host: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable) as error:
            docker_image("app", environment={"DOCKER_HOST": host.format(port=unused.getsockname()[1])})
    assert error.value.code == "docker-unavailable"
    assert "DOCKER_HOST" in error.value.reasons[0].hint
