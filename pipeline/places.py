"""Where images are: the registries of a run, each opened once, and the image that somebody named, resolved once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.definition import Pipeline
from registries.digest import Digest
from registries.errors import ContentError, NotFound, UsageError
from registries.reference import Reference, is_tag
from registries.registry import Location, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that was named: its digest, the tag that it was named by (if any), and where it was found."""

    digest: Digest
    tag: str | None
    place: Location

    def __str__(self) -> str:
        return self.place.at(self.digest)


@dataclass(slots=True)
class Places:
    """The places of one run. `open_registry` and `open_source` are the doors to the world; tests pass their own.

    `open_source` opens what only an entry stage takes: `oci:DIR`, `oci-archive:FILE` and `docker:NAME`.
    """

    open_registry: Callable[[str], Registry]
    open_source: Callable[[str], Image]
    _opened: dict[str, Registry] = field(default_factory=dict)

    def registry(self, host: str) -> Registry:
        """The registry of this host, the same object for the whole run."""
        if host not in self._opened:
            self._opened[host] = self.open_registry(host)
        return self._opened[host]

    def location(self, repository: str) -> Location:
        """The place of a full repository name, `host[:port]/path`."""
        host, _, path = repository.partition("/")
        return Location(self.registry(host), path)

    def stage(self, pipeline: Pipeline, stage: str) -> tuple[Location, ...]:
        """The places of a stage: the first one and its mirrors."""
        return tuple(self.location(repository) for repository in pipeline.repositories(stage))

    def before(self, pipeline: Pipeline, stage: str) -> tuple[Location, ...]:
        """The first place of each stage before this one."""
        return tuple(self.stage(pipeline, name)[0] for name in pipeline.stage(stage).after)

    def incoming(self, text: str, stage: str, pipeline: Pipeline) -> Image:
        """The image to admit to `stage`. A tag is resolved here, once, and nowhere else.

        A bare tag or digest is looked up where the stages before have it; an entry stage takes any full reference,
        an OCI layout, an archive, or an image of the Docker engine.
        """
        wanted = pipeline.stage(stage)
        if not wanted.is_entry:
            return self._among(text, self.before(pipeline, stage), f"the stages before {stage}")
        if text.startswith(("oci:", "oci-archive:", "docker:")):
            return self.open_source(text)
        reference = Reference.parse(text)
        return self._at(
            Location(self.registry(reference.registry), reference.repository), reference.tag, reference.digest
        )

    def admitted(self, text: str, stage: str, pipeline: Pipeline) -> Image:
        """An image that should be in `stage`: by tag, digest or full reference, looked up in the stage's own place."""
        return self._among(text, self.stage(pipeline, stage)[:1], f"stage {stage}")

    def anywhere(self, text: str, stage: str | None, pipeline: Pipeline) -> Image:
        """An image to audit: in the stage that was named, else in the last stage that has it."""
        if stage is not None:
            return self.admitted(text, stage, pipeline)
        places = tuple(self.stage(pipeline, known.name)[0] for known in reversed(pipeline.definition.stages))
        return self._among(text, places, "the stages")

    def _among(self, text: str, places: tuple[Location, ...], what: str) -> Image:
        tag, digest = _tag_or_digest(text)
        if "/" in text:
            reference = Reference.parse(text)
            place = Location(self.registry(reference.registry), reference.repository)
            if place not in places:
                known = ", ".join(str(known) for known in places)
                raise ContentError("repository-mismatch", f"{place} is not the place of {what}: {known}")
            return self._at(place, reference.tag, reference.digest)
        missing: list[str] = []
        for place in places:
            try:
                return self._at(place, tag, digest)
            except NotFound:
                missing.append(str(place))
        raise NotFound("image-not-found", f"{text} is not in {', '.join(missing)}", where=what)

    def _at(self, place: Location, tag: str | None, digest: Digest | None) -> Image:
        if digest is None:
            if tag is None:
                raise UsageError("reference-malformed", f"{place} names a repository; add a tag or a digest")
            digest = place.registry.resolve(place.repository, tag)
        else:
            place.registry.manifest(place.repository, digest)
        return Image(digest=digest, tag=tag, place=place)


def _tag_or_digest(text: str) -> tuple[str | None, Digest | None]:
    """`1.4.2`, `sha256:…` or `1.4.2@sha256:…`; for a full reference neither is looked at here."""
    if "/" in text:
        return None, None
    tag, _, digest = text.rpartition("@") if "@" in text else ("", "", text) if ":" in text else (text, "", "")
    try:
        if tag and not is_tag(tag):
            raise UsageError("reference-malformed", f"{tag!r} is not a tag")
        return tag or None, Digest.parse(digest) if digest else None
    except ContentError as error:
        raise UsageError(
            "reference-malformed", f"{text!r} is neither a tag, a digest nor a full reference: {error}"
        ) from error
