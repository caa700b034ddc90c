"""Keys, certificates and configuration of a private Sigstore, and the files by which clients trust it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

OPERATOR = "samebits-private"
ISSUERS = {"github": "github-workflow", "email": "email"}
"""The issuers by their path, each with the type by which Fulcio makes a certificate's subject from a token."""

_LIFE = timedelta(days=30)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each service listens on 127.0.0.1. `services` is the issuer and the certificate log in one."""

    services: int
    fulcio: int
    fulcio_grpc: int
    fulcio_metrics: int
    rekor: int
    rekor_grpc: int
    rekor_metrics: int
    tsa: int

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{port}"

    def issuer(self, name: str) -> str:
        """The `iss` of the tokens of an issuer in ISSUERS."""
        return f"{self.url(self.services)}/{name}"


def make(folder: Path, ports: Ports, now: datetime) -> None:
    """Everything the programs read, and `trusted_root.json`, `signing_config.json` and `trust_config.json`."""
    start = now.astimezone(UTC).replace(microsecond=0) - timedelta(hours=1)
    authority = _Authority.make("samebits private root", start)
    issuing_key, issuing = authority.issue("samebits private signing", ExtendedKeyUsageOID.CODE_SIGNING, is_ca=True)
    _write_key(folder / "fulcio.key", issuing_key)
    _write_chain(folder / "fulcio.crt", (issuing, authority.certificate))

    stamps = _Authority.make("samebits private time root", start)
    tsa_key, tsa = stamps.issue("samebits private time", ExtendedKeyUsageOID.TIME_STAMPING, is_ca=False)
    _write_key(folder / "tsa.key", tsa_key)
    _write_chain(folder / "tsa.crt", (tsa, stamps.certificate))

    log, certificates_log = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "rekor.key", log)
    _write_key(folder / "ct.key", certificates_log)
    (folder / "ct.pub").write_bytes(_public(certificates_log, serialization.Encoding.PEM))
    _write_key(folder / "issuer.key", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    (folder / "fulcio.yaml").write_text(_fulcio_configuration(ports))

    root = {
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [_log_v2(log, ports, start)],
        "certificateAuthorities": [
            _authority(ports.url(ports.fulcio), (issuing, authority.certificate), "samebits private root", start)
        ],
        "ctlogs": [_certificate_log(certificates_log, ports, start)],
        "timestampAuthorities": [
            _authority(_stamp_url(ports), (tsa, stamps.certificate), "samebits private time root", start)
        ],
    }
    signing = {
        "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
        "caUrls": [_service(ports.url(ports.fulcio), 1, start)],
        "oidcUrls": [_service(ports.issuer("email"), 1, start)],
        "rekorTlogUrls": [_service(ports.url(ports.rekor), 2, start)],
        "rekorTlogConfig": {"selector": "ANY"},
        "tsaUrls": [_service(_stamp_url(ports), 1, start)],
        "tsaConfig": {"selector": "ANY"},
    }
    client = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": root,
        "signingConfig": signing,
    }
    for name, value in (("trusted_root", root), ("signing_config", signing), ("trust_config", client)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class _Authority:
    """A root certificate with its key."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    start: datetime

    @classmethod
    def make(cls, name: str, start: datetime) -> _Authority:
        key, subject = ec.generate_private_key(ec.SECP256R1()), _name(name)
        return cls(key, _certificate(subject, key, subject, key, start, is_ca=True, path_length=1), start)

    def issue(
        self, name: str, usage: ObjectIdentifier, *, is_ca: bool
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = _certificate(
            _name(name), key, self.certificate.subject, self.key, self.start, is_ca=is_ca, usage=usage
        )
        return key, issued


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    start: datetime,
    *,
    is_ca: bool,
    path_length: int | None = None,
    usage: ObjectIdentifier | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFE)
        .add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=(path_length or 0) if is_ca else None), critical=True
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=not is_ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_ca,
                crl_sign=is_ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if usage is not None:
        # RFC 3161, 2.3: the extension of a time-stamping certificate is critical
        critical = usage == ExtendedKeyUsageOID.TIME_STAMPING
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _fulcio_configuration(ports: Ports) -> str:
    """The comment keeps Fulcio from taking it for JSON, where it would find no issuer."""
    issuers = {
        ports.issuer(name): {"issuer-url": ports.issuer(name), "client-id": "sigstore", "type": kind}
        for name, kind in ISSUERS.items()
    }
    return f"# issuers\noidc-issuers: {json.dumps(issuers)}\n"


def _log_v2(key: ed25519.Ed25519PrivateKey, ports: Ports, start: datetime) -> Json:
    """A Rekor v2 log; its id is that of a signed note's key (c2sp.org/signed-note), its name the host alone."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {
        "baseUrl": ports.url(ports.rekor),
        "hashAlgorithm": "SHA2_256",
        "publicKey": _public_key(key, "PKIX_ED25519", start),
        "logId": {"keyId": _base64(hashlib.sha256(b"127.0.0.1\n\x01" + raw).digest())},
        "operator": OPERATOR,
    }


def _certificate_log(key: ec.EllipticCurvePrivateKey, ports: Ports, start: datetime) -> Json:
    """RFC 6962, 3.2: the log's id is the SHA-256 of its public key."""
    der = _public(key, serialization.Encoding.DER)
    return {
        "baseUrl": f"{ports.url(ports.services)}/ct",
        "hashAlgorithm": "SHA2_256",
        "publicKey": _public_key(key, "PKIX_ECDSA_P256_SHA_256", start),
        "logId": {"keyId": _base64(hashlib.sha256(der).digest())},
        "operator": OPERATOR,
    }


def _public_key(key: PrivateKey, details: str, start: datetime) -> Json:
    der = _public(key, serialization.Encoding.DER)
    return {"rawBytes": _base64(der), "keyDetails": details, "validFor": {"start": _time(start)}}


def _authority(url: str, chain: Sequence[x509.Certificate], name: str, start: datetime) -> Json:
    certificates = [{"rawBytes": _base64(one.public_bytes(serialization.Encoding.DER))} for one in chain]
    return {
        "subject": {"organization": OPERATOR, "commonName": name},
        "uri": url,
        "certChain": {"certificates": certificates},
        "validFor": {"start": _time(start)},
        "operator": OPERATOR,
    }


def _service(url: str, version: int, start: datetime) -> Json:
    return {"url": url, "majorApiVersion": version, "validFor": {"start": _time(start)}, "operator": OPERATOR}


def _stamp_url(ports: Ports) -> str:
    return f"{ports.url(ports.tsa)}/api/v1/timestamp"


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, OPERATOR), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _write_key(path: Path, key: PrivateKey) -> None:
    form = serialization.PrivateFormat.PKCS8
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def _write_chain(path: Path, chain: Sequence[x509.Certificate]) -> None:
    path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))


def _public(key: PrivateKey, encoding: serialization.Encoding) -> bytes:
    return key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _time(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def workflow_claims(subject: str) -> Mapping[str, str]:
    """The claims of a GitHub job whose certificate names `https://github.com/OWNER/REPO/PATH@REF` as its subject."""
    reference = subject.removeprefix("https://github.com/")
    workflow, _, ref = reference.partition("@")
    owner, repository = workflow.split("/")[:2]
    commit = hashlib.sha1(reference.encode(), usedforsecurity=False).hexdigest()
    return {
        "sub": f"repo:{owner}/{repository}:ref:{ref}",
        "job_workflow_ref": reference,
        "job_workflow_sha": commit,
        "workflow_ref": reference,
        "workflow_sha": commit,
        "workflow": "Release",
        "sha": commit,
        "ref": ref,
        "event_name": "push",
        "repository": f"{owner}/{repository}",
        "repository_id": "1001",
        "repository_owner": owner,
        "repository_owner_id": "1002",
        "repository_visibility": "private",
        "runner_environment": "self-hosted",
        "run_id": "42",
        "run_attempt": "1",
    }
