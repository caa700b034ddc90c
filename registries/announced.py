"""How writers of one list tell each other what they add to it: each write has a tag of its own, made before the write.

A list under a tag can't be extended safely over HTTP: who reads early and writes late drops what came between. Tags of
its own nobody overwrites, and a registry lists them all; so whoever has written the list can see what should be in it.
An announcement is an index of the entries to add, under `<tag of the list>.<first digits of its first entry>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from registries.digest import Digest

_DIGITS: Final = 40


def announcement_tag(list_tag: str, digests: Iterable[Digest]) -> str:
    """Where the addition of these is announced; the same for the same entries, in any order."""
    return f"{list_tag}.{min(digest.hex for digest in digests)[:_DIGITS]}"


def announcements(tags: Iterable[str], list_tag: str) -> tuple[str, ...]:
    """Those of a repository's tags that announce something for this list."""
    start, length = f"{list_tag}.", len(list_tag) + 1 + _DIGITS
    return tuple(tag for tag in tags if tag.startswith(start) and len(tag) == length)


def unlisted(names: Iterable[str], list_tag: str, entries: Iterable[Any]) -> tuple[str, ...]:
    """The announcements whose first entry is not among these. A list is written whole: one in means all in."""
    digests = (entry.get("digest") for entry in entries if isinstance(entry, Mapping))
    listed = {f"{list_tag}.{it.partition(':')[2][:_DIGITS]}" for it in digests if isinstance(it, str)}
    return tuple(name for name in names if name not in listed)
