"""A dataclass is the whole description of a file: what it reads, what it refuses and where, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal

import jsonschema
import pytest

from pipeline.decode import AtLeast, AtMost, ByName, Matches, Note, decode, schema
from pipeline.yaml_nodes import DefinitionError, parse
from registries.digest import Digest
from registries.errors import UsageError
from stages.duration import Duration

Word = Annotated[str, Matches(r"[a-z]+", "small letters")]


class Color(StrEnum):
    RED = "red"
    DARK_BLUE = "dark-blue"


@dataclass(frozen=True, slots=True)
class Token:
    """A type that would read every text."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Token:
        return cls(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    cars: tuple[Word, ...]

    def __post_init__(self) -> None:
        assert all(isinstance(car, str) for car in self.cars), "it is only made when everything in it was read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    wheels: Annotated[int, AtLeast(3)]
    top_speed: int | None = None

    def __post_init__(self) -> None:
        if self.wheels == 13:
            raise UsageError("definition-invalid", "13 wheels bring no luck", hint="take 12")


@dataclass(frozen=True, slots=True, kw_only=True)
class Boat:
    hull: str
    sails: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A whole file.

    More about it.
    """

    format: Annotated[Literal[1], Note("The format.")]
    name: Word
    from_: str = ""
    is_open: bool = False
    color: Color | None = None
    digest: Digest | None = None
    max_age: Duration | None = None
    token: Token | None = None
    train: Train | None = None
    words: tuple[Word, ...] = ()
    one_or_many: str | tuple[str, ...] = ()
    vehicles: Mapping[Word, Car | Boat] = field(default_factory=dict)
    fleet: Annotated[tuple[Car, ...], AtMost(3)] = ()
    by_name: Annotated[Mapping[str, Any], ByName({"car": Car, "ticket": Ticket}, "thing")] = field(default_factory=dict)


def read(text: str) -> File:
    return decode(parse(f"format: 1\nname: x\n{text}".encode(), path="f"), File)


def faults(text: str) -> list[tuple[str, str, str, str]]:
    with pytest.raises(DefinitionError) as error:
        read(text)
    return [(reason.where, reason.code, reason.message, reason.hint) for reason in error.value.reasons]


def test_every_kind_of_value_is_read() -> None:
    digest = "sha256:" + "a" * 64
    file = read(
        f"from: here\nis-open: true\ncolor: dark-blue\ndigest: {digest}\nmax-age: 24h\nwords: [b, a]\n"
        "one-or-many: [x, y]\nvehicles: {mine: {wheels: 4}, yours: {hull: steel}}\n"
        "fleet: [{wheels: 3, top-speed: -1}]\nby-name: {ticket: {price: 3}, car: {wheels: 4}}\n"
    )
    assert file == File(
        format=1,
        name="x",
        from_="here",
        is_open=True,
        color=Color.DARK_BLUE,
        digest=Digest.parse(digest),
        max_age=Duration(24, "h"),
        words=("b", "a"),
        one_or_many=("x", "y"),
        vehicles={"mine": Car(wheels=4), "yours": Boat(hull="steel")},
        fleet=(Car(wheels=3, top_speed=-1),),
        by_name={"ticket": Ticket(price=3), "car": Car(wheels=4)},
    )
    assert list(file.by_name) == ["ticket", "car"], "in the order written"
    assert read("one-or-many: x\n").one_or_many == "x"
    assert read("") == File(format=1, name="x")


@pytest.mark.parametrize(
    ("text", "where", "code", "message", "hint"),
    [
        ("colour: red", "3:1", "policy-key-unknown", "unknown key 'colour'", "did you mean `color`?"),
        ("is_open: true", "3:1", "policy-key-unknown", "unknown key 'is_open'", "did you mean `is-open`?"),
        ("Color: red", "3:1", "policy-key-unknown", "unknown key 'Color'", "did you mean `color`?"),
        ("from_: x", "3:1", "policy-key-unknown", "unknown key 'from_'", "did you mean `from`?"),
        ("fleet: [{wheels: 4, zzz: 1}]", "3:21", "policy-key-unknown", "'zzz'", "known: wheels, top-speed"),
        ("by-name: {cat: {}}", "3:11", "policy-key-unknown", "unknown thing 'cat'", "did you mean `car`?"),
        ("from: x\nfrom: y", "4:1", "definition-invalid", "'from' is here twice, first on line 3", ""),
        ("color: rde", "3:8", "definition-invalid", "`color` must be one of red, dark-blue, not 'rde'", "`red`"),
        ("color: RED", "3:8", "definition-invalid", "not 'RED'", "did you mean `red`?"),
        ("color: green", "3:8", "definition-invalid", "not 'green'", ""),
        ("color: 7", "3:8", "definition-invalid", "`color` must be one of red, dark-blue, not 7", ""),
        ("color:", "3:7", "definition-invalid", "`color` must be one of red, dark-blue, not nothing", ""),
        ("color: null", "3:8", "definition-invalid", "not nothing", ""),
        ("from: 7", "3:7", "definition-invalid", "`from` must be text, not 7", 'write it in quotes: "7"'),
        ("from: true", "3:7", "definition-invalid", "must be text, not true", 'write it in quotes: "true"'),
        ("from: ''", "3:7", "definition-invalid", "must be text, not ''", ""),
        ("from: [x]", "3:7", "definition-invalid", "must be text, not a list", ""),
        ("from: {x: y}", "3:7", "definition-invalid", "must be text, not a mapping", ""),
        ("is-open: no", "3:10", "definition-invalid", "`is-open` must be true or false, not 'no'", ""),
        ("is-open: 'true'", "3:10", "definition-invalid", "must be true or false, not 'true'", ""),
        ("is-open: 1", "3:10", "definition-invalid", "must be true or false, not 1", ""),
        ("max-age: 24", "3:10", "definition-invalid", "`max-age`: '24' is no length of time", ""),
        ("max-age: [24h]", "3:10", "definition-invalid", "`max-age` must be a duration, not a list", ""),
        ("token:", "3:7", "definition-invalid", "`token` must be a token, not nothing", ""),
        ("token: null", "3:8", "definition-invalid", "`token` must be a token, not nothing", ""),
        ("train: {cars: [a, B]}", "3:19", "definition-invalid", "`cars` must be small letters, not 'B'", ""),
        ("digest: sha256:abc", "3:9", "definition-invalid", "`digest`: ", ""),
        ("words: a", "3:8", "definition-invalid", "`words` must be a list, not 'a'", ""),
        ("words: []", "3:8", "definition-invalid", "`words` is an empty list", ""),
        ("words: [a, B]", "3:12", "definition-invalid", "`words` must be small letters, not 'B'", ""),
        ('words: [a, "b\\n"]', "3:12", "definition-invalid", "must be small letters", ""),
        ("words: [a, b, a]", "3:15", "definition-invalid", "`words` names 'a' twice", ""),
        ("one-or-many: {a: b}", "3:14", "definition-invalid", "must be text or a list, not a mapping", ""),
        ("one-or-many: 7", "3:14", "definition-invalid", "must be text, not 7", 'write it in quotes: "7"'),
        ("vehicles: []", "3:11", "definition-invalid", "must be a mapping, not a list", ""),
        ("vehicles: {X: {wheels: 4}}", "3:12", "definition-invalid", "must be small letters, not 'X'", ""),
        ("vehicles: {x: 4}", "3:15", "definition-invalid", "must be a mapping with wheels or a mapping with hull", ""),
        ("vehicles: {x: {}}", "3:15", "definition-invalid", "a mapping with wheels or a mapping with hull", ""),
        ("vehicles: {x: {sails: 2}}", "3:15", "definition-invalid", "a mapping with wheels or a mapping with hull", ""),
        ("vehicles: {x: {hul: a}}", "3:16", "policy-key-unknown", "unknown key 'hul'", "did you mean `hull`?"),
        ("vehicles: {x: {hull: a, wheels: 4}}", "3:25", "policy-key-unknown", "'wheels'", "known: hull, sails"),
        ("fleet: [a, b, c, d]", "3:8", "definition-invalid", "`fleet` has 4 items; at most 3 are read", ""),
        ("fleet: [{}]", "3:9", "definition-invalid", "`wheels` is missing in `fleet`", ""),
        ("fleet: [x]", "3:9", "definition-invalid", "`fleet` must be a mapping with wheels, not 'x'", ""),
        ("fleet: [{wheels: 2}]", "3:18", "definition-invalid", "must be a whole number from 3, not 2", ""),
        ("fleet: [{wheels: '4'}]", "3:18", "definition-invalid", "must be a whole number from 3, not '4'", ""),
        ("fleet: [{wheels: true}]", "3:18", "definition-invalid", "must be a whole number from 3, not true", ""),
        ("fleet: [{wheels: 4, top-speed: 1.5}]", "3:32", "definition-invalid", "must be a whole number, not '1.5'", ""),
        ("fleet: [{wheels: 13}]", "3:9", "definition-invalid", "`fleet`: 13 wheels bring no luck", "take 12"),
        ("by-name: [car]", "3:10", "definition-invalid", "`by-name` must be a mapping by thing, not a list", ""),
        ("by-name:\n  car:", "4:7", "definition-invalid", "`car` must be a mapping with wheels, not nothing", ""),
    ],
)
def test_a_fault_is_told_with_its_place_its_code_and_what_is_near(
    text: str, where: str, code: str, message: str, hint: str
) -> None:
    ((found_where, found_code, found_message, found_hint),) = faults(text)
    assert (found_where, found_code) == (f"f:{where}", code)
    assert message in found_message
    assert hint in found_hint
    assert bool(hint) == bool(found_hint)


def test_what_is_missing_is_told_for_the_whole_file() -> None:
    with pytest.raises(DefinitionError) as error:
        decode(parse(b"color: red\n", path="f"), File)
    assert [reason.message for reason in error.value.reasons] == [
        "`format` is missing in the file",
        "`name` is missing in the file",
    ]
    assert {reason.where for reason in error.value.reasons} == {"f:1:1"}


@pytest.mark.parametrize("number", ["2", "'1'", "true", "[1]", "1.0"])
def test_a_constant_is_exactly_itself(number: str) -> None:
    with pytest.raises(DefinitionError) as error:
        decode(parse(f"format: {number}\nname: x\n".encode(), path="f"), File)
    assert [reason.where for reason in error.value.reasons] == ["f:1:9"]


def test_a_file_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(DefinitionError) as error:
        decode(parse(b"[a]\n", path="f"), File)
    assert error.value.reasons[0].message == "`the file` must be a mapping with format and name, not a list"


def test_all_faults_are_told_at_once_from_top_to_bottom() -> None:
    found = faults("fleet: [{wheels: 1, x: y}, z]\nfrom: 1\nfrom: 2\ncolor: pink\nnam: z\n")
    assert [where for where, *_ in found] == ["f:3:18", "f:3:21", "f:3:28", "f:4:7", "f:5:1", "f:6:8", "f:7:1"]


def test_the_schema_says_what_decode_takes() -> None:
    made = schema(File, identifier="https://example.test/file", title="file")
    jsonschema.Draft202012Validator.check_schema(made)
    check = jsonschema.Draft202012Validator(made).is_valid
    good = {"format": 1, "name": "x"}
    assert made["description"] == "A whole file."
    assert made["properties"]["format"] == {"description": "The format.", "const": 1}
    assert made["required"] == ["format", "name"]
    assert check(good | {"from": "x", "color": "red", "words": ["a"], "one-or-many": "x", "max-age": "24h"})
    assert check(
        good | {"vehicles": {"x": {"wheels": 4}, "y": {"hull": "a", "sails": 2}}, "by-name": {"car": {"wheels": 3}}}
    )
    for bad in (
        {},
        {"format": 2, "name": "x"},
        {"format": 1, "name": "X"},
        good | {"from_": "x"},
        good | {"from": ""},
        good | {"color": "pink"},
        good | {"is-open": "no"},
        good | {"words": []},
        good | {"words": ["a", "a"]},
        good | {"vehicles": {"X": {"wheels": 4}}},
        good | {"vehicles": {"x": {"wheels": 4, "hull": "a"}}},
        good | {"fleet": [{"wheels": 2}]},
        good | {"fleet": [{"wheels": wheels} for wheels in (3, 4, 5, 6)]},
        good | {"by-name": {"cat": {}}},
    ):
        assert not check(bad), bad


def test_a_type_that_no_file_can_hold_is_a_bug_that_shows_at_once() -> None:
    @dataclass(frozen=True)
    class Odd:
        number: float

    with pytest.raises(TypeError):
        schema(Odd, identifier="", title="")
