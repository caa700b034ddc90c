"""How writers of one list tell each other what they add to it: each write has a tag of its own, made before the write.

A list under a tag can't be extended safely over HTTP: who reads early and writes late drops what came between. Tags of
its own nobody overwrites, and a registry lists them all; so whoever has written the list can see what should be in it.
An announcement is an index of the entries to add. Its tag is that of the list, a dot, and the first digits of each
entry: whether all of it is listed shows without reading it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from registries.digest import Digest

_DIGITS: Final = 12
_ENTRIES: Final = 4  # with a tag of 71 characters before it, a fifth would not be a tag any more
_NAMED: Final = re.compile(rf"(?:[0-9a-f]{{{_DIGITS}}}){{1,{_ENTRIES}}}")


def announced_as(list_tag: str, entries: Mapping[Digest, Any]) -> dict[str, tuple[Any, ...]]:
    """The tags that announce these entries, and which of them each does; the same in whatever order they are given."""
    digests = sorted(entries, key=lambda digest: digest.hex)
    parts = [digests[start : start + _ENTRIES] for start in range(0, len(digests), _ENTRIES)]
    return {
        f"{list_tag}.{''.join(digest.hex[:_DIGITS] for digest in part)}": tuple(entries[digest] for digest in part)
        for part in parts
    }


def announcements(tags: Iterable[str], list_tag: str) -> tuple[str, ...]:
    """Those of a repository's tags that announce something for this list."""
    start = f"{list_tag}."
    return tuple(tag for tag in tags if tag.startswith(start) and _NAMED.fullmatch(tag[len(start) :]))


def unlisted(names: Iterable[str], entries: Iterable[Any]) -> tuple[str, ...]:
    """The announcements of which something is not among these entries of a list."""
    digests = (entry.get("digest") for entry in entries if isinstance(entry, Mapping))
    listed = {digest.partition(":")[2][:_DIGITS] for digest in digests if isinstance(digest, str)}
    return tuple(name for name in names if not listed.issuperset(_pieces(name)))


def _pieces(name: str) -> Iterator[str]:
    named = name.rpartition(".")[2]
    return (named[start : start + _DIGITS] for start in range(0, len(named), _DIGITS))
