"""The embedded registry as a server: TLS, who may listen where, slow clients, many clients, what is cleaned up."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from registries.digest import Digest
from registries.embedded.access import Access, Logins
from registries.errors import Refusal
from registries.server import Options, Tls, check_exposure, serve, serve_in_thread
from tests.unit.registries.test_access import FILE

ACCESS = Access(logins=Logins.parse(FILE, where="logins"))
PATIENCE = 0.3


def certificate(folder: Path, name: str = "server", passphrase: bytes | None = None) -> Tls:
    """A self-signed certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    how = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    tls = Tls(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
    tls.certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    return tls


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def connect(address: str) -> socket.socket:
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


# TLS


def test_tls_1_3_is_spoken_and_nothing_older(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    with serve_in_thread(tmp_path / "root", options=Options(tls=tls)) as address:
        answer = requests.get(f"https://{address}/v2/", verify=str(tls.certificate), timeout=20)
        assert (answer.status_code, answer.json()) == (200, {})
        client = ssl.create_default_context(cafile=str(tls.certificate))
        with client.wrap_socket(connect(address), server_hostname="127.0.0.1") as connection:
            assert connection.version() == "TLSv1.3"
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        with connect(address) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
            client.wrap_socket(plain, server_hostname="127.0.0.1")
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{address}/v2/", timeout=20)


@pytest.mark.parametrize("case", ["no file", "another key", "encrypted", "no certificate", "a folder"])
def test_a_certificate_that_can_not_be_used_is_refused_before_anything_is_served(tmp_path: Path, case: str) -> None:
    tls = certificate(tmp_path)
    expected = "server-certificate-invalid"
    match case:
        case "no file":
            tls, expected = Tls(certificate=tmp_path / "absent", key=tls.key), "file-unreadable"
        case "a folder":
            tls, expected = Tls(certificate=tls.certificate, key=tmp_path), "file-unreadable"
        case "another key":
            tls = Tls(certificate=tls.certificate, key=certificate(tmp_path, "other").key)
        case "encrypted":
            tls = certificate(tmp_path, "encrypted", b"passphrase")
        case _:
            tls.certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    options = Options(tls=tls)
    ready = lambda _: pytest.fail("it can't be ready")  # noqa: E731
    assert code(lambda: serve(tmp_path / "root", "127.0.0.1", 0, ready=ready, options=options)) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "registry.example", "", "127.0.0.1.example"])  # noqa: S104
def test_passwords_are_not_taken_in_plain_text_from_other_machines(tmp_path: Path, host: str) -> None:
    ready = lambda _: pytest.fail("it can't be ready")  # noqa: E731
    refused = lambda: serve(tmp_path, host, 0, ready=ready, options=Options(access=ACCESS))  # noqa: E731
    assert code(refused) == "password-exposed"


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("127.0.0.1", Options(access=ACCESS)),
        ("127.8.8.8", Options(access=ACCESS)),
        ("::1", Options(access=ACCESS)),
        ("localhost", Options(access=ACCESS)),
        ("0.0.0.0", Options()),  # noqa: S104
        ("0.0.0.0", Options(access=ACCESS, plain_http=True)),  # noqa: S104
        ("0.0.0.0", Options(access=ACCESS, tls=Tls(certificate=Path("c"), key=Path("k")))),  # noqa: S104
    ],
)
def test_passwords_are_taken_where_nobody_can_listen_or_somebody_said_so(host: str, options: Options) -> None:
    check_exposure(host, options)


# clients


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = Options(slow_seconds=PATIENCE)
    with serve_in_thread(tmp_path_factory.mktemp("impatient"), options=options) as address:
        yield address


def begin(address: str) -> str:
    return requests.post(f"http://{address}/v2/a/b/blobs/uploads/", timeout=20).headers["Location"]


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n"])
def test_t133_a_client_that_never_finishes_asking_is_cut_off(impatient: str, sent: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(sent)
        assert ended(connection)


def test_t133_a_client_that_sends_a_byte_now_and_then_is_cut_off(impatient: str) -> None:
    location = begin(impatient)
    with connect(impatient) as connection:
        connection.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
        with pytest.raises(ConnectionError):
            dribble(connection, time.monotonic() + 20)


def test_t133_a_client_that_does_not_take_its_answer_is_cut_off(impatient: str) -> None:
    content = os.urandom(1 << 20) * 32
    digest = Digest.of(content)
    url = f"http://{impatient}/v2/a/b/blobs"
    assert requests.post(f"{url}/uploads/?digest={digest}", content, timeout=20).status_code == 201
    taken = (taken_after(pause, impatient, digest) for pause in (1, 4, 16))  # a busy machine looks late
    assert any(count < len(content) for count in taken)


def taken_after(pause: float, address: str, digest: Digest) -> int:
    """How many bytes come when nothing is read for so many seconds, and then everything there is."""
    count = 0
    with connect(address) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(f"GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        time.sleep(pause)
        while chunk := connection.recv(1 << 20):
            count += len(chunk)
    return count


def test_a_client_that_is_slow_but_steady_is_served(tmp_path: Path) -> None:
    content = os.urandom(24_000)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(content), 1000):
            time.sleep(0.1)
            yield content[start : start + 1000]

    with serve_in_thread(tmp_path, options=Options(slow_seconds=0.8)) as address:
        url = f"http://{address}{begin(address)}?digest={Digest.of(content)}"
        assert requests.put(url, chunks(), timeout=20).status_code == 201


def dribble(connection: socket.socket, deadline: float) -> None:
    while time.monotonic() < deadline:
        connection.sendall(b"x")
        time.sleep(PATIENCE / 10)


def ended(connection: socket.socket) -> bool:
    """Whether the server closes the connection, within the patience of the socket."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_many_clients_are_served_beside_many_that_say_nothing(tmp_path: Path) -> None:
    contents = [os.urandom(100_000) for _ in range(64)]
    with contextlib.ExitStack() as silent, serve_in_thread(tmp_path) as address:
        for _ in range(150):
            silent.enter_context(connect(address))

        def push_and_pull(content: bytes) -> str:
            digest = Digest.of(content)
            url = f"http://{address}/v2/many/clients/blobs"
            assert requests.post(f"{url}/uploads/?digest={digest}", content, timeout=60).status_code == 201
            return hashlib.sha256(requests.get(f"{url}/{digest}", timeout=60).content).hexdigest()

        with ThreadPoolExecutor(32) as pool:
            found = list(pool.map(push_and_pull, contents))
    assert found == [Digest.of(content).hex for content in contents]


# what is cleaned up


def test_what_was_abandoned_is_removed_at_the_start_and_while_it_runs(tmp_path: Path) -> None:
    with serve_in_thread(tmp_path) as address:
        left = begin(address)
    uploads = tmp_path / "a" / "b" / "_oci" / "uploads"
    os.utime(uploads / Path(left).name, (1000, 1000))
    with serve_in_thread(tmp_path, options=Options(abandoned_seconds=2.0)) as address:
        gone(lambda: requests.get(f"http://{address}{left}", timeout=20).status_code == 404)
        young, in_use = begin(address), begin(address)
        with connect(address) as connection:
            head = f"PATCH {in_use} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            gone(lambda: requests.get(f"http://{address}{young}", timeout=20).status_code == 404)
            os.utime(uploads / Path(in_use).name, (1000, 1000))
            time.sleep(0.3)  # three rounds
            connection.sendall(b"bytes")
            assert connection.recv(100).startswith(b"HTTP/1.1 202 ")


def test_an_upload_that_is_begun_again_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    with serve_in_thread(tmp_path) as address:
        location = begin(address)
        requests.patch(f"http://{address}{location}", b"01234", timeout=20)
    with serve_in_thread(tmp_path) as address:
        answer = requests.put(f"http://{address}{location}?digest={Digest.of(b'01234')}", timeout=20)
    assert answer.status_code == 201


def gone(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
