"""The login for a registry, from the files in which Docker and Podman keep logins, and from their helpers.

The first file that has a login for the registry gives it: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`,
`$REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`, `$XDG_CONFIG_HOME/containers/auth.json`.
Sources: docker/cli "Credential stores"; containers-auth.json(5).
"""

from __future__ import annotations

import binascii
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from registries.errors import Refusal, Unauthorized
from registries.limits import HELPER_SECONDS, MIB
from registries.origin import DOCKER_HUB_HOSTS
from registries.strict_json import loads_object

DOCKER_HUB: Final = "https://index.docker.io/v1/"
TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+")
_FILE_BYTES: Final = 1 * MIB
_NO_USER: Final = "<token>"


class Kind(StrEnum):
    """What the secret of a login is."""

    PASSWORD = "password"  # noqa: S105 - a kind, no password
    IDENTITY = "identity token"
    BEARER = "registry token"


@dataclass(frozen=True, slots=True)
class Login:
    """User name and secret for one registry, and where they were found. The secret is in no repr."""

    username: str
    secret: str = field(repr=False)
    source: str
    kind: Kind = Kind.PASSWORD

    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        pair = f"{self.username}:{self.secret}".encode()
        return "Basic " + binascii.b2a_base64(pair, newline=False).decode("ascii")


class Credentials:
    """The logins of one user; a file is read when a registry first asks for a login.

    First match in each file: its entry for the longest part of the repository's path, the helper for the host, its
    entry for the host, the general store.
    """

    def __init__(
        self, environment: Mapping[str, str], *, home: Path | None, helper_seconds: float = HELPER_SECONDS
    ) -> None:
        paths = dict.fromkeys(_paths(environment, home))
        self._files = tuple(_File(path, environment, helper_seconds) for path in paths)
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Login | None] = {}

    @property
    def asked(self) -> str:
        """Which files and helpers were asked, for messages."""
        asked = [name for file in self._files for name in (str(file.path), *file.helpers)]
        return ", ".join(asked) or "no file (neither HOME nor DOCKER_CONFIG is set)"

    def login(self, host: str, repository: str) -> Login | None:
        """The login for a repository of this host, or None. `credentials-malformed` when a file can't be read."""
        with self._lock:
            if (host, repository) not in self._found:
                logins = (file.login(host.lower(), repository) for file in self._files)
                self._found[host, repository] = next((login for login in logins if login is not None), None)
            return self._found[host, repository]

    def known(self) -> tuple[Login, ...]:
        """The logins found so far: what must not appear in a message."""
        return tuple(login for login in tuple(self._found.values()) if login is not None)


class _File:
    """One file of logins. What is not there holds none."""

    def __init__(self, path: Path, environment: Mapping[str, str], helper_seconds: float) -> None:
        self.path = path
        self.helpers: dict[str, None] = {}
        self._environment = environment
        self._helper_seconds = helper_seconds
        self._content: dict[str, Any] | None = None

    def login(self, host: str, repository: str) -> Login | None:
        """What this file, or a helper that it names, knows for a repository of this host."""
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
        if self._content is None:
            self._content = self._read()
        return self._content

    def _read(self) -> dict[str, Any]:
        try:
            content = self.path.read_bytes()
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
        source = str(self.path)
        if entry.get("registrytoken"):
            if TOKEN.fullmatch(entry["registrytoken"]) is None:
                raise self._malformed("a `registrytoken` is no token")
            return Login("", entry["registrytoken"], source, Kind.BEARER)
        if entry.get("identitytoken"):
            return Login("", entry["identitytoken"], source, Kind.IDENTITY)
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
        return Login(username, secret, str(self.path))

    def _malformed(self, why: str) -> Unauthorized:
        return Unauthorized(
            "credentials-malformed",
            f"the file of logins can't be used: {why}",
            where=str(self.path),
            hint="docker login writes a new entry once the file is mended or removed",
        )

    def _from_helper(self, name: Any, server: str) -> Login | None:
        from registries import credential_helper

        if not credential_helper.is_helper_name(name):
            raise self._malformed("a credential helper's name is no program name")
        called = credential_helper.program(name)
        self.helpers[called] = None
        found = credential_helper.ask(name, server, environment=self._environment, seconds=self._helper_seconds)
        if found is None:
            return None
        username, secret = found
        return Login(username, secret, called, Kind.IDENTITY if username == _NO_USER else Kind.PASSWORD)


def _paths(environment: Mapping[str, str], home: Path | None) -> Iterator[Path]:
    """Where logins are looked for, in this order. Source: containers-auth.json(5), `docker login`."""
    if folder := environment.get("DOCKER_CONFIG"):
        yield Path(folder) / "config.json"
    elif home is not None:
        yield home / ".docker" / "config.json"
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    if configured := environment.get("XDG_CONFIG_HOME"):
        yield Path(configured) / "containers" / "auth.json"
    elif home is not None:
        yield home / ".config" / "containers" / "auth.json"


def _plain_key(key: str) -> str:
    """A key of `auths` as host[:port][/path]: `https://host/v1/` and `host` mean the same."""
    key = key.partition("://")[2] or key
    host, slash, path = key.rstrip("/").partition("/")
    return host.lower() if path in ("", "v1", "v2") else f"{host.lower()}{slash}{path}"
