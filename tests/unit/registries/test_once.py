from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from registries.once import Once


def numbers(limit: int = 10) -> Once[str, int]:
    """Answers that weigh what they are."""
    return Once(weigh=lambda number: number, limit=limit)


def test_what_was_answered_is_not_asked_for_again() -> None:
    once, answers = numbers(), iter([1, 2])
    assert [once.get("a", lambda: next(answers)) for _ in range(3)] == [1, 1, 1]
    assert (once.peek("a"), once.peek("b")) == (1, None)


def test_threads_that_come_at_the_same_time_ask_once() -> None:
    once, asked, all_here = numbers(), [], threading.Barrier(4)
    answered = threading.Event()

    def ask() -> int:
        asked.append("a")
        assert answered.wait(10)
        return 1

    def come() -> int:
        all_here.wait(10)
        return once.get("a", ask)

    with ThreadPoolExecutor(4) as pool:
        coming = [pool.submit(come) for _ in range(4)]
        answered.set()
        assert [it.result(10) for it in coming] == [1, 1, 1, 1]
    assert asked == ["a"]


def test_a_failure_is_not_kept() -> None:
    once = numbers()

    def fail() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        once.get("a", fail)
    assert once.get("a", lambda: 1) == 1


def test_what_is_forgotten_is_asked_for_again_also_while_it_is_being_asked_for() -> None:
    once = numbers()
    once.put("a", 1)
    once.forget("a")

    def pushed_meanwhile() -> int:
        once.forget("a")
        return 2

    assert once.get("a", pushed_meanwhile) == 2
    assert once.peek("a") is None
    assert once.get("a", lambda: 3) == 3


def test_the_ones_used_longest_ago_go_when_all_together_weigh_too_much() -> None:
    once = numbers(limit=10)
    for key in "abc":
        once.put(key, 3)
    once.get("a", lambda: 0)
    once.put("d", 3)
    assert [once.peek(key) for key in "abcd"] == [3, None, 3, 3]
    once.put("e", 11)
    assert [once.peek(key) for key in "abcde"] == [None] * 5
    once.put("f", 10)
    assert once.peek("f") == 10


def test_an_answer_that_replaces_another_weighs_once() -> None:
    once = numbers(limit=10)
    for _ in range(5):
        once.put("a", 6)
    once.put("b", 4)
    assert (once.peek("a"), once.peek("b")) == (6, 4)
