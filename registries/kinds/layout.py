"""An OCI image layout: a folder of blobs with an index.json; the embedded registry keeps its repositories so.

Source: OCI image-spec 1.1, image-layout.md. Whatever is killed whenever: a file that has its final name is whole. New
files grow in `uploads/`; index.json is replaced under a lock that threads and processes share.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from registries.catalogue import (
    INDEX_JSON_BYTES,
    LAYOUT_VERSION,
    MARKER_BYTES,
    Catalogue,
    Entry,
    Links,
    check_marker,
    digest_of,
    plain,
    pruned,
    tagged,
    untagged,
)
from registries.checked import checked
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, TagMoved
from registries.limits import CHUNK_BYTES
from registries.manifest import OCI_INDEX, Manifest
from registries.reference import check_tag
from registries.stored import StoredImages, local_storage, read_links, read_manifest
from registries.strict_json import dumps
from registries.uploads import Growing, Uploads, sync_folder

# A file that was replaced twice within one tick of the clock may look unchanged: same number, same time, same size. So
# a time stamp is believed only when it was this old (in nanoseconds) when the file was read: the coarsest file systems
# count in steps of two seconds.
_TICK: Final = 2_500_000_000


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int

    def chunks(self) -> Iterator[bytes]:
        with local_storage(str(self.path)), self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True, slots=True)
class _Seen:
    """What index.json said when it was read at a time (nanoseconds of the epoch), and which bytes that were."""

    version: tuple[int, ...]
    time: int
    content: Digest
    catalogue: Catalogue

    @property
    def settled(self) -> bool:
        """Whether any later change must show in the file's version."""
        return self.time - self.version[1] > _TICK


class Layout:
    """The folder, with all that a registry server does to one repository. Safe for several threads and processes.

    Hold `lock` to look and write as one act; the methods that write take it themselves, and may be called inside.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = _Lock(root)
        self.uploads = Uploads(root / "uploads")
        self._links: dict[Digest, Links] = {}
        self._seen: _Seen | None = None

    def exists(self) -> bool:
        """Whether the folder is a layout by now."""
        return (self.root / "oci-layout").is_file()

    def create(self) -> None:
        """Make the folder a layout; one that is a layout already is left as it is."""
        if self.exists():
            return
        with local_storage(str(self.root)):
            self.root.mkdir(parents=True, exist_ok=True)
        with self.lock, local_storage(str(self.root)):
            (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            if not (self.root / "index.json").exists():
                self._replace("index.json", dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}))
            self._replace("oci-layout", dumps({"imageLayoutVersion": LAYOUT_VERSION}))

    def check(self) -> None:
        """Refuse a folder that is no layout (`image-not-found`) or one of another version (`layout-unsupported`)."""
        if not self.exists():
            why = "it has no file oci-layout" if self.root.is_dir() else "there is no such folder"
            raise NotFound("image-not-found", f"this is no OCI image layout: {why}", where=str(self.root))
        marker = self.root / "oci-layout"
        check_marker(_read(marker, MARKER_BYTES), where=str(marker))

    # reading

    def catalogue(self) -> Catalogue:
        """What index.json says now; it is read again whenever the file may have been replaced."""
        path = self.root / "index.json"
        if not path.is_file():
            raise NotFound("image-not-found", "this layout has no index.json", where=str(self.root))
        seen, now = self._seen, time.time_ns()
        with local_storage(str(path)):
            version = _version(path)
        unchanged = seen is not None and seen.version == version
        if seen is not None and unchanged and seen.settled:
            return seen.catalogue
        content = _read(path, INDEX_JSON_BYTES)
        digest = Digest.of(content)
        if seen is not None and unchanged and seen.content == digest:
            catalogue = seen.catalogue
        else:
            catalogue = Catalogue.read(content, self._linked, where=str(path))
        self._seen = _Seen(version, now, digest, catalogue)
        return catalogue

    def content(self, digest: Digest) -> _File | None:
        """A blob's file. A link to a regular file will do; a pipe or a device is nothing that was stored here."""
        path = self.blob_path(digest)
        try:
            status = path.stat()
        except OSError:
            return None
        return _File(path, status.st_size) if stat.S_ISREG(status.st_mode) else None

    def blob_path(self, digest: Digest) -> Path:
        """Where the bytes of a digest are. A Digest has no characters that could lead out of the folder."""
        return self.root / "blobs" / digest.algorithm / digest.hex

    def tags(self) -> dict[str, Digest]:
        """Every tag that points at one image. A name that foreign tools gave to several points at none."""
        return {tag: found[0].digest for tag, found in self.catalogue().tags.items() if len(found) == 1}

    def manifest(self, digest: Digest) -> Manifest:
        """What was pushed as a manifest, its bytes checked: a blob that reads like one is none."""
        content = self.content(digest) if digest in self.catalogue().reached else None
        return read_manifest(content, digest, where=f"{self.root}@{digest}")

    def is_manifest(self, digest: Digest) -> bool:
        """Whether this was pushed as a manifest and is still there."""
        return digest in self.catalogue().reached and self.content(digest) is not None

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """The manifests whose own `subject` is this digest, and which are still there."""
        listed = self.catalogue().subjects.get(digest, ())
        return tuple(entry for entry in listed if self.content(entry.digest) is not None)

    # writing

    def put_blob(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Store the bytes that a descriptor promises; other bytes leave nothing behind."""
        with self.uploads.fresh() as growing:
            for chunk in checked(chunks, descriptor.digest, descriptor.size, where=str(self.root)):
                growing.write(chunk)
            growing.publish(self.blob_path(descriptor.digest))

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest and point a tag at it, wherever that points now."""
        if not self._has(manifest):
            self.put_blob(manifest.descriptor, (manifest.content,))
        with self.lock:
            if self.content(manifest.digest) is None:  # somebody has deleted it just now
                self.put_blob(manifest.descriptor, (manifest.content,))
            catalogue = self.catalogue()
            if tag is not None:
                if [found.digest for found in catalogue.tags.get(tag, ())] != [manifest.digest]:
                    self._rewrite(tagged(catalogue.entries, manifest.descriptor, tag))
            elif catalogue.reached.get(manifest.digest) is None:
                self._rewrite([*catalogue.entries, plain(manifest.descriptor)])

    def delete_tag(self, tag: str) -> None:
        """Take a tag away; the manifest stays."""
        with self.lock:
            catalogue = self.catalogue()
            if tag not in catalogue.tags:
                raise NotFound("image-not-found", "there is no such tag", where=f"{self.root}:{tag}")
            self._rewrite(untagged(catalogue.entries, tag))

    def delete_manifest(self, digest: Digest) -> None:
        """Take a manifest away with its tags. The manifests below it stay.

        First it is listed no more, then its file goes: who is killed between leaves bytes that mean nothing.
        """
        with self.lock:
            if not self.is_manifest(digest):
                raise NotFound("image-not-found", "there is no such manifest", where=f"{self.root}@{digest}")
            catalogue = self.catalogue()
            links = catalogue.reached[digest]
            rest = [entry for entry in catalogue.entries if digest_of(entry) != digest]
            orphans = [plain(child) for child in (links.children if links else ()) if self.content(child.digest)]
            self._rewrite([*rest, *orphans], without=digest)
            self._remove(digest)

    def delete_blob(self, digest: Digest) -> None:
        """Take a blob away."""
        if self.content(digest) is None:
            raise NotFound("blob-not-found", "there is no such blob", where=f"{self.root}@{digest}")
        self._remove(digest)

    # what came in parts, and from elsewhere

    def finish(self, growing: Growing, digest: Digest) -> None:
        """Make an upload a blob. Bytes that are not what `digest` names are thrown away: `digest-mismatch`."""
        found = growing.digest(digest.algorithm)
        if found != digest:
            growing.discard()
            raise ContentError("digest-mismatch", f"expected {digest}, the bytes hash to {found}", where=str(self.root))
        growing.publish(self.blob_path(digest))

    def adopt(self, origin: Layout, digest: Digest) -> None:
        """Take a blob over from another layout, its bytes checked: a second name for the file, else a copy."""
        content = origin.content(digest)
        if content is None:
            raise NotFound("blob-not-found", "there is no such blob", where=f"{origin.root}@{digest}")
        if self.content(digest) is not None:
            return
        descriptor = Descriptor(media_type="application/octet-stream", digest=digest, size=content.size)
        for _ in checked(content.chunks(), digest, content.size, where=str(origin.root)):
            pass
        if not self._named(content.path, self.blob_path(digest)):
            self.put_blob(descriptor, content.chunks())

    def _named(self, path: Path, final: Path) -> bool:
        """Give a file one more name, where the file system can do that; what is only a link to a file gets none."""
        if path.is_symlink():
            return False
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            final.hardlink_to(path)
            sync_folder(final.parent)
        except FileExistsError:
            return True
        except OSError:
            return False
        return True

    def _linked(self, digest: Digest) -> Links | None:
        """What a manifest leads to, remembered: the bytes under a digest do not change."""
        found = self._links.get(digest) or read_links(self.content(digest), digest)
        if found is not None:
            self._links[digest] = found
        return found

    def _has(self, manifest: Manifest) -> bool:
        content = self.content(manifest.digest)
        return (
            content is not None
            and content.size == len(manifest.content)
            and manifest.content == b"".join(content.chunks())
        )

    def _rewrite(self, entries: Sequence[Entry], *, without: Digest | None = None) -> None:
        """Replace the entries of index.json; the rest of the document stays. Called with the lock held.

        `without` is a manifest that is about to go: nothing is reached through it any more.
        """
        path = self.root / "index.json"
        links = lambda digest: None if digest == without else self._linked(digest)  # noqa: E731
        document = {**self.catalogue().document, "manifests": entries}
        document["manifests"] = pruned(Catalogue.of(document, links, where=str(path)))
        content = dumps(document)
        if len(content) > INDEX_JSON_BYTES:
            raise ContentError("size-limit", f"would be larger than {INDEX_JSON_BYTES} bytes", where=str(path))
        self._replace("index.json", content)
        catalogue = Catalogue.of(document, links, where=str(path))
        self._seen = _Seen(_version(path), time.time_ns(), Digest.of(content), catalogue)

    def _replace(self, name: str, content: bytes) -> None:
        with self.uploads.fresh() as growing:
            growing.write(content)
            growing.publish(self.root / name)

    def _remove(self, digest: Digest) -> None:
        path = self.blob_path(digest)
        with local_storage(str(path)):
            path.unlink(missing_ok=True)
        self._links.pop(digest, None)
        self._seen = None


class LayoutRegistry(StoredImages):
    """A layout as a Registry. It has one repository; the argument is ignored."""

    def __init__(self, root: Path, *, name: str | None = None) -> None:
        super().__init__(name or f"oci:{root}")
        self.layout = Layout(root)
        self.layout.check()

    @classmethod
    def create(cls, root: Path, *, name: str | None = None) -> Self:
        """Make a folder a layout (again is no change) and open it."""
        Layout(root).create()
        return cls(root, name=name)

    def catalogue(self) -> Catalogue:
        """What index.json says now."""
        return self.layout.catalogue()

    def content(self, digest: Digest) -> _File | None:
        """A blob's file."""
        return self.layout.content(digest)

    def blob_path(self, digest: Digest) -> Path:
        """Where the bytes of a digest are, whether they are there or not."""
        return self.layout.blob_path(digest)

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Store a blob; one that is here undamaged is not written again."""
        if not self.holds(repository, descriptor):
            self.layout.put_blob(descriptor, chunks())

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Store a manifest."""
        self.layout.put_manifest(manifest)

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Point a tag at a manifest, if it is where it was expected: truly compare-and-set, in all processes."""
        check_tag(tag, tag)
        with self.layout.lock:
            now = tuple(found.digest for found in self.catalogue().tags.get(tag, ()))
            if now not in ((manifest.digest,), () if expected is None else (expected,)):
                points_at = " and ".join(map(str, now)) or "nothing"
                raise TagMoved(
                    "tag-conflict",
                    f"points at {points_at}, not at {expected or 'nothing'} as was expected",
                    where=f"{self.name}:{tag}",
                )
            self.layout.put_manifest(manifest, tag)

    def delete_manifest(self, digest: Digest) -> None:
        """Take a manifest away with its tags."""
        self.layout.delete_manifest(digest)


class _Lock:
    """One thread of one process at a time. The folder itself is what is locked, so that no lock file is left in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = threading.RLock()
        self._depth = 0
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._thread.acquire()
        try:
            if self._depth == 0:
                self._descriptor = self._locked()
        except BaseException:
            self._thread.release()
            raise
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            os.close(self._descriptor)
        self._thread.release()

    def _locked(self) -> int:
        with local_storage(str(self._folder)):
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor


def _version(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path, limit: int) -> bytes:
    with local_storage(str(path)), path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ContentError("size-limit", f"more than the limit of {limit} bytes", where=str(path))
    return content
