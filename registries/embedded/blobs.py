"""Blobs: uploaded at once, in chunks or by mounting; pulled, in ranges too; deleted.

Source: OCI distribution-spec 1.1, "Pushing blobs", "Pulling blobs", "Deleting Blobs".
"""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from registries.digest import Digest
from registries.embedded.answers import created, optional_digest, repository
from registries.embedded.content import content
from registries.embedded.receiving import append
from registries.embedded.repositories import Repositories
from registries.errors import NotFound
from registries.kinds.layout import Layout

PLAIN: Final = "application/octet-stream"


class Blobs:
    """The endpoints. Those that read no body are plain functions, which Starlette runs in threads."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    async def begin(self, request: Request) -> Response:
        """Begin an upload, or push all of it at once (`digest`), or take the blob over (`mount`)."""
        name, query = repository(request), request.query_params
        mount, digest = optional_digest(query.get("mount")), optional_digest(query.get("digest"))
        algorithm = Digest.of(b"", query["digest-algorithm"]).algorithm if "digest-algorithm" in query else None
        if mount is not None and await run_in_threadpool(self._repositories.mount, name, mount, query.get("from")):
            return created(request, "blobs", mount)
        layout = await run_in_threadpool(self._repositories.made, name)
        session = await run_in_threadpool(layout.uploads.begin, algorithm)
        if digest is None:
            return _going_on(request, session, 0)
        try:
            return await self._complete(request, layout, session, digest)
        finally:
            layout.uploads.forget(session)

    async def append(self, request: Request) -> Response:
        """One more chunk of an upload, or a stream of unknown length."""
        layout, session = await run_in_threadpool(self._upload, request)
        with layout.uploads.open(session) as growing:
            await append(request, growing)
        return _going_on(request, session, growing.size)

    async def finish(self, request: Request) -> Response:
        """The last chunk of an upload, or nothing, and the digest of the whole."""
        layout, session = await run_in_threadpool(self._upload, request)
        digest = Digest.parse(request.query_params.get("digest", ""))
        return await self._complete(request, layout, session, digest)

    def progress(self, request: Request) -> Response:
        """How far an upload is."""
        layout, session = self._upload(request)
        return _going_on(request, session, layout.uploads.size(session), status=204)

    def cancel(self, request: Request) -> Response:
        """Forget an upload."""
        layout, session = self._upload(request)
        layout.uploads.cancel(session)
        return Response(status_code=204)

    def get(self, request: Request) -> Response:
        """The bytes of a blob."""
        digest = Digest.parse(request.path_params["digest"])
        layout = self._repositories.holding(repository(request), digest)
        return content(request, layout.blob_path(digest), digest, PLAIN)

    def delete(self, request: Request) -> Response:
        """Remove a blob."""
        digest = Digest.parse(request.path_params["digest"])
        self._repositories.holding(repository(request), digest).delete_blob(digest)
        return Response(status_code=202)

    async def _complete(self, request: Request, layout: Layout, session: str, digest: Digest) -> Response:
        with layout.uploads.open(session, digest.algorithm) as growing:
            await append(request, growing)
            await run_in_threadpool(layout.finish, growing, digest)
        return created(request, "blobs", digest)

    def _upload(self, request: Request) -> tuple[Layout, str]:
        layout, session = self._repositories.existing(repository(request)), request.path_params["session"]
        if layout is None:
            raise NotFound("upload-not-found", "there is no such repository")
        layout.uploads.size(session)
        return layout, session


def _going_on(request: Request, session: str, size: int, status: int = 202) -> Response:
    """Where an upload goes on, and how far it is."""
    location = f"/v2/{repository(request)}/blobs/uploads/{session}"
    return Response(
        status_code=status,
        headers={"Location": location, "Range": f"0-{max(size - 1, 0)}", "Docker-Upload-UUID": session},
    )
