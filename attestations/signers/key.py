"""Signing with a key from a file. Source: DSSE v1.0; Sigstore bundle v0.3 with `publicKey`."""

from __future__ import annotations

from collections.abc import Callable

from attestations.bundle import Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, pae
from attestations.identity import KeyIdentity, Role
from attestations.keys import (
    PrivateKey,
    encode,
    key_hint,
    load_private_key,
    parse_public_key,
    sign,
    verify_signature,
)
from attestations.statement import Statement
from registries.digest import Digest


class KeySigner:
    """Signs with a private key, wherever that is: `make_signature` gets the message, and its answer is verified."""

    def __init__(self, public_key: bytes, make_signature: Callable[[bytes], bytes]) -> None:
        self.public_key = public_key
        self._make_signature = make_signature

    @classmethod
    def of(cls, key: PrivateKey) -> KeySigner:
        """With a key in memory."""
        return cls(encode(key.public_key()), lambda message: sign(key, message))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None, *, where: str = "") -> KeySigner:
        """From the content of a key file; see `attestations.keys.load_private_key` for the refusals."""
        return cls.of(load_private_key(pem, passphrase, where=where))

    @property
    def public_name(self) -> str:
        """The fingerprint of the public key."""
        return f"key {Digest.of(self.public_key)}"

    def is_one_of(self, role: Role) -> bool:
        """Whether the role has a signer with this key."""
        return any(isinstance(one, KeyIdentity) and one.public_key == self.public_key for one in role.signers)

    def sign(self, statement: Statement) -> Bundle:
        """The statement's exact bytes in a signed bundle, as cosign writes one."""
        message = pae(PAYLOAD_TYPE, statement.content)
        signature = self._make_signature(message)
        verify_signature(parse_public_key(self.public_key), signature, message, where="the new signature")
        envelope = Envelope(payload=statement.content, payload_type=PAYLOAD_TYPE, signature=signature)
        return Bundle.signed(envelope, key_hint(self.public_key))
