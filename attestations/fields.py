"""The members of a JSON object, by exact name and type: nothing unknown, nothing missing, nothing of another kind.

A name that differs in case or spelling is unknown, so no reader that ignores case can see another statement than
samebits does (golang/go#11673). Text with characters that can't be seen is refused in samebits' own fields.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from attestations.errors import AttestationError
from registries.digest import Digest
from registries.errors import ContentError
from registries.strict_json import kind, loads_object

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Read = Callable[[Any, str], T]


def parse(content: bytes, *, limit: int, malformed: str, where: str = "") -> dict[str, Any]:
    """A strict JSON object. What is no JSON gets the code `malformed`; ambiguous or too large keeps its own."""
    try:
        return loads_object(content, limit=limit, where=where)
    except ContentError as error:
        code = malformed if error.code == "json-malformed" else error.code
        raise AttestationError(code, error.reasons[0].message, where=where) from error


def only(value: Mapping[str, Any], names: Iterable[str], path: str, *, where: str = "") -> None:
    """Refuse (`field-unknown`) any member that is not one of `names`."""
    unknown = sorted(value.keys() - set(names))
    if unknown:
        raise AttestationError("field-unknown", f"{path} has the unknown field {unknown[0]!r:.80}", where=where)


@dataclass(frozen=True, slots=True)
class Fields:
    """The members of one object in a record; `path` says where it stands, for messages."""

    value: Mapping[str, Any]
    path: str

    @classmethod
    def of(cls, value: Any, path: str, names: tuple[str, ...], *, later: tuple[str, ...] = ()) -> Fields:
        """Exactly these members, all of them: `field-unknown`, `predicate-incomplete`.

        Only those in `later`, which came with a later version, may be left out.
        """
        if not isinstance(value, dict):
            raise mistyped(path, "an object", value)
        only(value, (*names, *later), path)
        for name in names:
            if name not in value:
                raise AttestationError("predicate-incomplete", f"{path} has no `{name}`")
        return cls(value, path)

    def has(self, name: str) -> bool:
        """Whether a member that may be left out is there."""
        return name in self.value

    def one(self, name: str, read: Read[T]) -> T:
        """One member."""
        return read(self.value[name], f"{self.path}.{name}")

    def optional(self, name: str, read: Read[T]) -> T | None:
        """A member that says `null` where there is nothing to say; it may not be left out."""
        return None if self.value[name] is None else self.one(name, read)

    def many(self, name: str, read: Read[T]) -> tuple[T, ...]:
        """A list."""
        items = self.value[name]
        if not isinstance(items, list):
            raise mistyped(f"{self.path}.{name}", "an array", items)
        return tuple(read(item, f"{self.path}.{name}[{number}]") for number, item in enumerate(items))

    def named(self, name: str, read: Read[T]) -> tuple[tuple[str, T], ...]:
        """An object whose keys are free: names with a value each, in the order written."""
        items = self.value[name]
        if not isinstance(items, dict):
            raise mistyped(f"{self.path}.{name}", "an object", items)
        path = f"{self.path}.{name}"
        return tuple((text(key, f"a name in {path}"), read(item, f"{path}.{key}")) for key, item in items.items())


def text(value: Any, path: str) -> str:
    """A string that shows all its characters (`control-characters`)."""
    if not isinstance(value, str):
        raise mistyped(path, "a string", value)
    for character in value:
        if unicodedata.category(character) in _UNSEEN:
            raise AttestationError("control-characters", f"{path} holds the character U+{ord(character):04X}")
    return value


def count(value: Any, path: str) -> int:
    """A whole number that is not negative."""
    if integer(value, path) < 0:
        raise AttestationError("payload-malformed", f"{path} is negative")
    return int(value)


def integer(value: Any, path: str) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise mistyped(path, "a whole number", value)
    return value


def flag(value: Any, path: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise mistyped(path, "true or false", value)
    return value


def choice(options: type[E]) -> Read[E]:
    """A reader for one of these words."""

    def read(value: Any, path: str) -> E:
        try:
            return options(text(value, path))
        except ValueError as error:
            words = ", ".join(options)
            raise AttestationError("payload-malformed", f"{path} is {value!r:.80}, not one of {words}") from error

    return read


def digest(value: Any, path: str) -> Digest:
    """`sha256:…` or `sha512:…`."""
    try:
        return Digest.parse(text(value, path))
    except ContentError as error:
        raise AttestationError(error.code, f"{path}: {error}") from error


def time(value: Any, path: str) -> datetime:
    """RFC 3339 in UTC with whole seconds, written with `Z`."""
    if not _TIME.fullmatch(text(value, path)):
        raise AttestationError("payload-malformed", f"{path} is no time of the form 2026-11-23T22:40:30Z")
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise AttestationError("payload-malformed", f"{path} is no time: {error}") from error


def rfc3339(moment: datetime) -> str:
    """The time as records and annotations write it; fractions of a second are cut."""
    if moment.tzinfo is None:
        raise ValueError("a time without its zone says nothing")
    return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def mistyped(path: str, expected: str, value: Any) -> AttestationError:
    """The refusal for a member of the wrong type."""
    return AttestationError("payload-malformed", f"{path} is not {expected}, but {kind(value)}")
