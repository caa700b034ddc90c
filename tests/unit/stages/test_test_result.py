from __future__ import annotations

import json
from typing import Any

import pytest

from registries.errors import ContentError
from stages.report import TestResults
from stages.reports import test_result as reader


def read(result: Any, **lists: Any) -> TestResults:
    return reader.read(json.dumps({"result": result, "configuration": [], **lists}).encode())


def refusal(result: Any, **lists: Any) -> str:
    with pytest.raises(ContentError) as error:
        read(result, **lists)
    return error.value.code


def test_tests_are_counted_by_their_lists() -> None:
    found = read("FAILED", passedTests=["a", "b"], warnedTests=["c"], failedTests=["d"])
    assert (found.tests, found.failures, found.failed, found.warned) == (4, 1, ("d",), ("c",))
    assert read("PASSED", passedTests=["a"]).failed == ()


def test_a_list_that_denies_the_verdict_says_no_and_so_does_a_verdict_alone() -> None:
    assert read("PASSED", passedTests=["a"], failedTests=["d"]).failed == ("d",)
    assert read("PASSED", passedTests=["a"], warnedTests=["w"]).warned == ("w",)
    assert read("FAILED").failed == ("the run as a whole",)
    assert read("FAILED", passedTests=["a"]).failed == ("the run as a whole",)
    assert read("WARNED", passedTests=["a"]).warned == ("the run as a whole",)


def test_no_test_by_name_is_empty() -> None:
    assert refusal("PASSED") == "evidence-empty"
    assert refusal("WARNED", passedTests=[]) == "evidence-empty"


@pytest.mark.parametrize("verdict", ["passed", "OK", "", None, True, ["PASSED"]])
def test_another_verdict_is_malformed(verdict: Any) -> None:
    assert refusal(verdict, passedTests=["a"]) == "evidence-malformed"


def test_lists_hold_names() -> None:
    assert refusal("PASSED", passedTests=[1]) == "evidence-malformed"
    assert refusal("PASSED", passedTests="a") == "evidence-malformed"
