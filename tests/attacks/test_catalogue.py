"""The catalogue of attacks, the page of those that are tested, and the tests: none may hold what the others lack."""

from __future__ import annotations

from pipeline.reasons import REASONS
from tests.attacks.catalogue import ATTACKS, AWAITED, PAGE, ROOT, page, shown

KNOWN = {item: codes for attacks in ATTACKS.values() for item, (_, codes) in attacks.items()}


def test_every_attack_that_a_test_names_is_known() -> None:
    assert {item: files for item, files in shown().items() if item not in KNOWN} == {}, "add it to ATTACKS"


def test_every_attack_that_is_not_awaited_is_named_by_a_test() -> None:
    assert len(KNOWN) - len(AWAITED) > 60
    assert set(KNOWN) - AWAITED - set(shown()) == set(), "its test is gone, or has another name"
    assert set(KNOWN) >= AWAITED


def test_the_page_shows_exactly_the_attacks_that_tests_name() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "make generate"
    listed = [line[2:6] for line in page().splitlines() if line.startswith("| T")]
    assert listed == sorted(shown())


def test_every_reason_of_an_attack_is_a_code_that_one_of_its_tests_asserts() -> None:
    assert {code for codes in KNOWN.values() for code in codes} <= set(REASONS)
    text = {name: (ROOT / "tests" / name).read_text(encoding="utf-8") for files in shown().values() for name in files}
    unasserted = {
        (item, code)
        for item, files in shown().items()
        for code in KNOWN.get(item, ())
        if item not in AWAITED and not any(f'"{code}"' in text[name] for name in files)
    }
    assert unasserted == set()
