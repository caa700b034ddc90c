"""From nodes to dataclasses: fields are the keys of a mapping, and their type hints say what may stand there.

`max_age: Duration | None = None` reads the key `max-age`, which may be left out; without a default it is required.
`tuple[T, ...]` is a list, `Mapping[str, T]` a mapping with free keys, a type with a classmethod `parse(text)` a value.
A union of dataclasses is told apart by their required keys. The same walk gives the JSON Schema (draft 2020-12).
Nothing is left open: unknown keys, `null`, empty text, empty lists and equal items in a list are faults.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from pipeline import yaml_nodes
from pipeline.yaml_nodes import Document, Faults, Node, Scalar
from registries.errors import Refusal

T = TypeVar("T")
Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Matches:
    """In `Annotated[str, …]`: the whole text fits the pattern; `says` tells people what is wanted."""

    pattern: str
    says: str


@dataclass(frozen=True, slots=True)
class AtLeast:
    """In `Annotated[int, …]`: the smallest number."""

    number: int


@dataclass(frozen=True, slots=True)
class AtMost:
    """In `Annotated[tuple[…], …]`: the greatest number of items."""

    number: int


@dataclass(frozen=True, slots=True, eq=False)
class ByName:
    """In `Annotated[Mapping[str, …], …]`: each key names the dataclass that its value is.

    `beside` is a dataclass that holds the value in its first field; its other fields are keys of each value too.
    """

    kinds: Mapping[str, type]
    noun: str
    beside: type | None = None


@dataclass(frozen=True, slots=True)
class AnyWord:
    """In `Annotated[str, …]`: the text is one of these."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """In `Annotated[…]`: what an editor shows for the key."""

    text: str


def decode(document: Document, kind: type[T]) -> T:
    """The file as this dataclass, or `DefinitionError` with every fault: `policy-key-unknown`, `definition-invalid`."""
    found = _shape(kind).read(document.root, "the file", document.faults)
    document.faults.refuse()
    return found  # type: ignore[no-any-return]  # a `kind`, since there is no fault


def schema(kind: Any, *, identifier: str, title: str) -> Schema:
    """The JSON Schema of what `decode` takes; positions, names of signers and the like are beyond it."""
    definitions: Schema = {}
    body = _record(kind).body(definitions)
    return {"$schema": DRAFT, "$id": identifier, "title": title, **body, "$defs": dict(sorted(definitions.items()))}


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is not known: the nearest one that is, else all of them."""
    options = list(known)
    near = nearest(word, options)
    return near if near or not options else f"known: {', '.join(options)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """As `suggestion`, but nothing when no known word is near."""
    near = get_close_matches(word.lower(), known, n=1)
    return f"did you mean `{near[0]}`?" if near else ""


class _Bad(Enum):
    """What could not be read; its fault was told."""

    BAD = "bad"


BAD: Final = _Bad.BAD


class Shape(Protocol):
    """What may stand at one place of a file."""

    @property
    def says(self) -> str:
        """For people: `a list`, `text`."""

    def takes(self, node: Node) -> bool:
        """Whether the node is of this kind at all, so that its faults are worth telling."""

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        """The value, or BAD after telling its faults. `name` is the key that it stands at."""

    def schema(self, definitions: Schema) -> Schema:
        """Its JSON Schema; what is worth a name of its own goes into `definitions`."""


@dataclass(frozen=True, slots=True)
class _Value:
    """One scalar. `accept` gives its value, BAD if it is another kind of thing, or raises a `Refusal` that says why."""

    says: str
    accept: Callable[[Scalar], Any]
    form: Schema
    hint: Callable[[Scalar], str] = lambda _: ""

    def takes(self, node: Node) -> bool:
        return isinstance(node, Scalar)

    def fits(self, node: Node) -> bool:
        """Whether the scalar has a value here."""
        try:
            return isinstance(node, Scalar) and node.value is not None and self.accept(node) is not BAD
        except Refusal:
            return False

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        if not isinstance(node, Scalar) or node.value is None:
            return _wrong(node, name, self.says, faults)
        try:
            value = self.accept(node)
        except Refusal as error:
            return _refused(node, name, error, faults)
        return _wrong(node, name, self.says, faults, self.hint(node)) if value is BAD else value

    def schema(self, definitions: Schema) -> Schema:
        return dict(self.form)


def _text(matches: Matches | None = None) -> _Value:
    def accept(node: Scalar) -> Any:
        fits = matches is None or re.fullmatch(matches.pattern, node.text)
        return node.text if isinstance(node.value, str) and node.text and fits else BAD

    def hint(node: Scalar) -> str:
        return "" if isinstance(node.value, str) else f'write it in quotes: "{node.text}"'

    if matches is None:
        return _Value("text", accept, {"type": "string", "minLength": 1}, hint)
    return _Value(matches.says, accept, {"type": "string", "pattern": f"^(?:{matches.pattern})$"}, hint)


def _number(least: int | None = None) -> _Value:
    def accept(node: Scalar) -> Any:
        whole = isinstance(node.value, int) and not isinstance(node.value, bool)
        return node.value if whole and (least is None or int(node.text) >= least) else BAD

    if least is None:
        return _Value("a whole number", accept, {"type": "integer"})
    return _Value(f"a whole number from {least}", accept, {"type": "integer", "minimum": least})


def _flag() -> _Value:
    return _Value(
        "true or false", lambda node: node.value if isinstance(node.value, bool) else BAD, {"type": "boolean"}
    )


def _constant(value: str | int) -> _Value:
    def accept(node: Scalar) -> Any:
        return value if type(node.value) is type(value) and node.value == value else BAD

    return _Value(str(value), accept, {"const": value})


def _choice(options: type[StrEnum]) -> _Value:
    return _word([str(option) for option in options], options)


def _word(words: list[str], of: Callable[[str], str] = str) -> _Value:
    return _Value(
        f"one of {', '.join(words)}",
        lambda node: of(node.text) if node.text in words else BAD,
        {"enum": words},
        lambda node: nearest(node.text, words),
    )


def _parsed(kind: Any) -> _Value:
    return _Value(f"a {kind.__name__.lower()}", lambda node: kind.parse(node.text), {"type": "string", "minLength": 1})


@dataclass(frozen=True, slots=True)
class _List:
    item: Shape
    most: int | None = None
    says: str = "a list"

    def takes(self, node: Node) -> bool:
        return isinstance(node, yaml_nodes.Sequence)

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        if not isinstance(node, yaml_nodes.Sequence):
            return _wrong(node, name, self.says, faults)
        if not node.items:
            faults.add(node.position, f"`{name}` is an empty list")
            return BAD
        if self.most is not None and len(node.items) > self.most:
            faults.add(node.position, f"`{name}` has {len(node.items)} items; at most {self.most} are read")
            return BAD
        found = [self.item.read(item, name, faults) for item in node.items]
        scalars = [item for item in node.items if isinstance(item, Scalar)]
        first = {item.text: item for item in reversed(scalars)}
        for item in scalars:
            if first[item.text] is not item:
                faults.add(item.position, f"`{name}` names {_found(item)} twice")
        return BAD if BAD in found or len(first) < len(scalars) else tuple(found)

    def schema(self, definitions: Schema) -> Schema:
        most = {} if self.most is None else {"maxItems": self.most}
        return {"type": "array", "items": self.item.schema(definitions), "minItems": 1, **most, "uniqueItems": True}


@dataclass(frozen=True, slots=True)
class _Named:
    """A mapping with free keys."""

    key: _Value
    value: Shape
    says: str = "a mapping"

    def takes(self, node: Node) -> bool:
        return isinstance(node, yaml_nodes.Mapping)

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        if not isinstance(node, yaml_nodes.Mapping):
            return _wrong(node, name, self.says, faults)
        found: dict[str, Any] = {}
        for key, child in node.entries:
            good = self.key.read(key, f"a key in {name}", faults) is not BAD
            value = self.value.read(child, key.text, faults)
            found[key.text] = value if good else BAD
        return BAD if BAD in found.values() else found

    def schema(self, definitions: Schema) -> Schema:
        value = self.value.schema(definitions)
        return {"type": "object", "propertyNames": self.key.schema(definitions), "additionalProperties": value}


@dataclass(frozen=True, slots=True)
class _Table:
    """A mapping whose keys choose what stands there, each out of a table."""

    kinds: Mapping[str, _Record]
    noun: str

    @property
    def says(self) -> str:
        return f"a mapping by {self.noun}"

    def takes(self, node: Node) -> bool:
        return isinstance(node, yaml_nodes.Mapping)

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        if not isinstance(node, yaml_nodes.Mapping):
            return _wrong(node, name, self.says, faults)
        found: dict[str, Any] = {}
        for key, child in node.entries:
            record = self.kinds.get(key.text)
            if record is None:
                _unknown(key, self.noun, self.kinds, faults)
            found[key.text] = BAD if record is None else record.read(child, key.text, faults)
        return BAD if BAD in found.values() else found

    def schema(self, definitions: Schema) -> Schema:
        properties = {name: record.schema(definitions) for name, record in sorted(self.kinds.items())}
        return {"type": "object", "properties": properties, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    shape: Shape
    required: bool
    note: str


@dataclass(frozen=True, slots=True)
class _Holder:
    """A dataclass around another one, which is in the field of this name."""

    kind: Any
    field: str

    def holding(self, kind: Any, values: Mapping[str, Any]) -> Any:
        own = {field.name for field in dataclasses.fields(self.kind)}
        inner = kind(**{name: value for name, value in values.items() if name not in own})
        return self.kind(**{self.field: inner}, **{name: value for name, value in values.items() if name in own})


@dataclass(frozen=True, slots=True)
class _Record:
    """A mapping whose keys are the fields of a dataclass."""

    kind: Any
    fields: Mapping[str, _Field]
    holder: _Holder | None = None

    @property
    def says(self) -> str:
        return f"a mapping with {' and '.join(self.required) or 'its options'}"

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(key for key, field in self.fields.items() if field.required)

    def takes(self, node: Node) -> bool:
        return isinstance(node, yaml_nodes.Mapping)

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        if not isinstance(node, yaml_nodes.Mapping):
            return _wrong(node, name, self.says, faults)
        values: dict[str, Any] = {}
        for key, child in node.entries:
            field = self.fields.get(key.text)
            if field is None:
                _unknown(key, "key", self.fields, faults)
            values[field.name if field else key.text] = field.shape.read(child, key.text, faults) if field else BAD
        for wanted in self.required:
            if self.fields[wanted].name not in values:
                faults.add(node.position, f"`{wanted}` is missing in {_in(name)}")
                values[wanted] = BAD
        if BAD in values.values():
            return BAD
        try:
            return self.kind(**values) if self.holder is None else self.holder.holding(self.kind, values)
        except Refusal as error:
            return _refused(node, name, error, faults)

    def schema(self, definitions: Schema) -> Schema:
        name = self.kind.__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = self.body(definitions)
        return {"$ref": f"#/$defs/{name}"}

    def body(self, definitions: Schema) -> Schema:
        properties = {
            key: {**({"description": field.note} if field.note else {}), **field.shape.schema(definitions)}
            for key, field in self.fields.items()
        }
        return {
            "description": (self.kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "),
            "type": "object",
            "properties": properties,
            "required": list(self.required),
            "additionalProperties": False,
        }


@dataclass(frozen=True, slots=True)
class _OneOf:
    """Several shapes: told apart by their kind, and dataclasses among them by their required keys."""

    options: tuple[Shape, ...]

    @property
    def says(self) -> str:
        return " or ".join(option.says for option in self.options)

    def takes(self, node: Node) -> bool:
        return any(option.takes(node) for option in self.options)

    def read(self, node: Node, name: str, faults: Faults) -> Any:
        taking = [option for option in self.options if option.takes(node)]
        if len(taking) > 1 and isinstance(node, yaml_nodes.Mapping):
            return self._by_keys(node, name, faults)
        if len(taking) > 1:  # several kinds of scalar, such as a word or a number
            taking = [option for option in taking if isinstance(option, _Value) and option.fits(node)]
        return taking[0].read(node, name, faults) if taking else _wrong(node, name, self.says, faults)

    def _by_keys(self, node: yaml_nodes.Mapping, name: str, faults: Faults) -> Any:
        records = [option for option in self.options if isinstance(option, _Record)]
        present = [key.text for key, _ in node.entries]

        def likeness(record: _Record) -> tuple[bool, int, int]:
            """All its required keys are there; how many of them; how early the first one stands."""
            found = [number for number, key in enumerate(present) if key in record.required]
            return len(found) == len(record.required), len(found), -min(found, default=0)

        best = max(records, key=likeness)
        if set(present).intersection(best.required):
            return best.read(node, name, faults)
        known = {key for record in records for key in record.fields}
        unknown = [key for key, _ in node.entries if key.text not in known]
        for key in unknown:
            _unknown(key, "key", sorted(known), faults)
        if not unknown:
            _wrong(node, name, self.says, faults)
        return BAD

    def schema(self, definitions: Schema) -> Schema:
        return {"anyOf": [option.schema(definitions) for option in self.options]}


def _shape(hint: Any) -> Shape:
    """The shape of a type hint. A hint that nothing here knows is a bug in the dataclass, found by any test of it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        options = tuple(_shape(argument) for argument in arguments if argument is not NoneType)
        return options[0] if len(options) == 1 else _OneOf(options)
    if origin is Literal:
        return _constant(arguments[0])
    if origin is tuple and arguments[1:] == (...,):
        return _List(_shape(arguments[0]))
    if origin is Mapping:
        key = _shape(arguments[0])
        if isinstance(key, _Value):
            return _Named(key, _shape(arguments[1]))
    if isinstance(hint, type):
        return _plain(hint)
    raise TypeError(f"a definition can't hold {hint!r}")


def _plain(kind: type) -> Shape:
    if kind is str:
        return _text()
    if kind is bool:
        return _flag()
    if kind is int:
        return _number()
    if issubclass(kind, StrEnum):
        return _choice(kind)
    if hasattr(kind, "parse"):
        return _parsed(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    raise TypeError(f"a definition can't hold {kind!r}")


def _annotated(hint: Any, marks: tuple[Any, ...]) -> Shape:
    shape = _shape(hint) if not any(isinstance(mark, ByName) for mark in marks) else None
    for mark in marks:
        match mark:
            case Matches():
                shape = _text(mark)
            case AnyWord():
                shape = _word(list(mark.words))
            case AtLeast():
                shape = _number(mark.number)
            case AtMost() if isinstance(shape, _List):
                shape = dataclasses.replace(shape, most=mark.number)
            case ByName():
                records = {name: _record(kind) for name, kind in mark.kinds.items()}
                if mark.beside is not None:
                    records = {name: _held(record, mark.beside) for name, record in records.items()}
                shape = _Table(records, mark.noun)
            case _:
                pass  # a note says nothing about what is allowed
    if shape is None:
        raise TypeError(f"a definition can't hold {hint!r}")
    return shape


@cache
def _record(kind: Any) -> _Record:
    hints = get_type_hints(kind, include_extras=True)
    return _Record(kind, {_key(field.name): _field(field, hints[field.name]) for field in dataclasses.fields(kind)})


def _held(record: _Record, beside: type) -> _Record:
    """The record with the keys of `beside`, which then holds it."""
    holder, *_ = dataclasses.fields(beside)
    hints = get_type_hints(beside, include_extras=True)
    more = {_key(field.name): _field(field, hints[field.name]) for field in dataclasses.fields(beside)[1:]}
    return dataclasses.replace(record, fields={**record.fields, **more}, holder=_Holder(beside, holder.name))


def _field(field: dataclasses.Field[Any], hint: Any) -> _Field:
    required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    notes = (
        [mark.text for mark in get_args(hint)[1:] if isinstance(mark, Note)] if get_origin(hint) is Annotated else []
    )
    return _Field(field.name, _shape(hint), required, " ".join(notes))


def _key(name: str) -> str:
    """`max_age` is written `max-age`; `from_`, which Python would not take without the underscore, is `from`."""
    return name.rstrip("_").replace("_", "-")


def _unknown(key: Scalar, noun: str, known: Iterable[str], faults: Faults) -> None:
    hint = suggestion(key.text, known)
    faults.add(key.position, f"unknown {noun} {key.text!r:.80}", code="policy-key-unknown", hint=hint)


def _wrong(node: Node, name: str, wanted: str, faults: Faults, hint: str = "") -> _Bad:
    faults.add(node.position, f"`{name}` must be {wanted}, not {_found(node)}", hint=hint)
    return BAD


def _refused(node: Node, name: str, error: Refusal, faults: Faults) -> _Bad:
    faults.add(node.position, f"`{name}`: {error.reasons[0].message}", hint=error.reasons[0].hint)
    return BAD


def _in(name: str) -> str:
    return name if " " in name else f"`{name}`"


def _found(node: Node) -> str:
    match node:
        case yaml_nodes.Sequence():
            return "a list"
        case yaml_nodes.Mapping():
            return "a mapping"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=str()):
            return f"{node.text!r:.80}"
        case Scalar():
            return node.text
