"""The embedded registry: OCI Distribution 1.1, with referrers and deletion, over one OCI layout per repository.

The layout of `team/image` is `ROOT/team/image/_oci`: no component of a repository's name begins with `_`, so none lies
inside another one's layout. Nobody is asked for credentials: it is for laptops, tests and the demo.

Source: OCI distribution-spec 1.1, "Endpoints" and "Error Codes"; RFC 9110 for ranges and conditions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from registries.digest import Digest
from registries.errors import ContentError, NotFound, Refusal, Unavailable, UsageError
from registries.kinds.layout import Layout
from registries.limits import MANIFEST_BYTES, MIB
from registries.manifest import OCI_INDEX, Manifest, index_bytes
from registries.reference import check_repository, is_tag
from registries.strict_json import dumps

_CHUNK: Final = 1 * MIB
_LIST_BYTES: Final = MANIFEST_BYTES - 1024
_STOP_SECONDS: Final = 1
_QUEUE: Final = 512
_FOLDER: Final = "_oci"
_PLAIN: Final = "application/octet-stream"
_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_CONTENT_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_NOT_DISTRIBUTED = re.compile(r"\.(nondistributable|foreign)\.")

# What refusals from below become; within a request they are about what the client sent or asked for.
_FAULTS: Final[Mapping[str, tuple[int, str]]] = {
    "reference-malformed": (400, "NAME_INVALID"),
    "digest-malformed": (400, "DIGEST_INVALID"),
    "algorithm-not-allowed": (400, "DIGEST_INVALID"),
    "digest-mismatch": (400, "DIGEST_INVALID"),
    "upload-not-found": (404, "BLOB_UPLOAD_UNKNOWN"),
    "blob-not-found": (404, "BLOB_UNKNOWN"),
    "image-not-found": (404, "MANIFEST_UNKNOWN"),
}

_LOG = logging.getLogger(__name__)


class _Fault(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


def application(root: Path) -> Starlette:
    """The registry that keeps its repositories below `root`, as an ASGI application."""
    embedded = _Embedded(root)
    name = "/v2/{name:path}"
    upload, blob = f"{name}/blobs/uploads/{{session}}", f"{name}/blobs/{{digest}}"
    manifest = f"{name}/manifests/{{reference}}"
    served = Starlette(
        routes=[
            Route("/v2/", _version),
            Route(f"{name}/blobs/uploads/", embedded.begin, methods=["POST"]),
            Route(upload, embedded.progress, methods=["GET"]),
            Route(upload, embedded.append, methods=["PATCH"]),
            Route(upload, embedded.finish, methods=["PUT"]),
            Route(upload, embedded.cancel, methods=["DELETE"]),
            Route(blob, embedded.blob, methods=["GET"]),
            Route(blob, embedded.delete_blob, methods=["DELETE"]),
            Route(manifest, embedded.manifest, methods=["GET"]),
            Route(manifest, embedded.push_manifest, methods=["PUT"]),
            Route(manifest, embedded.delete_manifest, methods=["DELETE"]),
            Route(f"{name}/tags/list", embedded.tags, methods=["GET"]),
            Route(f"{name}/referrers/{{digest}}", embedded.referrers, methods=["GET"]),
        ],
        exception_handlers=dict.fromkeys((_Fault, Refusal, HTTPException, ClientDisconnect, Exception), _answer_error),
    )
    served.router.redirect_slashes = False
    return served


def serve(root: Path, host: str, port: int, *, ready: Callable[[str], None]) -> None:
    """Serve in the foreground (the main thread) until SIGINT or SIGTERM; `ready` gets `host:port` once it is open."""
    server = _server(root)
    listener, address = _listen(host, port)
    # uvicorn gives back the handlers that it found and raises to them again what it was stopped by: to itself, so that
    # a stop by signal is a normal return here, and a signal that comes before it has begun is not lost.
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with listener:
            ready(address)
            server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def serve_in_thread(root: Path, port: int = 0) -> Iterator[str]:
    """Serve on loopback for as long as the block runs; yields `127.0.0.1:port`."""
    server = _server(root)
    listener, address = _listen("127.0.0.1", port)
    thread = threading.Thread(target=server.run, args=([listener],), name=f"registry {address}")
    with listener:
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


class _Embedded:
    """The endpoints. Those that read no body are plain functions, which Starlette runs in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._layouts: dict[str, Layout] = {}
        self._growing: set[Path] = set()
        self._lock = threading.Lock()

    async def begin(self, request: Request) -> Response:
        """Begin an upload, or push all of it at once (`digest`), or take the blob over (`mount`)."""
        name, query = _name(request), request.query_params
        mount, digest = _optional(query.get("mount")), _optional(query.get("digest"))
        if mount is not None and await run_in_threadpool(self._mount, name, mount, query.get("from")):
            return _created(request, "blobs", mount)
        layout = await run_in_threadpool(self._layout, name)
        session = await run_in_threadpool(layout.begin)
        if digest is None:
            return _progress(request, session, 0)
        try:
            return await self._complete(request, layout, session, digest)
        finally:
            layout.upload(session).unlink(missing_ok=True)

    async def append(self, request: Request) -> Response:
        """One more chunk of an upload, or a stream of unknown length."""
        layout, session = await run_in_threadpool(self._upload, request)
        with self._alone(layout.upload(session)) as path:
            return _progress(request, session, await _receive(request, path))

    async def finish(self, request: Request) -> Response:
        """The last chunk of an upload, or nothing, and the digest of the whole."""
        layout, session = await run_in_threadpool(self._upload, request)
        digest = Digest.parse(request.query_params.get("digest", ""))
        return await self._complete(request, layout, session, digest)

    def progress(self, request: Request) -> Response:
        """How far an upload is."""
        layout, session = self._upload(request)
        return _progress(request, session, _size(layout.upload(session)), status=204)

    def cancel(self, request: Request) -> Response:
        """Forget an upload."""
        layout, session = self._upload(request)
        with self._alone(layout.upload(session)) as path:
            path.unlink(missing_ok=True)
        return Response(status_code=204)

    def blob(self, request: Request) -> Response:
        """The bytes of a blob, as they are on disk: whoever reads them has to hash them anyway."""
        layout, digest = self._held(request)
        return _content(request, layout.blob_path(digest), digest, _PLAIN)

    def delete_blob(self, request: Request) -> Response:
        """Remove a blob."""
        layout, digest = self._held(request)
        layout.delete_blob(digest)
        return Response(status_code=202)

    def manifest(self, request: Request) -> Response:
        """The exact bytes that were pushed."""
        layout, digest, _ = self._referenced(request)
        links = layout.catalogue().reached.get(digest)
        return _content(request, layout.blob_path(digest), digest, links.listed.media_type if links else _PLAIN)

    async def push_manifest(self, request: Request) -> Response:
        """Keep these exact bytes under their digest, and point a tag at them."""
        name, reference = _name(request), _reference(request)
        content = await _limited(request)
        manifest = await run_in_threadpool(self._keep, name, content, reference, request.headers)
        subject = None if manifest.subject is None else manifest.subject.digest
        return _created(request, "manifests", manifest.digest, subject)

    def delete_manifest(self, request: Request) -> Response:
        """Remove a tag, or a manifest with all its tags."""
        layout, digest, tag = self._referenced(request)
        if tag is None:
            layout.delete_manifest(digest)
        else:
            layout.delete_tag(tag)
        return Response(status_code=202)

    def tags(self, request: Request) -> Response:
        """The tags in ASCII order: at most `n` of them, after `last`."""
        name, query = _name(request), request.query_params
        layout = self._existing(name)
        if layout is None:
            raise _Fault(404, "NAME_UNKNOWN", f"there is no repository {name}")
        if not _NUMBER.fullmatch(query.get("n", "0")):
            raise _Fault(400, "PAGINATION_NUMBER_INVALID", "`n` is not a number")
        tags = sorted(tag for tag in layout.tags() if is_tag(tag) and tag > query.get("last", ""))
        page = tags[: int(query["n"])] if "n" in query else tags
        link = _next(request, {"n": query["n"], "last": page[-1]}) if page and len(page) < len(tags) else {}
        return JSONResponse({"name": name, "tags": page}, headers=link)

    def referrers(self, request: Request) -> Response:
        """The manifests whose subject is this digest, whether it is here or not, in pages no larger than a manifest."""
        digest = Digest.parse(request.path_params["digest"])
        layout = self._existing(_name(request))
        query = request.query_params
        listed = sorted(layout.referrers(digest), key=lambda entry: str(entry.digest)) if layout is not None else []
        entries = [
            entry.json()
            for entry in listed
            if entry.artifact_type == query.get("artifactType", entry.artifact_type)
            and str(entry.digest) > query.get("last", "")
        ]
        page = _page(entries)
        headers = {"Content-Type": OCI_INDEX}
        if "artifactType" in query:
            headers["OCI-Filters-Applied"] = "artifactType"
        if len(page) < len(entries):
            headers |= _next(request, {**query, "last": page[-1]["digest"]})
        return Response(index_bytes(tuple(page)), headers=headers)

    def _existing(self, name: str) -> Layout | None:
        """The layout of a repository that something was pushed to."""
        with self._lock:
            layout = self._layouts.get(name) or Layout(self._root / name / _FOLDER)
            return self._layouts.setdefault(name, layout) if layout.exists() else None

    def _layout(self, name: str) -> Layout:
        """The layout of a repository that something is being pushed to."""
        with self._lock:
            layout = self._layouts.setdefault(name, Layout(self._root / name / _FOLDER))
            layout.create()
            return layout

    def _mount(self, name: str, digest: Digest, source: str | None) -> bool:
        """Take a blob over from `source`, or from any repository in use. False: the client has to upload it."""
        if source is None:
            origins = tuple(self._layouts.values())
        else:
            origin = self._existing(check_repository(source, source))
            origins = (origin,) if origin is not None else ()
        for origin in origins:
            if origin.content(digest) is not None:
                self._layout(name).adopt(origin.blob_path(digest), digest)
                return True
        return False

    def _upload(self, request: Request) -> tuple[Layout, str]:
        layout, session = self._existing(_name(request)), request.path_params["session"]
        if layout is None:
            raise NotFound("upload-not-found", "there is no such repository")
        _size(layout.upload(session))
        return layout, session

    @contextlib.contextmanager
    def _alone(self, path: Path) -> Iterator[Path]:
        """No two requests write to one upload: the slower one could still do so when the file is a blob already."""
        with self._lock:
            if path in self._growing:
                raise _Fault(409, "BLOB_UPLOAD_INVALID", "another request is writing to this upload")
            self._growing.add(path)
        try:
            yield path
        finally:
            self._growing.discard(path)

    async def _complete(self, request: Request, layout: Layout, session: str, digest: Digest) -> Response:
        with self._alone(layout.upload(session)) as path:
            await _receive(request, path)
            await run_in_threadpool(layout.finish, session, digest)
        return _created(request, "blobs", digest)

    def _held(self, request: Request) -> tuple[Layout, Digest]:
        """The layout that was asked for a blob, which is there."""
        digest, layout = Digest.parse(request.path_params["digest"]), self._existing(_name(request))
        if layout is None or layout.content(digest) is None:
            raise NotFound("blob-not-found", f"there is no blob {digest} in this repository")
        return layout, digest

    def _referenced(self, request: Request) -> tuple[Layout, Digest, str | None]:
        """The layout that was asked for a manifest, which is there; its digest, and the tag where that was named."""
        layout, reference = self._existing(_name(request)), _reference(request)
        if layout is not None:
            digest = reference if isinstance(reference, Digest) else layout.tags().get(reference)
            if digest is not None and layout.is_manifest(digest):
                return layout, digest, reference if isinstance(reference, str) else None
        raise NotFound("image-not-found", f"there is no manifest {reference} in this repository")

    def _keep(self, name: str, content: bytes, reference: Digest | str, headers: Mapping[str, str]) -> Manifest:
        """Store a manifest all of whose parts are here, and its tag if the request's conditions on that hold."""
        manifest = _manifest(content, headers.get("Content-Type", ""), reference)
        layout = self._layout(name)
        parts = [blob.digest for blob in manifest.blobs if not _NOT_DISTRIBUTED.search(blob.media_type)]
        absent = [digest for digest in parts if layout.content(digest) is None]
        absent += [child.digest for child in manifest.children if not layout.is_manifest(child.digest)]
        if absent:
            raise _Fault(400, "MANIFEST_BLOB_UNKNOWN", f"push these first: {', '.join(map(str, absent))}")
        with layout.lock:
            tag = reference if isinstance(reference, str) else None
            if tag is not None and not _meets(headers, layout.tags().get(tag)):
                raise _Fault(412, "PRECONDITION_FAILED", f"the tag {tag} is not where the request expects it")
            layout.put_manifest(manifest, tag)
        return manifest


def _version(_: Request) -> Response:
    return JSONResponse({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return check_repository(name, name)


def _optional(digest: str | None) -> Digest | None:
    return None if digest is None else Digest.parse(digest)


def _reference(request: Request) -> Digest | str:
    """A digest or what may be a tag. No tag has a colon, every digest has one."""
    text: str = request.path_params["reference"]
    return Digest.parse(text) if ":" in text else text


def _manifest(content: bytes, media_type: str, reference: Digest | str) -> Manifest:
    """What was pushed, read; `Content-Type` and document must agree. "Pushing Manifests"."""
    if isinstance(reference, str) and not is_tag(reference):
        raise _Fault(400, "MANIFEST_INVALID", f"{reference!r} is not a tag")
    algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
    try:
        manifest = Manifest.from_bytes(content, media_type=media_type.partition(";")[0].strip(), algorithm=algorithm)
    except ContentError as error:
        raise _Fault(400, "MANIFEST_INVALID", str(error)) from error
    if isinstance(reference, Digest):
        reference.check(content)
    return manifest


async def _limited(request: Request) -> bytes:
    """The whole body of a request that pushes a manifest."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MANIFEST_BYTES:
            raise _Fault(413, "MANIFEST_INVALID", f"a manifest has at most {MANIFEST_BYTES} bytes")
    return bytes(content)


async def _receive(request: Request, path: Path) -> int:
    """Append the body to the bytes of an upload; returns how many there are then. "Pushing a blob in chunks"."""
    before = await run_in_threadpool(_size, path)
    promised = _promised(request, before)
    size = before
    async for chunk in _gathered(request):
        await run_in_threadpool(_write, path, size, chunk)
        size += len(chunk)
    if promised is not None and size != before + promised:
        await run_in_threadpool(os.truncate, path, before)
        raise _Fault(
            400, "BLOB_UPLOAD_INVALID", f"the chunk has {size - before} bytes, not the {promised} of its range"
        )
    return size


def _promised(request: Request, size: int) -> int | None:
    """How long the chunk is by its `Content-Range`, which must begin where the upload ends."""
    header = request.headers.get("Content-Range")
    if header is None:
        return None
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise _Fault(400, "BLOB_UPLOAD_INVALID", "a Content-Range of a chunk is written FIRST-LAST")
    if int(match[1]) != size:
        raise _Fault(
            416,
            "BLOB_UPLOAD_INVALID",
            f"the next chunk begins at {size}, not at {match[1]}",
            {"Location": request.scope["path"], "Range": f"0-{max(size - 1, 0)}"},
        )
    return int(match[2]) - int(match[1]) + 1


async def _gathered(request: Request) -> AsyncIterator[bytes]:
    """The body in large chunks, up to the last byte that came: what a client that breaks off has sent is kept."""
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


def _write(path: Path, offset: int, chunk: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(chunk)


def _size(path: Path) -> int:
    """How many bytes of an upload have come."""
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise NotFound("upload-not-found", "there is no such upload in this repository") from error


def _content(request: Request, path: Path, digest: Digest, media_type: str) -> Response:
    """A file, or the one range of it that was asked for. "Pulling blobs", "Pulling manifests"."""
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
        except FileNotFoundError as error:
            raise NotFound("blob-not-found", f"{digest} was just deleted") from error
        size = os.fstat(file.fileno()).st_size
        span, status = _span(request.headers.get("Range", ""), size), 206
        headers = {**_identity(digest), "Content-Type": media_type, "Accept-Ranges": "bytes"}
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
    """The bytes that a `Range` header asks for; None for all, also where it can't be read. RFC 9110, 14.2."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        span = range(int(match[1]), min(int(match[2]) + 1, size) if match[2] else size)
    else:
        span = range(max(size - int(match[2]), 0), size)
    if not span:
        raise _Fault(416, "RANGE_INVALID", f"the blob has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return span


def _meets(headers: Mapping[str, str], current: Digest | None) -> bool:
    """Whether a tag that now points at `current` meets `If-Match` and `If-None-Match`. RFC 9110, 13.1."""
    here = {"*", f'"{current}"'} if current is not None else set()
    match = {tag.strip() for tag in headers.get("If-Match", "").split(",")}
    none = {tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")}
    return ("If-Match" not in headers or bool(match & here)) and not none & here


def _page(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many entries, but at least one, as an index of the size of a manifest can hold."""
    page: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        size += len(dumps(entry)) + 1
        if page and size > _LIST_BYTES:
            break
        page.append(entry)
    return page


def _next(request: Request, parameters: Mapping[str, str]) -> dict[str, str]:
    """Where a list goes on."""
    return {"Link": f'<{request.scope["path"]}?{urlencode(parameters)}>; rel="next"'}


def _identity(digest: Digest) -> dict[str, str]:
    return {"Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}


def _progress(request: Request, session: str, size: int, status: int = 202) -> Response:
    """Where an upload goes on, and how far it is."""
    location = f"/v2/{_name(request)}/blobs/uploads/{session}"
    return Response(
        status_code=status,
        headers={"Location": location, "Range": f"0-{max(size - 1, 0)}", "Docker-Upload-UUID": session},
    )


def _created(request: Request, what: str, digest: Digest, subject: Digest | None = None) -> Response:
    headers = {"Location": f"/v2/{_name(request)}/{what}/{digest}", **_identity(digest)}
    if subject is not None:
        headers["OCI-Subject"] = str(subject)
    return Response(status_code=201, headers=headers)


def _answer_error(request: Request, error: Exception) -> Response:
    """Every error in the one form that "Error Codes" gives, by what it says of the request; a bug is logged."""
    headers: Mapping[str, str] | None = None
    match error:
        case _Fault():
            status, code, message, headers = error.status, error.code, str(error), error.headers
        case Refusal() if error.code in _FAULTS:
            (status, code), message = _FAULTS[error.code], str(error)
        case HTTPException():  # from the router: no such path, or no such method on it
            status, code, message, headers = error.status_code, "UNSUPPORTED", error.detail, error.headers
        case ClientDisconnect():
            status, code, message = 400, "BLOB_UPLOAD_INVALID", "the client went away"
        case _:
            _LOG.error("%s %r", request.method, request.scope["path"], exc_info=error)
            status, code, message = 500, "UNKNOWN", "the registry failed; its log says why"
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status, headers)


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give requests a moment to end, then cut the connections that are left."""
        await super().shutdown(sockets)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def _server(root: Path) -> _Server:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable("local-storage-failed", f"can't keep images here: {error}", where=str(root)) from error
    return _Server(
        uvicorn.Config(
            application(root),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # bugs are logged here, with the request; the rest is noise
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """An open socket and how clients name it. Clients that come before the server runs wait in its queue."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_QUEUE)
    except (OSError, OverflowError) as error:
        raise UsageError(
            "address-unavailable",
            f"can't listen on {host}:{port}: {error}",
            hint="choose another port, or port 0 for one that is free",
        ) from error
    # Connections inherit it; asyncio sets it only where the protocol is named. Without it each answer waits 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, f"{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
