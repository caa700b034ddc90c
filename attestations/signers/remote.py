"""Keys that never leave their keeper: AWS KMS, Vault's Transit engine, PKCS #11 tokens; asked through securesystemslib.

The URIs are cosign's. A keeper gives the public key and signatures, both unproven: every signature is verified with
that key before it is used, and whose key counts is said by the definition, which pins it as a file. Each library is an
extra, loaded only for a key of its kind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

from cryptography.hazmat.primitives.asymmetric import ed25519

from attestations.envelope import from_base64
from attestations.errors import AttestationError
from attestations.keys import PublicKey, encode, load_public_key, parse_public_key
from attestations.signers.key import KeySigner
from registries.errors import Refusal, Unauthorized, Unavailable, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Signer as TheirSigner

PIN_VARIABLE: Final = "COSIGN_PKCS11_PIN"
MODULE_VARIABLES: Final = ("COSIGN_PKCS11_MODULE_PATH", "PYKCS11LIB")

# those that `cosign verify-attestation` accepts come first; securesystemslib's own first choice for RSA is PSS
_AWS_SCHEMES: Final = ("ecdsa-sha2-nistp256", "rsa-pkcs1v15-sha256", "ecdsa-sha2-nistp384")
_VAULT_SCHEMES: Final = {"ecdsa-p256": "ecdsa-sha2-nistp256", "ed25519": "ed25519"}
_SAID_CHARACTERS: Final = 200
_HEX_ID: Final = re.compile(r"[0-9a-fA-F]{2,16}")

Environment = Mapping[str, str]


def open_awskms(uri: str, _environment: Environment) -> KeySigner:
    """`awskms:///ID`, `awskms:///alias/NAME` or `awskms:///ARN`; the account as for every AWS program."""
    endpoint, _, name = uri.removeprefix("awskms://").partition("/")
    if endpoint or not name:
        hint = "awskms:///alias/NAME, and AWS_ENDPOINT_URL_KMS for an address of your own"
        raise UsageError("key-unsupported", "no key of AWS KMS is named like this", where=uri, hint=hint)
    with _library("aws"):
        import botocore.exceptions
        from securesystemslib.exceptions import UnsupportedAlgorithmError
        from securesystemslib.signer import AWSSigner

    refused = botocore.exceptions.ClientError, botocore.exceptions.NoCredentialsError
    with _keeper(uri, refused):
        for scheme in _AWS_SCHEMES:
            try:
                _, public = AWSSigner.import_(name, scheme)
            except UnsupportedAlgorithmError:
                continue
            pem = public.keyval["public"].encode()
            return _signer(uri, AWSSigner(name, public), load_public_key(pem, where=uri), refused)
    kinds = "it is neither ECDSA P-256, P-384 nor RSA"
    raise AttestationError("algorithm-not-allowed", f"the key can't sign records: {kinds}", where=uri)


def open_hashivault(uri: str, environment: Environment) -> KeySigner:
    """`hashivault://KEY`, P-256 or Ed25519, at VAULT_ADDR with VAULT_TOKEN; of its versions the newest."""
    name = uri.removeprefix("hashivault://")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UsageError("key-unsupported", "no key of Vault is named like this", where=uri, hint="hashivault://NAME")
    if environment.get("TRANSIT_SECRET_ENGINE_PATH", "transit") != "transit":
        message = "only the Transit engine at `transit` is used, and TRANSIT_SECRET_ENGINE_PATH names another one"
        raise UsageError("key-unsupported", message, where=uri)
    with _library("vault"):
        import hvac
        from securesystemslib.signer import SSlibKey, VaultSigner

    errors = hvac.exceptions
    refused = errors.Forbidden, errors.Unauthorized, errors.InvalidPath, errors.InvalidRequest
    with _keeper(uri, refused):
        found = hvac.Client().secrets.transit.read_key(name)["data"]
        version, key = max(found["keys"].items(), key=lambda item: int(item[0]))
        public = _vault_key(found["type"], key["public_key"], uri)
        shaped = SSlibKey.from_crypto(public, scheme=_VAULT_SCHEMES[found["type"]])
        return _signer(uri, VaultSigner(name, shaped, int(version)), encode(public), refused)


def open_pkcs11(uri: str, environment: Environment) -> KeySigner:
    """`pkcs11:token=LABEL;id=%01?module-path=FILE`: an elliptic-curve key by its id (RFC 7512).

    The PIN comes from COSIGN_PKCS11_PIN, else from `pin-value`; the module may come from COSIGN_PKCS11_MODULE_PATH.
    """
    path, _, query = uri.removeprefix("pkcs11:").partition("?")
    named = dict(part.partition("=")[::2] for part in path.split(";"))
    asked = dict(parse_qsl(query))
    if unknown := sorted({*named} - {"token", "id"} | {*asked} - {"module-path", "pin-value"}):
        message = f"`{unknown[0]}` is not understood; a key is named by `token` and `id`"
        raise UsageError("key-unsupported", message, hint="pkcs11:token=LABEL;id=%01?module-path=FILE")
    number = named.get("id", "").replace("%", "")
    if not _HEX_ID.fullmatch(number):
        message = "`id` must be the key's id in hexadecimal digits"
        raise UsageError("key-unsupported", message, hint="pkcs11:token=LABEL;id=%01?module-path=FILE")
    module = asked.get("module-path") or next(filter(None, map(environment.get, MODULE_VARIABLES)), None)
    if module is None:
        hint = f"export {MODULE_VARIABLES[0]}=/usr/lib/softhsm/libsofthsm2.so"
        raise UsageError("key-unsupported", "the token's PKCS #11 module is not named", hint=hint)
    pin = environment.get(PIN_VARIABLE, asked.get("pin-value", ""))
    token = unquote(named["token"]) if "token" in named else None
    where = f"pkcs11:{path}"
    with _library("hsm"):
        import pkcs11
        from securesystemslib.signer import HSMSigner

    os.environ["PYKCS11LIB"] = module  # the one way to tell securesystemslib
    refused = pkcs11.exceptions.PKCS11Error, ValueError
    with _keeper(where, refused):
        key_id = int(number, 16)
        _, public = HSMSigner.import_(key_id, token, lambda _: pin)
        pem = public.keyval["public"].encode()
        return _signer(where, HSMSigner(key_id, public, lambda _: pin, token), load_public_key(pem), refused)


# Not in the table: `gcpkms` and `azurekms`, whose exchanges have not been tried against anything real.
REMOTE: Final[Mapping[str, Callable[[str, Environment], KeySigner]]] = MappingProxyType(
    {"awskms": open_awskms, "hashivault": open_hashivault, "pkcs11": open_pkcs11}
)


def open_remote(uri: str, environment: Environment) -> KeySigner:
    """The signer for a key's URI. Its keeper is asked for the public key at once."""
    scheme = uri.partition(":")[0]
    if scheme not in REMOTE:
        known = ", ".join(f"{name}:" for name in REMOTE)
        raise UsageError("key-unsupported", f"no signer for {scheme}: in this version", hint=f"{known} or a file")
    return REMOTE[scheme](uri, environment)


def _signer(where: str, theirs: TheirSigner, public_key: bytes, refused: tuple[type[Exception], ...]) -> KeySigner:
    def make_signature(message: bytes) -> bytes:
        with _keeper(where, refused):
            return bytes.fromhex(theirs.sign(message).signature)

    return KeySigner(public_key, make_signature)


def _vault_key(kind: str, text: str, where: str) -> PublicKey:
    """Vault writes an Ed25519 key as its 32 bytes in base64, all others as PEM."""
    if kind == "ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(from_base64(text, "the public key", where=where))
    if kind not in _VAULT_SCHEMES:
        message = f"the key is of Vault's type {kind!r:.40}; ecdsa-p256 and ed25519 sign"
        raise AttestationError("algorithm-not-allowed", message, where=where)
    return parse_public_key(load_public_key(text.encode(), where=where))


@contextmanager
def _library(extra: str) -> Iterator[None]:
    """The library of an extra; without it, such keys can't be used."""
    try:
        yield
    except ImportError as error:
        message = f"keys of this kind need {error.name}, which is not installed"
        raise UsageError("key-unsupported", message, hint=f"pip install 'samebits[{extra}]'") from error


@contextmanager
def _keeper(where: str, refused: tuple[type[Exception], ...]) -> Iterator[None]:
    """Whatever an exchange with a key's keeper raises, as a refusal; it is never quoted at length."""
    try:
        yield
    except Refusal:
        raise
    except refused as error:
        raise Unauthorized("key-refused", f"its keeper refused: {_said(error)}", where=where) from error
    except Exception as error:
        raise Unavailable("key-unavailable", f"its keeper can't be asked: {_said(error)}", where=where) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__} {str(error)[:_SAID_CHARACTERS]!r}"
