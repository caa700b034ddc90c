"""How a registry asks for a login, and whether the token server that it names may see one.

Sources: RFC 9110 section 11; distribution "Token Authentication Specification".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from registries.errors import ContentError, Unauthorized
from registries.origin import Origin, is_address

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf"[ \t]*(?:(?P<scheme>{_WORD})[ \t]+)?(?P<name>{_WORD})[ \t]*=[ \t]*"
    rf'(?:"(?P<quoted>(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)"|(?P<plain>{_WORD}))[ \t]*(?:,|$)'
)
_BARE_SCHEME: Final = re.compile(rf"[ \t]*(?P<scheme>{_WORD})[ \t]*(?:,|$)")
_COUNTRY_CATEGORY: Final = re.compile(r"[^.]{1,3}\.[^.]{2}")

# Under these names every customer has a host of their own, so that neighbours are strangers.
_SHARED_DOMAINS: Final = frozenset(
    {"amazonaws.com", "azurecr.io", "azurewebsites.net", "cloudfront.net", "cloudsmith.io", "fly.dev", "github.io"}
    | {"gitlab.io", "herokuapp.com", "jfrog.io", "ngrok.app", "ngrok.io", "on.aws", "pkg.dev", "run.app", "workers.dev"}
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a registry asks for a login: `basic`, or `bearer` with the token server's URL and the service's name."""

    scheme: str
    realm: str = ""
    service: str = ""

    @classmethod
    def read(cls, header: str, *, where: str = "") -> Challenge:
        """From WWW-Authenticate (RFC 9110, 11.6.1), bearer first; `challenge-unsupported` when it can't be met."""
        offers = _offers(header, where)
        if "bearer" in offers:
            return cls("bearer", offers["bearer"].get("realm", ""), offers["bearer"].get("service", ""))
        if "basic" in offers:
            return cls("basic")
        asked = ", ".join(sorted(offers)) or "nothing that can be met"
        raise _unsupported(f"the registry asks for {asked}; samebits knows Basic and Bearer", where)


def check_realm(
    realm: str,
    registry: Origin,
    *,
    trusted: frozenset[str] = frozenset(),
    may_be_plain: Callable[[Origin], bool] = lambda _: False,
    where: str = "",
) -> None:
    """Whether a login for `registry` may be shown to this token server; else `token-realm-refused` or `tls-downgrade`.

    Believed are: the registry's own origin; over https also its host name at another port (a certificate for the same
    name vouches for it), the domain directly above it and the neighbours below that domain (`registry.gitlab.com` and
    `gitlab.com`, `registry-1.docker.io` and `auth.docker.io`), and the `HOST` or `HOST:PORT` in `trusted`, which the
    user named, and which may do without TLS only if they `may_be_plain`. Neighbours do not count where every customer
    has a host of their own.
    """
    try:
        place = Origin.of(realm)
    except ContentError as error:
        raise _realm_refused("its token server's address is no plain http or https URL", where) from error
    if place == registry:
        return
    if place.scheme != "https" and registry.scheme == "https":
        raise ContentError("tls-downgrade", f"{registry} names a token server without TLS, {place}", where=where)
    if place.is_among(trusted) and (place.scheme == "https" or may_be_plain(place)):
        return
    if place.scheme != "https" or not (place.host == registry.host or _neighbours(registry.host, place.host)):
        hint = f"--allow-host {place.host}:{place.port}, if it is the registry's token server"
        raise _realm_refused(f"its challenge names {place} as the token server", where, hint)


def _offers(header: str, where: str) -> dict[str, dict[str, str]]:
    """Each scheme, in lower case, with its parameters. Anything outside the grammar refuses the whole header."""
    offers: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] | None = None
    position = 0
    while position < len(header):
        match = _PARAMETER.match(header, position) or _BARE_SCHEME.match(header, position)
        if match is None:
            raise _unsupported("its WWW-Authenticate header is malformed", where)
        position = match.end()
        found = match.groupdict()
        if found["scheme"] is not None:
            parameters = offers.setdefault(found["scheme"].lower(), {})
        if "name" in found:
            name, quoted = found["name"].lower(), found["quoted"]
            if parameters is None or name in parameters:
                raise _unsupported("its WWW-Authenticate header is ambiguous", where)
            parameters[name] = found["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return offers


def _neighbours(registry: str, other: str) -> bool:
    domain = registry.partition(".")[2]
    return _is_one_owners(domain) and not is_address(registry) and (other == domain or other.endswith(f".{domain}"))


def _is_one_owners(domain: str) -> bool:
    """Whether all hosts below have one owner; not so below `com`, `co.uk` or what a cloud rents out."""
    if "." not in domain or any(f".{domain}".endswith(f".{shared}") for shared in _SHARED_DOMAINS):
        return False
    return _COUNTRY_CATEGORY.fullmatch(domain) is None


def _unsupported(why: str, where: str) -> Unauthorized:
    return Unauthorized("challenge-unsupported", why, where=where)


def _realm_refused(why: str, where: str, hint: str = "") -> ContentError:
    return ContentError("token-realm-refused", f"no login is shown there: {why}", where=where, hint=hint)
