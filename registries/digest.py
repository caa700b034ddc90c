"""A digest names bytes; it is valid by construction and checks its own content.

Source: OCI image-spec 1.1, descriptor.md, "Digests".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from registries.errors import ContentError

if TYPE_CHECKING:
    from hashlib import _Hash

_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
_GRAMMAR = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)")
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm:hex` of some bytes, sha256 or sha512. Compare digests only with digests, never with text."""

    algorithm: str
    hex: str

    def __post_init__(self) -> None:
        length = _HEX_LENGTH.get(self.algorithm)
        if length is None:
            raise ContentError(
                "algorithm-not-allowed", f"digest algorithm {self.algorithm!r} is not one of sha256, sha512"
            )
        if len(self.hex) != length or not _HEX.fullmatch(self.hex):
            raise ContentError(
                "digest-malformed", f"a {self.algorithm} digest has {length} lower-case hexadecimal digits"
            )

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…`; anything else raises `digest-malformed` or `algorithm-not-allowed`."""
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise ContentError("digest-malformed", f"{text!r} is not a digest")
        return cls(match[1], match[2])

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of these bytes."""
        if algorithm not in _HEX_LENGTH:
            raise ContentError("algorithm-not-allowed", f"digest algorithm {algorithm!r} is not allowed")
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def hasher(self) -> _Hash:
        """A fresh hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def check(self, content: bytes, *, where: str = "") -> bytes:
        """Return `content` if it is what this digest names, else raise `digest-mismatch`."""
        found = Digest.of(content, self.algorithm)
        if found != self:
            raise ContentError("digest-mismatch", f"expected {self}, the bytes hash to {found}", where=where)
        return content

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
