"""HTTP exchanges with one registry: TLS, logins, tokens, redirects, deadlines, retries. The one user of `requests`.

Imported only when a registry is opened: its libraries are slow to load. `HTTPAdapter` is used without a `Session`,
which would read `.netrc` and the environment, keep cookies, and read the body of a redirect whatever its size.

- https, except to loopback and to hosts named in `plain_http`; never from https to http (`tls-downgrade`).
- A login or token goes to the registry's exact origin, or to a token server that `check_realm` believes in.
- Redirects are followed by hand; whoever leaves the origin goes on without credentials.
- Bodies arrive undecoded, at 1 KiB/s or faster (`deadline-exceeded`).
- Text from a server is cut, escaped and stripped of secrets before it is in a message.
"""

from __future__ import annotations

import io
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPResponse
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode, urljoin

import urllib3
from requests import ConnectTimeout, PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from registries.checked import read_limited
from registries.credentials import DOCKER_HUB_HOSTS, Challenge, Credentials, Login, Origin, check_realm
from registries.errors import ContentError, Refusal, Unauthorized, Unavailable, UsageError
from registries.limits import (
    CHUNK_BYTES,
    CONNECT_SECONDS,
    KIB,
    MIB,
    REDIRECTS,
    REQUEST_SECONDS,
    RETRIES,
    RETRY_AFTER_SECONDS,
)
from registries.strict_json import loads_object

READS: Final = frozenset({"GET", "HEAD"})
RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_SUCCESSFUL: Final = range(200, 300)
_REDIRECTED: Final = frozenset({301, 302, 303, 307, 308})

_RATE: Final = 1 * KIB  # bytes per second
_COMMIT_RATE: Final = 8 * MIB  # bytes per second at which a registry is expected to store what was uploaded
_HEADER_BYTES: Final = 1 * MIB
_SENT_AT_ONCE: Final = 32 * KIB  # one time-out each, which makes the minimum rate
_DETAIL_BYTES: Final = 8 * KIB
_DETAIL_CHARACTERS: Final = 200
_TOKEN_BYTES: Final = 256 * KIB
_TOKEN_SECONDS: Final = 60  # when the token server does not say; distribution token specification
_TOKEN_SHARE: Final = 0.8  # of its lifetime; a request takes time too
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.1, 10.0, 3
_CONNECTIONS: Final = 16

T = TypeVar("T")


class Again(Unavailable):
    """No answer this time, and another try may help."""

    after: float = 0.0
    """Seconds that the registry asked to wait."""


@dataclass(frozen=True, slots=True)
class Body:
    """What an upload sends: `size` bytes, from the start each time it is opened."""

    size: int
    open: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, content: bytes) -> Body:
        """These bytes."""
        return cls(len(content), lambda: (content,))

    def __len__(self) -> int:
        """With a length, the library sends Content-Length and not chunks."""
        return self.size

    def __iter__(self) -> Iterator[memoryview]:
        """In pieces that even the slowest allowed connection takes within one time-out."""
        for chunk in self.open():
            for start in range(0, len(chunk), _SENT_AT_ONCE):
                yield memoryview(chunk)[start : start + _SENT_AT_ONCE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `target` is a path, or a URL of the registry's own origin; `source` is read by a mount."""

    method: str
    target: str
    repository: str
    source: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """What a token for it must allow, and no more. Source: distribution "Token Scope Documentation"."""
        actions = "pull" if self.method in READS else "pull,push"
        own = f"repository:{self.repository}:{actions}"
        return (own,) if self.source is None else (own, f"repository:{self.source}:pull")


class Answer:
    """Status and headers. The body of a successful read is streamed once; of others only a beginning is kept."""

    def __init__(self, response: Response, *, method: str, url: str, where: str) -> None:
        self._response = response
        self._where = where
        self.url = url
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.ok = self.status in _SUCCESSFUL
        self.detail = b"" if self.ok and method in READS else self._beginning()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def content_type(self) -> str | None:
        """The media type without parameters; None when the header is absent."""
        value = self.headers.get("Content-Type")
        return None if value is None else escaped(value.partition(";")[0])

    @property
    def codes(self) -> frozenset[str]:
        """The codes of an OCI error body. Source: OCI distribution-spec 1.1, "Error Codes"."""
        return frozenset(error["code"] for error in self._errors() if isinstance(error.get("code"), str))

    @property
    def problem(self) -> str:
        """Status and what the registry says about it. Not yet fit for a message: see `Transport.quoted`."""
        said = [f"{error.get('code', '')} {error.get('message', '')}" for error in self._errors()]
        return f"{self.status} " + ("; ".join(said) or self.detail.decode("utf-8", "replace"))

    def chunks(self) -> Iterator[bytes]:
        """The body as it was sent, undecoded. Cut short or too slow, it raises; the connection is given back."""
        try:
            while chunk := self._response.raw.read1(CHUNK_BYTES, decode_content=False):
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _refusal(error, self._where) from _root(error)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back; one with an unread body is closed."""
        self._response.close()

    def _beginning(self) -> bytes:
        beginning = b""
        with self, suppress(Refusal):  # what could not be read is only missing in a message
            for chunk in self.chunks():
                beginning += chunk
                if len(beginning) > _DETAIL_BYTES:
                    break
        return b"" if _encoded(self.headers) else beginning[:_DETAIL_BYTES]

    def _errors(self) -> list[dict[str, Any]]:
        try:
            errors = loads_object(self.detail, limit=_DETAIL_BYTES).get("errors")
        except ContentError:
            return []
        return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How the outside is reached: proxies, exceptions from them, and the file or folder of trusted authorities."""

    http_proxy: str | None = field(default=None, repr=False)
    https_proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    authorities: str | None = None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Network:
        """From the customary variables; of a proxy's two spellings the lower-case one wins, as in curl."""
        bundles = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
        exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        return cls(
            http_proxy=environment.get("http_proxy") or environment.get("HTTP_PROXY"),
            https_proxy=environment.get("https_proxy") or environment.get("HTTPS_PROXY"),
            no_proxy=tuple(entry.strip().lower() for entry in exceptions.split(",") if entry.strip()),
            authorities=next((environment[name] for name in bundles if environment.get(name)), None),
        )

    def proxies(self, place: Origin) -> dict[str, str]:
        """The proxy for this origin, as `requests` wants it. Loopback never goes through one."""
        proxy = self.http_proxy if place.scheme == "http" else self.https_proxy
        if not proxy or is_loopback(place.host) or any(_excepts(entry, place) for entry in self.no_proxy):
            return {}
        return {place.scheme: proxy}


@dataclass(frozen=True, slots=True)
class _Token:
    authorization: str = field(repr=False)
    until: float


class Transport:
    """Everything that is said to one registry goes through here; safe to use from several threads at once."""

    def __init__(
        self,
        host: str,
        *,
        credentials: Credentials,
        network: Network | None = None,
        plain_http: frozenset[str] = frozenset(),
        https: bool = False,
        token_hosts: frozenset[str] = frozenset(),
        read_only: bool = False,
        patience: float = REQUEST_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        """`https` asks for TLS on loopback too; `patience` is the deadline without progress, in seconds."""
        self.host = host
        self.read_only = read_only
        self._credentials = credentials
        self._network = network or Network()
        self._plain_http = plain_http
        self._token_hosts = token_hosts
        self._patience = patience
        self._sleep = sleep
        self._random = random
        api = f"https://{'registry-1.docker.io' if host in DOCKER_HUB_HOSTS else host}"
        self.origin = Origin.of(api)
        if not https and self._may_be_plain(self.origin):
            api = api.replace("https", "http", 1)
            self.origin = Origin.of(api)
        self._root_url = f"{api}/"
        authorities = self._network.authorities
        if authorities is not None and not Path(authorities).exists():
            raise UsageError(
                "authorities-missing", "the environment names trusted authorities that do not exist", where=authorities
            )
        self._adapter = _PacedAdapter(patience)
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._token_lock = threading.Lock()
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
                self.pause(step, at_least=again.after)
        return attempt()

    def pause(self, step: int, *, at_least: float = 0.0, longest: float = _LONGEST_PAUSE) -> None:
        """Wait before try `step + 1`: longer each time, and never the same for two who started together."""
        self._sleep(max(at_least, min(_FIRST_PAUSE * _GROWTH**step, longest) * (0.5 + self._random())))

    def exchange(self, request: Request) -> Answer:
        """Ask once, with a login if one is demanded. Raises for 401, 403 and what may pass (`Again`)."""
        if self.read_only and request.method not in READS:
            raise Refusal("write-in-dry-run", f"{request.method} was about to be sent in a dry run", where=self.host)
        authorization = self._authorization(request)
        answer = self._follow(request, authorization)
        if answer.status == _UNAUTHORIZED:
            self._challenge = self._believed(answer)
            renewed = self._authorization(request, stale=authorization)
            if renewed == authorization:
                raise self._unauthorized(request, answer)
            answer = self._follow(request, renewed)
        return self._judged(request, answer)

    def beside(self, answer: Answer, link: str, *, code: str) -> str:
        """The absolute form of a URL that the registry gave; one of another origin raises `code` or `tls-downgrade`."""
        url = urljoin(answer.url, link)
        place = Origin.of(url)
        if place == self.origin:
            return url
        if place.scheme != "https" and self.origin.scheme == "https":
            code = "tls-downgrade"
        raise ContentError(
            code, f"{self.origin} names an address at {place}; only its own origin is used", where=self.host
        )

    def unexpected(self, answer: Answer, where: str) -> Unavailable:
        """The refusal for an answer that the specification does not provide for here."""
        return Unavailable("answer-unexpected", f"{self.host} answered {self.quoted(answer.problem)}", where=where)

    def quoted(self, text: str) -> str:
        """Text from a server, fit for a message: without secrets and control characters, and short."""
        for secret in self._secrets():
            text = text.replace(secret, "***")
        return escaped(text)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._adapter.close()

    def _judged(self, request: Request, answer: Answer) -> Answer:
        if answer.status in RETRIED:
            raise self.again(answer)
        if answer.status == _UNAUTHORIZED:
            raise self._unauthorized(request, answer)
        if answer.status == _FORBIDDEN:
            raise self._denied(request, answer)
        if answer.ok and _encoded(answer.headers):
            answer.close()
            raise ContentError(
                "content-encoding-refused", "the answer is encoded although `identity` was asked for", where=self.host
            )
        return answer

    def _follow(self, request: Request, authorization: str | None) -> Answer:
        url, at_home = urljoin(self._root_url, request.target), True
        for _ in range(REDIRECTS + 1):
            answer = self._send(request.method, url, request.headers, request.body, authorization if at_home else None)
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
        if place.scheme == "http" and (Origin.of(base).scheme == "https" or not self._may_be_plain(place)):
            raise ContentError("tls-downgrade", f"{Origin.of(base)} redirects to {place}, without TLS", where=self.host)
        if request.method not in READS:
            code = "answer-unexpected" if place == self.origin else "cross-origin-upload"
            raise ContentError(code, f"{self.origin} redirects a {request.method} to {place}", where=self.host)
        return url

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None, authorization: str | None
    ) -> Answer:
        """One request on the wire. Foreign exceptions end here; their texts hold URLs, so only their root is kept."""
        with self._count_lock:
            self._requests += 1
        given = {} if authorization is None else {"Authorization": authorization}
        patience = self._patience + (body.size / _COMMIT_RATE if body is not None else 0.0)
        request = PreparedRequest()
        place = Origin.of(url)
        try:
            request.prepare(
                method=method,
                url=url,
                headers={"Accept-Encoding": "identity", "User-Agent": "samebits", **headers, **given},
                data=body if body is not None and body.size else b"",
            )
            response = self._adapter.send(
                request,
                stream=True,
                timeout=(min(CONNECT_SECONDS, patience), patience),
                verify=self._network.authorities or True,
                proxies=self._network.proxies(place),
            )
        except (RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _refusal(error, str(place)) from _root(error)
        return Answer(response, method=method, url=url, where=self.host)

    def _believed(self, answer: Answer) -> Challenge:
        """The challenge of this answer. Only one that passed here is ever met."""
        challenge = Challenge.read(answer.headers.get("WWW-Authenticate", ""), where=self.host)
        if challenge.scheme == "bearer":
            check_realm(challenge.realm, self.origin, trusted=self._token_hosts, where=self.host)
        return challenge

    def _authorization(self, request: Request, *, stale: str | None = None) -> str | None:
        """The Authorization that the last challenge asks for; never the `stale` token. None before any challenge."""
        match self._challenge:
            case None:
                return None
            case Challenge(scheme="basic"):
                login = self._login(request)
                return login.basic() if login is not None else None
            case challenge:
                with self._token_lock:
                    kept = self._tokens.get(request.scopes)
                    if kept is None or kept.authorization == stale or kept.until <= time.monotonic():
                        kept = self._tokens[request.scopes] = self._fetch_token(request, challenge)
                    return kept.authorization

    def _fetch_token(self, request: Request, challenge: Challenge) -> _Token:
        """Source: distribution "Token Authentication Specification". The scope is ours, whatever the challenge says."""
        asked = [("service", challenge.service)] if challenge.service else []
        query = urlencode([*asked, *(("scope", scope) for scope in request.scopes)])
        login = self._login(request)
        started = time.monotonic()
        url = f"{challenge.realm}{'&' if '?' in challenge.realm else '?'}{query}"
        with self._send("GET", url, {}, None, login.basic() if login is not None else None) as answer:
            if answer.status in _REDIRECTED:
                raise ContentError(
                    "token-realm-refused", "the token server redirects; no login follows", where=self.host
                )
            if answer.status == _FORBIDDEN and login is None:  # GHCR's way to say that a login is needed
                raise self._unauthorized(request, answer)
            if not self._judged(request, answer).ok:
                raise self.unexpected(answer, str(Origin.of(url)))
            content = read_limited(answer.chunks(), _TOKEN_BYTES, where=str(Origin.of(url)))
        granted = loads_object(content, limit=_TOKEN_BYTES, where=str(Origin.of(url)))
        token, seconds = granted.get("token") or granted.get("access_token"), granted.get("expires_in")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Unavailable("answer-unexpected", "the token server gave no token", where=str(Origin.of(url)))
        lifetime = seconds if isinstance(seconds, int) and seconds > 0 else _TOKEN_SECONDS
        return _Token(f"Bearer {token}", started + _TOKEN_SHARE * lifetime)

    def _login(self, request: Request) -> Login | None:
        return self._credentials.login(self.host, request.repository)

    def _unauthorized(self, request: Request, answer: Answer) -> Unauthorized:
        where = f"{self.host}/{request.repository}"
        login = self._login(request)
        if login is None:
            why = f"a login is needed, and {self._credentials.asked} holds none for it"
            return Unauthorized("credentials-missing", why, where=where, hint=f"docker login {self.host}")
        why = f"the login from {login.source} was refused: {self.quoted(answer.problem)}"
        return Unauthorized("credentials-refused", why, where=where, hint=f"docker login {self.host}")

    def _denied(self, request: Request, answer: Answer) -> Unauthorized:
        login = self._login(request)
        whose = "without a login" if login is None else f"with the login from {login.source}"
        action = "read" if request.method in READS else "write"
        why = f"not allowed to {action} {whose}: {self.quoted(answer.problem)}"
        return Unauthorized("access-denied", why, where=f"{self.host}/{request.repository}")

    def again(self, answer: Answer) -> Again:
        """The refusal for an answer that another try may change."""
        again = Again("registry-unavailable", f"it answered {self.quoted(answer.problem)}", where=self.host)
        again.after = retry_after(answer.headers)
        return again

    def _may_be_plain(self, place: Origin) -> bool:
        return is_loopback(place.host) or not self._plain_http.isdisjoint({place.host, f"{place.host}:{place.port}"})

    def _secrets(self) -> Iterator[str]:
        for login in self._credentials.known():
            yield login.secret
            yield login.basic().removeprefix("Basic ")
        for token in tuple(self._tokens.values()):
            yield token.authorization.removeprefix("Bearer ")


class _PacedStream(io.RawIOBase):
    """The bytes of one answer, with a clock that runs only while the server is waited for.

    A time-out per read alone would let a server that sends a byte now and then hold a promotion for days; the limit
    before the body does the same for endless headers.
    """

    def __init__(self, stream: Any, patience: float) -> None:
        self._stream = stream
        self._patience = patience
        self._waited = 0.0
        self._received = 0
        self.left = _HEADER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        started = time.monotonic()
        count: int = self._stream.readinto(buffer)
        self._waited += time.monotonic() - started
        self._received += count
        self.left -= count
        if self.left < 0:
            raise OSError("headers without end")
        if self._waited >= self._patience:
            if self._received < _RATE * self._patience:
                raise TimeoutError("too slow")
            self._waited, self._received = 0.0, 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _PacedResponse(HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._paced = _PacedStream(self.fp.detach(), sock.gettimeout() or REQUEST_SECONDS)
        self.fp: Any = io.BufferedReader(self._paced)

    def begin(self) -> None:
        super().begin()
        self._paced.left = 2**63


class _PacedSending:
    """While a request is sent, the read time-out holds: a registry may pause longer than a connection may take."""

    sock: Any

    def __init__(self, *arguments: Any, patience: float, **options: Any) -> None:
        self._patience = patience
        super().__init__(*arguments, **options)

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._patience)
        super().send(data)  # type: ignore[misc]


class _PacedHTTP(_PacedSending, HTTPConnection):
    response_class: type[HTTPResponse] = _PacedResponse


class _PacedHTTPS(_PacedSending, HTTPSConnection):
    response_class: type[HTTPResponse] = _PacedResponse


class _PacedAdapter(HTTPAdapter):
    def __init__(self, patience: float) -> None:
        self._patience = patience
        super().__init__(pool_maxsize=_CONNECTIONS)

    def get_connection_with_tls_context(self, *arguments: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **options)
        paced = _PacedHTTPS if pool.scheme == "https" else _PacedHTTP
        pool.ConnectionCls = partial(paced, patience=self._patience)
        return pool


def is_loopback(host: str) -> bool:
    """`localhost`, names below it, and the loopback addresses."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait, at most 60; a date counts from the answer's own date. Source: RFC 9110, 10.2.3."""
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isascii() and value.isdecimal():
            return min(float(value[:10]), RETRY_AFTER_SECONDS)
        seconds = (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
        return min(max(seconds, 0.0), RETRY_AFTER_SECONDS)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def escaped(text: str, limit: int = _DETAIL_CHARACTERS) -> str:
    """At most `limit` characters, what is not printable written as an escape."""
    cut = text.strip()[:limit]
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


def _encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")


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


def _root(error: BaseException) -> BaseException:
    """The innermost exception: the outer ones repeat URLs, whose queries may hold secrets."""
    candidates = (getattr(error, "reason", None), *reversed(error.args), error.__cause__)
    inner = next((item for item in candidates if isinstance(item, BaseException)), None)
    return error if inner is None else _root(inner)


def _refusal(error: Exception, where: str) -> Refusal:
    """Our refusal for an exception of the libraries."""
    match _root(error):
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Again("registry-unavailable", "the connection was cut", where=where)
        case ssl.SSLCertVerificationError() as root:
            hint = "SSL_CERT_FILE=/path/to/authority.pem names the authority to trust"
            return ContentError(
                "tls-invalid", f"its certificate is refused: {root.verify_message}", where=where, hint=hint
            )
        case ssl.SSLError() as root:
            hint = f"--plain-http {where.rpartition('/')[2]}, if it speaks no TLS by intention"
            return ContentError("tls-invalid", f"no TLS connection: {root.reason}", where=where, hint=hint)
        case TimeoutError() if not isinstance(error, ConnectTimeout):
            return Unavailable("deadline-exceeded", "it answers too slowly or not at all", where=where)
        case socket.gaierror(errno=socket.EAI_NONAME):
            return Unavailable("registry-unavailable", "there is no host of this name", where=where)
        case RequestException() as root:  # it never left; its text may repeat what was to be sent
            return Unavailable("registry-unavailable", f"it can't be asked: {type(root).__name__}", where=where)
        case OSError() as root:
            why = escaped(root.strerror or str(root) or type(root).__name__)
            return Again("registry-unavailable", f"no connection: {why}", where=where)
        case root:
            return Again("registry-unavailable", f"no proper answer: {type(root).__name__}", where=where)
