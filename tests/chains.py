"""Chains of records for tests: three stages, real keys, and every part of it open to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from attestations.bundle import Bundle
from attestations.chain import Chain, ExpectedStage, Records, verify_chain
from attestations.identity import KeyIdentity, Role
from attestations.keys import new_key
from attestations.lineage import Lineage
from attestations.records.admission import (
    Admission,
    AdmissionKind,
    Copied,
    PipelineReference,
    Predecessor,
    StepLink,
    admission_statement,
)
from attestations.records.step import StepRecord, StepResult, step_statement
from attestations.signers.identities import IdentityVerifier
from attestations.signers.key import KeySigner
from attestations.steps import ExpectedStep
from attestations.verify import sift
from registries.digest import Digest

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
IMAGE = Digest.of(b"the image")
OTHER_IMAGE = Digest.of(b"another image")
DEFINITION = Digest.of(b"the definition")
FORMER = Digest.of(b"the definition before")
PIPELINE = PipelineReference(name="shop", definition=DEFINITION, version=2)
LINEAGE = Lineage(pipeline="shop", version=2, current=DEFINITION, ancestors=(FORMER,))
PLACES = {"build": "dev.test/shop", "test": "test.test/shop", "prod": "prod.test/shop"}
ORDER = ("build", "test", "prod")


@cache
def signer(name: str) -> KeySigner:
    """A signer with a fresh key, the same one for the whole run."""
    private, _ = new_key()
    return KeySigner.from_pem(private)


def identity(name: str) -> KeyIdentity:
    return KeyIdentity(name=name, public_key=signer(name).public_key)


def role(*names: str) -> Role:
    return Role(name=" ".join(names), signers=tuple(identity(name) for name in names))


def spec(stage: str, step: str) -> Digest:
    return Digest.of(f"{stage} {step} as defined".encode())


def expected(
    name: str, after: Sequence[str], admit: str, steps: Sequence[tuple[str, str]], *, any_of: bool = False
) -> ExpectedStage:
    return ExpectedStage(
        name=name,
        after=tuple(after),
        any_of=any_of,
        admit=role(admit),
        repositories=(PLACES.get(name, f"{name}.test/shop"),),
        steps=tuple(ExpectedStep(name=step, by=role(by), spec=spec(name, step)) for step, by in steps),
    )


STAGES = (
    expected("build", (), "ci-build", (("unit", "ci-build"), ("scan", "scanner"))),
    expected("test", ("build",), "ci-promote", (("integration", "ci-promote"),)),
    expected("prod", ("test",), "ci-release", ()),
)
SIGNERS = ("ci-build", "scanner", "ci-promote", "ci-release")


@dataclass
class Pieces:
    """The records of one image on its way, each as the bundle that is attached to it."""

    subject: Digest = IMAGE
    pipeline: PipelineReference = PIPELINE
    clock: datetime = NOW - timedelta(hours=5)
    bundles: dict[str, Bundle] = field(default_factory=dict)

    def admit(self, stage: str, *, by: str, rests_on: Sequence[str] = (), name: str = "", **changes: Any) -> Bundle:
        """Sign an admission that rests on the stages named, with all their steps that are there."""
        self.clock += timedelta(minutes=1)
        admission = Admission(
            pipeline=self.pipeline,
            stage=stage,
            kind=AdmissionKind.PROMOTION,
            predecessors=tuple(self.predecessor(before) for before in rests_on),
            gates=(),
            approvals=(),
            source=PLACES.get(rests_on[0], f"{rests_on[0]}.test/shop") if rests_on else "oci:image",
            destination=PLACES.get(stage, f"{stage}.test/shop"),
            copied=Copied(manifests=1, blobs=2, bytes=3, mounted=0),
            decided_at=self.clock,
            by=(),
            tool=(),
        )
        bundle = signer(by).sign(admission_statement(replace(admission, **changes), self.subject))
        self.bundles[name or stage] = bundle
        return bundle

    def step(self, stage: str, step: str, *, by: str, name: str = "", **changes: Any) -> Bundle:
        """Sign a passing record of a step, after the admission to its stage."""
        self.clock += timedelta(minutes=1)
        record = StepRecord(
            pipeline=self.pipeline,
            stage=stage,
            step=step,
            admission=self.bundles[stage].record,
            spec=spec(stage, step),
            result=StepResult.PASSED,
            started_at=self.clock,
            finished_at=self.clock,
        )
        bundle = signer(by).sign(step_statement(replace(record, **changes), self.subject))
        self.bundles[name or f"{stage}/{step}"] = bundle
        return bundle

    def predecessor(self, stage: str) -> Predecessor:
        steps = [key for key in self.bundles if key.startswith(f"{stage}/") and key.count("/") == 1]
        links = tuple(StepLink(name=key.partition("/")[2], record=self.bundles[key].record) for key in steps)
        return Predecessor(stage=stage, record=self.bundles[stage].record, steps=links)

    def without(self, *names: str) -> Pieces:
        return replace(self, bundles={name: bundle for name, bundle in self.bundles.items() if name not in names})


def whole(subject: Digest = IMAGE, pipeline: PipelineReference = PIPELINE) -> Pieces:
    """Everything that prod asks for: admitted to build and test, with all their steps."""
    pieces = Pieces(subject=subject, pipeline=pipeline)
    pieces.admit("build", by="ci-build")
    pieces.step("build", "unit", by="ci-build")
    pieces.step("build", "scan", by="scanner")
    pieces.admit("test", by="ci-promote", rests_on=("build",))
    pieces.step("test", "integration", by="ci-promote")
    return pieces


def records(bundles: Sequence[Bundle], subject: Digest = IMAGE, *, now: datetime = NOW) -> Records:
    verified, rejected = sift(IdentityVerifier([identity(name) for name in SIGNERS], now), bundles, subject)
    return Records(subject=subject, verified=verified, rejected=rejected)


def chain(
    bundles: Sequence[Bundle],
    *,
    after: Sequence[str] = ("test",),
    any_of: bool = False,
    stages: Sequence[ExpectedStage] = STAGES,
    lineage: Lineage = LINEAGE,
    subject: Digest = IMAGE,
    now: datetime = NOW,
) -> Chain:
    """Verify these bundles as the chain that leads to a stage after `after`."""
    return verify_chain(
        records(bundles, subject, now=now), after=tuple(after), any_of=any_of, stages=stages, lineage=lineage, now=now
    )
