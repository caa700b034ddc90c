"""Crashes, concurrency and the network: T098, T099, T133 to T136 where one promotion is enough to see it.

The sweeps over every request are in `tests/sweeps`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from registries.manifest import EMPTY
from tests import scene
from tests.faults import Action, Seen, Stored, call, dribble, silence, status
from tests.scene import TAGS, Scene

PROMOTED = "promoted"


@pytest.fixture(scope="module", params=[True, False], ids=["referrers-api", "fallback-tag"])
def stage(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with scene.opened(referrers_api=request.param, layers=1) as opened:
        yield opened


def test_t098_whenever_the_tag_exists_the_content_is_there_and_the_chain_verifies(stage: Scene) -> None:
    states: list[Stored] = []
    stage.again()
    stage.rule(call(lambda _: states.append(stage.prod.stored()), after=True))
    stage.promote()
    stage.obey()
    tagged = {frozenset(state.tags.items()): state for state in reversed(states) if _tags(stage, state)}
    assert tagged  # the first state with one tag, and with both
    for state in tagged.values():
        stage.prod.restore(state)
        stage.check()
        assert stage.missing_blobs() == set()


def _tags(stage: Scene, state: Stored) -> set[str]:
    return {tag for repository, tag in state.tags if repository == stage.destination} & set(TAGS)


def test_a_second_promotion_writes_nothing_and_names_the_same_record(stage: Scene) -> None:
    stage.again()
    first = stage.promote()
    stage.obey()
    assert stage.promote().record == first.record
    assert stage.prod.writes() == stage.dev.writes() == []


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/manifests/", dribble(0.02)),
        ("GET", "/blobs/", dribble(0.02)),
        ("GET", "/referrers/|/manifests/sha256-", dribble(0.02)),
        ("GET", "/manifests/", silence()),
        ("POST", "/blobs/uploads/", silence()),
        ("PUT", "/blobs/uploads/", silence()),
        ("PUT", "/manifests/", silence()),
    ],
)
def test_t133_a_registry_that_is_too_slow_is_not_waited_for(
    stage: Scene, method: str, path: str, action: Action
) -> None:
    stage.again()
    for registry in stage.registries:
        registry.rule(method, path, action)
    assert stage.outcome(patience=0.3) == "deadline-exceeded"
    stage.obey()
    stage.check()


def test_t134_a_blob_that_garbage_collection_takes_before_its_manifest_comes_is_missed(stage: Scene) -> None:
    """The blob was uploaded and read back; then it goes, and the manifest that names it is refused by the registry."""
    stage.again()
    layer = str(stage.image.blobs[1][0].digest)

    def collect(_: Seen) -> None:
        stage.prod.blobs.pop((stage.destination, layer), None)

    stage.prod.rule("PUT", f"/manifests/{stage.image.manifests[0].digest}", call(collect), nth=1)
    outcome = stage.outcome()
    assert outcome in (PROMOTED, "destination-incomplete")
    stage.obey()
    stage.check()
    assert stage.outcome() == PROMOTED
    stage.check_complete()


def test_t098_records_that_can_not_be_copied_stop_the_promotion_before_it_writes(stage: Scene) -> None:
    """They are listed and can be read, but what all their manifests share is gone at the source."""
    stage.again()
    stage.dev.rule("GET", f"/blobs/{EMPTY.digest}", status(404))
    assert stage.outcome() == "attestation-not-visible"
    assert stage.prod.writes() == []
