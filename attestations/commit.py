"""A git commit as the subject of a statement: what a step on the source was done on, before there is an image.

Source: in-toto attestation, digest_set.md, `gitCommit`. A sha1 commit is exactly as strong as git itself makes it; it
never names an image, and counts for one only where a builder's provenance says that the image was built from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from registries.errors import ContentError

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Commit:
    """The full id of a commit, 40 (sha1) or 64 (sha256) lower-case hexadecimal digits; a short one names nothing."""

    algorithm: ClassVar[str] = "gitCommit"

    hex: str

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            raise ContentError(
                "digest-malformed", f"{self.hex!r:.80} is no commit: 40 or 64 lower-case hexadecimal digits"
            )

    def __str__(self) -> str:
        return f"git:{self.hex}"
