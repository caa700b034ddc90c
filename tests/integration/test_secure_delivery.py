"""The example of secure delivery, from a git commit to production, with the reports of real scanners."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from attestations import store
from attestations.keys import new_key
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from pipeline.demo.image import grype_report, junit_report
from registries.kinds.layout import LayoutRegistry
from registries.registry import Location
from registries.server import serve_in_thread
from tests import images, peers
from tests.e2e.shop import ROOT, Ended, Shop, now
from tests.evidence import slsa
from tests.images import Image
from tests.integration.test_clamd import SIGNATURES
from tests.scanners import bills, by_bandit, on_commit, python_image

pytestmark = pytest.mark.peer

EXAMPLE = ROOT / "docs/examples/secure-delivery"
PEOPLE = ("alice", "bob", "carol", "ci-build", "ci-promote", "scanner", "security")
GOOD = "def total(prices):\n    return sum(prices)\n"


@dataclass(frozen=True)
class Delivery:
    """A folder with the example, its keys, a commit and an image built from it."""

    shop: Shop
    commit: str
    image: Image
    clamd: str

    def run(self, *words: str, key: str | None = None) -> Ended:
        return self.shop.run(*words, key=key)

    def done(self, *words: str, key: str | None = None) -> Ended:
        ended = self.run(*words, key=key)
        assert ended.code == 0, ended.stderr
        return ended


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLE, folder)
    (folder / "keys").mkdir()
    for name in PEOPLE:
        private, public = new_key()
        (folder / "keys" / f"{name}.key").write_bytes(private)
        (folder / "keys" / f"{name}.pub").write_bytes(public)
    with (
        serve_in_thread(tmp_path / "dev") as dev,
        serve_in_thread(tmp_path / "prod") as production,
        peers.clamd(SIGNATURES) as clamd,
    ):
        for name in ("samebits.yaml", "trust.yaml"):
            text = (folder / name).read_text()
            text = text.replace("registry.acme.example", dev if name != "trust.yaml" else f'"{dev}"')
            text = text.replace("production.acme.example", production if name != "trust.yaml" else f'"{production}"')
            (folder / name).write_text(text)
        shop = Shop(folder, dev, production)
        commit = committed(tmp_path / "source")
        platforms = [python_image(architecture, "1.4.2", user="10001") for architecture in ("amd64", "arm64")]
        made = images.index(*platforms, names=[it.platforms[0].name for it in platforms])
        made.push(Location(LayoutRegistry.create(folder / "image"), ""), "1.4.2")
        yield Delivery(shop, commit, made, clamd)


def committed(folder: Path) -> str:
    """A commit of the source; its id."""
    folder.mkdir()
    (folder / "shop.py").write_text(GOOD)
    who = ("-c", "user.name=dev", "-c", "user.email=dev@acme.example", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "shop")):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=30)
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, timeout=30, capture_output=True, text=True
    )
    return done.stdout.strip()


def in_build(it: Delivery, folder: Path) -> None:
    """Everything that has to happen before the image may be tested."""
    for owner in ("alice", "bob"):
        it.done("definition", "sign", key=owner)
    sarif = on_commit(by_bandit(folder, GOOD), it.commit)
    it.done("step", "build", "sast", f"git:{it.commit}", f"--report=sarif={sarif}", "--into", "kept", key="scanner")
    it.done("promote", "build", "oci:image:1.4.2", key="ci-build")

    attested(it, slsa(commit=it.commit))
    it.done("step", "build", "sast", "1.4.2", "--from", "kept")
    it.done("step", "build", "sbom", "1.4.2", *bills(it.image, it.shop.folder / "bills", "cyclonedx"), key="scanner")
    scanned(it, found=False)
    it.done("scan", "1.4.2", "--stage", "build", "--clamd", it.clamd, "--report", "malware.json")
    it.done("step", "build", "malware", "1.4.2", "--report=clamav=malware.json", key="security")
    it.shop.write("unit.xml", junit_report())
    it.done("step", "build", "unit", "1.4.2", "--report=junit=unit.xml", key="ci-build")


def attested(it: Delivery, provenance: dict[str, object]) -> None:
    """As the builder attests it itself, beside the image."""
    place = it.shop.workshop.place("build")
    statement = Statement.about(it.image.digest, predicate_type="https://slsa.dev/provenance/v1", predicate=provenance)
    builder = KeySigner.from_pem((it.shop.folder / "keys/ci-build.key").read_bytes())
    subject = place.registry.manifest(place.repository, it.image.digest).descriptor
    store.attach(place, subject, (builder.sign(statement),), created=now())


def scanned(it: Delivery, *, found: bool) -> None:
    """Grype's report of each platform, with one finding that has no fix, or with none."""
    options = []
    for number, platform in enumerate(it.image.platforms):
        report = json.loads(grype_report((platform.manifest, platform.config), now()))
        if found:
            vulnerability = {"id": "CVE-2026-1", "severity": "High", "fix": {"versions": [], "state": "not-fixed"}}
            artifact = {"name": "requests", "version": "2.19.0"}
            report["matches"] = [{"vulnerability": vulnerability, "relatedVulnerabilities": [], "artifact": artifact}]
        path = it.shop.write(f"grype-{number}.json", json.dumps(report))
        options.append(f"--report=grype={path}")
    it.done("step", "build", "vulnerabilities", "1.4.2", *options, key="scanner")


def approved(it: Delivery, *people: str) -> None:
    for name in people:
        it.done("approve", "prod", "1.4.2", "--yes", "--words", "seen", key=name)


def in_test(it: Delivery) -> None:
    it.done("promote", "test", "1.4.2", key="ci-promote")
    it.shop.write("integration.xml", junit_report())
    it.done("step", "test", "integration", "1.4.2", "--report=junit=integration.xml", key="ci-promote")


def test_an_image_goes_from_a_commit_to_production_and_nothing_is_left_out(delivery: Delivery, tmp_path: Path) -> None:
    it = delivery
    in_build(it, tmp_path)
    in_test(it)
    waiting = it.run("promote", "prod", "1.4.2", key="ci-promote")
    assert (waiting.code, waiting.reasons) == (8, ["approval-missing"])
    approved(it, "alice")
    assert it.run("promote", "prod", "1.4.2", key="ci-promote").code == 8
    approved(it, "bob")

    admitted = it.done("promote", "prod", "1.4.2", "-o", "json", key="ci-promote").result
    verified = it.done("verify", "prod", "1.4.2", "-o", "json").result

    assert (admitted["verdict"], admitted["image"]) == ("admitted", str(it.image.digest))
    assert [link["stage"] for link in verified["chain"]] == ["build", "test", "prod"]
    gates = {gate["gate"]: gate["verdict"] for link in verified["chain"] for gate in link["gates"]}
    assert set(gates.values()) == {"passed"}
    assert set(gates) == {
        "approvals", "freshness", "image-config", "malware", "provenance", "sast", "sbom", "tests", "vulnerabilities"
    }  # fmt: skip
    assert it.shop.tags("prod") == ("1.4.2", "stable")
    assert it.done("audit", "1.4.2").stdout.count("✔") == 3


def test_a_finding_without_a_fix_needs_the_security_office(delivery: Delivery, tmp_path: Path) -> None:
    it = delivery
    in_build(it, tmp_path)
    scanned(it, found=True)
    blocked = it.run("promote", "test", "1.4.2", key="ci-promote")
    assert (blocked.code, blocked.reasons) == (3, ["vulnerability-found"])
    words = [
        "waive",
        "add",
        "W-1",
        "--finding",
        "CVE-2026-1",
        "--package",
        "requests",
        "--owner",
        "shop",
        "--reason",
        "r",
    ]
    words += ["--expires", (now() + timedelta(days=10)).isoformat()]
    it.done(*words, "--kind", "secured-by-practice", key="security")
    too_little = it.run("promote", "test", "1.4.2", key="ci-promote")
    assert too_little.reasons == ["vulnerability-found", "waiver-invalid"]
    it.done(*words, "--kind", "alternative-solution", "--evidence", "https://wiki.example/1", key="security")
    assert "waiver-expiring" in it.done("promote", "test", "1.4.2", key="ci-promote").stderr
