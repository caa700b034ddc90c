"""A private Sigstore for tests: the real programs, each test run with its own keys, ports and folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.private_sigstore.stack import PrivateSigstore
from tests import peers

WORKFLOWS = "https://github.com/acme/shop/.github/workflows"
BUILD = f"{WORKFLOWS}/build.yml@refs/heads/main"
PROMOTE = f"{WORKFLOWS}/promote.yml@refs/heads/main"


@contextlib.contextmanager
def private_sigstore() -> Iterator[PrivateSigstore]:
    """Started for as long as the block runs. A missing program skips the test, or fails it where it is required."""
    with tempfile.TemporaryDirectory(prefix="samebits-sigstore-") as folder:
        stack = PrivateSigstore.start(Path(folder) / "stack", peers.find)
        try:
            yield stack
        finally:
            stack.stop()
