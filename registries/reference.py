"""How people name images in registries: `host[:port]/repository[:tag][@digest]`.

Source: the grammar of distribution/reference; OCI distribution-spec 1.1, "Pulling manifests".
Stricter than Docker's: the host is always written out; there is no implied `docker.io` and no implied `latest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from registries.digest import Digest
from registries.errors import ContentError, UsageError

_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_LONGEST_REPOSITORY: Final = 255
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One image in one registry. A name with both a tag and a digest is the digest; the tag is then only remembered."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a full reference; anything else raises `reference-malformed` (exit 2)."""
        rest, at, digest_text = text.partition("@")
        host, slash, path = rest.partition("/")
        if not slash:
            raise malformed(text, "write it as host/repository:tag or host/repository@sha256:…")
        repository, colon, tag = path.partition(":")
        check_registry(host, text)
        check_repository(repository, text)
        if colon:
            check_tag(tag, text)
        try:
            digest = Digest.parse(digest_text) if at else None
        except ContentError as error:
            raise malformed(text, str(error)) from error
        return cls(registry=host, repository=repository, tag=tag if colon else None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def malformed(text: str, why: str) -> UsageError:
    """The refusal for a name that can't be read."""
    return UsageError("reference-malformed", f"{text!r} does not name an image: {why}")


def check_registry(host: str, text: str) -> str:
    """A registry's host and optional port."""
    if not _HOST.fullmatch(host):
        raise malformed(text, f"{host!r} is not a registry host")
    looks_like_one = "." in host or ":" in host or host == "localhost"
    if not looks_like_one:
        raise malformed(text, f"{host!r} has no dot and no port; write the registry's host out")
    _, colon, port = host.rpartition(":")
    if colon and not host.endswith("]") and not 0 < int(port) <= _HIGHEST_PORT:
        raise malformed(text, f"{port} is not a port")
    return host


def check_repository(repository: str, text: str) -> str:
    """A repository's path."""
    if len(repository) > _LONGEST_REPOSITORY or not _REPOSITORY.fullmatch(repository):
        raise malformed(text, f"{repository!r} is not a repository name (lower case, at most 255 characters)")
    return repository


def check_tag(tag: str, text: str) -> str:
    """A tag."""
    if not _TAG.fullmatch(tag):
        raise malformed(text, f"{tag!r} is not a tag")
    return tag


def is_tag(text: str) -> bool:
    """Whether this text could be a tag."""
    return _TAG.fullmatch(text) is not None
