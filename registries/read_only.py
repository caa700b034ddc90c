"""A registry that answers every question and refuses every write: what a dry run and an audit are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import UsageError
from registries.manifest import Manifest
from registries.registry import Registry


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """Another registry's reading half. A write is a fault of the program, and is refused with `write-in-dry-run`.

    `mount` is there so that a plan can foretell mounts; it is refused like the others.
    """

    inner: Registry

    @property
    def name(self) -> str:
        """The name of the registry behind it."""
        return self.inner.name

    def resolve(self, repository: str, tag: str) -> Digest:
        """Passed on."""
        return self.inner.resolve(repository, tag)

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """Passed on."""
        return self.inner.manifest(repository, digest)

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """Passed on."""
        return self.inner.blob(repository, descriptor)

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        """Passed on."""
        return self.inner.holds(repository, descriptor, whole=whole)

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Passed on."""
        return self.inner.referrers(repository, digest)

    def tags(self, repository: str) -> tuple[str, ...]:
        """Passed on."""
        return self.inner.tags(repository)

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Refused."""
        self._refuse(f"the blob {descriptor.digest}")

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Refused."""
        self._refuse(f"the manifest {manifest.digest}")

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Refused."""
        self._refuse(f"the tag {tag}")

    def mount(self, repository: str, descriptor: Descriptor, source: str) -> bool:
        """Refused."""
        self._refuse(f"the blob {descriptor.digest}")

    def _refuse(self, what: str) -> NoReturn:
        raise UsageError("write-in-dry-run", f"nothing is written here, and {what} was about to be", where=self.name)
