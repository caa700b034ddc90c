"""What the benchmarks stand on: a delay that delays, a counter that counts, and neither changes a byte."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from registries.digest import Digest
from registries.kinds.http import http_registry
from registries.registry import Location
from tests.bench.proxies import Exchange, counting, delaying
from tests.bench.traffic import Traffic, waterfall
from tests.faults import FaultRegistry
from tests.images import blob, image, push_blob

ROUND_TRIP = 0.06


@contextmanager
def echo() -> Iterator[str]:
    """Sends back what it is sent, until the end of it."""

    def answer(connection: socket.socket) -> None:
        with connection:
            while chunk := connection.recv(65536):
                connection.sendall(chunk)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield "127.0.0.1:{1}".format(*listening.getsockname())
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def asked(connection: socket.socket, question: bytes) -> float:
    """Seconds until the echo is whole."""
    began = time.monotonic()
    connection.sendall(question)
    answer = b""
    while len(answer) < len(question):
        answer += connection.recv(65536)
    assert answer == question
    return time.monotonic() - began


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def test_connecting_costs_one_round_trip_and_each_question_another() -> None:
    with echo() as server, delaying(server, round_trip=ROUND_TRIP) as far, connected(far.address) as connection:
        assert asked(connection, b"first") >= 2 * ROUND_TRIP
        assert asked(connection, b"second") >= ROUND_TRIP


def test_a_delay_can_be_switched_on_later() -> None:
    with echo() as server, delaying(server, round_trip=0.0) as far, connected(far.address) as connection:
        asked(connection, b"near")
        far.round_trip = ROUND_TRIP
        assert asked(connection, b"far") >= ROUND_TRIP


def test_what_is_delayed_arrives_unchanged_and_ends() -> None:
    content = os.urandom(5_000_000)
    with echo() as server, delaying(server, round_trip=0.01) as far, connected(far.address) as connection:

        def send() -> None:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        with connection.makefile("rb") as stream:
            assert stream.read() == content
        sending.join(10)


def test_an_upstream_that_is_not_there_ends_the_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = "127.0.0.1:{1}".format(*unused.getsockname())
        with delaying(nobody, round_trip=0.0) as far, connected(far.address) as connection:
            assert connection.recv(1) == b""


def test_every_exchange_is_counted_as_the_registry_saw_it() -> None:
    made = image()
    with FaultRegistry() as registry, counting(registry.host) as counter:
        place = Location(http_registry(counter.address, environment={}), "counted")
        made.push(place, "1.0")
        assert place.registry.resolve("counted", "1.0") == made.digest
        content = os.urandom(3_000_000)
        large = blob(content)
        push_blob(place, large, content)
        assert b"".join(place.registry.blob("counted", large)) == content
        seen, there = counter.exchanges, registry.requests
        assert [(one.method, one.path, one.status, one.sent) for one in seen] == [
            (one.method, one.path, one.status, one.size) for one in there
        ]
        assert seen[-1].received == len(content)
    traffic = Traffic.of([seen], {large.digest})
    assert (traffic.blob_bytes_down, traffic.blob_bytes_up) == (len(content), len(content))
    assert traffic.reads + traffic.writes == len(there)
    assert traffic.connections == counter.connections


@pytest.mark.parametrize("chunks", [(b"",), (b"one",), (b"one", b"", b"two" * 100_000)])
def test_a_body_in_chunks_is_counted_by_its_content(chunks: tuple[bytes, ...]) -> None:
    content = b"".join(chunks)
    with FaultRegistry() as registry, counting(registry.host) as counter:
        connection = http.client.HTTPConnection(counter.address, timeout=20)
        connection.request("POST", "/v2/counted/blobs/uploads/")
        started = connection.getresponse()
        started.read()
        path = f"{started.headers['Location'].removeprefix(f'http://{counter.address}')}"
        pieces = (piece for piece in chunks if piece)
        connection.request("PATCH", path, body=pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        connection.getresponse().read()
        connection.close()
        assert counter.exchanges[-1].sent == len(content)
        assert registry.requests[-1].body == content


def seen(begin: float, end: float, path: str = "/v2/r/manifests/1.0", **fields: object) -> Exchange:
    known = {"connection": 1, "connecting": False, "method": "GET", "status": 200, **fields}
    return Exchange(path=path, started=begin, ended=end, **known)  # type: ignore[arg-type]


def test_only_what_waited_for_one_another_counts_as_round_trips() -> None:
    beside, after = seen(0.0, 2.0), seen(3.0, 4.0, connecting=True)
    assert Traffic.of([[beside], [seen(1.0, 2.5)]], set()).rounds == 1
    assert Traffic.of([[beside, after], [seen(1.0, 2.5)]], set()).rounds == 3


def test_bytes_of_blobs_are_those_of_the_image_alone() -> None:
    ours, other = Digest.of(b"ours"), Digest.of(b"other")
    upload = "/v2/r/blobs/uploads/1"
    exchanges = [
        seen(0, 1, f"/v2/r/blobs/{ours}", received=10),
        seen(1, 2, f"/v2/r/blobs/{other}", received=20),
        seen(1, 2, f"/v2/r/blobs/{ours}", received=1, status=206),
        seen(1, 2, f"/v2/r/blobs/{ours}", received=157, status=404),
        seen(2, 3, f"{upload}?state=a", method="PATCH", sent=3),
        seen(3, 4, f"{upload}?state=b&digest={str(ours).replace(':', '%3A')}", method="PUT", sent=4),
        seen(4, 5, f"{upload}?digest={other}", method="PUT", sent=50),
    ]
    traffic = Traffic.of([exchanges], {ours})
    assert (traffic.blob_bytes_down, traffic.blob_bytes_up) == (10, 7)
    assert traffic.proof_bytes == 1
    assert (traffic.bytes_down, traffic.bytes_up) == (188, 57)
    assert (traffic.reads, traffic.writes) == (4, 3)


def test_a_waterfall_says_where_the_time_went() -> None:
    shown = waterfall([[seen(10.1, 10.2)], [seen(10.15, 10.3), seen(10.4, 10.5)]], 10.0, 0.7)
    sums = [line.split(" ms ")[0].strip() for line in shown.splitlines()[-6:-1]]
    assert sums == ["700", "100", "300", "100", "200"]
    assert "2 round trips one after the other, 3 requests" in shown
