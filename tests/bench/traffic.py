"""What a run has cost the registries, from the exchanges that counters have seen; and the same as a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from registries.digest import Digest
from tests.bench.proxies import Exchange

_BLOB = re.compile(r"/blobs/(sha256:[0-9a-f]{64})")
_COMMIT = re.compile(r"[?&]digest=(sha256(?::|%3[Aa])[0-9a-f]{64})")
_READS = frozenset({"GET", "HEAD"})
_WHOLE, _PART = 200, 206
_BAR = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests and bodies. `blob_bytes_*`: of the image's own blobs alone, without records and manifests.

    `proof_bytes` are those that were read by range, to see whether a blob is there; they count as moved nowhere.
    """

    reads: int
    writes: int
    connections: int
    bytes_down: int
    bytes_up: int
    blob_bytes_down: int
    blob_bytes_up: int
    proof_bytes: int
    rounds: int

    @classmethod
    def of(cls, exchanges: Sequence[Sequence[Exchange]], blobs: Set[Digest]) -> Traffic:
        everything = [seen for at in exchanges for seen in at]
        wanted = {str(digest) for digest in blobs}
        return cls(
            reads=sum(seen.method in _READS for seen in everything),
            writes=sum(seen.method not in _READS for seen in everything),
            connections=sum(seen.connecting for seen in everything),
            bytes_down=sum(seen.received for seen in everything),
            bytes_up=sum(seen.sent for seen in everything),
            blob_bytes_down=sum(seen.received for seen in everything if _reads(seen, wanted, _WHOLE)),
            blob_bytes_up=sum(size for at in exchanges for digest, size in _uploads(at) if digest in wanted),
            proof_bytes=sum(seen.received for seen in everything if _reads(seen, wanted, _PART)),
            rounds=max((depth for depth in _depths(everything)), default=0),
        )

    @property
    def requests(self) -> int:
        return self.reads + self.writes


def _reads(seen: Exchange, blobs: Set[str], status: int) -> bool:
    """Whether it is one of these blobs that was read, and answered so."""
    found = _BLOB.search(seen.path)
    return found is not None and found[1] in blobs and seen.method in _READS and seen.status == status


def _uploads(exchanges: Sequence[Exchange]) -> Iterator[tuple[str, int]]:
    """Digest and bytes of each upload, whose pieces go to one path; the digest comes last, or never."""
    sent: dict[str, int] = {}
    for seen in exchanges:
        if seen.method in _READS or "/blobs/uploads" not in seen.path:
            continue
        path = seen.path.partition("?")[0]
        sent[path] = sent.get(path, 0) + seen.sent
        if commit := _COMMIT.search(seen.path):
            yield re.sub("%3[Aa]", ":", commit[1]), sent.pop(path)


def _depths(exchanges: Sequence[Exchange]) -> list[int]:
    """For each exchange, how many had to end one after the other before it had, itself and its connection included."""
    depths: list[int] = []
    ordered = sorted(exchanges, key=lambda seen: seen.started)
    for place, seen in enumerate(ordered):
        before = [depth for depth, other in zip(depths, ordered[:place], strict=True) if other.ended <= seen.started]
        depths.append(max(before, default=0) + 1 + seen.connecting)
    return depths


def waterfall(exchanges: Sequence[Sequence[Exchange]], run_started: float, run_seconds: float) -> str:
    """One line per request: begin and end in ms since the command started, where, what; then what it adds up to."""
    names = ("from", "to") if len(exchanges) > 1 else ("both",)
    seen = sorted(
        ((one, name) for name, at in zip(names, exchanges, strict=True) for one in at),
        key=lambda pair: pair[0].started,
    )
    depths = _depths([one for one, _ in seen])
    lines = ["begin   end  took  step                     (+ opened its connection)"]
    for (one, name), depth in zip(seen, depths, strict=True):
        begin, end = one.started - run_started, one.ended - run_started
        lines.append(
            f"{begin * 1e3:5.0f} {end * 1e3:5.0f} {(end - begin) * 1e3:5.0f} {depth:5d} "
            f"|{_bar(begin, end, run_seconds)}| {name:4} {one.connection:3}{'+' if one.connecting else ' '} "
            f"{one.status} {one.method:5} {_short(one.path)} {one.received or one.sent or ''}"
        )
    return "\n".join([*lines, "", *_sums([one for one, _ in seen], run_started, run_seconds, max(depths, default=0))])


def _sums(seen: Sequence[Exchange], run_started: float, run_seconds: float, rounds: int) -> list[str]:
    first = min(one.started for one in seen) - run_started
    last = run_seconds - (max(one.ended for one in seen) - run_started)
    idle, until = 0.0, seen[0].ended
    for one in seen:
        idle += max(0.0, one.started - until)
        until = max(until, one.ended)
    return [
        f"{run_seconds * 1e3:6.0f} ms in all, of which",
        f"{first * 1e3:6.0f} ms before the first request,",
        f"{(run_seconds - first - last - idle) * 1e3:6.0f} ms with a request under way,",
        f"{idle * 1e3:6.0f} ms between requests,",
        f"{last * 1e3:6.0f} ms after the last one;",
        f"{rounds:6d} round trips one after the other, {len(seen)} requests, "
        f"{sum(one.connecting for one in seen)} connections",
    ]


def _bar(begin: float, end: float, whole: float) -> str:
    first = min(int(begin / whole * _BAR), _BAR - 1)
    length = max(1, round((end - begin) / whole * _BAR))
    return (" " * first + "=" * length)[:_BAR].ljust(_BAR)


def _short(path: str) -> str:
    """Without the repository, and with digests and upload names cut to what tells them apart."""
    path = re.sub(r"^/v2/.*?/(?=(?:blobs|manifests|referrers|tags)/)", "", path)
    path = re.sub(r"([?&]_state=)[^&]*", r"\1…", path)
    path = re.sub(r"uploads/[^?/]{12,}", "uploads/…", path)
    return re.sub(r"(sha256(?::|-|%3[Aa])[0-9a-f]{8})[0-9a-f]{56}", r"\1", path)
