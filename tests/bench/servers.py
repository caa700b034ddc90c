"""The registries of a benchmark: each kind on a port of its own choice or of ours, empty whenever it starts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from tests import peers

SAMEBITS = Path(sys.executable).with_name("samebits")

_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0


@contextmanager
def samebits_registry(port: int = 0) -> Iterator[str]:
    """`samebits registry serve` on a new folder; yields host:port."""
    address = f"127.0.0.1:{port or free_port()}"
    with tempfile.TemporaryDirectory(prefix="samebits-bench-") as folder:
        command = (SAMEBITS, "registry", "serve", "--quiet", "--root", folder, "--address", address)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await(address, process)
            yield address
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            process.kill()
            process.wait(_STOP_SECONDS)


KINDS: Mapping[str, Callable[[int], AbstractContextManager[str]]] = {
    "docker-registry": peers.docker_registry,
    "ggcr": peers.ggcr_registry,
    "samebits": samebits_registry,
}


def is_here(kind: str) -> bool:
    """Whether such a registry can be started on this machine; our own always can."""
    program = {"ggcr": "ggcr-registry", "samebits": str(SAMEBITS)}.get(kind, kind)
    return shutil.which(program, path=peers.PATH) is not None


def free_port() -> int:
    """A port of loopback that nobody uses at this moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the registry did not start; its exit code: {process.returncode}")
