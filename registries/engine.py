"""A Docker engine as samebits reaches it: which one, and what its failures are called here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registries.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from docker import DockerClient

ENGINE_SECONDS: Final = 600


@contextlib.contextmanager
def engine(environment: Mapping[str, str], *, where: str, seconds: float = ENGINE_SECONDS) -> Iterator[DockerClient]:
    """The engine that DOCKER_HOST (else the current Docker context) names; no answer may take longer than `seconds`."""
    import docker

    host = environment.get("DOCKER_HOST", "")
    if host.startswith("ssh://"):
        raise _unavailable("an engine behind ssh can't be asked; forward its socket", where)
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).is_socket():
        raise _unavailable(f"there is no Docker engine at {host}", where)
    with contextlib.ExitStack() as stack, asking(where):
        # An empty mapping would make the SDK look at the process's own environment.
        client = docker.from_env(environment={"DOCKER_HOST": "", **environment}, timeout=int(seconds))
        stack.callback(client.close)
        yield client


@contextlib.contextmanager
def asking(where: str) -> Iterator[None]:
    """What the SDK raises becomes ours. What goes wrong below HTTP is an OSError, that of `requests` included."""
    from docker.errors import DockerException, ImageNotFound

    try:
        yield
    except ImageNotFound as error:
        raise NotFound(
            "image-not-found", "the Docker engine has no such image", where=where, hint="docker image ls"
        ) from error
    except (DockerException, OSError) as error:
        raise _unavailable(f"the Docker engine gave no answer: {error}", where) from error


def _unavailable(why: str, where: str) -> Unavailable:
    return Unavailable(
        "docker-unavailable", why, where=where, hint="docker version; set DOCKER_HOST if it is not the local engine"
    )
