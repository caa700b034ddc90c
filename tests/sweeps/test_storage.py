"""The registries are the only state: a promotion needs no place to write, and one that can't tell its result says so.

T135, and T136 where the output is closed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import scene
from tests.e2e.shop import COMMAND, SECONDS, Ended, checked
from tests.scene import WORDS, Scene

NOWHERE = "/dev/null/nowhere"
DISK_FULL = 'ulimit -f 0; exec "$@"'  # no file can grow, whoever asks


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene.opened(layers=1) as opened:
        yield opened


def run(stage: Scene, folder: Path, script: str) -> Ended:
    """Run a script in which `"$@"` is the promotion, with nowhere to keep anything."""
    nowhere = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), NOWHERE)
    done = subprocess.run(
        ["bash", "-c", script, "-", *COMMAND, *WORDS],
        cwd=stage.written(folder),
        env={"PATH": os.environ["PATH"], "SAMEBITS_TRUST": "trust.yaml", **nowhere},
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return checked(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))


def test_t135_a_promotion_needs_no_home_no_temporary_folder_and_no_room_on_any_disk(
    stage: Scene, tmp_path: Path
) -> None:
    ended = run(stage, tmp_path, DISK_FULL)

    assert ended.code == 0, ended.stderr
    stage.check_complete()


@pytest.mark.parametrize(
    "script",
    [
        '"$@" -o json=/dev/full',
        '"$@" >/dev/full',
        '"$@" >&-',
        'ulimit -f 0; exec "$@" -o json=result.json',
        f'"$@" -o json={NOWHERE}',
    ],
)
def test_t135_a_result_that_can_not_be_kept_is_told_and_the_next_run_finds_all_done(
    stage: Scene, tmp_path: Path, script: str
) -> None:
    ended = run(stage, tmp_path, script)

    assert (ended.code, ended.reasons) == (7, ["local-storage-failed"]), ended.stderr
    stage.check_complete()
    stage.obey()
    assert run(stage, tmp_path, DISK_FULL).code == 0
    assert stage.prod.writes() == []
