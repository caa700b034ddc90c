"""`make bench`: samebits beside the tools that people use, measured in one run on this machine.

Usage: python -m tests.bench [--only PARTS] [--rounds N] [--registries KIND,…] [--waterfall] [--write]
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.parts import PARTS, Report, Settings
from tests.bench.servers import KINDS, is_here

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"

_HEAD = """\
# Benchmarks

Made by `make bench`, which writes this page; nothing here is written by hand, and no test depends on a time.

Every tool is run in turn, round after round, against the same registries (Debian's `docker-registry` 2.8.2, go-
containerregistry's, `samebits registry serve`), each time into an empty destination; what arrived is checked by its
digest. The first round only warms up. Times are medians of wall-clock time, the start of the program included; `CPU`
is user and system time; `÷ samebits` says how many times as long as samebits a tool took. Requests, connections and
bodies are counted by a proxy in a run of its own; `round trips` is the longest row of requests that waited for one
another. A star marks what copies the image alone, without the records that hang on it. A round-trip time is made by a
proxy that delays every byte and charges one round trip for connecting; it limits no throughput.
"""


def main(arguments: Sequence[str]) -> int:
    """Run the parts, print them, and write the page when all of them ran."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="".join(PARTS), metavar="PARTS", help="for example `b` or `bde`")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds that count, besides the one to warm up")
    parser.add_argument("--registries", default=",".join(KINDS), metavar="KIND,…", help="which registries, by name")
    parser.add_argument("--waterfall", action="store_true", help="show every request of samebits over time")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}, if all parts ran")
    options = parser.parse_args(arguments)
    if unknown := set(options.only) - PARTS.keys() | set(options.registries.split(",")) - KINDS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    kinds = options.registries.split(",")
    for missing in (kind for kind in kinds if not is_here(kind)):
        print(f"# {missing} is not on this machine, and is left out; `make peers` gets it", file=sys.stderr)
    settings = Settings(
        rounds=options.rounds,
        kinds=[kind for kind in kinds if is_here(kind)],
        say=lambda text: print(f"# {text}", file=sys.stderr, flush=True),
    )
    text = [f"{_HEAD}\nOn {_machine()}.\n"]
    for name, measure in PARTS.items():
        if name in options.only:
            report = measure(settings)
            text.append(_section(report))
            print(text[-1], flush=True)
            if options.waterfall:
                print("\n\n".join(picture for picture in report.pictures if picture), flush=True)
    if options.write and set(options.only) == PARTS.keys():
        PAGE.write_text("\n".join(text))
    return 0


def _section(report: Report) -> str:
    aims = "\n".join(str(aim) for aim in report.aims)
    return "\n".join(
        [f"## {report.title}\n", f"{report.text}\n", *(str(table) for table in report.tables), f"{aims}\n"]
    )


def _machine() -> str:
    """Processor, kernel, Python, and how busy it was before we came; nothing that tells whose machine it is."""
    cores = len(os.sched_getaffinity(0))
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    processor = model[1].strip() if model else platform.machine()
    load = f"load average {os.getloadavg()[0]:.1f} when it began"
    python = f"Python {platform.python_version()}"
    return f"{cores} cores ({processor}), {platform.system()} {platform.release()}, {python}; {load}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
