"""Keys, records and signed bundles for the tests of this folder; small, real, and made anew in each run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from attestations.bundle import Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, pae
from attestations.identity import ALWAYS, KeyIdentity, Validity
from attestations.keys import key_hint, load_private_key, new_key, sign
from attestations.records.admission import (
    Admission,
    AdmissionKind,
    Copied,
    GateOutcome,
    PipelineReference,
    Predecessor,
    StepLink,
)
from attestations.records.approval import Approval, ApprovalKind
from attestations.records.definition import DefinitionRecord
from attestations.records.step import ReportLink, StepRecord, StepResult
from attestations.records.waivers import Scope, Waiver, WaiverKind, WaiversRecord
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from registries.digest import Digest

IMAGE = Digest.of(b"the image")
OTHER = Digest.of(b"another image")
NOW = datetime(2026, 11, 23, 22, 40, 30, tzinfo=UTC)

PRIVATE, PUBLIC = new_key()
SIGNER = KeySigner.from_pem(PRIVATE)
STRANGER = KeySigner.from_pem(new_key()[0])

PIPELINE = PipelineReference(name="shop-api", definition=Digest.of(b"samebits: 1"), version=7)

ADMITTED = Admission(
    pipeline=PIPELINE,
    stage="test",
    kind=AdmissionKind.PROMOTION,
    predecessors=(
        Predecessor(
            stage="build",
            record=Digest.of(b"the admission to build"),
            steps=(StepLink(name="sbom", record=Digest.of(b"the step record")),),
        ),
    ),
    gates=(
        GateOutcome(
            gate="vulnerabilities",
            verdict="passed",
            counts=(("low", 3),),
            evidence=(Digest.of(b"the scan"),),
            newest_data=NOW,
        ),
        GateOutcome(gate="tests", verdict="passed"),
    ),
    approvals=(Digest.of(b"an approval"),),
    source="registry.acme.example/dev/shop/api",
    destination="registry.acme.example/test/shop/api",
    copied=Copied(manifests=3, blobs=7, bytes=1_234_567, mounted=2),
    decided_at=NOW,
    by=(("url", "https://ci.acme.example/runs/17"), ("commit", "5e2c9b1")),
    tool=(("version", "0.1.0"),),
)

STEPPED = StepRecord(
    pipeline=PIPELINE,
    stage="test",
    step="integration",
    admission=Digest.of(b"the admission to test"),
    spec=Digest.of(b"the step as defined"),
    result=StepResult.PASSED,
    started_at=NOW,
    finished_at=NOW,
    command=("make", "integration"),
    exit_code=0,
    reports=(ReportLink(format="junit", digest=Digest.of(b"<testsuite/>"), size=12, summary=(("tests", 4),)),),
    supersedes=(Digest.of(b"the run before"),),
)

APPROVED = Approval(
    pipeline=PIPELINE,
    stage="prod",
    kind=ApprovalKind.PROMOTION,
    findings=Digest.of(b"what the gates said"),
    words="tested with the shop team",
    approved_at=NOW,
    expires=NOW + timedelta(hours=72),
)

DEFINED = DefinitionRecord(
    pipeline="shop-api",
    version=7,
    previous=Digest.of(b"version 6"),
    materials=(("keys/scanner.pub", Digest.of(b"a key")),),
)

WAIVED = WaiversRecord(
    pipeline="shop-api",
    issued_at=NOW,
    waivers=(
        Waiver(
            id="W-1",
            gate="vulnerabilities",
            kind=WaiverKind.ALTERNATIVE_SOLUTION,
            findings=("CVE-2026-1000", "GHSA-aaaa-bbbb-cccc"),
            scope=Scope(image=IMAGE, package="libssl3", version="3.0.15"),
            owner="alice@acme.example",
            reason="the proxy in front refuses such requests",
            evidence=("https://acme.example/changes/17",),
            expires=NOW + timedelta(days=30),
        ),
        Waiver(
            id="W-2",
            gate="malware",
            kind=WaiverKind.SECURED_BY_PRACTICE,
            findings=("Eicar-Test-Signature",),
            scope=Scope(),
            owner="alice@acme.example",
            reason="the test file of the scanner itself",
            evidence=(),
            expires=NOW + timedelta(days=366),
        ),
    ),
)


def identity(signer: KeySigner = SIGNER, *, name: str = "ci", valid: Validity = ALWAYS) -> KeyIdentity:
    return KeyIdentity(name=name, public_key=signer.public_key, valid=valid)


def statement_json(**changes: Any) -> dict[str, Any]:
    """A foreign statement about IMAGE; a change to None drops the member."""
    value: dict[str, Any] = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app", "digest": {IMAGE.algorithm: IMAGE.hex}}],
        "predicateType": "https://example.com/scan/v1",
        "predicate": {},
    }
    return {name: item for name, item in (value | changes).items() if item is not None}


def statement(**changes: Any) -> Statement:
    return Statement.from_bytes(json.dumps(statement_json(**changes)).encode())


def sealed(payload: bytes, *, payload_type: str = PAYLOAD_TYPE, key: bytes = PRIVATE) -> Bundle:
    """Whatever the payload is, validly signed: what a signer gone bad, or another tool, can make."""
    private = load_private_key(key)
    signer = KeySigner.of(private)
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=sign(private, pae(payload_type, payload)))
    return Bundle.signed(envelope, key_hint(signer.public_key))


def bundle_json(bundle: Bundle | None = None) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle or SIGNER.sign(statement())).content)
    return content


def as_bytes(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()
