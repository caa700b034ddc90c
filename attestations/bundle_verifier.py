"""Whether a bundle is to be believed: its signature, its time, its log entries and its certificate, from a pinned root.

Source: Sigstore client specification, "Verification"; protobuf-specs. Nothing is asked of a network, and no clock is
read: a certificate is judged at every time that a log or timestamp authority has proven, and refused where none has.
What a bundle brings besides, entries and stamps of logs and authorities that are not configured, counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import new as new_hash
from typing import Final

from cryptography import x509

from attestations.bundle import AnyBundle, Bundle, MessageBundle
from attestations.certificates import (
    Leaf,
    Usage,
    check_issuers,
    check_leaf,
    check_valid,
    path_from,
    read_leaf,
    refuse_brought_along,
)
from attestations.errors import AttestationError
from attestations.fields import rfc3339
from attestations.identity import KeylessIdentity
from attestations.keys import PublicKey, encode, verify_hashed, verify_signature
from attestations.log_entries import LogEntry, Signed
from attestations.sct import certificate_logs
from attestations.timestamps import ProvenTime, proven_time
from attestations.trusted_root import Authority, TrustedRoot
from registries.digest import Digest

_KNOWN_CERTIFICATES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """How many distinct ones must vouch: logs, timestamp authorities, and logs of certificates; each at least one.

    One of a kind counts once, however many entries or stamps it made. To do without a log is a choice with a name that
    can be searched for. With a certificate there must be a proven time in any case: a log's promise, or a time stamp.
    """

    logs: int = 1
    timestamps: int = 0
    certificate_logs: int = 1
    rsa_pss: bool = False

    def unsafe_without_log(self) -> Requirements:
        """Nobody can see what is signed in somebody's name: only for an authority of one's own, with time stamps."""
        return replace(self, logs=0)

    def unsafe_without_certificate_log(self) -> Requirements:
        """Nobody can see which certificates the authority issues: only for an authority of one's own."""
        return replace(self, certificate_logs=0)


CERTIFIED: Final = Requirements()
KEYED: Final = Requirements().unsafe_without_log().unsafe_without_certificate_log()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigstore:
    """What a trust file says about Sigstore: the pinned root, and what is asked of a certificate's signature."""

    root: TrustedRoot
    requirements: Requirements = CERTIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The file that a signature may be over: its digests by name, and its bytes where they are at hand."""

    digests: Mapping[str, bytes]
    content: Callable[[], bytes] | None = None

    @classmethod
    def of(cls, content: bytes) -> Artifact:
        """A file as bytes."""
        digests = {name: new_hash(name, content).digest() for name in ("sha256", "sha384", "sha512")}
        return cls(digests=digests, content=lambda: content)

    @classmethod
    def known_as(cls, digest: Digest) -> Artifact:
        """A file of which only the digest is known."""
        return cls(digests={digest.algorithm: bytes.fromhex(digest.hex)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What was proven about a signature: every time, the logs that have it, and the certificate where one signed."""

    times: tuple[ProvenTime, ...]
    logs: frozenset[bytes]
    leaf: Leaf | None = None

    @property
    def earliest(self) -> datetime | None:
        """The first time at which the signature is proven to have existed."""
        return min((proven.time for proven in self.times), default=None)


class BundleVerifier:
    """Holds a trusted root, and remembers the certificates that it has seen: one often signs many records."""

    def __init__(self, root: TrustedRoot, requirements: Requirements = CERTIFIED) -> None:
        self._root = root
        self._requirements = requirements
        self._seen: dict[bytes, _Certificate] = {}

    def certified(self, bundle: AnyBundle, artifact: Artifact | None = None) -> Proven:
        """Verify a bundle that a certificate signed. Whom the certificate names is left to `check_identity`.

        Raises `key-material-mismatch`, `signature-invalid`, `chain-untrusted`, `certificate-invalid`,
        `certificate-expired`, `certificate-timestamp-invalid`, `time-unproven`, `threshold-not-met`, and what log
        entries and time stamps raise.
        """
        where, asked = str(bundle.record), self._requirements
        if bundle.material.certificate is None:
            raise AttestationError(
                "key-material-mismatch", "signed with a key where a certificate must be", where=where
            )
        refuse_brought_along(bundle.material.chain, where=where)
        found = self._certificate(bundle.material.certificate, where)
        check_signature(bundle, found.leaf.key, artifact, rsa_pss=asked.rsa_pss)
        signed = _signed(bundle, artifact, found.leaf.content, found.leaf.public_key)
        proven = self._vouched(bundle, signed, asked, where)
        if not proven.times:
            raise self._timeless(bundle, where)
        path = found.path_at(proven.times, where)
        self._check_certificate_logs(found, path, asked, where)
        return replace(proven, leaf=found.leaf)

    def keyed(self, bundle: AnyBundle, key: PublicKey, asked: Requirements, artifact: Artifact | None = None) -> Proven:
        """What is proven about a bundle that this key signed: `signature-invalid`, `threshold-not-met`, as above."""
        where = str(bundle.record)
        if bundle.material.certificate is not None:
            raise AttestationError(
                "key-material-mismatch", "signed with a certificate where a key must be", where=where
            )
        check_signature(bundle, key, artifact, rsa_pss=asked.rsa_pss)
        return self._vouched(bundle, _signed(bundle, artifact, None, encode(key)), asked, where)

    def _vouched(self, bundle: AnyBundle, signed: Signed, asked: Requirements, where: str) -> Proven:
        """Every log entry and time stamp of somebody configured, each of which must hold."""
        stamped = self._stamped(bundle, where)
        entries = [
            LogEntry.read(value, bundle.material.media_type, where=where) for value in bundle.material.log_entries
        ]
        promised: list[ProvenTime] = []
        logs: set[bytes] = set()
        timeless: list[LogEntry] = []
        for entry in entries:
            log = self._root.logs.get(entry.log_id)
            if log is None:
                continue
            time = entry.check(log, signed, where=where)
            logs.add(log.public_key)
            if time is None:
                timeless.append(entry)
            else:
                promised.append(ProvenTime(time=time, source=log.public_key, by=str(log)))
        times = (*promised, *stamped)
        if entries and asked.logs and not logs:
            raise AttestationError("log-entry-invalid", "every log entry is of a log that is not trusted", where=where)
        _enough(len(logs), asked.logs, "logs", where)
        _enough(len({one.source for one in stamped}), asked.timestamps, "timestamp authorities", where)
        self._no_duplicates(bundle, entries, where)
        self._logged_in_time(timeless, times, where)
        return Proven(times=times, logs=frozenset(logs))

    def _stamped(self, bundle: AnyBundle, where: str) -> tuple[ProvenTime, ...]:
        authorities, message = self._root.timestamp_authorities, bundle.stamped_bytes
        found = (proven_time(stamp, message, authorities, where=where) for stamp in bundle.material.timestamps)
        return tuple(one for one in found if one is not None)

    def _no_duplicates(self, bundle: AnyBundle, entries: list[LogEntry], where: str) -> None:
        if len({(entry.log_id, entry.body, entry.index) for entry in entries}) < len(entries):
            raise AttestationError("log-entry-invalid", "one log entry stands there twice", where=where)
        if len(set(bundle.material.timestamps)) < len(bundle.material.timestamps):
            raise AttestationError("timestamp-untrusted", "one time stamp stands there twice", where=where)

    def _logged_in_time(self, entries: list[LogEntry], times: tuple[ProvenTime, ...], where: str) -> None:
        """An entry without a promised time counts only where the log's key was valid at every time that is proven."""
        for entry in entries:
            log = self._root.logs[entry.log_id]
            for proven in times:
                if not log.valid.covers(proven.time):
                    message = f"it was signed at {rfc3339(proven.time)}, when the key of {log} was not valid"
                    raise AttestationError("log-entry-invalid", f"the log entry: {message}", where=where)

    def _timeless(self, bundle: AnyBundle, where: str) -> AttestationError:
        if bundle.material.timestamps:
            message = "every time stamp is of an authority that is not trusted"
            return AttestationError("timestamp-untrusted", message, where=where)
        message = "neither a log's promise nor a time stamp proves when it was signed"
        return AttestationError("time-unproven", message, where=where)

    def _check_certificate_logs(
        self, found: _Certificate, path: tuple[x509.Certificate, ...], asked: Requirements, where: str
    ) -> None:
        if not asked.certificate_logs:
            return
        if found.logs is None:
            found.logs = certificate_logs(found.leaf.certificate, path[0], self._root.certificate_logs, where=where)
        _enough(len(found.logs), asked.certificate_logs, "logs of certificates", where)

    def _certificate(self, content: bytes, where: str) -> _Certificate:
        found = self._seen.get(content)
        if found is None:
            found = _Certificate.read(content, self._root.certificate_authorities, where)
            if len(self._seen) >= _KNOWN_CERTIFICATES:
                self._seen.clear()
            self._seen[content] = found
        return found


@dataclass(slots=True, kw_only=True)
class _Certificate:
    """A leaf with its paths to configured authorities, and the logs that promised it, once that was asked."""

    leaf: Leaf
    paths: tuple[tuple[Authority, tuple[x509.Certificate, ...]], ...]
    logs: frozenset[bytes] | None = None

    @classmethod
    def read(cls, content: bytes, authorities: tuple[Authority, ...], where: str) -> _Certificate:
        leaf = read_leaf(content, where=where)
        check_leaf(leaf.certificate, Usage.CODE_SIGNING, where=where)
        found = [(authority, path_from(leaf.certificate, authority.certificates)) for authority in authorities]
        paths = tuple((authority, path) for authority, path in found if path)
        if not paths:
            raise AttestationError("chain-untrusted", "no configured authority issued the certificate", where=where)
        for _, path in paths:
            check_issuers(path, Usage.CODE_SIGNING, where=where)
        return cls(leaf=leaf, paths=paths)

    def path_at(self, times: tuple[ProvenTime, ...], where: str) -> tuple[x509.Certificate, ...]:
        """The path that was good at every one of these times."""
        refusal: AttestationError | None = None
        for authority, path in self.paths:
            try:
                for proven in times:
                    _check_trusted(authority, proven.time, where)
                    check_valid((self.leaf.certificate, *path), proven.time, where=where)
            except AttestationError as error:
                refusal = refusal or error
            else:
                return path
        raise refusal or AttestationError("chain-untrusted", "no configured authority issued it", where=where)


def _check_trusted(authority: Authority, time: datetime, where: str) -> None:
    if not authority.valid.covers(time):
        message = f"{authority} was not trusted at {rfc3339(time)}, when it was signed"
        raise AttestationError("chain-untrusted", message, where=where)


def check_signature(bundle: AnyBundle, key: PublicKey, artifact: Artifact | None, *, rsa_pss: bool = False) -> None:
    """That `key` made the bundle's signature over its statement, or over the file: `signature-invalid`.

    For a file also `subject-mismatch`, when the bundle says that it is about another one.
    """
    where = str(bundle.record)
    match bundle:
        case Bundle():
            verify_signature(key, bundle.signature, bundle.envelope.signed_bytes, where=where, rsa_pss=rsa_pss)
        case MessageBundle():
            if artifact is None:
                raise AttestationError("subject-mismatch", "it is about a file, and none was given", where=where)
            _check_digest(bundle, artifact, where)
            content = artifact.content
            verify_hashed(key, bundle.signature, artifact.digests, content, where=where, rsa_pss=rsa_pss)


def check_identity(proven: Proven, identity: KeylessIdentity, *, where: str = "") -> None:
    """That the certificate names issuer and subject, and says what is claimed, all of it byte for byte.

    Raises `identity-mismatch`, `issuer-mismatch`, `claim-mismatch`.
    """
    leaf = proven.leaf
    if leaf is None:
        raise AttestationError("key-material-mismatch", "signed with a key where a certificate must be", where=where)
    if not any(identity.is_named(name) for name in leaf.names):
        raise AttestationError("identity-mismatch", f"signed by {_shown(leaf.names)}, not by {identity}", where=where)
    if leaf.issuer != identity.issuer:
        raise AttestationError(
            "issuer-mismatch", f"vouched for by {_shown((leaf.issuer or '',))}, not by {identity.issuer}", where=where
        )
    for claim, value in identity.claims:
        said = leaf.claims.get(claim)
        if said != value:
            told = "says nothing" if said is None else f"says {_shown((said,))}"
            raise AttestationError(
                "claim-mismatch", f"for {claim} the certificate {told}, not {value!r:.200}", where=where
            )


def _check_digest(bundle: MessageBundle, artifact: Artifact, where: str) -> None:
    if bundle.message.digest is None:
        return
    algorithm, digest = bundle.message.digest
    if artifact.digests.get(algorithm) != digest:
        raise AttestationError("subject-mismatch", "the bundle is about another file", where=where)


def _signed(bundle: AnyBundle, artifact: Artifact | None, certificate: bytes | None, public_key: bytes) -> Signed:
    match bundle:
        case Bundle():
            covered = bundle.envelope.signed_bytes
            return Signed(
                signature=bundle.signature,
                certificate=certificate,
                public_key=public_key,
                envelope=bundle.envelope,
                digest_of=lambda name: new_hash(name, covered).digest(),
            )
        case MessageBundle():
            digests: Mapping[str, bytes] = {} if artifact is None else artifact.digests
            return Signed(
                signature=bundle.signature,
                certificate=certificate,
                public_key=public_key,
                envelope=None,
                digest_of=digests.get,
            )


def _enough(found: int, asked: int, what: str, where: str) -> None:
    if found < asked:
        raise AttestationError("threshold-not-met", f"{found} of {asked} distinct {what} vouch for it", where=where)


def _shown(names: tuple[str, ...]) -> str:
    """Names as they stand, with everything that is not ASCII as code points, so that look-alikes show (T038)."""
    return ", ".join(ascii(name)[1:-1] for name in names) or "nobody by name"
