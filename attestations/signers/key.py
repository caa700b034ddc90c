"""Signing with a key from a file, and believing what configured keys have signed.

Source: DSSE v1.0; Sigstore bundle v0.3 with `publicKey`. Whose key counts is said by the configuration alone: the
bundle's hint only decides which key is tried first, and the algorithm is that of the configured key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from attestations.bundle import Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, pae
from attestations.errors import AttestationError
from attestations.fields import rfc3339
from attestations.identity import Identity, KeyIdentity, KeylessIdentity, Role
from attestations.keys import (
    PrivateKey,
    encode,
    key_hint,
    load_private_key,
    parse_public_key,
    sign,
    verify_signature,
    why_invalid,
)
from attestations.statement import Statement
from attestations.verify import Verified, read_statement
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


class KeyVerifier:
    """Believes statements that a configured key has signed, as far as the key may sign at `now`.

    NOTE: nothing proves yet when a bundle was signed: log entries and time stamps are not checked, so a key's validity
    is judged at `now`, and `proved_time` stays empty.
    """

    def __init__(self, identities: Sequence[Identity], now: datetime) -> None:
        self._now = now
        self._keys = tuple(
            (identity, parse_public_key(identity.public_key, where=identity.name))
            for identity in identities
            if isinstance(identity, KeyIdentity)
        )
        self._expects_certificates = any(isinstance(identity, KeylessIdentity) for identity in identities)

    def verify(self, bundle: Bundle, subject: Digest) -> Verified:
        """The signature first, then what it covers; see `_signer` and `attestations.verify.read_statement`."""
        if bundle.certificate is not None:
            raise self._not_certified(bundle, bundle.certificate)
        signer = self._signer(bundle)
        statement, claim = read_statement(bundle, subject)
        return Verified(statement=statement, signer=signer, record=bundle.record, claim=claim)

    def _signer(self, bundle: Bundle) -> KeyIdentity:
        """Who signed: `signature-invalid`, `algorithm-not-allowed`, `signer-unknown`, `key-not-valid-at-time`."""
        signature, message, where = bundle.envelope.signature, bundle.envelope.signed_bytes, str(bundle.record)
        out_of_time: KeyIdentity | None = None
        for identity, key in sorted(self._keys, key=lambda pair: not _is_hinted(bundle, pair[0])):
            try:
                verify_signature(key, signature, message, where=where)
            except AttestationError:
                continue
            if identity.valid.covers(self._now):
                return identity
            out_of_time = identity
        if out_of_time is not None:
            raise AttestationError(
                "key-not-valid-at-time",
                f"{out_of_time} may not sign at {rfc3339(self._now)}, and nothing proves another time",
                where=where,
            )
        hinted = next((key for identity, key in self._keys if _is_hinted(bundle, identity)), None)
        if hinted is not None:
            raise why_invalid(hinted, signature, message, where=where)
        raise AttestationError("signer-unknown", "none of the configured keys signed it", where=where)

    def _not_certified(self, bundle: Bundle, certificate: bytes) -> AttestationError:
        """No trusted root is configured yet, so no certificate is believed, whatever it brings along."""
        where = str(bundle.record)
        try:
            x509.load_der_x509_certificate(certificate)
        except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
            return AttestationError(
                "key-material-mismatch", "what stands in the certificate's place is no certificate", where=where
            )
        if bundle.chain or self._expects_certificates:
            return AttestationError(
                "chain-untrusted", "signed with a certificate, but no trusted root is configured", where=where
            )
        return AttestationError(
            "key-material-mismatch", "signed with a certificate, but only keys are configured", where=where
        )


def _is_hinted(bundle: Bundle, identity: KeyIdentity) -> bool:
    return bundle.hint == key_hint(identity.public_key)
