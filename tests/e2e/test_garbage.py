"""Whatever a file holds, a command ends in words, with a code of its own; never in a traceback."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.shop import Ended, Shop

# Every run of `Shop.run` refuses a traceback and `internal-error`.

RANDOM: Final = hashlib.shake_256(b"garbage").digest(3000)
DEEP: Final = b"[" * 20_000
PEM: Final = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
COMMANDS: Final = (
    ("definition", "check"),
    ("definition", "sign", "--key", "keys/owner.key"),
    ("definition", "show"),
    ("promote", "build", "oci:image:1.0", "--key", "keys/ci-build.key"),
    ("plan", "prod", "1.0"),
    ("step", "build", "unit", "1.0", "--key", "keys/ci-build.key"),
    ("verify", "prod", "1.0"),
    ("audit", "1.0"),
)


@pytest.fixture
def twin(shop: Shop, tmp_path: Path) -> Shop:
    return shop.twin(tmp_path)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_definition_of_random_bytes_is_refused(twin: Shop, command: tuple[str, ...]) -> None:
    twin.write("samebits.yaml", RANDOM)

    _refused(twin.run(*command))


@pytest.mark.parametrize("command", COMMANDS[3:], ids=" ".join)
def test_a_trust_file_of_random_bytes_is_refused(twin: Shop, command: tuple[str, ...]) -> None:
    twin.write("trust.yaml", RANDOM)

    _refused(twin.run(*command))


@pytest.mark.parametrize("name", ["samebits.yaml", "samebits.yaml.sigstore.jsonl", "trust.yaml", "keys/owner.pub"])
@pytest.mark.parametrize("content", [RANDOM, DEEP], ids=["random", "deep"])
def test_a_file_of_garbage_is_refused(twin: Shop, name: str, content: bytes) -> None:
    twin.write(name, content)

    _refused(twin.run("definition", "show"))


@pytest.mark.parametrize("content", [b"", PEM], ids=["empty", "pem"])
def test_a_key_of_garbage_is_refused(twin: Shop, content: bytes) -> None:
    twin.write("keys/owner.key", content)

    _refused(twin.run("definition", "sign", key="owner"))


@pytest.mark.parametrize(
    "command",
    [("promote", "build", "oci:image:1.0"), ("step", "build", "unit", "1.0"), ("definition", "sign")],
    ids=" ".join,
)
def test_a_key_of_random_bytes_is_refused(twin: Shop, command: tuple[str, ...]) -> None:
    twin.write("keys/garbage.key", RANDOM)

    assert _refused(twin.run(*command, key="garbage")).reasons == ["key-malformed"]


def test_a_report_of_random_bytes_is_refused(shop: Shop, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.write_bytes(RANDOM)

    for step, kind, key in (("unit", "junit", "ci-build"), ("scan", "grype", "scanner")):
        ended = shop.run("step", "build", step, "ready", f"--report={kind}={report}", key=key)
        assert _refused(ended).reasons == ["evidence-malformed"]


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
@pytest.mark.parametrize("content", [RANDOM, DEEP], ids=["random", "deep"])
def test_a_layout_of_garbage_is_refused(twin: Shop, name: str, content: bytes) -> None:
    twin.built("1.0")
    twin.write(f"image/{name}", content)

    _refused(twin.run("plan", "build", "oci:image:1.0"))


@pytest.mark.parametrize("content", [RANDOM, b"", bytes(4096)], ids=["random", "empty", "zeros"])
def test_an_archive_of_garbage_is_refused(twin: Shop, content: bytes) -> None:
    twin.write("image.tar", content)

    _refused(twin.run("plan", "build", "oci-archive:image.tar"))


@pytest.mark.parametrize("option", ["--definition", "--trust", "--key"])
@pytest.mark.parametrize("what", [".", "keys/owner.key/below"])
def test_what_is_no_file_is_refused(shop: Shop, option: str, what: str) -> None:
    _refused(
        shop.run(
            "promote", "build", "oci:image:1.0", option, what, "--key=keys/ci-build.key" if option != "--key" else "-v"
        )
    )


def test_a_file_that_may_not_be_read_is_refused(twin: Shop) -> None:
    (twin.folder / "trust.yaml").chmod(0)
    if os.access(twin.folder / "trust.yaml", os.R_OK):
        (twin.folder / "trust.yaml").unlink()  # root may read everything; that it is gone ends the same way

    assert _refused(twin.run("definition", "show")).reasons == ["file-unreadable"]


@pytest.mark.parametrize("time", ["soon", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_none_is_refused(shop: Shop, time: str) -> None:
    ended = shop.run("verify", "prod", "1.0", f"--effective-time={time}")

    assert _refused(ended).code == 2


def _refused(ended: Ended) -> Ended:
    assert ended.code in range(2, 8), ended.stderr
    assert ended.reasons, ended.stderr
    return ended
