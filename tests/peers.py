"""Programs that others wrote: found where `make peers` put them, started on loopback, ended by process id.

A missing one skips the test with its reason; where SAMEBITS_REQUIRE is `all` or lists its name, the test fails instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

_PEERS = Path(__file__).resolve().parents[1] / ".cache" / "peers"
_DEBIAN = _PEERS / "debian"
PATH = os.pathsep.join(
    [str(_PEERS / "bin"), str(_DEBIAN / "usr/bin"), str(_DEBIAN / "usr/sbin"), os.environ.get("PATH", "")]
)
_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0

_REGISTRY_LISTENS = re.compile(r"listening on ([0-9.:]+)")
_GGCR_LISTENS = re.compile(r"^([0-9.:]+)\n")
_CLAMD_LISTENS = re.compile(r"(Self checking every)")
_ENGINE_LISTENS = re.compile(r"API listen on ([^\s\"]+)")
_REGISTRY_CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  cache: {{blobdescriptor: inmemory}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""

NO_SERVICES = {
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "caUrls": [],
    "oidcUrls": [],
    "rekorTlogUrls": [],
    "rekorTlogConfig": {},
    "tsaUrls": [],
    "tsaConfig": {},
}
"""For `cosign attest --signing-config`: a key, and no log, authority or clock on the internet."""


def find(name: str) -> Path:
    """Where this program is. Not there: the test skips, or fails where it is required."""
    found = shutil.which(name, path=PATH)
    if found is None:
        _missing(name, f"{name} is not on this machine; `make peers` gets it")
    return Path(found)


def node_modules() -> Path:
    """Where the npm packages are that tests use. Not there: the test skips, or fails where they are required."""
    found = _PEERS / "npm" / "node_modules"
    if not found.is_dir():
        _missing("sigstore-verify", "@sigstore/verify is not on this machine; `make peers` gets it")
    return found


def python(*arguments: str, seconds: float = 60.0) -> str:
    """Run the Python that has the libraries of requirements/peers.txt, and return its stdout."""
    program = _PEERS / "scanners" / "bin" / "python"
    if not program.exists():
        _missing("scanners", "the libraries of requirements/peers.txt are not on this machine; `make peers` gets them")
    return run(str(program), *arguments, seconds=seconds)


def run(
    name: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60.0, cwd: Path | None = None
) -> str:
    """Run a peer to its end and return its stdout; a failure shows what it said."""
    done = attempt(name, *arguments, env=env, seconds=seconds, cwd=cwd)
    assert done.returncode == 0, f"{name} {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def attempt(
    name: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60.0, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a peer to its end, whatever its exit code; in an empty folder, where none is named."""
    program = find(name)
    with _folder() as home:
        return subprocess.run(
            [program, *arguments],
            env={**environment(home), **(env or {})},
            cwd=cwd or home,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@dataclass(frozen=True)
class Distribution:
    """A running CNCF Distribution: no referrers API, deletion allowed, descriptors of blobs cached in memory."""

    host: str
    storage: Path
    program: str
    config: Path

    def collect_garbage(self, *options: str) -> str:
        """Remove what no manifest names from the disk, while the registry serves and remembers; returns what it did."""
        return run(self.program, "garbage-collect", *options, str(self.config))

    def stored(self, digest: str) -> Path:
        """Where the bytes with this digest lie on its disk, if they are there."""
        algorithm, _, encoded = digest.partition(":")
        return self.storage / "docker/registry/v2/blobs" / algorithm / encoded[:2] / encoded / "data"


@contextlib.contextmanager
def distribution(program: str = "distribution-registry", port: int = 0) -> Iterator[Distribution]:
    """`distribution-registry` is version 3.1.2, `docker-registry` Debian's 2.8.2."""
    with _folder() as folder:
        config, storage = folder / "config.yml", folder / "storage"
        config.write_text(_REGISTRY_CONFIG.format(storage=storage, port=port))
        with _running(program, "serve", str(config), folder=folder) as peer:
            yield Distribution(peer.awaited(_REGISTRY_LISTENS), storage, program, config)


@contextlib.contextmanager
def docker_registry(port: int = 0) -> Iterator[str]:
    """Debian's docker-registry; yields host:port."""
    with distribution("docker-registry", port) as registry:
        yield registry.host


@contextlib.contextmanager
def ggcr_registry(port: int = 0) -> Iterator[str]:
    """go-containerregistry's registry, in memory, with its referrers API on; yields host:port."""
    with _folder() as folder, _running("ggcr-registry", f"127.0.0.1:{port}", folder=folder) as peer:
        yield peer.awaited(_GGCR_LISTENS)


@contextlib.contextmanager
def clamd(signatures: str) -> Iterator[str]:
    """ClamAV's daemon with these signatures alone (`.ndb`); yields its `HOST:PORT`."""
    with _folder() as folder, socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        held.close()
        (folder / "signatures").mkdir()
        (folder / "signatures" / "own.ndb").write_text(signatures)
        config = folder / "clamd.conf"
        settings = {
            "Foreground": "yes",
            "DatabaseDirectory": folder / "signatures",
            "TCPAddr": "127.0.0.1",
            "TCPSocket": port,
            "TemporaryDirectory": folder,
            "StreamMaxLength": "1M",
            "User": "root",
        }
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        with _running("clamd", f"--config-file={config}", folder=folder) as peer:
            peer.awaited(_CLAMD_LISTENS)
            yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def dockerd() -> Iterator[Path]:
    """A Docker engine of its own, without network; yields its socket. Needs root."""
    find("dockerd")
    if os.geteuid() != 0:
        _missing("dockerd", "dockerd needs root")
    with _folder() as folder:
        socket = folder / "engine.sock"
        places = ("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid")
        options = ("--iptables=false", "--bridge=none", "--host", f"unix://{socket}")
        with _running("dockerd", *places, *options, folder=folder) as peer:
            peer.awaited(_ENGINE_LISTENS)
            yield socket


@dataclass(frozen=True)
class _Peer:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def awaited(self, line: re.Pattern[str]) -> str:
        """What this pattern captures in the program's output, as soon as it is there."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            ended = self.process.poll()
            said = self.log.read_text(errors="replace")
            if (found := line.search(said)) is not None:
                return found[1]
            assert ended is None, f"{self.name} exited {ended} instead of starting:\n{said}"
            assert time.monotonic() < deadline, f"{self.name} was not ready after {_READY_SECONDS:.0f} s:\n{said}"
            time.sleep(0.02)


@contextlib.contextmanager
def _running(name: str, *arguments: str, folder: Path) -> Iterator[_Peer]:
    """A program in a process group of its own for as long as the block runs."""
    log = folder / "log"
    command = [str(find(name)), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(folder), cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield _Peer(name, process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """By its id and that of its group: first asked, then, when it does not listen, killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
            return


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="samebits-peer-") as folder:
        yield Path(folder)


def _missing(name: str, reason: str) -> NoReturn:
    required = os.environ.get("SAMEBITS_REQUIRE", "").replace(",", " ").split()
    if "all" in required or name in required:
        pytest.fail(f"{reason} (SAMEBITS_REQUIRE demands it)")
    pytest.skip(reason)


def environment(home: Path) -> dict[str, str]:
    """No credentials and settings of whoever runs the tests, and the libraries that came with the Debian packages."""
    return {
        "PATH": PATH,
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in _DEBIAN.glob("**/lib/*-linux-gnu")),
        "HOME": str(home),
        "DOCKER_CONFIG": str(home),
        "NO_PROXY": "127.0.0.1",
        "OTEL_TRACES_EXPORTER": "none",
    }
