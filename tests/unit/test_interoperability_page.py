"""The matrix of docs/interoperability.md rests on tests: each that it names is there, and no cell is without."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/interoperability.md").read_text()
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(test_[a-z0-9_]+)`")
WITHOUT_TEST = ("not evaluated", "the same", "no, it takes a key only")


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("|")]
    return [re.split(r" \| ", line) for line in lines[2:]]


def test_every_test_that_the_page_names_is_there() -> None:
    found = NAMED.findall(PAGE)
    assert len(found) > 15
    assert [f"{path}::{name}" for path, name in found if name not in functions(path)] == []


def test_every_cell_names_a_test_or_says_that_there_is_none() -> None:
    written = [cell for _, *cells in rows("Who reads what samebits writes") for cell in cells]
    read = [cells[-1] for cells in rows("What samebits reads of others")]
    assert len(written) == 14
    assert len(read) == 11
    assert [it for it in (*written, *read) if not NAMED.search(it) and not it.startswith(WITHOUT_TEST)] == []


def test_what_can_not_be_evaluated_names_no_test() -> None:
    assert [row for row in rows("What can't be evaluated here") if NAMED.search(" ".join(row))] == []
