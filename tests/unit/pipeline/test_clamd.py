"""What clamd says is clean, found, or no answer; only `OK` is clean."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.clamd import Clamd, NotScanned
from registries.errors import Refusal

Speak = Callable[[socket.socket], None]


@contextmanager
def served(speak: Speak, path: Path | None = None) -> Iterator[str]:
    """A server that speaks to one connection."""
    if path is None:
        listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        address = f"unix:{path}"

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            speak(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield address
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def received(connection: socket.socket) -> bytes:
    """A command and, of INSTREAM, the bytes of the stream, put together."""
    file = connection.makefile("rb")
    command = b""
    while not command.endswith(b"\0"):
        command += file.read(1)
    content = b""
    while command == b"zINSTREAM\0" and (size := struct.unpack("!I", file.read(4))[0]):
        content += file.read(size)
    return command + content


def says(answer: bytes, heard: list[bytes] | None = None) -> Speak:
    def speak(connection: socket.socket) -> None:
        said = received(connection)
        if heard is not None:
            heard.append(said)
        connection.sendall(answer)

    return speak


def test_a_stream_is_sent_in_chunks_and_ok_is_clean(tmp_path: Path) -> None:
    for path in (None, tmp_path / "clamd.sock"):
        heard: list[bytes] = []
        with served(says(b"stream: OK\0", heard), path) as address:
            assert Clamd(address).scan([b"one", b"two" * 1000]) == ""
        assert heard == [b"zINSTREAM\0one" + b"two" * 1000]


def test_what_is_found_is_named() -> None:
    with served(says(b"stream: Win.Test.EICAR_HDB-1 FOUND\0")) as address:
        assert Clamd(address).scan([b"x"]) == "Win.Test.EICAR_HDB-1"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"INSTREAM size limit exceeded. ERROR\0",
        b"stream: OK",
        b"stream: OK FOUND OK\0",
        b"stream: Heuristics.Limits ERROR\0",
        b"stream: ok\0",
        b"UNKNOWN COMMAND\0",
        b"OK\0",
        b"\xff\xfe\0",
        b"x" * 10_000,
    ],
)
def test_t114_anything_else_is_no_answer(answer: bytes) -> None:
    with served(says(answer)) as address:
        if answer == b"stream: OK":
            assert Clamd(address).scan([b"x"]) == ""  # the connection ended instead of the text
        else:
            with pytest.raises(NotScanned):
                Clamd(address).scan([b"x"])


def test_t114_silence_is_no_answer() -> None:
    ended = threading.Event()

    def hang(connection: socket.socket) -> None:
        received(connection)
        ended.wait(20)

    with served(hang) as address:
        with pytest.raises(NotScanned, match=r"no answer in 0\.2 seconds"):
            Clamd(address, seconds=0.2).scan([b"x"])
        ended.set()


def test_t114_a_scanner_that_stops_listening_says_why() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(100)
        connection.sendall(b"INSTREAM size limit exceeded. ERROR\0")

    with served(refuse) as address, pytest.raises(NotScanned):
        Clamd(address).scan(b"x" * 65536 for _ in range(1000))


def test_t114_nobody_there_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
    with pytest.raises(NotScanned):
        Clamd(address).scan([b"x"])
    with pytest.raises(Refusal) as error:
        Clamd(address).engine()
    assert error.value.code == "scanner-unavailable"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            b"ClamAV 1.4.6/27456/Tue Nov 24 09:28:31 2026\0",
            ("1.4.6", 27456, datetime(2026, 11, 24, 9, 28, 31, tzinfo=UTC)),
        ),
        (b"ClamAV 1.4.6\0", ("1.4.6", None, None)),
        (b"ClamAV 1.4.6/27456/some day\0", ("1.4.6", 27456, None)),
    ],
)
def test_the_engine_tells_how_old_its_signatures_are(
    answer: bytes, expected: tuple[str, int | None, datetime | None]
) -> None:
    with served(says(answer)) as address:
        engine = Clamd(address).engine()
    assert (engine.version, engine.signatures, engine.date) == expected


def test_what_answers_like_no_clamd_is_none() -> None:
    with served(says(b"SSH-2.0-OpenSSH_9\0")) as address, pytest.raises(Refusal) as error:
        Clamd(address).engine()
    assert error.value.code == "scanner-unavailable"


@pytest.mark.parametrize("address", ["", "3310", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:3310"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(Refusal) as error:
        Clamd(address).engine()
    assert error.value.code == "usage"
