"""OpenVEX documents, version 0.2.0: whether vulnerabilities affect products, as somebody said at some time.

Source: OpenVEX specification v0.2.0; its ATTESTING.md for statements that name no product.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from registries.digest import Digest
from stages.report import empty, malformed
from stages.reports.fields import Fields, digests
from stages.reports.wrapped import unwrapped
from stages.vex import Component, Product, Status, VexDocument, VexStatement

TYPES: Final = ("https://openvex.dev/ns", "https://openvex.dev/ns/v0.2.0")
_HASHES: Final = {"sha-256": "sha256", "sha256": "sha256", "sha-512": "sha512", "sha512": "sha512"}


def read(content: bytes) -> VexDocument:
    """A document without statements is `evidence-empty`; one statement that is not understood refuses them all."""
    document, _ = unwrapped(Fields.read(content), TYPES)
    context = document.text("@context")
    if context not in TYPES:
        raise malformed(f"`@context` is {context!r:.80}, and not OpenVEX 0.2.0")
    statements = document.objects("statements")
    if not statements:
        raise empty("the document has no `statements`")
    issued = document.time("timestamp")
    return VexDocument(author=document.text("author"), statements=tuple(_statement(one, issued) for one in statements))


def _statement(found: Fields, issued: datetime | None) -> VexStatement:
    vulnerability = found.object("vulnerability")
    said_at = found.time("last_updated") or found.time("timestamp") or issued
    if said_at is None:
        raise malformed(f"`{found.path}` has no time, and neither has the document")
    word = found.text("status")
    if word not in {str(status) for status in Status}:
        raise malformed(f"`{found.path}.status` is {word!r:.60}")
    return VexStatement(
        vulnerability=vulnerability.text("name"),
        aliases=vulnerability.texts("aliases"),
        products=tuple(map(_product, found.objects("products"))) if "products" in found.value else None,
        status=Status(word),
        justification=found.optional_text("justification"),
        said_at=said_at,
    )


def _product(found: Fields) -> Product:
    parts = found.objects("subcomponents")
    return Product(
        component=_component(found),
        subcomponents=tuple(map(_component, parts)) if "subcomponents" in found.value else None,
    )


def _component(found: Fields) -> Component:
    names = (found.optional_text("@id"), found.object("identifiers").optional_text("purl"))
    return Component(
        purls=tuple(dict.fromkeys(name for name in names if name.startswith("pkg:"))),
        digests=tuple(_digests(found.object("hashes"))),
    )


def _digests(hashes: Fields) -> Iterator[Digest]:
    for name in hashes.value:
        if algorithm := _HASHES.get(name.lower()):
            yield from digests(f"{algorithm}:{hashes.text(name)}")
