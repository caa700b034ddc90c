"""Wherever stdout and stderr lead, a command says how it ended, and never ends in a traceback or a wrong pass."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.shop import COMMAND, SECONDS, Ended, Shop, checked


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_result_is_utf_8_whatever_the_locale_says(shop: Shop, encoding: str) -> None:
    ended = shop.run("audit", "ready", env={"PYTHONIOENCODING": encoding})

    assert ended.code == 0, ended.stderr
    assert "├─ ✔ build: admitted as ready" in ended.stdout


def test_words_that_are_no_text_are_shown_as_text(shop: Shop) -> None:
    ended = shop.run("verify", "prod", "1.0\udcff", "-o", "json")

    assert ended.reasons == ["reference-malformed"]
    assert ended.result["exit"] == 2


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "-o json=no/such/folder/result.json"])
def test_a_result_that_can_not_be_written_is_no_success(shop: Shop, redirection: str) -> None:
    ended = _in_shell(shop, f'"$@" verify build ready {redirection}')

    assert ended.code in range(2, 8), ended.stderr
    assert ended.reasons


def test_nobody_reads_the_result(shop: Shop) -> None:
    ended = _in_shell(shop, 'set -o pipefail; "$@" verify build ready | true')

    assert (ended.code, ended.stderr) in {(0, ""), (141, "")}


def test_a_file_for_the_result_is_complete_when_it_was_refused(shop: Shop, tmp_path: Path) -> None:
    ended = shop.run("verify", "prod", "never", "-o", f"json={tmp_path / 'result.json'}")

    assert Ended(ended.code, (tmp_path / "result.json").read_text(encoding="utf-8"), "").result["command"] == "verify"
    assert json.loads((tmp_path / "result.json").read_bytes())["reasons"][0]["code"] == "image-not-found"


def _in_shell(shop: Shop, script: str) -> Ended:
    """Run a script in which `"$@"` is samebits."""
    done = subprocess.run(
        ["bash", "-c", script, "-", *COMMAND],
        cwd=shop.folder,
        env=shop.surroundings(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return checked(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))
