"""Manifests: pushed, pulled and deleted by tag or digest.

Source: OCI distribution-spec 1.1, "Pushing Manifests", "Pulling manifests", "Deleting tags"; RFC 9110, 13.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from registries.digest import Digest
from registries.embedded.answers import Fault, created, repository
from registries.embedded.blobs import PLAIN
from registries.embedded.content import content
from registries.embedded.receiving import whole
from registries.embedded.repositories import Repositories
from registries.errors import ContentError, NotFound
from registries.kinds.layout import Layout
from registries.manifest import Manifest
from registries.reference import is_tag

_NOT_DISTRIBUTED: Final = re.compile(r"\.(nondistributable|foreign)\.")


class Manifests:
    """The endpoints."""

    def __init__(self, repositories: Repositories) -> None:
        self._repositories = repositories

    def get(self, request: Request) -> Response:
        """The exact bytes that were pushed."""
        layout, digest, _ = self._referenced(request)
        links = layout.catalogue().reached.get(digest)
        return content(request, layout.blob_path(digest), digest, links.listed.media_type if links else PLAIN)

    async def push(self, request: Request) -> Response:
        """Keep these exact bytes under their digest, and point a tag at them."""
        name, reference = repository(request), _reference(request)
        pushed = await whole(request)
        manifest = await run_in_threadpool(self._keep, name, pushed, reference, request.headers)
        subject = None if manifest.subject is None else manifest.subject.digest
        return created(request, "manifests", manifest.digest, subject)

    def delete(self, request: Request) -> Response:
        """Remove a tag, or a manifest with all its tags."""
        layout, digest, tag = self._referenced(request)
        if tag is None:
            layout.delete_manifest(digest)
        else:
            layout.delete_tag(tag)
        return Response(status_code=202)

    def _referenced(self, request: Request) -> tuple[Layout, Digest, str | None]:
        """The layout that was asked for a manifest, which is there; its digest, and the tag where that was named."""
        layout, reference = self._repositories.existing(repository(request)), _reference(request)
        if layout is not None:
            digest = reference if isinstance(reference, Digest) else layout.tags().get(reference)
            if digest is not None and layout.is_manifest(digest):
                return layout, digest, reference if isinstance(reference, str) else None
        raise NotFound("image-not-found", f"there is no manifest {reference} in this repository")

    def _keep(self, name: str, pushed: bytes, reference: Digest | str, headers: Mapping[str, str]) -> Manifest:
        """Store a manifest all of whose parts are here, and its tag if the request's conditions on that hold."""
        manifest = _manifest(pushed, headers.get("Content-Type", ""), reference)
        layout = self._repositories.made(name)
        parts = [blob.digest for blob in manifest.blobs if not _NOT_DISTRIBUTED.search(blob.media_type)]
        absent = [digest for digest in parts if layout.content(digest) is None]
        absent += [child.digest for child in manifest.children if not layout.is_manifest(child.digest)]
        if absent:
            raise Fault(400, "MANIFEST_BLOB_UNKNOWN", f"push these first: {', '.join(map(str, absent))}")
        with layout.lock:
            tag = reference if isinstance(reference, str) else None
            if tag is not None and not _meets(headers, layout.tags().get(tag)):
                raise Fault(412, "PRECONDITION_FAILED", f"the tag {tag} is not where the request expects it")
            layout.put_manifest(manifest, tag)
        return manifest


def _reference(request: Request) -> Digest | str:
    """A digest or what may be a tag. No tag has a colon, every digest has one."""
    text: str = request.path_params["reference"]
    return Digest.parse(text) if ":" in text else text


def _manifest(pushed: bytes, media_type: str, reference: Digest | str) -> Manifest:
    """What was pushed, read; `Content-Type` and document must agree."""
    if isinstance(reference, str) and not is_tag(reference):
        raise Fault(400, "MANIFEST_INVALID", f"{reference!r} is not a tag")
    algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
    try:
        manifest = Manifest.from_bytes(pushed, media_type=media_type.partition(";")[0].strip(), algorithm=algorithm)
    except ContentError as error:
        raise Fault(400, "MANIFEST_INVALID", str(error)) from error
    if isinstance(reference, Digest):
        reference.check(pushed)
    return manifest


def _meets(headers: Mapping[str, str], current: Digest | None) -> bool:
    """Whether a tag that now points at `current` meets `If-Match` and `If-None-Match`."""
    here = {"*", f'"{current}"'} if current is not None else set()
    match = {tag.strip() for tag in headers.get("If-Match", "").split(",")}
    none = {tag.strip().removeprefix("W/") for tag in headers.get("If-None-Match", "").split(",")}
    return ("If-Match" not in headers or bool(match & here)) and not none & here
