"""The files that describe a Sigstore instance, as sigstore and as cosign write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attestations.signers.trust_config import TRUST_CONFIG_BYTES, TrustConfig
from registries.errors import Refusal

ROOT: dict[str, Any] = {
    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "tlogs": [],
    "certificateAuthorities": [],
    "ctlogs": [],
    "timestampAuthorities": [],
}
SERVICE = {
    "url": "http://127.0.0.1:1",
    "majorApiVersion": 1,
    "validFor": {"start": "2026-01-01T00:00:00Z"},
    "operator": "x",
}
SIGNING: dict[str, Any] = {
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "caUrls": [SERVICE],
    "oidcUrls": [],
    "rekorTlogUrls": [SERVICE],
    "rekorTlogConfig": {"selector": "ANY"},
    "tsaUrls": [],
}
CLIENT = {
    "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
    "trustedRoot": ROOT,
    "signingConfig": SIGNING,
}


def read(*values: Any) -> TrustConfig:
    contents = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    return TrustConfig.of([(f"file{number}", content) for number, content in enumerate(contents)])


def test_a_client_trust_config_and_its_two_parts_are_the_same() -> None:
    whole = read(CLIENT)
    assert whole == read(SIGNING, ROOT) == read(ROOT, SIGNING)
    assert json.loads(whole.trusted_root) == ROOT
    assert json.loads(whole.client)["signingConfig"] == SIGNING


def test_what_cosign_leaves_out_or_empty_is_written_as_sigstore_reads_it() -> None:
    bare_root = {"mediaType": ROOT["mediaType"]}
    bare_signing = {"mediaType": SIGNING["mediaType"], "caUrls": [SERVICE], "rekorTlogConfig": {}, "tsaConfig": {}}
    made = read(bare_root, bare_signing)
    assert json.loads(made.trusted_root) == ROOT
    signing = json.loads(made.client)["signingConfig"]
    assert signing["tsaUrls"] == signing["rekorTlogUrls"] == signing["oidcUrls"] == []
    assert "rekorTlogConfig" not in signing
    assert "tsaConfig" not in signing


@pytest.mark.parametrize(
    "values",
    [
        (),
        (ROOT,),
        (SIGNING,),
        (CLIENT, ROOT),
        (ROOT, ROOT),
        (b"{",),
        (b"[]",),
        ({"mediaType": "application/json"},),
        ({"mediaType": 1},),
        ({**CLIENT, "trustedRoot": []},),
        ({"mediaType": CLIENT["mediaType"], "trustedRoot": ROOT},),
        (b'{"mediaType": "x", "mediaType": "x"}',),
        (b" " * (TRUST_CONFIG_BYTES + 1),),
    ],
)
def test_anything_else_is_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(Refusal) as refusal:
        read(*values)
    assert refusal.value.code == "trust-config-malformed"
