"""Runs the demonstration and puts what it printed into the README, between its two marks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
START = "<!-- transcript: made by `make transcript`, from a run -->\n"
END = "<!-- end of transcript -->"


def main() -> None:
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", "demo"], capture_output=True, text=True, check=True)
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{START}\n```console\n{done.stdout.strip()}\n```\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
