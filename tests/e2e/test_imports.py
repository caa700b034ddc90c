"""A command pays for what it uses: heavy libraries are loaded by the commands that need them, and by no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.shop import Shop

HEAVY = {
    "cryptography",
    "docker",
    "jinja2",
    "pydantic",
    "requests",
    "rich",
    "sigstore",
    "starlette",
    "urllib3",
    "uvicorn",
}


def test_the_version_is_told_before_anything_is_loaded(shop: Shop) -> None:
    loaded = _imported(shop, "--version")

    assert "pipeline" in loaded
    assert not (HEAVY | {"typer", "dataclasses", "inspect", "json", "email", "registries"}) & loaded
    assert not {"pipeline.output", "pipeline.commands", "importlib.metadata"} & loaded


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("promote", "--help"), ("definition", "--help")])
def test_asking_what_it_is_loads_nothing_heavy(shop: Shop, arguments: tuple[str, ...]) -> None:
    assert not HEAVY & _imported(shop, *arguments)


def test_a_verification_with_keys_loads_neither_sigstore_nor_docker(shop: Shop) -> None:
    loaded = _imported(shop, "verify", "build", "ready")

    assert "cryptography" in loaded
    assert not {"sigstore", "docker", "pydantic", "rich", "starlette", "uvicorn", "jinja2"} & loaded
    assert not {"cryptography.x509", "attestations.bundle_verifier"} & loaded


def test_signing_with_a_key_loads_neither_sigstore_nor_a_keeper_of_keys(shop: Shop, tmp_path: Path) -> None:
    loaded = _imported(shop.twin(tmp_path / "twin"), "definition", "sign", "--key", "keys/owner.key")

    assert "cryptography" in loaded
    assert not {"sigstore", "securesystemslib", "botocore", "hvac", "pkcs11", "pydantic"} & loaded


def _imported(shop: Shop, *arguments: str) -> set[str]:
    """The modules that a successful command has imported, by their full names."""
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "pipeline.cli", *arguments],
        cwd=shop.folder,
        env=shop.surroundings(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}
