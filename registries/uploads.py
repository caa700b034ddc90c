"""Files that grow until they are whole, each in the hands of one writer at a time, whichever process it is in.

A file that grows has a name that can't be guessed. It is locked while somebody writes to it, and the lock ends with the
process that holds it: so what is abandoned can be told from what is in use. One rename gives it its final name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from registries.digest import Digest
from registries.errors import NotFound, Unavailable
from registries.limits import CHUNK_BYTES
from registries.stored import local_storage

_SESSION: Final = re.compile(r"[0-9a-f]{32}")


class Hashed:
    """How far the bytes of an upload were hashed while they came."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.size = 0
        self._hasher = hashlib.new(algorithm)

    def copy(self) -> Hashed:
        """The same state, which goes its own way from here."""
        copied = Hashed(self.algorithm)
        copied.size, copied._hasher = self.size, self._hasher.copy()
        return copied

    def update(self, chunk: bytes) -> None:
        """The next bytes."""
        self._hasher.update(chunk)
        self.size += len(chunk)

    @property
    def digest(self) -> Digest:
        """The digest of the bytes so far."""
        return Digest(self.algorithm, self._hasher.hexdigest())


class Uploads:
    """The folder of the files that grow. What was hashed of each is remembered in this process only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hashed: dict[str, Hashed] = {}

    def begin(self, algorithm: str | None = None) -> str:
        """Start an upload, of which a digest of this algorithm will be asked; its name is 32 hexadecimal digits."""
        session = secrets.token_hex(16)
        with local_storage(str(self.folder)):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.path(session).touch(exist_ok=False)
        if algorithm is not None:
            self._hashed[session] = Hashed(algorithm)
        return session

    def path(self, session: str) -> Path:
        """The file in which an upload grows; what can't be a name here is `upload-not-found`."""
        if not _SESSION.fullmatch(session):
            raise self._unknown()
        return self.folder / session

    def size(self, session: str) -> int:
        """How many bytes of an upload have come."""
        try:
            return self.path(session).stat().st_size
        except FileNotFoundError as error:
            raise self._unknown() from error

    @contextlib.contextmanager
    def open(self, session: str, algorithm: str = "sha256") -> Iterator[Growing]:
        """Go on with an upload, alone: `upload-busy` while another writer has it, `upload-not-found` when it is gone.

        `algorithm` is that of the digest that will be asked for, as far as anybody knows.
        """
        path = self.path(session)
        with self._locked(path) as file:
            size = os.fstat(file.fileno()).st_size
            hashed = self._hashed.pop(session, None) or (Hashed(algorithm) if size == 0 else None)
            growing = Growing(path, file, size, hashed)
            try:
                yield growing
            finally:
                growing.close()
                if growing.hashed is not None and path.exists():
                    self._hashed[session] = growing.hashed

    @contextlib.contextmanager
    def fresh(self) -> Iterator[Growing]:
        """A new file that either gets its final name inside the block or leaves nothing behind. Nothing is hashed."""
        path = self.path(self.begin())
        try:
            with self._locked(path) as file:
                growing = Growing(path, file, 0, None)
                try:
                    yield growing
                finally:
                    growing.close()
        finally:
            with local_storage(str(path)):
                path.unlink(missing_ok=True)

    def cancel(self, session: str) -> None:
        """Forget an upload that nobody is writing to."""
        path = self.path(session)
        with self._locked(path):
            path.unlink(missing_ok=True)
        self._hashed.pop(session, None)

    def forget(self, session: str) -> None:
        """Drop what is left of an upload of which nobody else knows."""
        with local_storage(str(self.folder)):
            self.path(session).unlink(missing_ok=True)
        self._hashed.pop(session, None)

    def clean(self, before: float) -> int:
        """Remove what nobody has written to since `before` (seconds of the epoch) and has open; returns how many."""
        removed = 0
        for path in self._all():
            with contextlib.suppress(NotFound, Unavailable, FileNotFoundError):
                if path.lstat().st_mtime >= before:
                    continue  # not even locked: its writer may come back at this moment, and would find it busy
                with self._locked(path) as file:
                    if os.fstat(file.fileno()).st_mtime < before:
                        path.unlink(missing_ok=True)
                        removed += 1
        for session in tuple(self._hashed):
            if not self.path(session).exists():
                self._hashed.pop(session, None)
        return removed

    def _all(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [path for path in self.folder.iterdir() if _SESSION.fullmatch(path.name)]
        return []

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[FileIO]:
        """The file, open and locked. A name that has gone on to another file meanwhile is not the upload any more."""
        with local_storage(str(path)):
            try:
                file = FileIO(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC), "r+")
            except FileNotFoundError as error:
                raise self._unknown() from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Unavailable("upload-busy", "another request is writing to this upload") from error
            try:
                same = os.path.samestat(path.lstat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                same = False
            if not same:
                raise self._unknown()
            yield file

    def _unknown(self) -> NotFound:
        return NotFound("upload-not-found", "there is no such upload", where=str(self.folder.parent))


class Growing:
    """An upload in the hands of one writer. A thread that still writes when it is closed is waited for."""

    def __init__(self, path: Path, file: FileIO, size: int, hashed: Hashed | None) -> None:
        self.size = size
        self.hashed = hashed
        self._before = None if hashed is None else hashed.copy()
        self._path = path
        self._file = file
        self._lock = threading.Lock()

    def write(self, chunk: bytes) -> None:
        """Append these bytes. What is written when that fails is part of the upload all the same."""
        with self._lock, local_storage(str(self._path)), memoryview(chunk) as view:
            start = self.size
            self._file.seek(start)
            while self.size < start + len(view):
                self.size += self._file.write(view[self.size - start :])
            if self.hashed is not None and self.hashed.size == start:  # else others have written before
                self.hashed.update(chunk)

    def rewind(self, size: int) -> None:
        """Take back what was written since the upload was opened, when it had this size."""
        with self._lock, local_storage(str(self._path)):
            self._file.truncate(size)
            self.size, self.hashed = size, self._before

    def digest(self, algorithm: str) -> Digest:
        """The digest of all bytes; only what was not hashed as it came is read again."""
        with self._lock, local_storage(str(self._path)):
            hashed = self.hashed
            if hashed is None or hashed.algorithm != algorithm:
                hashed = Hashed(algorithm)
            self._file.seek(hashed.size)
            while chunk := self._file.read(CHUNK_BYTES):
                hashed.update(chunk)
            return hashed.digest

    def publish(self, final: Path) -> None:
        """Give the file its final name, also across a power failure."""
        with self._lock, local_storage(str(final)):
            os.fsync(self._file.fileno())
            final.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(final)
            sync_folder(final.parent)

    def discard(self) -> None:
        """Throw the bytes away."""
        with self._lock, local_storage(str(self._path)):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let nobody write to it any more."""
        with self._lock:
            self._file.close()


def sync_folder(folder: Path) -> None:
    """Have the names in this folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
