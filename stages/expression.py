"""Expressions over the evidence, in Google's Common Expression Language. The one user of `cel_expr_python`.

What an expression may see is `VIEW`, with its types: one that uses anything else, or is no yes-or-no question, is
refused when the definition is read. Evaluating ends by itself: lists alone are gone through, within a budget.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from attestations.fields import rfc3339
from attestations.verify import Verified
from registries.errors import ContentError, UsageError
from registries.limits import REPORT_BYTES
from registries.strict_json import loads_object
from stages.evidence import Evidence, Report

CHARACTERS: Final = 4096
_FAULT: Final = re.compile(r"<input>:(\d+):(\d+): (.*?)(?:\n|$)")

VIEW: Final[Mapping[str, str]] = {
    "image": "text: the digest of the image",
    "stage": "text: the stage that it is to be admitted to",
    "pipeline": "text: the name of the pipeline",
    "version": "whole number: the version of the definition in force",
    "now": "timestamp: when this is judged",
    "platforms": "list of maps of text: `name`, `manifest`, `config`",
    "chain": "list of maps of text, the entry first: `stage`, `kind`, `signer`, `record`, `source`, `decidedAt`",
    "steps": "list of maps of text: `stage`, `step`, `record`, `finishedAt`",
    "reports": "list of maps: `format`, `stage`, `step`, `signer`, `record`, and `content` (JSON, else null)",
    "statements": "list of maps: `type`, `signer`, `record`, and `predicate`",
}
"""What an expression may name, and what it is; docs/reference/expressions.md says the same to people."""


class NoAnswer(Exception):
    """An expression that gave neither yes nor no; carries why."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A question about the evidence, as it is written. It was compiled once, so it names what there is."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`definition-invalid` for what can't be compiled, or is not a question that yes or no answers."""
        if len(text) > CHARACTERS:
            raise UsageError("definition-invalid", f"an expression of {len(text)} characters; {CHARACTERS} are read")
        _compiled(text)
        return cls(text)

    def holds(self, view: Mapping[str, Any]) -> bool:
        """Whether the answer is yes; `NoAnswer` where it is neither yes nor no, such as after a division by zero."""
        cel = _library()
        try:
            answer = _compiled(self.text).eval(data=dict(view))
        except RuntimeError as error:
            raise NoAnswer(_said(error)) from error
        if answer.type() != cel.Type.BOOL:
            raise NoAnswer(_said(answer.value()))
        return answer.value() is True

    def __str__(self) -> str:
        return self.text


def view_of(evidence: Evidence) -> dict[str, Any]:
    """What an expression sees of the evidence (`VIEW`). Lists are in an order of their own, however it came."""
    asked = evidence.asked
    return {
        "image": str(evidence.subject),
        "stage": asked.stage if asked else "",
        "pipeline": asked.pipeline.name if asked else "",
        "version": asked.pipeline.version if asked else 0,
        "now": evidence.now,
        "platforms": [
            {"name": it.name, "manifest": str(it.manifest), "config": str(it.config)} for it in evidence.platforms
        ],
        "chain": [
            {
                "stage": link.stage,
                "kind": str(link.admission.kind),
                "signer": link.verified.signer.name,
                "record": str(link.record),
                "source": link.admission.source,
                "decidedAt": rfc3339(link.admission.decided_at),
            }
            for link in evidence.chain.links
        ],
        "steps": [
            {
                "stage": link.stage,
                "step": proof.name,
                "record": str(proof.verified.record),
                "finishedAt": _time(proof.finished_at),
            }
            for link in evidence.chain.links
            for proof in link.steps
        ],
        "reports": [_report(one) for one in sorted(evidence.reports, key=lambda it: (it.record, it.digest))],
        "statements": _statements(evidence.statements),
    }


def _report(report: Report) -> dict[str, Any]:
    try:
        content: Any = loads_object(report.content, limit=REPORT_BYTES)
    except ContentError:
        content = None
    return {
        "format": report.format,
        "stage": report.stage,
        "step": report.step,
        "signer": report.signer.name,
        "record": str(report.record),
        "content": content,
    }


def _statements(verified: Sequence[Verified]) -> list[dict[str, Any]]:
    return [
        {
            "type": item.statement.predicate_type,
            "signer": item.signer.name,
            "record": str(item.record),
            "predicate": dict(item.statement.predicate),
        }
        for item in sorted(verified, key=lambda it: it.record)
    ]


def _time(moment: datetime | None) -> str:
    return "" if moment is None else rfc3339(moment)


def _compiled(text: str) -> Any:
    cel = _library()
    row, mixed = cel.Type.Map(cel.Type.STRING, cel.Type.STRING), cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    environment = cel.NewEnv(
        variables={
            "image": cel.Type.STRING,
            "stage": cel.Type.STRING,
            "pipeline": cel.Type.STRING,
            "version": cel.Type.INT,
            "now": cel.Type.TIMESTAMP,
            "platforms": cel.Type.List(row),
            "chain": cel.Type.List(row),
            "steps": cel.Type.List(row),
            "reports": cel.Type.List(mixed),
            "statements": cel.Type.List(mixed),
        }
    )
    try:
        compiled = environment.compile(text)
    except RuntimeError as error:
        raise UsageError("definition-invalid", f"the expression can't be read: {_said(error)}") from error
    if compiled.return_type() != cel.Type.BOOL:
        raise UsageError("definition-invalid", f"the expression is no question of yes or no: {text!r:.80}")
    return compiled


def _library() -> Any:
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise UsageError(
            "definition-invalid", "expressions need the extra `cel`", hint="install requirements/run-cel.txt"
        ) from error
    return cel


def _said(error: object) -> str:
    """The library's own words, without its picture of the place."""
    found = _FAULT.search(str(error))
    return f"{found[3]} (line {found[1]}, column {int(found[2]) + 1})" if found else str(error).partition("\n")[0][:200]
