"""What several test modules of this folder need."""

from __future__ import annotations

from pathlib import Path

import pytest

WIRE_SAMPLES = Path(__file__).parents[2] / "assets" / "wire-samples"


@pytest.fixture
def cosign_key() -> bytes:
    """The public key that verifies the samples which cosign wrote."""
    return (WIRE_SAMPLES / "cosign.pub").read_bytes()
