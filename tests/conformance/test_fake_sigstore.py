"""The Sigstore of these tests does not flatter: what it makes is accepted by verifiers that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registries.digest import Digest
from tests import peers
from tests.sigstore import IDENTITY, ISSUER, Sigstore, as_bytes, pem, spki

FILE = b"what was signed\n"
TYPE = "https://samebits.test/fact/v1"


def statement() -> bytes:
    subject = {"name": "file", "digest": {"sha256": Digest.of(FILE).hex}}
    value = {"_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": TYPE, "predicate": {}}
    return json.dumps(value).encode()


@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "dsse 0.0.1"])
def test_sigstore_python_accepts_the_statements_of_the_fake(tmp_path: Path, form: str) -> None:
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    world = Sigstore()
    (tmp_path / "root.json").write_bytes(as_bytes(world.root()))
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(tmp_path / "root.json")))
    bundle = Bundle.from_json(as_bytes(world.sign(statement(), form=form, stamps=1)))
    assert verifier.verify_dsse(bundle, Identity(identity=IDENTITY, issuer=ISSUER))[1] == statement()


@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "hashedrekord 0.0.1"])
def test_sigstore_python_accepts_the_signed_files_of_the_fake(tmp_path: Path, form: str) -> None:
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    world = Sigstore()
    (tmp_path / "root.json").write_bytes(as_bytes(world.root()))
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(tmp_path / "root.json")))
    bundle = Bundle.from_json(as_bytes(world.sign(FILE, form=form, stamps=1, as_file=True)))
    verifier.verify_artifact(FILE, bundle, Identity(identity=IDENTITY, issuer=ISSUER))


def written(folder: Path, world: Sigstore, bundle: dict[str, Any]) -> tuple[str, ...]:
    (folder / "root.json").write_bytes(as_bytes(world.root()))
    (folder / "bundle.json").write_bytes(as_bytes(bundle))
    (folder / "key.pub").write_text(pem("PUBLIC KEY", spki(world.signing_key)))
    (folder / "file").write_bytes(FILE)
    return ("--bundle", str(folder / "bundle.json"), "--trusted-root", str(folder / "root.json"))


WHO = ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("hashedrekord 0.0.2", ("--use-signed-timestamps",)),
        ("dsse 0.0.1", ()),
        ("intoto 0.0.2", ()),
        ("", ("--insecure-ignore-tlog", "--use-signed-timestamps")),
    ],
)
def test_cosign_accepts_the_statements_of_the_fake(tmp_path: Path, form: str, options: tuple[str, ...]) -> None:
    world = Sigstore()
    named = written(tmp_path, world, world.sign(statement(), form=form))
    peers.run("cosign", "verify-blob-attestation", *named, *WHO, *options, "--type", TYPE, str(tmp_path / "file"))


@pytest.mark.peer
@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "hashedrekord 0.0.1"])
def test_cosign_accepts_the_signed_files_of_the_fake(tmp_path: Path, form: str) -> None:
    world = Sigstore()
    options = ("--use-signed-timestamps",) if form.endswith("2") else ()
    named = written(tmp_path, world, world.sign(FILE, form=form, as_file=True))
    peers.run("cosign", "verify-blob", *named, *WHO, *options, str(tmp_path / "file"))


@pytest.mark.peer
@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "hashedrekord 0.0.1"])
def test_cosign_accepts_files_that_a_key_of_the_fake_signed(tmp_path: Path, form: str) -> None:
    world = Sigstore()
    named = written(tmp_path, world, world.sign(FILE, form=form, as_file=True, keyed=True))
    peers.run("cosign", "verify-blob", *named, "--key", str(tmp_path / "key.pub"), str(tmp_path / "file"))


@pytest.mark.peer
def test_cosign_refuses_what_another_of_these_worlds_signed(tmp_path: Path) -> None:
    world, other = Sigstore(), Sigstore()
    named = written(tmp_path, world, other.sign(FILE, form="hashedrekord 0.0.1", as_file=True))
    assert peers.attempt("cosign", "verify-blob", *named, *WHO, str(tmp_path / "file")).returncode != 0
