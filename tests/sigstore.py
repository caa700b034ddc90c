"""A Sigstore in this process: authorities, logs and a clock that a test may bend; its bundles are real ones.

A certificate authority with certificate timestamps (RFC 6962), transparency logs in the forms of Rekor v1 and v2 with
inclusion proofs, checkpoints and promises, and timestamp authorities (RFC 3161). That sigstore-python and cosign accept
what it makes is shown in tests/conformance/test_fake_sigstore.py: it does not flatter the verifier it was written for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from attestations.envelope import PAYLOAD_TYPE, pae, to_base64

Sha2 = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
IDENTITY = "https://github.com/acme/shop/.github/workflows/build.yml@refs/heads/main"
ISSUER = "https://token.actions.githubusercontent.com"
FORMS = ("hashedrekord 0.0.1", "hashedrekord 0.0.2", "dsse 0.0.1", "intoto 0.0.1", "intoto 0.0.2")
BUNDLE_V03 = "application/vnd.dev.sigstore.bundle.v0.3+json"
BUNDLE_V02 = "application/vnd.dev.sigstore.bundle+json;version=0.2"
BUNDLE_V01 = "application/vnd.dev.sigstore.bundle+json;version=0.1"

_FULCIO = "1.3.6.1.4.1.57264.1"
_SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_TIME_STAMP = "1.2.840.113549.1.9.16.1.4"
_SHA256 = hashes.SHA256()
_HASHES: dict[str, Sha2] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}
_DETAILS = {
    "secp256r1": "PKIX_ECDSA_P256_SHA_256",
    "secp384r1": "PKIX_ECDSA_P384_SHA_384",
    "secp521r1": "PKIX_ECDSA_P521_SHA_512",
}


def new_ec(curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve or ec.SECP256R1())


def spki(key: Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(label: str, content: bytes) -> str:
    text = to_base64(content)
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def hash_for(key: Key) -> Sha2:
    """The hash that goes with the key: that of its curve, else SHA-256."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _HASHES[key.curve.name]
    return _SHA256


def raw_sign(key: Key, message: bytes) -> bytes:
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(message, ec.ECDSA(hash_for(key)))
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), _SHA256)
        case ed25519.Ed25519PrivateKey():
            return key.sign(message)


# DER, written


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = b""
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        content += bytes(reversed(groups))
    return tlv(0x06, content)


def integer(number: int) -> bytes:
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


# certificates


def named(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def usage(*, signs: bool = False, issues: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )


Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def issue(
    subject: x509.Name,
    key: Key,
    issuer: x509.Name,
    issuer_key: Key,
    extensions: Extensions,
    *,
    start: datetime,
    end: datetime,
    serial: int | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    algorithm = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hash_for(issuer_key)
    return builder.sign(issuer_key, algorithm)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def authority_extensions(key: Key, purpose: ObjectIdentifier | None, length: int | None = None) -> Extensions:
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=length), True),
        (usage(issues=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    if purpose is not None:
        extensions.append((x509.ExtendedKeyUsage([purpose]), False))
    return extensions


@dataclass
class CertificateLog:
    """A log of certificates that promises whatever it is shown."""

    name: str = "ct.test"
    key: Key = field(default_factory=new_ec)
    kind: bytes | None = None

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(spki(self.key)).digest()

    def promise(self, body: bytes, issuer_key: Key, time: datetime, extensions: bytes = b"") -> bytes:
        """A signed certificate timestamp over a certificate's body and its issuer's key."""
        stamp = int(time.timestamp() * 1000).to_bytes(8, "big")
        issuer = hashlib.sha256(spki(issuer_key)).digest()
        tail = len(extensions).to_bytes(2, "big") + extensions
        signed = b"\0\0" + stamp + b"\0\1" + issuer + len(body).to_bytes(3, "big") + body + tail
        signature = raw_sign(self.key, signed)
        kind = self.kind or (b"\4\3" if isinstance(self.key, ec.EllipticCurvePrivateKey) else b"\4\1")
        return b"\0" + self.key_id + stamp + tail + kind + len(signature).to_bytes(2, "big") + signature

    def entry(self, start: datetime = START - timedelta(days=365), end: datetime | None = None) -> dict[str, Any]:
        return log_entry(f"https://{self.name}", self.key, self.key_id, start, end)


@dataclass
class CertificateAuthority:
    """A root, an intermediate, and the logs that promise each certificate."""

    clock: Callable[[], datetime]
    name: str = "sigstore.test"
    root_key: Key = field(default_factory=lambda: new_ec(ec.SECP384R1()))
    key: Key = field(default_factory=lambda: new_ec(ec.SECP384R1()))
    logs: list[CertificateLog] = field(default_factory=lambda: [CertificateLog()])
    start: datetime = START - timedelta(days=365)
    end: datetime = START + timedelta(days=3650)
    intermediate_end: datetime | None = None
    purpose: ObjectIdentifier | None = ExtendedKeyUsageOID.CODE_SIGNING

    def __post_init__(self) -> None:
        self.root_name, self.intermediate_name = named(self.name, "root"), named(self.name, "intermediate")
        self.root = issue(
            self.root_name,
            self.root_key,
            self.root_name,
            self.root_key,
            authority_extensions(self.root_key, None, 1),
            start=self.start,
            end=self.end,
        )
        self.intermediate = issue(
            self.intermediate_name,
            self.key,
            self.root_name,
            self.root_key,
            authority_extensions(self.key, self.purpose, 0),
            start=self.start,
            end=self.intermediate_end or self.end,
        )

    def certify(
        self,
        key: Key,
        identity: str | x509.GeneralName = IDENTITY,
        issuer: str | None = ISSUER,
        *,
        minutes: float = 10,
        extended: ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        more: Extensions = (),
        signs: bool = True,
        old_issuer: bool = True,
        sct_extensions: bytes = b"",
    ) -> bytes:
        """A leaf certificate as Fulcio issues it, in DER."""
        now = self.clock()
        name = identity if isinstance(identity, x509.GeneralName) else general_name(identity)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (usage(signs=signs), True),
            (x509.ExtendedKeyUsage([extended]), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
            (x509.SubjectAlternativeName([name]), True),
            *more,
        ]
        if issuer is not None:
            newer = tlv(0x0C, issuer.encode())
            extensions.append((x509.UnrecognizedExtension(ObjectIdentifier(f"{_FULCIO}.8"), newer), False))
            if old_issuer:
                older = issuer.encode()
                extensions.append((x509.UnrecognizedExtension(ObjectIdentifier(f"{_FULCIO}.1"), older), False))
        serial = x509.random_serial_number()
        times = {"start": now, "end": now + timedelta(minutes=minutes), "serial": serial}
        arguments = (x509.Name([]), key, self.intermediate_name, self.key)
        if not self.logs:
            return der(issue(*arguments, extensions, **times))  # type: ignore[arg-type]
        body = issue(*arguments, extensions, **times).tbs_certificate_bytes  # type: ignore[arg-type]
        promises = [log.promise(body, self.key, now, sct_extensions) for log in self.logs]
        listed = b"".join(len(one).to_bytes(2, "big") + one for one in promises)
        promised = x509.UnrecognizedExtension(_SCT_LIST, tlv(0x04, len(listed).to_bytes(2, "big") + listed))
        return der(issue(*arguments, [*extensions, (promised, False)], **times))  # type: ignore[arg-type]

    def entry(self, start: datetime | None = None, end: datetime | None = None) -> dict[str, Any]:
        return authority_entry("https://ca.test", [self.intermediate, self.root], start or self.start, end)


def general_name(identity: str) -> x509.GeneralName:
    if "://" in identity:
        return x509.UniformResourceIdentifier(identity)
    return x509.RFC822Name(identity)


def other_name(identity: str) -> x509.OtherName:
    return x509.OtherName(ObjectIdentifier(f"{_FULCIO}.7"), tlv(0x0C, identity.encode()))


# logs


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + tree_hash(leaves[:half]) + tree_hash(leaves[half:])).digest()


def audit_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*audit_path(index, leaves[:half]), tree_hash(leaves[half:])]
    return [*audit_path(index - half, leaves[half:]), tree_hash(leaves[:half])]


def note_line(name: str, hint: bytes, signature: bytes) -> str:
    return f"— {name} {to_base64(hint[:4] + signature)}\n"


@dataclass
class TransparencyLog:
    """A log in the form of Rekor v1 (ECDSA, promises, a tree id) or, with `v2`, of Rekor v2 (Ed25519, nothing else)."""

    clock: Callable[[], datetime]
    name: str = "rekor.test"
    v2: bool = False
    key: Key = field(default_factory=new_ec)
    entries: list[bytes] = field(default_factory=lambda: [b"an earlier entry", b"another"])
    offset: int = 1000

    @property
    def origin(self) -> str:
        return self.name if self.v2 else f"{self.name} - 1193050959916656506"

    @property
    def key_id(self) -> bytes:
        if not self.v2:
            return hashlib.sha256(spki(self.key)).digest()
        assert isinstance(self.key, ed25519.Ed25519PrivateKey)
        raw = self.key.public_key().public_bytes_raw()
        return hashlib.sha256(f"{self.name}\n".encode() + b"\1" + raw).digest()

    def checkpoint(self, *, size: int | None = None, root: bytes | None = None, origin: str | None = None) -> str:
        """A signed note about the tree as it is, or about what the test says."""
        size = len(self.entries) if size is None else size
        root = tree_hash(self.entries) if root is None else root
        return self.note(f"{self.origin if origin is None else origin}\n{size}\n{to_base64(root)}\n")

    def note(self, text: str, *, name: str | None = None, key: Key | None = None, hint: bytes | None = None) -> str:
        signature = raw_sign(key or self.key, text.encode())
        return f"{text}\n{note_line(name or self.name, hint or self.key_id, signature)}"

    def append(self, body: bytes, *, promise: bool | None = None, proof: bool = True) -> dict[str, Any]:
        """Log an entry and return it as a bundle brings it."""
        self.entries.append(body)
        index = len(self.entries) - 1
        self.entries.append(b"a later entry")
        value = json.loads(body)
        entry: dict[str, Any] = {
            "logIndex": str(index if self.v2 else self.offset + index),
            "logId": {"keyId": to_base64(self.key_id)},
            "kindVersion": {"kind": value["kind"], "version": value["apiVersion"]},
            "canonicalizedBody": to_base64(body),
        }
        if promise if promise is not None else not self.v2:
            time = int(self.clock().timestamp())
            entry["integratedTime"] = str(time)
            entry["inclusionPromise"] = {
                "signedEntryTimestamp": to_base64(self.promise(body, time, self.offset + index))
            }
        if proof:
            entry["inclusionProof"] = {
                "logIndex": str(index),
                "rootHash": to_base64(tree_hash(self.entries)),
                "treeSize": str(len(self.entries)),
                "hashes": [to_base64(one) for one in audit_path(index, self.entries)],
                "checkpoint": {"envelope": self.checkpoint()},
            }
        return entry

    def promise(self, body: bytes, time: int, index: int) -> bytes:
        value = {"body": to_base64(body), "integratedTime": time, "logID": self.key_id.hex(), "logIndex": index}
        return raw_sign(self.key, canonical(value))

    def entry(self, start: datetime = START - timedelta(days=365), end: datetime | None = None) -> dict[str, Any]:
        return log_entry(f"https://{self.name}", self.key, self.key_id, start, end)


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


# timestamp authorities


@dataclass
class TimestampAuthority:
    """An RFC 3161 authority; every field of a token may be bent."""

    clock: Callable[[], datetime]
    name: str = "tsa.test"
    key: Key = field(default_factory=new_ec)
    root_key: Key = field(default_factory=new_ec)
    start: datetime = START - timedelta(days=365)
    end: datetime = START + timedelta(days=3650)
    extended: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.TIME_STAMPING,)
    critical: bool = True
    root_extensions: Extensions | None = None

    def __post_init__(self) -> None:
        root_name = named(self.name, "root")
        times = {"start": self.start, "end": self.end}
        self.root = issue(
            root_name,
            self.root_key,
            root_name,
            self.root_key,
            authority_extensions(self.root_key, None, 0) if self.root_extensions is None else self.root_extensions,
            start=START - timedelta(days=3650),
            end=START + timedelta(days=3650),
        )
        extensions: Extensions = [
            (usage(signs=True), True),
            (x509.ExtendedKeyUsage(list(self.extended)), self.critical),
            (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False),
        ]
        subject = named(self.name, "time stamps")
        self.certificate = issue(subject, self.key, root_name, self.root_key, extensions, **times)  # type: ignore[arg-type]

    def stamp(
        self,
        message: bytes,
        *,
        embed: Sequence[x509.Certificate] = (),
        algorithm: str = "sha256",
        status: int = 0,
        by: TimestampAuthority | None = None,
        key: Key | None = None,
        signers: int = 1,
        version: int = 1,
        extensions: bytes = b"",
        essential: bool = True,
        fraction: str = "",
        content_type: str = _TIME_STAMP,
        kind: str | None = None,
        bent: Mapping[str, Any] = MappingProxyType({}),
    ) -> bytes:
        """A TimeStampResp over `message`. `by` lends its name and certificate hash, `key` its key.

        `bent` puts something else in a place that the code names: another identifier, another version, or more bytes.
        """
        more = bent.get
        named_by = (by or self).certificate
        digest = {
            "sha256": sequence(oid("2.16.840.1.101.3.4.2.1")),
            "sha384": sequence(oid("2.16.840.1.101.3.4.2.2")),
            "sha512": sequence(oid("2.16.840.1.101.3.4.2.3")),
            "sha1": sequence(oid("1.3.14.3.2.26")),
        }
        time = f"{self.clock():%Y%m%d%H%M%S}{fraction}Z".encode()
        imprint = hashlib.new(algorithm, message).digest()
        info = sequence(
            integer(version),
            oid("1.3.6.1.4.1.57264.2"),
            sequence(digest[algorithm], tlv(0x04, imprint), more("after the imprint", b"")),
            integer(len(message) + 7),
            tlv(0x18, time),
            sequence(integer(1)),
            extensions,
        )
        attributes = [
            sequence(oid("1.2.840.113549.1.9.3"), tlv(0x31, oid(content_type)), more("after an attribute", b"")),
            sequence(oid("1.2.840.113549.1.9.4"), tlv(0x31, tlv(0x04, hashlib.sha256(info).digest()))),
            more("among the attributes", b""),
        ]
        if essential:
            hashed = tlv(0x04, hashlib.sha256(der(named_by)).digest())
            certificate = sequence(sequence(sequence(hashed)))
            attributes.append(sequence(oid("1.2.840.113549.1.9.16.2.47"), tlv(0x31, certificate)))
        signed = b"".join(sorted(attributes))
        signing_key = key or self.key
        signature = raw_sign(signing_key, tlv(0x31, signed))
        kinds = {
            "secp256r1": "1.2.840.10045.4.3.2",
            "secp384r1": "1.2.840.10045.4.3.3",
            "secp521r1": "1.2.840.10045.4.3.4",
        }
        curve = signing_key.curve.name if isinstance(signing_key, ec.EllipticCurvePrivateKey) else ""
        signature_kind = kind or kinds.get(curve, "1.2.840.113549.1.1.11")
        name = sequence(
            named_by.issuer.public_bytes(), integer(named_by.serial_number), more("after the signer's name", b"")
        )
        signer = sequence(
            integer(more("the signer's version", 1)),
            more("the signer's name", name),
            digest["sha256"],
            tlv(0xA0, signed),
            sequence(oid(signature_kind), more("the parameters", b"")),
            tlv(0x04, signature),
            more("after the signer", b""),
        )
        brought = tlv(0xA0, *(der(one) for one in embed)) if embed else b""
        signed_data = sequence(
            integer(more("the version", 3)),
            tlv(0x31, digest[more("the digests", "sha256")]),
            sequence(
                oid(more("the content's type", _TIME_STAMP)),
                tlv(0xA0, tlv(0x04, more("the content", info))),
                more("after the content", b""),
            ),
            brought,
            tlv(0x31, *[signer] * signers),
            more("after the signers", b""),
        )
        token = sequence(
            oid(more("the token's type", "1.2.840.113549.1.7.2")), tlv(0xA0, signed_data), more("after the data", b"")
        )
        return sequence(sequence(integer(status)), token, more("after the token", b""))

    def entry(self, start: datetime = START - timedelta(days=365), end: datetime | None = None) -> dict[str, Any]:
        return authority_entry(f"https://{self.name}/api/v1/timestamp", [self.certificate, self.root], start, end)


# the trusted root


def stamp_text(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def interval(start: datetime, end: datetime | None) -> dict[str, str]:
    return {"start": stamp_text(start)} | ({"end": stamp_text(end)} if end else {})


def key_details(key: Key) -> str:
    match key:
        case ec.EllipticCurvePrivateKey():
            return _DETAILS[key.curve.name]
        case ed25519.Ed25519PrivateKey():
            return "PKIX_ED25519"
        case rsa.RSAPrivateKey():
            return f"PKIX_RSA_PKCS1V15_{key.key_size}_SHA256"


def log_entry(url: str, key: Key, key_id: bytes, start: datetime, end: datetime | None) -> dict[str, Any]:
    return {
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": to_base64(spki(key)),
            "keyDetails": key_details(key),
            "validFor": interval(start, end),
        },
        "logId": {"keyId": to_base64(key_id)},
    }


def authority_entry(
    uri: str, chain: Sequence[x509.Certificate], start: datetime, end: datetime | None
) -> dict[str, Any]:
    return {
        "subject": {"organization": "sigstore.test", "commonName": "sigstore"},
        "uri": uri,
        "certChain": {"certificates": [{"rawBytes": to_base64(der(one))} for one in chain]},
        "validFor": interval(start, end),
    }


# all of it together


@dataclass
class Sigstore:
    """One of each, and everything that a bundle needs. `now` may be moved at any time."""

    now: datetime = START

    def __post_init__(self) -> None:
        self.ca = CertificateAuthority(self.clock)
        self.log = TransparencyLog(self.clock)
        self.log_v2 = TransparencyLog(
            self.clock, name="log2026.rekor.test", v2=True, key=ed25519.Ed25519PrivateKey.generate()
        )
        self.tsa = TimestampAuthority(self.clock)
        self.signing_key: Key = new_ec()

    def clock(self) -> datetime:
        return self.now

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    def root(self, **changes: Any) -> dict[str, Any]:
        """The trusted root as JSON; a change replaces a list."""
        value = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.log.entry(), self.log_v2.entry()],
            "certificateAuthorities": [self.ca.entry()],
            "ctlogs": [log.entry() for log in self.ca.logs],
            "timestampAuthorities": [self.tsa.entry()],
        }
        return {name: item for name, item in (value | changes).items() if item is not None}

    def sign(
        self,
        payload: bytes,
        *,
        form: str = "hashedrekord 0.0.2",
        key: Key | None = None,
        certificate: bytes | None = None,
        keyed: bool = False,
        as_file: bool = False,
        stamps: int | None = None,
        promise: bool | None = None,
        media_type: str = BUNDLE_V03,
    ) -> dict[str, Any]:
        """A bundle over a statement, or with `as_file` over a file. `form` is the log entry's kind, "" for none.

        Without a promise there is one time stamp, unless `stamps` says otherwise.
        """
        key = key or self.signing_key
        signed = payload if as_file else pae(PAYLOAD_TYPE, payload)
        signature = raw_sign(key, signed)
        if not keyed and certificate is None:
            certificate = self.ca.certify(key)
        material: dict[str, Any] = {}
        if certificate is None:
            material["publicKey"] = {"hint": to_base64(hashlib.sha256(spki(key)).digest())}
        elif media_type == BUNDLE_V03:
            material["certificate"] = {"rawBytes": to_base64(certificate)}
        else:
            material["x509CertificateChain"] = {"certificates": [{"rawBytes": to_base64(certificate)}]}
        v2 = form == "hashedrekord 0.0.2"
        if form:
            body = log_body(form, payload, signed=signed, signature=signature, certificate=certificate, key=key)
            proof = media_type != BUNDLE_V01
            log = self.log_v2 if v2 else self.log
            material["tlogEntries"] = [log.append(body, promise=promise, proof=proof)]
        if stamps is None:
            stamps = 1 if v2 or not form or promise is False else 0
        stamped = [self.tsa.stamp(signature) for _ in range(stamps)]
        material["timestampVerificationData"] = {
            "rfc3161Timestamps": [{"signedTimestamp": to_base64(one)} for one in stamped]
        }
        content: dict[str, Any]
        if as_file:
            digest = {"algorithm": "SHA2_256", "digest": to_base64(hashlib.sha256(payload).digest())}
            content = {"messageSignature": {"messageDigest": digest, "signature": to_base64(signature)}}
        else:
            content = {
                "dsseEnvelope": {
                    "payload": to_base64(payload),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [{"sig": to_base64(signature)}],
                }
            }
        return {"mediaType": media_type, "verificationMaterial": material, **content}


def log_body(
    form: str, payload: bytes, *, signed: bytes, signature: bytes, certificate: bytes | None, key: Key
) -> bytes:
    """The canonical body that Rekor makes of a signature."""
    kind, _, version = form.partition(" ")
    text = pem("PUBLIC KEY", spki(key)) if certificate is None else pem("CERTIFICATE", certificate)
    verifier = to_base64(text.encode())
    payload_hash = {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
    spec: dict[str, Any]
    match form:
        case "hashedrekord 0.0.2":
            algorithm = hash_for(key)
            name = f"SHA2_{algorithm.digest_size * 8}"
            digest = hashlib.new(algorithm.name, signed).digest()
            proof = {"publicKey": {"rawBytes": to_base64(spki(key))}}
            if certificate is not None:
                proof = {"x509Certificate": {"rawBytes": to_base64(certificate)}}
            spec = {
                "hashedRekordV002": {
                    "data": {"algorithm": name, "digest": to_base64(digest)},
                    "signature": {
                        "content": to_base64(signature),
                        "verifier": {"keyDetails": key_details(key), **proof},
                    },
                }
            }
        case "hashedrekord 0.0.1":
            spec = {
                "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(signed).hexdigest()}},
                "signature": {"content": to_base64(signature), "publicKey": {"content": verifier}},
            }
        case "dsse 0.0.1":
            spec = {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(b"nobody knows").hexdigest()},
                "payloadHash": payload_hash,
                "signatures": [{"signature": to_base64(signature), "verifier": verifier}],
            }
        case "intoto 0.0.1":
            envelope = {
                "payloadType": PAYLOAD_TYPE,
                "payload": to_base64(payload),
                "signatures": [{"keyid": "", "sig": to_base64(signature)}],
            }
            uploaded = json.dumps(envelope, separators=(",", ":")).encode()
            spec = {
                "content": {
                    "hash": {"algorithm": "sha256", "value": hashlib.sha256(uploaded).hexdigest()},
                    "payloadHash": payload_hash,
                },
                "publicKey": verifier,
            }
        case "intoto 0.0.2":
            twice = to_base64(to_base64(signature).encode())
            spec = {
                "content": {
                    "envelope": {
                        "payloadType": PAYLOAD_TYPE,
                        "signatures": [{"publicKey": verifier, "sig": twice}],
                    },
                    "hash": {"algorithm": "sha256", "value": hashlib.sha256(b"nobody knows").hexdigest()},
                    "payloadHash": payload_hash,
                }
            }
        case _:
            raise ValueError(form)
    return canonical({"apiVersion": version, "kind": kind, "spec": spec})


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()
