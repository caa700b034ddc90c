"""Small content by digest, so that no manifest and no record is fetched twice: in memory, and in a folder if given.

Content is hashed whenever it comes from the folder, which is thus trusted with nothing: what is damaged there is as
good as absent, and what can't be read or written there changes no verdict. That some bytes are on the shelf says
nothing about any registry: whether a place has them is asked there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import MIB
from registries.manifest import Manifest
from registries.once import Once
from registries.registry import Location

ONE_BYTES: Final = 1 * MIB
_MEMORY_BYTES: Final = 16 * MIB
FOLDER_BYTES: Final = 128 * MIB


class Shelf:
    """Content of at most 1 MiB apiece. Safe to use from several threads and processes at once."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._manifests: Once[Digest, Manifest] = Once(weigh=lambda it: len(it.content), limit=_MEMORY_BYTES)
        self._blobs: Once[Digest, bytes] = Once(weigh=len, limit=_MEMORY_BYTES)
        self._added = False

    def manifest(self, location: Location, digest: Digest) -> Manifest:
        """The manifest of this digest; only one that is not here is fetched. Raises what the registry does."""
        return self._manifests.get(digest, lambda: self._manifest(location, digest))

    def blob(self, location: Location, descriptor: Descriptor) -> bytes:
        """A blob whole, in memory: for content whose size was checked against a limit before."""
        if descriptor.size > ONE_BYTES:
            return b"".join(location.registry.blob(location.repository, descriptor))
        content = self._blobs.get(descriptor.digest, lambda: self._blob(location, descriptor))
        if len(content) != descriptor.size:  # a descriptor that lies, about content that another one told true
            return b"".join(location.registry.blob(location.repository, descriptor))
        return content

    def held(self, descriptor: Descriptor) -> bytes | None:
        """What was already fetched in this run."""
        content = self._blobs.peek(descriptor.digest)
        return content if content is not None and len(content) == descriptor.size else None

    def put(self, manifest: Manifest, blobs: Iterable[tuple[Descriptor, bytes]]) -> None:
        """Keep what was made here, and seen at a registry since."""
        self._manifests.put(manifest.digest, manifest)
        self._store(manifest.digest, manifest.content)
        for descriptor, content in blobs:
            if descriptor.size <= ONE_BYTES:
                self._blobs.put(descriptor.digest, content)
                self._store(descriptor.digest, content)

    def _manifest(self, location: Location, digest: Digest) -> Manifest:
        stored = self._stored(digest)
        if stored is not None:
            return Manifest.from_bytes(stored, algorithm=digest.algorithm, where=location.at(digest))
        manifest = location.registry.manifest(location.repository, digest)
        self._store(digest, manifest.content)
        return manifest

    def _blob(self, location: Location, descriptor: Descriptor) -> bytes:
        content = self._stored(descriptor.digest)
        if content is None:
            content = b"".join(location.registry.blob(location.repository, descriptor))
            self._store(descriptor.digest, content)
        return content

    def _stored(self, digest: Digest) -> bytes | None:
        """What the folder holds, if it really is what it is called."""
        if self._folder is None:
            return None
        with contextlib.suppress(OSError, ContentError), self._path(self._folder, digest).open("rb") as file:
            return digest.check(file.read(ONE_BYTES + 1))
        return None

    def _store(self, digest: Digest, content: bytes) -> None:
        if self._folder is None or len(content) > ONE_BYTES:
            return
        path = self._path(self._folder, digest)
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh.write_bytes(content)
            fresh.replace(path)
            self._added = True

    def tidy(self) -> None:
        """Throw away what was stored longest ago, when this run has added something and it has become too much."""
        if self._folder is None or not self._added:
            return
        with contextlib.suppress(OSError):
            files = [(entry.stat(), entry.path) for folder in os.scandir(self._folder) for entry in os.scandir(folder)]
            total = sum(status.st_size for status, _ in files)
            for status, path in sorted(files, key=lambda item: item[0].st_mtime):
                if total <= FOLDER_BYTES:
                    break
                os.unlink(path)  # noqa: PTH108 - an entry of the scan is a string already
                total -= status.st_size

    @staticmethod
    def _path(folder: Path, digest: Digest) -> Path:
        return folder / digest.algorithm / digest.hex
