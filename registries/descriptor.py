"""A descriptor points at content: media type, digest, size. Source: OCI image-spec 1.1, descriptor.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registries.digest import Digest
from registries.errors import ContentError
from registries.strict_json import kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a manifest, an index or a referrers list says about one piece of content.

    `platform` and `annotations` are hints for people; nothing is decided from them. `urls` are never fetched.
    """

    media_type: str
    digest: Digest
    size: int
    artifact_type: str | None = None
    platform: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: Any, *, where: str) -> Descriptor:
        """From parsed JSON; a missing or mistyped field raises `manifest-malformed`."""
        if not isinstance(value, dict):
            raise malformed(f"a descriptor is an object, not {kind(value)}", where)
        size = value.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise malformed("a descriptor needs a `size` that is a whole number of bytes", where)
        urls = value.get("urls", [])
        if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
            raise malformed("`urls` is a list of strings", where)
        return cls(
            media_type=text(value, "mediaType", where),
            digest=_digest(text(value, "digest", where), where),
            size=size,
            artifact_type=optional_text(value, "artifactType", where),
            platform=_platform(value.get("platform"), where),
            annotations=read_annotations(value, where),
            urls=tuple(urls),
        )

    def json(self) -> dict[str, Any]:
        """The object as samebits writes it into its own manifests and lists."""
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.artifact_type is not None:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


def _digest(text_: str, where: str) -> Digest:
    try:
        return Digest.parse(text_)
    except ContentError as error:
        raise ContentError(error.code, str(error), where=where) from error


def malformed(message: str, where: str) -> ContentError:
    """The refusal for a manifest, index or descriptor of the wrong shape."""
    return ContentError("manifest-malformed", message, where=where)


def text(value: Mapping[str, Any], key: str, where: str) -> str:
    """A required string field."""
    found = value.get(key)
    if not isinstance(found, str) or not found:
        raise malformed(f"`{key}` is missing or no string", where)
    return found


def optional_text(value: Mapping[str, Any], key: str, where: str) -> str | None:
    """A string field that may be absent; `null` and other types are refused."""
    return text(value, key, where) if value.get(key, "") != "" else None


def read_annotations(value: Mapping[str, Any], where: str) -> dict[str, str]:
    """The annotations of a descriptor or manifest: a map from string to string."""
    found = value.get("annotations") or {}
    if not isinstance(found, dict) or not all(isinstance(item, str) for item in found.values()):
        raise malformed("`annotations` maps strings to strings", where)
    return found


def _platform(value: Any, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise malformed("`platform` is an object", where)
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    return "/".join(part for part in parts if isinstance(part, str) and part) or None
