"""Scanning an image for malware: every file of every layer goes through clamd, and what came of it is a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pipeline.clamd import Clamd, Engine, NotScanned
from pipeline.places import Image
from registries.checked import checked
from registries.copy import platforms
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError
from registries.layer_files import layer_files
from registries.registry import Location
from registries.shelf import Shelf
from registries.tree import Platform, Tree, tree
from stages.reports.clamav import SCHEMA

LAYERS_AT_ONCE: Final = 4
FILE_BYTES: Final = 4 * 1024**3
"""A larger file is not sent: clamd takes no stream of that length."""


@dataclass(slots=True)
class LayerScan:
    """What came of the files of one layer."""

    layer: Digest
    files: int = 0
    bytes: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)
    unscanned: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What came of an image. `layers` are by platform; one that several platforms share was scanned once."""

    image: Image
    engine: Engine
    scanned_at: datetime
    platforms: tuple[tuple[Platform, tuple[LayerScan, ...]], ...]

    @property
    def layers(self) -> tuple[LayerScan, ...]:
        """Every layer once."""
        return tuple({scan.layer: scan for _, scans in self.platforms for scan in scans}.values())

    @property
    def report(self) -> bytes:
        """The report as it is recorded (`stages.reports.clamav`)."""
        layers = self.layers
        value = {
            "schema": SCHEMA,
            "engine": f"ClamAV {self.engine.version}",
            "signatures": self.engine.signatures,
            "signaturesDate": _time(self.engine.date),
            "scannedAt": _time(self.scanned_at),
            "platforms": [
                {"name": it.name, "manifest": str(it.manifest), "layers": [str(scan.layer) for scan in scans]}
                for it, scans in self.platforms
            ],
            "files": sum(scan.files for scan in layers),
            "bytes": sum(scan.bytes for scan in layers),
            "found": [
                {"layer": str(scan.layer), "path": path, "signature": signature}
                for scan in layers
                for path, signature in scan.found
            ],
            "unscanned": [
                {"layer": str(scan.layer), "path": path, "why": why} for scan in layers for path, why in scan.unscanned
            ],
        }
        return json.dumps(value, indent=2).encode() + b"\n"


def scan(
    image: Image, clamd: Clamd, *, now: datetime, shelf: Shelf, say: Callable[[str], None] = lambda _: None
) -> Scan:
    """Scan all platforms. A layer that can't be read is refused; a file without an answer is told in the report."""
    engine = clamd.engine()
    say(f"ClamAV {engine.version}, signatures {engine.signatures or 'of its own'}")
    whole = tree(image.place, image.digest, shelf=shelf)
    found = platforms(image.place, whole)
    layers = {layer.digest: layer for platform in found for layer in _layers(whole, platform)}
    with ThreadPoolExecutor(max_workers=LAYERS_AT_ONCE) as pool:
        done = {
            result.layer: result
            for result in pool.map(lambda layer: _layer(image.place, layer, clamd, say), layers.values())
        }
    return Scan(
        image=image,
        engine=engine,
        scanned_at=now,
        platforms=tuple((it, tuple(done[layer.digest] for layer in _layers(whole, it))) for it in found),
    )


def _layers(whole: Tree, platform: Platform) -> tuple[Descriptor, ...]:
    return whole.manifests[platform.manifest].layers


def _layer(place: Location, layer: Descriptor, clamd: Clamd, say: Callable[[str], None]) -> LayerScan:
    """Every file of one layer; the layer's own digest is checked when its last byte has passed."""
    result = LayerScan(layer.digest)
    say(f"scanning {layer.digest} {layer.size} bytes")
    content = checked(place.registry.blob(place.repository, layer), layer.digest, layer.size)
    for file in layer_files(content):
        result.files += 1
        result.bytes += file.size
        if file.size == 0:
            continue
        if file.size > FILE_BYTES:
            result.unscanned.append((_path(file.path), f"{file.size} bytes are more than a scanner takes"))
            continue
        try:
            if signature := clamd.scan(_whole(file.content, file.size)):
                result.found.append((_path(file.path), signature))
        except NotScanned as error:
            result.unscanned.append((_path(file.path), str(error)))
    return result


def _whole(content: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The bytes of a file, none of them missing."""
    passed = 0
    for chunk in content:
        passed += len(chunk)
        yield chunk
    if passed != size:
        raise ContentError("layer-malformed", f"a file of the layer has {passed} of {size} bytes")


def _path(text: str) -> str:
    """A name in a layer, readable and of a bounded length, whatever bytes it was made of."""
    return text.encode("utf-8", "backslashreplace").decode()[:500] or "."


def _time(moment: datetime | None) -> Any:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
