"""What real tools say about a small source tree and image, for tests that record and judge it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

from registries.kinds.layout import LayoutRegistry
from registries.manifest import OCI_MANIFEST, Manifest
from registries.registry import Location
from registries.strict_json import dumps
from registries.tree import Platform
from tests import images, peers
from tests.images import CONFIG_TYPE, LAYER_TYPE, Image, manifest_value

COMMIT = "a1" * 20
QUIET = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}


def python_image(architecture: str, version: str, user: str = "") -> Image:
    """An image of one platform with the metadata of two Python packages, as a bill of materials lists them."""
    packages = {"flask": "1.0", "requests": "2.19.0"}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, number in packages.items():
            content = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\nSummary: {version}\n".encode()
            member = tarfile.TarInfo(f"usr/lib/python3/dist-packages/{name}-{number}.dist-info/METADATA")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    layer = target.getvalue()
    config = dumps(
        {
            "os": "linux",
            "architecture": architecture,
            "config": {"User": user} if user else {},
            "rootfs": {"type": "layers", "diff_ids": [str(images.blob(layer).digest)]},
        }
    )
    contents = ((config, CONFIG_TYPE), (gzip.compress(layer, mtime=0), LAYER_TYPE))
    blobs = tuple((images.blob(content, media_type), content) for content, media_type in contents)
    value = manifest_value(blobs[0][0], [blobs[1][0]])
    manifest = Manifest.from_bytes(dumps(value), media_type=OCI_MANIFEST)
    platform = Platform(name=f"linux/{architecture}", manifest=manifest.digest, config=blobs[0][0].digest)
    return Image((manifest,), blobs, (platform,))


def by_bandit(folder: Path, source: str) -> Path:
    """What Bandit says about a tree with this one file."""
    tree, report = folder / "tree", folder / "bandit.sarif"
    tree.mkdir()
    (tree / "shop.py").write_text(source)
    peers.attempt("bandit", "-q", "-r", ".", "-f", "sarif", "-o", str(report), cwd=tree)
    return report


def on_commit(report: Path, commit: str = COMMIT) -> Path:
    """The report with the commit that CI has checked out, which neither tool writes."""
    value = json.loads(report.read_bytes())
    for run in value["runs"]:
        run["versionControlProvenance"] = [{"repositoryUri": "https://github.com/acme/shop", "revisionId": commit}]
    named = report.with_name(f"{commit[:2]}-{report.name}")
    named.write_text(json.dumps(value))
    return named


def bills(image: Image, folder: Path, kind: str) -> list[str]:
    """Syft's bill of each platform, as options: each from a layout that holds this platform alone."""
    options = []
    for platform, manifest in zip(image.platforms, image.manifests, strict=False):
        layout = folder / kind / platform.name.replace("/", "-")
        one = Image((manifest,), tuple(pair for pair in image.blobs if pair[0] in manifest.blobs))
        one.push(Location(LayoutRegistry.create(layout), ""), "1.0")
        bill = layout.with_suffix(".json")
        peers.run("syft", "scan", f"oci-dir:{layout}", "-q", "-o", f"{kind}-json={bill}", env=QUIET)
        options.append(f"--report={kind}={bill}")
    return options
