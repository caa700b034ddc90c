"""CycloneDX 1.4 to 1.7 as JSON: how many packages a bill of materials lists, and of which image it says it is.

Sources: the CycloneDX specifications (`metadata.component` is what the bill is of); how Syft (by the version) and Trivy
(by a package URL and properties) name an image there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from registries.digest import Digest
from stages.report import Components, empty, malformed
from stages.reports.fields import Fields, digest_in, digests, digests_in_purl

FORMAT: Final = "CycloneDX"
VERSIONS: Final = frozenset({"1.4", "1.5", "1.6", "1.7"})

_NO_PACKAGES: Final = frozenset({"file", "data", "operating-system", "cryptographic-asset"})
_ALGORITHMS: Final = {"SHA-256": "sha256", "SHA-512": "sha512"}
_IMAGE_ID: Final = "aquasecurity:trivy:ImageID"
_REPO_DIGEST: Final = "aquasecurity:trivy:RepoDigest"


def read(content: bytes) -> Components:
    """A bill without any package is `evidence-empty`."""
    bill = Fields.read(content)
    if bill.optional_text("bomFormat") != FORMAT or bill.optional_text("specVersion") not in VERSIONS:
        found = f"{bill.optional_text('bomFormat')!r:.40} {bill.optional_text('specVersion')!r:.40}"
        raise malformed(f"`bomFormat` and `specVersion` are {found}, and not CycloneDX 1.4 to 1.7")
    metadata = bill.object("metadata")
    packages = {
        tuple(one.optional_text(name) for name in ("type", "group", "name", "version", "purl"))
        for one in _all(bill)
        if one.text("type") not in _NO_PACKAGES and one.text("name")
    }
    if not packages:
        raise empty("the bill of materials lists no package")
    return Components(
        number=len(packages),
        about=tuple(dict.fromkeys(_names(metadata.object("component")))),
        made_at=metadata.time("timestamp"),
    )


def _all(bill: Fields) -> Iterator[Fields]:
    """Components at every depth; those of `metadata.component` are parts of the image too."""
    waiting = [*bill.objects("components"), *bill.object("metadata").object("component").objects("components")]
    while waiting:
        component = waiting.pop()
        yield component
        waiting.extend(component.objects("components"))


def _names(image: Fields) -> Iterator[Digest]:
    yield from digests(image.optional_text("version"), digest_in(image.optional_text("name")))
    yield from digests_in_purl(image.optional_text("purl"))
    for one in image.objects("hashes"):
        yield from digests(f"{_ALGORITHMS.get(one.optional_text('alg'), '')}:{one.optional_text('content')}")
    for one in image.objects("properties"):
        value = one.optional_text("value")
        if one.optional_text("name") == _IMAGE_ID:
            yield from digests(value)
        elif one.optional_text("name") == _REPO_DIGEST:
            yield from digests(digest_in(value))
