"""YAML is read so that no two readers can understand it differently, and every fault has its line and column."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.yaml_nodes import DEPTH, TOLD_FAULTS, DefinitionError, Mapping, Position, Scalar, Sequence, parse
from registries.errors import ContentError
from registries.limits import DEFINITION_BYTES


def refused(text: str | bytes) -> list[tuple[str, str]]:
    """The faults of a file, those that wait for its reader too: (where, message)."""
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(DefinitionError) as error:
        parse(content, path="f").faults.refuse()
    assert {reason.code for reason in error.value.reasons} == {"definition-invalid"}
    return [(reason.where, reason.message) for reason in error.value.reasons]


def value(text: str) -> object:
    root = parse(text.encode(), path="f").root
    assert isinstance(root, Scalar)
    return root.value


def test_nodes_keep_their_order_and_their_places() -> None:
    document = parse(b"# first\nb: [x, {c: 1}]\na: 'no'\n", path="f")
    root = document.root
    assert isinstance(root, Mapping)
    assert [(key.text, key.position) for key, _ in root.entries] == [("b", Position(2, 1)), ("a", Position(3, 1))]
    items = root.entries[0][1]
    assert isinstance(items, Sequence)
    assert [item.position for item in items.items] == [Position(2, 5), Position(2, 8)]
    assert document.at("b", 1, "c") == Position(2, 12)
    assert document.key_at("b", 1, "c") == Position(2, 9)
    assert document.at("b", 7, "x") == Position(2, 4), "the last thing on the way that is there"
    assert document.at("nothing") == Position(2, 1)


def test_columns_count_characters_and_windows_line_ends_change_nothing() -> None:
    document = parse("é: x\r\nb: é, ü\r\nc: {d: é, e: f}\r\n".encode(), path="f")
    assert document.at("é") == Position(1, 4)
    assert document.at("b") == Position(2, 4)
    assert document.key_at("c", "e") == Position(3, 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("''", ""),
        ("0", 0),
        ("-12", -12),
        ("'12'", "12"),
        ('"true"', "true"),
        ("'null'", "null"),
        ("no", "no"),
        ("off", "off"),
        ("True", "True"),
        ("~", "~"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("0x10", "0x10"),
        ("0o17", "0o17"),
        ("012", "012"),
        ("+1", "+1"),
        ("1_000", "1_000"),
        ("99999999999999999999", "99999999999999999999"),
        ("|\n  true\n", "true\n"),
        (">\n  a\n  b\n", "a b\n"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_an_empty_value_is_nothing_and_not_empty_text() -> None:
    root = parse(b"a:\nb: ''\n", path="f").root
    assert isinstance(root, Mapping)
    assert [node.value for _, node in root.entries if isinstance(node, Scalar)] == [None, ""]


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1", "'a' is here twice, first on line 1"),
        ("x:\n  - {a: 1, 'a': 2}\n", "f:2:12", "'a' is here twice"),
        ("a: &here 1\n", "f:1:4", "anchors (&here)"),
        ("a: &here {b: c}\n", "f:1:4", "anchors (&here)"),
        ("a: !!str 1\n", "f:1:4", "tags"),
        ("a: !secret x\n", "f:1:4", "tags (!secret)"),
        ("a: ! x\n", "f:1:4", "tags (!)"),
        ("a: !!map {}\n", "f:1:4", "tags"),
        ("<<: {a: b}\n", "f:1:1", "merge keys"),
        ("1: a\n", "f:1:1", "a key must be text"),
        ("true: a\n", "f:1:1", "a key must be text"),
        ("null: a\n", "f:1:1", "a key must be text"),
        ("? [a]\n: b\n", "f:1:3", "a key must be text"),
        ("? {a: b}\n: b\n", "f:1:3", "a key must be text"),
        ("a: b\n---\nc: d\n", "f:2:1", "a second document"),
        ("a: b\n...\n---\n", "f:3:1", "a second document"),
        ("", "f:1:1", "the file is empty"),
        ("# nothing here\n", "f:1:1", "the file is empty"),
        ("a: [1, 2\nb: 3\n", "f:2:2", "this is not YAML"),
        ("a: b: c\n", "f:1:5", "this is not YAML"),
        ("a:\n\t- b\n", "f:2:1", "this is not YAML"),
        ('a: "\\q"\n', "f:1:5", "this is not YAML"),
        ('a: "\\ud800"\n', "f:1:7", "this is not YAML"),
        ('a: b\nc: "\\x1b[0m"\n', "f:2:4", "U+001B"),
        ('a: "\\u202e"\n', "f:1:4", "U+202E"),
        ("a: b\nc: d \u202e e\n", "f:2:6", "U+202E"),
        ("a: b\n# \x1b[31m\n", "f:2:3", "U+001B"),
        ("a: b\rc: d\n", "f:1:5", "U+000D"),
        ("a: b\u2028c: d\n", "f:1:5", "U+2028"),
        ("a: \x85\n", "f:1:4", "U+0085"),
        ("a: \x00\n", "f:1:4", "U+0000"),
        ("a: b\u200b\n", "f:1:5", "U+200B"),
        ("a: *b\n", "f:1:4", "aliases (*b)"),
    ],
)
def test_what_could_be_misread_is_refused_at_its_place(text: str, where: str, says: str) -> None:
    ((found, message),) = refused(text)
    assert found == where
    assert says in message


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte() -> None:
    assert refused(b"a: b\nc: \xff\n") == [("f:2:4", "byte 8 is not UTF-8")]
    assert refused("a: b".encode("utf-16"))[0][0] == "f:1:1"
    assert refused(b"\xef\xbb\xbfa: b\n") == [("f:1:1", "the file begins with a byte order mark")]


def test_all_faults_are_told_at_once_and_in_order() -> None:
    found = refused("c: !x y\na: &b 1\nd: *b\n<<: z\n")
    assert [where for where, _ in found] == ["f:1:4", "f:2:4", "f:3:4", "f:4:1"]


def test_a_flood_of_faults_is_cut_with_a_count() -> None:
    found = refused("[" + "&a x, " * (TOLD_FAULTS + 7) + "]")
    assert len(found) == TOLD_FAULTS + 1
    assert found[-1] == ("f", "and 7 more faults")


def test_depth_is_read_to_the_limit_and_not_beyond() -> None:
    parse(b"[" * DEPTH + b"]" * DEPTH, path="f")
    ((where, message),) = refused("[" * (DEPTH + 1) + "]" * (DEPTH + 1))
    assert where == f"f:1:{DEPTH + 1}"
    assert "deeper" in message
    assert "deeper" in refused("[" * 100_000)[0][1]


def test_size_is_read_to_the_limit_and_not_beyond() -> None:
    parse(b"a: b\n" + b"#" * (DEFINITION_BYTES - 5), path="f")
    with pytest.raises(ContentError) as error:
        parse(b"a: b\n" + b"#" * (DEFINITION_BYTES - 4), path="f")
    assert error.value.code == "size-limit"


@given(st.text() | st.text(alphabet="ab:[]{}&*!|>-?'\"\n #,%@<~") | st.binary())
@example("- - - -\n")
@example("%YAML 1.1\n---\na: b\n")
@example("%TAG ! x:\n---\na\n")
@example("a: |9\n")
def test_any_bytes_are_nodes_or_a_refusal(content: str | bytes) -> None:
    try:
        document = parse(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content, path="f")
    except DefinitionError as error:
        told = error.reasons
    else:
        assert document.root.position >= Position(1, 1)
        return
    assert {reason.code for reason in told} == {"definition-invalid"}
    assert all(reason.where.startswith("f:") for reason in told)
