"""A checkpoint is a log's signed word about its size and root; an inclusion proof ties an entry to such a root.

Source: C2SP signed-note and tlog-checkpoint; RFC 6962 section 2.1. Signatures of witnesses stand beside the log's and
are left aside, wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from attestations.envelope import from_base64
from attestations.errors import AttestationError
from attestations.keys import verify_signature
from attestations.trusted_root import Log
from registries.errors import Refusal
from registries.limits import CHECKPOINT_BYTES, CHECKPOINT_SIGNATURES

_HASH_BYTES: Final = 32
_HINT_BYTES: Final = 4
_LINES: Final = 3
_SIGNATURE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_TREE: Final = re.compile(r" - [0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature of a note: who says to have made it, the first bytes of the key's id, and the signature."""

    name: str
    hint: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as read; `text` is what the signatures cover."""

    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: tuple[NoteSignature, ...]

    @classmethod
    def from_text(cls, note: str, *, where: str = "") -> Checkpoint:
        """Read strictly: `checkpoint-invalid`, `limit-exceeded`."""
        if len(note) > CHECKPOINT_BYTES:
            raise AttestationError("limit-exceeded", f"a checkpoint of {len(note)} characters", where=where)
        text, separator, signed = note.partition("\n\n")
        lines = text.split("\n")
        if not separator or len(lines) < _LINES or not all(lines) or _UNPRINTABLE.search(note):
            raise _invalid("it is not origin, size and root, an empty line, and signatures", where)
        if not _SIZE.fullmatch(lines[1]):
            raise _invalid(f"its size is {lines[1]!r:.40}", where)
        return cls(
            origin=lines[0],
            size=int(lines[1]),
            root=_base64(lines[2], "its root", _HASH_BYTES, where),
            text=f"{text}\n".encode(),
            signatures=_signatures(signed, where),
        )

    def check(self, log: Log, *, named_by_url: bool, where: str = "") -> None:
        """That this log signed it, known by origin and key together: `checkpoint-invalid`.

        A log of Rekor v2 (`named_by_url`) signs under the host of its URL. One of Rekor v1 is known by its key, and
        its origin is the name that signs, followed by the number of the tree.
        """
        if named_by_url and self.origin.lower() != log.host:
            raise _invalid(f"it is of {self.origin!r:.80}, not of {log}", where)
        hint = log.checkpoint_key_id[:_HINT_BYTES]
        made = [one for one in self.signatures if one.hint == hint and self._is_origin(one.name, named_by_url)]
        if not made:
            raise _invalid(f"there is no signature of {log} on it", where)
        for signature in made:
            try:
                verify_signature(log.key, signature.signature, self.text, where=where)
            except AttestationError as error:
                raise _invalid(f"the signature of {log} does not fit it", where) from error

    def _is_origin(self, name: str, named_by_url: bool) -> bool:  # noqa: FBT001
        rest = self.origin.removeprefix(name)
        return self.origin == name or (not named_by_url and rest != self.origin and bool(_TREE.fullmatch(rest)))


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + entry).digest()


def root_from(entry: bytes, index: int, size: int, hashes: Sequence[bytes], *, where: str = "") -> bytes:
    """The root of a tree of `size` entries that has `entry` at `index` by this proof: `log-entry-invalid`."""
    if not 0 <= index < size:
        raise _no_proof(f"entry {index} is beyond a tree of {size}", where)
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    if len(hashes) != inner + border or not all(len(one) == _HASH_BYTES for one in hashes):
        raise _no_proof(f"{len(hashes)} hashes prove nothing about entry {index} of {size}", where)
    found = leaf_hash(entry)
    for level, other in enumerate(hashes):
        on_the_left = level >= inner or (index >> level) & 1
        found = _node(other, found) if on_the_left else _node(found, other)
    return found


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _signatures(signed: str, where: str) -> tuple[NoteSignature, ...]:
    lines = signed.split("\n")
    if lines.pop() or not lines:
        raise _invalid("its signatures do not each end a line", where)
    if len(lines) > CHECKPOINT_SIGNATURES:
        raise AttestationError("limit-exceeded", f"a checkpoint with {len(lines)} signatures", where=where)
    return tuple(_signature(line, where) for line in lines)


def _signature(line: str, where: str) -> NoteSignature:
    found = _SIGNATURE.fullmatch(line)
    if found is None:
        raise _invalid("a line that should be a signature is none", where)
    content = _base64(found[2], "a signature", None, where)
    if len(content) <= _HINT_BYTES:
        raise _invalid("a signature on it is empty", where)
    return NoteSignature(found[1], content[:_HINT_BYTES], content[_HINT_BYTES:])


def _base64(text: str, what: str, length: int | None, where: str) -> bytes:
    try:
        content = from_base64(text, what, where=where)
    except Refusal as error:
        raise _invalid(f"{what} is not base64", where) from error
    if length is not None and len(content) != length:
        raise _invalid(f"{what} has {len(content)} bytes, not {length}", where)
    return content


def _invalid(message: str, where: str) -> AttestationError:
    return AttestationError("checkpoint-invalid", f"the log's checkpoint: {message}", where=where)


def _no_proof(message: str, where: str) -> AttestationError:
    return AttestationError("log-entry-invalid", f"the inclusion proof: {message}", where=where)
