"""Key files, and what each key may be used with: the algorithm belongs to the key, never to what it has signed.

Signed with: ECDSA P-256 or P-384 over SHA-256, RSA of 2048, 3072 or 4096 bits with PKCS #1 v1.5 over SHA-256, Ed25519:
what `cosign verify-attestation` 3.1.3 accepts. Verified besides: P-384 over SHA-384, P-521 over SHA-512 or SHA-256, and
RSA of any length from 2048 bits; for a file also Ed25519ph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from attestations import ed25519ph
from attestations.cosign_key import EncryptedKey, WrongPassword
from attestations.envelope import to_base64
from attestations.errors import AttestationError
from registries.digest import Digest
from registries.errors import UsageError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
Scheme = tuple[Any, ...]

_SHA1, _SHA256, _SHA384, _SHA512 = hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()  # noqa: S303
_EC_SCHEMES: Final[dict[str, tuple[Scheme, ...]]] = {
    "secp256r1": ((ec.ECDSA(_SHA256),),),
    "secp384r1": ((ec.ECDSA(_SHA384),), (ec.ECDSA(_SHA256),)),
    "secp521r1": ((ec.ECDSA(_SHA512),), (ec.ECDSA(_SHA256),)),
}
_RSA_SCHEMES: Final[tuple[Scheme, ...]] = ((padding.PKCS1v15(), _SHA256),)
_PSS_SCHEMES: Final[tuple[Scheme, ...]] = (
    (padding.PSS(mgf=padding.MGF1(_SHA256), salt_length=padding.PSS.DIGEST_LENGTH), _SHA256),
)
_ED25519_SCHEMES: Final[tuple[Scheme, ...]] = ((),)

_SIGNING_CURVES: Final = ("secp256r1", "secp384r1")
_SIGNING_RSA_BITS: Final = (2048, 3072, 4096)
_SHORTEST_RSA_BITS: Final = 2048

_NEW_KEY: Final = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out NEW.key"


class KeyKind(StrEnum):
    """What `new_key` makes."""

    P256 = "ecdsa-p256"
    ED25519 = "ed25519"


def new_key(kind: KeyKind = KeyKind.P256, *, passphrase: bytes | None = None) -> tuple[bytes, bytes]:
    """A fresh pair as PEM: private (PKCS #8, encrypted where a passphrase is given), public (SubjectPublicKeyInfo)."""
    key: PrivateKey
    match kind:
        case KeyKind.P256:
            key = ec.generate_private_key(ec.SECP256R1())
        case KeyKind.ED25519:
            key = ed25519.Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)
    return private, key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_private_key(pem: bytes, passphrase: bytes | None = None, *, where: str = "") -> PrivateKey:
    """A key to sign with, from PKCS #8, SEC 1, PKCS #1 or cosign's encrypted form.

    A passphrase for a key that has none is left unused. Raises `key-malformed`, `key-passphrase-missing`,
    `key-passphrase-wrong` and `algorithm-not-allowed`.
    """
    if b"ENCRYPTED SIGSTORE PRIVATE KEY" in pem or b"ENCRYPTED COSIGN PRIVATE KEY" in pem:
        return _may_sign(_cosign_key(pem, passphrase, where), where)
    encrypted = b"ENCRYPTED PRIVATE KEY" in pem or b"4,ENCRYPTED" in pem
    if encrypted and not passphrase:
        raise _no_passphrase(where)
    try:
        key = serialization.load_pem_private_key(pem, passphrase if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise _wrong_passphrase(where) from error
        raise UsageError(
            "key-malformed", "no private key in PEM form (PKCS #8, SEC 1 or PKCS #1)", where=where, hint=_NEW_KEY
        ) from error
    return _may_sign(key, where)


def _cosign_key(pem: bytes, passphrase: bytes | None, where: str) -> object:
    """A key as `cosign generate-key-pair` encrypts it; the empty password is allowed there."""
    if passphrase is None:
        raise _no_passphrase(where)
    try:
        return serialization.load_der_private_key(EncryptedKey.from_pem(pem).open(passphrase), None)
    except WrongPassword as error:
        raise _wrong_passphrase(where) from error
    except AttestationError as error:
        message = f"encrypted as cosign does it, but {error.reasons[0].message}"
        raise UsageError("key-malformed", message, where=where, hint=_NEW_KEY) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = "what is encrypted in the file is no private key (PKCS #8)"
        raise UsageError("key-malformed", message, where=where, hint=_NEW_KEY) from error


def _no_passphrase(where: str) -> UsageError:
    return UsageError(
        "key-passphrase-missing",
        "the private key is encrypted and no passphrase was given",
        where=where,
        hint="export SAMEBITS_KEY_PASSPHRASE=… (or COSIGN_PASSWORD)",
    )


def _wrong_passphrase(where: str) -> UsageError:
    return UsageError("key-passphrase-wrong", "the passphrase does not open the private key", where=where)


def load_public_key(pem: bytes, *, where: str = "") -> bytes:
    """A public key file as DER SubjectPublicKeyInfo, in the one form that tells keys apart.

    Raises `key-malformed`, also for a file with several keys, and `algorithm-not-allowed`.
    """
    hint = "openssl pkey -in PRIVATE.key -pubout -out PUBLIC.pub"
    if pem.count(b"-----BEGIN ") > 1:
        raise UsageError("key-malformed", "more than one key in the file", where=where, hint=hint)
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("key-malformed", "no public key in PEM form", where=where, hint=hint) from error
    return encode(allowed(key, where=where))


def parse_public_key(der: bytes, *, where: str = "") -> PublicKey:
    """A public key from DER SubjectPublicKeyInfo: `key-malformed`, `algorithm-not-allowed`."""
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError("key-malformed", "no public key in DER form", where=where) from error
    return allowed(key, where=where)


def encode(key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_hint(public_key: bytes) -> str:
    """What cosign writes as `hint`: base64 of the SHA-256 of the DER SubjectPublicKeyInfo. It only orders keys."""
    return to_base64(bytes.fromhex(Digest.of(public_key).hex))


def sign(key: PrivateKey, message: bytes) -> bytes:
    """The signature over `message`; ECDSA in DER form."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(_SHA256))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), _SHA256)
        case ed25519.Ed25519PrivateKey():
            return key.sign(message)


def verify_signature(
    key: PublicKey, signature: bytes, message: bytes, *, where: str = "", rsa_pss: bool = False
) -> None:
    """Return only if `key` made `signature` over `message` in a way this key is used with; else `signature-invalid`.

    RSA-PSS, which cosign does not verify, counts only where `rsa_pss` says so.
    """
    if not _made_with(key, _schemes(key, rsa_pss=rsa_pss), signature, message):
        raise _no_fit(where)


def verify_hashed(
    key: PublicKey,
    signature: bytes,
    digests: Mapping[str, bytes],
    content: Callable[[], bytes] | None,
    *,
    where: str = "",
    rsa_pss: bool = False,
) -> None:
    """As `verify_signature`, for a message that is known by its digests; `content` gives it whole, where it is there.

    `algorithm-not-allowed` where the key signs in a way that needs another digest, or the message itself.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _verify_ed25519(key, signature, digests, content, where)
    known = [scheme for scheme in _schemes(key, rsa_pss=rsa_pss) if _hash_of(scheme).name in digests]
    if not known:
        raise _needs_file("this key signs another digest than is known", where)
    for scheme in known:
        try:
            key.verify(signature, digests[_hash_of(scheme).name], *_prehashed(scheme))
        except InvalidSignature:
            continue
        return None
    raise _no_fit(where)


def _verify_ed25519(
    key: ed25519.Ed25519PublicKey,
    signature: bytes,
    digests: Mapping[str, bytes],
    content: Callable[[], bytes] | None,
    where: str,
) -> None:
    """A file by its SHA-512, as cosign and Rekor v2 have it, or by its bytes; the two can't be taken for each other."""
    if "sha512" in digests and ed25519ph.is_valid(key.public_bytes_raw(), signature, digests["sha512"]):
        return
    if content is None:
        raise _needs_file("Ed25519 signs a file or its SHA-512, and neither is known", where)
    verify_signature(key, signature, content(), where=where)


def why_invalid(key: PublicKey, signature: bytes, message: bytes, *, where: str = "") -> AttestationError:
    """What is wrong with a signature of this key that `verify_signature` refused.

    `algorithm-not-allowed` if the key did sign this content, but with a hash or padding it is not used with.
    """
    if _made_with(key, _refused_schemes(key), signature, message):
        return AttestationError(
            "algorithm-not-allowed", "the key signed with a hash or padding it is not used with", where=where
        )
    return _no_fit(where)


def allowed(key: object, *, where: str = "") -> PublicKey:
    """The key, if it is of a kind and strength that is believed: `algorithm-not-allowed`."""
    match key:
        case ec.EllipticCurvePublicKey() if key.curve.name in _EC_SCHEMES:
            return key
        case rsa.RSAPublicKey() if key.key_size >= _SHORTEST_RSA_BITS:
            return key
        case ed25519.Ed25519PublicKey():
            return key
        case _:
            raise _weak("ECDSA P-256, P-384, P-521, RSA from 2048 bits and Ed25519 are verified", where)


def _may_sign(key: object, where: str) -> PrivateKey:
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in _SIGNING_CURVES:
            return key
        case rsa.RSAPrivateKey() if key.key_size in _SIGNING_RSA_BITS:
            return key
        case ed25519.Ed25519PrivateKey():
            return key
        case _:
            raise _weak("ECDSA P-256 and P-384, RSA of 2048, 3072 or 4096 bits and Ed25519 sign", where)


def _weak(good: str, where: str) -> AttestationError:
    return AttestationError("algorithm-not-allowed", f"{good}; this key is none of them", where=where, hint=_NEW_KEY)


def _no_fit(where: str) -> AttestationError:
    return AttestationError("signature-invalid", "the signature does not fit content and key", where=where)


def _needs_file(message: str, where: str) -> AttestationError:
    return AttestationError("algorithm-not-allowed", message, where=where, hint="name the file, not its digest")


def _hash_of(scheme: Scheme) -> hashes.HashAlgorithm:
    """The hash of an ECDSA or RSA scheme."""
    last = scheme[-1]
    found = last.algorithm if isinstance(last, ec.ECDSA) else last
    if not isinstance(found, hashes.HashAlgorithm):
        raise TypeError(f"{scheme!r} has no hash")
    return found


def _prehashed(scheme: Scheme) -> Scheme:
    prehashed = Prehashed(_hash_of(scheme))
    return (*scheme[:-1], ec.ECDSA(prehashed) if isinstance(scheme[-1], ec.ECDSA) else prehashed)


def _schemes(key: PublicKey, *, rsa_pss: bool = False) -> tuple[Scheme, ...]:
    match key:
        case ec.EllipticCurvePublicKey():
            return _EC_SCHEMES[key.curve.name]
        case rsa.RSAPublicKey():
            return _RSA_SCHEMES + _PSS_SCHEMES if rsa_pss else _RSA_SCHEMES
        case ed25519.Ed25519PublicKey():
            return _ED25519_SCHEMES


def _refused_schemes(key: PublicKey) -> tuple[Scheme, ...]:
    """What a signature that does not verify may have been made with; only to name the reason."""
    others = (_SHA1, _SHA256, _SHA384, _SHA512)
    match key:
        case ec.EllipticCurvePublicKey():
            return tuple((ec.ECDSA(algorithm),) for algorithm in others)
        case rsa.RSAPublicKey():
            pss = padding.PSS(mgf=padding.MGF1(_SHA256), salt_length=padding.PSS.AUTO)
            return (*((padding.PKCS1v15(), algorithm) for algorithm in others), (pss, _SHA256))
        case ed25519.Ed25519PublicKey():
            return ()


def _made_with(key: PublicKey, schemes: Iterable[Scheme], signature: bytes, message: bytes) -> bool:
    for scheme in schemes:
        try:
            key.verify(signature, message, *scheme)
        except InvalidSignature:
            continue
        return True
    return False
