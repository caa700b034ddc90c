"""The bodies of requests: a manifest as a whole, a chunk of an upload as it comes.

Source: OCI distribution-spec 1.1, "Pushing a blob in chunks".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from registries.embedded.answers import Fault
from registries.limits import MANIFEST_BYTES, MIB
from registries.uploads import Growing

_CHUNK: Final = 1 * MIB
_CONTENT_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


async def whole(request: Request) -> bytes:
    """The body of a request that pushes a manifest."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MANIFEST_BYTES:
            raise Fault(413, "MANIFEST_INVALID", f"a manifest has at most {MANIFEST_BYTES} bytes")
    return bytes(content)


async def append(request: Request, growing: Growing) -> None:
    """Append the body to an upload. What a client that breaks off has sent is kept; it may resume from there."""
    before = growing.size
    promised = _promised(request, before)
    await _store(request, growing)
    if promised is not None and growing.size != before + promised:
        came = growing.size - before
        await run_in_threadpool(growing.rewind, before)
        raise Fault(400, "BLOB_UPLOAD_INVALID", f"the chunk has {came} bytes, not the {promised} of its range")


async def _store(request: Request, growing: Growing) -> None:
    """Write and hash one chunk while the next one comes, never more."""
    writing: asyncio.Task[None] | None = None
    try:
        async for chunk in _gathered(request):
            if writing is not None:
                await writing
            writing = asyncio.create_task(run_in_threadpool(growing.write, chunk))
    finally:
        if writing is not None:
            await writing


def _promised(request: Request, size: int) -> int | None:
    """How long the chunk is by its `Content-Range`, which must begin where the upload ends."""
    header = request.headers.get("Content-Range")
    if header is None:
        return None
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise Fault(400, "BLOB_UPLOAD_INVALID", "a Content-Range of a chunk is written FIRST-LAST")
    if int(match[1]) != size:
        raise Fault(
            416,
            "BLOB_UPLOAD_INVALID",
            f"the next chunk begins at {size}, not at {match[1]}",
            {"Location": request.scope["path"], "Range": f"0-{max(size - 1, 0)}"},
        )
    return int(match[2]) - int(match[1]) + 1


async def _gathered(request: Request) -> AsyncIterator[bytes]:
    """The body in large chunks, up to the last byte that came."""
    held = bytearray()
    try:
        async for chunk in request.stream():
            held += chunk
            if len(held) >= _CHUNK:
                yield bytes(held)
                held.clear()
    except ClientDisconnect:
        yield bytes(held)
        raise
    if held:
        yield bytes(held)
