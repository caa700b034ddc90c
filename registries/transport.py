"""HTTP exchanges with one registry: logins, redirects, retries, rates, and what may be told of an answer.

- https, except to loopback and to hosts named in `plain_http`; never from https to http (`tls-downgrade`).
- A login or token goes to the registry's exact origin, or to a token server that `check_realm` believes in.
- Redirects are followed by hand; whoever leaves the origin goes on without credentials.
- Bodies arrive undecoded, at 1 KiB/s or faster (`deadline-exceeded`).
- Text from a server is cut, escaped and stripped of secrets before it is in a message.

Imported only when a registry is opened: what it needs is slow to load.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import urljoin

from registries.answer import Answer
from registries.credentials import Credentials
from registries.errors import ContentError, Refusal, Unauthorized, Unavailable
from registries.limits import REDIRECTS, REQUEST_SECONDS, RETRIES, RETRY_AFTER_SECONDS
from registries.network import Network
from registries.origin import DOCKER_HUB_HOSTS, Origin
from registries.pace import Clock, Deadline, Rate, Sleep, retry_after
from registries.request import READS, Body, Request
from registries.tokens import Tokens
from registries.wire import Again, Wire, escaped

__all__ = ["Again", "Answer", "Body", "Deadline", "Network", "Request", "Transport"]

RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_BAD, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY = 400, 401, 403, 429
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 10.0, 3.0
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

T = TypeVar("T")


class Transport:
    """Everything that is said to one registry goes through here; safe to use from several threads at once."""

    def __init__(
        self,
        host: str,
        *,
        credentials: Credentials,
        network: Network | None = None,
        https: bool = False,
        read_only: bool = False,
        deadline: Deadline | None = None,
        rate: float | None = None,
        patience: float = REQUEST_SECONDS,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        """`https` asks for TLS on loopback too; `patience` is the deadline without progress, in seconds.

        `rate` is in requests per second; `deadline` is that of the run, which other registries share.
        """
        self.host = host
        self.read_only = read_only
        self._network = network or Network()
        self._deadline = deadline or Deadline(clock=clock)
        self._sleep = sleep
        self._random = random
        api = f"https://{'registry-1.docker.io' if host in DOCKER_HUB_HOSTS else host}"
        self.origin = Origin.of(api)
        if not https and self._network.may_be_plain(self.origin):
            api = api.replace("https", "http", 1)
            self.origin = Origin.of(api)
        self._root_url = f"{api}/"
        self._wire = Wire(self.origin, network=self._network, patience=patience, deadline=self._deadline)
        self._rate = Rate(rate, clock=clock, sleep=sleep)
        self._tokens = Tokens(
            host, self.origin, credentials=credentials, network=self._network, send=self._ask_token_server
        )
        self._requests = 0
        self._count_lock = threading.Lock()

    @property
    def requests(self) -> int:
        """How many requests were sent so far, those for tokens, redirects and retries included."""
        return self._requests

    def request(self, request: Request) -> Answer:
        """Ask until there is an answer that another try would not change, at most `RETRIES` times more."""
        return self.patiently(lambda: self.exchange(request))

    def patiently(self, attempt: Callable[[], T]) -> T:
        """`attempt()`, again after growing pauses while it raises `Again`."""
        for step in range(RETRIES):
            try:
                return attempt()
            except Again as again:
                self.back_off(again, step)
        return attempt()

    def back_off(self, again: Again, step: int) -> None:
        """Wait before try `step + 1`. After a 429 it is the next request that waits, and all those of other threads."""
        if again.sent is None:
            self.pause(step, at_least=again.after)
        else:
            self._rate.refused(again.sent, self._pause(step, again.after, _LONGEST_PAUSE))

    def pause(self, step: int, *, at_least: float = 0.0, longest: float = _LONGEST_PAUSE) -> None:
        """Wait before try `step + 1`: longer each time, and never the same for two who started together."""
        seconds = self._pause(step, at_least, longest)
        self._deadline.check(self.host, pause=seconds)
        self._sleep(seconds)

    def exchange(self, request: Request) -> Answer:
        """Ask once, with a login if one is demanded. Raises for 401, 403 and what may pass (`Again`)."""
        if self.read_only and request.method not in READS:
            raise Refusal("write-in-dry-run", f"{request.method} was about to be sent in a dry run", where=self.host)
        authorization = self._tokens.authorization(request)
        answer = self._follow(request, authorization)
        if answer.status == _UNAUTHORIZED:
            self._tokens.challenged(answer)
            renewed = self._tokens.authorization(request, stale=authorization)
            if renewed == authorization:
                raise self._tokens.refused(request, self.quoted(answer.problem))
            answer = self._follow(request, renewed)
        return self._judged(request, answer)

    def beside(self, answer: Answer, link: str, *, code: str, elsewhere: bool = False) -> str:
        """The absolute form of a URL that the registry gave; one of another origin raises `code` or `tls-downgrade`.

        `elsewhere`: it may also be at a host that the user allowed, where it is asked without credentials.
        """
        url = urljoin(answer.url, link)
        place = Origin.of(url)
        if place == self.origin:
            return url
        if place.scheme != "https" and self.origin.scheme == "https":
            why = f"{self.origin} names an address at {place}, without TLS"
            raise ContentError("tls-downgrade", why, where=self.host)
        safe = place.scheme == "https" or self._network.may_be_plain(place)
        if elsewhere and safe and place.is_among(self._network.allowed):
            return url
        hint = f"--allow-host {place.host}:{place.port}, if the registry keeps its content there" if elsewhere else ""
        why = f"{self.origin} names an address at {place}; only its own origin is used"
        raise ContentError(code, why, where=self.host, hint=hint)

    def unexpected(self, answer: Answer, where: str) -> Unavailable:
        """The refusal for an answer that the specification does not provide for here."""
        return Unavailable("answer-unexpected", f"{self.host} answered {self.quoted(answer.problem)}", where=where)

    def quoted(self, text: str) -> str:
        """Text from a server, fit for a message: without secrets and control characters, and short."""
        for secret in self._tokens.secrets():
            text = text.replace(secret, "***")
        return escaped(text)

    def again(self, answer: Answer) -> Unavailable:
        """The refusal for an answer that another try may change, unless the registry asks for too long a pause."""
        after = retry_after(answer.headers)
        said = f"it answered {self.quoted(answer.problem)}"
        if after > RETRY_AFTER_SECONDS:
            why = f"{said}, and asks to wait {after:.0f} s; at most {RETRY_AFTER_SECONDS:.0f} s are waited"
            return Unavailable(
                "registry-unavailable", why, where=self.host, hint="run it again when the time has passed"
            )
        again = Again("registry-unavailable", said, where=self.host)
        again.after = after
        again.sent = answer.sent if answer.status == _TOO_MANY else None
        return again

    def close(self) -> None:
        """Close the connections that are kept."""
        self._wire.close()

    def _pause(self, step: int, at_least: float, longest: float) -> float:
        return max(at_least, min(_FIRST_PAUSE * _GROWTH**step, longest) * (0.5 + self._random()))

    def _judged(self, request: Request, answer: Answer) -> Answer:
        if answer.status != _TOO_MANY:
            self._rate.answered()
        if answer.status in RETRIED:
            raise self.again(answer)
        if answer.status == _UNAUTHORIZED:
            raise self._tokens.refused(request, self.quoted(answer.problem))
        if answer.status == _FORBIDDEN:
            raise self._denied(request, answer)
        if answer.ok and answer.is_encoded:
            answer.close()
            raise ContentError(
                "content-encoding-refused", "the answer is encoded although `identity` was asked for", where=self.host
            )
        return answer

    def _follow(self, request: Request, authorization: str | None) -> Answer:
        url = urljoin(self._root_url, request.target)
        at_home = Origin.of(url) == self.origin
        for _ in range(REDIRECTS + 1):
            shown = authorization if at_home else None
            streamed = request.method in READS
            answer = self._send(request.method, url, request.headers, request.body, shown, streamed=streamed)
            if answer.status == _UNAUTHORIZED and not at_home:
                raise ContentError(
                    "cross-origin-credentials",
                    f"{self.origin} redirects to {Origin.of(url)}, which asks for a login; it gets none",
                    where=self.host,
                )
            target = answer.headers.get("Location")
            if answer.status not in _REDIRECTED or target is None:
                return answer
            url = self._redirected(request, url, target)
            at_home = at_home and Origin.of(url) == self.origin
        raise ContentError("limit-exceeded", f"more than {REDIRECTS} redirects", where=self.host)

    def _redirected(self, request: Request, base: str, target: str) -> str:
        url = urljoin(base, target)
        place = Origin.of(url)
        if place.scheme == "http" and (Origin.of(base).scheme == "https" or not self._network.may_be_plain(place)):
            raise ContentError("tls-downgrade", f"{Origin.of(base)} redirects to {place}, without TLS", where=self.host)
        if request.method not in READS:
            code = "answer-unexpected" if place == self.origin else "cross-origin-upload"
            raise ContentError(code, f"{self.origin} redirects a {request.method} to {place}", where=self.host)
        return url

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | None,
        authorization: str | None,
        *,
        streamed: bool,
    ) -> Answer:
        """One request, when its turn has come."""
        sent = self._rate.wait(self._deadline, self.host)
        with self._count_lock:
            self._requests += 1
        given = {} if authorization is None else {"Authorization": authorization}
        asked = {"Accept-Encoding": "identity", "User-Agent": "samebits", **headers, **given}
        response = self._wire.send(method, url, asked, body)
        return Answer(response, url=url, where=self.host, wire=self._wire, sent=sent, streamed=streamed)

    def _ask_token_server(self, request: Request, url: str, form: bytes, authorization: str | None) -> Answer:
        method, headers, body = ("POST", _FORM, Body.of(form)) if form else ("GET", {}, None)
        answer = self._send(method, url, headers, body, authorization, streamed=True)
        if answer.status in _REDIRECTED:
            raise ContentError("token-realm-refused", "the token server redirects; no login follows", where=self.host)
        strange = answer.status == _FORBIDDEN and self._tokens.login(request) is None  # GHCR's way to ask for a login
        if strange or (form and answer.status == _BAD):  # RFC 6749, 5.2: a token that is not valid any more
            raise self._tokens.refused(request, self.quoted(answer.problem))
        if not self._judged(request, answer).ok:
            raise self.unexpected(answer, str(Origin.of(url)))
        return answer

    def _denied(self, request: Request, answer: Answer) -> Unauthorized:
        login = self._tokens.login(request)
        whose = "without a login" if login is None else f"with the login from {login.source}"
        action = "read" if request.method in READS else "write"
        why = f"not allowed to {action} {whose}: {self.quoted(answer.problem)}"
        return Unauthorized("access-denied", why, where=f"{self.host}/{request.repository}")
