"""Key files: every common form is opened, nothing weak is used, and no refusal tells a secret."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from attestations.errors import AttestationError
from attestations.identity import KeyIdentity
from attestations.keys import (
    KeyKind,
    PrivateKey,
    encode,
    key_hint,
    load_private_key,
    load_public_key,
    new_key,
    parse_public_key,
    sign,
    verify_signature,
    why_invalid,
)
from registries.errors import Refusal, UsageError

PASSPHRASE = b"correct horse battery staple"
RSA_2048 = rsa.generate_private_key(65537, 2048)
RSA_1024 = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
KEYS: dict[str, PrivateKey] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": RSA_2048,
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, encryption)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", KeyKind)
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_new_key_opens_and_its_public_half_belongs_to_it(kind: KeyKind, passphrase: bytes | None) -> None:
    private, public = new_key(kind, passphrase=passphrase)
    assert (b"ENCRYPTED" in private) == (passphrase is not None)
    assert encode(load_private_key(private, passphrase).public_key()) == load_public_key(public)


@pytest.mark.parametrize("name", KEYS)
def test_what_a_key_signs_verifies_with_its_public_half_only(name: str) -> None:
    signature = sign(load_private_key(pem(KEYS[name])), b"message")
    key = parse_public_key(load_public_key(public_pem(KEYS[name])))
    verify_signature(key, signature, b"message")
    for bad_signature, message in ((signature, b"massage"), (signature[:-1], b"message"), (b"", b"message")):
        with pytest.raises(AttestationError) as error:
            verify_signature(key, bad_signature, message)
        assert error.value.code == "signature-invalid"
    with pytest.raises(AttestationError) as error:
        verify_signature(parse_public_key(load_public_key(new_key()[1])), signature, b"message")
    assert error.value.code == "signature-invalid"


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("name", ["P-256", "RSA"])
def test_the_usual_private_key_files_open(name: str, form: PrivateFormat, passphrase: bytes | None) -> None:
    assert encode(load_private_key(pem(KEYS[name], form, passphrase), passphrase).public_key()) == encode(
        KEYS[name].public_key()
    )


def test_a_passphrase_for_a_key_that_has_none_is_left_unused() -> None:
    load_private_key(pem(KEYS["P-256"]), PASSPHRASE)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("passphrase", [None, b""])
def test_an_encrypted_key_without_a_passphrase_is_refused(form: PrivateFormat, passphrase: bytes | None) -> None:
    with pytest.raises(UsageError) as error:
        load_private_key(pem(KEYS["P-256"], form, PASSPHRASE), passphrase, where="ci.key")
    assert error.value.code == "key-passphrase-missing"
    assert error.value.reasons[0].where == "ci.key"


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_wrong_passphrase_is_refused_and_not_repeated(form: PrivateFormat) -> None:
    with pytest.raises(UsageError) as error:
        load_private_key(pem(KEYS["P-256"], form, PASSPHRASE), b"s3cr3t-canary")
    assert error.value.code == "key-passphrase-wrong"
    assert "s3cr3t" not in str(error.value) + error.value.reasons[0].hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        public_pem(KEYS["P-256"]),
        pem(KEYS["P-256"], PrivateFormat.OpenSSH),
    ],
)
def test_what_is_no_private_key_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError) as error:
        load_private_key(content)
    assert error.value.code == "key-malformed"


@pytest.mark.parametrize(
    "key",
    [
        RSA_1024,
        rsa.generate_private_key(65537, 2056),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        ed448.Ed448PrivateKey.generate(),
    ],
    ids=lambda key: type(key).__name__,
)
def test_a_weak_or_unusual_key_does_not_sign(key: PrivateKey) -> None:
    with pytest.raises(AttestationError) as error:
        load_private_key(pem(key))
    assert error.value.code == "algorithm-not-allowed"


@pytest.mark.parametrize(
    "key",
    [RSA_1024, ec.generate_private_key(ec.SECP256K1()), ed448.Ed448PrivateKey.generate()],
    ids=["RSA-1024", "secp256k1", "Ed448"],
)
def test_a_weak_or_unusual_key_is_not_believed(key: PrivateKey) -> None:
    with pytest.raises(AttestationError) as error:
        load_public_key(public_pem(key))
    assert error.value.code == "algorithm-not-allowed"
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(AttestationError) as error:
        parse_public_key(der)
    assert error.value.code == "algorithm-not-allowed"


@pytest.mark.parametrize(
    "content", [b"", b"no key", pem(KEYS["P-256"]), public_pem(KEYS["P-256"]) * 2, b"-----BEGIN PUBLIC KEY-----\n"]
)
def test_what_is_not_one_public_key_is_refused(content: bytes) -> None:
    with pytest.raises(Refusal) as error:
        load_public_key(content, where="ci.pub")
    assert error.value.code == "key-malformed"


def test_der_that_is_no_key_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        parse_public_key(b"\x30\x00")
    assert error.value.code == "key-malformed"


def test_two_spellings_of_one_key_are_one_key() -> None:
    key = KEYS["RSA"].public_key()
    pkcs1 = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    one = KeyIdentity(name="a", public_key=load_public_key(pkcs1))
    other = KeyIdentity(name="b", public_key=load_public_key(public_pem(KEYS["RSA"])))
    assert one.fingerprint == other.fingerprint


def test_the_hint_of_the_sample_key_is_the_one_cosign_wrote(cosign_key: bytes) -> None:
    assert key_hint(load_public_key(cosign_key)) == "lEudsfE4aVsdDBcKNcrMqDIg0+d2fpefB/KqLx4Uevc="


MESSAGE = b"message"
SHA1 = hashes.SHA1()  # noqa: S303 - to be refused
P521 = ec.generate_private_key(ec.SECP521R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P256 = ec.generate_private_key(ec.SECP256R1())
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (P384, P384.sign(MESSAGE, ec.ECDSA(hashes.SHA384()))),
        (P384, P384.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))),
        (P521, P521.sign(MESSAGE, ec.ECDSA(hashes.SHA512()))),
        (P521, P521.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))),
    ],
    ids=["P-384 SHA-384", "P-384 SHA-256", "P-521 SHA-512", "P-521 SHA-256"],
)
def test_the_larger_curves_verify_with_their_own_hash_and_with_sha256(
    key: ec.EllipticCurvePrivateKey, signature: bytes
) -> None:
    verify_signature(key.public_key(), signature, MESSAGE)


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (P256, P256.sign(MESSAGE, ec.ECDSA(SHA1))),
        (P256, P256.sign(MESSAGE, ec.ECDSA(hashes.SHA384()))),
        (P256, P256.sign(MESSAGE, ec.ECDSA(hashes.SHA512()))),
        (P384, P384.sign(MESSAGE, ec.ECDSA(hashes.SHA512()))),
        (RSA_2048, RSA_2048.sign(MESSAGE, padding.PKCS1v15(), SHA1)),
        (RSA_2048, RSA_2048.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA512())),
        (RSA_2048, RSA_2048.sign(MESSAGE, PSS, hashes.SHA256())),
    ],
    ids=["P-256 SHA-1", "P-256 SHA-384", "P-256 SHA-512", "P-384 SHA-512", "RSA SHA-1", "RSA SHA-512", "RSA PSS"],
)
def test_a_key_is_used_with_its_own_hash_and_padding_only(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, signature: bytes
) -> None:
    with pytest.raises(AttestationError) as error:
        verify_signature(key.public_key(), signature, MESSAGE)
    assert error.value.code == "signature-invalid"
    assert why_invalid(key.public_key(), signature, MESSAGE).code == "algorithm-not-allowed"
    assert why_invalid(key.public_key(), signature, b"another message").code == "signature-invalid"


def test_an_ed25519_key_has_no_other_way_to_sign() -> None:
    key = parse_public_key(load_public_key(new_key(KeyKind.ED25519)[1]))
    assert why_invalid(key, b"\x00" * 64, MESSAGE).code == "signature-invalid"
