from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from registries.addresses import is_internal, may_be_sent_to, read

PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.167.255.255", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_not_internal(text: str) -> None:
    assert not is_internal(ip_address(text))
    assert may_be_sent_to(ip_address(text), frozenset())


@pytest.mark.parametrize(
    "network",
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10"],
)
def test_internal_networks_are_internal_from_their_first_address_to_their_last(network: str) -> None:
    whole = ip_network(network)
    assert is_internal(whole[0])
    assert is_internal(whole[-1])


def test_a_registry_may_name_its_own_address_and_no_neighbour() -> None:
    own = frozenset({ip_address("10.1.2.3")})
    assert may_be_sent_to(ip_address("10.1.2.3"), own)
    assert not may_be_sent_to(ip_address("10.1.2.4"), own)


def test_behind_a_translator_it_is_the_address_inside_that_counts() -> None:
    own = frozenset({ip_address("64:ff9b::808:808")})
    assert may_be_sent_to(ip_address("64:ff9b::101:101"), own)
    assert not may_be_sent_to(ip_address("64:ff9b::a9fe:a9fe"), own)
    assert not may_be_sent_to(ip_address("64:ff9b::101:101"), frozenset({ip_address("8.8.8.8")}))
    assert not may_be_sent_to(ip_address("10.0.0.1"), own)


def test_an_address_in_a_url_is_read_with_and_without_brackets() -> None:
    assert read("[::1]") == read("::1") == ip_address("::1")
    assert read("registry.example") is None
