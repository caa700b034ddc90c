"""Keys that never leave their keeper: SoftHSM as it is, doubles of AWS KMS and of Vault's Transit."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)

from attestations.identity import KeyIdentity
from attestations.keys import new_key
from attestations.signers.identities import IdentityVerifier
from attestations.signers.key import KeySigner
from attestations.signers.remote import open_remote
from attestations.statement import Statement
from registries.digest import Digest
from registries.errors import Refusal
from tests import peers
from tests.e2e.shop import Shop, now
from tests.json_service import Request, serving
from tests.world import DEFINITION, TRUST

IMAGE = Digest.of(b"an image")
PIN = "1234"


def statement() -> Statement:
    return Statement.about(IMAGE, predicate_type="https://example.test/review/v1", predicate={"reviewed": True})


def believed(signer: KeySigner, public_key: bytes) -> bool:
    """Whether what it signs is believed of the key that the definition would name."""
    identity = KeyIdentity(name="office", public_key=public_key)
    return IdentityVerifier((identity,), now()).verify(signer.sign(statement()), IMAGE).signer == identity


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        action()
    assert "s3cr3t" not in str(refusal.value)
    return refusal.value.code


# SoftHSM


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A token `office` with the key 01; the environment in which samebits finds it, and where its public key is."""
    utility, folder = peers.find("softhsm2-util"), tmp_path_factory.mktemp("softhsm")
    module = next(utility.parents[1].rglob("libsofthsm2.so"))
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    (folder / "key.pem").write_bytes(new_key()[0])
    environment = {"SOFTHSM2_CONF": str(folder / "conf")}
    pins = ("--pin", PIN, "--module", str(module))
    peers.run("softhsm2-util", "--init-token", "--free", "--label", "office", "--so-pin", PIN, *pins, env=environment)
    load = ("--import", str(folder / "key.pem"), "--token", "office", "--label", "samebits", "--id", "01")
    peers.run("softhsm2-util", *load, *pins, env=environment)
    public = KeySigner.from_pem((folder / "key.pem").read_bytes()).public_key
    (folder / "office.der").write_bytes(public)
    return {**environment, "COSIGN_PKCS11_MODULE_PATH": str(module), "FOLDER": str(folder)}


@pytest.fixture
def office(token: Mapping[str, str], tmp_path: Path) -> Shop:
    """A definition that belongs to the token's key."""
    key = load_der((Path(token["FOLDER"]) / "office.der").read_bytes())
    shop = Shop(tmp_path, "dev.test:5000", "prod.test:5000", token)
    for name in ("ci-build", "ci-promote", "scanner"):
        shop.write(f"keys/{name}.pub", new_key()[1])
    shop.write("keys/owner.pub", key)
    named = '{key: keys/owner.pub, kms: "pkcs11:token=office;id=%01"}'
    shop.write("samebits.yaml", DEFINITION.replace("{key: keys/owner.pub}", named))
    shop.write("trust.yaml", TRUST)
    return shop


def load_der(public_key: bytes) -> bytes:
    body = b64encode(public_key).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n".encode()


@pytest.mark.peer
def test_an_hsm_signs_the_definition_and_it_is_believed(office: Shop) -> None:
    signed = office.run("definition", "sign", "--key", "pkcs11:token=office;id=%01", env={"COSIGN_PKCS11_PIN": PIN})
    assert signed.code == 0, signed.stderr
    shown = office.run("definition", "show")
    assert shown.code == 0, shown.stderr


@pytest.mark.peer
@pytest.mark.parametrize(
    ("uri", "pin", "exit_code", "reason"),
    [
        ("pkcs11:token=office;id=%01", "s3cr3t", 4, "key-refused"),
        ("pkcs11:token=office;id=%02", PIN, 4, "key-refused"),
        ("pkcs11:token=other;id=%01", PIN, 4, "key-refused"),
        ("pkcs11:token=office;id=%01?module-path=/nowhere.so", PIN, 4, "key-refused"),
        ("pkcs11:token=office;object=samebits", PIN, 2, "key-unsupported"),
        ("pkcs11:token=office", PIN, 2, "key-unsupported"),
    ],
)
def test_a_token_that_does_not_sign_is_a_reason(office: Shop, uri: str, pin: str, exit_code: int, reason: str) -> None:
    signed = office.run("definition", "sign", "--key", uri, env={"COSIGN_PKCS11_PIN": pin})
    assert (signed.code, signed.reasons) == (exit_code, [reason])
    assert "s3cr3t" not in signed.stderr
    assert not (office.folder / "samebits.yaml.sigstore.jsonl").exists()


def test_without_a_module_no_token_is_asked() -> None:
    assert refused(lambda: open_remote("pkcs11:token=office;id=%01", {})) == "key-unsupported"


# AWS KMS; source of the exchanges: its API reference, "GetPublicKey" and "Sign". (moto hashes a digest once more.)

AWS_SCHEMES = {
    "p256": ("ECDSA_SHA_256",),
    "p384": ("ECDSA_SHA_384",),
    "rsa": ("RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256"),
    "p521": ("ECDSA_SHA_512",),
}


class AwsKms:
    """Keys by alias; the signatures over the digests are real."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "p521": ec.generate_private_key(ec.SECP521R1()),
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        }

    def answer(self, action: str, asked: Mapping[str, Any]) -> tuple[int, Any]:
        name = asked["KeyId"].removeprefix("alias/")
        key = self.keys.get(name)
        if key is None:
            return 400, {"__type": "NotFoundException", "message": "Invalid keyId"}
        schemes = AWS_SCHEMES[name]
        if action == "GetPublicKey":
            public = b64encode(KeySigner.of(key).public_key).decode()
            return 200, {"KeyId": name, "PublicKey": public, "SigningAlgorithms": schemes}
        scheme, digest = asked["SigningAlgorithm"], b64decode(asked["Message"])
        if (action, asked["MessageType"], scheme in schemes) != ("Sign", "DIGEST", True):
            return 400, {"__type": "InvalidKeyUsageException", "message": "not with this key"}
        prehashed = Prehashed({"256": hashes.SHA256(), "384": hashes.SHA384()}[scheme[-3:]])
        match key:
            case rsa.RSAPrivateKey():
                signature = key.sign(digest, padding.PKCS1v15(), prehashed)
            case _:
                signature = key.sign(digest, ec.ECDSA(prehashed))
        return 200, {"KeyId": name, "Signature": b64encode(signature).decode(), "SigningAlgorithm": scheme}


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsKms]:
    made = AwsKms()

    def answer(request: Request) -> tuple[int, Any]:
        service, _, action = request.headers["X-Amz-Target"].partition(".")
        assert (service, request.path) == ("TrentService", "/")
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")
        return made.answer(action, request.body)

    with serving(answer) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        yield made


@pytest.mark.parametrize("name", ["p256", "p384", "rsa"])
def test_aws_signs_with_every_kind_of_key_that_is_believed(kms: AwsKms, name: str) -> None:
    assert believed(open_remote(f"awskms:///alias/{name}", {}), KeySigner.of(kms.keys[name]).public_key)


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("awskms:///alias/none", "key-refused"),
        ("awskms:///alias/p521", "algorithm-not-allowed"),
        ("awskms://localhost:4566/alias/p256", "key-unsupported"),
        ("awskms:///", "key-unsupported"),
    ],
)
def test_a_key_that_aws_does_not_have_or_that_can_not_sign_is_a_reason(kms: AwsKms, uri: str, code: str) -> None:
    assert refused(lambda: open_remote(uri, {})) == code


def test_an_aws_that_is_down_or_does_not_know_us_is_a_reason(kms: AwsKms, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_remote("awskms:///alias/p256", {})
    kms.keys.clear()
    assert refused(lambda: signer.sign(statement())) == "key-refused"
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert refused(lambda: open_remote("awskms:///alias/p256", {})) == "key-unavailable"


# Vault's Transit engine; source of the exchanges: its HTTP API, "Read key" and "Sign data"


class Transit:
    """Keys by name, each with versions; signatures are real, and `spoil` changes what is signed."""

    def __init__(self) -> None:
        self.keys: dict[str, list[ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey]] = {
            "office": [ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())],
            "edward": [ed25519.Ed25519PrivateKey.generate()],
        }
        self.spoil = b""

    def read(self, name: str) -> Any:
        kind = "ed25519" if name == "edward" else "ecdsa-p256"
        versions = {str(number): {"public_key": public(key)} for number, key in enumerate(self.keys[name], 1)}
        return {"data": {"name": name, "type": kind if name != "rsa" else "rsa-2048", "keys": versions}}

    def sign(self, name: str, asked: Mapping[str, Any]) -> Any:
        key, message = self.keys[name][asked["key_version"] - 1], b64decode(asked["input"]) + self.spoil
        match key:
            case ed25519.Ed25519PrivateKey():
                signature = key.sign(message)
            case _:
                signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
        return {"data": {"signature": f"vault:v{asked['key_version']}:{b64encode(signature).decode()}"}}


def public(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return b64encode(key.public_key().public_bytes_raw()).decode()
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def transit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transit]:
    made = Transit()

    def answer(request: Request) -> tuple[int, Any]:
        found = re.fullmatch(r"/v1/transit/(keys|sign)/([a-z]+)(?:/sha2-256)?", request.path)
        if request.headers.get("X-Vault-Token") != "s3cr3t-token":
            return 403, {"errors": ["permission denied"]}
        if found is None or found[2] not in made.keys:
            return 404, {"errors": []}
        return 200, made.read(found[2]) if found[1] == "keys" else made.sign(found[2], request.body)

    with serving(answer) as address:
        monkeypatch.setenv("VAULT_ADDR", address)
        monkeypatch.setenv("VAULT_TOKEN", "s3cr3t-token")
        yield made


@pytest.mark.parametrize("name", ["office", "edward"])
def test_vault_signs_with_the_newest_version_of_a_key(transit: Transit, name: str) -> None:
    newest = KeySigner.of(transit.keys[name][-1]).public_key
    assert believed(open_remote(f"hashivault://{name}", {}), newest)


def test_a_signature_over_something_else_is_not_used(transit: Transit) -> None:
    signer = open_remote("hashivault://office", {})
    transit.spoil = b"!"
    assert refused(lambda: signer.sign(statement())) == "signature-invalid"


def test_a_key_that_vault_does_not_give_is_a_reason(transit: Transit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(lambda: open_remote("hashivault://other", {})) == "key-refused"
    assert refused(lambda: open_remote("hashivault://a/b", {})) == "key-unsupported"
    other = {"TRANSIT_SECRET_ENGINE_PATH": "other"}
    assert refused(lambda: open_remote("hashivault://office", other)) == "key-unsupported"
    transit.keys["rsa"] = transit.keys["office"]
    assert refused(lambda: open_remote("hashivault://rsa", {})) == "algorithm-not-allowed"
    monkeypatch.setenv("VAULT_TOKEN", "s3cr3t-other")
    assert refused(lambda: open_remote("hashivault://office", {})) == "key-refused"
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    assert refused(lambda: open_remote("hashivault://office", {})) == "key-unavailable"


@pytest.mark.parametrize("uri", ["gcpkms://projects/p", "azurekms://vault/key", "k8s://ns/secret"])
def test_another_keeper_is_refused_by_name(uri: str) -> None:
    assert refused(lambda: open_remote(uri, {})) == "key-unsupported"
