"""Identity tokens and registry tokens: what is asked of the token server, and what the registry is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from registries.credentials import Credentials
from tests import faults
from tests.faults import FaultRegistry, Reply, Seen
from tests.talk import CANARY, get, opened, post, refused


def kept(folder: Path, host: str, entry: dict[str, str]) -> Credentials:
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}))
    return Credentials({"DOCKER_CONFIG": str(folder)}, home=None)


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    """One whose token server takes the canary as a refresh token, as distribution's OAuth2 specification says."""
    with FaultRegistry(login=("nobody", "x"), bearer=True) as registry:
        registry.put_blob("app", b"")

        def grant(seen: Seen, _: faults.Answer) -> Reply:
            form = parse_qs(seen.body.decode())
            if form.get("refresh_token") != [CANARY] or form.get("grant_type") != ["refresh_token"]:
                return Reply(status=400, body=b'{"error": "invalid_grant"}')
            token = f"token{len(registry.tokens)}"
            registry.tokens[token] = form["scope"][0].split(" ")
            return Reply(body=json.dumps({"access_token": token, "expires_in": 300, "refresh_token": "x"}).encode())

        registry.rule("POST", "/token", grant)
        yield registry


def asked(registry: FaultRegistry) -> list[dict[str, Any]]:
    return [parse_qs(seen.body.decode()) for seen in registry.requests if seen.path == "/token"]


def test_an_identity_token_is_traded_for_an_access_token_by_a_form(registry: FaultRegistry, tmp_path: Path) -> None:
    logins = kept(tmp_path, registry.host, {"identitytoken": CANARY})
    with opened(registry.host, logins) as transport:
        assert b"app" in get(transport)
        assert b"app" in get(transport)
        assert post(transport) == 202
    common = {"grant_type": ["refresh_token"], "refresh_token": [CANARY], "client_id": ["samebits"]}
    pull, push = asked(registry)
    assert pull == common | {"service": ["faults"], "scope": ["repository:app:pull"]}
    assert push == common | {"service": ["faults"], "scope": ["repository:app:pull,push"]}
    forms = [seen.headers["content-type"] for seen in registry.requests if seen.path == "/token"]
    assert set(forms) == {"application/x-www-form-urlencoded"}
    assert not any(CANARY in f"{seen.path} {seen.headers}" for seen in registry.requests)


def test_a_dry_run_trades_it_too(registry: FaultRegistry, tmp_path: Path) -> None:
    with opened(registry.host, kept(tmp_path, registry.host, {"identitytoken": CANARY}), read_only=True) as transport:
        assert b"app" in get(transport)


@pytest.mark.parametrize("status", [400, 401])
def test_an_identity_token_that_is_no_longer_valid_is_a_refused_login(
    registry: FaultRegistry, tmp_path: Path, status: int
) -> None:
    with FaultRegistry() as other:
        other.rule("GET", "/v2/", faults.challenge(f'Bearer realm="{other.url}/token"'))
        other.rule("POST", "/token", faults.status(status, body=f"no {CANARY}".encode()))
        with opened(other.host, kept(tmp_path, other.host, {"identitytoken": CANARY})) as transport:
            error = refused(transport)
    assert error.code == "credentials-refused"
    assert str(tmp_path / "config.json") in str(error)
    assert error.reasons[0].hint == f"docker login {other.host}"


@pytest.mark.parametrize("entry", [{"identitytoken": CANARY}, {"registrytoken": CANARY}])
def test_where_a_password_is_asked_for_a_token_is_none(tmp_path: Path, entry: dict[str, str]) -> None:
    with FaultRegistry(login=("robot", "x")) as registry:
        with opened(registry.host, kept(tmp_path, registry.host, entry)) as transport:
            assert refused(transport).code == "credentials-unsupported"
        assert not any("authorization" in seen.headers for seen in registry.requests)


def test_a_registry_token_is_shown_as_it_is(registry: FaultRegistry, tmp_path: Path) -> None:
    registry.tokens["registry-token"] = ["repository:app:pull"]
    with opened(registry.host, kept(tmp_path, registry.host, {"registrytoken": "registry-token"})) as transport:
        assert b"app" in get(transport)
    assert asked(registry) == []
    assert registry.requests[-1].headers["authorization"] == "Bearer registry-token"


def test_a_registry_token_that_is_not_taken_is_a_refused_login(registry: FaultRegistry, tmp_path: Path) -> None:
    with opened(registry.host, kept(tmp_path, registry.host, {"registrytoken": CANARY})) as transport:
        assert refused(transport).code == "credentials-refused"
        assert transport.requests == 2


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Injected: b", "ä"])
def test_a_registry_token_that_is_none_is_not_shown(registry: FaultRegistry, tmp_path: Path, token: str) -> None:
    with opened(registry.host, kept(tmp_path, registry.host, {"registrytoken": token})) as transport:
        assert refused(transport).code == "credentials-malformed"
        assert transport.requests == 1
