"""What a step's options mean together, and the digest of a step as it was defined, which its records sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final

from attestations.records import RECORDS
from attestations.summary import SUMMARY
from pipeline.schema import InImageEntry, StepEntry
from pipeline.withheld import SECRETS
from registries.digest import Digest
from registries.strict_json import dumps
from stages.duration import Duration

_OF_A_COMMAND: Final = ("env", "timeout", "produces", "exit_codes", "in_image")
_WHO: Final = frozenset({"by", "builders"})


def step_faults(step: StepEntry, *, entry_stage: bool) -> Iterator[tuple[str, str]]:
    """What does not go together, each with the key where it stands."""
    given = {field.name for field in fields(step) if getattr(step, field.name) not in (None, ())}
    if step.attested is not None:
        for name in sorted(given - {"name", "by", "attested"}):
            yield "what others attest is neither run nor recorded here", _key(name)
        if step.attested in RECORDS or step.attested == SUMMARY:
            yield "samebits writes that itself; it is no evidence of others", "attested"
    if step.on is not None and not entry_stage:
        yield "only the entry stage has steps on the source; the image enters there", "on"
    if step.on is not None and step.in_image is not None:
        yield "there is no image yet when a step on the source is done", "in-image"
    if step.in_image is not None and step.produces:
        yield "what is made inside the image is gone with its container", "produces"
    if step.builders and step.on is None:
        yield "only a step with `on: source` is tied to the image by provenance", "builders"
    if step.run is None and step.evidence is None:
        for name in [name for name in _OF_A_COMMAND if name in given]:
            yield "nothing runs in this step", _key(name)
    if step.exit_codes and step.evidence is None:
        yield "another exit code than 0 counts only beside a report; say which `evidence`", "exit-codes"
    for name in step.env:
        if name in SECRETS or name.startswith("SAMEBITS_"):
            yield f"{name} is never handed on to a command", "env"


def spec(stage: str, step: StepEntry) -> Digest:
    """The digest of what the step is, whatever its form in YAML: compact JSON with sorted keys.

    Who may record it is not part of it: that is asked of every record for itself, under the definition in force. An
    option that is not used is not part of it either, so that a step stays the same when samebits learns another one.
    """
    options = {field.name: getattr(step, field.name) for field in fields(step) if field.name not in _WHO}
    used = {_key(name): _plain(value) for name, value in options.items() if value not in (None, ())}
    return Digest.of(dumps(dict(sorted({"stage": stage, **used}.items()))))


def _plain(value: Any) -> Any:
    match value:
        case InImageEntry():
            return {"network": value.network, "writable": value.writable}
        case Duration():
            return int(value.timedelta.total_seconds())
        case tuple():
            return sorted(value)
        case _:
            return value


def _key(name: str) -> str:
    return name.replace("_", "-")
