"""A copy streams: what it needs of memory does not depend on what the image weighs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.kinds.http import http_registry
from registries.limits import MIB
from registries.manifest import EMPTY, EMPTY_CONTENT, Manifest
from registries.registry import Location
from registries.server import serve_in_thread
from registries.strict_json import dumps
from tests import images, peers

pytestmark = pytest.mark.peer

MOST = 128 * MIB
LAYERS, LAYER_BYTES = 8, 60 * MIB
ROOT = Path(__file__).parents[2]
COPY = """
import sys
from pathlib import Path
from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.kinds.http import http_registry
from registries.registry import Location

source, destination = (Location(http_registry(host, environment={}), "large") for host in sys.argv[1:3])
moved = copy_image(plan_copy(Digest.parse(sys.argv[3]), source, destination))
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(moved.bytes, 1024 * int(peak))
"""


def push_large(place: Location) -> Digest:
    """An image of 480 MB, of which never more than a chunk is in memory."""
    chunk = os.urandom(MIB)

    def content(number: int) -> Iterator[bytes]:
        yield bytes([number])
        for _ in range(LAYER_BYTES // MIB):
            yield chunk

    layers = []
    for number in range(LAYERS):
        digester = hashlib.sha256()
        for piece in content(number):
            digester.update(piece)
        digest = Digest.parse(f"sha256:{digester.hexdigest()}")
        layer = Descriptor(media_type=images.PLAIN_LAYER_TYPE, digest=digest, size=LAYER_BYTES + 1)
        place.registry.push_blob(place.repository, layer, partial(content, number))
        layers.append(layer)
    images.push_blob(place, EMPTY, EMPTY_CONTENT)
    manifest = Manifest.from_bytes(dumps(images.manifest_value(layers=layers)))
    place.registry.push_manifest(place.repository, manifest)
    return manifest.digest


def test_copying_480_megabytes_takes_less_than_128_of_memory(tmp_path: Path) -> None:
    with peers.distribution() as there, serve_in_thread(tmp_path / "registry") as embedded:
        digest = push_large(Location(http_registry(there.host, environment={}), "large"))
        done = subprocess.run(
            [sys.executable, "-c", COPY, there.host, embedded, str(digest)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    moved, peak = map(int, done.stdout.split())
    assert moved > LAYERS * LAYER_BYTES
    assert peak < MOST
