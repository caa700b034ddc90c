"""An OCI image layout in one tar file, plain or gzip'd, read where it lies: `oci-archive:FILE`.

Source: OCI image-spec 1.1, image-layout.md.
"""

from __future__ import annotations

from pathlib import Path

from registries.catalogue import INDEX_JSON_BYTES, MARKER_BYTES, check_marker
from registries.checked import read_limited
from registries.errors import ContentError, NotFound
from registries.stored import SealedImages, by_digest
from registries.tarball import ARCHIVE_BYTES, Tarball


class ArchiveRegistry(SealedImages):
    """The archive as a read-only Registry with one repository. Of a gzip'd file `limit` bytes are unpacked at most."""

    def __init__(self, path: Path, *, limit: int = ARCHIVE_BYTES) -> None:
        name = f"oci-archive:{path}"
        tarball = Tarball.open(path, limit=limit)
        for link in tarball.links:
            raise ContentError("archive-malformed", f"an OCI layout has files, {link!r} is a link", where=name)
        check_marker(_file(tarball, "oci-layout", MARKER_BYTES, name), where=f"{name} oci-layout")
        index_json = _file(tarball, "index.json", INDEX_JSON_BYTES, name)
        super().__init__(name, index_json, by_digest(tarball.members))


def _file(tarball: Tarball, path: str, limit: int, where: str) -> bytes:
    if path not in tarball.members:
        raise NotFound("image-not-found", f"this is no archive of an OCI image layout: it has no {path}", where=where)
    return read_limited(tarball.members[path].chunks(), limit, where=f"{where} {path}")
