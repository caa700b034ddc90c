"""The members of a tar file that somebody else made: found once, read where they lie, never extracted.

Source: POSIX.1-2008 "pax", ustar interchange format; GNU tar for long names. What programs might read differently is
refused with `archive-malformed`: absolute names, `..`, names given twice, sparse files, devices, a missing end.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Self

from registries.errors import ContentError, NotFound
from registries.limits import CHUNK_BYTES, KIB, MIB
from registries.stored import local_storage

ARCHIVE_BYTES: Final = 64 * 1024 * MIB
MEMBERS: Final = 20_000

_BLOCK: Final = tarfile.BLOCKSIZE
_HEADER_BYTES: Final = 64 * KIB
_GZIP: Final = b"\x1f\x8b"
_PAX_DIGITS: Final = 18


_MEANT: Final = frozenset({b"path", b"linkpath", b"size"})


class _Bytes:
    """An open file that is read from any place by any thread, and closed with the last of its members."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        self.where = where
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        with local_storage(self.where):
            return os.pread(self._descriptor, size, offset)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in the archive: bytes that nobody has checked yet."""

    archive: _Bytes
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The bytes, from the beginning at each call."""
        passed = 0
        while passed < self.size:
            chunk = self.archive.read(self.offset + passed, min(CHUNK_BYTES, self.size - passed))
            if not chunk:
                raise _malformed("it has become shorter while it was read", self.archive.where)
            passed += len(chunk)
            yield chunk


@dataclass(slots=True)
class _Extensions:
    """What the headers before a member say about it."""

    name: str | None = None
    link: str | None = None
    size: int | None = None


class Tarball:
    """An open tar file. `members` and `links` are by name, without a leading `./`; a link leads to such a name."""

    def __init__(self, file: IO[bytes], *, where: str) -> None:
        self.members: dict[str, Member] = {}
        self.links: dict[str, str] = {}
        self._folders: set[str] = set()
        self._where = where
        self._bytes = _Bytes(file, where)
        self._index()

    @classmethod
    def open(cls, path: Path, *, limit: int = ARCHIVE_BYTES) -> Self:
        """Open a tar file. A gzip'd one is unpacked into an unnamed file first, at most `limit` bytes of it."""
        if not path.is_file():
            raise NotFound("image-not-found", "there is no such file", where=str(path))
        with local_storage(str(path)), path.open("rb") as file:
            magic = file.read(len(_GZIP))
            file.seek(0)
            if magic != _GZIP:
                return cls(file, where=str(path))
            return cls.spool(_inflated(file, str(path)), where=str(path), limit=limit)

    @classmethod
    def spool(cls, chunks: Iterable[bytes], *, where: str, limit: int = ARCHIVE_BYTES) -> Self:
        """Write a tar stream into an unnamed file, which is gone with the process however that ends, and open it."""
        with local_storage(where), tempfile.TemporaryFile() as file:
            written = 0
            for chunk in chunks:
                written += len(chunk)
                if written > limit:
                    raise ContentError("size-limit", f"more than the limit of {limit} bytes", where=where)
                file.write(chunk)
            file.flush()
            return cls(file, where=where)

    def _index(self) -> None:
        offset, before = 0, _Extensions()
        while (header := self._header(offset)) is not None:
            start = offset + _BLOCK
            match header.type:
                case tarfile.XHDTYPE:
                    self._read_pax(header, start, before)
                case tarfile.XGLTYPE:
                    self._read_pax(header, start, None)
                case tarfile.GNUTYPE_LONGNAME:
                    before.name = self._text(self._whole(header, start).rstrip(b"\0"))
                case tarfile.GNUTYPE_LONGLINK:
                    before.link = self._text(self._whole(header, start).rstrip(b"\0"))
                case _:
                    header.size = header.size if before.size is None else before.size
                    self._add(header, start, before)
                    before = _Extensions()
            if not 0 <= header.size <= self._bytes.size - start:
                raise self._malformed("it ends too early; was it cut off?")
            offset = start + -(-header.size // _BLOCK) * _BLOCK

    def _header(self, offset: int) -> tarfile.TarInfo | None:
        """The header at this place; None at the end of the archive, which is a block of zeros."""
        block = self._bytes.read(offset, _BLOCK)
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except tarfile.HeaderError as error:
            if len(block) == _BLOCK and not any(block):
                return None
            what = "it is no tar file" if offset == 0 else f"there is no sound header at byte {offset}; was it cut off?"
            raise self._malformed(what) from error
        except UnicodeDecodeError as error:
            raise self._malformed(f"the header at byte {offset} has a name that is not UTF-8") from error

    def _add(self, header: tarfile.TarInfo, start: int, before: _Extensions) -> None:
        name = self._name(before.name or header.name, folder=header.type == tarfile.DIRTYPE)
        if len(self.members) + len(self.links) + len(self._folders) == MEMBERS:
            raise ContentError("limit-exceeded", f"more than the limit of {MEMBERS} members", where=self._where)
        if name in self.members or name in self.links or (name in self._folders and header.type != tarfile.DIRTYPE):
            raise self._malformed(f"{name!r} occurs twice")
        if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            self.members[name] = Member(self._bytes, start, header.size)
        elif header.size:
            raise self._malformed(f"{name!r} is no regular file, but has content")
        elif header.type == tarfile.DIRTYPE:
            self._folders.add(name)
        elif header.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            at = PurePosixPath(name).parent if header.type == tarfile.SYMTYPE else PurePosixPath()
            self.links[name] = os.path.normpath(at / (before.link or header.linkname))
        else:
            raise self._malformed(f"{name!r} is neither a file nor a folder")

    def _name(self, written: str, *, folder: bool) -> str:
        if folder and written in (".", "./"):
            return ""
        name = written.removeprefix("./")
        parts = (name.rstrip("/") if folder else name).split("/")
        if any(part in ("", ".", "..") for part in parts) or not written.isprintable():
            raise self._malformed(f"{written!r} is no name for a member")
        return "/".join(parts)

    def _read_pax(self, header: tarfile.TarInfo, start: int, before: _Extensions | None) -> None:
        """The records of a pax header, each `LENGTH KEY=VALUE` and a line feed. `before` is None for a global one."""
        rest = self._whole(header, start)
        while rest:
            digits = rest[:_PAX_DIGITS].partition(b" ")[0]
            length = int(digits) if digits.isdigit() else 0
            key, equals, value = rest[len(digits) + 1 : length].partition(b"=")
            if length > len(rest) or not equals or not value.endswith(b"\n"):
                raise self._malformed("a pax header is damaged")
            if key.startswith(b"GNU.sparse.") or (key in _MEANT and before is None):
                raise self._malformed(f"a pax header says {key!r}, which programs read differently")
            if key in _MEANT and before is not None:
                self._extend(before, key, self._text(value[:-1]))
            rest = rest[length:]

    def _extend(self, before: _Extensions, key: bytes, value: str) -> None:
        match key:
            case b"path":
                before.name = value
            case b"linkpath":
                before.link = value
            case _:
                if not (value.isascii() and value.isdigit() and len(value) <= _PAX_DIGITS):
                    raise self._malformed("a pax header gives a size that is no number")
                before.size = int(value)

    def _whole(self, header: tarfile.TarInfo, start: int) -> bytes:
        if header.size > _HEADER_BYTES:
            raise self._malformed(f"one of its headers has {header.size} bytes")
        return b"".join(Member(self._bytes, start, header.size).chunks())

    def _text(self, content: bytes) -> str:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._malformed("one of its headers has a name that is not UTF-8") from error

    def _malformed(self, why: str) -> ContentError:
        return _malformed(why, self._where)


def _malformed(why: str, where: str) -> ContentError:
    return ContentError("archive-malformed", f"the archive can't be read: {why}", where=where)


def _inflated(file: IO[bytes], where: str) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            while chunk := unpacked.read(CHUNK_BYTES):
                yield chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _malformed("it is no sound gzip file", where) from error
