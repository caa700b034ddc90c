"""What the index.json of an OCI image layout says: its tags, the manifests that it reaches, and what refers to what.

Source: OCI image-spec 1.1, image-layout.md. An entry without a name is kept only for a manifest that nothing else
reaches, so that the file stays the entry point. Entries and fields that others wrote are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registries.descriptor import Descriptor, malformed
from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import KIB, MIB
from registries.manifest import Manifest
from registries.strict_json import loads_object

REF_NAME: Final = "org.opencontainers.image.ref.name"
LAYOUT_VERSION: Final = "1.0.0"
INDEX_JSON_BYTES: Final = 64 * MIB
MARKER_BYTES: Final = 4 * KIB

_OWN_FIELDS: Final = frozenset({"mediaType", "digest", "size", "artifactType"})

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What one manifest leads to: the manifests below it, the one it hangs on, and how a referrers list names it."""

    children: tuple[Descriptor, ...]
    subject: Digest | None
    listed: Descriptor

    @classmethod
    def of(cls, manifest: Manifest) -> Links:
        """The links of a manifest."""
        subject = manifest.subject.digest if manifest.subject is not None else None
        return cls(children=manifest.children, subject=subject, listed=manifest.listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """One index.json and all that it reaches. `reached` holds every manifest, with its links where it could be read."""

    document: Mapping[str, Any]
    tags: Mapping[str, tuple[Descriptor, ...]]
    reached: Mapping[Digest, Links | None]
    subjects: Mapping[Digest, tuple[Descriptor, ...]]

    @classmethod
    def read(cls, content: bytes, links: Callable[[Digest], Links | None], *, where: str) -> Catalogue:
        """Parse index.json. `links` looks a manifest up; None is no error: it is absent or can't be read."""
        return cls.of(loads_object(content, limit=INDEX_JSON_BYTES, where=where), links, where=where)

    @classmethod
    def of(cls, document: Mapping[str, Any], links: Callable[[Digest], Links | None], *, where: str) -> Catalogue:
        """As `read`, for a document that was changed."""
        entries = document.get("manifests")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise malformed("`manifests` of index.json is not a list of objects", where)
        reached = _reach([digest for entry in entries if (digest := digest_of(entry)) is not None], links)
        return cls(document=document, tags=_tags(entries), reached=reached, subjects=_subjects(reached))

    @property
    def entries(self) -> list[Entry]:
        """The descriptors as they stand in the file."""
        entries: list[Entry] = self.document["manifests"]
        return entries

    def hanging_on(self, digest: Digest) -> tuple[Descriptor, ...]:
        """What claims to hang on this digest: by its own `subject`, or by a fallback tag as other tools write it.

        Source: OCI distribution-spec 1.1, "Referrers Tag Schema". A tag that holds the subject itself is no list.
        """
        found = {entry.digest: entry for entry in self.subjects.get(digest, ())}
        for index in self.tags.get(f"{digest.algorithm}-{digest.hex[:64]}", ()):
            links = self.reached.get(index.digest)
            for entry in links.children if links is not None and index.digest != digest else ():
                found.setdefault(entry.digest, entry)
        return tuple(found.values())


def check_marker(content: bytes, *, where: str) -> None:
    """Refuse the file `oci-layout` of another version than the one there is: `layout-unsupported`."""
    version = loads_object(content, limit=MARKER_BYTES, where=where).get("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise ContentError("layout-unsupported", f"the layout is not of version {LAYOUT_VERSION}", where=where)


def digest_of(entry: Entry) -> Digest | None:
    """The digest of an entry; None for an entry that can't be understood, which is kept but means nothing."""
    descriptor = _descriptor(entry)
    return descriptor.digest if descriptor is not None else None


def tag_of(entry: Entry) -> str | None:
    """The name under which an entry is known."""
    annotations = entry.get("annotations")
    tag = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return tag if isinstance(tag, str) and tag else None


def plain(descriptor: Descriptor) -> Entry:
    """An entry without a name. Annotations are left out: one of them could be a name that nobody gave."""
    return {"mediaType": descriptor.media_type, "digest": str(descriptor.digest), "size": descriptor.size}


def tagged(entries: Sequence[Entry], descriptor: Descriptor, tag: str) -> list[Entry]:
    """The entries with this tag on this manifest and on no other."""
    return [*untagged(entries, tag), {**plain(descriptor), "annotations": {REF_NAME: tag}}]


def untagged(entries: Sequence[Entry], tag: str) -> list[Entry]:
    """The entries with this tag taken off; what it pointed at stays listed."""
    return [_without_tag(entry) if tag_of(entry) == tag else entry for entry in entries]


def pruned(catalogue: Catalogue) -> list[Entry]:
    """The entries without those that say nothing more than others do."""
    below = {child.digest for links in catalogue.reached.values() if links for child in links.children}
    said = below | {digest_of(entry) for entry in catalogue.entries if not _is_plain(entry)}
    kept: list[Entry] = []
    for entry in catalogue.entries:
        if _is_plain(entry):
            if digest_of(entry) in said:
                continue
            said.add(digest_of(entry))
        kept.append(entry)
    return kept


def _is_plain(entry: Entry) -> bool:
    """Whether an entry only points, as those written here do."""
    return digest_of(entry) is not None and entry.keys() <= _OWN_FIELDS


def _without_tag(entry: Entry) -> Entry:
    annotations = {name: value for name, value in entry["annotations"].items() if name != REF_NAME}
    rest = {name: value for name, value in entry.items() if name != "annotations"}
    return {**rest, "annotations": annotations} if annotations else rest


def _descriptor(entry: Entry) -> Descriptor | None:
    try:
        return Descriptor.read(entry, where="")
    except ContentError:
        return None


def _tags(entries: Sequence[Entry]) -> dict[str, tuple[Descriptor, ...]]:
    found: dict[str, dict[Digest, Descriptor]] = {}
    for entry in entries:
        tag, descriptor = tag_of(entry), _descriptor(entry)
        if tag is not None and descriptor is not None:
            found.setdefault(tag, {})[descriptor.digest] = descriptor
    return {tag: tuple(descriptors.values()) for tag, descriptors in found.items()}


def _reach(roots: Sequence[Digest], links: Callable[[Digest], Links | None]) -> dict[Digest, Links | None]:
    reached: dict[Digest, Links | None] = {}
    waiting = list(reversed(roots))
    while waiting:
        digest = waiting.pop()
        if digest not in reached:
            reached[digest] = found = links(digest)
            waiting.extend(child.digest for child in (found.children if found else ()))
    return reached


def _subjects(reached: Mapping[Digest, Links | None]) -> dict[Digest, tuple[Descriptor, ...]]:
    found: dict[Digest, list[Descriptor]] = {}
    for links in reached.values():
        if links is not None and links.subject is not None:
            found.setdefault(links.subject, []).append(links.listed)
    return {subject: tuple(listed) for subject, listed in found.items()}
