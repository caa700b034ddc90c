"""Looking for what others attached, in all forms at once, and believing what a configured identity has signed.

Anyone who may push may attach anything, so what can't be read is kept as rejected. A place that does not answer raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from attestations.bundle import Bundle
from attestations.errors import AttestationError
from attestations.foreign import buildkit, cosign_legacy, notation, tekton
from attestations.foreign.attachment import Attachment, What, Writer
from attestations.foreign.envelopes import read_loose
from attestations.store import only_bundle
from attestations.verify import Rejected, Verified, Verifier
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Reason
from registries.limits import BUNDLE_BYTES, QUESTIONS_AT_ONCE
from registries.registry import Location
from registries.shelf import Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One thing, and for a signed statement the bundle that a verifier can judge: with it, it may become evidence."""

    attachment: Attachment
    bundle: Bundle | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What of it is evidence, what is not believed, and all of it to be shown."""

    verified: tuple[Verified, ...]
    rejected: tuple[Rejected, ...]
    attachments: tuple[Attachment, ...]


def look(
    places: Sequence[Location],
    subject: Digest,
    listed: Mapping[Location, Iterable[Digest]],
    *,
    shelf: Shelf,
    whole: bool = False,
) -> tuple[Found, ...]:
    """What others attached to `subject` in these places; `listed` are the referrers that each place lists.

    What may become evidence is always read. With `whole` also what is only shown: signatures, SBOMs under a tag, and
    what BuildKit put into the index.
    """
    suffixes = [suffix for suffix in cosign_legacy.SUFFIXES if whole or suffix == ".att"]
    with ThreadPoolExecutor(max_workers=QUESTIONS_AT_ONCE) as pool:
        tags = pool.map(
            lambda pair: _Looking(pair[0], subject, shelf).tag(pair[1]),
            [(place, suffix) for place in places for suffix in suffixes],
        )
        inside = pool.map(lambda place: _Looking(place, subject, shelf).inside(), places if whole else ())
        hanging = pool.map(
            lambda pair: _Looking(pair[0], subject, shelf).referrer(pair[1]),
            [(place, digest) for place in places for digest in sorted(listed.get(place, ()))],
        )
        found = [one for many in (*tags, *hanging, *inside) for one in many]
    return tuple({(one.attachment.record, one.attachment.writer, _proof(one)): one for one in found}.values())


def legacy_attestations(place: Location, subject: Digest, *, shelf: Shelf) -> tuple[Found, ...]:
    """The layers under the `.att` tag of one manifest."""
    return _Looking(place, subject, shelf).tag(".att")


def believe(verifier: Verifier, found: Sequence[Found], subject: Digest) -> Believed:
    """Each statement judged like a bundle's, and everything that was found with how it stands.

    A record of samebits counts in a bundle only (`record-not-bundled`): an older form keeps less of its proof, and is
    never written by samebits.
    """
    verified: dict[Digest, Verified] = {}
    rejected: dict[Digest, Rejected] = {}
    shown: list[Attachment] = []
    for one in found:
        if one.bundle is None:
            shown.append(one.attachment)
            if one.attachment.reason is not None:
                rejected.setdefault(one.attachment.record, _rejected(one.attachment, one.attachment.reason))
            continue
        try:
            statement = _foreign(verifier.verify(one.bundle, subject), one.attachment.where)
        except (AttestationError, ContentError) as error:
            rejected.setdefault(one.attachment.record, _rejected(one.attachment, error.reasons[0]))
            shown.append(one.attachment.refused(error.reasons[0]))
        else:
            verified.setdefault(statement.record, statement)
            shown.append(replace(one.attachment, says=statement.statement.predicate_type).counted())
    return Believed(
        verified=tuple(verified.values()),
        rejected=tuple(item for record, item in rejected.items() if record not in verified),
        attachments=tuple(shown),
    )


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks in one place, for one image."""

    place: Location
    subject: Digest
    shelf: Shelf

    def tag(self, suffix: str) -> tuple[Found, ...]:
        """The layers under one of cosign's tags."""
        name, what = cosign_legacy.tag(self.subject, suffix), cosign_legacy.SUFFIXES[suffix]
        where = f"{self.place}:{name}"
        about = Attachment(writer=Writer.COSIGN, what=what, record=self.subject, where=where)
        try:
            digest = self.place.registry.resolve(self.place.repository, name)
        except NotFound:
            return ()
        except ContentError as error:  # nobody knows what is there; that it is no evidence is enough
            return (Found(attachment=about.refused(error.reasons[0])),)
        try:
            manifest = self.shelf.manifest(self.place, digest)
        except (ContentError, NotFound) as error:
            return (Found(attachment=replace(about, record=digest).refused(error.reasons[0])),)
        layers = cosign_legacy.attachments(manifest, what, where)
        if what is What.ATTESTATION:
            return tuple(self._statement(about, layer) for about, layer in layers)
        return tuple(Found(attachment=about) for about, _ in layers)

    def referrer(self, digest: Digest) -> tuple[Found, ...]:
        """What hangs on the image in a form that is no bundle, or as a bundle that does not say on what it hangs.

        sigstore-js leaves out `subject` at registries that refuse it; what was signed says what it is about.
        """
        where = self.place.at(digest)
        try:
            manifest = self.shelf.manifest(self.place, digest)
        except (ContentError, NotFound):
            return ()  # the store tells of it
        layer = only_bundle(manifest)
        if layer is not None:
            if manifest.subject is not None:
                return ()
            return (self._bundle(layer, where),)
        if manifest.subject is None or manifest.subject.digest != self.subject:
            return ()
        return (
            *(self._statement(about, layer) for about, layer in tekton.attachments(manifest, where)),
            *(self._signature(about, layer) for about, layer in notation.attachments(manifest, where)),
        )

    def inside(self) -> tuple[Found, ...]:
        """What BuildKit put beside the platforms."""
        try:
            index = self.shelf.manifest(self.place, self.subject)
            manifests = [self.shelf.manifest(self.place, digest) for digest in buildkit.children(index)]
        except (ContentError, NotFound):
            return ()  # what is not here is told where the image itself is read
        return tuple(
            Found(attachment=about)
            for manifest in manifests
            for about in buildkit.attachments(manifest, self.place.at(manifest.digest))
        )

    def _statement(self, about: Attachment, layer: Descriptor) -> Found:
        return self._read(about, layer, lambda content: read_loose(content, layer.annotations, where=about.where))

    def _bundle(self, layer: Descriptor, where: str) -> Found:
        about = Attachment(writer=Writer.SIGSTORE_JS, what=What.ATTESTATION, record=layer.digest, where=where)
        return self._read(about, layer, lambda content: Bundle.from_bytes(content, where=where))

    def _read(self, about: Attachment, layer: Descriptor, read: Callable[[bytes], Bundle]) -> Found:
        try:
            return Found(attachment=about, bundle=read(self._content(layer, about.where)))
        except (AttestationError, ContentError, NotFound) as error:
            return Found(attachment=about.refused(error.reasons[0]))

    def _signature(self, about: Attachment, layer: Descriptor) -> Found:
        if layer.media_type != notation.JWS_TYPE:
            return Found(attachment=about)
        try:
            says = notation.signed_by(self._content(layer, about.where), self.subject, where=about.where)
        except (AttestationError, ContentError, NotFound) as error:
            return Found(attachment=about.refused(error.reasons[0]))
        return Found(attachment=replace(about, says=says))

    def _content(self, layer: Descriptor, where: str) -> bytes:
        if layer.size > BUNDLE_BYTES:
            message = f"an attestation of {layer.size} bytes is more than the limit of {BUNDLE_BYTES}"
            raise AttestationError("size-limit", message, where=where)
        return self.shelf.blob(self.place, layer)


def _foreign(statement: Verified, where: str) -> Verified:
    if statement.claim is not None:
        message = "a record of samebits counts only as a bundle that hangs on the image"
        raise AttestationError("record-not-bundled", message, where=where)
    return statement


def _rejected(about: Attachment, reason: Reason) -> Rejected:
    return Rejected(record=about.record, reason=reason, says=(about.says, "", ""))


def _proof(one: Found) -> object:
    """Two layers with the same bytes may bring different proof."""
    return None if one.bundle is None else repr(one.bundle.material)
