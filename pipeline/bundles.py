"""One bundle beside one file: who signed what, and when that is proven. The core of `samebits attest verify-bundle`."""

from __future__ import annotations

from dataclasses import dataclass

from attestations.bundle import Bundle, read_bundle
from attestations.bundle_verifier import Artifact, BundleVerifier, Proven, Requirements, check_identity
from attestations.errors import AttestationError
from attestations.identity import Identity, KeyIdentity
from attestations.keys import parse_public_key
from attestations.statement import Statement
from attestations.trusted_root import TrustedRoot
from registries.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """What was verified. `predicate_type` is None for the signature of a file."""

    record: Digest
    signer: Identity
    proven: Proven
    predicate_type: str | None


def verify_bundle(
    content: bytes, artifact: Artifact, *, signer: Identity, root: TrustedRoot, asked: Requirements, where: str = ""
) -> VerifiedBundle:
    """That `signer` signed this file, or a statement about it; else why not, each refusal with its own code."""
    bundle = read_bundle(content, where=where)
    verifier = BundleVerifier(root, asked)
    if isinstance(signer, KeyIdentity):
        proven = verifier.keyed(bundle, parse_public_key(signer.public_key, where=signer.name), asked, artifact)
    else:
        proven = verifier.certified(bundle, artifact)
        check_identity(proven, signer, where=where)
    predicate_type = _about(bundle, artifact) if isinstance(bundle, Bundle) else None
    return VerifiedBundle(record=bundle.record, signer=signer, proven=proven, predicate_type=predicate_type)


def _about(bundle: Bundle, artifact: Artifact) -> str:
    """The type of a statement that names the file by a digest which is known here: `subject-mismatch`."""
    statement = Statement.from_bytes(bundle.envelope.payload)
    known = {name: digest.hex() for name, digest in artifact.digests.items()}
    for subject in statement.subjects:
        shared = [(digest, known[name]) for name, digest in subject.digests.items() if name in known]
        if shared and all(one == other for one, other in shared):
            return statement.predicate_type
    raise AttestationError("subject-mismatch", "the statement is about another file", where=str(bundle.record))
