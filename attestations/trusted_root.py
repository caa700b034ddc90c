"""The trusted root: which logs, certificate authorities and timestamp authorities are believed, and when.

Source: Sigstore protobuf-specs, `sigstore_trustroot.proto`, JSON form. It comes from a pinned file, never from a bundle
or a registry. Read strictly, with one allowance: `cosign trusted-root create` leaves empty lists out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final, TypeVar

from cryptography import x509

from attestations.certificates import load_certificate, signed_by
from attestations.envelope import from_base64
from attestations.errors import AttestationError
from attestations.fields import only, parse
from attestations.identity import Validity
from attestations.keys import PublicKey, encode, parse_public_key
from registries.digest import Digest
from registries.errors import Refusal
from registries.limits import TRUSTED_ROOT_BYTES
from registries.strict_json import kind

_MEDIA_TYPES: Final = (
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
)
_LISTS: Final = ("tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities")
_LOG: Final = ("baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator")
_AUTHORITY: Final = ("subject", "uri", "certChain", "validFor", "operator")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?Z", re.ASCII)
_URL: Final = re.compile(r"(?:https?://)?([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[!-~]*)?", re.ASCII)
_ENTRIES: Final = 256

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A transparency log, or a log of certificates (RFC 6962), known by its key. `host` is that of its base URL."""

    key_id: bytes
    checkpoint_key_id: bytes
    key: PublicKey
    public_key: bytes
    host: str
    valid: Validity

    def __str__(self) -> str:
        return f"{self.host or 'the log'} ({self.key_id.hex()[:16]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who issues certificates or time stamps: its certificates, each issued by the next, the root last."""

    uri: str
    certificates: tuple[x509.Certificate, ...]
    valid: Validity

    def __str__(self) -> str:
        return self.uri or self.certificates[0].subject.rfc4514_string()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRoot:
    """Everything that a run believes about Sigstore. `digest` is that of the file."""

    digest: Digest
    logs: Mapping[bytes, Log]
    certificate_logs: Mapping[bytes, Log]
    certificate_authorities: tuple[Authority, ...]
    timestamp_authorities: tuple[Authority, ...]

    @classmethod
    def from_bytes(cls, content: bytes, *, where: str = "") -> TrustedRoot:
        """Read strictly: `trust-root-malformed`, `size-limit`, `json-ambiguous`."""
        try:
            return cls._read(content)
        except (AttestationError, Refusal) as error:
            kept = ("size-limit", "json-ambiguous")
            code = error.code if error.code in kept else "trust-root-malformed"
            raise AttestationError(code, f"the trusted root: {error.reasons[0].message}", where=where) from error

    @classmethod
    def _read(cls, content: bytes) -> TrustedRoot:
        value = parse(content, limit=TRUSTED_ROOT_BYTES, malformed="trust-root-malformed")
        if value.get("mediaType") not in _MEDIA_TYPES:
            raise _malformed(f"{value.get('mediaType')!r:.80} is no version of a trusted root that can be read")
        only(value, ("mediaType", *_LISTS), "the trusted root")
        return cls(
            digest=Digest.of(content),
            logs=_logs(value, "tlogs"),
            certificate_logs=_logs(value, "ctlogs"),
            certificate_authorities=_each(value, "certificateAuthorities", _authority),
            timestamp_authorities=_each(value, "timestampAuthorities", _authority),
        )


def _logs(value: Mapping[str, Any], member: str) -> Mapping[bytes, Log]:
    found: dict[bytes, Log] = {}
    for log in _each(value, member, _log):
        if log is None:
            continue
        if log.key_id in found:
            raise _malformed(f"two entries of `{member}` have one log id")
        found[log.key_id] = log
    return found


def _log(value: Mapping[str, Any], path: str) -> Log | None:
    """A log, or None for one whose kind of key is not verified here: nothing that it signed will count."""
    only(value, _LOG, path)
    if value.get("hashAlgorithm") != "SHA2_256":
        raise _malformed(f"{path}.hashAlgorithm is not SHA2_256")
    public_key = _object(value, "publicKey", path)
    only(public_key, ("rawBytes", "keyDetails", "validFor"), f"{path}.publicKey")
    valid = _validity(public_key, f"{path}.publicKey")
    key_id = _key_id(value, "logId", path)
    key = _key(public_key, f"{path}.publicKey")
    if key is None:
        return None
    return Log(
        key_id=key_id,
        checkpoint_key_id=_key_id(value, "checkpointKeyId", path) if value.get("checkpointKeyId") else key_id,
        key=key,
        public_key=encode(key),
        host=_host(_text(value, "baseUrl", path), path),
        valid=valid,
    )


def _key(value: Mapping[str, Any], path: str) -> PublicKey | None:
    _text(value, "keyDetails", path)
    try:
        return parse_public_key(_bytes(value, "rawBytes", path), where=path)
    except AttestationError as error:
        if error.code == "algorithm-not-allowed":
            return None
        raise


def _key_id(value: Mapping[str, Any], member: str, path: str) -> bytes:
    found = _object(value, member, path)
    only(found, ("keyId",), f"{path}.{member}")
    key_id = _bytes(found, "keyId", f"{path}.{member}")
    if len(key_id) < 4:  # noqa: PLR2004  what a checkpoint's hint is taken from
        raise _malformed(f"{path}.{member} is too short")
    return key_id


def _authority(value: Mapping[str, Any], path: str) -> Authority:
    only(value, _AUTHORITY, path)
    chain = _object(value, "certChain", path)
    only(chain, ("certificates",), f"{path}.certChain")
    certificates = _each(chain, "certificates", _certificate, f"{path}.certChain")
    if not certificates:
        raise _malformed(f"{path} has no certificate")
    for number, (certificate, issuer) in enumerate(pairwise(certificates)):
        if not signed_by(certificate, issuer):
            raise _malformed(f"{path}: certificate {number} was not issued by the one after it")
    uri = value.get("uri", "")
    if not isinstance(uri, str):
        raise _malformed(f"{path}.uri is no string")
    return Authority(uri=uri, certificates=certificates, valid=_validity(value, path))


def _certificate(value: Mapping[str, Any], path: str) -> x509.Certificate:
    only(value, ("rawBytes",), path)
    return load_certificate(_bytes(value, "rawBytes", path), where=path)


def _validity(value: Mapping[str, Any], path: str) -> Validity:
    """A closed interval. A start must be there: a bound that is missing must not read as no bound."""
    period = _object(value, "validFor", path)
    only(period, ("start", "end"), f"{path}.validFor")
    end = period.get("end")
    start = _time(period.get("start"), f"{path}.validFor.start")
    return Validity(start=start, end=None if end is None else _time(end, f"{path}.validFor.end"))


def _time(value: Any, path: str) -> datetime:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise _malformed(f"{path} is no time of the form 2026-11-23T22:40:30Z")
    whole, _, fraction = value[:-1].partition(".")
    try:
        return datetime.fromisoformat(whole).replace(microsecond=int(fraction[:6].ljust(6, "0")), tzinfo=UTC)
    except ValueError as error:
        raise _malformed(f"{path} is no time: {error}") from error


def _host(url: str, path: str) -> str:
    """The host of a URL, without its port: what a checkpoint of Rekor v2 names as its origin."""
    found = _URL.fullmatch(url)
    if found is None:
        raise _malformed(f"{path}.baseUrl is no URL")
    return found[1].lower()


def _each(
    value: Mapping[str, Any], member: str, read: Callable[[Mapping[str, Any], str], T], within: str = ""
) -> tuple[T, ...]:
    found = value.get(member, [])
    path = f"{within}.{member}" if within else member
    if not isinstance(found, list) or len(found) > _ENTRIES:
        raise _malformed(f"{path} is no list of at most {_ENTRIES} entries")
    for number, item in enumerate(found):
        if not isinstance(item, dict):
            raise _malformed(f"{path}[{number}] is not an object, but {kind(item)}")
    return tuple(read(item, f"{path}[{number}]") for number, item in enumerate(found))


def _object(value: Mapping[str, Any], member: str, path: str) -> Mapping[str, Any]:
    found = value.get(member)
    if not isinstance(found, dict):
        raise _malformed(f"{path}.{member} is not an object, but {kind(found)}")
    return found


def _text(value: Mapping[str, Any], member: str, path: str) -> str:
    found = value.get(member)
    if not isinstance(found, str):
        raise _malformed(f"{path}.{member} is not a string, but {kind(found)}")
    return found


def _bytes(value: Mapping[str, Any], member: str, path: str) -> bytes:
    return from_base64(value.get(member), f"{path}.{member}")


def _malformed(message: str) -> AttestationError:
    return AttestationError("trust-root-malformed", message)
