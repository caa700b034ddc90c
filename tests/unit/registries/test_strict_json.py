from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from registries.errors import ContentError
from registries.limits import JSON_DEPTH, JSON_INTEGER
from registries.strict_json import dumps, loads, loads_object


def code(content: bytes, read: Callable[..., Any] = loads, limit: int = 1 << 20) -> str:
    with pytest.raises(ContentError) as error:
        read(content, limit=limit, where="here")
    assert error.value.reasons[0].where == "here"
    return error.value.code


@pytest.mark.parametrize(
    "value", [{}, [], {"a": [1, -2, 0.5, 1e3, True, False, None, "ä\n\U0001f600"]}, "text", 7, None, {"": ""}]
)
def test_plain_json_is_read_as_it_is(value: Any) -> None:
    assert loads(json.dumps(value).encode(), limit=1000) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode(), limit=1000) == value


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'[{"deep":[{"x":null,"x":null}]}]',
        b'{"subject":[],"b":0,"subject":[]}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b'"\\ud800"',
        b'"\\udfff\\ud800"',
        b'{"\\ud83d":1}',
        b'["a",{"b":"\\udc00"}]',
        str(JSON_INTEGER + 1).encode(),
        str(-JSON_INTEGER - 1).encode(),
        b"1" * 5000,
        b"-" + b"9" * 5000,
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b"\xff\xfe{\x00}\x00",
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b"[" * 200_000,
        b'{"a":' * 200_000,
    ],
)
def test_t019_what_two_parsers_could_read_differently_is_refused(content: bytes) -> None:
    assert code(content) in {"json-ambiguous"} | ({"json-malformed"} if content.startswith(b"\xef\xbb") else set())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"}",
        b"{} {}",
        b"[1,]",
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b"// no\n{}",
        b"nan",
        b"True",
        b"01",
        b"+1",
        b".5",
        b'"\x00"',
        b'"\n"',
        b'"\\x41"',
        b"{}\x00",
        b"undefined",
    ],
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    assert code(content) == "json-malformed"


def test_a_byte_order_mark_is_refused() -> None:
    assert code("﻿{}".encode()) in {"json-ambiguous", "json-malformed"}


def test_integers_are_exact_to_the_limit_and_refused_one_beyond() -> None:
    for number in (JSON_INTEGER, -JSON_INTEGER):
        assert loads(str(number).encode(), limit=100) == number
    assert code(str(JSON_INTEGER + 1).encode()) == "json-ambiguous"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_read_to_the_limit_and_refused_one_beyond(opening: bytes, closing: bytes) -> None:
    leaf = b"[]" if opening == b"[" else b"{}"
    deepest = opening * (JSON_DEPTH - 1) + leaf + closing * (JSON_DEPTH - 1)
    assert loads(deepest, limit=10_000)
    assert code(opening + deepest + closing) == "json-ambiguous"


def test_bytes_are_read_to_the_limit_and_refused_one_beyond() -> None:
    content = b'"' + b"x" * 98 + b'"'
    assert loads(content, limit=100) == "x" * 98
    assert code(content, limit=99) == "size-limit"


def test_the_limit_is_checked_before_anything_is_parsed() -> None:
    assert code(b"[" * 1000, limit=999) == "size-limit"


@pytest.mark.parametrize("content", [b"[]", b"null", b'"{}"', b"1", b"true"])
def test_where_an_object_is_wanted_nothing_else_will_do(content: bytes) -> None:
    assert code(content, loads_object) == "json-malformed"


def test_surrogate_pairs_are_characters() -> None:
    assert loads(b'"\\ud83d\\ude00"', limit=100) == "\U0001f600"


def test_what_is_written_is_compact_and_keeps_the_order_of_its_keys() -> None:
    assert dumps({"b": 1, "a": ["ä", None]}) == '{"b":1,"a":["ä",null]}'.encode()


def test_what_can_not_be_json_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps({"a": float("nan")})
