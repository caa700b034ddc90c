"""JSON from outside, read so that no two parsers can disagree about what it says.

Refused with `json-ambiguous`: duplicate keys, NaN and Infinity, lone surrogates, integers beyond 2**53, depth over 64,
a byte order mark, bytes that are not UTF-8. Source: RFC 8259 sections 4, 6 and 8; RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from registries.errors import ContentError
from registries.limits import JSON_DEPTH, JSON_INTEGER

_SPACE: Final = " \t\r\n"

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class _Ambiguous(ValueError):
    """Raised inside the parser's hooks; becomes a `ContentError` at the door."""


def loads(content: bytes, *, limit: int, where: str = "") -> Any:
    """Parse at most `limit` bytes of UTF-8 JSON. Malformed text raises `json-malformed`, ambiguous `json-ambiguous`."""
    if len(content) > limit:
        raise ContentError("size-limit", f"{len(content)} bytes are more than the limit of {limit}", where=where)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentError("json-ambiguous", f"not UTF-8 at byte {error.start}", where=where) from error
    try:
        value = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
        _bounded(value)
    except _Ambiguous as error:
        raise ContentError("json-ambiguous", str(error), where=where) from error
    except RecursionError as error:
        raise ContentError("json-ambiguous", f"nested deeper than {JSON_DEPTH} levels", where=where) from error
    except ValueError as error:
        raise ContentError("json-malformed", f"not JSON: {error}", where=where) from error
    return value


def loads_object(content: bytes, *, limit: int, where: str = "") -> dict[str, Any]:
    """As `loads`, and the outermost value must be an object."""
    value = loads(content, limit=limit, where=where)
    if not isinstance(value, dict):
        raise ContentError("json-malformed", f"expected an object, found {kind(value)}", where=where)
    return value


def member_content(content: bytes, name: str) -> bytes:
    """The exact bytes of one member of an object; `content` was read by `loads_object` before, so it is well-formed."""
    text, decoder = content.decode("utf-8"), json.JSONDecoder()
    at = _behind_space(text, 0) + 1
    while True:
        found, at = decoder.raw_decode(text, _behind_space(text, at))
        start = _behind_space(text, _behind_space(text, at) + 1)
        _, end = decoder.raw_decode(text, start)
        if found == name:
            return text[start:end].encode("utf-8")
        at = _behind_space(text, end) + 1


def dumps(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Compact UTF-8 bytes, keys in the order given. Only for what samebits itself writes."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def kind(value: object) -> str:
    """What JSON calls a value of this type, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _behind_space(text: str, at: int) -> int:
    while text[at] in _SPACE:
        at += 1
    return at


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Ambiguous(f"the key {key!r} occurs twice in one object")
        found[key] = value
    return found


def _constant(text: str) -> NoReturn:
    raise _Ambiguous(f"{text} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > len(str(JSON_INTEGER)) + 1 or abs(value := int(text)) > JSON_INTEGER:
        raise _Ambiguous(f"an integer beyond 2**53 ({text[:20]}) reads differently elsewhere")
    return value


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _Ambiguous(f"the number {text[:20]} does not fit a double")
    return value


def _bounded(value: Any) -> None:
    """Depth at most 64 and no lone surrogate anywhere, walked without recursion."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _no_surrogates(item)
            continue
        if not isinstance(item, dict | list):
            continue
        if depth > JSON_DEPTH:
            raise _Ambiguous(f"nested deeper than {JSON_DEPTH} levels")
        if isinstance(item, dict):
            for key, child in item.items():
                _no_surrogates(key)
                waiting.append((child, depth + 1))
        else:
            waiting.extend((child, depth + 1) for child in item)


def _no_surrogates(text: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _Ambiguous("a lone surrogate is not a character")
