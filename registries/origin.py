"""Scheme, host and port of a URL that a registry gave: what may be sent there is decided by these three alone."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from registries.errors import ContentError

DOCKER_HUB_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HIGHEST_PORT: Final = 65535
_PORTS: Final = {"http": 80, "https": 443}

# ASCII only and no `@`, backslash, quote or fragment: nothing that two URL parsers could read differently.
_URL: Final = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][\x21\x24-\x5b\x5d-\x7e]*)?"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL: the only place that a login given to it may go to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Of an absolute http or https URL without user name or fragment; others raise `answer-unexpected`."""
        match = _URL.fullmatch(url)
        if match is None or int(match["port"] or 0) > _HIGHEST_PORT:
            raise ContentError("answer-unexpected", "a registry named an address that is no plain http or https URL")
        scheme = match["scheme"].lower()
        return cls(scheme, match["host"].lower(), int(match["port"] or _PORTS[scheme]))

    def __str__(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def is_among(self, names: Collection[str]) -> bool:
        """Whether one of these `HOST` or `HOST:PORT` means this place."""
        return self.host in names or f"{self.host}:{self.port}" in names


def is_loopback(host: str) -> bool:
    """`localhost`, names below it, and the loopback addresses."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_address(host: str) -> bool:
    """Whether this is an IP address and no name."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
