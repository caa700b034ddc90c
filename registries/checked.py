"""A stream that is counted and hashed while it passes, and that raises when it is not what was promised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from registries.digest import Digest
from registries.errors import ContentError


def checked(chunks: Iterable[bytes], digest: Digest, size: int, *, where: str = "") -> Iterator[bytes]:
    """Pass `chunks` on. Stops at the first byte beyond `size` (`size-mismatch`); at the end, compares size and hash.

    A consumer must read to the end: only then are the bytes known to be the right ones.
    """
    hasher = digest.hasher()
    passed = 0
    for chunk in chunks:
        passed += len(chunk)
        if passed > size:
            raise ContentError("size-mismatch", f"more bytes than the {size} of its descriptor", where=where)
        hasher.update(chunk)
        yield chunk
    if passed < size:
        raise ContentError("size-mismatch", f"ended after {passed} of {size} bytes", where=where)
    found = Digest(digest.algorithm, hasher.hexdigest())
    if found != digest:
        raise ContentError("digest-mismatch", f"expected {digest}, the bytes hash to {found}", where=where)


def read_limited(chunks: Iterable[bytes], limit: int, *, where: str = "") -> bytes:
    """All bytes of a stream whose size nobody vouches for; beyond `limit`: `size-limit`, and nothing more is read."""
    parts: list[bytes] = []
    passed = 0
    for chunk in chunks:
        passed += len(chunk)
        if passed > limit:
            parts.clear()  # whoever keeps the exception would keep them too
            raise ContentError("size-limit", f"more than the limit of {limit} bytes", where=where)
        parts.append(chunk)
    return b"".join(parts)
