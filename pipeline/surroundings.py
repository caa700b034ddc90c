"""What a process finds around itself, read once at the edge and handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The environment variables, the current folder and the user's home."""

    environment: Mapping[str, str]
    folder: Path
    home: Path
