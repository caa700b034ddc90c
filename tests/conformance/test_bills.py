"""CycloneDX's and SPDX's own libraries read the same bills, and bills that they write are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.reports import COMPONENTS
from tests import peers

pytestmark = pytest.mark.peer

SAMPLES = Path(__file__).parents[1] / "assets" / "reports"
BILLS = sorted(path.name for path in SAMPLES.glob("*-*") if path.name.partition("-")[0] in COMPONENTS)
ORACLES = Path(__file__).parent / "bill_oracles.py"


@pytest.mark.parametrize("name", BILLS)
def test_a_sample_is_valid_and_lists_as_many_packages_of_the_same_image_as_its_library_says(name: str) -> None:
    kind = name.partition("-")[0]
    said: dict[str, Any] = json.loads(peers.python(str(ORACLES), "read", kind, str(SAMPLES / name)))
    found = COMPONENTS[kind]((SAMPLES / name).read_bytes())
    assert said["valid"]
    assert found.number == len(said["packages"])
    assert [str(digest) for digest in found.about] == [said["of"]]


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6", "1.7"])
def test_a_bill_that_the_library_writes_is_read(version: str) -> None:
    written = peers.python(str(ORACLES), "write", version)
    found = COMPONENTS["cyclonedx"](written.encode())
    assert (found.number, [str(digest) for digest in found.about]) == (3, [f"sha256:{'a' * 64}"])
    assert found.made_at is not None
