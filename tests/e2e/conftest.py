"""The shop that the end-to-end tests share. Its image `ready` is in build, with all steps done; it stays there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.shop import Shop, opened


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("shop")) as made:
        made.workshop.in_build("ready")
        yield made
