"""Signing with a key, and having a timestamp authority say when: a key that is revoked later has signed before that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from attestations.bundle import Bundle
from attestations.bundle_verifier import KEYED, BundleVerifier, Requirements
from attestations.identity import Role
from attestations.keys import key_hint, parse_public_key
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from attestations.trusted_root import TrustedRoot

_ASKED: Final[Requirements] = replace(KEYED, timestamps=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedSigner:
    """A key's signer; `stamp` gives the time stamps over a signature, and `root` says whose are believed."""

    signer: KeySigner
    stamp: Callable[[bytes], tuple[bytes, ...]]
    root: TrustedRoot

    @property
    def public_name(self) -> str:
        """That of the key."""
        return self.signer.public_name

    def is_one_of(self, role: Role) -> bool:
        """Whether the role has a signer with this key."""
        return self.signer.is_one_of(role)

    def sign(self, statement: Statement) -> Bundle:
        """The statement's exact bytes in a bundle with a time stamp that the root vouches for."""
        envelope = self.signer.sign(statement).envelope
        hint = key_hint(self.signer.public_key)
        bundle = Bundle.signed(envelope, hint, timestamps=self.stamp(envelope.signature))
        BundleVerifier(self.root).keyed(bundle, parse_public_key(self.signer.public_key), _ASKED)
        return bundle
