"""What is written into the Authorization header: a login, or a token that the registry's token server gave for it.

Each token is for one repository and what is about to be done there, whatever the registry's challenge asks for.
Sources: distribution "Token Authentication Specification", "Oauth2 Token Authentication", "Token Scope Documentation".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from registries.answer import Answer
from registries.challenge import Challenge, check_realm
from registries.checked import read_limited
from registries.credentials import TOKEN, Credentials, Kind, Login
from registries.errors import Unauthorized, Unavailable
from registries.limits import KIB
from registries.network import Network
from registries.origin import Origin
from registries.request import Request
from registries.strict_json import loads_object

_TOKEN_BYTES: Final = 256 * KIB
_TOKEN_SECONDS: Final = 60  # when the token server does not say; distribution token specification
_TOKEN_SHARE: Final = 0.8  # of its lifetime; a request takes time too

Send = Callable[[Request, str, bytes, str | None], Answer]
"""On whose behalf, URL, form and Authorization of a request to a token server; its answer, errors raised."""


@dataclass(frozen=True, slots=True)
class _Token:
    authorization: str = field(repr=False)
    until: float


class Tokens:
    """What one registry wants to see of us, as its last challenge said. Safe to use from several threads at once."""

    def __init__(self, host: str, own: Origin, *, credentials: Credentials, network: Network, send: Send) -> None:
        self._host = host
        self._own = own
        self._credentials = credentials
        self._network = network
        self._send = send
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._lock = threading.Lock()

    def challenged(self, answer: Answer) -> None:
        """Take this answer's challenge for the one to be met, if its token server is to be believed."""
        challenge = Challenge.read(answer.headers.get("WWW-Authenticate", ""), where=self._host)
        if challenge.scheme == "bearer":
            check_realm(
                challenge.realm,
                self._own,
                trusted=self._network.allowed,
                may_be_plain=self._network.may_be_plain,
                where=self._host,
            )
        self._challenge = challenge

    def authorization(self, request: Request, *, stale: str | None = None) -> str | None:
        """The Authorization that the last challenge asks for; never the `stale` token. None before any challenge."""
        match self._challenge:
            case None:
                return None
            case Challenge(scheme="basic"):
                login = self.login(request)
                return self._basic(login) if login is not None else None
            case challenge:
                return self._bearer(request, challenge, stale)

    def login(self, request: Request) -> Login | None:
        """The user's login for this request's repository."""
        return self._credentials.login(self._host, request.repository)

    def refused(self, request: Request, said: str) -> Unauthorized:
        """The registry did not take what we showed, or wants a login where there is none."""
        where = f"{self._host}/{request.repository}"
        login, hint = self.login(request), f"docker login {self._host}"
        if login is None:
            why = f"a login is needed, and there is none for it in {self._credentials.asked}"
            return Unauthorized("credentials-missing", why, where=where, hint=hint)
        return Unauthorized(
            "credentials-refused", f"the login from {login.source} was refused: {said}", where=where, hint=hint
        )

    def secrets(self) -> Iterator[str]:
        """What must not be repeated in a message."""
        for login in self._credentials.known():
            yield login.secret
            yield login.basic().removeprefix("Basic ")
        for token in tuple(self._tokens.values()):
            yield token.authorization.removeprefix("Bearer ")

    def _basic(self, login: Login) -> str:
        if login.kind is not Kind.PASSWORD:
            raise Unauthorized(
                "credentials-unsupported",
                f"{self._host} asks for a user name with a password, and the login is an {login.kind}",
                where=login.source,
                hint=f"docker login --username USER --password-stdin {self._host}",
            )
        return login.basic()

    def _bearer(self, request: Request, challenge: Challenge, stale: str | None) -> str:
        with self._lock:
            kept = self._tokens.get(request.scopes)
            if kept is None or kept.authorization == stale or kept.until <= time.monotonic():
                kept = self._tokens[request.scopes] = self._fetched(request, challenge)
            return kept.authorization

    def _fetched(self, request: Request, challenge: Challenge) -> _Token:
        login = self.login(request)
        if login is not None and login.kind is Kind.BEARER:
            return _Token(f"Bearer {login.secret}", float("inf"))
        started, where = time.monotonic(), str(Origin.of(challenge.realm))
        with self._asked(request, challenge, login) as answer:
            content = read_limited(answer.chunks(), _TOKEN_BYTES, where=where)
        granted = loads_object(content, limit=_TOKEN_BYTES, where=where)
        token, seconds = granted.get("token") or granted.get("access_token"), granted.get("expires_in")
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise Unavailable("answer-unexpected", "the token server gave no token", where=where)
        lifetime = seconds if isinstance(seconds, int) and seconds > 0 else _TOKEN_SECONDS
        return _Token(f"Bearer {token}", started + _TOKEN_SHARE * lifetime)

    def _asked(self, request: Request, challenge: Challenge, login: Login | None) -> Answer:
        """The token server's answer. An identity token goes into a form by POST, a password into a header."""
        asked = [("service", challenge.service)] if challenge.service else []
        if login is not None and login.kind is Kind.IDENTITY:
            fields = [("grant_type", "refresh_token"), ("refresh_token", login.secret), ("client_id", "samebits")]
            form = urlencode([*fields, *asked, ("scope", " ".join(request.scopes))])
            return self._send(request, challenge.realm, form.encode(), None)
        query = urlencode([*asked, *(("scope", scope) for scope in request.scopes)])
        url = f"{challenge.realm}{'&' if '?' in challenge.realm else '?'}{query}"
        return self._send(request, url, b"", login.basic() if login is not None else None)
