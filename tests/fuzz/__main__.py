"""`make fuzz`: mutates what is good for a bounded time; anything but a refusal is a finding, kept as a file.

Usage: python -m tests.fuzz [--seconds N] [--seed N] [--only TARGET,…] [--findings DIR]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import random
import re
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from registries.errors import Refusal
from tests.fuzz.targets import Target, targets

_TEXT = re.compile(rb'"([A-Za-z0-9+/]{8,}={0,2})"')
_ODD = (
    b"\0",
    b"\xff",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b'"',
    b"{",
    b"[" * 70,
    b"null",
    b"-1",
    b"1e999",
    b"\n\n",
)


def mutate(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """One to four changes: bits, stretches dropped, repeated, exchanged; also inside of what stands as base64."""
    changed = content
    for _ in range(rng.randint(1, 4)):
        found = list(_TEXT.finditer(changed)) if rng.random() < 0.5 else []
        if found:
            inner = rng.choice(found)
            try:
                raw = base64.b64decode(inner[1], validate=True)
            except ValueError:
                continue
            encoded = base64.b64encode(_change(raw, others, rng))
            changed = changed[: inner.start(1)] + encoded + changed[inner.end(1) :]
        else:
            changed = _change(changed, others, rng)
    return changed


def _change(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    start = rng.randint(0, len(content))
    end = min(len(content), start + rng.choice((1, 1, 2, 4, 16, 200)))
    other = rng.choice(others)
    at = rng.randint(0, len(other))
    match rng.randrange(6):
        case 0 if start < len(content):
            return content[:start] + bytes([content[start] ^ (1 << rng.randrange(8))]) + content[start + 1 :]
        case 1:
            return content[:start] + content[end:]
        case 2:
            return content[:end] + content[start:end] + content[end:]
        case 3:
            return content[:start] + other[at : at + end - start] + content[end:]
        case 4:
            return content[:start] + rng.choice(_ODD) + content[end:]
        case _:
            return content[:start] + rng.randbytes(end - start) + content[end:]


def fuzz(target: Target, seconds: float, rng: random.Random) -> tuple[int, int, list[tuple[bytes, str]]]:
    """Until the time is over: how many inputs, how many of them were accepted, and every finding with its trace."""
    done = accepted = 0
    findings: list[tuple[bytes, str]] = []
    deadline = time.monotonic() + seconds
    for content in target.corpus:
        target.read(content)
    while time.monotonic() < deadline and len(findings) < 10:
        content = mutate(rng.choice(target.corpus), target.corpus, rng)
        done += 1
        try:
            target.read(content)
        except Refusal:
            continue
        except BaseException:  # noqa: BLE001  anything else is what is looked for, also a panic
            findings.append((content, traceback.format_exc()))
        else:
            accepted += 1
    return done, accepted, findings


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", metavar="TARGET,…")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    known, ended = targets(), 0
    for name in options.only.split(",") if options.only else known:
        done, accepted, findings = fuzz(known[name], options.seconds, random.Random(seed))  # noqa: S311
        print(f"{name}: {done} inputs, {accepted} accepted, {len(findings)} findings", flush=True)
        for content, trace in findings:
            options.findings.mkdir(exist_ok=True)
            path = options.findings / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
            path.write_bytes(content)
            print(f"{path}\n{trace}", flush=True)
            ended = 1
    return ended


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
