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
from registries.descriptor import Descriptor
from registries.kinds.http import http_registry, referrers_tag
from registries.registry import Location
from tests import images, peers

pytestmark = pytest.mark.peer

WRITERS = 12
ROUNDS = int(os.environ.get("SAMEBITS_ROUNDS", "5"))
CREATED = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="module", params=["distribution-registry", "docker-registry"])
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    with peers.distribution(request.param) as registry:
        yield registry.host


def place(host: str, repository: str) -> Location:
    return Location(http_registry(host, environment={}), repository)


def attach(host: str, repository: str, subject: Descriptor, writer: int, rounds: int) -> int:
    """What one writer attaches, one after the other, as a process that knows nothing of the others; how many it did."""
    for number in range(rounds):
        report = json.dumps({"writer": writer, "round": number}).encode()
        store.attach(place(host, repository), subject, (), reports=[("trivy", report)], created=CREATED)
    return rounds


def together(writers: int) -> ProcessPoolExecutor:
    """Processes that have all modules loaded when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(writers, mp_context=context)


def test_t076_nothing_that_twelve_processes_attach_is_lost(host: str) -> None:
    made = images.image(platforms=("linux/amd64",)).push(place(host, "busy"))
    subject = made.manifest.descriptor
    with together(WRITERS) as pool:
        done = [pool.submit(attach, host, "busy", subject, writer, ROUNDS) for writer in range(WRITERS)]
        assert sum(each.result(timeout=500) for each in done) == WRITERS * ROUNDS
    there = place(host, "busy")
    assert len(there.registry.referrers("busy", made.digest)) == WRITERS * ROUNDS
    assert len(json.loads(peers.run("crane", "manifest", f"{there}:{referrers_tag(made.digest)}"))["manifests"]) == (
        WRITERS * ROUNDS
    )


def test_t076_what_tools_that_announce_nothing_drop_is_back_after_our_next_write(host: str, tmp_path: Path) -> None:
    made = images.image(platforms=("linux/amd64",)).push(place(host, "mixed"))
    subject, image = made.manifest.descriptor, f"{host}/mixed@{made.digest}"
    offline, note = tmp_path / "offline.json", tmp_path / "note.txt"
    offline.write_text(json.dumps(peers.NO_SERVICES))
    note.write_text("by somebody else")
    silent = {"COSIGN_PASSWORD": ""}
    peers.run("cosign", "generate-key-pair", "--output-key-prefix", str(tmp_path / "signer"), env=silent)
    signing = ("--yes", "--signing-config", str(offline), "--key", str(tmp_path / "signer.key"))
    about = ("--allow-http-registry", "--type", "https://example.test/note/v1", "--predicate", str(offline))
    oras = ("oras", "attach", "--plain-http", "--disable-path-validation", "--artifact-type")

    def foreign(number: int) -> str:
        if number % 3:
            return peers.run(*oras, f"text/note-{number}", image, f"{note}:text/plain")
        return peers.run("cosign", "attest", *about, *signing, image, env=silent)

    with together(4) as pool, ThreadPoolExecutor(6) as threads:
        ours = [pool.submit(attach, host, "mixed", subject, writer, 3) for writer in range(4)]
        theirs = [threads.submit(foreign, number) for number in range(6)]
        attached = sum(each.result(timeout=200) for each in ours)
        assert all(each.result(timeout=200) is not None for each in theirs)

    attached += attach(host, "mixed", subject, 4, 1)
    listed = place(host, "mixed").registry.referrers("mixed", made.digest)
    assert sum(entry.artifact_type == store.REPORT_ARTIFACT for entry in listed) == attached == 13
