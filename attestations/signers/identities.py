"""Believing what configured identities have signed: keys, and people and workflows that a certificate names.

Whose signature counts is said by the configuration alone: a bundle's hint only decides which key is tried first, and a
certificate counts only under the pinned trusted root, for the issuer and subject that are configured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm

from attestations.bundle import Bundle
from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.fields import rfc3339
from attestations.identity import Identity, KeyIdentity, KeylessIdentity
from attestations.keys import PublicKey, key_hint, parse_public_key, verify_signature, why_invalid
from attestations.verify import Verified, read_statement
from registries.digest import Digest

if TYPE_CHECKING:  # what verifies certificates, logs and stamps is slow to load; keys alone can do without
    from attestations.bundle_verifier import Proven, Sigstore
    from attestations.timestamps import ProvenTime


class IdentityVerifier:
    """Believes statements by the identities that it is given, each as far as it may sign at the time that is proven.

    With a trusted root, a log's promise or a time stamp proves when something was signed; `proved_time` is the
    earliest. Where nothing proves it, a key is judged at `now` and `proved_time` stays empty; a certificate is refused.
    """

    def __init__(self, identities: Sequence[Identity], now: datetime, sigstore: Sigstore | None = None) -> None:
        self._now = now
        self._keys = tuple(
            (identity, parse_public_key(identity.public_key, where=identity.name))
            for identity in identities
            if isinstance(identity, KeyIdentity)
        )
        self._people = tuple(identity for identity in identities if isinstance(identity, KeylessIdentity))
        self._rsa_pss = sigstore is not None and sigstore.requirements.rsa_pss
        self._bundles = None
        if sigstore is not None:
            from attestations.bundle_verifier import BundleVerifier

            self._bundles = BundleVerifier(sigstore.root, sigstore.requirements)

    def verify(self, bundle: Bundle, subject: Digest | Commit) -> Verified:
        """The signature first, then what it covers; see `attestations.verify.read_statement`.

        Raises `signer-unknown`, `identity-mismatch`, `issuer-mismatch`, `key-not-valid-at-time`, and what
        `BundleVerifier` raises.
        """
        certificate = bundle.material.certificate
        names: tuple[str, ...] = ()
        if certificate is None:
            signer, times = self._keyed(bundle)
        else:
            signer, times, names = self._certified(bundle, certificate)
        statement, claim = read_statement(bundle, subject)
        earliest = min((proven.time for proven in times), default=None)
        return Verified(
            statement=statement,
            signer=signer,
            record=bundle.record,
            claim=claim,
            proved_time=earliest,
            subjects=names,
        )

    def _keyed(self, bundle: Bundle) -> tuple[Identity, tuple[ProvenTime, ...]]:
        where = str(bundle.record)
        late: AttestationError | None = None
        for identity, key in sorted(self._keys, key=lambda pair: not _is_hinted(bundle, pair[0])):
            try:
                times = self._proven_times(bundle, key)
            except AttestationError as error:
                if error.code != "signature-invalid":
                    raise
                continue
            late = self._out_of_time(identity, times, where)
            if late is None:
                return identity, times
        raise late or self._unknown(bundle, where)

    def _proven_times(self, bundle: Bundle, key: PublicKey) -> tuple[ProvenTime, ...]:
        """When the key has signed, as far as it is proven: `signature-invalid`, and what `BundleVerifier` raises."""
        if self._bundles is not None:
            from attestations.bundle_verifier import KEYED

            return self._bundles.keyed(bundle, key, replace(KEYED, rsa_pss=self._rsa_pss)).times
        verify_signature(key, bundle.signature, bundle.envelope.signed_bytes, where=str(bundle.record))
        return ()

    def _certified(
        self, bundle: Bundle, certificate: bytes
    ) -> tuple[Identity, tuple[ProvenTime, ...], tuple[str, ...]]:
        where = str(bundle.record)
        if self._bundles is None or not self._people:
            raise self._not_certified(bundle, certificate)
        proven = self._bundles.certified(bundle)
        identity = self._named(proven, where)
        late = self._out_of_time(identity, proven.times, where)
        if late is not None:
            raise late
        return identity, proven.times, proven.leaf.names if proven.leaf else ()

    def _named(self, proven: Proven, where: str) -> KeylessIdentity:
        """The one identity that the certificate names. That a name fits under another issuer says more than no name."""
        from attestations.bundle_verifier import check_identity

        refusals: list[AttestationError] = []
        for identity in self._people:
            try:
                check_identity(proven, identity, where=where)
            except AttestationError as error:
                refusals.append(error)
            else:
                return identity
        nearest = ("claim-mismatch", "issuer-mismatch")  # the more fits, the better it tells what is wrong
        raise next((one for code in nearest for one in refusals if one.code == code), refusals[0])

    def _out_of_time(self, identity: Identity, times: tuple[ProvenTime, ...], where: str) -> AttestationError | None:
        """Why the identity may not have signed then: at every time that is proven, or now where none is."""
        for time in [proven.time for proven in times] or [self._now]:
            if not identity.valid.covers(time):
                proof = "which is proven" if times else "and nothing proves another time"
                message = f"{identity} may not sign at {rfc3339(time)}, {proof}"
                return AttestationError("key-not-valid-at-time", message, where=where)
        return None

    def _unknown(self, bundle: Bundle, where: str) -> AttestationError:
        hinted = next((key for identity, key in self._keys if _is_hinted(bundle, identity)), None)
        if hinted is not None:
            return why_invalid(hinted, bundle.signature, bundle.envelope.signed_bytes, where=where)
        if not self._keys and self._people:
            message = "signed with a key, but only certificates are configured"
            return AttestationError("key-material-mismatch", message, where=where)
        return AttestationError("signer-unknown", "none of the configured keys signed it", where=where)

    def _not_certified(self, bundle: Bundle, certificate: bytes) -> AttestationError:
        """Why no certificate is believed here: no trusted root is configured, or nobody who would be named by one."""
        from cryptography import x509

        where = str(bundle.record)
        try:
            x509.load_der_x509_certificate(certificate)
        except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
            return AttestationError(
                "key-material-mismatch", "what stands in the certificate's place is no certificate", where=where
            )
        if self._bundles is None and (bundle.material.chain or self._people):
            return AttestationError(
                "chain-untrusted", "signed with a certificate, but no trusted root is configured", where=where
            )
        return AttestationError(
            "key-material-mismatch", "signed with a certificate, but only keys are configured", where=where
        )


def _is_hinted(bundle: Bundle, identity: KeyIdentity) -> bool:
    return bundle.material.hint == key_hint(identity.public_key)
