from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.errors import UsageError
from stages.duration import Duration


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
        ("99999w", timedelta(weeks=99999)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert Duration.parse(text).timedelta == length


@pytest.mark.parametrize(
    "text", ["", "24", "h", "0h", "-1h", "1.5h", "024h", "24H", "24 h", " 24h", "24h\n", "1d12h", "100000w", "٣h", "1y"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Duration.parse(text)
    assert error.value.code == "definition-invalid"


@settings(deadline=None)
@given(st.integers(1, 99999), st.sampled_from("smhdw"))
def test_a_duration_is_shown_as_it_was_written(count: int, unit: str) -> None:
    assert str(Duration.parse(f"{count}{unit}")) == f"{count}{unit}"
