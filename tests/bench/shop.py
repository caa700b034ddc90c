"""What is promoted in a benchmark: an image of a given size, and a pipeline of two stages between two registries."""

from __future__ import annotations

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from attestations.signers.key import KeySigner
from pipeline import scaffold
from pipeline.definition import definition_statement, read, with_signature
from pipeline.demo.workshop import Workshop
from pipeline.wiring import signatures_path
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.kinds.layout import LayoutRegistry
from registries.manifest import OCI_INDEX, OCI_MANIFEST, Manifest, index_bytes
from registries.strict_json import dumps
from tests.images import CONFIG_TYPE, LAYER_TYPE, layer_tar, manifest_value

TAG = "1.0"
PLATFORMS = ("amd64", "arm64")

_DEFINITION = """\
samebits: 1
pipeline: {pipeline}
version: 1
image: {pipeline}
owners: {{threshold: 1, signers: [owner]}}
signers:
  owner: {{key: keys/owner.pub}}
  ci-build: {{key: keys/ci-build.pub}}
  ci-promote: {{key: keys/ci-promote.pub}}
stages:
  - name: build
    registry: {source}/build
    admit: [ci-build]
    steps:
      - {{name: unit, by: [ci-build], evidence: junit}}
"""
_NEXT = """\
  - name: prod-{number}
    after: [build]
    registry: {destination}/prod-{number}
    admit: [ci-promote]
    gates:
      tests: {{by: [ci-build], steps: [unit]}}
"""


@dataclass(frozen=True, slots=True)
class Made:
    """An image in an OCI layout, tagged `TAG`; `blobs` are its layers and configurations."""

    layout: Path
    digest: Digest
    blobs: tuple[Descriptor, ...]

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.blobs)


@dataclass(frozen=True, slots=True)
class Shop:
    """A folder with definition, trust file and keys; the image is in stage build and ready for every `prod-N`.

    Three records hang on it there: the admission to build, its summary, and the step `unit` with a JUnit report.
    """

    folder: Path
    pipeline: str
    source: str
    destination: str
    image: Made

    @property
    def source_repository(self) -> str:
        return f"{self.source}/build/{self.pipeline}"

    def destination_repository(self, number: int) -> str:
        return f"{self.destination}/prod-{number}/{self.pipeline}"


def make_image(layout: Path, *, layers: int, layer_bytes: int) -> Made:
    """Two platforms with so many layers of so many bytes that no compression makes smaller; always the same bytes."""
    registry = LayoutRegistry.create(layout)
    blobs: list[Descriptor] = []
    entries = []
    for architecture in PLATFORMS:
        tars: list[Digest] = []
        parts: list[Descriptor] = []
        for number in range(layers):
            noise = random.Random(f"{architecture} {number}").randbytes(layer_bytes)  # noqa: S311  noise, no secret
            tar = layer_tar("noise", noise)
            tars.append(Digest.of(tar))
            parts.append(_push(registry, LAYER_TYPE, gzip.compress(tar, compresslevel=0, mtime=0)))
        config = _push(registry, CONFIG_TYPE, _config(architecture, tars))
        blobs += [*parts, config]
        child = Manifest.from_bytes(dumps(manifest_value(config, parts)), media_type=OCI_MANIFEST)
        registry.push_manifest("", child)
        entries.append({**child.descriptor.json(), "platform": {"os": "linux", "architecture": architecture}})
    index = Manifest.from_bytes(index_bytes(tuple(entries)), media_type=OCI_INDEX)
    registry.push_manifest("", index)
    registry.tag("", TAG, index, expected=None)
    return Made(layout, index.digest, tuple(blobs))


def open_shop(folder: Path, pipeline: str, source: str, destination: str, image: Made, *, stages: int = 1) -> Shop:
    """Write the pipeline's files, and bring the image into build with its step done."""
    for name, (content, mode) in scaffold.files(pipeline=pipeline, registry=source, production=destination).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    _define(folder, pipeline, source, destination, range(1, stages + 1))
    workshop = Workshop(folder, lambda: datetime.now(UTC).replace(microsecond=0))
    workshop.admit("build", f"oci:{image.layout}:{TAG}", "ci-build")
    workshop.do("build", "unit", image.digest, "ci-build", workshop.unit_reports)
    return Shop(folder, pipeline, source, destination, image)


def _define(folder: Path, pipeline: str, source: str, destination: str, stages: Sequence[int]) -> None:
    """Put our own definition in the place of the one that `samebits init` writes, signed by the owner."""
    path = folder / "samebits.yaml"
    text = _DEFINITION.format(pipeline=pipeline, source=source)
    text += "".join(_NEXT.format(number=number, destination=destination) for number in stages)
    path.write_text(text)
    definition = read(text.encode(), path=str(path), read_file=lambda name: (folder / name).read_bytes())
    owner = KeySigner.from_pem((folder / "keys/owner.key").read_bytes())
    signatures_path(path).write_bytes(with_signature(b"", owner.sign(definition_statement(definition))))


def _config(architecture: str, tars: Sequence[Digest]) -> bytes:
    return dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"User": "65532"},
            "rootfs": {"type": "layers", "diff_ids": [str(digest) for digest in tars]},
        }
    )


def _push(registry: LayoutRegistry, media_type: str, content: bytes) -> Descriptor:
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))
    registry.push_blob("", descriptor, lambda: (content,))
    return descriptor
