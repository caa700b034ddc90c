"""The shop that the end-to-end tests share; each test brings its own version of the image into it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.shop import Shop, opened


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("shop")) as made:
        yield made
