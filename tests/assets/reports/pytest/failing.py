"""The cases behind ../junit-pytest-failed.xml: one fails, one fails twice, one ends in an error, two pass."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def till() -> Iterator[int]:
    yield 250
    raise RuntimeError("the till would not close")


def test_a_basket_has_a_price() -> None:
    assert abs(-250) > 0


def test_a_discount_is_given() -> None:
    assert abs(-250) - 25 == 200, "10 % of 250"


def test_a_payment_fails_and_then_its_fixture(till: int) -> None:
    assert till == 0


def test_only_the_fixture_fails(till: int) -> None:
    assert till == 250


def test_shipping_is_free() -> None:
    assert not sum([])
