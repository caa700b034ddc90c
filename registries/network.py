"""The way to the registries of one run: proxies, authorities, and the hosts that the user made exceptions for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from registries.authorities import Authorities
from registries.errors import UsageError
from registries.origin import Origin, is_loopback

Resolve = Callable[..., list[Any]]
"""Host, port and socket type to what `socket.getaddrinfo` answers; tests pass their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the outside is reached. `allowed` are the `HOST[:PORT]` that a registry may send us to wherever they lie."""

    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    plain_http: frozenset[str] = frozenset()
    allowed: frozenset[str] = frozenset()
    authorities: Authorities = field(default_factory=Authorities)
    resolve: Resolve = socket.getaddrinfo

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        *,
        plain_http: Iterable[str] = (),
        allowed: Iterable[str] = (),
        registry_ca: Iterable[str] = (),
    ) -> Network:
        """From the customary variables (of a proxy's two spellings the lower-case one wins, as in curl) and options."""
        exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        return cls(
            http_proxy=environment.get("http_proxy") or environment.get("HTTP_PROXY"),
            https_proxy=environment.get("https_proxy") or environment.get("HTTPS_PROXY"),
            no_proxy=tuple(entry.strip().lower() for entry in exceptions.split(",") if entry.strip()),
            plain_http=frozenset(host.lower() for host in plain_http),
            allowed=frozenset(host.lower() for host in allowed),
            authorities=Authorities.of(environment, dict(_host_and_file(text) for text in registry_ca)),
        )

    def proxy(self, place: Origin) -> str | None:
        """The proxy for this origin. Loopback never goes through one."""
        proxy = self.http_proxy if place.scheme == "http" else self.https_proxy
        if not proxy or is_loopback(place.host) or any(_excepts(entry, place) for entry in self.no_proxy):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def may_be_plain(self, place: Origin) -> bool:
        """Whether this host may be reached without TLS."""
        return is_loopback(place.host) or place.is_among(self.plain_http)


def _host_and_file(text: str) -> tuple[str, str]:
    host, equals, file = text.partition("=")
    if not (host and equals and file):
        raise UsageError("usage", f"--registry-ca: {text!r} is not HOST=FILE")
    return host.lower(), file


def _excepts(entry: str, place: Origin) -> bool:
    """Whether an entry of NO_PROXY means this host: `*`, name, `.name`, `name:port`, address or network."""
    host = place.host.strip("[]")
    if entry == "*" or entry in (host, f"{place.host}:{place.port}"):
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        name = entry.removesuffix(f":{place.port}").lstrip("*").lstrip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
