"""A file as an answer: all of it, or the one range that was asked for.

Source: OCI distribution-spec 1.1, "Pulling blobs", "Pulling manifests"; RFC 9110, 14.2.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from registries.digest import Digest
from registries.embedded.answers import Fault, identity
from registries.errors import NotFound
from registries.limits import MIB

_CHUNK: Final = 1 * MIB
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def content(request: Request, path: Path, digest: Digest, media_type: str) -> Response:
    """The bytes of a digest, as they are on disk: whoever reads them has to hash them anyway."""
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
        except FileNotFoundError as error:
            raise NotFound("blob-not-found", f"{digest} was just deleted") from error
        size = os.fstat(file.fileno()).st_size
        span, status = _span(request.headers.get("Range", ""), size), 206
        headers = {**identity(digest), "Content-Type": media_type, "Accept-Ranges": "bytes"}
        if span is None:
            span, status = range(size), 200
        else:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        headers["Content-Length"] = str(len(span))
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        opened.pop_all()
        return _Streamed(file, span, status, headers)


class _Streamed(StreamingResponse):
    """A range of an open file, which is closed at the end, also when nobody waits for the bytes any more."""

    def __init__(self, file: BinaryIO, span: range, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(_chunks(file, span), status, headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def _chunks(file: BinaryIO, span: range) -> Iterator[bytes]:
    file.seek(span.start)
    left = len(span)
    while left > 0 and (chunk := file.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk


def _span(header: str, size: int) -> range | None:
    """The bytes that a `Range` header asks for; None for all, also where it can't be read."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        span = range(int(match[1]), min(int(match[2]) + 1, size) if match[2] else size)
    else:
        span = range(max(size - int(match[2]), 0), size)
    if not span:
        raise Fault(416, "RANGE_INVALID", f"the blob has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return span
