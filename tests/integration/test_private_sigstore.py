"""A private Sigstore of the real programs: what others sign with it others verify, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sigstore.models import Bundle as TheirBundle
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from attestations import store
from registries.kinds.http import http_registry
from registries.registry import Location
from registries.server import serve_in_thread
from scripts.private_sigstore.stack import PrivateSigstore
from tests import peers
from tests.images import image
from tests.private_sigstore import BUILD, private_sigstore

pytestmark = pytest.mark.peer

REVIEW = "https://example.test/review/v1"


@pytest.fixture(scope="module")
def stack() -> Iterator[PrivateSigstore]:
    with private_sigstore() as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as host:
        yield Location(http_registry(host, environment={}), "shop/api")


def test_what_cosign_signs_is_verified_by_cosign_and_sigstore_python_and_read_by_samebits(
    stack: PrivateSigstore, place: Location, tmp_path: Path
) -> None:
    made = image(seed="cosign").push(place)
    where, predicate = f"{place}@{made.digest}", tmp_path / "predicate.json"
    predicate.write_text('{"reviewed": true}')
    trust = ("--allow-http-registry", "--trusted-root", str(stack.trusted_root), "--type", REVIEW)
    signing = ("--signing-config", str(stack.signing_config), "--predicate", str(predicate), "--yes")
    for _ in range(
        2
    ):  # the first entry of a log has the index 0, which protojson leaves out and sigstore-python misses
        peers.run("cosign", "attest", *trust, *signing, "--identity-token", stack.token(BUILD), where)

    identity = ("--certificate-identity", BUILD, "--certificate-oidc-issuer", stack.issuer())
    peers.run("cosign", "verify-attestation", *trust, *identity, where)

    bundles = store.fetch((place,), made.digest).bundles
    bundle = next(bundle for bundle in bundles if "logIndex" in bundle.log_entries[0])
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(stack.trusted_root)))
    policy = Identity(identity=BUILD, issuer=stack.issuer())
    kind, payload = verifier.verify_dsse(TheirBundle.from_json(bundle.content), policy)
    assert (kind, payload) == ("application/vnd.in-toto+json", bundle.envelope.payload)
    assert (bundle.certificate is not None, len(bundle.log_entries), len(bundle.timestamps)) == (True, 1, 1)


def test_what_was_started_is_ended_by_its_process_id() -> None:
    with private_sigstore() as running:
        processes = [int(file.read_text()) for file in (running.folder / "pid").iterdir()]
        assert len(processes) == 4
        assert all(Path(f"/proc/{process}").exists() for process in processes)
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
