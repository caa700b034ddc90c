"""The login for a registry: what a challenge may ask for, and where Docker's configuration file keeps the answer.

A login goes to one exact origin, or to the token server of a bearer challenge if `check_realm` believes in it.
Sources: RFC 9110 section 11; distribution "Token Authentication Specification"; docker/docker-credential-helpers.
"""

from __future__ import annotations

import binascii
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, Final

from registries.errors import ContentError, Refusal, Unauthorized
from registries.limits import KIB, MIB
from registries.strict_json import loads_object

DOCKER_HUB: Final = "https://index.docker.io/v1/"
DOCKER_HUB_HOSTS: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
HELPER_SECONDS: Final = 10.0
HELPER_BYTES: Final = 64 * KIB
_FILE_BYTES: Final = 1 * MIB
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NO_USER: Final = "<token>"
_HIGHEST_PORT: Final = 65535
_PORTS: Final = {"http": 80, "https": 443}

# ASCII only and no `@`, backslash, quote or fragment: nothing that two URL parsers could read differently.
_URL: Final = re.compile(
    r"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][\x21\x24-\x5b\x5d-\x7e]*)?"
)
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf"[ \t]*(?:(?P<scheme>{_WORD})[ \t]+)?(?P<name>{_WORD})[ \t]*=[ \t]*"
    rf'(?:"(?P<quoted>(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)"|(?P<plain>{_WORD}))[ \t]*(?:,|$)'
)
_BARE_SCHEME: Final = re.compile(rf"[ \t]*(?P<scheme>{_WORD})[ \t]*(?:,|$)")
_COUNTRY_CATEGORY: Final = re.compile(r"[^.]{1,3}\.[^.]{2}")

# Under these names every customer has a host of their own, so that neighbours are strangers.
_SHARED_DOMAINS: Final = frozenset(
    {"amazonaws.com", "azurecr.io", "azurewebsites.net", "cloudfront.net", "cloudsmith.io", "fly.dev", "github.io"}
    | {"gitlab.io", "herokuapp.com", "jfrog.io", "ngrok.app", "ngrok.io", "on.aws", "pkg.dev", "run.app", "workers.dev"}
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


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a registry asks for a login: `basic`, or `bearer` with the token server's URL and the service's name."""

    scheme: str
    realm: str = ""
    service: str = ""

    @classmethod
    def read(cls, header: str, *, where: str = "") -> Challenge:
        """From WWW-Authenticate (RFC 9110, 11.6.1), bearer first; `challenge-unsupported` when it can't be met."""
        offers = _offers(header, where)
        if "bearer" in offers:
            return cls("bearer", offers["bearer"].get("realm", ""), offers["bearer"].get("service", ""))
        if "basic" in offers:
            return cls("basic")
        asked = ", ".join(sorted(offers)) or "nothing that can be met"
        raise _unsupported(f"the registry asks for {asked}; samebits knows Basic and Bearer", where)


def check_realm(realm: str, registry: Origin, *, trusted: frozenset[str] = frozenset(), where: str = "") -> None:
    """Whether a login for `registry` may be shown to this token server; else `token-realm-refused` or `tls-downgrade`.

    Believed are: the registry's own origin; over https also its host name at another port (a certificate for the same
    name vouches for it), the domain directly above it and the neighbours below that domain (`registry.gitlab.com` and
    `gitlab.com`, `registry-1.docker.io` and `auth.docker.io`), and the hosts in `trusted`. Neighbours do not count
    where every customer has a host of their own.
    """
    try:
        place = Origin.of(realm)
    except ContentError as error:
        raise _realm_refused("its token server's address is no plain http or https URL", where) from error
    if place == registry:
        return
    if place.scheme != "https" and registry.scheme == "https":
        raise ContentError("tls-downgrade", f"{registry} names a token server without TLS, {place}", where=where)
    known = place.host == registry.host or place.host in trusted or _neighbours(registry.host, place.host)
    if place.scheme != "https" or not known:
        raise _realm_refused(f"its challenge names {place} as the token server", where)


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password or token for one registry, and where they were found. The secret is in no repr."""

    username: str
    secret: str = field(repr=False)
    source: str

    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        pair = f"{self.username}:{self.secret}".encode()
        return "Basic " + binascii.b2a_base64(pair, newline=False).decode("ascii")


class Credentials:
    """The logins in one Docker configuration file, which is read when a registry first asks for a login.

    First match: the file's entry for the longest part of the repository's path, the helper for the host, the file's
    entry for the host, the general store.
    """

    def __init__(
        self, environment: Mapping[str, str], *, home: Path | None, helper_seconds: float = HELPER_SECONDS
    ) -> None:
        self._environment = environment
        self._helper_seconds = helper_seconds
        folder = environment.get("DOCKER_CONFIG")
        self._path = Path(folder) / "config.json" if folder else (home / ".docker" / "config.json" if home else None)
        self._lock = threading.Lock()
        self._file: dict[str, Any] | None = None
        self._found: dict[tuple[str, str], Login | None] = {}

    @property
    def asked(self) -> str:
        """Which file is asked, for messages."""
        return str(self._path) if self._path is not None else "no configuration file (neither DOCKER_CONFIG nor HOME)"

    def login(self, host: str, repository: str) -> Login | None:
        """The login for a repository of this host, or None. `credentials-malformed` when the file can't be read."""
        with self._lock:
            if (host, repository) not in self._found:
                self._found[host, repository] = self._look_up(host.lower(), repository)
            return self._found[host, repository]

    def known(self) -> tuple[Login, ...]:
        """The logins found so far: what must not appear in a message."""
        return tuple(login for login in tuple(self._found.values()) if login is not None)

    def _look_up(self, host: str, repository: str) -> Login | None:
        document = self._document()
        auths, helpers = self._table(document, "auths"), self._table(document, "credHelpers")
        spelled_out_last = sorted(auths.items(), key=lambda item: "://" not in item[0])
        entries = {_plain_key(key): entry for key, entry in spelled_out_last if entry}
        hub = host in DOCKER_HUB_HOSTS
        names = sorted(DOCKER_HUB_HOSTS) if hub else [host]
        server = DOCKER_HUB if hub else host
        parts = repository.split("/") if repository else []
        paths = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        for key in (f"{name}/{path}" for path in paths for name in names):
            if key in entries and (login := self._inline(entries[key])) is not None:
                return login
        for name in (server, *names):
            if name in helpers:
                return self._from_helper(helpers[name], server)
        for name in names:
            if name in entries and (login := self._inline(entries[name])) is not None:
                return login
        store = document.get("credsStore")
        return self._from_helper(store, server) if store else None

    def _document(self) -> dict[str, Any]:
        if self._file is None:
            self._file = self._read()
        return self._file

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            content = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise self._malformed(f"it can't be read: {error.strerror}") from error
        try:
            return loads_object(content, limit=_FILE_BYTES)
        except Refusal as error:
            raise self._malformed(error.reasons[0].message) from error

    def _table(self, document: Mapping[str, Any], key: str) -> dict[str, Any]:
        table = {} if document.get(key) is None else document[key]
        if not isinstance(table, dict):
            raise self._malformed(f"`{key}` is not an object")
        return table

    def _inline(self, entry: Any) -> Login | None:
        """What an entry of `auths` says itself; None for the empty entries that a store leaves behind."""
        if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
            raise self._malformed("an entry of `auths` is not an object of strings")
        if entry.get("identitytoken") or entry.get("registrytoken"):
            raise _identity_token(self.asked)
        if entry.get("auth"):
            return self._decoded(entry["auth"])
        if entry.get("username") or entry.get("password"):
            return self._usable(entry.get("username", ""), entry.get("password", ""))
        return None

    def _decoded(self, auth: str) -> Login:
        try:
            pair = binascii.a2b_base64(auth, strict_mode=True).decode("utf-8").rstrip("\0")
        except ValueError as error:
            raise self._malformed("an `auth` is not base64 of text") from error
        username, _, secret = pair.partition(":")
        return self._usable(username, secret)

    def _usable(self, username: str, secret: str) -> Login:
        if not username or not secret or ":" in username:
            raise self._malformed("an entry of `auths` lacks a user name or a password")
        return Login(username, secret, self.asked)

    def _malformed(self, why: str) -> Unauthorized:
        return Unauthorized(
            "credentials-malformed",
            f"the Docker configuration file can't be used: {why}",
            where=self.asked,
            hint="docker login writes a new entry once the file is mended or removed",
        )

    def _from_helper(self, name: Any, server: str) -> Login | None:
        """What `docker-credential-NAME get` knows; None when it says that it holds nothing."""
        if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
            raise self._malformed("a credential helper's name is no program name")
        program = f"docker-credential-{name}"
        path = shutil.which(program, path=self._environment.get("PATH", os.defpath))
        if path is None:
            raise _helper_failed(program, "is not on the PATH")
        status, output = self._run(path, program, server)
        if status != 0:
            if b"credentials not found" in output:
                return None
            raise _helper_failed(program, f"ended with status {status}")
        try:
            answer = loads_object(output, limit=HELPER_BYTES)
        except Refusal as error:
            raise _helper_failed(program, "did not answer with a JSON object") from error
        username, secret = answer.get("Username"), answer.get("Secret")
        if username == _NO_USER:
            raise _identity_token(program)
        if not isinstance(username, str) or not isinstance(secret, str) or not secret:
            raise _helper_failed(program, "answered without Username and Secret")
        return Login(username, secret, program)

    def _run(self, path: str, program: str, server: str) -> tuple[int, bytes]:
        """Exit status and output, within the deadline and the cap. Its stderr may hold secrets and is dropped."""
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own file names the program; no shell, a checked name
                [path, "get"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environment),
                start_new_session=True,
            )
        except OSError as error:
            raise _helper_failed(program, f"can't be run: {error.strerror}") from error
        watch = threading.Timer(self._helper_seconds, _kill, [process])
        watch.start()
        try:
            output = _ask(process, server)
            if len(output) > HELPER_BYTES:
                raise _helper_failed(program, f"answered with more than {HELPER_BYTES} bytes")
            status = process.wait()
        finally:
            watch.cancel()
            _kill(process)
            process.wait()
        if status == -signal.SIGKILL:
            raise _helper_failed(program, f"did not answer within {self._helper_seconds:g} s")
        return status, output


def _offers(header: str, where: str) -> dict[str, dict[str, str]]:
    """Each scheme, in lower case, with its parameters. Anything outside the grammar refuses the whole header."""
    offers: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] | None = None
    position = 0
    while position < len(header):
        match = _PARAMETER.match(header, position) or _BARE_SCHEME.match(header, position)
        if match is None:
            raise _unsupported("its WWW-Authenticate header is malformed", where)
        position = match.end()
        found = match.groupdict()
        if found["scheme"] is not None:
            parameters = offers.setdefault(found["scheme"].lower(), {})
        if "name" in found:
            name, quoted = found["name"].lower(), found["quoted"]
            if parameters is None or name in parameters:
                raise _unsupported("its WWW-Authenticate header is ambiguous", where)
            parameters[name] = found["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return offers


def _neighbours(registry: str, other: str) -> bool:
    domain = registry.partition(".")[2]
    return _is_one_owners(domain) and not _is_address(registry) and (other == domain or other.endswith(f".{domain}"))


def _is_one_owners(domain: str) -> bool:
    """Whether all hosts below have one owner; not so below `com`, `co.uk` or what a cloud rents out."""
    if "." not in domain or any(f".{domain}".endswith(f".{shared}") for shared in _SHARED_DOMAINS):
        return False
    return _COUNTRY_CATEGORY.fullmatch(domain) is None


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _plain_key(key: str) -> str:
    """A key of `auths` as host[:port][/path]: `https://host/v1/` and `host` mean the same."""
    key = key.partition("://")[2] or key
    host, slash, path = key.rstrip("/").partition("/")
    return host.lower() if path in ("", "v1", "v2") else f"{host.lower()}{slash}{path}"


def _ask(process: subprocess.Popen[bytes], server: str) -> bytes:
    questions, answers = _pipe(process.stdin), _pipe(process.stdout)
    with answers:
        try:
            with questions:
                questions.write(server.encode())
        except BrokenPipeError:
            pass  # it did not read the question; what it says is judged all the same
        return answers.read(HELPER_BYTES + 1)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise TypeError("both ends were asked for")
    return pipe


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the helper and whatever it started: its process group is its own."""
    if process.returncode is None:  # not yet waited for, so the number is still its own
        os.killpg(process.pid, signal.SIGKILL)


def _unsupported(why: str, where: str) -> Unauthorized:
    return Unauthorized("challenge-unsupported", why, where=where)


def _realm_refused(why: str, where: str) -> ContentError:
    return ContentError("token-realm-refused", f"no login is shown there: {why}", where=where)


def _identity_token(source: str) -> Unauthorized:
    return Unauthorized(
        "credentials-unsupported",
        "the login kept there is an identity token; a user name with a password or access token is needed",
        where=source,
        hint="docker login --username USER --password-stdin REGISTRY",
    )


def _helper_failed(program: str, why: str) -> Unauthorized:
    return Unauthorized("credential-helper-failed", f"{program} {why}", hint=f"echo REGISTRY | {program} get")
