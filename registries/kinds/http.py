"""A registry that speaks OCI Distribution 1.1 over HTTP, with the fallback tag where it has no referrers API.

Nothing is believed because of a status or a header: manifests and blobs are hashed as they arrive, `holds` reads a
byte, what was written to a tag is read again. Source: OCI distribution-spec 1.1; functions name its sections.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from registries.announced import announced_as, announcements, unlisted
from registries.checked import checked, read_limited
from registries.descriptor import Descriptor, malformed
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Refusal, TagMoved, Unauthorized, Unavailable
from registries.limits import KIB, MANIFEST_BYTES, MIB, QUESTIONS_AT_ONCE, REFERRER_PAGES, REFERRERS, TAG_PAGES
from registries.manifest import ACCEPTED_TYPES, OCI_INDEX, Manifest, index_bytes
from registries.once import Once
from registries.reference import check_repository, check_tag, is_tag
from registries.strict_json import dumps, loads_object

if TYPE_CHECKING:
    from registries.access import Access
    from registries.transport import Answer, Request, Transport

_KEPT_BYTES: Final = 16 * MIB
_KEPT_ENTRIES: Final = 100_000
_READ_WHOLE: Final = 64 * KIB  # a blob up to this size is proven by all its bytes: that is no more work than two ends
_END_BYTES: Final = 4 * KIB
_BODIES_AT_ONCE: Final = 4
_TAG_LIST_BYTES: Final = 16 * MIB
_LOCKS: Final = 64
_LONGEST_DIGEST: Final = 200  # characters of a header that a message may repeat; more is malformed all the same

_OK, _CREATED, _ACCEPTED, _PARTIAL = 200, 201, 202, 206
_NOT_FOUND, _PRECONDITION_FAILED, _TOO_LARGE, _NO_SUCH_RANGE = 404, 412, 413, 416
_WITHOUT_API: Final = frozenset({400, _NOT_FOUND, 405, 406, 501})
_MISSING_CONTENT: Final = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"})

_LISTING_LOOKS: Final = 60
_LISTING_WAITS: Final = 3
_LISTING_PAUSE: Final = 0.3  # seconds, the longest
_SETTLING: Final = 1.0  # seconds

_NEXT: Final = re.compile(r'<([^<>]+)>[^<>]*;\s*rel\s*=\s*"?next"?\s*(?:[;,]|$)')
_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')


@dataclass(frozen=True, slots=True)
class _Page:
    """A small answer with its whole body, which is empty when the read did not succeed."""

    answer: Answer
    content: bytes

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that make a write depend on nothing having changed; a weak ETag can't (RFC 9110, 13.1.1)."""
        if self.status == _NOT_FOUND:
            return {"If-None-Match": "*"}
        etag = self.answer.headers.get("ETag", "")
        return {"If-Match": etag} if _STRONG_ETAG.fullmatch(etag) else {}

    def is_at(self, digest: Digest | None) -> bool:
        """Whether a tag that answers this points at `digest`; None: nowhere."""
        if digest is None or self.status == _NOT_FOUND:
            return digest is None and self.status == _NOT_FOUND
        return Digest.of(self.content, digest.algorithm) == digest


def http_registry(
    host: str,
    *,
    environment: Mapping[str, str] | None = None,
    read_only: bool = False,
    access: Access | None = None,
) -> HttpRegistry:
    """Open a registry as `access` says, which the registries of a run share, or as the environment alone does."""
    if access is None:
        from registries.access import Access

        access = Access.of(environment or {})
    return HttpRegistry(host, transport=access.transport(host, read_only=read_only))


def referrers_tag(subject: Digest) -> str:
    """The tag that lists a subject's referrers where there is no API. Source: "Referrers Tag Schema"."""
    return f"{subject.algorithm[:32]}-{subject.hex[:64]}"


class HttpRegistry:
    """One registry behind HTTP; safe to use from several threads at once."""

    def __init__(self, host: str, *, transport: Transport) -> None:
        self._host = host
        self._transport = transport
        self._manifests: Once[tuple[str, Digest], Manifest] = Once(weigh=lambda it: len(it.content), limit=_KEPT_BYTES)
        self._lists: Once[tuple[str, Digest], tuple[Descriptor, ...]] = Once(weigh=len, limit=_KEPT_ENTRIES)
        self._ours: set[tuple[str, Digest]] = set()
        self._read_after_writing: dict[tuple[str, Digest], tuple[Descriptor, ...]] = {}
        self._uploaded: set[tuple[str, Digest]] = set()
        self._bodies = threading.BoundedSemaphore(_BODIES_AT_ONCE)
        self._begun: dict[tuple[str, Digest], str] = {}
        self._kept_by_registry: set[tuple[str, Digest]] = set()
        self._tag_locks = tuple(threading.Lock() for _ in range(_LOCKS))
        self._has_api: dict[str, bool] = {}

    @property
    def name(self) -> str:
        """`host` or `host:port`."""
        return self._host

    @property
    def requests(self) -> int:
        """How many requests were sent so far, those for tokens, redirects and retries included."""
        return self._transport.requests

    def resolve(self, repository: str, tag: str) -> Digest:
        """One GET; the digest is that of the bytes that came, whatever a header says."""
        page = self._tagged(repository, tag)
        where = f"{self._host}/{repository}:{tag}"
        if page.status == _NOT_FOUND:
            raise NotFound("image-not-found", "there is no such tag, or no such repository", where=where)
        manifest = self._read_manifest(page, None, where)
        self._manifests.put((repository, manifest.digest), manifest)
        return manifest.digest

    def manifest(self, repository: str, digest: Digest) -> Manifest:
        """Source: "Pulling manifests". What was read once is not asked for again, until it is pushed."""
        return self._manifests.get((repository, digest), lambda: self._fetched(repository, digest))

    def blob(self, repository: str, descriptor: Descriptor) -> Iterator[bytes]:
        """Source: "Pulling blobs". What is cut goes on from there; the descriptor's `urls` are never followed."""
        from registries.blobs import download

        where = f"{self._host}/{check_repository(repository, repository)}@{descriptor.digest}"
        return download(self._transport, repository, descriptor, where)

    def holds(self, repository: str, descriptor: Descriptor, *, whole: bool = False) -> bool:
        """Read both ends, or all of it; HEAD, and a status alone, are also answered for blobs whose bytes are gone."""
        if whole or descriptor.size <= _READ_WHOLE:
            return self._gives(repository, descriptor, None)
        last, first = range(descriptor.size - _END_BYTES, descriptor.size), range(_END_BYTES)
        if (repository, descriptor.digest) not in self._uploaded:
            return self._gives(repository, descriptor, last) and self._gives(repository, descriptor, first)
        with ThreadPoolExecutor(max_workers=1) as pool:  # it will be there, and one end need not wait for the other
            beginning = pool.submit(self._gives, repository, descriptor, first)
            return self._gives(repository, descriptor, last) and beginning.result()

    def _gives(self, repository: str, descriptor: Descriptor, span: range | None) -> bool:
        """Whether these bytes of a blob really come; None for all of them, which are hashed."""
        headers = {"Range": f"bytes={span.start}-{span.stop - 1}"} if span is not None else {}
        with self._ask("GET", f"blobs/{descriptor.digest}", repository, headers=headers) as answer:
            if answer.status in (_NOT_FOUND, _NO_SUCH_RANGE):
                return False
            if answer.status not in (_OK, _PARTIAL):
                raise self._transport.unexpected(answer, f"{self._host}/{repository}@{descriptor.digest}")
            try:
                return _serves(answer, descriptor, span)
            except ContentError:
                return False
            except Unavailable as error:
                if error.code == "registry-unavailable":  # the body was cut: the bytes are not there
                    return False
                raise

    def push_blob(self, repository: str, descriptor: Descriptor, chunks: Callable[[], Iterable[bytes]]) -> None:
        """Source: "POST then PUT". What fails on the way goes on from where the registry is, or with a new upload."""
        from registries.blobs import Upload

        where = f"{self._host}/{check_repository(repository, repository)}@{descriptor.digest}"
        begun = self._begun.pop((repository, descriptor.digest), None)
        upload = Upload(self._transport, repository, descriptor, chunks, where=where, begun=begun)
        upload.run(holds=lambda: self.holds(repository, descriptor), refused=self._refused)
        self._uploaded.add((repository, descriptor.digest))

    def mount(self, repository: str, descriptor: Descriptor, source: str) -> bool:
        """Source: "Mounting a blob from another repository". Not being allowed to is no error: upload it then."""
        query = urlencode({"mount": str(descriptor.digest), "from": check_repository(source, source)})
        try:
            answer = self._ask("POST", f"blobs/uploads/?{query}", repository, source=source)
        except Unauthorized:
            return False
        if answer.status == _ACCEPTED:  # an upload has begun instead, which the one that follows goes on with
            with suppress(Refusal):
                self._begun[repository, descriptor.digest] = self._upload_url(answer)
        return answer.status == _CREATED

    def push_manifest(self, repository: str, manifest: Manifest) -> None:
        """Source: "Pushing Manifests with Subject". The list of referrers is kept here unless the registry keeps it."""
        self.push_manifests(repository, ((manifest,),))

    def push_manifests(self, repository: str, waves: Iterable[Sequence[Manifest]]) -> None:
        """All of a wave at once. What refers to a subject is listed when all are there, in one write for each list."""
        stored: list[Manifest] = []
        with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
            for wave in waves:
                for _ in pool.map(lambda manifest: self._store(repository, manifest), wave):
                    pass
                stored += wave
        unlisted: dict[Digest, list[Manifest]] = {}
        for manifest in stored:
            if manifest.subject is not None and not self._keeps_list(repository, manifest, manifest.subject.digest):
                unlisted.setdefault(manifest.subject.digest, []).append(manifest)
        for subject, manifests in unlisted.items():
            self._list_in_tag(repository, subject, manifests)

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """Source: "Listing Referrers". Asked for once, until something was pushed that belongs in this list."""
        if (repository, digest) in self._ours:
            return self._read_after_writing.pop((repository, digest), None) or self._listed(repository, digest)
        return self._lists.get((repository, digest), lambda: self._listed(repository, digest))

    def _listed(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """API and tag united, since a registry may gain the API at any time."""
        where = f"{self._host}/{repository}@{digest} referrers"
        with ThreadPoolExecutor(max_workers=1) as pool:
            in_tag = pool.submit(self._from_tag, repository, digest)
            in_api = self._from_api(repository, digest)
        return _described((*in_api, *in_tag.result()), where)

    def tag(self, repository: str, tag: str, manifest: Manifest, *, expected: Digest | None) -> None:
        """Look, write on the condition that nothing changed, look again: as much compare-and-set as HTTP allows.

        NOTE: most registries ignore the condition; another writer between the two looks may then be overwritten.
        """
        where = f"{self._host}/{repository}:{tag}"
        with self._writing(repository, tag):
            before = self._tagged(repository, tag)
            if before.is_at(manifest.digest):
                return
            if not before.is_at(expected):
                raise _moved(before, expected, where)
            self._put(repository, tag, manifest.content, manifest.media_type, before.conditions)
            after = self._tagged(repository, tag)
            if not after.is_at(manifest.digest):
                raise _moved(after, manifest.digest, where)

    def tags(self, repository: str) -> tuple[str, ...]:
        """Source: "Listing Tags"."""
        with suppress(NotFound):
            return tuple(sorted({tag for page in self._tag_pages(repository, "tags/list") for tag in page}))
        return ()

    def _tag_pages(self, repository: str, target: str) -> Iterator[tuple[str, ...]]:
        """Page for page, as the registry orders them. No such repository: `repository-not-found`."""
        where = f"{self._host}/{repository} tags"
        pages = self._pages(repository, target, most=TAG_PAGES, code="limit-exceeded", limit=_TAG_LIST_BYTES)
        for number, page in enumerate(pages):
            if number == 0 and page.status == _NOT_FOUND:
                raise NotFound("repository-not-found", "there is no such repository", where=where)
            if page.status != _OK:
                raise self._transport.unexpected(page.answer, where)
            listed = loads_object(page.content, limit=_TAG_LIST_BYTES, where=where).get("tags") or []
            if not isinstance(listed, list):
                raise malformed("`tags` is not a list", where)
            yield tuple(tag for tag in listed if isinstance(tag, str) and is_tag(tag))

    def _request(
        self,
        method: str,
        target: str,
        repository: str,
        *,
        source: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Iterable[bytes]] | None = None,
        size: int = 0,
    ) -> Request:
        """`target` is a path below the repository, or an absolute URL that the registry gave."""
        from registries.transport import Body, Request

        return Request(
            method=method,
            target=target if "://" in target else f"v2/{check_repository(repository, repository)}/{target}",
            repository=repository,
            source=source,
            headers=headers or {},
            body=Body(size, body) if body is not None else None,
        )

    def _exchange(self, method: str, target: str, repository: str, **details: Any) -> Answer:
        return self._transport.exchange(self._request(method, target, repository, **details))

    def _ask(self, method: str, target: str, repository: str, **details: Any) -> Answer:
        return self._transport.request(self._request(method, target, repository, **details))

    def _page(self, repository: str, target: str, *, accept: Iterable[str], limit: int = MANIFEST_BYTES) -> _Page:
        """A small document, read inside the retries: a body that is cut is asked for again."""

        def read() -> _Page:
            with self._exchange("GET", target, repository, headers={"Accept": ", ".join(accept)}) as answer:
                where = f"{self._host}/{repository}"
                with self._bodies:  # or as many endless ones as there are questions would be held at the same time
                    return _Page(answer, read_limited(answer.chunks(), limit, where=where) if answer.ok else b"")

        return self._transport.patiently(read)

    def _pages(
        self, repository: str, target: str, *, most: int, code: str, accept: str = "application/json", limit: int
    ) -> Iterator[_Page]:
        """This page and all that its `Link` headers lead to. Source: "Pagination" of RFC 5988."""
        where = f"{self._host}/{repository}"
        visited: set[str] = set()
        following: str | None = target
        while following is not None:
            if following in visited or len(visited) == most:
                raise ContentError(code, f"a list that goes in circles or has more than {most} pages", where=where)
            visited.add(following)
            page = self._page(repository, following, accept=(accept,), limit=limit)
            yield page
            header = page.answer.headers.get("Link", "")
            link = _NEXT.search(header)
            if link is None and "next" in header:
                raise self._transport.unexpected(page.answer, where)
            following = self._transport.beside(page.answer, link[1], code="cross-origin-link") if link else None

    def _tagged(self, repository: str, tag: str) -> _Page:
        page = self._page(repository, f"manifests/{check_tag(tag, tag)}", accept=ACCEPTED_TYPES)
        if page.status not in (_OK, _NOT_FOUND):
            raise self._transport.unexpected(page.answer, f"{self._host}/{repository}:{tag}")
        return page

    def _read_manifest(self, page: _Page, digest: Digest | None, where: str) -> Manifest:
        """Bytes before headers, headers before fields. Source: OCI distribution-spec, "Pulling manifests"."""
        if page.status != _OK:
            raise self._transport.unexpected(page.answer, where)
        if digest is not None:
            digest.check(page.content, where=where)
        claimed = _claimed(page.answer)
        if claimed is not None:
            claimed.check(page.content, where=where)
        algorithm = digest.algorithm if digest is not None else "sha256"
        return Manifest.from_bytes(page.content, media_type=page.answer.content_type, algorithm=algorithm, where=where)

    def _fetched(self, repository: str, digest: Digest) -> Manifest:
        page = self._page(repository, f"manifests/{digest}", accept=ACCEPTED_TYPES)
        where = f"{self._host}/{repository}@{digest}"
        if page.status == _NOT_FOUND:
            raise NotFound("image-not-found", "there is no such manifest, or no such repository", where=where)
        return self._read_manifest(page, digest, where)

    def _store(self, repository: str, manifest: Manifest) -> None:
        self._manifests.forget((repository, manifest.digest))  # whoever reads it back must get what is there
        subject = manifest.subject
        if subject is not None:
            self._ours.add((repository, subject.digest))
            self._read_after_writing.pop((repository, subject.digest), None)
            self._lists.forget((repository, subject.digest))
        answer = self._put(repository, str(manifest.digest), manifest.content, manifest.media_type)
        if subject is not None and answer.headers.get("OCI-Subject") == str(subject.digest):
            self._kept_by_registry.add((repository, manifest.digest))

    def _upload_url(self, answer: Answer) -> str:
        location = answer.headers.get("Location")
        if location is None:
            raise self._transport.unexpected(answer, self._host)
        return self._transport.beside(answer, location, code="cross-origin-upload", elsewhere=True)

    def _put(
        self,
        repository: str,
        reference: str,
        content: bytes,
        media_type: str,
        conditions: Mapping[str, str] | None = None,
    ) -> Answer:
        """Source: "Pushing Manifests". A condition that does not hold (412) is left to the caller, who looks again."""
        where = f"{self._host}/{repository}"
        answer = self._ask(
            "PUT",
            f"manifests/{reference}",
            repository,
            headers={"Content-Type": media_type, **(conditions or {})},
            body=lambda: (content,),
            size=len(content),
        )
        if answer.status == _PRECONDITION_FAILED and conditions:
            return answer
        if answer.status != _CREATED:
            raise self._refused(answer, where)
        stored = _claimed(answer)
        if stored is not None and Digest.of(content, stored.algorithm) != stored:
            raise ContentError("destination-altered", f"the pushed bytes were stored as {stored}", where=where)
        return answer

    def _refused(self, answer: Answer, where: str) -> Refusal:
        """Why a write was not accepted."""
        said = self._transport.quoted(answer.problem)
        if answer.status == _NOT_FOUND and not answer.codes & _MISSING_CONTENT:
            return NotFound("repository-not-found", f"nothing can be pushed there: {said}", where=where)
        if answer.codes & _MISSING_CONTENT:
            return ContentError(
                "destination-incomplete", f"it lacks content that was pushed before: {said}", where=where
            )
        if "DIGEST_INVALID" in answer.codes:
            return ContentError("digest-mismatch", f"the registry found another digest: {said}", where=where)
        if "SIZE_INVALID" in answer.codes:
            return ContentError("size-mismatch", f"the registry counted another size: {said}", where=where)
        if answer.status == _TOO_LARGE:
            return ContentError("size-limit", f"the registry takes no content of this size: {said}", where=where)
        return self._transport.unexpected(answer, where)

    def _keeps_list(self, repository: str, manifest: Manifest, subject: Digest) -> bool:
        """Whether the registry lists this by itself. `OCI-Subject` alone proves nothing: its API has to answer too."""
        if (repository, manifest.digest) not in self._kept_by_registry:
            return False
        if repository not in self._has_api:
            self._from_api(repository, subject)
        return self._has_api.get(repository, False)

    def _from_api(self, repository: str, digest: Digest) -> list[Any]:
        """The entries that the referrers API gives. Whether a repository has it is found out once in a run."""
        if not self._has_api.get(repository, True):
            return []
        where = f"{self._host}/{repository}@{digest} referrers"
        entries: list[Any] = []
        pages = self._pages(
            repository,
            f"referrers/{digest}",
            accept=OCI_INDEX,
            most=REFERRER_PAGES,
            code="too-many-referrers",
            limit=MANIFEST_BYTES,
        )
        for number, page in enumerate(pages):
            if number == 0 and (page.status in _WITHOUT_API or (page.answer.ok and not _is_list(page))):
                # Some registries answer 404 for a repository that is not there yet; only a list of its own settles it.
                if page.status != _NOT_FOUND or "NAME_UNKNOWN" not in page.answer.codes:
                    self._has_api.setdefault(repository, False)
                break
            if not _is_list(page):
                raise self._transport.unexpected(page.answer, where)
            self._has_api[repository] = True
            entries += _entries(page.content, where)
            if len(entries) > REFERRERS:
                raise _too_many(where)
        return entries

    def _from_tag(self, repository: str, digest: Digest) -> list[Any]:
        """The entries of the fallback tag. What is no list is none: anybody may have pushed that tag."""
        page = self._tagged(repository, referrers_tag(digest))
        where = f"{self._host}/{repository}:{referrers_tag(digest)}"
        entries = [] if page.is_at(digest) else _entries_or_none(page, where)  # GitLab reads it as the digest itself
        if len(entries) > REFERRERS:
            raise _too_many(where)
        return entries

    def _list_in_tag(self, repository: str, subject: Digest, manifests: Sequence[Manifest]) -> None:
        """Add referrers to the fallback tag, and stay until it names them and whatever else was announced.

        Each write is announced before, and compared with all announcements afterwards by whoever made it; what is
        announced and not listed was dropped, perhaps by this very write, and is added again. The last write of all is
        followed by such a look too, and so leaves nothing out. Source: "Pushing Manifests with Subject", step 4.
        """
        tag = referrers_tag(subject)
        where = f"{self._host}/{repository}:{tag}"
        ours = {manifest.digest: manifest.listed.json() for manifest in manifests}
        announcing = announced_as(tag, ours)
        wrote, waited = False, 0
        with self._writing(repository, tag):
            for _ in range(_LISTING_LOOKS):
                names, page = self._looked_at(repository, tag) if wrote else ((), self._tagged(repository, tag))
                listing, conditions = self._listing(page, subject, where)
                dropped = unlisted(names or (), listing["manifests"])
                wanted = self._announced(repository, subject, dropped) | ours
                missing = {digest: entry for digest, entry in wanted.items() if not _names(listing, digest)}
                if not missing and (names is not None or waited):
                    self._read_after_writing[repository, subject] = _described(listing["manifests"], where)
                    return
                before_us = bool(dropped) and min(dropped) < min(announcing)
                if wrote and waited < _LISTING_WAITS and (names is None or before_us):
                    # Who comes before us writes what is missing, ours too. Without announcements, time has to do.
                    self._transport.pause(waited, at_least=_SETTLING if names is None else 0.0, longest=_LISTING_PAUSE)
                    waited += 1
                    continue
                if not wrote:
                    self._announce(repository, announcing)
                listing["manifests"] += missing.values()
                if len(listing["manifests"]) > REFERRERS:
                    raise _too_many(where)
                self._put(repository, tag, dumps(listing), OCI_INDEX, conditions)
                wrote, waited = True, 0
        raise Unavailable(
            "attestation-not-visible",
            f"{manifests[0].digest} was pushed, but other writers keep removing it from the list of referrers",
            where=where,
            hint="run it again; if it stays so, the registry does not keep what is written to this tag",
        )

    def _looked_at(self, repository: str, tag: str) -> tuple[tuple[str, ...] | None, _Page]:
        """What was announced for a list, and the list: both as they are after our write, in whichever order."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            names = pool.submit(self._announcements, repository, tag)
            page = self._tagged(repository, tag)
            return names.result(), page

    def _announce(self, repository: str, announcing: Mapping[str, tuple[Any, ...]]) -> None:
        with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
            for _ in pool.map(
                lambda item: self._put(repository, item[0], index_bytes(item[1]), OCI_INDEX), announcing.items()
            ):
                pass

    def _announcements(self, repository: str, tag: str) -> tuple[str, ...] | None:
        """The tags that announce something for this list; None where tags can't be listed."""
        found: list[str] = []
        following = urlencode({"n": REFERRERS, "last": tag})
        try:
            for page in self._tag_pages(repository, f"tags/list?{following}"):
                found += announcements(page, tag)
                if any(name > tag and not name.startswith(tag) for name in page):  # they come in order
                    break
        except (NotFound, Unauthorized):
            return None
        if len(found) > REFERRERS:
            raise _too_many(f"{self._host}/{repository}:{tag}")
        return tuple(found)

    def _announced(self, repository: str, subject: Digest, names: Iterable[str]) -> dict[Digest, dict[str, Any]]:
        """What these announcements name, as far as it is there and hangs on the subject: anybody may announce."""
        found: dict[Digest, dict[str, Any]] = {}
        for name in names:
            page = self._tagged(repository, name)
            for entry in _entries_or_none(page, name):
                with suppress(ContentError, NotFound):
                    manifest = self.manifest(repository, Descriptor.read(entry, where=name).digest)
                    if manifest.subject is not None and manifest.subject.digest == subject:
                        found[manifest.digest] = manifest.listed.json()
        return found

    def _listing(self, page: _Page, subject: Digest, where: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The list to be extended, everything in it as it was found, and the conditions for writing it back."""
        if page.status == _NOT_FOUND or page.is_at(subject):
            conditions = page.conditions if page.status == _NOT_FOUND else {}
            return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}, conditions
        try:
            if not _is_list(page):
                raise malformed("it is no image index", where)
            _entries(page.content, where)
            return loads_object(page.content, limit=MANIFEST_BYTES, where=where), page.conditions
        except ContentError as error:
            raise ContentError(
                "fallback-tag-occupied",
                f"the list of referrers can't be written, since its tag holds something else: {error}",
                where=where,
                hint="remove that tag; no image may use a name of this form",
            ) from error

    def _writing(self, repository: str, tag: str) -> threading.Lock:
        """Our own writers of one tag go one after the other."""
        return self._tag_locks[hash((repository, tag)) % _LOCKS]


def _serves(answer: Answer, descriptor: Descriptor, span: range | None) -> bool:
    """Whether the bytes really come: exactly those that were asked for, or all of them with the right hash."""
    if answer.status == _OK:
        for _ in checked(answer.chunks(), descriptor.digest, descriptor.size):
            pass
        return True
    if span is None:
        return False
    bounds = f"bytes {span.start}-{span.stop - 1}"
    if answer.headers.get("Content-Range", "") not in (f"{bounds}/{descriptor.size}", f"{bounds}/*"):
        return False
    return len(read_limited(answer.chunks(), len(span))) == len(span)


def _claimed(answer: Answer) -> Digest | None:
    """The digest that the registry says these bytes have: only ever compared."""
    claimed = answer.headers.get("Docker-Content-Digest")
    return None if claimed is None else Digest.parse(claimed[:_LONGEST_DIGEST])


def _is_list(page: _Page) -> bool:
    return page.status == _OK and page.answer.content_type == OCI_INDEX


def _entries(content: bytes, where: str) -> list[Any]:
    entries = loads_object(content, limit=MANIFEST_BYTES, where=where).get("manifests")
    if not isinstance(entries, list):
        raise malformed("`manifests` is not a list", where)
    return entries


def _entries_or_none(page: _Page, where: str) -> list[Any]:
    """What is no list has no entries: anybody may have pushed that tag."""
    if _is_list(page):
        with suppress(ContentError):
            return _entries(page.content, where)
    return []


def _names(listing: Mapping[str, Any], digest: Digest) -> bool:
    return any(isinstance(entry, dict) and entry.get("digest") == str(digest) for entry in listing["manifests"])


def _described(entries: Iterable[Any], where: str) -> tuple[Descriptor, ...]:
    """The entries of lists, each once; a malformed one must not hide the others."""
    found: dict[Digest, Descriptor] = {}
    for entry in entries:
        with suppress(ContentError):
            descriptor = Descriptor.read(entry, where=where)
            found.setdefault(descriptor.digest, descriptor)
    if len(found) > REFERRERS:
        raise _too_many(where)
    return tuple(found.values())


def _too_many(where: str) -> ContentError:
    return ContentError("too-many-referrers", f"more than {REFERRERS} entries", where=where)


def _moved(page: _Page, expected: Digest | None, where: str) -> TagMoved:
    now = "nowhere" if page.status == _NOT_FOUND else f"at {Digest.of(page.content)}"
    wanted = "nowhere" if expected is None else f"at {expected}"
    return TagMoved("tag-conflict", f"the tag points {now}, expected was {wanted}", where=where)
