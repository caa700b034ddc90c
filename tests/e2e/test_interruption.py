"""A promotion that is interrupted leaves the tag where it was, and a second run finishes what the first began."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest

from pipeline.demo.image import Built
from tests.e2e.shop import COMMAND, SECONDS, Ended, Shop, checked
from tests.faults import FaultRegistry, Seen, call

BLOBS = "/src/shop/blobs/"


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
            stdout, stderr = process.communicate(timeout=SECONDS / 3)
        finally:
            released.set()
            process.kill()
    return checked(Ended(process.returncode, stdout, stderr))
