"""Evidence for gates, made in memory: an image, the stages it went through, and the reports of their steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attestations.chain import Chain, Link
from attestations.identity import KeyIdentity
from attestations.records.admission import ADMISSION, Admission, AdmissionKind, Copied, PipelineReference
from attestations.records.step import STEP, StepRecord, StepResult
from attestations.statement import Statement
from attestations.steps import StepProof
from attestations.verify import Claim, Rejected, Verified
from registries.digest import Digest
from registries.errors import Reason
from stages.evidence import Evidence, Platform, Report
from stages.reports.clamav import SCHEMA as MALWARE_SCHEMA

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

SUBJECT = Digest.of(b"the index")
AMD64 = Platform(name="linux/amd64", manifest=Digest.of(b"amd64 manifest"), config=Digest.of(b"amd64 config"))
ARM64 = Platform(name="linux/arm64", manifest=Digest.of(b"arm64 manifest"), config=Digest.of(b"arm64 config"))
STRANGER = Digest.of(b"another image")


def evidence(
    *reports: Report,
    platforms: tuple[Platform, ...] = (AMD64,),
    stages: tuple[str, ...] = ("build", "test"),
    now: datetime = NOW,
    statements: tuple[Verified, ...] = (),
    rejected: tuple[Rejected, ...] = (),
    admitters: tuple[str, ...] = (),
) -> Evidence:
    """What the gates of the next stage see: an image that was admitted to `stages`, with these reports."""
    return Evidence(
        subject=SUBJECT,
        platforms=platforms,
        chain=Chain(subject=SUBJECT, links=tuple(_link(stage, reports) for stage in stages)),
        reports=reports,
        statements=statements,
        rejected=rejected,
        now=now,
        admitters=admitters,
    )


def report(
    report_format: str,
    content: bytes,
    *,
    signer: str = "scanner",
    stage: str = "test",
    step: str = "scan",
    finished_at: datetime = NOW - HOUR,
) -> Report:
    """A report as a step of the chain recorded it."""
    return Report(
        format=report_format,
        content=content,
        digest=Digest.of(content),
        record=Digest.of(f"{stage} {step} {signer} {finished_at}".encode()),
        signer=identity(signer),
        stage=stage,
        step=step,
        finished_at=finished_at,
    )


def attested(
    predicate_type: str,
    predicate: Mapping[str, Any],
    *,
    about: Sequence[Digest] = (SUBJECT,),
    signer: str = "builder",
    proved_time: datetime | None = NOW - HOUR,
) -> Verified:
    """A foreign statement that was believed, by a signer of the definition."""
    first, *more = about
    statement = Statement.about(first, predicate_type=predicate_type, predicate=predicate, more=more)
    record = Digest.of(b"%b by %b" % (statement.content, signer.encode()))
    return Verified(statement=statement, signer=identity(signer), record=record, claim=None, proved_time=proved_time)


def rejected(predicate_type: str, code: str = "signature-invalid") -> Rejected:
    """A foreign statement that was not believed."""
    record = Digest.of(predicate_type.encode() + code.encode())
    return Rejected(record=record, reason=Reason(code, "no"), says=(predicate_type, "", ""))


def identity(name: str) -> KeyIdentity:
    """A signer of this name."""
    return KeyIdentity(name=name, public_key=name.encode())


def trivy(
    *findings: dict[str, Any],
    about: Sequence[Digest] = (AMD64.manifest,),
    scanned_at: datetime | None = None,
    data_date: datetime | None = None,
) -> bytes:
    """A Trivy report."""
    value: dict[str, Any] = {
        "SchemaVersion": 2,
        "ArtifactName": "shop/api",
        "ArtifactType": "container_image",
        "Metadata": {"RepoDigests": [f"shop/api@{digest}" for digest in about]},
        "Results": [{"Target": "shop/api", "Class": "os-pkgs", "Vulnerabilities": list(findings)}],
    }
    if scanned_at is not None:
        value["CreatedAt"] = scanned_at.isoformat()
    if data_date is not None:
        value["Trivy"] = {"Version": "1.0", "VulnerabilityDB": {"UpdatedAt": data_date.isoformat()}}
    return json.dumps(value).encode()


_LAYER = Digest.of(b"layer")


def clamav(
    *about: Digest,
    scanned_at: datetime = NOW - HOUR,
    data_date: datetime | None = NOW - 24 * HOUR,
    found: tuple[str, ...] = (),
    unscanned: tuple[str, ...] = (),
    **changes: Any,
) -> bytes:
    """A report as `samebits scan` writes it."""
    value = {
        "schema": MALWARE_SCHEMA,
        "engine": "ClamAV 1.4.6",
        "signatures": 27456,
        "signaturesDate": data_date.isoformat() if data_date else None,
        "scannedAt": scanned_at.isoformat(),
        "platforms": [{"name": "x", "manifest": str(digest), "layers": [str(_LAYER)]} for digest in about],
        "files": 12,
        "bytes": 1200,
        "found": [{"layer": str(_LAYER), "path": "bin/x", "signature": name} for name in found],
        "unscanned": [{"layer": str(_LAYER), "path": "big", "why": why} for why in unscanned],
    }
    return json.dumps({**value, **changes}).encode()


def flaw(id: str, severity: str = "HIGH", package: str = "libssl3", version: str = "3.0.15") -> dict[str, Any]:  # noqa: A002
    """A finding in a Trivy report."""
    return {"VulnerabilityID": id, "Severity": severity, "PkgName": package, "InstalledVersion": version}


def grype(
    *matches: dict[str, Any],
    about: Sequence[Digest] = (AMD64.manifest,),
    scanned_at: datetime | None = None,
    data_date: datetime | None = NOW - HOUR,
) -> bytes:
    """A Grype report."""
    descriptor: dict[str, Any] = {"name": "grype", "version": "1.0"}
    if scanned_at is not None:
        descriptor["timestamp"] = scanned_at.isoformat()
    if data_date is not None:
        descriptor["db"] = {"status": {"built": data_date.isoformat()}}
    target = {"userInput": "shop/api", "repoDigests": [f"shop/api@{digest}" for digest in about]}
    value = {"matches": list(matches), "source": {"type": "image", "target": target}, "descriptor": descriptor}
    return json.dumps(value).encode()


def match(
    id: str,  # noqa: A002
    severity: str = "High",
    package: str = "libssl3",
    *,
    version: str = "3.0.15",
    also: Sequence[str] = (),
    fixed_in: Sequence[str] = (),
) -> dict[str, Any]:
    """A finding in a Grype report."""
    return {
        "vulnerability": {"id": id, "severity": severity, "fix": {"versions": list(fixed_in)}},
        "relatedVulnerabilities": [{"id": name} for name in also],
        "artifact": {"name": package, "version": version},
    }


def junit(passed: int = 1, failed: int = 0, skipped: int = 0, errors: int = 0) -> bytes:
    """A JUnit report of one suite."""
    cases = [f'<testcase name="passes-{number}"/>' for number in range(passed)]
    cases += [f'<testcase name="fails-{number}"><failure/></testcase>' for number in range(failed)]
    cases += [f'<testcase name="breaks-{number}"><error/></testcase>' for number in range(errors)]
    cases += [f'<testcase name="skips-{number}"><skipped/></testcase>' for number in range(skipped)]
    claims = f'tests="{len(cases)}" failures="{failed}" errors="{errors}" skipped="{skipped}"'
    return f'<testsuite name="shop" {claims}>{"".join(cases)}</testsuite>'.encode()


COMMIT = "a1" * 20
REPOSITORY = "github.com/acme/shop"
BUILDER = "https://builder.example/one"


def sarif(
    *results: dict[str, Any],
    tool: str = "Finder",
    commit: str = COMMIT,
    repository: str = f"https://{REPOSITORY}",
    about: Sequence[Digest] = (),
    ended_at: datetime | None = None,
) -> bytes:
    """A SARIF report of one run, about a commit, or about an image where that is named."""
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if ended_at is not None:
        invocation["endTimeUtc"] = ended_at.isoformat()
    run: dict[str, Any] = {
        "tool": {"driver": {"name": tool, "version": "1.0", "rules": [{"id": "R1"}]}},
        "invocations": [invocation],
        "results": list(results),
    }
    if commit:
        run["versionControlProvenance"] = [{"repositoryUri": repository, "revisionId": commit}]
    if about:
        run["properties"] = {"repoDigests": [f"shop/api@{digest}" for digest in about]}
    return json.dumps({"version": "2.1.0", "runs": [run]}).encode()


def alert(rule: str = "R1", level: str = "error", **more: Any) -> dict[str, Any]:
    """A result in a SARIF report."""
    where = {"physicalLocation": {"artifactLocation": {"uri": "shop.py"}, "region": {"startLine": 6}}}
    return {"ruleId": rule, "level": level, "message": {"text": "bad"}, "locations": [where], **more}


def slsa(
    *,
    builder: str = BUILDER,
    repository: str = f"https://{REPOSITORY}",
    ref: str = "refs/heads/main",
    commit: str = COMMIT,
    **parameters: Any,
) -> dict[str, Any]:
    """A predicate of SLSA provenance version 1."""
    external = {"workflow": {"repository": repository, "ref": ref, "path": "build.yml"}, **parameters}
    return {
        "buildDefinition": {
            "buildType": "https://builder.example/type/v1",
            "externalParameters": external,
            "resolvedDependencies": [{"uri": f"git+{repository}@{ref}", "digest": {"gitCommit": commit}}],
        },
        "runDetails": {"builder": {"id": builder}},
    }


def provenance(**said: Any) -> bytes:
    """The same as a file that a step records."""
    return json.dumps(slsa(**said)).encode()


def cyclonedx(*packages: str, about: Digest | None = AMD64.manifest, made_at: datetime | None = None) -> bytes:
    """A CycloneDX bill of one platform."""
    image = {"type": "container", "name": "shop/api", "version": str(about or "1.0")}
    metadata: dict[str, Any] = {"component": image}
    if made_at is not None:
        metadata["timestamp"] = made_at.isoformat()
    components = [{"type": "library", "name": name, "version": "1.0"} for name in packages]
    value = {"bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": metadata, "components": components}
    return json.dumps(value).encode()


_PIPELINE = PipelineReference(name="shop", definition=Digest.of(b"definition"), version=1)


def _link(stage: str, reports: Sequence[Report]) -> Link:
    admission = Admission(
        pipeline=_PIPELINE,
        stage=stage,
        kind=AdmissionKind.PROMOTION,
        predecessors=(),
        gates=(),
        approvals=(),
        source="registry.example/dev/shop",
        destination=f"registry.example/{stage}/shop",
        copied=Copied(manifests=1, blobs=2, bytes=3, mounted=0),
        decided_at=NOW - 2 * HOUR,
        by=(),
        tool=(),
    )
    verified = _verified(ADMISSION, f"admission to {stage}", admission)
    here = {made.step: made for made in reports if made.stage == stage}
    steps = tuple(_proof(stage, made, verified.record) for made in here.values())
    return Link(stage=stage, verified=verified, admission=admission, steps=steps)


def _proof(stage: str, made: Report, admission: Digest) -> StepProof:
    step = StepRecord(
        pipeline=_PIPELINE,
        stage=stage,
        step=made.step,
        admission=admission,
        spec=Digest.of(made.step.encode()),
        result=StepResult.PASSED,
        started_at=made.finished_at,
        finished_at=made.finished_at,
    )
    return StepProof(name=step.step, verified=_verified(STEP, f"{stage} {made.step}", step), step=step)


def _verified(predicate_type: str, name: str, claim: Claim) -> Verified:
    statement = Statement.about(SUBJECT, predicate_type=predicate_type, predicate={})
    return Verified(statement=statement, signer=identity("ci"), record=Digest.of(name.encode()), claim=claim)
