"""Attestations in the forms that other tools write: layers with annotations, tags, referrers that are no bundles."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attestations.envelope import PAYLOAD_TYPE, pae, to_base64
from attestations.foreign.cosign_legacy import ENVELOPE_TYPE, SIGNATURE_TYPE, tag
from attestations.foreign.envelopes import CERTIFICATE, LOG_BUNDLE, TIMESTAMP
from pipeline.promote import tag_now
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_MANIFEST, Manifest
from registries.registry import Location
from registries.strict_json import dumps
from tests.images import CONFIG_TYPE, blob, manifest_value, push_blob
from tests.sigstore import Key, Sigstore, log_body, pem, raw_sign


@dataclass(frozen=True)
class Layer:
    """A layer and its annotations."""

    content: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)
    media_type: str = ENVELOPE_TYPE

    @property
    def digest(self) -> Digest:
        return Digest.of(self.content)


def envelope(payload: bytes, key: Key, *, key_id: str | None = None) -> bytes:
    """A bare DSSE envelope, as cosign and Tekton Chains store it."""
    signature: dict[str, str] = {} if key_id is None else {"keyid": key_id}
    signature["sig"] = to_base64(raw_sign(key, pae(PAYLOAD_TYPE, payload)))
    return dumps({"payloadType": PAYLOAD_TYPE, "payload": to_base64(payload), "signatures": [signature]})


def signed(
    payload: bytes,
    key: Key,
    *,
    sigstore: Sigstore | None = None,
    certificate: bytes | None = None,
    form: str = "",
    stamped: str = "",
    key_id: str | None = None,
) -> Layer:
    """A layer as cosign 2 writes it. `form` is the log entry's kind; `stamped` is "envelope", "signature" or ""."""
    content = envelope(payload, key, key_id=key_id)
    annotations = {"dev.cosignproject.cosign/signature": "", "predicateType": "https://example.test/claimed"}
    signature = base64.b64decode(json.loads(content)["signatures"][0]["sig"])
    if certificate is not None:
        annotations[CERTIFICATE] = pem("CERTIFICATE", certificate)
    if form:
        assert sigstore is not None
        covered = pae(PAYLOAD_TYPE, payload)
        body = log_body(form, payload, signed=covered, signature=signature, certificate=certificate, key=key)
        log = sigstore.log_v2 if form == "hashedrekord 0.0.2" else sigstore.log
        annotations[LOG_BUNDLE] = log_bundle(log.append(body, proof=False))
    if stamped:
        assert sigstore is not None
        stamp = sigstore.tsa.stamp(content if stamped == "envelope" else signature)
        annotations[TIMESTAMP] = json.dumps({"SignedRFC3161Timestamp": to_base64(stamp)})
    return Layer(content, annotations)


def log_bundle(entry: Mapping[str, Any]) -> str:
    """A log entry as cosign keeps it: its promise, and nothing that proves inclusion."""
    promise = entry.get("inclusionPromise", {}).get("signedEntryTimestamp", "")
    payload = {
        "body": entry["canonicalizedBody"],
        "integratedTime": int(entry.get("integratedTime", 0)),
        "logIndex": int(entry["logIndex"]),
        "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
    }
    return json.dumps({"SignedEntryTimestamp": promise, "Payload": payload})


def push_tag(place: Location, subject: Digest, layers: Sequence[Layer], suffix: str = ".att") -> Manifest:
    """One of cosign's tags over these layers."""
    config = dumps({"architecture": "", "os": "", "config": {}})
    manifest = _manifest(place, blob(config, CONFIG_TYPE), config, layers)
    place.registry.push_manifest(place.repository, manifest)
    name = tag(subject, suffix)
    place.registry.tag(place.repository, name, manifest, expected=tag_now(place, name))
    return manifest


def push_signature(place: Location, subject: Digest, key: Key) -> None:
    """A `.sig` tag: the signature is over the payload's bytes, and stands in an annotation."""
    payload = json.dumps({"critical": {"image": {"docker-manifest-digest": str(subject)}}, "optional": None}).encode()
    annotations = {"dev.cosignproject.cosign/signature": to_base64(raw_sign(key, payload))}
    push_tag(place, subject, [Layer(payload, annotations, SIGNATURE_TYPE)], ".sig")


def push_referrer(place: Location, subject: Manifest | None, artifact_type: str, layers: Sequence[Layer]) -> Manifest:
    """A referrer of another tool; without `subject`, a manifest that only a list can lead to."""
    fields: dict[str, Any] = {"artifactType": artifact_type}
    if subject is not None:
        fields["subject"] = subject.descriptor.json()
    manifest = _manifest(place, EMPTY, EMPTY_CONTENT, layers, **fields)
    place.registry.push_manifest(place.repository, manifest)
    return manifest


def notation_jws(subject: str, certificate: bytes | None) -> bytes:
    """A JWS envelope of Notation: the signature in it is no signature."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    header: dict[str, Any] = {} if certificate is None else {"x5c": [to_base64(certificate)]}
    target = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}
    return json.dumps(
        {
            "payload": part({"targetArtifact": target}),
            "protected": part({"alg": "ES256"}),
            "header": header,
            "signature": "AA",
        }
    ).encode()


def _manifest(
    place: Location, config: Descriptor, config_content: bytes, layers: Sequence[Layer], **fields: Any
) -> Manifest:
    push_blob(place, config, config_content)
    descriptors = []
    for layer in layers:
        push_blob(place, blob(layer.content, layer.media_type), layer.content)
        descriptors.append(
            Descriptor(
                media_type=layer.media_type,
                digest=layer.digest,
                size=len(layer.content),
                annotations=layer.annotations,
            )
        )
    return Manifest.from_bytes(dumps(manifest_value(config, descriptors, **fields)), media_type=OCI_MANIFEST)
