"""Memory does not depend on what registries send: 2 GB of a layer, or a body that never ends. T137, G8."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from registries.limits import MANIFEST_BYTES, MIB
from tests import scene
from tests.e2e.shop import COMMAND, SECONDS, Ended, checked
from tests.faults import Action, Answer, Repeated, Reply, Seen, endless, status, then
from tests.images import CONFIG_TYPE, LAYER_TYPE
from tests.scene import TAG, WORDS, Scene

MOST_BYTES = 128 * MIB
SENT_BYTES = 16 * MIB  # what may be under way in buffers beyond what is taken

# A process of its own, which is small: what a child had before it became samebits counts as the child's.
_MEASURE = """\
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene.opened(layers=1) as opened:
        yield opened


@dataclass(frozen=True)
class Measured:
    """How a command ended, and the most memory that it had resident, in bytes."""

    ended: Ended
    peak: int


def measured(stage: Scene, folder: Path, *words: str) -> Measured:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "SAMEBITS_TRUST": "trust.yaml"}
    command = [sys.executable, "-c", _MEASURE, str(folder / "peak"), *COMMAND, *words]
    done = subprocess.run(
        command, cwd=stage.written(folder), env=environment, capture_output=True, timeout=SECONDS, check=False
    )
    ended = checked(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))
    return Measured(ended, int((folder / "peak").read_text()) * 1024)


def test_t137_a_layer_of_two_gigabytes_passes_through_little_memory(stage: Scene, tmp_path: Path) -> None:
    stage.again()
    source, destination = stage.prod, stage.dev
    layer = Repeated(os.urandom(MIB), 2048)
    digest = layer.digest
    source.large[digest] = destination.large[digest] = layer
    source.blobs["builder/big", digest] = b""
    source.put_manifest("builder/big", _manifest(source.put_blob("builder/big", b"{}"), digest, layer.size), TAG)

    run = measured(
        stage, tmp_path, "promote", "build", f"{source.host}/builder/big:{TAG}", "--key", "keys/ci-build.key"
    )

    assert run.ended.code == 0, run.ended.stderr
    assert ("dev/shop/api", digest) in destination.blobs
    assert run.peak <= MOST_BYTES, f"{run.peak / MIB:.0f} MiB"


def _manifest(config: str, layer: str, size: int) -> bytes:
    return (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"config":{{"mediaType":"{CONFIG_TYPE}","digest":"{config}","size":2}},'
        f'"layers":[{{"mediaType":"{LAYER_TYPE}","digest":"{layer}","size":{size}}}]}}'
    ).encode()


def huge(seen: Seen, answer: Answer) -> Reply:
    """A body of ten gigabytes, as it says itself."""
    reply = endless()(seen, answer)
    return Reply(headers={**reply.headers, "Content-Length": str(10**10)}, body=reply.body)


def bomb() -> Action:
    """A small body that unpacks to a gigabyte."""
    packed = gzip.compress(b" " * MIB) * 1024
    return then(lambda reply: Reply(headers={**reply.headers, "Content-Encoding": "gzip"}, body=packed))


@pytest.mark.parametrize(
    ("path", "action", "code"),
    [
        (f"/manifests/{TAG}", endless(), "size-limit"),
        (f"/manifests/{TAG}", huge, "size-limit"),
        (f"/manifests/{TAG}", bomb(), "content-encoding-refused"),
        ("/manifests/sha256:", endless(), "size-limit"),
        ("/referrers/", endless(), "size-limit"),
        (f"/manifests/{TAG}", status(403, body=b"{" * 64 * MIB), "access-denied"),
    ],
    ids=["endless tag", "huge tag", "packed tag", "endless manifest", "endless list", "long error"],
)
def test_t137_a_hostile_body_is_cut_at_its_limit(
    stage: Scene, tmp_path: Path, path: str, action: Action, code: str
) -> None:
    stage.again()
    sent = itertools.count()
    stage.dev.rule("GET", path, _counted(action, sent))

    run = measured(stage, tmp_path, *WORDS)

    assert code in run.ended.reasons, run.ended.stderr
    assert run.peak <= MOST_BYTES, f"{run.peak / MIB:.0f} MiB"
    asked = len(stage.dev.requests) + len(stage.prod.requests)  # several at the same time, each cut at its limit
    assert next(sent) <= asked * (MANIFEST_BYTES + SENT_BYTES) / _PIECE
    assert stage.tagged == set()


_PIECE = 64 * 1024


def _counted(action: Action, sent: Iterator[int]) -> Action:
    """The same, in pieces that are counted when they go out."""

    def pieces(reply: Reply) -> Iterator[bytes]:
        whole = (reply.body,) if isinstance(reply.body, bytes) else reply.body
        for content in whole:
            for start in range(0, len(content), _PIECE):
                next(sent)
                yield content[start : start + _PIECE]

    def act(seen: Seen, answer: Answer) -> Reply:
        reply = action(seen, answer)
        return Reply(status=reply.status, headers=reply.headers, body=pieces(reply))

    return act
