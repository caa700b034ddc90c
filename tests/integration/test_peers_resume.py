"""Transfers that are cut between samebits and registries that others wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from hashlib import shake_128
from pathlib import Path

import pytest

from registries.access import Access
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.kinds.http import HttpRegistry
from tests import peers
from tests.cutting import cutting

pytestmark = pytest.mark.peer

CONTENT = shake_128(b"content").digest(8_000_000)
BLOB = Descriptor(media_type="application/octet-stream", digest=Digest.of(CONTENT), size=len(CONTENT))
OVERHEAD = 16 * 1024


@pytest.fixture(params=["distribution-registry", "docker-registry"])
def registry(request: pytest.FixtureRequest) -> Iterator[str]:
    with peers.distribution(request.param) as registry:
        yield registry.host


def pieces() -> Iterator[bytes]:
    return (CONTENT[start : start + 100_000] for start in range(0, len(CONTENT), 100_000))


def test_what_was_cut_on_its_way_up_and_down_is_whole_and_comes_back(registry: str, tmp_path: Path) -> None:
    access = Access.of({"HOME": str(tmp_path)})
    with cutting(registry, up=[3_000_000], down=[5_000_000]) as line, closing(access.transport(line.address)) as door:
        place = HttpRegistry(line.address, transport=door)
        place.push_blob("app", BLOB, pieces)
        assert line.up == []
        assert b"".join(place.blob("app", BLOB)) == CONTENT
        assert line.down == []
        assert line.received <= len(CONTENT) + OVERHEAD
    print(registry, line.sent)
