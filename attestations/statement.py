"""A statement says something about images known by their digests; its exact bytes are what gets signed.

Source: in-toto attestation framework v1, statement.md, resource_descriptor.md, digest_set.md. Statements of version 0.1
are read too, since `cosign attest` 3.1.3 still writes them; samebits writes version 1 with standard fields only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from attestations.commit import Commit
from attestations.errors import AttestationError
from attestations.fields import only, parse
from registries.digest import Digest
from registries.limits import BUNDLE_BYTES, DIGESTS_PER_SUBJECT, SUBJECTS_PER_STATEMENT
from registries.strict_json import dumps, kind, member_content

STATEMENT_V1: Final = "https://in-toto.io/Statement/v1"
STATEMENT_V01: Final = "https://in-toto.io/Statement/v0.1"
UNNAMED: Final = "_"
"""The name of a subject that has none: in-toto allows it, and sigstore refuses a subject without a name."""

_VERSIONS: Final = (STATEMENT_V1, STATEMENT_V01)
_MEMBERS: Final = ("_type", "subject", "predicateType", "predicate")
_SUBJECT_TEXTS: Final = ("name", "uri", "content", "downloadLocation", "mediaType")
_SUBJECT_MEMBERS: Final = (*_SUBJECT_TEXTS, "digest", "annotations")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about. Only the digests count; the name is a remark (in-toto, "matching by digest")."""

    name: str | None
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An in-toto statement. `content` is what was signed and is never written again."""

    content: bytes
    type: str
    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Mapping[str, Any]

    @property
    def predicate_content(self) -> bytes:
        """The exact bytes of the predicate, as they were signed."""
        return member_content(self.content, "predicate")

    @classmethod
    def from_bytes(cls, content: bytes) -> Statement:
        """Read strictly.

        Raises `payload-malformed`, `statement-version`, `field-unknown`, `limit-exceeded`, `json-ambiguous`.
        """
        value = parse(content, limit=BUNDLE_BYTES, malformed="payload-malformed")
        if not value:
            raise _malformed("the statement is an empty object")
        if value.get("_type") not in _VERSIONS:
            raise AttestationError("statement-version", f"the statement's `_type` is {value.get('_type')!r:.80}")
        only(value, _MEMBERS, "the statement")
        predicate_type, predicate = value.get("predicateType"), value.get("predicate")
        if not isinstance(predicate_type, str) or not predicate_type:
            raise _malformed("the statement's `predicateType` is missing or no string")
        if not isinstance(predicate, dict):
            raise _malformed(f"the statement's `predicate` is not an object, but {kind(predicate)}")
        return cls(
            content=content,
            type=value["_type"],
            subjects=_subjects(value.get("subject")),
            predicate_type=predicate_type,
            predicate=predicate,
        )

    @classmethod
    def about(
        cls,
        digest: Digest | Commit,
        *,
        predicate_type: str,
        predicate: Mapping[str, Any],
        name: str = UNNAMED,
        more: Sequence[Digest] = (),
    ) -> Statement:
        """A new statement about `digest`, and about `more` where it speaks for several. It is read back strictly."""
        names = (name, *(UNNAMED for _ in more))
        subjects = [
            {"name": name, "digest": {about.algorithm: about.hex}}
            for name, about in zip(names, (digest, *more), strict=True)
        ]
        value = {"_type": STATEMENT_V1, "subject": subjects, "predicateType": predicate_type, "predicate": predicate}
        try:
            content = dumps(value)
        except UnicodeEncodeError as error:
            raise AttestationError("json-ambiguous", "a text to be signed holds a lone surrogate") from error
        return cls.from_bytes(content)

    def names(self, digest: Digest | Commit) -> bool:
        """Whether one of the subjects, at any position, is this digest."""
        return any(subject.digests.get(digest.algorithm) == digest.hex for subject in self.subjects)


def _subjects(value: Any) -> tuple[Subject, ...]:
    if not isinstance(value, list) or not value:
        raise _malformed("the statement's `subject` is not a list with at least one entry")
    if len(value) > SUBJECTS_PER_STATEMENT:
        raise AttestationError(
            "limit-exceeded", f"{len(value)} subjects are more than the limit of {SUBJECTS_PER_STATEMENT}"
        )
    return tuple(_subject(entry, f"subject[{number}]") for number, entry in enumerate(value))


def _subject(value: Any, path: str) -> Subject:
    if not isinstance(value, dict):
        raise _malformed(f"{path} is not an object, but {kind(value)}")
    only(value, _SUBJECT_MEMBERS, path)
    for member in _SUBJECT_TEXTS:
        if not isinstance(value.get(member, ""), str):
            raise _malformed(f"{path}.{member} is no string")
    if not isinstance(value.get("annotations", {}), dict):
        raise _malformed(f"{path}.annotations is no object")
    digests = value.get("digest")
    if not isinstance(digests, dict) or not digests or not all(isinstance(item, str) for item in digests.values()):
        raise _malformed(f"{path}.digest does not map algorithms to digests")
    if len(digests) > DIGESTS_PER_SUBJECT:
        raise AttestationError(
            "limit-exceeded", f"{len(digests)} digests in {path} are more than the limit of {DIGESTS_PER_SUBJECT}"
        )
    return Subject(value.get("name"), digests)


def _malformed(message: str) -> AttestationError:
    return AttestationError("payload-malformed", message)
