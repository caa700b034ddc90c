"""A Sigstore instance as its clients are told of it: where to sign, and what its signatures are verified with.

Source: Sigstore protobuf-specs, `sigstore_trustroot.proto`, JSON form: ClientTrustConfig v0.1, or a SigningConfig v0.2
with a TrustedRoot v0.1 beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registries.errors import ContentError, UsageError
from registries.limits import MIB
from registries.strict_json import dumps, loads_object

TRUST_CONFIG_BYTES: Final = 4 * MIB

_CLIENT: Final = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
_SIGNING: Final = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
_ROOT: Final = "application/vnd.dev.sigstore.trustedroot"
_HINT: Final = "--trust-config FILE: a client trust config, or a signing config and a trusted root"

# cosign leaves empty lists out and writes empty selectors; sigstore's reader wants the lists, and no empty selector
_ROOT_LISTS: Final = ("tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities")
_SIGNING_LISTS: Final = ("caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls")
_SELECTORS: Final = ("rekorTlogConfig", "tsaConfig")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustConfig:
    """One instance: its client trust config as sigstore reads it, and its trusted root as a file of its own."""

    client: bytes
    trusted_root: bytes

    @classmethod
    def of(cls, files: Sequence[tuple[str, bytes]]) -> TrustConfig:
        """From the files that were named, each its name and content: `trust-config-malformed`."""
        parts = [part for name, content in files for part in _parts(name, content)]
        if sorted(kind for kind, _ in parts) != ["signing config", "trusted root"]:
            where = ", ".join(name for name, _ in files)
            message = "there must be one signing config and one trusted root"
            raise UsageError("trust-config-malformed", message, where=where, hint=_HINT)
        found = dict(parts)
        root = {**{name: [] for name in _ROOT_LISTS}, **found["trusted root"]}
        signing = {**{name: [] for name in _SIGNING_LISTS}, **found["signing config"]}
        signing = {name: value for name, value in signing.items() if name not in _SELECTORS or value}
        client = {"mediaType": _CLIENT, "trustedRoot": root, "signingConfig": signing}
        return cls(client=dumps(client), trusted_root=dumps(root))


def _parts(name: str, content: bytes) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """What a file holds: a signing config, a trusted root, or both."""
    try:
        value = loads_object(content, limit=TRUST_CONFIG_BYTES)
    except ContentError as error:
        raise _malformed(error.reasons[0].message, name) from error
    kind = value.get("mediaType")
    if kind == _CLIENT:
        return (
            ("signing config", _object(value, "signingConfig", name)),
            ("trusted root", _object(value, "trustedRoot", name)),
        )
    if kind == _SIGNING:
        return (("signing config", value),)
    if isinstance(kind, str) and kind.startswith(_ROOT):
        return (("trusted root", value),)
    raise _malformed(f"{kind!r:.80} is neither a client trust config, a signing config nor a trusted root", name)


def _object(value: Mapping[str, Any], member: str, name: str) -> Mapping[str, Any]:
    found = value.get(member)
    if not isinstance(found, dict):
        raise _malformed(f"`{member}` is no object", name)
    return found


def _malformed(message: str, name: str) -> UsageError:
    return UsageError("trust-config-malformed", message, where=name, hint=_HINT)
