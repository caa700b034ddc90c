from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registries.errors import Refusal, UsageError
from registries.pace import Deadline, Rate
from tests import faults
from tests.clock import FakeClock
from tests.faults import FaultRegistry
from tests.talk import credentials, get, opened

NEVER = Deadline(1e9)


def rate(per_second: float | None, clock: FakeClock) -> Rate:
    return Rate(per_second, clock=clock, sleep=clock.sleep)


def test_without_a_limit_nobody_waits() -> None:
    clock = FakeClock()
    paced = rate(None, clock)
    for _ in range(1000):
        paced.wait(NEVER, "")
        paced.answered()
    assert clock.pauses == []


def test_a_limit_keeps_requests_apart_however_they_come() -> None:
    clock = FakeClock()
    paced = rate(10, clock)
    begun = clock.now
    for _ in range(21):
        paced.wait(NEVER, "")
    assert clock.now - begun == pytest.approx(2.0)
    clock.now += 60  # time that nobody used is not saved up
    paced.wait(NEVER, "")
    paced.wait(NEVER, "")
    assert clock.pauses[-1] == pytest.approx(0.1)


def test_after_a_429_everybody_waits_and_goes_slower() -> None:
    clock = FakeClock()
    paced = rate(None, clock)
    sent = paced.wait(NEVER, "")
    paced.refused(sent, 7.0)
    paced.wait(NEVER, "")
    paced.wait(NEVER, "")
    assert clock.pauses == [pytest.approx(7.0), pytest.approx(0.05)]


def test_answers_to_what_was_sent_before_going_slower_count_once() -> None:
    clock = FakeClock()
    paced = rate(None, clock)
    burst = [paced.wait(NEVER, "") for _ in range(8)]
    for sent in burst:
        paced.refused(sent, 0.0)
    paced.wait(NEVER, "")
    paced.wait(NEVER, "")
    assert clock.pauses == [pytest.approx(0.05)]


def test_each_429_after_that_doubles_the_distance_and_answers_shorten_it_again() -> None:
    clock = FakeClock()
    paced = rate(None, clock)
    for _ in range(20):
        clock.now += 60
        paced.refused(paced.wait(NEVER, ""), 0.0)
    clock.now += 60
    paced.wait(NEVER, "")
    paced.wait(NEVER, "")
    assert clock.pauses[-1] == pytest.approx(5.0)  # and not more
    for _ in range(100):
        paced.answered()
    clock.pauses.clear()
    clock.now += 60
    paced.wait(NEVER, "")
    paced.wait(NEVER, "")
    assert clock.pauses == []


def test_a_limit_that_was_set_is_never_undercut() -> None:
    clock = FakeClock()
    paced = rate(2, clock)
    paced.refused(paced.wait(NEVER, ""), 0.0)
    for _ in range(100):
        paced.answered()
    clock.now += 60
    clock.pauses.clear()
    paced.wait(NEVER, "")
    paced.wait(NEVER, "")
    assert clock.pauses == [pytest.approx(0.5)]


@pytest.mark.parametrize("per_second", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_that_is_none_is_a_usage_error(per_second: float) -> None:
    with pytest.raises(UsageError) as error:
        rate(per_second, FakeClock())
    assert error.value.code == "usage"


def test_a_turn_after_the_end_of_the_run_is_not_waited_for() -> None:
    clock = FakeClock()
    paced = rate(0.1, clock)
    deadline = Deadline(5, clock=clock)
    paced.wait(deadline, "here")
    with pytest.raises(Refusal) as error:
        paced.wait(deadline, "here")
    assert error.value.code == "deadline-exceeded"
    assert error.value.reasons[0].where == "here"
    assert clock.pauses == []


def test_a_429_slows_all_threads_that_talk_to_this_registry(tmp_path: Path) -> None:
    clock = FakeClock()
    with FaultRegistry() as registry:
        registry.put_blob("app", b"")
        registry.rule("GET", "", faults.status(429, {"Retry-After": "30"}), nth=1)
        with opened(registry.host, credentials(tmp_path), clock=clock, sleep=clock.sleep) as transport:
            with ThreadPoolExecutor(4) as pool:
                assert all(b"app" in body for body in pool.map(lambda _: get(transport), range(8)))
            assert transport.requests == 9
    assert max(clock.pauses) == pytest.approx(30.0, abs=1.0)


def test_what_a_run_pauses_for_is_no_part_of_its_time() -> None:
    clock = FakeClock()
    deadline = Deadline(5, clock=clock)
    with deadline.paused():
        clock.now += 100
    assert deadline.left == pytest.approx(5)
    clock.now += 5
    with pytest.raises(Refusal):
        deadline.check("here")
