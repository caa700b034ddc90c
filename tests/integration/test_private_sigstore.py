"""A private Sigstore of the real programs: what others sign with it others verify, and what it refuses."""

from __future__ import annotations

import json
import socket
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from sigstore.models import Bundle as TheirBundle
from sigstore.models import TrustedRoot as TheirRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import AnyOf, Identity

from attestations import store
from attestations.bundle import Bundle
from attestations.bundle_verifier import Sigstore
from attestations.envelope import pae
from attestations.identity import KeyIdentity, KeylessIdentity, Role
from attestations.keys import new_key
from attestations.records.admission import ADMISSION
from attestations.signers.identities import IdentityVerifier
from attestations.signers.key import KeySigner
from attestations.signers.keyless import KeylessSigner, stamps
from attestations.signers.stamped import StampedSigner
from attestations.signers.tokens import TokenSource
from attestations.signers.trust_config import TrustConfig
from attestations.statement import Statement
from attestations.summary import SUMMARY
from attestations.trusted_root import TrustedRoot
from attestations.verify import Verified
from registries.digest import Digest
from registries.errors import Refusal
from registries.registry import Location
from scripts.private_sigstore import material, services
from scripts.private_sigstore.material import Ports
from scripts.private_sigstore.stack import PrivateSigstore
from tests import peers
from tests.e2e.shop import Ended, Shop, initialized, now, opened
from tests.images import image
from tests.json_service import Request, serving
from tests.private_sigstore import BUILD, PROMOTE, WORKFLOWS, private_sigstore
from tests.sigstore import TransparencyLog, log_body, new_ec
from tests.world import DEFINITION

pytestmark = pytest.mark.peer

REVIEW = "https://example.test/review/v1"
IMAGE = Digest.of(b"an image")


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
    verifier = Verifier(trusted_root=TheirRoot.from_file(str(stack.trusted_root)))
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

    verifier = Verifier(trusted_root=TheirRoot.from_file(str(stack.trusted_root)))
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
    Verifier(trusted_root=TheirRoot.from_file(str(stack.trusted_root))).verify_dsse(bundle, policy)

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
    assert refused(lambda: signer(stack, config=other).public_name) == "certificate-timestamp-invalid"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("tlogs", "log-entry-invalid"),
        ("certificateAuthorities", "chain-untrusted"),
        ("timestampAuthorities", "timestamp-untrusted"),
    ],
)
def test_a_bundle_that_the_trusted_root_does_not_verify_is_not_handed_out(
    stack: PrivateSigstore, part: str, code: str
) -> None:
    mine = signer(stack, config=config_of_another(config(stack), part))
    assert refused(lambda: mine.sign(statement())) == code
    root = json.dumps(config_of_another(config(stack), part)["trustedRoot"]).encode()
    mine = signer(stack)
    mine.pinned = Sigstore(root=TrustedRoot.from_bytes(root))
    assert refused(lambda: mine.sign(statement())) == code


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


# what is refused of a signed record


@pytest.fixture(scope="module")
def signed(stack: PrivateSigstore) -> tuple[Bundle, Bundle]:
    """Two records by one certificate."""
    mine = signer(stack)
    return mine.sign(statement("one")), mine.sign(statement("two"))


def verifying(
    stack: PrivateSigstore,
    bundle: Bundle,
    *,
    subject: str = BUILD,
    issuer: str | None = None,
    root: dict[str, Any] | None = None,
    about: Digest = IMAGE,
) -> Verified:
    content = stack.trusted_root.read_bytes() if root is None else json.dumps(root).encode()
    identity = KeylessIdentity(name="ci", issuer=issuer or stack.issuer(), subject=subject)
    pinned = Sigstore(root=TrustedRoot.from_bytes(content))
    return IdentityVerifier((identity,), now(), pinned).verify(bundle, about)


def bent(bundle: Bundle, change: Callable[[Any], None]) -> Bundle:
    value = json.loads(bundle.content)
    change(value["verificationMaterial"])
    return Bundle.from_bytes(json.dumps(value).encode())


def test_a_signed_record_is_believed_with_the_time_that_the_authority_stamped(
    stack: PrivateSigstore, signed: tuple[Bundle, Bundle]
) -> None:
    for bundle in signed:
        found = verifying(stack, bundle)
        assert (found.signer.name, found.record) == ("ci", bundle.record)
        assert found.proved_time is not None
        assert abs(found.proved_time - now()) < timedelta(minutes=5)


def test_another_subject_issuer_or_image_is_not_believed(stack: PrivateSigstore, signed: tuple[Bundle, Bundle]) -> None:
    assert refused(lambda: verifying(stack, signed[0], subject=PROMOTE)) == "identity-mismatch"
    assert refused(lambda: verifying(stack, signed[0], issuer=stack.issuer("email"))) == "issuer-mismatch"
    assert refused(lambda: verifying(stack, signed[0], about=Digest.of(b"another"))) == "subject-mismatch"


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("tlogs", "log-entry-invalid"),
        ("ctlogs", "threshold-not-met"),
        ("certificateAuthorities", "chain-untrusted"),
        ("timestampAuthorities", "timestamp-untrusted"),
    ],
)
def test_what_another_instance_vouches_for_is_not_believed(
    stack: PrivateSigstore, signed: tuple[Bundle, Bundle], part: str, code: str
) -> None:
    root = config_of_another(config(stack), part)["trustedRoot"]
    assert refused(lambda: verifying(stack, signed[0], root=root)) == code


def test_a_record_without_its_stamp_or_entry_or_with_those_of_another_is_not_believed(
    stack: PrivateSigstore, signed: tuple[Bundle, Bundle]
) -> None:
    first, second = signed
    others = json.loads(second.content)["verificationMaterial"]

    def drop(member: str) -> Bundle:
        return bent(first, lambda material: material.pop(member))

    def swap(member: str) -> Bundle:
        return bent(first, lambda material: material.update({member: others[member]}))

    assert refused(lambda: verifying(stack, drop("timestampVerificationData"))) == "time-unproven"
    assert refused(lambda: verifying(stack, drop("tlogEntries"))) == "threshold-not-met"
    assert refused(lambda: verifying(stack, swap("tlogEntries"))) == "log-entry-mismatch"
    assert refused(lambda: verifying(stack, swap("timestampVerificationData"))) == "timestamp-untrusted"


def test_an_authority_that_had_expired_or_was_no_longer_trusted_is_not_believed(
    stack: PrivateSigstore, signed: tuple[Bundle, Bundle]
) -> None:
    retired = config(stack)["trustedRoot"]
    retired["certificateAuthorities"][0]["validFor"]["end"] = "2026-01-01T00:00:00Z"
    retired["certificateAuthorities"][0]["validFor"]["start"] = "2025-01-01T00:00:00Z"
    assert refused(lambda: verifying(stack, signed[0], root=retired)) == "chain-untrusted"

    expired = config(stack)["trustedRoot"]
    certificate = b64encode(expired_authority(stack.folder)).decode()
    expired["certificateAuthorities"][0]["certChain"] = {"certificates": [{"rawBytes": certificate}]}
    assert refused(lambda: verifying(stack, signed[0], root=expired)) == "certificate-expired"


def expired_authority(folder: Path) -> bytes:
    """The authority that issued the certificates, with a certificate of its own that ended yesterday."""
    key = load_pem_private_key((folder / "fulcio.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    today = x509.load_pem_x509_certificates((folder / "fulcio.crt").read_bytes())[0]
    builder = x509.CertificateBuilder(
        issuer_name=today.subject,
        subject_name=today.subject,
        public_key=today.public_key(),
        serial_number=1,
        not_valid_before=now() - timedelta(days=30),
        not_valid_after=now() - timedelta(days=1),
    )
    for extension in today.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


# Rekor v1, whose program needs a database: a log of its form, in this process


@contextmanager
def rekor_v1(stack: PrivateSigstore) -> Iterator[dict[str, Any]]:
    """The trust config with another log. Source: Rekor's `openapi.yaml`, `/api/v1/log/entries`, kind `dsse` 0.0.1."""
    log = TransparencyLog(clock=now)

    def answer(request: Request) -> tuple[int, Any]:
        assert (request.path, request.body["kind"]) == ("/api/v1/log/entries", "dsse")
        proposed = request.body["spec"]["proposedContent"]
        envelope = json.loads(proposed["envelope"])
        payload, signature = (b64decode(one) for one in (envelope["payload"], envelope["signatures"][0]["sig"]))
        certificate = x509.load_pem_x509_certificate(b64decode(proposed["verifiers"][0]))
        body = log_body(
            "dsse 0.0.1",
            payload,
            signed=pae(envelope["payloadType"], payload),
            signature=signature,
            certificate=certificate.public_bytes(Encoding.DER),
            key=new_ec(),
        )
        return 201, {"a uuid": answered(log.append(body), log.key_id)}

    with serving(answer) as address:
        value = config(stack)
        value["signingConfig"]["rekorTlogUrls"][0] |= {"url": address, "majorApiVersion": 1}
        value["trustedRoot"]["tlogs"] = [log.entry()]
        yield value


def answered(entry: dict[str, Any], log: bytes) -> dict[str, Any]:
    """An entry as Rekor v1 answers with it, which is not as a bundle brings it."""
    proof = entry["inclusionProof"]
    return {
        "body": entry["canonicalizedBody"],
        "integratedTime": int(entry["integratedTime"]),
        "logID": log.hex(),
        "logIndex": int(entry["logIndex"]),
        "verification": {
            "signedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "inclusionProof": {
                "logIndex": int(proof["logIndex"]),
                "treeSize": int(proof["treeSize"]),
                "rootHash": b64decode(proof["rootHash"]).hex(),
                "hashes": [b64decode(one).hex() for one in proof["hashes"]],
                "checkpoint": proof["checkpoint"]["envelope"],
            },
        },
    }


@pytest.mark.parametrize("authorities", [1, 0])
def test_rekor_v1_logs_it_and_its_promise_proves_the_time(stack: PrivateSigstore, authorities: int) -> None:
    with rekor_v1(stack) as value:
        del value["signingConfig"]["tsaUrls"][authorities:]
        bundle = signer(stack, config=value).sign(statement())
        assert len(bundle.material.timestamps) == authorities
        found = verifying(stack, bundle, root=value["trustedRoot"])
        assert found.proved_time is not None


def test_a_stamp_that_the_signing_config_asks_for_is_not_left_out_where_the_log_promises_a_time(
    stack: PrivateSigstore, capsys: pytest.CaptureFixture[str]
) -> None:
    with rekor_v1(stack) as value:
        value["signingConfig"]["tsaUrls"][0]["url"] = "http://127.0.0.1:1/api/v1/timestamp"
        assert refused(lambda: signer(stack, config=value).sign(statement())) == "timestamp-missing"
    assert capsys.readouterr() == ("", "")


# keys whose signatures are stamped


def stamped(stack: PrivateSigstore, key: KeySigner, value: dict[str, Any] | None = None) -> StampedSigner:
    changed = TrustConfig.of([("config", json.dumps(value or config(stack)).encode())])
    root = TrustedRoot.from_bytes(changed.trusted_root)
    return StampedSigner(signer=key, stamp=lambda signature: stamps(changed, signature), root=root)


def test_a_key_s_signature_is_stamped_and_cosign_verifies_it(
    stack: PrivateSigstore, place: Location, tmp_path: Path
) -> None:
    private, public = new_key()
    key, made = KeySigner.from_pem(private), image(seed="stamped").push(place)
    bundle = stamped(stack, key).sign(statement(about=made.digest))
    identity = KeyIdentity(name="office", public_key=key.public_key)
    pinned = Sigstore(root=TrustedRoot.from_bytes(stack.trusted_root.read_bytes()))
    proved = IdentityVerifier((identity,), now(), pinned).verify(bundle, made.digest).proved_time
    assert proved is not None
    assert abs(proved - now()) < timedelta(minutes=5)

    store.attach(place, made.manifest.descriptor, (bundle,), created=now())
    (tmp_path / "office.pub").write_bytes(public)
    trust = ("--allow-http-registry", "--trusted-root", str(stack.trusted_root), "--insecure-ignore-tlog")
    how = ("--use-signed-timestamps", "--key", str(tmp_path / "office.pub"), "--type", REVIEW)
    peers.run("cosign", "verify-attestation", *trust, *how, f"{place}@{made.digest}")


def test_what_the_command_signs_by_key_is_stamped_where_an_instance_is_named(
    stack: PrivateSigstore, tmp_path: Path
) -> None:
    shop = initialized(tmp_path, "dev.test:5000", "prod.test:5000")
    named = {"SAMEBITS_TRUST_CONFIG": str(stack.trust_config)}
    signed = shop.run("definition", "sign", key="owner", env=named)
    assert signed.code == 0, signed.stderr
    *_, last = (shop.folder / "samebits.yaml.sigstore.jsonl").read_bytes().splitlines()
    assert len(Bundle.from_bytes(last).material.timestamps) == 1


def test_a_stamp_that_is_missing_or_of_another_authority_is_no_bundle(stack: PrivateSigstore) -> None:
    key = KeySigner.from_pem(new_key()[0])
    down = config(stack)
    down["signingConfig"]["tsaUrls"][0]["url"] = "http://127.0.0.1:1/api/v1/timestamp"
    assert refused(lambda: stamped(stack, key, down).sign(statement())) == "timestamp-missing"
    none = config(stack)
    none["signingConfig"]["tsaUrls"] = []
    assert refused(lambda: stamped(stack, key, none).sign(statement())) == "trust-config-malformed"
    other = config_of_another(config(stack), "timestampAuthorities")
    assert refused(lambda: stamped(stack, key, other).sign(statement())) == "threshold-not-met"


# a whole promotion

JOBS = {name: f"{WORKFLOWS}/{name}.yml@refs/heads/main" for name in ("owner", "ci-build", "ci-promote", "scanner")}


@pytest.fixture(scope="module")
def promoted(stack: PrivateSigstore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, str]]:
    """A shop whose every signer is keyless, with an image that went all the way; and the image's digest."""
    with opened(tmp_path_factory.mktemp("keyless")) as shop:
        keyless(shop, stack)
        image = shop.built("1.0")
        unit, *scans = shop.reports(image, "1.0")
        for job, *command in (
            ("owner", "definition", "sign"),
            ("ci-build", "promote", "build", "oci:image:1.0"),
            ("ci-build", "step", "build", "unit", "1.0", unit),
            ("scanner", "step", "build", "scan", "1.0", *scans),
            ("ci-promote", "promote", "test", "1.0"),
            ("ci-promote", "step", "test", "integration", "1.0"),
            ("ci-promote", "promote", "prod", "1.0"),
        ):
            ended = run_as(shop, stack, job, *command)
            assert ended.code == 0, ended.stderr
            assert "eyJ" not in ended.stdout + ended.stderr
        yield shop, str(image.digest)


def keyless(shop: Shop, stack: PrivateSigstore) -> None:
    """Name jobs instead of keys, and pin the instance's trusted root."""
    shop.write("trusted_root.json", stack.trusted_root.read_bytes())
    for name in ("samebits.yaml", "trust.yaml"):
        text = (shop.folder / name).read_text()
        for signer_name, subject in JOBS.items():
            entry = f'{{issuer: "{stack.issuer()}", subject: "{subject}"}}'
            text = text.replace(f"{signer_name}: {{key: keys/{signer_name}.pub}}", f"{signer_name}: {entry}")
        shop.write(name, text)
    shop.write("trust.yaml", (shop.folder / "trust.yaml").read_text() + "sigstore: {trusted-root: trusted_root.json}\n")
    (shop.folder / "samebits.yaml.sigstore.jsonl").unlink()


def run_as(shop: Shop, stack: PrivateSigstore, job: str, *command: str) -> Ended:
    """As a GitHub job runs it, which asks for its token itself."""
    environment = {**stack.ambient(JOBS[job]), "SAMEBITS_TRUST_CONFIG": str(stack.trust_config)}
    ended = shop.run(*command, env=environment)
    assert "eyJ" not in ended.stdout + ended.stderr
    return ended


def test_an_image_goes_from_build_to_prod_without_any_key(promoted: tuple[Shop, str], stack: PrivateSigstore) -> None:
    shop, image = promoted
    verified = shop.run("verify", "prod", "1.0", "-o", "json")
    assert verified.code == 0, verified.stderr
    assert image in verified.stdout
    again = run_as(shop, stack, "ci-promote", "promote", "prod", "1.0")
    assert again.code == 0, again.stderr

    other = run_as(shop, stack, "ci-build", "promote", "prod", "1.0")
    assert (other.code, other.reasons) == (5, ["signer-not-for-stage"])


def test_cosign_and_sigstore_python_verify_the_records_of_a_promotion(
    promoted: tuple[Shop, str], stack: PrivateSigstore
) -> None:
    shop, image = promoted
    place = shop.workshop.place("prod")
    trust = ("--allow-http-registry", "--trusted-root", str(stack.trusted_root))
    identity = ("--certificate-identity", JOBS["ci-promote"], "--certificate-oidc-issuer", stack.issuer())
    for kind in (ADMISSION, SUMMARY):
        peers.run("cosign", "verify-attestation", *trust, *identity, "--type", kind, f"{place}@{image}")
    bundles = store.fetch((place,), Digest.parse(image)).bundles
    verifier = Verifier(trusted_root=TheirRoot.from_file(str(stack.trusted_root)))
    anybody = AnyOf([Identity(identity=job, issuer=stack.issuer()) for job in JOBS.values()])
    assert len(bundles) >= 8
    for bundle in bundles:
        assert verifier.verify_dsse(TheirBundle.from_json(bundle.content), anybody)[1] == bundle.envelope.payload


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("sigstore: {trusted-root: trusted_root.json}", ""), "chain-untrusted"),
        (("sigstore: {trusted-root: trusted_root.json}", "sigstore: {trusted-root: other.json}"), "log-entry-invalid"),
        (("owner.yml@", "other.yml@"), "identity-mismatch"),
    ],
)
def test_with_another_trust_file_the_chain_counts_for_nothing(
    promoted: tuple[Shop, str], stack: PrivateSigstore, tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    shop = promoted[0].twin(tmp_path / "twin")
    shop.write("trusted_root.json", stack.trusted_root.read_bytes())
    shop.write("other.json", json.dumps(config_of_another(config(stack), "tlogs")["trustedRoot"]))
    shop.write("trust.yaml", (shop.folder / "trust.yaml").read_text().replace(*change))
    ended = shop.run("verify", "prod", "1.0")
    assert ended.code == 5
    assert reason in ended.stderr, ended.stderr


def test_what_was_started_is_ended_by_its_process_id() -> None:
    with private_sigstore() as running:
        processes = [int(file.read_text()) for file in (running.folder / "pid").iterdir()]
        begun = {process: _begun(process) for process in processes}
        assert len(processes) == 4
        assert None not in begun.values()
    assert not any(_begun(process) == when for process, when in begun.items())


def _begun(process: int) -> str | None:
    """When a process began, in ticks; None for one that has ended. Its number may soon be another one's."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if state == "Z" else fields[18]
