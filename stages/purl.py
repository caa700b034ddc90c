"""Package URLs, as far as samebits compares them: type, namespace, name and version.

Source: the purl specification, "Parse": the parts are percent-encoded, qualifiers and subpath say nothing about which
package it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from registries.digest import Digest
from registries.errors import ContentError

_PURL = re.compile(r"pkg:/{0,2}([A-Za-z][A-Za-z0-9.+-]*)/(?:([^@?#]+)/)?([^/@?#]+)(?:@([^?#]+))?(?:\?[^#]*)?(?:#.*)?")
_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_IMAGES = frozenset({"oci", "docker"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Purl:
    """One package; without a version, every one of them."""

    type: str
    namespace: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is no package URL."""
        found = _PURL.fullmatch(text)
        if found is None:
            return None
        kind, namespace, name, version = (_decoded(part or "") for part in found.groups())
        return cls(type=kind.lower(), namespace=namespace.strip("/"), name=name, version=version)

    @property
    def image(self) -> Digest | None:
        """The digest of the image that it names; an image without one could be any."""
        if self.type not in _IMAGES:
            return None
        try:
            return Digest.parse(self.version)
        except ContentError:
            return None

    def is_package(self, package: str, version: str, purl: str) -> bool:
        """Whether this is the package in which something was found; where the finding has a URL, that one decides."""
        if self.version and self.version != version:
            return False
        other = Purl.parse(purl)
        if other is not None:
            return (self.type, self.namespace, self.name) == (other.type, other.namespace, other.name)
        names = (self.name, f"{self.namespace}/{self.name}", f"{self.namespace}:{self.name}")
        return package in names


def _decoded(part: str) -> str:
    return _ENCODED.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode(errors="replace"), part)
