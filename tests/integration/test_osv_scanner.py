"""What the real OSV-Scanner says of an image is what the vulnerability gate judges, for that image and no other."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from registries.digest import Digest
from stages.duration import Duration
from stages.finding import Severity
from stages.gate import Outcome, Verdict
from stages.gates.vulnerabilities import Vulnerabilities
from stages.reports import osv
from tests.evidence import AMD64, evidence, report
from tests.peers import find

GATE = Vulnerabilities(none_at_or_above=Severity.MEDIUM, max_age=Duration.parse("24h"))
ADVISORY = {
    "id": "PYSEC-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "schema_version": "1.7.0",
    "aliases": ["CVE-2026-1000"],
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [
        {
            "package": {"name": "demo-lib", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A local database with one advisory."""
    folder = tmp_path / "db" / "osv-scalibr" / "PyPI"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("PYSEC-2026-1.json", json.dumps(ADVISORY))
    return tmp_path / "db"


def tar(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def scan(folder: Path, database: Path, version: str) -> tuple[bytes, bytes]:
    """An image with one package in this version: its configuration, and the report about it."""
    package = f"usr/lib/python3/dist-packages/demo_lib-{version}.dist-info/METADATA"
    layer = tar({package: f"Metadata-Version: 2.1\nName: demo-lib\nVersion: {version}\n".encode()})
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "history": [{"created_by": "COPY"}],
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]},
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["demo:1"], "Layers": ["layer.tar"]}]
    image = folder / f"{version}.tar"
    image.write_bytes(tar({"config.json": config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}))
    done = subprocess.run(
        [
            find("osv-scanner"),
            *["scan", "image", "--archive", "--offline", "--all-packages", "--format", "json"],
            image,
        ],
        env={**os.environ, "OSV_SCALIBR_LOCAL_DB_CACHE_DIRECTORY": str(database)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Loaded PyPI local db" in done.stderr, done.stderr.decode()
    return config, done.stdout


def judged(config: bytes, content: bytes) -> Verdict:
    return GATE.judge(replace(evidence(report("osv", content)), configs={AMD64.config: config}))


def test_a_real_report_is_judged_for_its_own_image_and_no_other(tmp_path: Path, database: Path) -> None:
    bad_config, bad = scan(tmp_path, database, "1.0")
    good_config, good = scan(tmp_path, database, "2.0")
    found = osv.read(bad).findings[0]
    assert (found.id, found.aliases, found.severity) == ("PYSEC-2026-1", ("CVE-2026-1000",), Severity.CRITICAL)
    assert (found.package, found.version, found.fixed_in) == ("demo-lib", "1.0", "2.0")
    assert [reason.code for reason in judged(bad_config, bad).reasons] == ["vulnerability-found"]
    assert judged(good_config, good).outcome is Outcome.PASSED
    swapped = judged(bad_config, good)
    assert [reason.code for reason in swapped.reasons] == ["subject-mismatch", "attestation-missing"]
