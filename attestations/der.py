"""DER, read strictly and only as far as time stamps and certificate extensions need it.

Source: ITU-T X.690, section 10 (distinguished encoding rules). Lengths are definite and as short as they can be, so
what is read has one form only. Whoever reads says which code the refusal carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
UTF8_STRING: Final = 0x0C
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31

_LONG_FORM: Final = 0x80
_HIGH_TAG: Final = 0x1F
_CONTEXT: Final = 0xA0
_LENGTH_BYTES: Final = 4
_ELEMENTS: Final = 256
_TIME: Final = re.compile(r"(\d{14})(?:\.(\d{0,8}[1-9]))?Z", re.ASCII)


class MalformedDer(ValueError):
    """The bytes are not the DER that was expected; says what was."""


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag, what is in it, and all of its bytes as they stand."""

    tag: int
    content: bytes
    whole: bytes

    def expect(self, tag: int, what: str) -> Element:
        """This element, if it has the tag."""
        if self.tag != tag:
            raise MalformedDer(f"{what} has the tag 0x{self.tag:02x}, not 0x{tag:02x}")
        return self

    def children(self, what: str, tag: int = SEQUENCE) -> Elements:
        """What stands in a sequence or set, to be taken one by one."""
        self.expect(tag, what)
        return Elements(tuple(_elements(self.content, what)), what)

    def inner(self, what: str) -> Element:
        """The one element that this one wraps."""
        return one(self.content, what)

    def integer(self, what: str) -> int:
        """A whole number."""
        content = self.expect(INTEGER, what).content
        if not content or (len(content) > 1 and content[0] in (0x00, 0xFF) and (content[0] ^ content[1]) < _LONG_FORM):
            raise MalformedDer(f"{what} is no whole number in its shortest form")
        return int.from_bytes(content, "big", signed=True)

    def octets(self, what: str) -> bytes:
        """The bytes of an octet string."""
        return self.expect(OCTET_STRING, what).content

    def identifier(self, what: str) -> str:
        """An object identifier in dotted form."""
        content = self.expect(OBJECT_IDENTIFIER, what).content
        if not content or content[-1] & _LONG_FORM:
            raise MalformedDer(f"{what} is cut off")
        numbers: list[int] = []
        number, fresh = 0, True
        for byte in content:
            if fresh and byte == _LONG_FORM:
                raise MalformedDer(f"{what} is not in its shortest form")
            number, fresh = (number << 7) | (byte & 0x7F), byte < _LONG_FORM
            if fresh:
                numbers.append(number)
                number = 0
        first = min(numbers[0] // 40, 2)
        return ".".join(str(part) for part in (first, numbers[0] - 40 * first, *numbers[1:]))

    def text(self, what: str) -> str:
        """A UTF8String."""
        try:
            return self.expect(UTF8_STRING, what).content.decode()
        except UnicodeDecodeError as error:
            raise MalformedDer(f"{what} is not UTF-8") from error

    def time(self, what: str) -> datetime:
        """A GeneralizedTime in UTC, with fractions as RFC 3161 section 2.4.2 allows them."""
        found = _TIME.fullmatch(self.expect(GENERALIZED_TIME, what).content.decode("ascii", "replace"))
        if found is None:
            raise MalformedDer(f"{what} is no time in UTC")
        try:
            whole = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise MalformedDer(f"{what} is no time: {error}") from error
        return whole + timedelta(microseconds=int((found[2] or "0").ljust(6, "0")[:6]))


class Elements:
    """Elements in their order. Each is taken once; what is left over at the end is a fault."""

    def __init__(self, items: tuple[Element, ...], what: str) -> None:
        self._items = items
        self._next = 0
        self._what = what

    def take(self, what: str) -> Element:
        """The next one, which must be there."""
        if self._next >= len(self._items):
            raise MalformedDer(f"{self._what} ends before {what}")
        self._next += 1
        return self._items[self._next - 1]

    def optional(self, tag: int) -> Element | None:
        """The next one if it has this tag."""
        if self._next < len(self._items) and self._items[self._next].tag == tag:
            return self.take(self._what)
        return None

    def end(self) -> None:
        """Nothing more may follow."""
        if self._next != len(self._items):
            raise MalformedDer(f"something follows at the end of {self._what}")

    def __iter__(self) -> Iterator[Element]:
        while self._next < len(self._items):
            yield self.take(self._what)


def one(content: bytes, what: str) -> Element:
    """The bytes as exactly one element."""
    element, end = _element(content, 0, what)
    if end != len(content):
        raise MalformedDer(f"something follows after {what}")
    return element


def context(number: int) -> int:
    """The tag of a constructed element that stands for field `number`."""
    return _CONTEXT + number


def _elements(content: bytes, what: str) -> Iterator[Element]:
    position = 0
    for _ in range(_ELEMENTS):
        if position == len(content):
            return
        element, position = _element(content, position, what)
        yield element
    raise MalformedDer(f"{what} has more than {_ELEMENTS} elements")


def _element(content: bytes, start: int, what: str) -> tuple[Element, int]:
    if len(content) - start < 2:  # noqa: PLR2004  a tag and a length
        raise MalformedDer(f"{what} is cut off")
    tag, length, position = content[start], content[start + 1], start + 2
    if tag & _HIGH_TAG == _HIGH_TAG:
        raise MalformedDer(f"{what} has a tag of several bytes")
    if length >= _LONG_FORM:
        count = length - _LONG_FORM
        digits = content[position : position + count]
        if not 1 <= count <= _LENGTH_BYTES or len(digits) != count or digits[0] == 0:
            raise MalformedDer(f"{what} has a length that is indefinite, cut off or too long")
        length, position = int.from_bytes(digits, "big"), position + count
        if length < _LONG_FORM:
            raise MalformedDer(f"{what} has a length that is not in its shortest form")
    end = position + length
    if end > len(content):
        raise MalformedDer(f"{what} is cut off")
    return Element(tag, content[position:end], content[start:end]), end
