"""What an image was made from, as its provenance says it: repository, ref and commit; and by which builder, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from registries.digest import Digest
from registries.errors import UsageError

_URI: Final = re.compile(
    r"(?:git\+)?(?P<scheme>[a-z][a-z0-9.-]*)://(?:[^@/?#]*@)?(?P<host>[^/@?#]+)/(?P<path>[^@?#]+?)(?:\.git)?/?"
    r"(?:@(?P<ref>[^?#]+))?(?:\#(?P<fragment>[^?#]*))?"
)
_SCP: Final = re.compile(r"(?:git\+)?[a-z0-9._-]+@(?P<host>[a-zA-Z0-9.-]+):(?P<path>[^@?#:/][^@?#:]*?)(?:\.git)?/?")
_PLAIN: Final = re.compile(r"[a-zA-Z0-9.-]+(?::\d{1,5})?(?:/[^\s/@?#]+)+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PRIVATE_WAYS: Final = frozenset({"https", "ssh"})


@dataclass(frozen=True, slots=True)
class Repository:
    """A source repository as `host/path`; one that is reached without protection keeps its scheme: it is another."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host/path`, or the address that a clone takes; else `definition-invalid`."""
        if _PLAIN.fullmatch(text):
            host, _, path = text.partition("/")
            return cls(f"{host.lower()}/{path.removesuffix('.git')}")
        found = _split(text)
        if found is None or found[1]:
            raise UsageError("definition-invalid", f"{text!r:.120} is no repository such as github.com/acme/shop")
        return cls(found[0])

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was built: `ref` is the branch or tag, `commit` in hexadecimal; each is empty where nobody says it."""

    repository: Repository
    ref: str = ""
    commit: str = ""

    @classmethod
    def at(cls, uri: str, *, ref: str = "", commit: str = "") -> Source | None:
        """From a URI such as `git+https://host/path@ref`; None for what is no repository."""
        found = _split(uri)
        return None if found is None else cls(repository=Repository(found[0]), ref=ref or found[1], commit=commit)

    def __str__(self) -> str:
        return f"{self.repository}{f'@{self.ref}' if self.ref else ''}{f' at {self.commit}' if self.commit else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How an image was built. `version` is SLSA's: `0.2` or `1`.

    `sources` is what the build was told to build; several when the provenance is not of one mind. `parameters` are the
    other external parameters, one for each leaf, such as (`inputs.environment`, `prod`). `about` are the digests that
    an unsigned statement named as its subjects; nothing for a bare predicate.
    """

    version: str
    builder: str
    build_type: str
    sources: tuple[Source, ...]
    parameters: tuple[tuple[str, str], ...]
    about: tuple[Digest, ...]
    finished_at: datetime | None

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many sources and parameters it names."""
        return (("sources", len(self.sources)), ("parameters", len(self.parameters)))


def commit_in(digests: Mapping[str, Any]) -> str:
    """The commit in a set of digests, or nothing (in-toto, digest_set.md: `gitCommit`; older tools write `sha1`)."""
    found = [digests[name] for name in ("gitCommit", "sha1") if name in digests]
    if not found or any(one != found[0] for one in found):
        return ""
    return found[0] if isinstance(found[0], str) and _COMMIT.fullmatch(found[0]) else ""


def _split(uri: str) -> tuple[str, str] | None:
    """Repository and ref of a URI."""
    if match := _SCP.fullmatch(uri):
        return f"{match['host'].lower()}/{match['path']}", ""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    way = "" if match["scheme"] in _PRIVATE_WAYS else f"{match['scheme']}://"
    ref = match["ref"] or (match["fragment"] or "").partition(":")[0]
    return f"{way}{match['host'].lower()}/{match['path']}", ref
