"""Which IP addresses a registry may send us to: not those inside our network, unless it is there itself.

A redirect, an upload location or a token server that a registry names could otherwise make a CI job ask what only the
job can reach: the cloud's metadata service, a neighbour without a login, loopback.
Source: IANA IPv4 and IPv6 Special-Purpose Address Registries.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_INTERNAL: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers; also the metadata service of Alibaba
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; also the metadata service of Oracle
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # IPv4 behind a translator
        "64:ff9b:1::/48",  # the same, local
        "100::/64",  # discarded
        "2001::/23",  # protocol assignments, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique-local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local, deprecated
        "ff00::/8",  # multicast
    )
)
_TRANSLATED: Final = ip_network("64:ff9b::/96")


def is_internal(address: Address) -> bool:
    """Whether this address may mean another machine, or none, depending on where one is."""
    return any(address in network for network in _INTERNAL if network.version == address.version)


def may_be_sent_to(address: Address, own: frozenset[Address]) -> bool:
    """Whether a registry that lies at the addresses `own` may send us to `address`: public ones, and its own.

    Where the registry itself is behind the translator of RFC 6052 (a network without IPv4), it is the IPv4 address
    inside that counts.
    """
    if address in own or not is_internal(address):
        return True
    if address not in _TRANSLATED or not any(known in _TRANSLATED for known in own):
        return False
    return not is_internal(IPv4Address(int(address) & 0xFFFF_FFFF))


def read(text: str) -> Address | None:
    """The address that a host of a URL is, and not a name."""
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None
