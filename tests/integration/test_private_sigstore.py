"""A private Sigstore of the real programs: what others sign with it others verify, and what it refuses."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sigstore.models import Bundle as TheirBundle
from sigstore.models import TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from attestations import store
from attestations.identity import KeylessIdentity, Role
from attestations.keys import new_key
from attestations.signers.keyless import KeylessSigner
from attestations.signers.tokens import TokenSource
from attestations.signers.trust_config import TrustConfig
from attestations.statement import Statement
from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.http import http_registry
from registries.registry import Location
from registries.server import serve_in_thread
from scripts.private_sigstore import material, services
from scripts.private_sigstore.material import Ports
from scripts.private_sigstore.stack import PrivateSigstore
from tests import peers
from tests.e2e.shop import Shop, now
from tests.images import image
from tests.private_sigstore import BUILD, PROMOTE, private_sigstore
from tests.world import DEFINITION

pytestmark = pytest.mark.peer

REVIEW = "https://example.test/review/v1"
IMAGE = Digest.of(b"an image")


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
    bundle = next(bundle for bundle in bundles if "logIndex" in bundle.material.log_entries[0])
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(stack.trusted_root)))
    policy = Identity(identity=BUILD, issuer=stack.issuer())
    kind, payload = verifier.verify_dsse(TheirBundle.from_json(bundle.content), policy)
    assert (kind, payload) == ("application/vnd.in-toto+json", bundle.envelope.payload)
    assert (
        bundle.material.certificate is not None,
        len(bundle.material.log_entries),
        len(bundle.material.timestamps),
    ) == (True, 1, 1)


def signer(
    stack: PrivateSigstore,
    subject: str = BUILD,
    *,
    token: str | None = None,
    config: dict[str, Any] | None = None,
    clock: Callable[[], datetime] = now,
    seconds: float = 60.0,
) -> KeylessSigner:
    content = stack.trust_config.read_bytes() if config is None else json.dumps(config).encode()
    named = stack.token(subject) if token is None else token
    return KeylessSigner(
        config=TrustConfig.of([("trust_config.json", content)]),
        tokens=TokenSource(name="the test", fetch=lambda: named),
        clock=clock,
        seconds=seconds,
    )


def config(stack: PrivateSigstore) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(stack.trust_config.read_bytes())
    return value


def statement(text: str = "reviewed", about: Digest = IMAGE) -> Statement:
    return Statement.about(about, predicate_type=REVIEW, predicate={"says": text})


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        action()
    for secret in ("eyJ", "BEGIN"):
        assert secret not in "".join(f"{reason} {reason.hint}" for reason in refusal.value.reasons)
    return refusal.value.code


def test_what_samebits_signs_is_verified_by_cosign_and_sigstore_python(stack: PrivateSigstore, place: Location) -> None:
    made = image(seed="samebits").push(place)
    about = statement(about=made.digest)
    bundle = signer(stack).sign(about)
    store.attach(place, made.manifest.descriptor, (bundle,), created=now())

    trust = ("--allow-http-registry", "--trusted-root", str(stack.trusted_root), "--type", REVIEW)
    identity = ("--certificate-identity", BUILD, "--certificate-oidc-issuer", stack.issuer())
    peers.run("cosign", "verify-attestation", *trust, *identity, f"{place}@{made.digest}")

    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(stack.trusted_root)))
    policy = Identity(identity=BUILD, issuer=stack.issuer())
    assert verifier.verify_dsse(TheirBundle.from_json(bundle.content), policy)[1] == about.content
    assert (len(bundle.material.log_entries), len(bundle.material.timestamps)) == (1, 1)


def test_an_identity_is_known_before_anything_is_signed(stack: PrivateSigstore) -> None:
    mine = signer(stack, "you@example.com", token=stack.token("you@example.com", issuer="email"))
    issuer = stack.issuer("email")
    assert mine.public_name == f"you@example.com from {issuer}"

    def role(subject: str, issuer: str) -> Role:
        return Role(name="a", signers=(KeylessIdentity(name="a", issuer=issuer, subject=subject),))

    assert mine.is_one_of(role("you@example.com", issuer))
    assert not mine.is_one_of(role("you@example.org", issuer))
    assert not mine.is_one_of(role("you@example.com", stack.issuer()))


def test_one_certificate_signs_all_of_a_run_and_is_renewed_before_it_expires(stack: PrivateSigstore) -> None:
    asked: list[str] = []
    later = timedelta()

    def fetch() -> str:
        asked.append("again")
        return stack.token(BUILD, issued=time.time(), seconds=3600)

    mine = signer(stack, clock=lambda: now() + later)
    mine.tokens = TokenSource(name="the test", fetch=fetch)
    first, second = mine.sign(statement("one")), mine.sign(statement("two"))
    assert first.material.certificate == second.material.certificate
    assert len(asked) == 1
    later = timedelta(minutes=9)
    third = mine.sign(statement("three"))
    assert third.material.certificate != first.material.certificate
    assert len(asked) == 2


def test_a_github_job_signs_with_its_own_identity(stack: PrivateSigstore, tmp_path: Path) -> None:
    shop = keyless_definition(stack, tmp_path)
    job = {**stack.ambient(PROMOTE), "SAMEBITS_TRUST_CONFIG": str(stack.trust_config)}
    signed = shop.run("definition", "sign", env=job)
    assert signed.code == 0, signed.stderr
    (line,) = (shop.folder / "samebits.yaml.sigstore.jsonl").read_bytes().splitlines()
    bundle = TheirBundle.from_json(line)
    policy = Identity(identity=PROMOTE, issuer=stack.issuer())
    Verifier(trusted_root=TrustedRoot.from_file(str(stack.trusted_root))).verify_dsse(bundle, policy)

    other = shop.run("definition", "sign", env={**job, **stack.ambient(BUILD)})
    assert (other.code, other.reasons) == (5, ["signer-not-for-stage"])
    assert BUILD in other.stderr


def keyless_definition(stack: PrivateSigstore, folder: Path) -> Shop:
    shop = Shop(folder, "dev.test:5000", "prod.test:5000")
    definition = DEFINITION.replace("{key: keys/owner.pub}", f'{{issuer: "{stack.issuer()}", subject: "{PROMOTE}"}}')
    for name in ("ci-build", "ci-promote", "scanner"):
        shop.write(f"keys/{name}.pub", new_key()[1])
    shop.write("samebits.yaml", definition)
    return shop


def test_tokens_that_nobody_would_take_are_not_sent(stack: PrivateSigstore) -> None:
    old = stack.token(BUILD, issued=time.time() - 3600)
    assert refused(lambda: signer(stack, token=old).sign(statement())) == "identity-expired"
    other = stack.token(BUILD, audience="other")
    assert refused(lambda: signer(stack, token=other).sign(statement())) == "identity-audience-mismatch"
    assert refused(lambda: signer(stack, token=f"no {old[:3]}").sign(statement())) == "identity-malformed"


def test_fulcio_refuses_an_issuer_that_it_does_not_know_and_a_forged_token(
    stack: PrivateSigstore, tmp_path: Path
) -> None:
    unknown = stack.token(BUILD, issuer="https://issuer.example")
    assert refused(lambda: signer(stack, token=unknown).public_name) == "identity-refused"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forged = services.token(key, stack.issuer(), BUILD)
    assert refused(lambda: signer(stack, token=forged).public_name) == "identity-refused"


def test_a_log_that_is_down_or_silent_is_no_bundle(stack: PrivateSigstore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = f"http://127.0.0.1:{silent.getsockname()[1]}"
        changed = config(stack)
        changed["signingConfig"]["rekorTlogUrls"][0]["url"] = there
        slow = signer(stack, config=changed, seconds=1.0)
        assert slow.public_name  # the authority answers
        assert refused(lambda: slow.sign(statement())) == "deadline-exceeded"
    down = signer(stack, config=changed)
    assert refused(lambda: down.sign(statement())) == "signing-unavailable"


def test_an_authority_that_is_down_gives_no_certificate(stack: PrivateSigstore) -> None:
    changed = config(stack)
    changed["signingConfig"]["caUrls"][0]["url"] = "http://127.0.0.1:1"
    assert refused(lambda: signer(stack, config=changed).public_name) == "signing-unavailable"


def test_a_bundle_without_its_time_stamp_is_not_handed_out(
    stack: PrivateSigstore, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = config(stack)
    changed["signingConfig"]["tsaUrls"][0]["url"] = "http://127.0.0.1:1/api/v1/timestamp"
    assert refused(lambda: signer(stack, config=changed).sign(statement())) == "timestamp-missing"
    assert capsys.readouterr() == ("", "")


def test_a_certificate_that_is_in_no_trusted_log_is_not_used(stack: PrivateSigstore) -> None:
    changed = config(stack)
    other = config_of_another(changed, "ctlogs")
    assert refused(lambda: signer(stack, config=other).public_name) == "chain-untrusted"


@pytest.mark.parametrize("part", ["tlogs", "certificateAuthorities", "timestampAuthorities"])
def test_a_bundle_that_the_trusted_root_does_not_verify_is_not_handed_out(stack: PrivateSigstore, part: str) -> None:
    mine = signer(stack, config=config_of_another(config(stack), part))
    assert refused(lambda: mine.sign(statement())) == "signature-invalid"


def config_of_another(value: dict[str, Any], part: str) -> dict[str, Any]:
    """The trust config with one part of the root taken from an instance with other keys."""
    with tempfile.TemporaryDirectory() as folder:
        material.make(Path(folder), Ports(*range(8)), now())
        other = json.loads((Path(folder) / "trust_config.json").read_bytes())
    value["trustedRoot"][part] = other["trustedRoot"][part]
    return value


def test_a_trust_config_that_sigstore_cannot_use_is_told_before_anything_is_asked(stack: PrivateSigstore) -> None:
    changed = config(stack)
    changed["signingConfig"]["rekorTlogUrls"] = []
    assert refused(lambda: signer(stack, config=changed).public_name) == "trust-config-malformed"
    assert refused(lambda: signer(stack, config={**config(stack), "trustedRoot": {}}).public_name) == (
        "trust-config-malformed"
    )


def test_what_was_started_is_ended_by_its_process_id() -> None:
    with private_sigstore() as running:
        processes = [int(file.read_text()) for file in (running.folder / "pid").iterdir()]
        assert len(processes) == 4
        assert all(Path(f"/proc/{process}").exists() for process in processes)
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
