"""Real tools on a small source tree and image; the command records what they wrote, and the gates judge it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registries.kinds.layout import LayoutRegistry
from registries.registry import Location
from registries.strict_json import dumps
from tests import images, peers
from tests.e2e.shop import Ended, Shop, opened
from tests.evidence import slsa
from tests.images import Image
from tests.scanners import COMMIT, QUIET, bills, by_bandit, on_commit, python_image

pytestmark = pytest.mark.peer

BAD = "import subprocess\n\n\ndef run(command):\n    return subprocess.call(command, shell=True)\n"
GOOD = "def run(number):\n    return number + 1\n"
RULES = """\
rules:
  - id: no-shell
    languages: [python]
    severity: ERROR
    message: a shell runs this
    pattern: subprocess.call(..., shell=True)
"""
STAGES = """\
stages:
  - name: build
    registry: {registry}/dev
    admit: [ci-build]
    steps:
      - {{name: provenance, by: [ci-build], evidence: slsa}}
      - {{name: sast, by: [scanner], evidence: sarif}}
      - {{name: sbom, by: [scanner], evidence: cyclonedx}}
  - name: sources
    after: [build]
    registry: {registry}/sources
    admit: [ci-promote]
    gates:
      provenance:
        builder: https://builder.example/one
        source: github.com/acme/shop
        any-value: [workflow.path]
        by: [ci-build]
      sast: {{at-or-above: medium, by: [scanner], provenance-by: [ci-build], max-age: 1h}}
  - name: bills
    after: [build]
    registry: {registry}/bills
    admit: [ci-promote]
    gates:
      sbom: {{min-components: 2, by: [scanner], max-age: 1h}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose gates ask for what the tools write."""
    with opened(tmp_path_factory.mktemp("shop")) as made:
        definition = (made.folder / "samebits.yaml").read_text().partition("stages:\n")[0]
        made.write("samebits.yaml", definition + STAGES.format(registry=made.registry))
        assert made.run("definition", "sign", key="owner").code == 0
        yield made


def test_bandit_and_semgrep_on_the_commit_block_what_they_find(shop: Shop, tmp_path: Path) -> None:
    image = _admitted(shop, "bad")
    provenance = shop.write("bad/provenance.json", dumps(slsa(commit=COMMIT)))
    _recorded(shop, "provenance", "bad", f"--report=slsa={provenance}", key="ci-build")
    reports = [on_commit(report) for report in _scanned(tmp_path, BAD)]
    step = _recorded(shop, "sast", "bad", *(f"--report=sarif={it}" for it in reports), key="scanner")
    assert [report["summary"] for report in step["reports"]] == [{"high": 1, "low": 1}, {"high": 1}]
    _recorded(shop, "sbom", "bad", *bills(image, shop.folder / "bad", "cyclonedx"), key="scanner")

    planned = shop.run("plan", "sources", "bad")

    assert (planned.code, planned.reasons) == (3, ["alert-found", "alert-found"])
    assert "high B602 at shop.py:5" in planned.stderr
    assert "no-shell at shop.py:5: a shell runs this" in planned.stderr


def test_a_clean_tree_passes_and_what_names_no_commit_or_another_one_does_not(shop: Shop, tmp_path: Path) -> None:
    image = _admitted(shop, "good")
    provenance = shop.write("good/provenance.json", dumps(slsa(commit=COMMIT)))
    _recorded(shop, "provenance", "good", f"--report=slsa={provenance}", key="ci-build")
    _recorded(shop, "sbom", "good", *bills(image, shop.folder / "good", "cyclonedx"), key="scanner")
    reports = _scanned(tmp_path, GOOD)
    _recorded(shop, "sast", "good", *(f"--report=sarif={it}" for it in reports), key="scanner")
    nameless = shop.run("plan", "sources", "good")
    assert (nameless.code, set(nameless.reasons)) == (5, {"subject-mismatch", "attestation-missing"})

    others = [on_commit(report, "b2" * 20) for report in reports]
    _recorded(shop, "sast", "good", *(f"--report=sarif={it}" for it in others), key="scanner")
    elsewhere = shop.run("plan", "sources", "good")
    assert (elsewhere.code, set(elsewhere.reasons)) == (5, {"subject-mismatch", "attestation-missing"})

    right = [on_commit(report) for report in reports]
    _recorded(shop, "sast", "good", *(f"--report=sarif={it}" for it in right), key="scanner")
    planned = shop.run("plan", "sources", "good")
    assert planned.code == 0, planned.stderr


@pytest.mark.parametrize("kind", ["cyclonedx", "spdx"])
def test_syft_s_bill_of_every_platform_passes_and_one_less_does_not(shop: Shop, tmp_path: Path, kind: str) -> None:
    image = _admitted(shop, kind)
    _evident(shop, kind, tmp_path)
    made = bills(image, shop.folder / kind, kind)
    also = []  # the format that the step asks for
    if kind == "spdx":
        also = bills(image, shop.folder / kind, "cyclonedx")[:1]
    step = _recorded(shop, "sbom", kind, *made, *also, key="scanner")
    assert step["reports"][0]["summary"] == {"components": 2}
    planned = shop.run("plan", "bills", kind)
    assert planned.code == 0, planned.stderr

    _recorded(shop, "sbom", kind, *made[:1], *also, key="scanner")
    fewer = shop.run("plan", "bills", kind)
    assert (fewer.code, fewer.reasons) == (3, ["attestation-missing"])
    assert str(image.platforms[1].manifest) in fewer.stderr


def test_a_bill_of_the_source_tree_and_one_that_lists_nothing_are_refused(shop: Shop, tmp_path: Path) -> None:
    _admitted(shop, "tree")
    _evident(shop, "tree", tmp_path)
    tree = tmp_path / "requirements"
    tree.mkdir()
    (tree / "requirements.txt").write_text("flask==1.0\nrequests==2.19.0\n")
    bill = shop.folder / "tree.json"
    peers.run("syft", "scan", f"dir:{tree}", "-q", "-o", f"cyclonedx-json={bill}", env=QUIET)
    _recorded(shop, "sbom", "tree", f"--report=cyclonedx={bill}", key="scanner")
    planned = shop.run("plan", "bills", "tree")
    assert (planned.code, set(planned.reasons)) == (5, {"subject-mismatch", "attestation-missing"})

    empty = shop.folder / "pip-audit.json"
    (tree / "none.txt").write_text("")
    quiet = ("--disable-pip", "--no-deps", "-f", "cyclonedx-json")
    peers.attempt("pip-audit", *quiet, "-r", "none.txt", "-o", str(empty), cwd=tree)
    ended = shop.run("step", "build", "sbom", "tree", f"--report=cyclonedx={empty}", key="scanner")
    assert ended.reasons == ["evidence-empty"]


def _admitted(shop: Shop, version: str) -> Image:
    """An image with two Python packages on each of two platforms, in the entry stage."""
    platforms = [python_image(architecture, version) for architecture in ("amd64", "arm64")]
    made = images.index(*platforms, names=[it.platforms[0].name for it in platforms])
    layout = shop.folder / "image"
    registry = LayoutRegistry(layout) if layout.exists() else LayoutRegistry.create(layout)
    made.push(Location(registry, ""), version)
    assert shop.run("promote", "build", f"oci:image:{version}", key="ci-build").code == 0
    return made


def _recorded(shop: Shop, step: str, version: str, *reports: str, key: str) -> dict[str, Any]:
    ended: Ended = shop.run("step", "build", step, version, *reports, "-o", "json", key=key)
    assert ended.code == 0, ended.stderr
    return ended.result


def _evident(shop: Shop, version: str, folder: Path) -> None:
    """The other steps of the entry stage, done well."""
    provenance = shop.write(f"{version}/provenance.json", dumps(slsa(commit=COMMIT)))
    _recorded(shop, "provenance", version, f"--report=slsa={provenance}", key="ci-build")
    report = on_commit(by_bandit(folder, GOOD))
    _recorded(shop, "sast", version, f"--report=sarif={report}", key="scanner")


def _scanned(folder: Path, source: str) -> list[Path]:
    """What Bandit and Semgrep say about a tree with this file; Semgrep has one rule, from a file, and sends nothing."""
    bandit, tree = by_bandit(folder, source), folder / "tree"
    semgrep, rules = folder / "semgrep.sarif", folder / "rules.yml"
    rules.write_text(RULES)
    quiet = ("--metrics", "off", "--disable-version-check", "--no-git-ignore")
    peers.run("semgrep", "scan", "--config", str(rules), "--sarif", "--output", str(semgrep), *quiet, ".", cwd=tree)
    return [bandit, semgrep]
