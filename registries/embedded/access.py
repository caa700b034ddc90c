"""Who may use the embedded registry: everybody, or those whose name and password stand in a file.

Source: RFC 7617 ("Basic"); Apache's htpasswd, of whose forms only the salted and slow ones can be had here.
"""

from __future__ import annotations

import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import anyio.to_thread
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from registries.embedded.answers import answer_error
from registries.embedded.sha_crypt import Hash
from registries.errors import Refusal, Unauthorized, UsageError
from registries.limits import MIB

LOGINS_BYTES: Final = 1 * MIB
_REMEMBERED: Final = 1000
_READING: Final = frozenset({"GET", "HEAD"})
_HINT: Final = """printf 'NAME:%s\\n' "$(openssl passwd -6)" >> FILE"""
_UNSUPPORTED: Final = {
    "$2": "bcrypt, which needs a library that samebits does not bring",
    "$apr1$": "Apache's MD5 form, which is too quick to guess",
    "$1$": "the MD5 form, which is too quick to guess",
    "{SHA}": "SHA-1 without salt, which is too quick to guess",
}


class Logins:
    """Names with their hashed passwords. Safe for several threads.

    Who was let in once is remembered by a keyed hash, so that a hash that is slow on purpose is computed once for each.
    """

    def __init__(self, hashes: Mapping[str, Hash]) -> None:
        self._hashes = dict(hashes)
        self._nobody = next(iter(self._hashes.values()))
        self._key = secrets.token_bytes(32)
        self._seen: dict[bytes, None] = {}

    @classmethod
    def parse(cls, content: bytes, *, where: str) -> Logins:
        """Read a file of lines `name:hash`; blank lines and those that begin with `#` say nothing.

        `logins-malformed` for what can't be read, `logins-unsupported` for a hash of another kind, with its line.
        """
        try:
            lines = content.decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise UsageError("logins-malformed", "the file is not UTF-8", where=where) from error
        found: dict[str, Hash] = {}
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                name, colon, text = line.partition(":")
                place = f"{where}:{number}"
                if not colon or not name or name in found:
                    why = "the name stands here twice" if name in found else "a line is written NAME:HASH"
                    raise UsageError("logins-malformed", why, where=place, hint=_HINT)
                found[name] = _hash(text.strip(), place)
        if not found:
            raise UsageError(
                "logins-malformed", "the file names nobody, so nobody could log in", where=where, hint=_HINT
            )
        return cls(found)

    def remembers(self, name: str, password: bytes) -> bool:
        """Whether exactly this pair was let in before; False says nothing."""
        return self._mark(name, password) in self._seen

    def verify(self, name: str, password: bytes) -> None:
        """Return if this is the password of that name; else `credentials-refused`, after the same time."""
        fits = self._hashes.get(name, self._nobody).fits(password)
        if not fits or name not in self._hashes:
            raise Unauthorized("credentials-refused", "the name or the password is wrong")
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[self._mark(name, password)] = None

    def _mark(self, name: str, password: bytes) -> bytes:
        return hashlib.blake2b(name.encode() + b"\0" + password, key=self._key).digest()


def _hash(text: str, where: str) -> Hash:
    for prefix, kind in _UNSUPPORTED.items():
        if text.startswith(prefix):
            raise UsageError("logins-unsupported", f"this password is hashed with {kind}", where=where, hint=_HINT)
    try:
        return Hash.parse(text)
    except ValueError as error:
        raise UsageError("logins-malformed", f"the hash can't be read: {error}", where=where, hint=_HINT) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may do what: those with a login everything; all others nothing, or only pull."""

    logins: Logins
    anonymous_pull: bool = False


class Doorkeeper:
    """Asks for the login before a request reaches the application."""

    def __init__(self, application: ASGIApp, access: Access) -> None:
        self._application = application
        self._access = access
        self._one = anyio.CapacityLimiter(1)  # guessing at passwords may cost one thread, not all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or hand the request on."""
        request = Request(scope)
        try:
            await self._let_in(request)
        except Refusal as error:
            await answer_error(request, error)(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _let_in(self, request: Request) -> None:
        given = request.headers.getlist("Authorization")
        if not given and self._open(request):
            return
        name, password = _basic(given)
        logins = self._access.logins
        if not logins.remembers(name, password):
            await anyio.to_thread.run_sync(logins.verify, name, password, limiter=self._one)

    def _open(self, request: Request) -> bool:
        """Whether this needs no login. `/v2/` always does: by its answer, clients decide whether to send one later."""
        return self._access.anonymous_pull and request.method in _READING and request.scope["path"] != "/v2/"


def _basic(given: list[str]) -> tuple[str, bytes]:
    """Name and password of the one `Authorization` header."""
    if not given:
        raise Unauthorized("credentials-missing", "this registry asks for a login")
    scheme, _, encoded = given[0].partition(" ")
    try:
        decoded = binascii.a2b_base64(encoded.strip().encode("ascii"), strict_mode=True)
        name = decoded.partition(b":")[0].decode("utf-8")
    except ValueError:  # those of base64, ASCII and UTF-8 are such
        decoded, name = b"", ""
    if len(given) > 1 or scheme.lower() != "basic" or b":" not in decoded:
        raise Unauthorized("credentials-refused", "the login is not one name and password (Basic)")
    return name, decoded.partition(b":")[2]
