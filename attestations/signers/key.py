"""Signing with a key from a file. Source: DSSE v1.0; Sigstore bundle v0.3 with `publicKey`."""

from __future__ import annotations

from attestations.bundle import Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, pae
from attestations.identity import KeyIdentity, Role
from attestations.keys import (
    PrivateKey,
    encode,
    key_hint,
    load_private_key,
    sign,
)
from attestations.statement import Statement
from registries.digest import Digest


class KeySigner:
    """Signs with a private key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public_key = encode(key.public_key())

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None, *, where: str = "") -> KeySigner:
        """From the content of a key file; see `attestations.keys.load_private_key` for the refusals."""
        return cls(load_private_key(pem, passphrase, where=where))

    @property
    def public_name(self) -> str:
        """The fingerprint of the public key."""
        return f"key {Digest.of(self.public_key)}"

    def is_one_of(self, role: Role) -> bool:
        """Whether the role has a signer with this key."""
        return any(isinstance(one, KeyIdentity) and one.public_key == self.public_key for one in role.signers)

    def sign(self, statement: Statement) -> Bundle:
        """The statement's exact bytes in a signed bundle, as cosign writes one."""
        signature = sign(self._key, pae(PAYLOAD_TYPE, statement.content))
        envelope = Envelope(payload=statement.content, payload_type=PAYLOAD_TYPE, signature=signature)
        return Bundle.signed(envelope, key_hint(self.public_key))
