"""What a process finds around itself, read once at the edge and handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PASSPHRASES: Final = ("SAMEBITS_KEY_PASSPHRASE", "COSIGN_PASSWORD")
SECRETS: Final = frozenset(
    {
        *PASSPHRASES,
        "COSIGN_PKCS11_PIN",
        "SAMEBITS_IDENTITY_TOKEN",
        "SIGSTORE_ID_TOKEN",
        "SIGSTORE_IDENTITY_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    }
)
"""What signs, or gets what signs: it is not handed on to the command of a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The environment variables, the current folder and the user's home."""

    environment: Mapping[str, str]
    folder: Path
    home: Path
