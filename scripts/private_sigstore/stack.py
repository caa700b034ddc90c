"""A private Sigstore on loopback: an OIDC issuer, Fulcio, Rekor v2 and a timestamp authority, as processes.

Everything lies in one folder: keys, logs, process ids, and the trust files for clients. What was started is ended by
its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, cast
from urllib.request import ProxyHandler, build_opener

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scripts.private_sigstore import material, services
from scripts.private_sigstore.material import Ports

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("fulcio", "rekor-server", "timestamp-server")
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0


class NotStarted(Exception):
    """A service ended, or was not ready in time."""


@dataclass(frozen=True, slots=True)
class PrivateSigstore:
    """A running stack, known by its folder."""

    folder: Path
    ports: Ports

    @classmethod
    def start(cls, folder: Path, find: Callable[[str], Path]) -> Self:
        """Make new keys in an empty folder and start every service; `find` says where a program is."""
        programs = {name: find(name) for name in PROGRAMS}
        (folder / "log").mkdir(parents=True)
        (folder / "pid").mkdir()
        stack = cls(folder, _free_ports())
        material.make(folder, stack.ports, datetime.now(UTC))
        (folder / "ports").write_text("".join(f"{name} {port}\n" for name, port in asdict(stack.ports).items()))
        try:
            stack._start(programs)
        except BaseException:
            stack.stop()
            raise
        return stack

    @classmethod
    def running(cls, folder: Path) -> Self:
        """The stack that was started in this folder."""
        lines = (folder / "ports").read_text().splitlines()
        return cls(folder, Ports(**{name: int(port) for name, port in (line.split() for line in lines)}))

    @property
    def trusted_root(self) -> Path:
        return self.folder / "trusted_root.json"

    @property
    def signing_config(self) -> Path:
        return self.folder / "signing_config.json"

    @property
    def trust_config(self) -> Path:
        """Both of these in one: what Sigstore calls a client trust config."""
        return self.folder / "trust_config.json"

    def issuer(self, name: str = "github") -> str:
        return self.ports.issuer(name)

    def token(
        self,
        subject: str,
        *,
        issuer: str = "github",
        audience: str = "sigstore",
        issued: float | None = None,
        seconds: int = 600,
    ) -> str:
        """An identity token: of `github` for the subject `https://github.com/OWNER/REPO/PATH@REF`, else for an e-mail.

        `issued` is in seconds since 1970. An issuer that is no name in ISSUERS is written into the token as it stands.
        """
        key = cast(rsa.RSAPrivateKey, load_pem_private_key((self.folder / "issuer.key").read_bytes(), None))
        url = self.issuer(issuer) if issuer in material.ISSUERS else issuer
        return services.token(key, url, subject, audience=audience, issued=issued, seconds=seconds)

    def ambient(self, subject: str) -> Mapping[str, str]:
        """The environment of a GitHub job that may ask for identity tokens of this subject."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.issuer()}/token?subject={subject}",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": services.AMBIENT,
        }

    def stop(self) -> None:
        """End every service that was started here, last one first."""
        for file in sorted((self.folder / "pid").glob("*"), reverse=True):
            _end(int(file.read_text()), str(self.folder))
            file.unlink()

    def _start(self, programs: Mapping[str, Path]) -> None:
        here, ports = self.folder, self.ports
        base = (sys.executable, "-m", "scripts.private_sigstore.services", str(here), str(ports.services))
        issuer = self._spawn("1-services", *base)
        # Fulcio asks its issuers for their configuration when it starts
        self._wait(issuer, f"{self.issuer()}/.well-known/openid-configuration")
        fulcio = self._spawn(
            "2-fulcio",
            *(str(programs["fulcio"]), "serve", "--host=127.0.0.1", f"--port={ports.fulcio}"),
            *("--grpc-host=127.0.0.1", f"--grpc-port={ports.fulcio_grpc}", f"--metrics-port={ports.fulcio_metrics}"),
            *(f"--config-path={here}/fulcio.yaml", f"--legacy-unix-domain-socket={here}/fulcio.sock"),
            *("--ca=fileca", f"--fileca-cert={here}/fulcio.crt", f"--fileca-key={here}/fulcio.key"),
            *("--fileca-key-passwd=", "--fileca-watch=false"),
            *(f"--ct-log-url={ports.url(ports.services)}/ct", f"--ct-log-public-key-path={here}/ct.pub"),
        )
        rekor = self._spawn(
            "3-rekor",
            *(str(programs["rekor-server"]), "serve", "--hostname=127.0.0.1", f"--storage-dir={here}/rekor"),
            *(f"--signer-filepath={here}/rekor.key", "--http-address=127.0.0.1", f"--http-port={ports.rekor}"),
            *("--grpc-address=127.0.0.1", f"--grpc-port={ports.rekor_grpc}"),
            *(f"--http-metrics-port={ports.rekor_metrics}", "--batch-max-size=1", "--batch-max-age=20ms"),
            "--checkpoint-interval=100ms",
        )
        stamps = self._spawn(
            "4-tsa", str(programs["timestamp-server"]), str(ports.tsa), f"{here}/tsa.key", f"{here}/tsa.crt"
        )
        self._wait(fulcio, f"{ports.url(ports.fulcio)}/healthz")
        self._wait(rekor, f"{ports.url(ports.rekor)}/healthz")
        self._wait(stamps, f"{ports.url(ports.tsa)}/ping")

    def _spawn(self, name: str, *command: str) -> str:
        """Start a service; its process id and what it says are kept under its name."""
        log = os.open(self.folder / "log" / name, os.O_CREAT | os.O_WRONLY, 0o600)
        process = os.posix_spawn(
            command[0],
            command,
            {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "PYTHONPATH": str(ROOT)},
            file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
            setsid=True,
        )
        os.close(log)
        (self.folder / "pid" / name).write_text(str(process))
        return name

    def _wait(self, name: str, url: str) -> None:
        process = int((self.folder / "pid" / name).read_text())
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(url):
            if os.waitpid(process, os.WNOHANG)[0] or time.monotonic() > deadline:
                said = (self.folder / "log" / name).read_text(errors="replace")[-2000:]
                raise NotStarted(f"{name} is not ready at {url}:\n{said}")
            time.sleep(0.05)


def find(name: str) -> Path:
    """A program that `make peers` has built."""
    found = shutil.which(name, path=ROOT / ".cache/peers/bin")
    if found is None:
        raise NotStarted(f"{name} is not there; `make peers` builds it")
    return Path(found)


def _answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as answer:
            return cast(int, answer.status) < 300
    except OSError:
        return False


def _free_ports() -> Ports:
    """Ports that nobody uses now, all of them held until each is known."""
    with contextlib.ExitStack() as held:
        numbers = []
        for _ in Ports.__slots__:
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            numbers.append(one.getsockname()[1])
        return Ports(*numbers)


def _end(process: int, folder: str) -> None:
    """First asked, then killed; never a process whose command does not name our folder."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if folder in _command(process):
            os.kill(process, number)
        deadline = time.monotonic() + _STOP_SECONDS
        while folder in _command(process) and time.monotonic() < deadline:
            time.sleep(0.02)
    with contextlib.suppress(ChildProcessError):  # ours only when this process started it
        os.waitpid(process, os.WNOHANG)


def _command(process: int) -> str:
    """The words of a process; empty when it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""
