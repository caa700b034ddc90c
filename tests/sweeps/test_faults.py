"""A promotion meets each kind of fault at each of its requests: it succeeds, or is refused cleanly and then run again.

T132, G7. Never a wrong verdict, a second admission, a hang, a tag without a chain. In one process, with clients that do
not sleep. The normal run meets about a thousand faults, each kind at every second or third request, those of one kind
between those of another, on registries without the referrers API; SAMEBITS_SWEEP=all takes each kind to every request,
on both sorts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from registries.limits import PROMOTION_SECONDS
from tests import scene
from tests.faults import FAULTS, LOST, Action, Turn, silence, status
from tests.scene import PATIENCE, Scene

ALL = os.environ.get("SAMEBITS_SWEEP") == "all"
RUNS = 960  # of all kinds together, at least
PROMOTED = "promoted"

UNANSWERED = frozenset({"registry-unavailable", "deadline-exceeded", "answer-unexpected"})
WRONG_CONTENT = frozenset(
    {"digest-mismatch", "size-mismatch", "json-malformed", "destination-altered", "fallback-tag-occupied"}
)
ABSENT = frozenset(
    {
        "image-not-found",
        "blob-not-found",
        "repository-not-found",
        "digest-changed",  # nothing says that it was admitted
        "predecessor-missing",
        "step-missing",
        "destination-incomplete",
        "attestation-not-visible",
        "referrers-incomplete",
        "tag-conflict",
    }
)
MISLEADING = {
    "half a body": UNANSWERED | {"destination-incomplete"},
    "empty body": UNANSWERED | WRONG_CONTENT | ABSENT,
    "wrong length": UNANSWERED | WRONG_CONTENT | ABSENT,
    "404 once": ABSENT,
    "time-out": UNANSWERED,
}
"""How a promotion may be refused after one fault of these kinds; an answer that says that something is absent may also
make it leave behind what others have attached. All other kinds pass by, so the promotion has to be complete.
"""

REFUSED = {"429, for ever": frozenset({"registry-unavailable"})}
"""How it ends at once where another try would help: nobody is kept waiting for longer than a minute."""


@pytest.fixture(scope="module", params=[True, False] if ALL else [False], ids=lambda api: "api" if api else "tag")
def stage(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with scene.opened(referrers_api=request.param, layers=1, after="build") as opened:
        yield opened


@pytest.mark.parametrize("kind", [*FAULTS, *LOST])
def test_t132_one_fault_at_any_request(stage: Scene, kind: str) -> None:
    kinds = {**FAULTS, **LOST}
    needed = stage.requests_needed()
    step = 1 if ALL else max(needed * len(kinds) // RUNS, 1)
    allowed = {PROMOTED} | MISLEADING.get(kind, frozenset()) | REFUSED.get(kind, frozenset())
    completed: set[object] = set()
    numbers = range(1 + list(kinds).index(kind) % step, needed + 1, step)
    for number in numbers:
        outcome = _met(stage, Turn(number, kinds[kind]), patience=0.3 if kind == "time-out" else PATIENCE)
        assert outcome in allowed, f"request {number}: {outcome}"
        misled = outcome == PROMOTED and kind in MISLEADING
        if outcome == PROMOTED and not misled:
            stage.check_complete()
        if not misled:
            _completed(stage, completed)
    print(f"points: {len(numbers)}, of {needed} requests")


@pytest.mark.parametrize("action", [status(503), silence()], ids=["503", "time-out"])
def test_t132_a_registry_that_fails_from_any_request_on(stage: Scene, action: Action) -> None:
    needed = stage.requests_needed()
    completed: set[object] = set()
    for number in range(1, needed - 3, 1 if ALL else max(needed // 20, 1)):
        outcome = _met(stage, Turn(number, action, times=10 * needed), patience=0.3)
        assert outcome in UNANSWERED, f"from request {number}: {outcome}"
        _completed(stage, completed)


def _met(stage: Scene, turn: Turn, *, patience: float) -> str:
    """How a promotion ends that meets this; whatever it waited for had an end, and what it leaves behind is right."""
    stage.again()
    stage.rule(turn)
    outcome = stage.outcome(patience)
    assert sum(stage.waited) < PROMOTION_SECONDS
    stage.obey()
    stage.check()
    return outcome


def _completed(stage: Scene, completed: set[object]) -> None:
    """The next run completes what was left behind; the same state only once."""
    state = stage.state()
    if state not in completed:
        completed.add(state)
        assert stage.outcome() == PROMOTED
        stage.check_complete()
