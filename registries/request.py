"""One question to a registry, and what it carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

READS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Body:
    """What an upload sends: `size` bytes, from the start each time it is opened."""

    size: int
    open: Callable[[], Iterable[bytes | memoryview]]

    @classmethod
    def of(cls, content: bytes) -> Body:
        """These bytes."""
        return cls(len(content), lambda: (content,))

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return iter(self.open())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question. `target` is a path, or a URL that `Transport.beside` let pass; `source` is read by a mount."""

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
