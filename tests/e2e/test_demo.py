"""The demonstration runs as it is printed in the README."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.e2e.shop import COMMAND, ROOT, Ended, checked

SECONDS = 240
START, END = "<!-- transcript: made by `make transcript`, from a run -->", "<!-- end of transcript -->"


def test_the_demonstration_ends_well_and_says_what_the_readme_shows(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    ended = checked(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))

    assert (ended.code, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert _lines(_transcript()) == _lines(ended.stdout)


def _transcript() -> str:
    """What stands between the marks of the README, without the fence."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = text.partition(START)
    shown, _, _ = rest.partition(END)
    return "\n".join(line for line in shown.splitlines() if not line.startswith("```"))


def _lines(text: str) -> list[str]:
    """The lines without what differs from run to run: digests, fingerprints, times, ports, and counted bytes."""
    for pattern, instead in (
        (r"sha256:[0-9a-f]{64}", "DIGEST"),
        (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}Z", "TIME"),
        (r"127\.0\.0\.1:\d+", "REGISTRY"),
        (r"\d+(?:\.\d+)? (?:bytes|KiB)", "SIZE"),
    ):
        text = re.sub(pattern, instead, text)
    return text.strip().splitlines()
