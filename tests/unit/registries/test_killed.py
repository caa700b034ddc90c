from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MEMORY = Path("/dev/shm")  # noqa: S108  thousands of files are forced to the disk; one in memory is as good here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if os.access(MEMORY, os.W_OK):
        with tempfile.TemporaryDirectory(dir=MEMORY) as made:
            return Path(made)
    return tmp_path


def test_t131_a_writer_killed_before_any_of_its_file_operations_leaves_whole_layouts(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.unit.registries.killed", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100, "too few operations were found to kill at"
