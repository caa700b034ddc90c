"""An OCI image layout: a folder of blobs with an index.json; the embedded registry keeps its repositories so.

Source: OCI image-spec 1.1, image-layout.md. Whatever is killed whenever: a file that has its final name is whole. New
files grow in `uploads/`; index.json is replaced under a lock that threads and processes share.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import threading
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

_SESSION_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int

    def chunks(self) -> Iterator[bytes]:
        with local_storage(str(self.path)), self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk


class Layout:
    """The folder, with all that a registry server does to one repository. Safe for several threads and processes.

    Hold `lock` to look and write as one act; the methods that write take it themselves, and may be called inside.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = _Lock(root)
        self._links: dict[Digest, Links] = {}
        self._seen: tuple[tuple[int, ...], Catalogue] | None = None

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
        """What index.json says now; it is read again whenever the file was replaced."""
        path = self.root / "index.json"
        if not path.is_file():
            raise NotFound("image-not-found", "this layout has no index.json", where=str(self.root))
        with local_storage(str(path)):
            version = _version(path)
        if self._seen is not None and self._seen[0] == version:
            return self._seen[1]
        catalogue = Catalogue.read(_read(path, INDEX_JSON_BYTES), self._linked, where=str(path))
        self._seen = version, catalogue
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
        """The manifests whose own `subject` is this digest."""
        return self.catalogue().subjects.get(digest, ())

    # writing

    def put_blob(self, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        """Store the bytes that a descriptor promises; other bytes leave nothing behind."""
        path = self.upload(self.begin())
        try:
            with local_storage(str(path)), path.open("wb") as file:
                for chunk in checked(chunks, descriptor.digest, descriptor.size, where=str(self.root)):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            self._publish(path, self.blob_path(descriptor.digest))
        finally:
            path.unlink(missing_ok=True)

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        """Store a manifest and point a tag at it, wherever that points now."""
        if not self._has(manifest):
            self.put_blob(manifest.descriptor, (manifest.content,))
        with self.lock:
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
        """Take a manifest away with its tags. The manifests below it stay."""
        with self.lock:
            if not self.is_manifest(digest):
                raise NotFound("image-not-found", "there is no such manifest", where=f"{self.root}@{digest}")
            catalogue = self.catalogue()
            links = catalogue.reached[digest]
            rest = [entry for entry in catalogue.entries if digest_of(entry) != digest]
            orphans = [plain(child) for child in (links.children if links else ()) if self.content(child.digest)]
            self._remove(digest)
            self._rewrite([*rest, *orphans])

    def delete_blob(self, digest: Digest) -> None:
        """Take a blob away."""
        if self.content(digest) is None:
            raise NotFound("blob-not-found", "there is no such blob", where=f"{self.root}@{digest}")
        self._remove(digest)

    # uploads in parts

    def begin(self) -> str:
        """Start an upload; its name is 32 hexadecimal digits."""
        session = secrets.token_hex(_SESSION_DIGITS // 2)
        path = self.upload(session)
        with local_storage(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(exist_ok=False)
        return session

    def upload(self, session: str) -> Path:
        """The file in which an upload grows."""
        if len(session) != _SESSION_DIGITS or not set(session) <= set("0123456789abcdef"):
            raise NotFound("upload-not-found", "there is no such upload", where=str(self.root))
        return self.root / "uploads" / session

    def finish(self, session: str, digest: Digest) -> None:
        """Make an upload a blob. Bytes that are not what `digest` names are thrown away: `digest-mismatch`."""
        path = self.upload(session)
        hasher = digest.hasher()
        with local_storage(str(path)), path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                hasher.update(chunk)
            os.fsync(file.fileno())
        found = Digest(digest.algorithm, hasher.hexdigest())
        if found != digest:
            path.unlink()
            raise ContentError("digest-mismatch", f"expected {digest}, the bytes hash to {found}", where=str(self.root))
        self._publish(path, self.blob_path(digest))

    def adopt(self, path: Path, digest: Digest) -> None:
        """Take a blob over from another layout: a second name for the same file, where the file system can do that."""
        if self.content(digest) is not None:
            return
        session = self.begin()
        copy = self.upload(session)
        with local_storage(str(copy)):
            copy.unlink()
            try:
                copy.hardlink_to(path)
            except OSError:
                shutil.copyfile(path, copy)
        self.finish(session, digest)

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

    def _rewrite(self, entries: Sequence[Entry]) -> None:
        """Replace the entries of index.json; the rest of the document stays. Called with the lock held."""
        path = self.root / "index.json"
        document = {**self.catalogue().document, "manifests": entries}
        document["manifests"] = pruned(Catalogue.of(document, self._linked, where=str(path)))
        content = dumps(document)
        if len(content) > INDEX_JSON_BYTES:
            raise ContentError("size-limit", f"would be larger than {INDEX_JSON_BYTES} bytes", where=str(path))
        self._replace("index.json", content)
        self._seen = _version(path), Catalogue.of(document, self._linked, where=str(path))

    def _replace(self, name: str, content: bytes) -> None:
        fresh = self.root / f".{name}.{secrets.token_hex(8)}"
        try:
            with local_storage(str(fresh)), fresh.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._publish(fresh, self.root / name)
        finally:
            fresh.unlink(missing_ok=True)

    def _publish(self, fresh: Path, final: Path) -> None:
        """Give a finished file its name, also across a power failure."""
        with local_storage(str(final)):
            final.parent.mkdir(parents=True, exist_ok=True)
            fresh.replace(final)
            folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

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
