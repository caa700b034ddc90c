"""The environment variables that never leave this process: what signs, or gets what signs."""

from __future__ import annotations

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
"""Not handed on to the command of a step, not even by name."""
