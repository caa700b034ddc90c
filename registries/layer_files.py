"""The files of a layer, read as it passes: nothing is written anywhere, and no link, device or path has an effect.

Source: OCI image-spec 1.1, "Image Layer Filesystem Changeset". A layer that ends otherwise than an archive ends is
refused: what one reader skips, another one unpacks.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from registries.errors import ContentError
from registries.limits import CHUNK_BYTES, MIB

LAYER_BYTES: Final = 64 * 1024 * MIB
"""Of one layer, unpacked."""

LAYER_FILES: Final = 1_000_000
_AT_ONCE: Final = 16 * MIB  # more than any header of an archive needs
_BLOCK: Final = 512
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFile:
    """A regular file. `content` has to be read, if at all, before the next file is asked for."""

    path: str
    size: int
    content: Iterator[bytes]


def layer_files(
    chunks: Iterable[bytes], *, most_bytes: int = LAYER_BYTES, most_files: int = LAYER_FILES
) -> Iterator[LayerFile]:
    """Every regular file of a layer, in its order. Links name other files, and everything else has no content.

    Raises `layer-malformed` for what is no archive or goes on after its end, `layer-compression-unknown`, and
    `limit-exceeded` for more than 64 GiB or 1,000,000 files.
    """
    stream = _Forward(_unpacked(iter(chunks), most_bytes))
    with _told(), tarfile.TarFile(fileobj=stream, mode="r", errorlevel=2) as archive:  # type: ignore[arg-type]
        number = 0
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # or a list of a million names grows
            number += 1
            if number > most_files:
                raise ContentError("limit-exceeded", f"more than {most_files} files in one layer")
            if member.isreg():
                yield LayerFile(path=member.name, size=member.size, content=_content(archive, member))
        stream.finish()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    with _told():
        file = archive.extractfile(member)
        while file is not None and (chunk := file.read(CHUNK_BYTES)):
            yield chunk


@contextmanager
def _told() -> Iterator[None]:
    """What the library raises for an archive that it can't read."""
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ContentError("layer-malformed", f"the layer is no archive that can be read: {error}") from error


def _unpacked(chunks: Iterator[bytes], most: int) -> Iterator[bytes]:
    """The archive's bytes. How they are compressed is known by how they begin, as by those who unpack them."""
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= len(_ZSTD):
            break
    if first.startswith(_ZSTD):
        raise ContentError("layer-compression-unknown", "the layer is compressed with zstd, which is not read")
    packed = _with(first, chunks)
    passed = 0
    for piece in _gunzipped(packed) if first.startswith(_GZIP) else packed:
        passed += len(piece)
        if passed > most:
            raise ContentError("limit-exceeded", f"more than {most} bytes in one layer")
        yield piece


def _with(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Any number of gzip members one after the other (RFC 1952), each to its end, a bounded piece at a time."""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in chunks:
        left = chunk
        while left:
            if member.eof:
                member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if piece := _inflated(member, left):
                yield piece
            left = member.unused_data if member.eof else member.unconsumed_tail
    while not member.eof:
        piece = _inflated(member, member.unconsumed_tail)
        if not piece:
            raise ContentError("layer-malformed", "the layer's gzip ends before its end")
        yield piece


def _inflated(member: Any, content: bytes) -> bytes:
    try:
        return bytes(member.decompress(content, CHUNK_BYTES))
    except zlib.error as error:
        raise ContentError("layer-malformed", f"the layer is no gzip that can be read: {error}") from error


class _Forward:
    """A stream as `tarfile` wants a file: it goes forward, and one byte back where that looks whether it may go on."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = b""
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        """How many bytes have passed."""
        return self._position

    def seek(self, position: int) -> int:
        """Skip to this place."""
        if position == self._position - 1 and self._last:
            self._held = self._last[-1:] + self._held
            self._position = position
            return position
        if position < self._position:
            raise ValueError("the archive points back")
        while self._position < position:
            if not self.read(min(position - self._position, _AT_ONCE)):
                raise EOFError("the archive ends in the middle of a file")
        return position

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end."""
        if not 0 <= size <= _AT_ONCE:
            raise ContentError("limit-exceeded", f"a header of {size} bytes in a layer")
        pieces, missing = [self._held], size - len(self._held)
        while missing > 0 and (chunk := next(self._chunks, b"")):
            pieces.append(chunk)
            missing -= len(chunk)
        joined = b"".join(pieces)
        found, self._held = joined[:size], joined[size:]
        self._position += len(found)
        self._last = found or self._last
        return found

    def finish(self) -> None:
        """Read to the end, which is nothing but zeros: what stopped the reader was the end, and no odd header."""
        ended = len(self._last) == _BLOCK and not self._last.strip(b"\0")
        while chunk := self._held or next(self._chunks, b""):
            self._held = b""
            ended = ended and not chunk.strip(b"\0")
        if not ended:
            raise ContentError("layer-malformed", "the layer goes on after what can be read of it")
