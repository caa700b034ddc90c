"""The world of `tests.world` with registries behind HTTP, each of which may misbehave; and a few more misbehaviours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from registries.credentials import Credentials
from registries.errors import Refusal
from registries.kinds.http import HttpRegistry
from registries.registry import Location
from registries.transport import Transport
from tests.faults import Action, Answer, FaultRegistry, Reply, Seen
from tests.world import DEFINITION, TRUST, World


def world_over(
    *, source: FaultRegistry | None = None, dev: FaultRegistry | None = None, prod: FaultRegistry | None = None
) -> World:
    """A world where the builder's registry, that of `build` and `test`, or that of `prod` is reached over HTTP."""
    world = World(definition_text=DEFINITION, trust_text=TRUST)
    if source is not None:
        world.registries["source.test:5000"] = opened(source)
    for host, faults in (("dev.test:5000", dev), ("prod.test:5000", prod)):
        if faults is not None:
            world.definition_text = world.definition_text.replace(host, faults.host)
            world.trust_text = world.trust_text.replace(host, faults.host)
            world.registries[faults.host] = opened(faults)
    world.sign_definition()
    return world


def opened(faults: FaultRegistry, *, read_only: bool = False) -> HttpRegistry:
    """As a command opens it, but for its pauses, which take no time."""
    return _client(faults.host, read_only=read_only)


def reopen(world: World, *, read_only: bool = False) -> None:
    """Forget what was read before, as the next command does."""
    for host, registry in world.registries.items():
        if isinstance(registry, HttpRegistry):
            world.registries[host] = _client(registry.name, read_only=read_only)


def _client(host: str, *, read_only: bool) -> HttpRegistry:
    credentials = Credentials({}, home=None)
    transport = Transport(host, credentials=credentials, read_only=read_only, sleep=lambda _: None)
    return HttpRegistry(host, transport=transport)


def builder(world: World) -> Location:
    """Where the builder puts images."""
    return Location(world.registries["source.test:5000"], "builder/api")


def codes(action: Callable[[], object]) -> list[str]:
    """The reason codes of the refusal that this must end with."""
    with pytest.raises(Refusal) as error:
        action()
    return [reason.code for reason in error.value.reasons]


def both(first: Action, second: Action) -> Action:
    """What `first` makes of the answer, changed by `second`."""
    return lambda seen, answer: second(seen, lambda: first(seen, answer))


def as_if(faults: FaultRegistry, reference: str) -> Action:
    """Answer as if this tag or digest had been asked for."""

    def act(seen: Seen, answer: Answer) -> Reply:
        before, _, _ = seen.path.rpartition("/")
        return faults.correct(replace(seen, path=f"{before}/{reference}"))

    return act


def storing(faults: FaultRegistry, change: Callable[[bytes], bytes]) -> Action:
    """Take a manifest, and keep something else under the digest or tag that it was pushed to."""

    def act(seen: Seen, answer: Answer) -> Reply:
        reply = answer()
        repository, _, reference = seen.path.removeprefix("/v2/").partition("/manifests/")
        digest = reference if ":" in reference else faults.tags[repository, reference]
        media_type, content = faults.manifests[repository, digest]
        faults.manifests[repository, digest] = (media_type, change(content))
        return reply

    return act
