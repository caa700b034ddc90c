"""What may be written in a definition and in a trust file, key by key; the JSON Schema of both comes from here.

These are the files as written. What they mean is read by `pipeline.definition` and `pipeline.anchors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from attestations.identity import CLAIM_NAMES
from pipeline.decode import AnyWord, AtLeast, AtMost, ByName, Matches, Note, schema
from registries.digest import Digest
from registries.errors import UsageError
from stages.duration import Duration
from stages.gate import Gate
from stages.gates import GATES
from stages.reports import REPORTS

SCHEMA_ID: Final = "https://samebits.dev/schema/samebits.schema.json"

STAGES: Final = 100
STEPS: Final = 100

_DAY: Final = Duration(24, "h")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}:\d{2}(?:Z|[+-]\d{2}:\d{2}))?", re.ASCII)

Name = Annotated[str, Matches(r"[a-z][a-z0-9-]*", "lower-case letters, digits and dashes, beginning with a letter")]
Variable = Annotated[str, Matches(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")]
Produced = Annotated[str, Matches(r"[^/\0-\x1f\x7f][^\0-\x1f\x7f]*", "a file, relative to where the command runs")]
PredicateType = Annotated[str, Matches(r"[a-z][a-z0-9+.-]*://[!-~]+", "the URI of a predicate type")]
Certified = Annotated[str, Matches(r"[!-~]+", "ASCII text without spaces")]
EvidenceFormat = Annotated[str, AnyWord(tuple(sorted(REPORTS)))]
Claim = Annotated[str, Matches("|".join(CLAIM_NAMES), f"one of {', '.join(CLAIM_NAMES)}")]
Claims = Annotated[Mapping[Claim, Certified], Note("What the certificate must say of the workflow, exactly.")]
Revoked = Annotated[str, Matches(r"[a-z][a-z0-9-]*|sha256:[0-9a-f]{64}", "a signer's name or a key's fingerprint")]


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as people write it: a day, which stands for its beginning in UTC, or RFC 3339 with seconds and zone."""

    time: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2026-01-01` or `2026-01-01T08:00:00Z`; else `definition-invalid`."""
        try:
            time = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
            if time is not None:
                return cls(time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC))
        except (ValueError, OverflowError):
            pass  # a day or zone that does not exist
        raise UsageError("definition-invalid", f"{text!r:.40} is no time such as 2026-01-01 or 2026-01-01T08:00:00Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """When a signer may sign, both ends included; an end that is left out is open."""

    from_: Moment | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A signer known by a public key."""

    key: Annotated[str, Note("The public key, a PEM file named relative to this file.")]
    valid: Period = Period()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeylessEntry:
    """A signer known by a certificate: by its issuer and its subject, both compared as they stand."""

    issuer: Annotated[Certified, Note("The OIDC issuer.")]
    subject: Annotated[Certified, Note("The certificate's subject, whole; nothing in it is a wildcard.")]
    valid: Period = Period()
    claims: Claims = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternEntry:
    """Signers known by certificates of one issuer, whose subjects differ in the branch or tag of one workflow."""

    issuer: Annotated[Certified, Note("The OIDC issuer.")]
    subject_pattern: Annotated[
        Certified, Note("`https://HOST/OWNER/REPOSITORY/WORKFLOW@refs/tags/v*`; `*` is part of a name, never a `/`.")
    ]
    valid: Period = Period()
    claims: Claims = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsEntry:
    """A signer whose private key never leaves its keeper; it is known by the public key all the same."""

    key: Annotated[str, Note("The public key, a PEM file named relative to this file.")]
    kms: Annotated[
        str, Matches(r"[a-z][a-z0-9]*:[!-~]+", "a URI such as awskms:///…"), Note("Where the private key is: a remark.")
    ]
    valid: Period = Period()


SignerEntry = KeyEntry | KeylessEntry | KmsEntry | PatternEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersEntry:
    """Who must sign, and how many of them."""

    threshold: Annotated[int, AtLeast(1)]
    signers: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InImageEntry:
    """The command runs inside exactly this image, without a network and with a root that it can't write to."""

    network: Annotated[bool, Note("It has the engine's own network.")] = False
    writable: Annotated[bool, Note("It may write to the container's root; nothing of that is kept.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEntry:
    """Something that must happen to the image while it is in the stage, or to its source before it.

    A command that runs, a report, both; or what somebody else has attested about the image.
    """

    name: Name
    by: Annotated[tuple[Name, ...], Note("Whose record of the step counts.")]
    run: Annotated[str | None, Note("The command, for a shell. `{image}` stands for the image.")] = None
    evidence: Annotated[EvidenceFormat | None, Note("The format of the report that must be recorded.")] = None
    env: Annotated[tuple[Variable, ...], Note("The variables that the command gets beside PATH, HOME and LANG.")] = ()
    timeout: Annotated[Duration | None, Note("How long the command may run; 1h where nothing is said.")] = None
    produces: Annotated[tuple[Produced, ...], Note("Files that the command must make; their digests are signed.")] = ()
    exit_codes: Annotated[
        tuple[int, ...],
        Note("Exit codes that are no failure, beside 0: some scanners end so when they find something."),
    ] = ()
    in_image: Annotated[
        InImageEntry | None, Note("Run the command inside the image itself; `{}` for the strictest.")
    ] = None
    attested: Annotated[
        PredicateType | None, Note("The predicate type of an attestation about the image that is the step.")
    ] = None
    on: Annotated[Literal["source"] | None, Note("The step is done on the source commit, before the image exists.")] = (
        None
    )
    builders: Annotated[
        tuple[Name, ...],
        Note("With `on: source`: whose provenance ties commit and image; else those who admit to the entry stage."),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """One of several stages is enough."""

    any_of: tuple[Name, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlassEntry:
    """Who may let an image in although gates refuse it: two of them, and only for a time."""

    from_: Annotated[tuple[Name, ...], Note("Of these, two must approve; neither who built nor who promotes it.")]
    repair_within: Annotated[Duration, Note("How long such an admission counts.")] = _DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEntry:
    """A gate with its options, and what every gate may carry."""

    gate: Gate
    effective_on: Annotated[Moment | None, Note("Before this day the gate warns; from then on it blocks.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntry:
    """A place that an image can be admitted to."""

    name: Name
    registry: Annotated[
        str | tuple[str, ...], Note("`host[:port][/prefix]`, or several: the first one and its mirrors.")
    ]
    admit: Annotated[tuple[Name, ...], Note("Who may sign an admission to this stage.")]
    after: Annotated[
        tuple[Name, ...] | AnyOf | None,
        Note("The stages before: all of them, or any-of. Without it, images enter here."),
    ] = None
    gates: Annotated[
        Mapping[str, GateEntry] | None,
        ByName(GATES, "gate", beside=GateEntry),
        Note("What must be true of an image to be admitted; `{}` when the chain alone is enough."),
    ] = None
    steps: Annotated[tuple[StepEntry, ...], AtMost(STEPS), Note("What must happen here before the image goes on.")] = ()
    break_glass: Annotated[
        BreakGlassEntry | None, Note("Without it, nothing overrules a gate here, not even in an emergency.")
    ] = None
    tags: Annotated[tuple[str, ...], Note("The tags to set; `{source_tag}` is the tag the image came with.")] = (
        "{source_tag}",
    )

    @property
    def rules(self) -> Mapping[str, Gate]:
        """The gates by name."""
        return {name: entry.gate for name, entry in (self.gates or {}).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionFile:
    """The definition of a pipeline: its stages, their order and places, what each demands, and who may do what."""

    samebits: Annotated[Literal[1], Note("The version of this format.")]
    pipeline: Annotated[Name, Note("The pipeline's name; it never changes.")]
    version: Annotated[int, AtLeast(1), Note("Counts up with every change.")]
    previous: Annotated[Digest | None, Note("The SHA-256 of the definition file that this one replaces.")] = None
    image: Annotated[str, Note("The repository under each stage's registry.")]
    owners: Annotated[OwnersEntry, Note("Who signs this file.")]
    signers: Annotated[Mapping[Name, SignerEntry], Note("Everybody who may sign anything, by name.")]
    stages: Annotated[tuple[StageEntry, ...], AtMost(STAGES), Note("The stages; one of them is the entry.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedIdentity:
    """A keyless signer, whatever a definition calls it, whose records do not count from a time on."""

    issuer: Certified
    subject: Certified
    from_: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationsEntry:
    """What does not count any more."""

    digests: Annotated[tuple[Digest, ...], Note("Images that are not let in anywhere.")] = ()
    signers: Annotated[
        Mapping[Revoked, Moment], Note("Signers whose records do not count from a time on; a fingerprint is safest.")
    ] = field(default_factory=dict)
    identities: Annotated[
        tuple[RevokedIdentity, ...], Note("The same for keyless signers, by issuer and subject.")
    ] = ()
    stages: Annotated[
        Mapping[Name, Moment], Note("Stages that are stopped from a time on: nothing goes in, and nothing goes on.")
    ] = field(default_factory=dict)
    pipeline: Annotated[Moment | None, Note("The whole pipeline is stopped from this time on.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigstoreEntry:
    """Which certificates, logs and time stamps are believed, and how many must vouch for a certificate's signature."""

    trusted_root: Annotated[str, Note("The trusted root, a JSON file named relative to this file.")]
    digest: Annotated[Digest | None, Note("The SHA-256 of that file; a file with other bytes is refused.")] = None
    logs: Annotated[int, AtLeast(1), Note("Distinct transparency logs that must have the signature.")] = 1
    timestamps: Annotated[int, AtLeast(0), Note("Distinct timestamp authorities that must have seen it.")] = 0
    certificate_logs: Annotated[int, AtLeast(1), Note("Distinct logs that must promise the certificate.")] = 1
    unsafe_without_log: Annotated[bool, Note("No log is needed: only with an authority of one's own.")] = False
    unsafe_without_certificate_log: Annotated[bool, Note("No certificate log is needed: as above.")] = False
    rsa_pss: Annotated[bool, Note("RSA-PSS signatures count, which cosign does not verify.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFile:
    """What a run trusts before it reads anything else."""

    samebits_trust: Annotated[Literal[1], Note("The version of this format.")]
    pipeline: Name
    owners: Annotated[OwnersEntry, Note("Who must have signed the definition, and how many of them.")]
    signers: Annotated[Mapping[Name, SignerEntry], Note("The owners' keys.")]
    registries: Annotated[tuple[str, ...], Note("The registries, `host[:port]`, that a definition may name.")]
    revocations: RevocationsEntry = RevocationsEntry()
    sigstore: Annotated[SigstoreEntry | None, Note("Without it, nothing that a certificate signed is believed.")] = None


def definition_schema() -> dict[str, Any]:
    """The JSON Schema of a definition."""
    return schema(DefinitionFile, identifier=SCHEMA_ID, title="samebits pipeline definition")
