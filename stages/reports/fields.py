"""The members of a JSON report: those that are read have their type, all others may be there and change nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registries.digest import Digest
from registries.errors import ContentError
from registries.limits import REPORT_BYTES
from registries.strict_json import kind, loads_object
from stages.report import empty, malformed, presented

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII)
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of a report; `path` says where it stands. `null` is read as absent: Go writes empty lists so."""

    value: Mapping[str, Any]
    path: str = ""

    @classmethod
    def read(cls, content: bytes) -> Fields:
        """The outermost object, by strict JSON: `evidence-malformed`, `evidence-empty`, `size-limit`."""
        try:
            value = loads_object(presented(content), limit=REPORT_BYTES)
        except ContentError as error:
            if error.code.startswith("json-"):
                raise malformed(str(error)) from error
            raise
        if not value:
            raise empty("the report is an empty object")
        return cls(value)

    def text(self, name: str) -> str:
        """A string that has to be there."""
        found = self.optional_text(name)
        if not found:
            raise malformed(f"`{self._at(name)}` is missing")
        return found

    def optional_text(self, name: str) -> str:
        """A string, empty where there is none."""
        found = self.value.get(name)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise malformed(f"`{self._at(name)}` is not a string, but {kind(found)}")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        found = self._list(name)
        for item in found:
            if not isinstance(item, str):
                raise malformed(f"`{self._at(name)}` holds {kind(item)} among its strings")
        return tuple(found)

    def object(self, name: str) -> Fields:
        """An object, without members where there is none."""
        found = self.value.get(name)
        return self._object({} if found is None else found, self._at(name))

    def objects(self, name: str) -> tuple[Fields, ...]:
        """A list of objects."""
        path = self._at(name)
        return tuple(self._object(item, f"{path}[{number}]") for number, item in enumerate(self._list(name)))

    def number(self, name: str) -> int:
        """A whole number that is not negative, and has to be there."""
        found = self.value.get(name)
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise malformed(f"`{self._at(name)}` is no number, but {kind(found)}")
        return found

    def time(self, name: str) -> datetime | None:
        """A time as RFC 3339 has it; absent, empty and Go's zero time are None."""
        text = self.optional_text(name)
        if text in ("", _NEVER):
            return None
        if not _RFC3339.fullmatch(text):
            raise malformed(f"`{self._at(name)}` is no time: {text!r:.60}")
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise malformed(f"`{self._at(name)}` is no time: {text!r:.60}") from error

    def _list(self, name: str) -> list[Any]:
        found = self.value.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise malformed(f"`{self._at(name)}` is not an array, but {kind(found)}")
        return found

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    @staticmethod
    def _object(value: Any, path: str) -> Fields:
        if not isinstance(value, dict):
            raise malformed(f"`{path}` is not an object, but {kind(value)}")
        return Fields(value, path)


def digests(*texts: str) -> tuple[Digest, ...]:
    """The digests among these; what is none names nothing."""
    found = (_digest(text) for text in texts)
    return tuple(dict.fromkeys(digest for digest in found if digest is not None))


def digest_in(reference: str) -> str:
    """The part of an image's name that may be a digest: what stands behind its `@`."""
    return reference.rpartition("@")[2] if "@" in reference else ""


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except ContentError:
        return None


def digests_in_purl(text: str) -> tuple[Digest, ...]:
    """The digest of an image in a package URL: `pkg:oci/name@sha256%3A…?arch=amd64` (purl-spec, type oci)."""
    if not text.startswith(("pkg:oci/", "pkg:docker/")):
        return ()
    version = text.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return digests(version.replace("%3A", ":").replace("%3a", ":"))
