"""Writes the reference pages that the code itself defines; with --check, fails when one is not what the code says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.reasons import REASONS, Exit
from pipeline.schema import definition_schema
from tests.attacks import catalogue

ROOT = Path(__file__).resolve().parents[1]

MEANINGS = {
    Exit.INTEGRITY: "integrity: digest, signature, signer, chain, definition. Stop; never retry.",
    Exit.UNAUTHORIZED: "not authenticated or not allowed. Fix the credentials.",
    Exit.NOT_FOUND: "image, tag or record not found.",
    Exit.UNAVAILABLE: "could not ask. Run it again.",
    Exit.BLOCKED: "blocked by a gate. Fix it, or ask for a waiver.",
    Exit.WAITING: "waiting for approval. Run it again later.",
    Exit.USAGE: "usage or definition error. Fix it at the line and column given.",
    Exit.INTERRUPTED: "interrupted, no tag was moved (143 after a terminate signal). Run it again.",
    Exit.BUG: "a bug in samebits. Report it.",
}


def schema() -> str:
    """The JSON Schema of a definition, for editors."""
    return json.dumps(definition_schema(), indent=2, ensure_ascii=False) + "\n"


def reason_codes() -> str:
    """One table per exit code, in the order in which exit codes win."""
    lines = [
        "# Reason codes",
        "",
        "Every refusal carries a code; it is never renamed. `samebits explain CODE` prints a row of these tables.",
        "With several reasons at once, the first exit code in the order of this page is the one of the run.",
    ]
    for exit_code, meaning in MEANINGS.items():
        rows = {code: row for code, row in REASONS.items() if row.exit_code is exit_code}
        lines += ["", f"## Exit {exit_code.value}: {meaning}", "", "| code | meaning | what to do |", "|---|---|---|"]
        lines += [
            f"| `{code}` | {row.title} | {row.advice.replace('|', '&#124;')} |" for code, row in sorted(rows.items())
        ]
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/samebits.schema.json": schema,
    "docs/reference/reason-codes.md": reason_codes,
    catalogue.PAGE: catalogue.page,
}


def main(arguments: list[str]) -> int:
    """Write all pages, or with --check name those that have drifted."""
    drifted = []
    for name, page in PAGES.items():
        path = ROOT / name
        if path.exists() and path.read_text(encoding="utf-8") == page():
            continue
        drifted.append(name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page(), encoding="utf-8")
    for name in drifted:
        print(f"{name} is not what the code says: make generate" if "--check" in arguments else f"wrote {name}")
    return 1 if drifted and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
