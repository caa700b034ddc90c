"""Runs a program inside exactly one image, in a container of a Docker engine that is gone afterwards.

The engine pulls the image by digest, and what it then holds must be what the registry's own manifests, read and hashed
here, say: the image itself, one of its platforms, or the configuration of one. The container starts from that id, not
from a name. The program gets no capability and no new privileges, and unless it is said, no network and a root file
system that can't be written to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from registries.digest import Digest
from registries.engine import asking
from registries.errors import ContentError, UsageError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

_PROCESSES: Final = 4096
_STDERR: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run: its words, its whole environment, what it may do, and for how many seconds."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    network: bool
    writable: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended: the engine's exit code, 128 and more for a signal; what ended it, when it did not do so itself."""

    exit_code: int
    timed_out: bool
    out_of_memory: bool


def run_in_image(
    client: DockerClient,
    image: str,
    program: Program,
    *,
    known: Collection[Digest],
    printed: Callable[[str, bytes], bool],
) -> Outcome:
    """Run it in `image`, a `host/repository@digest`, of which `known` are all ids that an engine may know it by.

    `printed` gets the name of an output and what came there; once it says no, the program is ended.
    Raises `digest-mismatch` when the engine holds another image, `step-command-missing` when nothing can be started.
    """
    with asking(image):
        name, _, digest = image.partition("@")
        pulled = client.images.pull(name, tag=digest)
        box = f"samebits-{token_hex(8)}"
        try:
            container = client.containers.create(str(pulled.id), name=box, **_settings(program))
            container.reload()
            _check(str(container.attrs["Image"]), known, image)
            return _run(container, program, printed)
        finally:
            _remove(client, box)


def _settings(program: Program) -> dict[str, Any]:
    first, *others = program.arguments
    return {
        "entrypoint": [first],
        "command": others,
        "environment": dict(program.environment),
        "network_mode": None if program.network else "none",
        "read_only": not program.writable,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": _PROCESSES,
        "log_config": {"Type": "none", "Config": {}},
    }


def _run(container: Container, program: Program, printed: Callable[[str, bytes], bool]) -> Outcome:
    from docker.errors import APIError

    timed_out = threading.Event()

    def end() -> None:
        timed_out.set()
        _kill(container)

    timer = threading.Timer(program.seconds, end)
    with _attached(container) as frames:
        try:
            container.start()
        except APIError as error:
            message = f"{program.arguments[0]} can't be run in the image: {error.explanation}"
            raise UsageError("step-command-missing", message) from error
        timer.start()
        try:
            for stream, chunk in frames:
                if not printed("stderr" if stream == _STDERR else "stdout", chunk):
                    _kill(container)
                    break
            exit_code = int(container.wait()["StatusCode"])
        finally:
            timer.cancel()
    container.reload()
    return Outcome(
        exit_code=exit_code, timed_out=timed_out.is_set(), out_of_memory=bool(container.attrs["State"]["OOMKilled"])
    )


@contextmanager
def _attached(container: Container) -> Iterator[Iterator[tuple[int, bytes]]]:
    """What the program prints, as (stream, bytes), from its first byte on."""
    from docker.utils.socket import frames_iter

    connection = container.attach_socket(params={"stdout": 1, "stderr": 1, "stream": 1})
    try:
        yield frames_iter(connection, tty=False)  # type: ignore[no-untyped-call]
    finally:
        # The SDK keeps the answer there, whose connection this is, and closes it nowhere.
        getattr(connection, "_response", connection).close()


def _remove(client: DockerClient, box: str) -> None:
    """By its name: a signal may have come before anybody knew its id."""
    from docker.errors import NotFound

    with suppress(NotFound):
        client.containers.get(box).remove(force=True, v=True)


def _kill(container: Container) -> None:
    from docker.errors import APIError

    with suppress(APIError):  # it has ended meanwhile
        container.kill()


def _check(found: str, known: Collection[Digest], image: str) -> None:
    """The engine's own word for the image is one of those that its content has."""
    if found not in {str(digest) for digest in known}:
        raise ContentError("digest-mismatch", f"the engine holds {found}, which is no part of this image", where=image)
