"""What several tests on real programs stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registries.kinds.http import http_registry
from registries.registry import Location
from registries.server import serve_in_thread
from scripts.private_sigstore.stack import PrivateSigstore
from tests.private_sigstore import private_sigstore


@pytest.fixture(scope="module")
def stack() -> Iterator[PrivateSigstore]:
    """A Sigstore of the real programs."""
    with private_sigstore() as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A repository of an embedded registry."""
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as host:
        yield Location(http_registry(host, environment={}), "shop/api")
