"""The fault registry without a rule is a correct registry: crane and oras push, copy, attach, read and delete there."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import peers
from tests.faults import FaultRegistry

pytestmark = pytest.mark.peer


@pytest.fixture(params=[True, False], ids=["with-the-referrers-api", "without-the-referrers-api"])
def registry(request: pytest.FixtureRequest) -> Iterator[FaultRegistry]:
    api = bool(request.param)
    with FaultRegistry(referrers_api=api, oci_subject=api) as registry:
        yield registry


def layer(folder: Path, name: str, size: int = 1000) -> Path:
    """A layer of one file with random content."""
    content = folder / f"{name}.bin"
    content.write_bytes(os.urandom(size))
    path = folder / f"{name}.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(content, name)
    return path


def push(reference: str, *layers: Path) -> str:
    options = [option for path in layers for option in ("-f", str(path))]
    return peers.run("crane", "append", "--oci-empty-base", *options, "-t", reference).strip().rpartition("@")[2]


def discovered(reference: str) -> list[str]:
    """The artifact types of what oras finds attached."""
    found = json.loads(peers.run("oras", "discover", "--plain-http", "--format", "json", reference))
    return sorted(entry["artifactType"] for entry in found["referrers"])


def test_crane_pushes_copies_validates_lists_and_deletes(registry: FaultRegistry, tmp_path: Path) -> None:
    image = f"{registry.host}/shop/api"
    digests = [push(f"{image}:{name}", layer(tmp_path, name, 300_000), layer(tmp_path, name)) for name in ("a", "b")]
    options = [option for digest in digests for option in ("-m", f"{image}@{digest}")]
    peers.run("crane", "index", "append", *options, "-t", f"{image}:v1")
    peers.run("crane", "copy", f"{image}:v1", f"{image}-copy:v1")

    assert peers.run("crane", "validate", "--remote", f"{image}-copy:v1").startswith("PASS")
    assert peers.run("crane", "digest", f"{image}-copy:v1") == peers.run("crane", "digest", f"{image}:v1")
    assert hashlib.sha256(peers.run("crane", "manifest", f"{image}:a").encode()).hexdigest() in digests[0]
    assert peers.run("crane", "ls", image).split() == ["a", "b", "v1"]
    peers.run("crane", "delete", f"{image}@{digests[0]}")
    assert peers.run("crane", "ls", image).split() == ["b", "v1"]
    assert "MANIFEST_UNKNOWN" in peers.attempt("crane", "manifest", f"{image}:a").stderr


def test_oras_pushes_pulls_attaches_and_copies_all_that_is_attached(registry: FaultRegistry, tmp_path: Path) -> None:
    image, content = f"{registry.host}/shop/notes", tmp_path / "data.bin"
    content.write_bytes(os.urandom(200_000))
    named = (f"{content}:application/octet-stream",)
    plain = ("--plain-http", "--disable-path-validation", "--artifact-type")
    peers.run("oras", "push", *plain, "application/example", f"{image}:v1", *named)
    for kind in ("text/one", "text/two"):
        peers.run("oras", "attach", *plain, kind, f"{image}:v1", *named)
    peers.run("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", f"{image}:v1", f"{image}-copy:v1")

    manifest = json.loads(peers.run("oras", "manifest", "fetch", "--plain-http", f"{image}-copy:v1"))
    blob = f"{image}-copy@{manifest['layers'][0]['digest']}"
    peers.run("oras", "blob", "fetch", "--plain-http", "--output", str(tmp_path / "back"), blob)
    assert (tmp_path / "back").read_bytes() == content.read_bytes()
    assert discovered(f"{image}:v1") == discovered(f"{image}-copy:v1") == ["text/one", "text/two"]


def test_cosign_finds_what_it_attested_in_a_copy(registry: FaultRegistry, tmp_path: Path) -> None:
    image, key, offline = f"{registry.host}/shop/signed", tmp_path / "signer", tmp_path / "offline.json"
    digest = push(f"{image}:v1", layer(tmp_path, "a"))
    offline.write_text(json.dumps(peers.NO_SERVICES))
    (tmp_path / "predicate.json").write_text('{"reviewed": true}')
    silent = {"COSIGN_PASSWORD": ""}
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", str(key), env=silent)
    statement = ("--allow-http-registry", "--type", "https://example.com/review/v1", "--key")
    signing = ("--yes", "--signing-config", str(offline), "--predicate", str(tmp_path / "predicate.json"))
    peers.run("cosign", "attest", *signing, *statement, f"{key}.key", f"{image}@{digest}", env=silent)
    peers.run("oras", "cp", "-r", "--from-plain-http", "--to-plain-http", f"{image}@{digest}", f"{image}-copy:v1")
    peers.run("cosign", "verify-attestation", "--insecure-ignore-tlog", *statement, f"{key}.pub", f"{image}-copy:v1")
