"""Certificates made on the spot: an authority, servers and clients of it, and those that must not be believed."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OLD = datetime(2020, 1, 1, tzinfo=UTC)


class Authority:
    """A certificate authority of one test; everything that it makes lies in its folder."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.certificate = self._build(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None))
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *, host: str = "localhost", until: datetime | None = None) -> ssl.SSLContext:
        """What a server of this name speaks TLS with."""
        certificate, key = self.issue(host, until=until)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def issue(self, host: str, *, until: datetime | None = None) -> tuple[Path, Path]:
        """A certificate for this name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._build(_name(host), key, constraints, host=host, until=until)
        files = self.folder / "issued.cert", self.folder / "issued.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _build(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        *,
        host: str = "localhost",
        until: datetime | None = None,
    ) -> x509.Certificate:
        until = until or OLD + timedelta(days=36500)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(OLD).not_valid_after(until)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        usage = dict.fromkeys(("key_cert_sign", "crl_sign"), constraints.ca)
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        never = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
        builder = builder.add_extension(x509.KeyUsage(digital_signature=True, **usage, **never), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    @classmethod
    def self_signed(cls, folder: Path, host: str = "localhost") -> ssl.SSLContext:
        """A server whose certificate nobody vouches for but itself."""
        made = cls(folder, f"self-signed {host}")
        key = folder / "self-signed.key"
        key.write_bytes(
            made.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.file, key)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
