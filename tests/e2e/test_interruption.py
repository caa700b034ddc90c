"""A promotion that is interrupted leaves the tag where it was, and a second run finishes what the first began."""

from __future__ import annotations

import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.demo.image import Built
from tests.e2e.shop import COMMAND, SECONDS, Ended, Shop, checked
from tests.faults import FaultRegistry, Seen, call

BLOBS = "/src/shop/blobs/"
SILENCE = 25  # shorter than the patience with a registry that does not answer


@pytest.fixture
def source() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        yield registry


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_the_copy_moves_no_tag_and_a_second_run_succeeds(
    shop: Shop, source: FaultRegistry, number: signal.Signals, code: int
) -> None:
    version = f"i-{code}"
    image = _pushed(shop, source, version)
    copying, released = threading.Event(), threading.Event()

    def wait(_: Seen) -> None:
        copying.set()
        released.wait(SECONDS)

    source.rule("GET", BLOBS, call(wait), nth=range(2, 8))
    ended = _interrupted(shop, f"{source.host}/src/shop:{version}", number, copying, released)
    after = shop.tags("build")
    again = shop.run("promote", "build", f"{source.host}/src/shop:{version}", "-o", "json", key="ci-build")

    assert (ended.code, ended.reasons) == (code, ["run-interrupted"]), ended.stderr
    assert ended.result["exit"] == code
    assert version not in after
    assert (again.code, again.result["image"]) == (0, str(image.digest))
    assert version in shop.tags("build")


def _pushed(shop: Shop, source: FaultRegistry, version: str) -> Built:
    """A version in the registry that the pipeline takes it from."""
    image = shop.built(version)
    folder = shop.folder / "image"
    for entry in (folder / "blobs/sha256").iterdir():
        source.put_blob("src/shop", entry.read_bytes())
    for digest in (*(platform for platform, _ in image.platforms), image.digest):
        source.put_manifest("src/shop", (folder / "blobs/sha256" / digest.hex).read_bytes())
    source.tags["src/shop", version] = str(image.digest)
    return image


def _interrupted(
    shop: Shop, image: str, number: signal.Signals, copying: threading.Event, released: threading.Event
) -> Ended:
    """Start a promotion to build, and send it a signal while it copies; it ends although the registry is silent."""
    words = ("promote", "build", image, "-o", "json", "--key", "keys/ci-build.key")
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=shop.folder,
        env=shop.surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert copying.wait(SECONDS)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=SILENCE)
        finally:
            released.set()
            process.kill()
    return checked(Ended(process.returncode, stdout, stderr))


def test_a_signal_during_a_step_ends_its_command_and_records_nothing(shop: Shop, tmp_path: Path) -> None:
    image = shop.built("i-step")
    shop.workshop.admit("build", f"oci:{shop.folder / 'image'}:i-step", "ci-build")
    unit, *_ = shop.reports(image, "i-step")
    begun, words = tmp_path / "begun", ("step", "build", "unit", "i-step", unit, "--key", "keys/ci-build.key")

    with subprocess.Popen(
        [*COMMAND, *words, "--", "sh", "-c", f"touch {shlex.quote(str(begun))}; exec sleep {SECONDS}"],
        cwd=shop.folder,
        env=shop.surroundings(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            _await(begun)
            process.send_signal(signal.SIGTERM)
            # The command holds the other end of the pipe, so that this returns only when it has ended too.
            _, stderr = process.communicate(timeout=SILENCE)
        finally:
            process.kill()

    ended = checked(Ended(process.returncode, "", stderr))
    story = shop.run("audit", "i-step", "--stage", "build", "-o", "json").result
    assert (ended.code, ended.reasons) == (143, ["run-interrupted"])
    assert story["stages"][0]["steps"][0]["result"] == "missing"


def _await(path: Path) -> None:
    for _ in range(SECONDS * 20):
        if path.exists():
            return
        time.sleep(0.05)
    raise TimeoutError(path)
