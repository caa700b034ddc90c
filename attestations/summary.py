"""The SLSA verification summary beside an admission record: the same decision, in words that other tools know.

Source: SLSA 1.2, verification_summary.md (predicate version 1). Its level is the stage, as a custom value; no `SLSA_`
level is claimed, as nothing here has verified one. samebits itself decides nothing from a summary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from attestations.bundle import BUNDLE_TYPE
from attestations.fields import rfc3339
from attestations.records.admission import PipelineReference
from attestations.statement import Statement
from registries.digest import Digest

SUMMARY: Final = "https://slsa.dev/verification_summary/v1"
VERIFIER_ID: Final = "https://samebits.dev/verifier/v1"
SLSA_VERSION: Final = "1.2"

_NO_LEVEL_LETTER = re.compile(r"[^A-Z0-9]")


def summary_statement(
    subject: Digest,
    children: Sequence[Digest],
    *,
    stage: str,
    destination: str,
    pipeline: PipelineReference,
    inputs: Sequence[Digest],
    others: Sequence[Digest] = (),
    passed: bool = True,
    decided_at: datetime,
    version: str,
) -> Statement:
    """That `subject`, and with it an index's `children`, was admitted to `stage` at `destination` (`host/repository`).

    `inputs` are the records of all attestations that the decision rests on, `others` the digests of those that are no
    bundles: SLSA wants all of them or none. An admission that gates refused has not `passed`, and reaches no level.
    """
    predicate = {
        "verifier": {"id": VERIFIER_ID, "version": {"samebits": version}},
        "timeVerified": rfc3339(decided_at),
        "resourceUri": f"oci://{destination}",
        "policy": {
            "uri": f"https://samebits.dev/pipeline/{pipeline.name}/v{pipeline.version}",
            "digest": _digest_set(pipeline.definition),
        },
        "inputAttestations": [*(_input(record) for record in inputs), *({"digest": _digest_set(it)} for it in others)],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [stage_level(stage)] if passed else [],
        "slsaVersion": SLSA_VERSION,
    }
    return Statement.about(subject, predicate_type=SUMMARY, predicate=predicate, more=children)


def summarizes(statement: Statement, *, stage: str, record: Digest) -> bool:
    """Whether this is the summary of an admission to `stage` that rests on this admission record."""
    predicate = statement.predicate
    levels, inputs = predicate.get("verifiedLevels"), predicate.get("inputAttestations")
    return (
        statement.predicate_type == SUMMARY
        and (levels == [stage_level(stage)] or (levels == [] and predicate.get("verificationResult") == "FAILED"))
        and isinstance(inputs, list)
        and _input(record) in inputs
    )


def stage_level(stage: str) -> str:
    """The custom level that says "admitted to this stage"; other tools compare it exactly."""
    return f"SAMEBITS_STAGE_{_NO_LEVEL_LETTER.sub('_', stage.upper())}"


def _input(record: Digest) -> dict[str, Any]:
    return {"digest": _digest_set(record), "mediaType": BUNDLE_TYPE}


def _digest_set(digest: Digest) -> dict[str, Any]:
    return {digest.algorithm: digest.hex}
