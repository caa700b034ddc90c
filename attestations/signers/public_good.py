"""The trusted root of Sigstore's public-good instance, as the locked release of sigstore-python brings it.

It is read as a file of that package, without network and without importing its code, so it is pinned by the lock file.
A newer one is named as a file; `sigstore` itself refreshes it by TUF when something is signed.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from registries.errors import UsageError

_STORE: Final = "_store"
_PRODUCTION: Final = "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
_STAGING: Final = "https%3A%2F%2Ftuf-repo-cdn.sigstage.dev"
_NAME: Final = "trusted_root.json"


def trusted_root(*, staging: bool = False) -> bytes:
    """The bytes of the embedded trusted root: `trust-root-malformed` where the installed package has none."""
    place = files("sigstore").joinpath(_STORE, _STAGING if staging else _PRODUCTION, _NAME)
    try:
        return place.read_bytes()
    except OSError as error:
        raise UsageError(
            "trust-root-malformed", "the installed sigstore package has no trusted root", hint="--trusted-root FILE"
        ) from error
