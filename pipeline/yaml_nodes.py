"""YAML as plain nodes that know their line and column; whatever two readers could understand differently is refused.

A scalar is `true`, `false`, `null` or a whole number only where it is written like that and without quotes (a part of
the YAML 1.2 core schema); everything else is text, also `no`, `1.10` and `12:30:45`. Source: YAML 1.2.2, section 10.3.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from registries.errors import ContentError, Reason, Refusal
from registries.limits import DEFINITION_BYTES, JSON_DEPTH

DEPTH: Final = JSON_DEPTH
TOLD_FAULTS: Final = 100

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only its parser is used; nothing is constructed
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "": None}
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LINE_ENDS: Final = "\n\t"


class DefinitionError(Refusal):
    """A definition or trust file has faults; it carries all of them, each with its line and column."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a file; both numbers begin at 1, columns count characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; `plain` when it is written without quotes."""

    text: str
    plain: bool
    position: Position

    @property
    def value(self) -> str | int | bool | None:
        """What the text stands for. Nothing at all is `None`, as is `null`."""
        if self.plain and self.text in _WORDS:
            return _WORDS[self.text]
        if self.plain and _INTEGER.fullmatch(self.text):
            return int(self.text)
        return self.text


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order written, each key once."""

    entries: tuple[tuple[Scalar, Node], ...]
    position: Position

    def entry(self, key: str) -> tuple[Scalar, Node] | None:
        """The entry of this key."""
        return next((entry for entry in self.entries if entry[0].text == key), None)


Node = Scalar | Sequence | Mapping


@dataclass(slots=True)
class Faults:
    """Everything that is wrong with one file, collected so that it can be told at once, from top to bottom."""

    path: str
    _found: list[tuple[Position, Reason]] = field(default_factory=list)

    def add(self, at: Position, message: str, *, code: str = "definition-invalid", hint: str = "") -> None:
        """One fault at this place."""
        self._found.append((at, Reason(code, message, f"{self.path}:{at.line}:{at.column}", hint)))

    @property
    def count(self) -> int:
        """How many there are so far."""
        return len(self._found)

    def refuse(self) -> None:
        """Raise all faults, if there are any."""
        if self._found:
            raise self.refusal()

    def refusal(self) -> DefinitionError:
        """The refusal that tells all faults; there must be one."""
        reasons = [reason for _, reason in sorted(self._found, key=lambda found: found[0])]
        if len(reasons) > TOLD_FAULTS:
            rest = Reason("definition-invalid", f"and {len(reasons) - TOLD_FAULTS} more faults", self.path)
            reasons = [*reasons[:TOLD_FAULTS], rest]
        return DefinitionError.of(reasons)


@dataclass(frozen=True, slots=True)
class Document:
    """One file as nodes. `faults` holds the keys that are there twice; whoever reads on adds to it, then refuses."""

    path: str
    root: Node
    faults: Faults

    def at(self, *steps: str | int) -> Position:
        """Where the value at the end of these keys and indices stands, or the last one on the way that is there."""
        return self._walk(steps)[1].position

    def key_at(self, *steps: str | int) -> Position:
        """As `at`, but where the last key stands."""
        return self._walk(steps)[0].position

    def _walk(self, steps: tuple[str | int, ...]) -> tuple[Node, Node]:
        key, node = self.root, self.root
        for step in steps:
            match node:
                case Mapping() if isinstance(step, str) and (entry := node.entry(step)) is not None:
                    key, node = entry
                case Sequence() if isinstance(step, int) and step < len(node.items):
                    key = node = node.items[step]
                case _:
                    break
        return key, node


def parse(content: bytes, *, path: str) -> Document:
    """Read the only document of a file: `size-limit`, or `DefinitionError` for what is no YAML or is not read here.

    Refused are anchors, aliases, tags, merge keys, a second document, keys that are no text, and invisible characters.
    """
    if len(content) > DEFINITION_BYTES:
        raise ContentError(
            "size-limit", f"{len(content)} bytes are more than the limit of {DEFINITION_BYTES}", where=path
        )
    faults, repeated = Faults(path), Faults(path)
    text = _decoded(content, faults)
    root = _Composer(faults, repeated).compose(text)
    faults.refuse()
    if root is None:
        _stop(faults, Position(1, 1), "the file is empty")
    return Document(path, root, repeated)


def _decoded(content: bytes, faults: Faults) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        _stop(faults, _position(before), f"byte {error.start} is not UTF-8")
    if text.startswith("\ufeff"):
        _stop(faults, Position(1, 1), "the file begins with a byte order mark")
    text = text.replace("\r\n", "\n")
    index = _unseen(text)
    if index is not None:
        _stop(faults, _position(text[:index]), _invisible(text[index]))
    return text


def _unseen(text: str) -> int | None:
    """Where the first character is that changes how text looks or reads without being seen (T074)."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return None
    unseen = (n for n, c in enumerate(text) if c not in _LINE_ENDS and unicodedata.category(c) in _UNSEEN)
    return next(unseen, None)


def _invisible(character: str) -> str:
    return f"the invisible character U+{ord(character):04X}"


def _position(before: str) -> Position:
    return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _stop(faults: Faults, at: Position, message: str) -> NoReturn:
    faults.add(at, message)
    raise faults.refusal()


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end was not reached yet; a mapping's children are key, value, key, value."""

    is_mapping: bool
    position: Position
    children: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class _Composer:
    """Builds nodes from the parser's events without recursion."""

    faults: Faults
    repeated: Faults
    _open: list[_Open] = field(default_factory=list)
    _root: Node | None = None

    def compose(self, text: str) -> Node | None:
        """The root; None when there is no document. A second one, or one that is no YAML, ends the reading."""
        documents = 0
        for event in self._events(text):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    _stop(self.faults, _mark(event.start_mark), "a second document begins here; only one is read")
            self._take(event)
        return self._root

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            at = _mark(error.problem_mark) if error.problem_mark else Position(1, 1)
            _stop(self.faults, at, f"this is not YAML: {error.problem}")
        except yaml.YAMLError as error:
            _stop(self.faults, Position(1, 1), f"this is not YAML: {error}")

    def _take(self, event: Any) -> None:
        match event:
            case yaml.AliasEvent():
                self.faults.add(_mark(event.start_mark), f"aliases (*{event.anchor}) are not read; write it out")
                self._add(Scalar("", plain=True, position=_mark(event.start_mark)))
            case yaml.ScalarEvent():
                self._properties(event)
                self._add(self._scalar(event))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._properties(event)
                position = _mark(event.start_mark)
                if len(self._open) >= DEPTH:
                    _stop(self.faults, position, f"nested deeper than {DEPTH} levels")
                self._open.append(_Open(isinstance(event, yaml.MappingStartEvent), position))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._add(self._closed(self._open.pop()))
            case _:
                pass  # the beginning and the end of the stream and of the document

    def _properties(self, event: Any) -> None:
        if event.anchor is not None:
            self.faults.add(_mark(event.start_mark), f"anchors (&{event.anchor}) are not read")
        if event.tag is not None:
            self.faults.add(_mark(event.start_mark), f"tags ({event.tag}) are not read")

    def _scalar(self, event: Any) -> Scalar:
        position = _mark(event.start_mark)
        index = _unseen(event.value)
        if index is not None:
            self.faults.add(position, f"the text stands for {_invisible(event.value[index])}")
        return Scalar(event.value, plain=not event.style, position=position)

    def _add(self, node: Node) -> None:
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node

    def _closed(self, ended: _Open) -> Node:
        if not ended.is_mapping:
            return Sequence(tuple(ended.children), ended.position)
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(ended.children[::2], ended.children[1::2], strict=True):
            if not isinstance(key, Scalar) or not isinstance(key.value, str):
                self.faults.add(key.position, "a key must be text")
            elif key.text == "<<":
                self.faults.add(key.position, "merge keys (<<) are not read; write it out")
            elif key.text in entries:
                first = entries[key.text][0].position
                self.repeated.add(key.position, f"the key {key.text!r:.80} is here twice, first on line {first.line}")
            else:
                entries[key.text] = (key, value)
        return Mapping(tuple(entries.values()), ended.position)


def _mark(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)
