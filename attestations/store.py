"""Where attestations live: bundles and reports hang on an image as OCI referrers, read back until they are listed.

Source: OCI distribution-spec 1.1, "Listing Referrers"; the manifest as `cosign attest` 3.1.3 writes it. A registry's
list is a hint: each manifest is fetched by digest, and its own content says what it is and what it hangs on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
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
from registries.errors import ContentError, NotFound, Reason, Unavailable
from registries.limits import BUNDLE_BYTES, REFERRERS, REPORT_BYTES
from registries.manifest import EMPTY, EMPTY_CONTENT, Manifest, artifact
from registries.registry import Location

REPORT_ARTIFACT: Final = "application/vnd.samebits.report.v1"
VISIBLE_SECONDS: Final = 30.0

_CREATED: Final = "org.opencontainers.image.created"
_XML_FORMATS: Final = frozenset({"junit"})
_REQUESTS_AT_ONCE: Final = 8
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What hangs on an image, by record digest: bundles that were read, but not yet believed, and what could not be.

    `misdescribed` are entries of a list, by the digest of their manifest, that say of it what is not true.
    """

    bundles: tuple[Bundle, ...]
    unreadable: tuple[Rejected, ...]
    misdescribed: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class _Listing:
    """What one place's list says about one referrer."""

    location: Location
    entry: Descriptor


def fetch(locations: Sequence[Location], digest: Digest) -> Fetched:
    """Every bundle that refers to `digest` in any of these places, each once.

    What is listed but is missing, damaged or about something else is kept as unreadable. A place that does not answer
    raises: what could not be asked is unknown, not absent. More than 1,000 entries in a list: `too-many-referrers`.
    """
    with ThreadPoolExecutor(max_workers=_REQUESTS_AT_ONCE) as pool:
        listings: dict[Digest, list[_Listing]] = {}
        for location, listed in zip(locations, pool.map(lambda place: _listed(place, digest), locations), strict=True):
            for entry in listed:
                listings.setdefault(entry.digest, []).append(_Listing(location, entry))
        answers = tuple(pool.map(lambda item: _read(item[1], digest, item[0]), listings.items()))
    found = [item for item, _ in answers]
    lies = {lie.record: lie for _, lie in answers if lie is not None}
    bundles = {item.record: item for item in found if isinstance(item, Bundle)}
    unreadable = {item.record: item for item in found if isinstance(item, Rejected) and item.record not in bundles}
    return Fetched(
        bundles=tuple(bundles[record] for record in sorted(bundles)),
        unreadable=tuple(unreadable[record] for record in sorted(unreadable)),
        misdescribed=tuple(lies[referrer] for referrer in sorted(lies)),
    )


def attach(
    location: Location,
    subject: Descriptor,
    bundles: Sequence[Bundle],
    *,
    created: datetime,
    sleep: Callable[[float], None] = time.sleep,
    wait_seconds: float = VISIBLE_SECONDS,
) -> None:
    """Hang each bundle on `subject`, and return when all are listed and readable; else `attestation-not-visible`.

    The same bundles with the same `created` make the same manifests: twice is once.
    """
    for bundle in bundles:
        _push_blob(location, _bundle_layer(bundle), bundle.content)
    _hang(location, tuple(_bundle_manifest(bundle, subject, created) for bundle in bundles), sleep, wait_seconds)


def attach_report(
    location: Location,
    subject: Descriptor,
    reports: Sequence[tuple[str, bytes]],
    *,
    created: datetime,
    sleep: Callable[[float], None] = time.sleep,
    wait_seconds: float = VISIBLE_SECONDS,
) -> None:
    """Hang reports, each (format, bytes), on `subject` as one artifact; they count only where a record names them."""
    layers = []
    for report_format, content in reports:
        if len(content) > REPORT_BYTES:
            raise ContentError(
                "size-limit", f"{len(content)} bytes are more than the limit of {REPORT_BYTES}", where=report_format
            )
        layer = Descriptor(media_type=_report_type(report_format), digest=Digest.of(content), size=len(content))
        _push_blob(location, layer, content)
        layers.append(layer)
    manifest = artifact(
        artifact_type=REPORT_ARTIFACT, layers=tuple(layers), subject=subject, annotations={_CREATED: rfc3339(created)}
    )
    _hang(location, (manifest,), sleep, wait_seconds)


def fetch_report(locations: Sequence[Location], digest: Digest, size: int) -> bytes:
    """A report's exact bytes from the first place that has them; `blob-not-found` when none has."""
    if size > REPORT_BYTES:
        raise ContentError("size-limit", f"{size} bytes are more than the limit of {REPORT_BYTES}", where=str(digest))
    wanted = Descriptor(media_type="application/octet-stream", digest=digest, size=size)
    for location in locations:
        try:
            return b"".join(location.registry.blob(location.repository, wanted))
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


def _read(
    listings: Sequence[_Listing], subject: Digest, referrer: Digest
) -> tuple[Bundle | Rejected | None, Rejected | None]:
    """The bundle in this referrer from the first place where it can be read; None if it is something else.

    Beside it: what a list says about the referrer and the referrer itself denies.
    """
    rejected: Rejected | None = None
    lie: Rejected | None = None
    for listing in listings:
        location, record = listing.location, referrer
        try:
            manifest = location.registry.manifest(location.repository, referrer)
            lie = lie or _lie(listings, manifest)
            layer = _only_bundle(manifest)
            if layer is None:
                return None, lie
            record = layer.digest
            return _bundle(location, subject, manifest, layer), lie
        except (AttestationError, ContentError, NotFound) as error:
            rejected = rejected or Rejected(record=record, reason=error.reasons[0])
    return rejected, lie


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


def _only_bundle(manifest: Manifest) -> Descriptor | None:
    layers = manifest.layers
    return layers[0] if len(layers) == 1 and layers[0].media_type.startswith(BUNDLE_TYPE_PREFIX) else None


def _bundle(location: Location, subject: Digest, manifest: Manifest, layer: Descriptor) -> Bundle:
    where = location.at(manifest.digest)
    if manifest.subject is None or manifest.subject.digest != subject:
        hangs_on = "nothing" if manifest.subject is None else str(manifest.subject.digest)
        raise AttestationError("referrer-subject-mismatch", f"hangs on {hangs_on}, not on {subject}", where=where)
    if layer.size > BUNDLE_BYTES:
        raise AttestationError(
            "size-limit", f"a bundle of {layer.size} bytes is more than the limit of {BUNDLE_BYTES}", where=where
        )
    content = b"".join(location.registry.blob(location.repository, layer))
    return Bundle.from_bytes(content, where=where)


def _bundle_layer(bundle: Bundle) -> Descriptor:
    return Descriptor(media_type=bundle.material.media_type, digest=bundle.record, size=len(bundle.content))


def _bundle_manifest(bundle: Bundle, subject: Descriptor, created: datetime) -> Manifest:
    return artifact(
        artifact_type=bundle.material.media_type,
        layers=(_bundle_layer(bundle),),
        subject=subject,
        annotations={
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": Statement.from_bytes(bundle.envelope.payload).predicate_type,
            _CREATED: rfc3339(created),
        },
    )


def _report_type(report_format: str) -> str:
    return f"application/vnd.samebits.report.{report_format}+{'xml' if report_format in _XML_FORMATS else 'json'}"


def _push_blob(location: Location, descriptor: Descriptor, content: bytes) -> None:
    location.registry.push_blob(location.repository, descriptor, lambda: (content,))


def _hang(
    location: Location, manifests: Sequence[Manifest], sleep: Callable[[float], None], wait_seconds: float
) -> None:
    """Push referrers, and again while they are not listed: a list may lag, or a writer beside us dropped an entry."""
    _push_blob(location, EMPTY, EMPTY_CONTENT)
    missing = tuple(manifests)
    for pause in (0.0, *_pauses(wait_seconds)):
        sleep(pause)
        for manifest in missing:
            location.registry.push_manifest(location.repository, manifest)
        missing = _not_visible(location, missing)
        if not missing:
            return
    raise Unavailable(
        "attestation-not-visible",
        f"was pushed, but can't be read back after {wait_seconds:g} s",
        where=location.at(missing[0].digest),
        hint="run the same command again",
    )


def _not_visible(location: Location, manifests: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """Those that are not listed, or whose blobs can't be read."""
    hangs_on = {manifest.subject.digest for manifest in manifests if manifest.subject is not None}
    listed = {
        entry.digest for subject in hangs_on for entry in location.registry.referrers(location.repository, subject)
    }
    return tuple(
        manifest
        for manifest in manifests
        if manifest.digest not in listed
        or not all(location.registry.holds(location.repository, layer) for layer in manifest.layers)
    )


def _pauses(seconds: float) -> Iterator[float]:
    """Growing pauses that add up to `seconds`."""
    pause = _FIRST_PAUSE_SECONDS
    while seconds > 0:
        yield min(pause, seconds)
        seconds -= pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
