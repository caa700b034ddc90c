"""Where an identity token comes from, and what is said of one that no authority would take."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from attestations.signers.tokens import TOKEN_BYTES, TokenSource, check_claims, find_token
from registries.errors import Refusal

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = NOW.timestamp() + 600
GOOD = {"aud": "sigstore", "exp": LATER}


def jwt(claims: Any) -> str:
    parts = (b'{"alg":"RS256"}', claims if isinstance(claims, bytes) else json.dumps(claims).encode(), b"signature")
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def find(
    tmp_path: Path, *, named: str | None = None, environment: Mapping[str, str] | None = None, ci: str | None = None
) -> TokenSource:
    return find_token(
        named,
        environment or {},
        read_file=Path.read_bytes,
        detect=lambda audience: ci and f"{ci} for {audience}",
        token_file=tmp_path / "oidc-token",
    )


def test_what_was_named_comes_before_variables_the_file_and_the_ci(tmp_path: Path) -> None:
    (tmp_path / "oidc-token").write_text("of the file\n")
    (tmp_path / "mine").write_text(" mine \n")
    variables = {"SIGSTORE_ID_TOKEN": "first", "SIGSTORE_IDENTITY_TOKEN": "second"}
    assert find(tmp_path, named="given", environment=variables).fetch() == "given"
    assert find(tmp_path, named=f"@{tmp_path}/mine", environment=variables).fetch() == "mine"
    assert find(tmp_path, environment=variables).fetch() == "first"
    assert find(tmp_path, environment={"SIGSTORE_IDENTITY_TOKEN": "second"}).fetch() == "second"
    assert find(tmp_path, environment={"GITHUB_ACTIONS": "true"}).fetch() == "of the file"


def test_a_file_is_read_again_for_each_token(tmp_path: Path) -> None:
    file = tmp_path / "oidc-token"
    file.write_text("one")
    source = find(tmp_path)
    assert source.fetch() == "one"
    file.write_text("two")
    assert source.fetch() == "two"


def test_the_ci_is_asked_for_the_audience_of_sigstore(tmp_path: Path) -> None:
    may_ask = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t"}
    source = find(tmp_path, environment=may_ask, ci="a token")
    assert (source.name, source.fetch()) == ("GitHub", "a token for sigstore")


def test_without_any_identity_it_is_said_where_one_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        find(tmp_path)
    assert refusal.value.code == "key-missing"
    with pytest.raises(Refusal) as refusal:
        find(tmp_path, environment={"BUILDKITE": "true"}).fetch()
    assert refusal.value.code == "key-missing"
    for place in ("SIGSTORE_ID_TOKEN", "SIGSTORE_IDENTITY_TOKEN", "oidc-token", "CI"):
        assert place in str(refusal.value)
    assert "--key" in refusal.value.reasons[0].hint


@pytest.mark.parametrize(
    ("environment", "line"),
    [({"GITHUB_ACTIONS": "true"}, "id-token: write"), ({"GITLAB_CI": "true"}, "SIGSTORE_ID_TOKEN: {aud: sigstore}")],
)
def test_a_job_that_may_have_no_token_is_told_the_line_that_is_missing(
    tmp_path: Path, environment: Mapping[str, str], line: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        find(tmp_path, environment=environment)
    assert refusal.value.code == "identity-not-granted"
    assert line in refusal.value.reasons[0].hint


def test_a_token_is_in_no_text_about_its_source(tmp_path: Path) -> None:
    source = find(tmp_path, named="s3cr3t-canary")
    assert "s3cr3t-canary" not in f"{source!r} {source.name}"


def test_a_token_for_sigstore_that_has_not_expired_is_sent() -> None:
    check_claims(jwt(GOOD), NOW, where="here")
    check_claims(jwt({**GOOD, "aud": ["other", "sigstore"]}), NOW, where="here")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("", "identity-malformed"),
        ("only.two", "identity-malformed"),
        ("a.b.c.d", "identity-malformed"),
        ("a.ä.c", "identity-malformed"),
        (jwt(b"[]"), "identity-malformed"),
        (jwt(b'{"aud":"sigstore","aud":"sigstore","exp":9e9}'), "identity-malformed"),
        (jwt({"aud": "sigstore"}), "identity-malformed"),
        (jwt({"aud": "sigstore", "exp": "soon"}), "identity-malformed"),
        (jwt({**GOOD, "pad": "x" * TOKEN_BYTES}), "identity-malformed"),
        (jwt({"exp": LATER}), "identity-audience-mismatch"),
        (jwt({**GOOD, "aud": "other"}), "identity-audience-mismatch"),
        (jwt({**GOOD, "aud": []}), "identity-audience-mismatch"),
        (jwt({**GOOD, "exp": NOW.timestamp()}), "identity-expired"),
        (jwt({**GOOD, "exp": -1e300}), "identity-expired"),
    ],
)
def test_a_token_that_no_authority_would_take_is_not_sent(token: str, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        check_claims(token, NOW, where="here")
    assert refusal.value.code == code
    assert not token or token not in str(refusal.value)
