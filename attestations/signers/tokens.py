"""Where the identity token of a run comes from: named, in the environment, in a file, or from the CI itself.

A token is a secret: it is never printed, kept, or put into a message. Whoever has it can sign as this job for minutes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from registries.errors import ContentError, Refusal, Unauthorized
from registries.limits import KIB
from registries.strict_json import loads_object

AUDIENCE: Final = "sigstore"
TOKEN_VARIABLES: Final = ("SIGSTORE_ID_TOKEN", "SIGSTORE_IDENTITY_TOKEN")
TOKEN_FILE: Final = Path("/var/run/sigstore/cosign/oidc-token")
TOKEN_BYTES: Final = 64 * KIB

_JWT_PARTS: Final = 3
NAME_ONE: Final = "--key FILE, or --identity-token @FILE"
_GITHUB_HINT: Final = "permissions: {id-token: write} in the workflow's job (a pull request from a fork gets none)"
_GITLAB_HINT: Final = "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}} in the job"

ReadFile = Callable[[Path], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """Gives an identity token, a fresh one each time where it can; `name` is how messages name it."""

    name: str
    fetch: Callable[[], str] = field(repr=False)


def find_token(
    named: str | None,
    environment: Mapping[str, str],
    *,
    read_file: ReadFile,
    detect: Callable[[str], str | None],
    token_file: Path = TOKEN_FILE,
) -> TokenSource:
    """The first of: what was named (`@FILE` or the token), a variable, the token file, the CI's own identity.

    `detect` asks the CI for a token of an audience. Nothing found: `key-missing`; a CI that gives no token to this job:
    `identity-not-granted`, with the line that is missing as the hint.
    """
    if named is not None and named.startswith("@"):
        return _from_file(Path(named[1:]), read_file)
    if named is not None:
        return TokenSource(name="--identity-token", fetch=lambda: named)
    for variable in TOKEN_VARIABLES:
        if token := environment.get(variable):
            return TokenSource(name=variable, fetch=lambda token=token: token)  # type: ignore[misc]
    if token_file.is_file():
        return _from_file(token_file, read_file)
    return _ambient(environment, detect, token_file)


def check_claims(token: str, now: datetime, *, where: str) -> None:
    """Say what a certificate authority would refuse a token for; it alone checks the signature.

    Raises `identity-malformed`, `identity-audience-mismatch` and `identity-expired`.
    """
    claims = _claims(token, where)
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if AUDIENCE not in audiences:
        raise Unauthorized(
            "identity-audience-mismatch",
            f"the identity token is for {', '.join(map(str, audiences))!r:.100}, not for {AUDIENCE!r}",
            where=where,
            hint=f"ask the CI for a token with the audience {AUDIENCE}",
        )
    expires = claims.get("exp")
    if not isinstance(expires, int | float):
        raise _malformed("the identity token does not say when it expires", where)
    if now.timestamp() >= expires:
        raise Unauthorized(
            "identity-expired",
            f"the identity token expired at {_time(expires)}",
            where=where,
            hint="run the job again, or sign nearer to the job's start",
        )


def _from_file(path: Path, read_file: ReadFile) -> TokenSource:
    """A file is read each time: whoever put it there may replace it before the token expires."""
    return TokenSource(name=str(path), fetch=lambda: read_file(path).decode("utf-8", "replace").strip())


def _ambient(environment: Mapping[str, str], detect: Callable[[str], str | None], token_file: Path) -> TokenSource:
    ci = _ci(environment)
    if ci == "GitHub" and not environment.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
        raise _not_granted("this GitHub job may not ask for an identity token", _GITHUB_HINT)
    if ci == "GitLab":
        raise _not_granted("this GitLab job was given no identity token", _GITLAB_HINT)

    missing = _missing(token_file)
    if not ci and detect(AUDIENCE) is None:
        raise missing

    def fetch() -> str:
        token = detect(AUDIENCE)
        if token is None:
            raise missing
        return token

    return TokenSource(name=ci or "the CI", fetch=fetch)


def _missing(token_file: Path) -> Refusal:
    looked = f"{', '.join(TOKEN_VARIABLES)}, {token_file} and the CI were looked at"
    return Refusal("key-missing", f"no key was named, and no identity token was found: {looked}", hint=NAME_ONE)


def _ci(environment: Mapping[str, str]) -> str:
    marks = {
        "GITHUB_ACTIONS": "GitHub",
        "GITLAB_CI": "GitLab",
        "BUILDKITE": "Buildkite",
        "CIRCLECI": "CircleCI",
        "GOOGLE_SERVICE_ACCOUNT_NAME": "Google Cloud",
    }
    return next((name for mark, name in marks.items() if environment.get(mark)), "")


def _not_granted(message: str, hint: str) -> Unauthorized:
    return Unauthorized("identity-not-granted", message, hint=hint)


def _claims(token: str, where: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != _JWT_PARTS or len(token) > TOKEN_BYTES:
        raise _malformed("the identity token is no JSON Web Token", where)
    try:
        content = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return loads_object(content, limit=TOKEN_BYTES)
    except (binascii.Error, ValueError, ContentError) as error:
        raise _malformed("the claims of the identity token can't be read", where) from error


def _malformed(message: str, where: str) -> Unauthorized:
    return Unauthorized("identity-malformed", message, where=where, hint=NAME_ONE)


def _time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return "no time that there is"
