"""The two services that a private Sigstore needs and that are not Sigstore's own: an OIDC issuer and a certificate log.

The log is a double: it keeps nothing, but the timestamps that it signs are RFC 6962's, and Fulcio and its clients check
them. Run as `python -m scripts.private_sigstore.services FOLDER PORT`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scripts.private_sigstore.material import ISSUERS, workflow_claims

AMBIENT = "job-token"
"""What a job shows to get an identity token, as in GitHub's ACTIONS_ID_TOKEN_REQUEST_TOKEN."""

_POISON = bytes.fromhex("060a2b06010401d679020403")  # the object identifier 1.3.6.1.4.1.11129.2.4.3 in DER
_SECONDS = 600
_BODY_BYTES = 1 << 20


def token(
    key: rsa.RSAPrivateKey,
    issuer: str,
    subject: str,
    *,
    audience: str = "sigstore",
    issued: float | None = None,
    seconds: int = _SECONDS,
) -> str:
    """An identity token for a subject: a workflow `https://github.com/…`, or an e-mail address."""
    begun = int(time.time() if issued is None else issued)
    claims: dict[str, Any] = {"iss": issuer, "aud": audience, "iat": begun, "nbf": begun, "exp": begun + seconds}
    if subject.startswith("https://"):
        claims |= workflow_claims(subject)
    else:
        claims |= {"sub": subject, "email": subject, "email_verified": True}
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "1"})


def signed_certificate_timestamp(chain: list[bytes], key: ec.EllipticCurvePrivateKey, milliseconds: int) -> Any:
    """The answer of RFC 6962, 4.2 to a precertificate and its issuer, both in DER."""
    precertificate = x509.load_der_x509_certificate(chain[0])
    issuer = x509.load_der_x509_certificate(chain[1])
    body = without_poison(precertificate.tbs_certificate_bytes)
    spki = issuer.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = (
        b"\x00\x00"  # version 1, a certificate's timestamp
        + milliseconds.to_bytes(8)
        + b"\x00\x01"  # of a precertificate
        + hashlib.sha256(spki).digest()
        + len(body).to_bytes(3)
        + body
        + b"\x00\x00"  # no extensions
    )
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "sct_version": 0,
        "id": base64.b64encode(hashlib.sha256(public).digest()).decode(),
        "timestamp": milliseconds,
        "extensions": "",
        "signature": base64.b64encode(b"\x04\x03" + len(signature).to_bytes(2) + signature).decode(),
    }


def without_poison(certificate: bytes) -> bytes:
    """A TBSCertificate without the extension that makes it a precertificate."""
    fields = _children(certificate)
    (extensions,) = _children(fields[-1])
    kept = [one for one in _children(extensions) if _POISON not in one]
    return _wrap(0x30, b"".join((*fields[:-1], _wrap(0xA3, _wrap(0x30, b"".join(kept))))))


def _children(der: bytes) -> list[bytes]:
    """The DER values inside of a constructed one, each with its head."""
    at, found = _head(der), []
    while at < len(der):
        end = at + _head(der[at:]) + _length(der[at:])
        found.append(der[at:end])
        at = end
    return found


def _head(der: bytes) -> int:
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _length(der: bytes) -> int:
    return int.from_bytes(der[2 : _head(der)]) if der[1] & 0x80 else der[1]


def _wrap(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


class _Handler(BaseHTTPRequestHandler):
    """Answers for both services."""

    base: str
    issuer_key: rsa.RSAPrivateKey
    log_key: ec.EllipticCurvePrivateKey

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        issuer, _, page = asked.path.strip("/").partition("/")
        issuer_url = f"{self.base}/{issuer}"
        match page if issuer in ISSUERS else "":
            case ".well-known/openid-configuration":
                self._answer(200, _configuration(issuer_url))
            case "keys":
                self._answer(200, {"keys": [_web_key(self.issuer_key)]})
            case "token" if self.headers.get("Authorization", "").casefold() == f"bearer {AMBIENT}":
                # as a job asks GitHub for one; the subject stands in the URL that the job was given
                query = parse_qs(asked.query)
                minted = token(self.issuer_key, issuer_url, query["subject"][0], audience=query["audience"][0])
                self._answer(200, {"value": minted})
            case "token":
                self._answer(403, {"error": "not this job"})
            case _:
                self._answer(404, {"error": "no such page"})

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        if self.path != "/ct/ct/v1/add-pre-chain" or not 0 < size <= _BODY_BYTES:
            self._answer(404, {"error": "no such page"})
            return
        chain = [base64.b64decode(one) for one in json.loads(self.rfile.read(size))["chain"]]
        self._answer(200, signed_certificate_timestamp(chain, self.log_key, time.time_ns() // 1_000_000))

    def _answer(self, status: int, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _configuration(base: str) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, section 3. Nobody logs in here, but clients want the endpoints named."""
    return {
        "issuer": base,
        "jwks_uri": f"{base}/keys",
        "authorization_endpoint": f"{base}/auth",
        "token_endpoint": f"{base}/auth/token",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _web_key(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**public, "kid": "1", "use": "sig", "alg": "RS256"}


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    _Handler.base = f"http://127.0.0.1:{port}"
    _Handler.issuer_key = cast(rsa.RSAPrivateKey, load_pem_private_key((folder / "issuer.key").read_bytes(), None))
    _Handler.log_key = cast(ec.EllipticCurvePrivateKey, load_pem_private_key((folder / "ct.key").read_bytes(), None))
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
