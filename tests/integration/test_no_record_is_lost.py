"""Many writers of one list that a registry without the referrers API does not keep for them: nothing is lost (T076).

Each writer is a process of its own and works as fast as it can. SAMEBITS_ROUNDS=20 is the measure of the threat model;
a few rounds show the same in less time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attestations import store
from attestations.keys import new_key
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from registries.descriptor import Descriptor
from registries.kinds.http import http_registry, referrers_tag
from registries.registry import Location
from tests import images, peers

pytestmark = pytest.mark.peer

WRITERS = 12
ROUNDS = int(os.environ.get("SAMEBITS_ROUNDS", "5"))
NOTE = "https://example.test/note/v1"
CREATED = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module", params=["distribution-registry", "docker-registry"])
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    with peers.distribution(request.param) as registry:
        yield registry.host


def place(host: str, repository: str) -> Location:
    return Location(http_registry(host, environment={}), repository)


def attach(host: str, repository: str, subject: Descriptor, key: bytes, numbers: range) -> None:
    """What one writer attaches, one after the other, as if by a process for each."""
    signer = KeySigner.from_pem(key)
    for number in numbers:
        note = Statement.about(subject.digest, predicate_type=NOTE, predicate={"number": number})
        store.attach(place(host, repository), subject, (signer.sign(note),), created=CREATED)


def attached(host: str, repository: str, subject: Descriptor) -> list[int]:
    """The numbers of all notes that can be read."""
    bundles = store.fetch((place(host, repository),), subject.digest).bundles
    statements = [Statement.from_bytes(bundle.envelope.payload) for bundle in bundles]
    return sorted(statement.predicate["number"] for statement in statements if statement.predicate_type == NOTE)


def together(writers: int) -> ProcessPoolExecutor:
    """Processes that have all modules loaded when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(writers, mp_context=context)


def test_t076_nothing_that_twelve_processes_attach_is_lost(host: str) -> None:
    made = images.image(platforms=("linux/amd64",)).push(place(host, "busy"))
    subject, key = made.manifest.descriptor, new_key()[0]
    numbers = range(WRITERS * ROUNDS)
    with together(WRITERS) as pool:
        parts = [numbers[writer::WRITERS] for writer in range(WRITERS)]
        for done in [pool.submit(attach, host, "busy", subject, key, part) for part in parts]:
            done.result(timeout=500)
    assert attached(host, "busy", subject) == list(numbers)
    listed = json.loads(peers.run("crane", "manifest", f"{host}/busy:{referrers_tag(made.digest)}"))
    assert len(listed["manifests"]) == len(numbers)


def test_t076_what_tools_that_announce_nothing_drop_is_back_after_our_next_write(host: str, tmp_path: Path) -> None:
    made = images.image(platforms=("linux/amd64",)).push(place(host, "mixed"))
    subject, key, image = made.manifest.descriptor, new_key()[0], f"{host}/mixed@{made.digest}"
    offline, note = tmp_path / "offline.json", tmp_path / "note.txt"
    offline.write_text(json.dumps(peers.NO_SERVICES))
    note.write_text("by somebody else")
    silent = {"COSIGN_PASSWORD": ""}
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", str(tmp_path / "signer"), env=silent)
    signing = ("--yes", "--signing-config", str(offline), "--key", str(tmp_path / "signer.key"))
    about = ("--allow-http-registry", "--type", "https://example.test/other/v1", "--predicate", str(offline))
    oras = ("oras", "attach", "--plain-http", "--disable-path-validation", "--artifact-type")

    def foreign(number: int) -> None:
        if number % 3:
            peers.run(*oras, f"text/note-{number}", image, f"{note}:text/plain")
        else:
            peers.run("cosign", "attest", *about, *signing, image, env=silent)

    with together(4) as pool, ThreadPoolExecutor(6) as threads:
        parts = [range(12)[writer::4] for writer in range(4)]
        running = [pool.submit(attach, host, "mixed", subject, key, part) for part in parts]
        running += [threads.submit(foreign, number) for number in range(6)]
        for done in running:
            done.result(timeout=200)
    attach(host, "mixed", subject, key, range(12, 13))
    assert attached(host, "mixed", subject) == list(range(13))
