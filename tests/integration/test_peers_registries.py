from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from registries.copy import copy_image, plan_copy
from registries.kinds.http import HttpRegistry, http_registry
from registries.registry import Location
from registries.server import serve_in_thread
from tests import images, peers

pytestmark = pytest.mark.peer

_PREDICATE_TYPE = "https://example.com/attestation/review/v1"
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def repository(server: str, request: pytest.FixtureRequest) -> str:
    return f"{server}/{request.node.originalname.replace('test_', '').replace('_', '-')}"


def layer(folder: Path, name: str, content: bytes) -> Path:
    """A layer of one file."""
    path = folder / f"{name}.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path


def push(reference: str, *layers: Path) -> str:
    """An image of these layers, made and pushed by crane; its digest."""
    options = [option for path in layers for option in ("-f", str(path))]
    return peers.run("crane", "append", "--oci-empty-base", *options, "-t", reference).strip().rpartition("@")[2]


def discovered(reference: str) -> list[dict[str, Any]]:
    """What oras finds attached to an image."""
    found: dict[str, Any] = json.loads(peers.run("oras", "discover", "--plain-http", "--format", "json", reference))
    return list(found["referrers"])


def attach(reference: str, note: Path) -> None:
    options = ("--plain-http", "--disable-path-validation", "--artifact-type", "text/note")
    peers.run("oras", "attach", *options, reference, f"{note}:text/plain")


def test_crane_reads_back_what_it_pushed(repository: str, tmp_path: Path) -> None:
    large = layer(tmp_path, "large", os.urandom(5 << 20))
    digest = push(f"{repository}:v1", large, layer(tmp_path, "small", b"hello"))
    assert peers.run("crane", "digest", f"{repository}:v1").strip() == digest
    assert hashlib.sha256(peers.run("crane", "manifest", f"{repository}:v1").encode()).hexdigest() in digest
    assert peers.run("crane", "validate", "--remote", f"{repository}@{digest}").startswith("PASS")
    assert peers.run("crane", "ls", repository).split() == ["v1"]


def test_crane_copies_an_index_by_mounting(repository: str, tmp_path: Path) -> None:
    made = [push(f"{repository}:{name}", layer(tmp_path, name, name.encode())) for name in ("amd64", "arm64")]
    options = [option for image in made for option in ("-m", f"{repository}@{image}")]
    peers.run("crane", "index", "append", *options, "-t", f"{repository}:v1")
    peers.run("crane", "copy", f"{repository}:v1", f"{repository}-copy:v1")
    assert peers.run("crane", "digest", f"{repository}-copy:v1") == peers.run("crane", "digest", f"{repository}:v1")
    assert peers.run("crane", "validate", "--remote", f"{repository}-copy:v1").startswith("PASS")


def test_crane_deletes_a_tag_and_then_the_image(repository: str, tmp_path: Path) -> None:
    digest = push(f"{repository}:v1", layer(tmp_path, "file", b"hello"))
    peers.run("crane", "delete", f"{repository}:v1")
    assert peers.run("crane", "ls", repository) == ""
    peers.run("crane", "delete", f"{repository}@{digest}")
    assert "MANIFEST_UNKNOWN" in peers.attempt("crane", "manifest", f"{repository}@{digest}").stderr


def test_oras_reads_back_what_it_pushed(repository: str, tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    (tmp_path / "data.bin").write_bytes(content)
    options = ("--plain-http", "--disable-path-validation", "--artifact-type", "application/example")
    peers.run("oras", "push", *options, f"{repository}:v1", f"{tmp_path / 'data.bin'}:application/octet-stream")
    digest = peers.run("oras", "resolve", "--plain-http", f"{repository}:v1").strip()
    manifest = json.loads(peers.run("oras", "manifest", "fetch", "--plain-http", f"{repository}@{digest}"))
    blob = f"{repository}@{manifest['layers'][0]['digest']}"
    peers.run("oras", "blob", "fetch", "--plain-http", "--output", str(tmp_path / "back"), blob)
    assert (tmp_path / "back").read_bytes() == content


def test_oras_copies_an_image_with_all_that_is_attached(repository: str, tmp_path: Path) -> None:
    image = f"{repository}@{push(f'{repository}:v1', layer(tmp_path, 'file', b'hello'))}"
    note = tmp_path / "note.txt"
    note.write_text("on the image")
    attach(image, note)
    (attached,) = discovered(image)
    assert attached["artifactType"] == "text/note"
    note.write_text("on the note")
    attach(f"{repository}@{attached['digest']}", note)
    peers.run("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", image, f"{repository}-copy:v1")
    (copied,) = discovered(f"{repository}-copy:v1")
    assert copied["digest"] == attached["digest"]
    assert [entry["artifactType"] for entry in copied["referrers"]] == ["text/note"]


def test_nothing_that_twelve_writers_attach_is_lost(repository: str, tmp_path: Path) -> None:
    image = f"{repository}@{push(f'{repository}:v1', layer(tmp_path, 'file', b'hello'))}"
    notes = [tmp_path / f"note-{number}.txt" for number in range(12)]
    for note in notes:
        note.write_text(note.name)
    with ThreadPoolExecutor(len(notes)) as pool:
        list(pool.map(lambda note: attach(image, note), notes))
    assert len(discovered(image)) == len(notes)


def test_images_pushed_at_once_are_all_whole(repository: str, tmp_path: Path) -> None:
    shared = layer(tmp_path, "shared", os.urandom(1 << 20))

    def push_and_read(number: int) -> str:
        reference = f"{repository}:v{number}"
        push(reference, shared, layer(tmp_path, f"own-{number}", os.urandom(1000)))
        return peers.run("crane", "validate", "--remote", reference)

    with ThreadPoolExecutor(6) as pool:
        assert all(said.startswith("PASS") for said in pool.map(push_and_read, range(6)))
    assert len(peers.run("crane", "ls", repository).split()) == 6


def test_cosign_verifies_what_it_attested_also_in_a_copy(repository: str, tmp_path: Path) -> None:
    image = f"{repository}@{push(f'{repository}:v1', layer(tmp_path, 'file', b'hello'))}"
    key, offline, predicate = tmp_path / "signer", tmp_path / "offline.json", tmp_path / "predicate.json"
    offline.write_text(json.dumps(peers.NO_SERVICES))
    predicate.write_text('{"reviewed": true}')
    silent = {"COSIGN_PASSWORD": ""}
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", str(key), env=silent)
    signing = ("--yes", "--signing-config", str(offline), "--key", f"{key}.key")
    statement = ("--allow-http-registry", "--type", _PREDICATE_TYPE)
    peers.run("cosign", "attest", *statement, *signing, "--predicate", str(predicate), image, env=silent)
    assert [entry["artifactType"] for entry in discovered(image)] == [_BUNDLE_TYPE]

    peers.run("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", image, f"{repository}-copy:v1")
    trusting = (*statement, "--insecure-ignore-tlog", "--key")
    for place in (image, f"{repository}-copy:v1"):
        peers.run("cosign", "verify-attestation", *trusting, f"{key}.pub", place)
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", f"{key}-other", env=silent)
    refused = peers.attempt("cosign", "verify-attestation", *trusting, f"{key}-other.pub", image)
    assert refused.returncode != 0


@pytest.fixture(scope="module")
def places(server: str) -> Iterator[dict[str, HttpRegistry]]:
    """The embedded registry and those that others wrote: two without referrers API, one with an awkward one."""
    with ExitStack() as stack:
        hosts = {"embedded": server, "go-containerregistry": stack.enter_context(peers.ggcr_registry())}
        for program in ("distribution-registry", "docker-registry"):
            hosts[program] = stack.enter_context(peers.distribution(program)).host
        yield {name: http_registry(host, environment={}) for name, host in hosts.items()}


@pytest.mark.parametrize(
    ("origin", "target"),
    list(itertools.permutations(["embedded", "distribution-registry", "docker-registry", "go-containerregistry"], 2)),
)
def test_a_copy_between_registries_brings_all_that_hangs_on_the_image(
    places: dict[str, HttpRegistry], origin: str, target: str, tmp_path: Path
) -> None:
    repository = f"from-{origin}/to-{target}"
    source, destination = (Location(places[name], repository) for name in (origin, target))
    subject = images.image().push(source, "v1").digest
    note = tmp_path / "note.txt"
    for number in range(2):
        note.write_text(f"on the image, {number}")
        attach(f"{source}@{subject}", note)
    first, _ = attached = source.registry.referrers(repository, subject)
    note.write_text("on a note")
    attach(f"{source}@{first.digest}", note)

    moved = copy_image(plan_copy(subject, source, destination))
    assert moved.manifests == len(images.image().manifests) + 3
    assert {entry.digest for entry in destination.registry.referrers(repository, subject)} == {
        entry.digest for entry in attached
    }
    assert len(destination.registry.referrers(repository, first.digest)) == 1
    assert peers.run("crane", "validate", "--remote", f"{destination}@{subject}").startswith("PASS")
    assert {entry["digest"] for entry in discovered(f"{destination}@{subject}")} == {
        str(entry.digest) for entry in attached
    }
    assert plan_copy(subject, source, destination).is_empty
