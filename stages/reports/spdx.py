"""SPDX 2.3 as JSON and SPDX 3.0 as JSON-LD: how many packages, and of which image the document says it is.

Sources: SPDX 2.3, "Package information" and "Relationships" (what the document DESCRIBES); SPDX 3.0.1, "SpdxDocument"
(`rootElement`), "Package", and its JSON-LD serialisation (one flat `@graph`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from registries.digest import Digest
from stages.report import Components, empty, malformed
from stages.reports.fields import Fields, digest_in, digests, digests_in_purl

V2: Final = "SPDX-2.3"
_CONTEXT: Final = re.compile(r"https://spdx\.org/rdf/3\.0\.\d{1,2}/spdx-context\.jsonld", re.ASCII)

_NO_PACKAGES: Final = frozenset({"file", "data", "operatingsystem", "operating-system"})  # as 3.0 and 2.3 write it
_PACKAGES_V3: Final = frozenset({"software_Package", "ai_AIPackage"})
_ALGORITHMS: Final = {"SHA256": "sha256", "SHA512": "sha512", "sha256": "sha256", "sha512": "sha512"}
_DOCUMENT: Final = "SPDXRef-DOCUMENT"


def read(content: bytes) -> Components:
    """A document without any package is `evidence-empty`."""
    document = Fields.read(content)
    if "@context" in document.value or "@graph" in document.value:
        return _v3(document)
    if document.optional_text("spdxVersion") != V2:
        raise malformed(
            f"`spdxVersion` is {document.optional_text('spdxVersion')!r:.40}, and not {V2}; no `@graph` either"
        )
    packages = {one.text("SPDXID"): one for one in document.objects("packages")}
    roots = [packages[root] for root in _described(document) if root in packages]
    return Components(
        number=_counted([one for one in packages.values() if not _is_root(one, roots)], "primaryPackagePurpose"),
        about=tuple(dict.fromkeys(digest for root in roots for digest in _names_v2(root))),
        made_at=document.object("creationInfo").time("created"),
    )


def _described(document: Fields) -> Iterator[str]:
    yield from document.texts("documentDescribes")
    for relationship in document.objects("relationships"):
        kind = relationship.optional_text("relationshipType")
        one, other = relationship.optional_text("spdxElementId"), relationship.optional_text("relatedSpdxElement")
        if kind == "DESCRIBES" and one == _DOCUMENT:
            yield other
        elif kind == "DESCRIBED_BY" and other == _DOCUMENT:
            yield one


def _is_root(package: Fields, roots: Sequence[Fields]) -> bool:
    """Whether it is the image itself, and so nothing in it. A document about packages alone describes these."""
    return len(roots) == 1 and package is roots[0]


def _names_v2(image: Fields) -> Iterator[Digest]:
    yield from digests(image.optional_text("versionInfo"), digest_in(image.optional_text("name")))
    for one in image.objects("checksums"):
        yield from digests(
            f"{_ALGORITHMS.get(one.optional_text('algorithm'), '')}:{one.optional_text('checksumValue')}"
        )
    for one in image.objects("externalRefs"):
        if one.optional_text("referenceType") == "purl":
            yield from digests_in_purl(one.optional_text("referenceLocator"))
    for text in image.texts("attributionTexts"):
        name, _, value = text.partition(": ")
        if name == "ImageID":
            yield from digests(value)
        elif name == "RepoDigest":
            yield from digests(digest_in(value))


def _v3(document: Fields) -> Components:
    context = document.value.get("@context")
    if not isinstance(context, str) or not _CONTEXT.fullmatch(context):
        raise malformed(f"`@context` is {context!r:.80}, and not that of SPDX 3.0")
    elements = document.objects("@graph")
    known = {one.optional_text("spdxId"): one for one in elements if one.optional_text("spdxId")}
    roots = [one for one in _roots_v3(elements, known) if one.optional_text("type") in _PACKAGES_V3]
    packages = [one for one in known.values() if one.optional_text("type") in _PACKAGES_V3]
    return Components(
        number=_counted([one for one in packages if not _is_root(one, roots)], "software_primaryPurpose"),
        about=tuple(dict.fromkeys(digest for root in roots for digest in _names_v3(root))),
        made_at=_created_v3(elements),
    )


def _roots_v3(elements: Sequence[Fields], known: Mapping[str, Fields]) -> Iterator[Fields]:
    """What the document is about; where that is a bill, what the bill is about."""
    waiting = [
        root for one in elements if one.optional_text("type") == "SpdxDocument" for root in one.texts("rootElement")
    ]
    seen = set[str]()
    while waiting:
        root = waiting.pop()
        if root in known and root not in seen:
            seen.add(root)
            yield known[root]
            waiting.extend(known[root].texts("rootElement"))


def _names_v3(image: Fields) -> Iterator[Digest]:
    yield from digests(image.optional_text("software_packageVersion"), digest_in(image.optional_text("name")))
    yield from digests_in_purl(image.optional_text("software_packageUrl"))
    for one in image.objects("verifiedUsing"):
        yield from digests(f"{_ALGORITHMS.get(one.optional_text('algorithm'), '')}:{one.optional_text('hashValue')}")
    for one in image.objects("externalIdentifier"):
        if one.optional_text("externalIdentifierType") == "packageUrl":
            yield from digests_in_purl(one.optional_text("identifier"))


def _created_v3(elements: Sequence[Fields]) -> datetime | None:
    """When the document was created; of several times the oldest."""
    times = [one.time("created") for one in elements if one.optional_text("type") == "CreationInfo"]
    return min((time for time in times if time is not None), default=None)


def _counted(packages: Sequence[Fields], purpose: str) -> int:
    purposes = [one.optional_text(purpose).lower() for one in packages if one.text("name")]
    number = sum(1 for told in purposes if told not in _NO_PACKAGES)
    if not number:
        raise empty("the document lists no package")
    return number
