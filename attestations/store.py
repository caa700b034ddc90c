"""Where attestations live: bundles and reports hang on an image as OCI referrers, read back until they are listed.

Source: OCI distribution-spec 1.1, "Listing Referrers"; the manifest as `cosign attest` 3.1.3 writes it. A registry's
list is a hint: each manifest is fetched by digest, and its own content says what it is and what it hangs on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from attestations.bundle import BUNDLE_TYPE_PREFIX, Bundle
from attestations.errors import AttestationError
from attestations.fields import rfc3339
from attestations.statement import Statement
from attestations.verify import Rejected
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Reason
from registries.hang import LISTED_SECONDS, hang
from registries.limits import BUNDLE_BYTES, QUESTIONS_AT_ONCE, REFERRERS, REPORT_BYTES
from registries.manifest import EMPTY, EMPTY_CONTENT, Manifest, artifact
from registries.registry import Location
from registries.shelf import ONE_BYTES, Shelf

REPORT_ARTIFACT: Final = "application/vnd.samebits.report.v1"

_CREATED: Final = "org.opencontainers.image.created"
_XML_FORMATS: Final = frozenset({"junit"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What hangs on an image, by record digest: bundles that were read, but not yet believed, and what could not be.

    `misdescribed` are entries of a list, by the digest of their manifest, that say of it what is not true. `listed` are
    the digests of all referrers that a place lists, `records` those of the bundles among them.
    """

    bundles: tuple[Bundle, ...]
    unreadable: tuple[Rejected, ...]
    misdescribed: tuple[Rejected, ...]
    listed: Mapping[Location, frozenset[Digest]]
    records: Mapping[Location, frozenset[Digest]]


@dataclass(frozen=True, slots=True)
class _Listing:
    """What one place's list says about one referrer."""

    location: Location
    entry: Descriptor


def fetch(
    locations: Sequence[Location], digest: Digest, *, shelf: Shelf | None = None, reports: bool = False
) -> Fetched:
    """Every bundle that refers to `digest` in any of these places, each once.

    What is listed but is missing, damaged or about something else is kept as unreadable. A place that does not answer
    raises: what could not be asked is unknown, not absent. More than 1,000 entries in a list: `too-many-referrers`.
    With `reports`, small reports that hang there are put on the shelf, where `fetch_report` will look for them.
    """
    reader = _Reader(digest, shelf or Shelf(), reports=reports)
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        lists = list(pool.map(lambda place: _listed(place, digest), locations))
        listings: dict[Digest, list[_Listing]] = {}
        for location, listed in zip(locations, lists, strict=True):
            for entry in listed:
                listings.setdefault(entry.digest, []).append(_Listing(location, entry))
        answers = tuple(pool.map(lambda item: reader.read(item[1], item[0]), listings.items()))
    read = {referrer: item for referrer, (item, _) in zip(listings, answers, strict=True) if isinstance(item, Bundle)}
    bundles = {item.record: item for item in read.values()}
    refused = [item for item, _ in answers if isinstance(item, Rejected)]
    unreadable = {item.record: item for item in refused if item.record not in bundles}
    lies = {lie.record: lie for _, lie in answers if lie is not None}
    return Fetched(
        bundles=tuple(bundles[record] for record in sorted(bundles)),
        unreadable=tuple(unreadable[record] for record in sorted(unreadable)),
        misdescribed=tuple(lies[referrer] for referrer in sorted(lies)),
        listed={
            place: frozenset(entry.digest for entry in found) for place, found in zip(locations, lists, strict=True)
        },
        records={
            place: frozenset(read[entry.digest].record for entry in found if entry.digest in read)
            for place, found in zip(locations, lists, strict=True)
        },
    )


def attach(
    location: Location,
    subject: Descriptor,
    bundles: Sequence[Bundle],
    *,
    created: datetime,
    reports: Sequence[tuple[str, bytes]] = (),
    copied: Sequence[Sequence[Manifest]] = (),
    shelf: Shelf | None = None,
    sleep: Callable[[float], None] = time.sleep,
    wait_seconds: float = LISTED_SECONDS,
) -> None:
    """Hang each bundle on `subject`, and return when all are listed and readable; else `attestation-not-visible`.

    `reports`, each (format, bytes), hang beside them as one artifact; they count only where a record names them.
    `copied` are referrers that came with the image: they go before the records, and all are listed together. The same
    bundles with the same `created` make the same manifests: twice is once. What was seen there is kept on the shelf.
    """
    made = [_bundle_manifest(bundle, subject, created) for bundle in bundles]
    blobs = [(EMPTY, EMPTY_CONTENT), *((bundle_layer(bundle), bundle.content) for bundle in bundles)]
    if reports:
        layers = [(_report_layer(kind, content), content) for kind, content in reports]
        blobs += layers
        made.insert(0, _report_manifest([layer for layer, _ in layers], subject, created))
    hang(location, copied, made, blobs=blobs, sleep=sleep, wait_seconds=wait_seconds)
    if shelf is not None:
        for manifest in made:
            shelf.put(manifest, [(blob, content) for blob, content in blobs if blob in manifest.layers])


def fetch_report(locations: Sequence[Location], digest: Digest, size: int, *, shelf: Shelf | None = None) -> bytes:
    """A report's exact bytes from the first place that has them; `blob-not-found` when none has."""
    if size > REPORT_BYTES:
        raise ContentError("size-limit", f"{size} bytes are more than the limit of {REPORT_BYTES}", where=str(digest))
    wanted = Descriptor(media_type="application/octet-stream", digest=digest, size=size)
    shelf = shelf or Shelf()
    for location in locations:
        try:
            return shelf.blob(location, wanted)
        except NotFound:
            continue
    places = " or ".join(str(location) for location in locations)
    raise NotFound("blob-not-found", f"the report is not at {places}", where=str(digest))


def _listed(location: Location, digest: Digest) -> tuple[Descriptor, ...]:
    listed = location.registry.referrers(location.repository, digest)
    if len(listed) > REFERRERS:
        raise ContentError(
            "too-many-referrers",
            f"{len(listed)} entries hang on it, more than the limit of {REFERRERS}",
            where=location.at(digest),
        )
    return listed


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what is listed for one subject."""

    subject: Digest
    shelf: Shelf
    reports: bool

    def read(self, listings: Sequence[_Listing], referrer: Digest) -> tuple[Bundle | Rejected | None, Rejected | None]:
        """The bundle in this referrer from the first place where it can be read; None if it is something else.

        Beside it: what a list says about the referrer and the referrer itself denies.
        """
        rejected: Rejected | None = None
        lie: Rejected | None = None
        for listing in listings:
            location, record = listing.location, referrer
            try:
                manifest = self.shelf.manifest(location, referrer)
                lie = lie or _lie(listings, manifest)
                layer = only_bundle(manifest)
                if layer is None:
                    self._keep_reports(location, manifest)
                    return None, lie
                record = layer.digest
                return self._bundle(location, manifest, layer), lie
            except (AttestationError, ContentError, NotFound) as error:
                rejected = rejected or Rejected(record=record, reason=error.reasons[0])
        return rejected, lie

    def _keep_reports(self, location: Location, manifest: Manifest) -> None:
        """Read ahead; a report that can't be read is missed when a record names it."""
        if self.reports and manifest.artifact_type == REPORT_ARTIFACT:
            for layer in manifest.layers:
                if layer.size <= ONE_BYTES:
                    with contextlib.suppress(ContentError, NotFound):
                        self.shelf.blob(location, layer)

    def _bundle(self, location: Location, manifest: Manifest, layer: Descriptor) -> Bundle:
        where = location.at(manifest.digest)
        if manifest.subject is None or manifest.subject.digest != self.subject:
            hangs_on = "nothing" if manifest.subject is None else str(manifest.subject.digest)
            raise AttestationError(
                "referrer-subject-mismatch", f"hangs on {hangs_on}, not on {self.subject}", where=where
            )
        if layer.size > BUNDLE_BYTES:
            raise AttestationError(
                "size-limit", f"a bundle of {layer.size} bytes is more than the limit of {BUNDLE_BYTES}", where=where
            )
        return Bundle.from_bytes(self.shelf.blob(location, layer), where=where)


def _lie(listings: Sequence[_Listing], manifest: Manifest) -> Rejected | None:
    """The first untruth about a manifest. Nothing is decided from it, and a list that leaves something out tells none.

    Source: OCI distribution-spec 1.1, "Listing Referrers", which says what each field of an entry must be.
    """
    true = manifest.listed
    for location, entry in ((listing.location, listing.entry) for listing in listings):
        said = (
            ("media type", entry.media_type, true.media_type),
            ("size", entry.size, true.size),
            ("artifact type", entry.artifact_type or true.artifact_type, true.artifact_type),
            *((f"annotation {name}", value, true.annotations.get(name)) for name, value in entry.annotations.items()),
        )
        wrong = [f"{what} {claimed!r:.120} for {fact!r:.120}" for what, claimed, fact in said if claimed != fact]
        if wrong:
            message = f"is listed with {', '.join(wrong[:4])}"
            reason = Reason("referrer-descriptor-mismatch", message, location.at(manifest.digest))
            return Rejected(record=manifest.digest, reason=reason)
    return None


def only_bundle(manifest: Manifest) -> Descriptor | None:
    """The one layer of a referrer that holds a bundle; None where it is something else."""
    layers = manifest.layers
    return layers[0] if len(layers) == 1 and layers[0].media_type.startswith(BUNDLE_TYPE_PREFIX) else None


def bundle_layer(bundle: Bundle) -> Descriptor:
    """How a referrer points at a bundle: the digest of that blob is the identity of the record."""
    return Descriptor(media_type=bundle.material.media_type, digest=bundle.record, size=len(bundle.content))


def _bundle_manifest(bundle: Bundle, subject: Descriptor, created: datetime) -> Manifest:
    return artifact(
        artifact_type=bundle.material.media_type,
        layers=(bundle_layer(bundle),),
        subject=subject,
        annotations={
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": Statement.from_bytes(bundle.envelope.payload).predicate_type,
            _CREATED: rfc3339(created),
        },
    )


def _report_layer(report_format: str, content: bytes) -> Descriptor:
    if len(content) > REPORT_BYTES:
        raise ContentError(
            "size-limit", f"{len(content)} bytes are more than the limit of {REPORT_BYTES}", where=report_format
        )
    media_type = f"application/vnd.samebits.report.{report_format}+{'xml' if report_format in _XML_FORMATS else 'json'}"
    return Descriptor(media_type=media_type, digest=Digest.of(content), size=len(content))


def _report_manifest(layers: Sequence[Descriptor], subject: Descriptor, created: datetime) -> Manifest:
    return artifact(
        artifact_type=REPORT_ARTIFACT, layers=tuple(layers), subject=subject, annotations={_CREATED: rfc3339(created)}
    )
