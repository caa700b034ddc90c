"""Runs one command and writes, as JSON, how long it took, what it used and how it ended.

A process of its own, which imports nothing but what it needs: the kernel counts the memory of whoever starts a program
as that program's own (`exec` keeps the high-water mark), so whoever measures must be small.

Usage: python -I -S stopwatch.py RESULT PROGRAM [ARGUMENT…]
"""

import json
import os
import sys
import time


def main(result: str, program: str, *arguments: str) -> int:
    """Seconds on the clock and on the processors, and peak resident KiB; children that were waited for included."""
    started = time.monotonic()
    process = os.posix_spawn(program, [program, *arguments], os.environ)
    _, status, used = os.wait4(process, 0)
    ended = time.monotonic()
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123  pathlib would be memory of ours
        value = {
            "started": started,
            "seconds": ended - started,
            "cpu": used.ru_utime + used.ru_stime,
            "peak_kib": used.ru_maxrss,
            "exit": os.waitstatus_to_exitcode(status),
        }
        json.dump(value, file)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
