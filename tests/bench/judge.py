"""Part (h): how long the gate `vulnerabilities` thinks about many findings, waivers and statements."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta

from attestations.records.admission import PipelineReference
from attestations.records.waivers import Scope, Waiver, WaiverKind, WaiversRecord, waivers_statement
from attestations.verify import Verified
from registries.digest import Digest
from stages.duration import Duration
from stages.evidence import Asked, Evidence, Report
from stages.finding import Severity
from stages.gates.vulnerabilities import Vulnerabilities
from tests.bench.parts import Report as Part
from tests.bench.parts import Settings
from tests.bench.table import Aim, Table
from tests.evidence import NOW, SUBJECT, evidence, flaw, identity, report, trivy

FINDINGS, WAIVERS, DOCUMENTS, STATEMENTS = 1000, 200, 50, 10
PACKAGES = 50
SECONDS = 0.2


def judging(asked: Settings) -> Part:
    """Processor time of one judgement, the best of the rounds; the reports are read in it, their signatures are not."""
    asked.say("(h) judging")
    gate = Vulnerabilities(
        none_at_or_above=Severity.MEDIUM,
        max_age=Duration.parse("24h"),
        waivers_by=("security",),
        vex_by=("security",),
    )
    shown = _evidence()
    times = []
    for _ in range(asked.rounds or 5):
        started = time.process_time()
        gate.judge(shown)
        times.append(time.process_time() - started)
    best = min(times)
    what = f"{FINDINGS} findings, {WAIVERS} waivers, {DOCUMENTS} VEX documents of {STATEMENTS} statements"
    return Part(
        title="(h) Judging",
        text="One judgement of the gate `vulnerabilities` over one report, with waivers and statements.",
        tables=[Table("", ("evidence", "CPU"), [[what, f"{best * 1000:.0f} ms"]])],
        aims=[Aim(f"at most {SECONDS * 1000:.0f} ms", f"{best * 1000:.0f} ms", met=best <= SECONDS)],
    )


def _evidence() -> Evidence:
    flaws = [flaw(_cve(number), ("HIGH", "MEDIUM")[number % 2], _package(number)) for number in range(FINDINGS)]
    pipeline = PipelineReference(name="shop", definition=Digest.of(b"definition"), version=1)
    made = evidence(report("trivy", trivy(*flaws)), *map(_document, range(DOCUMENTS)))
    return replace(made, waivers=(_waivers(),), asked=Asked(stage="prod", pipeline=pipeline))


def _waivers() -> Verified:
    waivers = tuple(
        Waiver(
            id=f"W-{number}",
            gate="vulnerabilities",
            kind=WaiverKind.ALTERNATIVE_SOLUTION,
            findings=(_cve(3 * number),),
            scope=Scope(package=_package(3 * number)),
            owner="shop",
            reason="not reachable",
            evidence=("https://wiki.example/1",),
            expires=NOW + timedelta(days=90),
        )
        for number in range(WAIVERS)
    )
    claim = WaiversRecord(pipeline="shop", issued_at=NOW, waivers=waivers)
    statement = waivers_statement(claim)
    return Verified(statement=statement, signer=identity("security"), record=Digest.of(b"waivers"), claim=claim)


def _document(number: int) -> Report:
    """A document about some of the findings, a few of which waivers name too."""
    product = {"@id": f"pkg:oci/shop@{SUBJECT.algorithm}%3A{SUBJECT.hex}"}
    statements = [
        {
            "vulnerability": {"name": _cve(number * FINDINGS // DOCUMENTS + each)},
            "products": [product],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
        }
        for each in range(STATEMENTS)
    ]
    value = {"@context": "https://openvex.dev/ns/v0.2.0", "author": "security", "timestamp": NOW.isoformat()}
    content = json.dumps({**value, "statements": statements}).encode()
    return report("openvex", content, signer="security", step=f"vex {number}")


def _cve(number: int) -> str:
    return f"CVE-2026-{number}"


def _package(number: int) -> str:
    return f"package-{number % PACKAGES}"
