"""An entry of a transparency log: that the log has it, and that it is about this very signature and nothing else.

Source: Sigstore protobuf-specs, `sigstore_rekor.proto`; Rekor v1's types `hashedrekord`, `dsse` and `intoto`; Rekor
v2's `hashedrekord` 0.0.2. An entry that is genuine but about something else is the classic way around a log
(CVE-2022-36056, CVE-2026-22703): digest, signature and key are each compared on their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256, sha384, sha512
from types import MappingProxyType
from typing import Any, Final

from attestations.bundle import BUNDLE_V01
from attestations.checkpoints import Checkpoint, root_from
from attestations.envelope import Envelope, from_base64, to_base64
from attestations.errors import AttestationError
from attestations.fields import only
from attestations.keys import verify_signature
from attestations.trusted_root import Log
from registries.errors import ContentError
from registries.limits import BUNDLE_BYTES, HASHES_PER_PROOF
from registries.strict_json import dumps, kind, loads_object

_V2: Final = ("hashedrekord", "0.0.2")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LARGEST: Final = 2**53
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999
_PEM: Final = re.compile(
    r"-----BEGIN (CERTIFICATE|PUBLIC KEY)-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END \1-----(?:\r?\n)*", re.ASCII
)
_HASHES: Final = MappingProxyType({"SHA2_256": sha256, "SHA2_384": sha384, "SHA2_512": sha512})
_HASHES_V1: Final = MappingProxyType({"sha256": sha256, "sha384": sha384, "sha512": sha512})
_ENTRY: Final = (
    "logIndex",
    "logId",
    "kindVersion",
    "integratedTime",
    "inclusionPromise",
    "inclusionProof",
    "canonicalizedBody",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What an entry has to be about: the signature, who made it, and what it covers.

    `certificate` or else `public_key` is given, both DER. `envelope` is that of a statement, None for a file.
    `digest_of(hash)` is the hash of the bytes that the signature covers, or None where only another one is known.
    """

    signature: bytes
    certificate: bytes | None
    public_key: bytes
    envelope: Envelope | None
    digest_of: Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """Where the entry stands in its tree, and the way up to the root. `checkpoint` is None in some v0.1 bundles."""

    index: int
    size: int
    root: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry as the bundle brings it. `integrated` is unsigned unless `check` returns it."""

    index: int
    log_id: bytes
    kind: tuple[str, str]
    integrated: int
    promise: bytes | None
    proof: InclusionProof | None
    body: bytes

    @classmethod
    def read(cls, value: Mapping[str, Any], media_type: str, *, where: str = "") -> LogEntry:
        """From the bundle's JSON: `log-entry-invalid`, `limit-exceeded`, `field-unknown`, `payload-encoding`.

        A bundle of version 0.1 must bring the log's promise, a later one the proof with a checkpoint.
        """
        only(value, _ENTRY, "a log entry", where=where)
        version = _object(value, "kindVersion", where)
        only(version, ("kind", "version"), "`kindVersion`", where=where)
        log_id = _object(value, "logId", where)
        only(log_id, ("keyId",), "`logId`", where=where)
        entry = cls(
            index=_number(value, "logIndex", where),
            log_id=_base64(log_id.get("keyId"), "the log's id", where),
            kind=(_text(version, "kind", where), _text(version, "version", where)),
            integrated=0 if value.get("integratedTime") is None else _number(value, "integratedTime", where),
            promise=_promise(value, where),
            proof=_proof(value, where),
            body=_base64(value.get("canonicalizedBody"), "the log entry", where),
        )
        if media_type == BUNDLE_V01 and entry.promise is None:
            raise _invalid("a bundle of version 0.1 must bring the log's promise", where)
        if media_type != BUNDLE_V01 and (entry.proof is None or entry.proof.checkpoint is None):
            raise _invalid("there is no inclusion proof with a checkpoint", where)
        return entry

    @property
    def is_v2(self) -> bool:
        """Whether Rekor v2 made it: it has no time and promises nothing."""
        return self.kind == _V2

    def check(self, log: Log, signed: Signed, *, where: str = "") -> datetime | None:
        """That the log has the entry and that it is about `signed`; the time that the log promised, if it did.

        Raises `log-entry-invalid`, `checkpoint-invalid`, `log-entry-mismatch`.
        """
        self._check_body(signed, where)
        if self.proof is not None:
            self._check_proof(self.proof, log, where)
        if self.promise is None:
            return None
        return self._check_promise(self.promise, log, where)

    def _check_proof(self, proof: InclusionProof, log: Log, where: str) -> None:
        if self.is_v2 and proof.index != self.index:
            raise _invalid(f"entry {self.index} comes with a proof about entry {proof.index}", where)
        if root_from(self.body, proof.index, proof.size, proof.hashes, where=where) != proof.root:
            raise _invalid("the inclusion proof does not lead to its root", where)
        if proof.checkpoint is None:
            return
        checkpoint = Checkpoint.from_text(proof.checkpoint, where=where)
        checkpoint.check(log, named_by_url=self.is_v2, where=where)
        if (checkpoint.size, checkpoint.root) != (proof.size, proof.root):
            raise AttestationError(
                "checkpoint-invalid", "the log's checkpoint is about another tree than the proof", where=where
            )

    def _check_promise(self, promise: bytes, log: Log, where: str) -> datetime:
        """The signed entry timestamp: over RFC 8785 JSON, whose members are in this order."""
        if self.is_v2:
            raise _invalid("Rekor v2 promises nothing", where)
        payload = {
            "body": to_base64(self.body),
            "integratedTime": self.integrated,
            "logID": self.log_id.hex(),
            "logIndex": self.index,
        }
        try:
            verify_signature(log.key, promise, dumps(payload), where=where)
        except AttestationError as error:
            raise _invalid("the log's promise does not fit it", where) from error
        time = datetime.fromtimestamp(min(self.integrated, _LAST_SECOND), UTC)
        if not log.valid.covers(time):
            raise _invalid(f"it was logged at {time.isoformat()}, when the key of {log} was not valid", where)
        return time

    def _check_body(self, signed: Signed, where: str) -> None:
        try:
            body = loads_object(self.body, limit=BUNDLE_BYTES)
        except ContentError as error:
            raise _invalid(f"its body: {error.reasons[0].message}", where) from error
        if (body.get("kind"), body.get("apiVersion")) != self.kind:
            raise _invalid("it is of another kind than the bundle says", where)
        compare = _KINDS.get(self.kind)
        if compare is None:
            raise _invalid(f"entries of kind {' '.join(self.kind)!r:.60} are not read", where)
        compare(_object(body, "spec", where), signed, where)


def _hashedrekord_v1(spec: Mapping[str, Any], signed: Signed, where: str) -> None:
    """Over a file, or over the encoding of an envelope that its signature covers."""
    digest = _object(_object(spec, "data", where), "hash", where)
    signature = _object(spec, "signature", where)
    hashed = _HASHES_V1.get(_text(digest, "algorithm", where))
    if hashed is None or _text(digest, "value", where) != _hex(signed.digest_of(_text(digest, "algorithm", where))):
        raise _other("content", where)
    if _bytes(signature, "content", where) != signed.signature:
        raise _other("signature", where)
    _same_key(_object(signature, "publicKey", where).get("content"), signed, where)


def _hashedrekord_v2(spec: Mapping[str, Any], signed: Signed, where: str) -> None:
    """Over a file, or over the encoding of an envelope; every member is known, so every one is compared."""
    only(spec, ("hashedRekordV002",), "the log entry", where=where)
    found = _object(spec, "hashedRekordV002", where)
    only(found, ("data", "signature"), "the log entry", where=where)
    data, signature = _object(found, "data", where), _object(found, "signature", where)
    only(data, ("algorithm", "digest"), "the log entry's data", where=where)
    only(signature, ("content", "verifier"), "the log entry's signature", where=where)
    hashed = _HASHES.get(_text(data, "algorithm", where))
    if hashed is None or _bytes(data, "digest", where) != signed.digest_of(hashed().name):
        raise _other("content", where)
    if _bytes(signature, "content", where) != signed.signature:
        raise _other("signature", where)
    verifier = _object(signature, "verifier", where)
    _text(verifier, "keyDetails", where)
    member, expected = (
        ("publicKey", signed.public_key) if signed.certificate is None else ("x509Certificate", signed.certificate)
    )
    if (
        set(verifier) != {"keyDetails", member}
        or _bytes(_object(verifier, member, where), "rawBytes", where) != expected
    ):
        raise _other("key", where)


def _dsse_v1(spec: Mapping[str, Any], signed: Signed, where: str) -> None:
    """NOTE: `envelopeHash` is over JSON as it was uploaded, which nobody has any more; the other fields say it all."""
    _same_payload(spec, signed, where)
    signatures = _objects(spec, "signatures", where)
    if len(signatures) != 1 or _bytes(signatures[0], "signature", where) != signed.signature:
        raise _other("signature", where)
    _same_key(signatures[0].get("verifier"), signed, where)


def _intoto_v001(spec: Mapping[str, Any], signed: Signed, where: str) -> None:
    """This kind holds no signature, but the hash of the envelope: it must be one of the forms that clients uploaded."""
    content = _object(spec, "content", where)
    _same_payload(content, signed, where)
    digest = _object(content, "hash", where)
    uploaded = {sha256(form).hexdigest() for form in _uploaded(signed.envelope)} if signed.envelope else set()
    if digest.get("algorithm") != "sha256" or digest.get("value") not in uploaded:
        raise _other("signature", where)
    _same_key(spec.get("publicKey"), signed, where)


def _intoto_v002(spec: Mapping[str, Any], signed: Signed, where: str) -> None:
    """The signature is base64 twice over."""
    content = _object(spec, "content", where)
    _same_payload(content, signed, where)
    envelope = _object(content, "envelope", where)
    if signed.envelope is not None and envelope.get("payloadType") != signed.envelope.payload_type:
        raise _other("payload type", where)
    signatures = _objects(envelope, "signatures", where)
    if len(signatures) != 1 or _bytes(signatures[0], "sig", where) != to_base64(signed.signature).encode():
        raise _other("signature", where)
    _same_key(signatures[0].get("publicKey"), signed, where)


_Compare = Callable[[Mapping[str, Any], Signed, str], None]
_KINDS: Final[Mapping[tuple[str, str], _Compare]] = MappingProxyType(
    {
        ("hashedrekord", "0.0.1"): _hashedrekord_v1,
        _V2: _hashedrekord_v2,
        ("dsse", "0.0.1"): _dsse_v1,
        ("intoto", "0.0.1"): _intoto_v001,
        ("intoto", "0.0.2"): _intoto_v002,
    }
)


def _same_payload(value: Mapping[str, Any], signed: Signed, where: str) -> None:
    digest = _object(value, "payloadHash", where)
    if signed.envelope is None:
        raise _other("content", where)
    expected = sha256(signed.envelope.payload).hexdigest()
    if digest.get("algorithm") != "sha256" or digest.get("value") != expected:
        raise _other("content", where)


def _same_key(value: Any, signed: Signed, where: str) -> None:
    """A PEM certificate or key in base64, which must be the one of the signature, byte for byte."""
    try:
        found = _PEM.fullmatch(_base64(value, "the entry's key", where).decode("ascii"))
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise _invalid("its key is neither one certificate nor one public key in PEM form", where)
    content = _base64("".join(found[2].split()), "the entry's key", where)
    label, expected = (
        ("PUBLIC KEY", signed.public_key) if signed.certificate is None else ("CERTIFICATE", signed.certificate)
    )
    if found[1] != label or content != expected:
        raise _other("key", where)


def _uploaded(envelope: Envelope) -> tuple[bytes, ...]:
    """The envelope as JSON, as go-securesystemslib and sigstore-python write it."""
    payload, sig = to_base64(envelope.payload), to_base64(envelope.signature)
    forms = ({"keyid": "", "sig": sig}, {"sig": sig})
    return (
        *(dumps({"payloadType": envelope.payload_type, "payload": payload, "signatures": [form]}) for form in forms),
        *(dumps({"payload": payload, "payloadType": envelope.payload_type, "signatures": [form]}) for form in forms),
    )


def _promise(value: Mapping[str, Any], where: str) -> bytes | None:
    if value.get("inclusionPromise") is None:
        return None
    found = _object(value, "inclusionPromise", where)
    only(found, ("signedEntryTimestamp",), "`inclusionPromise`", where=where)
    return _base64(found.get("signedEntryTimestamp"), "the log's promise", where)


def _proof(value: Mapping[str, Any], where: str) -> InclusionProof | None:
    if value.get("inclusionProof") is None:
        return None
    found = _object(value, "inclusionProof", where)
    only(found, ("logIndex", "rootHash", "treeSize", "hashes", "checkpoint"), "`inclusionProof`", where=where)
    hashes = found.get("hashes", [])
    if not isinstance(hashes, list):
        raise _invalid("`hashes` is no list", where)
    if len(hashes) > HASHES_PER_PROOF:
        raise AttestationError("limit-exceeded", f"an inclusion proof of {len(hashes)} hashes", where=where)
    checkpoint: str | None = None
    if found.get("checkpoint") is not None:
        note = _object(found, "checkpoint", where)
        only(note, ("envelope",), "`checkpoint`", where=where)
        checkpoint = _text(note, "envelope", where)
    return InclusionProof(
        index=_number(found, "logIndex", where),
        size=_number(found, "treeSize", where),
        root=_base64(found.get("rootHash"), "the root", where),
        hashes=tuple(_base64(item, "a hash of the proof", where) for item in hashes),
        checkpoint=checkpoint,
    )


def _number(value: Mapping[str, Any], member: str, where: str) -> int:
    """A number as protobuf's JSON writes 64 bits: a string of digits; a plain number is read too. Absent is 0."""
    found = value.get(member, 0)
    if isinstance(found, str) and _NUMBER.fullmatch(found):
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _LARGEST:
        raise _invalid(f"`{member}` is {found!r:.40}, no whole number", where)
    return found


def _object(value: Mapping[str, Any], member: str, where: str) -> Mapping[str, Any]:
    found = value.get(member)
    if not isinstance(found, dict):
        raise _invalid(f"`{member}` is not an object, but {kind(found)}", where)
    return found


def _objects(value: Mapping[str, Any], member: str, where: str) -> list[Mapping[str, Any]]:
    found = value.get(member)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _invalid(f"`{member}` is no list of objects", where)
    return found


def _text(value: Mapping[str, Any], member: str, where: str) -> str:
    found = value.get(member)
    if not isinstance(found, str):
        raise _invalid(f"`{member}` is not a string, but {kind(found)}", where)
    return found


def _bytes(value: Mapping[str, Any], member: str, where: str) -> bytes:
    return _base64(value.get(member), f"the log entry's `{member}`", where)


def _base64(value: Any, what: str, where: str) -> bytes:
    try:
        return from_base64(value, what, where=where)
    except AttestationError as error:
        raise _invalid(error.reasons[0].message, where) from error


def _hex(digest: bytes | None) -> str:
    return "" if digest is None else digest.hex()


def _invalid(message: str, where: str) -> AttestationError:
    return AttestationError("log-entry-invalid", f"the log entry: {message}", where=where)


def _other(what: str, where: str) -> AttestationError:
    return AttestationError("log-entry-mismatch", f"the log entry is about another {what}", where=where)
