"""The pinned trust file: whose signatures make a definition believed, which registries it may name, what was revoked.

It comes from outside of what it judges: never from a registry, and never from the current folder unless it is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from attestations.errors import AttestationError
from attestations.identity import Identity, KeyIdentity, KeylessIdentity, Role, Validity
from attestations.keys import load_public_key
from attestations.subject_pattern import SubjectPattern
from attestations.verify import Verified
from pipeline.decode import decode, suggestion
from pipeline.schema import (
    KeyEntry,
    KeylessEntry,
    KmsEntry,
    OwnersEntry,
    PatternEntry,
    Period,
    SignerEntry,
    SigstoreEntry,
    TrustFile,
)
from pipeline.yaml_nodes import Document, parse
from registries.digest import Digest
from registries.errors import Reason, Refusal, UsageError
from registries.reference import check_registry

if TYPE_CHECKING:
    from attestations.bundle_verifier import Sigstore

ReadFile = Callable[[str], bytes]

_FILE_NAME = re.compile(r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """What does not count any more: images by digest, signers from a time on; and what is stopped until that is lifted.

    `signers` are names and key fingerprints; `identities` are (issuer, subject, from when). `stages` are those that are
    stopped, each from a time on; under the empty name it is the whole pipeline.
    """

    digests: frozenset[Digest] = frozenset()
    signers: Mapping[str, datetime] = field(default_factory=dict)
    identities: tuple[tuple[str, str, datetime], ...] = ()
    stages: Mapping[str, datetime] = field(default_factory=dict)

    def stopped(self, stages: Iterable[str], now: datetime) -> tuple[Reason, ...]:
        """Why nothing may be let into these stages, nor go on from them, now."""
        names = ("", *dict.fromkeys(stages))
        since = {name: self.stages[name] for name in names if name in self.stages and self.stages[name] <= now}
        return tuple(
            Reason(
                "stage-stopped",
                f"{name or 'the whole pipeline'} is stopped since {time.isoformat()} by the pinned trust file",
                name or "pipeline",
                "ask whoever keeps the trust file; nothing goes in or on until the stop is taken out of it",
            )
            for name, time in since.items()
        )

    def image(self, digest: Digest) -> Reason | None:
        """Why this image is not let in, if it was revoked."""
        if digest not in self.digests:
            return None
        return Reason("digest-revoked", "the image was revoked by the pinned trust file", str(digest))

    def reason_for(self, verified: Verified) -> Reason | None:
        """Why a record does not count: its signer was revoked before it, or nothing proves that it was not (T042)."""
        since = self._since(verified)
        if since is None or (verified.proved_time is not None and verified.proved_time < since):
            return None
        when = "nothing proves that it was signed before" if verified.proved_time is None else "it was signed later"
        message = f"{verified.signer} was revoked from {since.isoformat()} on, and {when}"
        return Reason("key-revoked", message, str(verified.record))

    def _since(self, verified: Verified) -> datetime | None:
        """A pattern stands for many: whom the certificate names is asked, and the pattern where none is known."""
        signer = verified.signer
        names, who = [signer.name], set[tuple[str, str]]()
        match signer:
            case KeyIdentity():
                names.append(str(signer.fingerprint))
            case KeylessIdentity():
                who = {(signer.issuer, subject) for subject in (signer.subject, *verified.subjects)}
        named = [self.signers[name] for name in names if name in self.signers]
        known = [since for issuer, subject, since in self.identities if (issuer, subject) in who]
        return min((*named, *known), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What a run trusts before it reads anything else."""

    path: str
    pipeline: str
    owners: Role
    registries: tuple[str, ...]
    revocations: Revocations
    sigstore: Sigstore | None = None


def read(content: bytes, *, path: str, read_file: ReadFile) -> Anchors:
    """Read a trust file; `DefinitionError` with every fault. Key files are named relative to it."""
    document = parse(content, path=path)
    file = decode(document, TrustFile)
    signers = Signers.read(document, file.signers, read_file)
    owners = signers.owners(document, file.owners)
    for number, host in enumerate(file.registries):
        try:
            check_registry(host, host)
        except UsageError as error:
            document.faults.add(document.at("registries", number), str(error))
    sigstore = _sigstore(document, file.sigstore, read_file)
    document.faults.refuse()
    return Anchors(
        path=path,
        pipeline=file.pipeline,
        owners=owners,
        registries=tuple(host.lower() for host in file.registries),
        revocations=Revocations(
            digests=frozenset(file.revocations.digests),
            signers={name: moment.time for name, moment in file.revocations.signers.items()},
            identities=tuple((one.issuer, one.subject, one.from_.time) for one in file.revocations.identities),
            stages={
                **({"": file.revocations.pipeline.time} if file.revocations.pipeline else {}),
                **{name: moment.time for name, moment in file.revocations.stages.items()},
            },
        ),
        sigstore=sigstore,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The signers of one file by name. Those without an identity are named too: by a key with a fault."""

    names: tuple[str, ...]
    identities: Mapping[str, Identity]
    materials: tuple[tuple[str, Digest], ...]

    @classmethod
    def read(cls, document: Document, entries: Mapping[str, SignerEntry], read_file: ReadFile) -> Signers:
        """Read the key files; a signer that is there under two names is a fault (T100)."""
        identities: dict[str, Identity] = {}
        materials: dict[str, Digest] = {}
        known: dict[object, str] = {}
        for name, entry in entries.items():
            valid = _validity(document, name, entry.valid)
            match entry:
                case KeyEntry() | KmsEntry():
                    content = _key_file(document, name, entry.key, read_file)
                    if content is None:
                        continue
                    materials[entry.key] = Digest.of(content[0])
                    identities[name] = KeyIdentity(name=name, public_key=content[1], valid=valid)
                case KeylessEntry():
                    _no_wildcard(document, name, entry.subject)
                    identities[name] = KeylessIdentity(
                        name=name,
                        issuer=entry.issuer,
                        subject=entry.subject,
                        valid=valid,
                        claims=tuple(entry.claims.items()),
                    )
                case PatternEntry():
                    pattern = _pattern(document, name, entry.subject_pattern)
                    if pattern is None:
                        continue
                    identities[name] = KeylessIdentity(
                        name=name,
                        issuer=entry.issuer,
                        subject=entry.subject_pattern,
                        valid=valid,
                        pattern=pattern,
                        claims=tuple(entry.claims.items()),
                    )
            same = identities[name].who
            if same in known:
                message = f"`{name}` is the same signer as `{known[same]}`; one signer has one name"
                document.faults.add(document.key_at("signers", name), message)
            known.setdefault(same, name)
        _overlaps(document, identities)
        return cls(
            names=tuple(entries),
            identities=identities,
            materials=tuple(sorted(materials.items())),
        )

    def role(
        self, document: Document, steps: tuple[str | int, ...], title: str, names: Sequence[str], threshold: int = 1
    ) -> Role:
        """The role of these names, which stand as a list at `steps`."""
        self.check(document, steps, names)
        found = tuple(self.identities[name] for name in names if name in self.identities)
        return Role(name=title, signers=found, threshold=threshold)

    def owners(self, document: Document, entry: OwnersEntry) -> Role:
        """The owners; no more of them can be asked for than there are."""
        if entry.threshold > len(entry.signers):
            message = f"the threshold is {entry.threshold}, and there are {len(entry.signers)} owners"
            document.faults.add(document.at("owners", "threshold"), message)
        for number, name in enumerate(entry.signers):
            owner = self.identities.get(name)
            if isinstance(owner, KeylessIdentity) and owner.pattern is not None:
                at = document.at("owners", "signers", number)
                document.faults.add(at, f"the owner `{name}` is a pattern; an owner is one", code="policy-too-wide")
        return self.role(document, ("owners", "signers"), "owners", entry.signers, entry.threshold)

    def check(self, document: Document, steps: tuple[str | int, ...], names: Sequence[str]) -> None:
        """Every name is a signer."""
        for number, name in enumerate(names):
            at = document.at(*steps, number)
            if name not in self.names:
                document.faults.add(at, f"there is no signer `{name}`", hint=suggestion(name, self.names))


def _sigstore(document: Document, entry: SigstoreEntry | None, read_file: ReadFile) -> Sigstore | None:
    """The pinned trusted root with what is asked, or None after telling what is wrong with the file."""
    if entry is None:
        return None
    at = document.at("sigstore", "trusted-root")
    if not _FILE_NAME.fullmatch(entry.trusted_root):
        message = f"{entry.trusted_root!r:.80} is no path to a file beside or below this one"
        document.faults.add(at, message, code="name-unsafe", hint="trusted_root.json")
        return None
    from attestations.bundle_verifier import Requirements, Sigstore
    from attestations.trusted_root import TrustedRoot

    asked = Requirements(
        logs=entry.logs,
        timestamps=entry.timestamps,
        certificate_logs=entry.certificate_logs,
        rsa_pss=entry.rsa_pss,
    )
    asked = asked.unsafe_without_log() if entry.unsafe_without_log else asked
    asked = asked.unsafe_without_certificate_log() if entry.unsafe_without_certificate_log else asked
    try:
        content = read_file(entry.trusted_root)
        if entry.digest is not None and Digest.of(content) != entry.digest:
            message = f"{entry.trusted_root} is {Digest.of(content)}, not {entry.digest}"
            document.faults.add(document.at("sigstore", "digest"), message, code="trust-root-mismatch")
            return None
        return Sigstore(root=TrustedRoot.from_bytes(content), requirements=asked)
    except Refusal as error:
        reason = error.reasons[0]
        document.faults.add(at, f"{entry.trusted_root}: {reason.message}", code=reason.code, hint=reason.hint)
        return None


def _key_file(document: Document, name: str, path: str, read_file: ReadFile) -> tuple[bytes, bytes] | None:
    """The content of a key file and the key in it, or None after telling why not."""
    at = document.at("signers", name, "key")
    if not _FILE_NAME.fullmatch(path):
        message = f"{path!r:.80} is no path to a file beside or below this one"
        document.faults.add(at, message, code="name-unsafe", hint="keys/NAME.pub")
        return None
    try:
        content = read_file(path)
        return content, load_public_key(content)
    except Refusal as error:
        reason = error.reasons[0]
        document.faults.add(at, f"{path}: {reason.message}", code=reason.code, hint=reason.hint)
        return None


def _overlaps(document: Document, identities: Mapping[str, Identity]) -> None:
    """A pattern that means another signer too would let one signer count as two (T100).

    Claims are not looked at: that they tell the two apart would have to be proven for every certificate.
    """
    people = [one for one in identities.values() if isinstance(one, KeylessIdentity)]
    for one in people:
        for other in people:
            if one is not other and one.issuer == other.issuer and one.pattern and one.pattern.overlaps(other.subject):
                message = f"`{one.name}` may mean `{other.name}` too; one signer has one name"
                at = document.at("signers", one.name, "subject-pattern")
                document.faults.add(at, message, code="policy-too-wide")


def _pattern(document: Document, name: str, text: str) -> SubjectPattern | None:
    try:
        return SubjectPattern.parse(text)
    except AttestationError as error:
        at = document.at("signers", name, "subject-pattern")
        document.faults.add(at, error.reasons[0].message, code=error.code, hint="…@refs/tags/v*")
        return None


def _no_wildcard(document: Document, name: str, subject: str) -> None:
    if "@refs/pull/" in subject:
        message = "a pull request is whoever opens one; name a branch or tag"
        document.faults.add(document.at("signers", name, "subject"), message, code="policy-too-wide")
    if "*" in subject:
        message = "the subject is compared as it stands, and `*` matches nothing else; name the branch or tag"
        document.faults.add(document.at("signers", name, "subject"), message, code="policy-too-wide")


def _validity(document: Document, name: str, period: Period) -> Validity:
    start, end = (moment.time if moment else None for moment in (period.from_, period.until))
    if start is not None and end is not None and end <= start:
        document.faults.add(document.at("signers", name, "valid", "until"), "`until` is not later than `from`")
    return Validity(start=start, end=end)
