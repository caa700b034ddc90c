"""A small real image for the demonstration: two platforms, several layers, as an OCI layout; and reports about it."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.kinds.layout import LayoutRegistry
from registries.manifest import OCI_INDEX, OCI_MANIFEST, Manifest, index_bytes
from registries.strict_json import dumps

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
PLATFORMS = ("amd64", "arm64")


@dataclass(frozen=True, slots=True)
class Built:
    """A built image: its index and the digests of its platforms' manifests and configurations."""

    digest: Digest
    platforms: tuple[tuple[Digest, Digest], ...]


def build(layout: Path, version: str) -> Built:
    """Build a shop of this version into the layout, tagged with the version. The same version is the same bytes."""
    registry = LayoutRegistry.create(layout) if not layout.exists() else LayoutRegistry(layout)
    children = [_platform(registry, architecture, version) for architecture in PLATFORMS]
    entries = tuple(
        {**child.descriptor.json(), "platform": {"os": "linux", "architecture": architecture}}
        for child, architecture in zip(children, PLATFORMS, strict=True)
    )
    index = Manifest.from_bytes(index_bytes(entries), media_type=OCI_INDEX)
    registry.push_manifest("", index)
    registry.tag("", version, index, expected=None)
    return Built(
        index.digest, tuple((child.digest, child.config.digest) for child in children if child.config is not None)
    )


def grype_report(platform: tuple[Digest, Digest], now: datetime) -> bytes:
    """What Grype says about an image without known vulnerabilities, made at `now` with data of that day."""
    manifest, config = platform
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return dumps(
        {
            "matches": [],
            "source": {
                "type": "image",
                "target": {
                    "userInput": "shop",
                    "imageID": str(config),
                    "manifestDigest": str(manifest),
                    "repoDigests": [],
                },
            },
            "descriptor": {
                "name": "grype",
                "version": "0.121.2",
                "timestamp": time,
                "db": {"status": {"schemaVersion": "v6.1.0", "built": time, "valid": True}},
            },
        }
    )


def junit_report() -> bytes:
    """Three tests that passed."""
    cases = "".join(f'<testcase classname="shop" name="{name}" time="0.01"/>' for name in ("cart", "order", "payment"))
    return f'<testsuite name="unit" tests="3" failures="0" errors="0" skipped="0">{cases}</testsuite>'.encode()


def _platform(registry: LayoutRegistry, architecture: str, version: str) -> Manifest:
    files = (
        ("etc/os-release", b"ID=demo\n"),
        ("app/shop", f"#!/bin/sh\necho shop {version} for {architecture}\n".encode() * 200),
        ("app/version", f"{version}\n".encode()),
    )
    tars = [_tar(name, content) for name, content in files]
    layers = tuple(_push(registry, LAYER_TYPE, gzip.compress(tar, mtime=0)) for tar in tars)
    config = _push(registry, CONFIG_TYPE, dumps(_config(architecture, tars)))
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.json(),
        "layers": [layer.json() for layer in layers],
    }
    pushed = Manifest.from_bytes(dumps(manifest), media_type=OCI_MANIFEST)
    registry.push_manifest("", pushed)
    return pushed


def _config(architecture: str, tars: list[bytes]) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {"User": "65532", "Entrypoint": ["/app/shop"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]},
    }


def _tar(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _push(registry: LayoutRegistry, media_type: str, content: bytes) -> Descriptor:
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))
    registry.push_blob("", descriptor, lambda: (content,))
    return descriptor
