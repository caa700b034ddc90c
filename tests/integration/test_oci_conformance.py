"""The program with which registries show that they are one, by those who wrote the specification.

`make peers` builds it, pinned; `OCI_CONFORMANCE=PATH` builds it from a checkout's `conformance` folder instead.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from defusedxml import ElementTree

from tests import peers
from tests.e2e.test_embedded_registry import running
from tests.unit.registries.test_access import FILE
from tests.unit.registries.test_serving import certificate

pytestmark = pytest.mark.peer

# Not in version 1.1 of the specification: tags as parameters of a push by digest. And manifests whose parts are not
# there may be refused, as this registry does.
NOT_ASKED = {"Manifest put with tag params", "Sparse Manifests", "Tag Param", "Tag Param sha512"}
FEWEST_TESTS = 862
EVERYTHING = {
    "OCI_VERSION": "1.1",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
}


@dataclass(frozen=True)
class Found:
    """The counts of the program's JUnit report, and the status of each part by its name."""

    tests: int
    failures: int
    errors: int
    parts: dict[str, str]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = os.environ.get("OCI_CONFORMANCE")
    if not source:
        return peers.find("oci-conformance")
    built = tmp_path_factory.mktemp("conformance") / "conformance"
    command = [str(peers.find("go")), "build", "-buildvcs=false", "-o", str(built), "."]
    subprocess.run(command, cwd=source, env={**os.environ, "GOWORK": "off"}, check=True, timeout=600)
    return built


def conform(program: Path, folder: Path, url: str, **settings: str) -> Found:
    scheme, _, host = url.partition("://")
    environment = {
        **EVERYTHING,
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled" if scheme == "http" else "enabled",
        "OCI_RESULTS_DIR": str(folder / "results"),
        "HOME": str(folder),
        **settings,
    }
    done = subprocess.run(
        [program], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    suite = ElementTree.fromstring((folder / "results" / "junit.xml").read_bytes())[0]
    results: dict[str, Any] = yaml.safe_load((folder / "results" / "results.yaml").read_bytes())
    tests, failures, errors = (int(suite.get(name, "-1")) for name in ("tests", "failures", "errors"))
    return Found(tests, failures, errors, {**results["apis"], **results["data"]})


def check(found: Found) -> None:
    """Everything was asked but what is named above, and everything passed."""
    assert (found.failures, found.errors) == (0, 0)
    assert found.tests >= FEWEST_TESTS
    others = {name: status for name, status in found.parts.items() if status != "Pass"}
    assert others == dict.fromkeys(NOT_ASKED, "Disabled")
    assert len(found.parts) > 40


def test_the_embedded_registry_passes_the_conformance_program(program: Path, tmp_path: Path) -> None:
    with running(tmp_path / "root") as server:
        check(conform(program, tmp_path, server.url))


def test_it_passes_with_logins_and_tls_too(program: Path, tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    (tmp_path / "logins").write_bytes(FILE)
    options = ("--htpasswd", str(tmp_path / "logins"), "--tls-cert", str(tls.certificate), "--tls-key", str(tls.key))
    with running(tmp_path / "root", *options) as server:
        login = {"OCI_USERNAME": "alice", "OCI_PASSWORD": "Hello world!", "SSL_CERT_FILE": str(tls.certificate)}
        check(conform(program, tmp_path, server.url, **login))
