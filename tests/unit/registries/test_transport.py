from __future__ import annotations

import gc
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from registries.authorities import Authorities
from registries.credentials import Credentials
from registries.errors import ContentError, Refusal
from registries.limits import CHUNK_BYTES, REDIRECTS, RETRIES
from registries.network import Network
from registries.origin import Origin
from registries.pace import retry_after
from registries.transport import Body, Request, Transport
from registries.wire import escaped
from tests import faults
from tests.certificates import OLD, Authority
from tests.clock import FakeClock
from tests.faults import FaultRegistry, Seen
from tests.talk import CANARY, credentials, get, local, opened, post, raw_server, refused


@pytest.fixture
def anonymous(tmp_path: Path) -> Credentials:
    return Credentials({"DOCKER_CONFIG": str(tmp_path)}, home=None)


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        registry.put_blob("app", b"{}")
        yield registry


@pytest.fixture
def other() -> Iterator[FaultRegistry]:
    with FaultRegistry() as other:
        other.put_blob("app", b"other")
        yield other


class TestWhereRequestsGo:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("registry.example", "https://registry.example"),
            ("registry.example:5000", "https://registry.example:5000"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
            ("127.9.9.9:5000", "http://127.9.9.9:5000"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("localhost", "http://localhost"),
            ("a.localhost:81", "http://a.localhost:81"),
            ("localhost.example", "https://localhost.example"),
            ("named.example:80", "http://named.example"),
            ("whole.example:5001", "http://whole.example:5001"),
            ("docker.io", "https://registry-1.docker.io"),
        ],
    )
    def test_plain_http_is_for_loopback_and_named_hosts(self, anonymous: Credentials, host: str, expected: str) -> None:
        named = frozenset({"named.example:80", "whole.example"})
        with opened(host, anonymous, network=Network(plain_http=named)) as transport:
            assert str(transport.origin) == expected

    def test_every_request_is_counted_and_asks_for_identity(
        self, registry: FaultRegistry, anonymous: Credentials
    ) -> None:
        registry.rule("GET", "/tags/", faults.status(503), nth=1)
        registry.rule("GET", "/tags/", faults.redirect("/v2/app/tags/list?again"), nth=2)
        with opened(registry.host, anonymous) as transport:
            get(transport)
            assert transport.requests == len(registry.requests) == 3
        assert {seen.headers["accept-encoding"] for seen in registry.requests} == {"identity"}
        assert not any("authorization" in seen.headers or "cookie" in seen.headers for seen in registry.requests)

    def test_a_dry_run_sends_nothing_but_reads(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        with opened(registry.host, anonymous, read_only=True) as transport:
            get(transport)
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                with pytest.raises(Refusal) as error:
                    transport.exchange(Request(method=method, target="v2/app/blobs/uploads/", repository="app"))
                assert error.value.code == "write-in-dry-run"
            assert transport.requests == 1
        assert registry.writes() == []

    def test_a_proxy_is_used_where_the_environment_says_so(
        self, registry: FaultRegistry, anonymous: Credentials
    ) -> None:
        environment = {"HTTP_PROXY": "http://upper.example", "http_proxy": registry.url}
        network = Network.of(environment, plain_http=["registry.example"])
        with opened("registry.example", anonymous, network=network) as transport:
            get(transport)
        assert [seen.path for seen in registry.requests] == ["http://registry.example/v2/app/tags/list"]

    @pytest.mark.parametrize(
        ("exceptions", "url"),
        [
            ("registry.example", "https://registry.example"),
            (".example", "https://registry.example"),
            ("*.example", "https://registry.example"),
            ("a, example", "https://registry.example"),
            ("registry.example:5000", "https://registry.example:5000"),
            ("10.0.0.0/8", "https://10.1.2.3"),
            ("10.1.2.3", "https://10.1.2.3"),
            ("*", "https://registry.example"),
            ("", "http://127.0.0.1:5000"),
            ("", "https://localhost"),
        ],
    )
    def test_no_proxy_is_honoured_per_host(self, exceptions: str, url: str) -> None:
        environment = {"https_proxy": "http://proxy", "http_proxy": "http://proxy", "NO_PROXY": exceptions}
        assert Network.of(environment).proxy(Origin.of(url)) is None

    @pytest.mark.parametrize("exceptions", ["", "other.example", "xample", "registry.example:1", "10.0.0.0/8", "."])
    def test_other_hosts_go_through_the_proxy(self, exceptions: str) -> None:
        network = Network.of({"HTTPS_PROXY": f"http://u:{CANARY}@proxy", "no_proxy": exceptions})
        assert network.proxy(Origin.of("https://registry.example")) == f"http://u:{CANARY}@proxy"
        assert CANARY not in repr(network)

    def test_a_proxy_that_fails_is_named_without_its_password(self, anonymous: Credentials) -> None:
        network = Network.of({"https_proxy": f"http://u:{CANARY}@127.0.0.1:1"})
        with opened("registry.example", anonymous, network=network) as transport:
            assert refused(transport).code == "registry-unavailable"


class TestBodies:
    def test_a_body_streams_in_chunks_of_bounded_size(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        content = bytes(range(256)) * 5000
        digest = registry.put_blob("app", content)
        with opened(registry.host, anonymous) as transport:
            request = Request(method="GET", target=f"v2/app/blobs/{digest}", repository="app")
            with transport.request(request) as answer:
                chunks = list(answer.chunks())
        assert b"".join(chunks) == content
        assert max(map(len, chunks)) <= CHUNK_BYTES

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x"])
    def test_an_encoded_answer_is_refused(self, registry: FaultRegistry, anonymous: Credentials, encoding: str) -> None:
        registry.rule("GET", "", faults.header("Content-Encoding", encoding))
        with opened(registry.host, anonymous) as transport:
            assert refused(transport).code == "content-encoding-refused"

    def test_identity_is_no_encoding(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        registry.rule("GET", "", faults.header("Content-Encoding", "Identity"))
        with opened(registry.host, anonymous) as transport:
            assert b"app" in get(transport)

    def test_an_upload_has_a_length_and_no_chunks(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        content = b"x" * 100_000
        body = Body(len(content), lambda: iter([content[:70_000], b"", content[70_000:]]))
        with opened(registry.host, anonymous) as transport:
            target = "v2/app/blobs/uploads/?digest=sha256:0"
            transport.request(Request(method="POST", target=target, repository="app", body=body))
            transport.request(Request(method="POST", target=target, repository="app", body=Body.of(b"")))
        assert [seen.headers["content-length"] for seen in registry.requests] == ["100000", "0"]
        assert registry.requests[0].body == content
        assert not any("transfer-encoding" in seen.headers for seen in registry.requests)

    def test_a_body_that_is_cut_is_no_whole_body(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        registry.rule("GET", "", faults.cut(5))
        with opened(registry.host, anonymous) as transport:
            assert refused(transport).code == "registry-unavailable"

    def test_connections_are_kept_also_after_errors_and_writes(
        self, registry: FaultRegistry, anonymous: Credentials
    ) -> None:
        with opened(registry.host, anonymous) as transport:
            for _ in range(3):
                get(transport)
                post(transport)
                transport.request(Request(method="GET", target="v2/app/manifests/none", repository="app")).close()
        assert len({seen.client for seen in registry.requests}) == 1

    def test_connections_are_closed_when_nobody_holds_the_transport(self, anonymous: Credentials) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        heard: Queue[bytes] = Queue()

        def speak(connection: socket.socket) -> None:
            connection.sendall(answer)
            connection.settimeout(20)
            heard.put(connection.recv(1))

        with raw_server(speak) as host:
            transport = Transport(host, credentials=anonymous)
            assert get(transport) == b"{}"
            del transport
            gc.collect()
            assert heard.get(timeout=20) == b""


class TestRetries:
    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_asked_again(self, registry: FaultRegistry, anonymous: Credentials, status: int) -> None:
        registry.rule("GET|POST", "", faults.status(status), nth=(1, 3))
        clock = FakeClock()
        with opened(registry.host, anonymous, clock=clock, sleep=clock.sleep, random=lambda: 0.5) as transport:
            assert b"app" in get(transport)
            clock.now += 1
            assert post(transport) == 202
        assert clock.pauses == [pytest.approx(0.1), pytest.approx(0.1)]

    @pytest.mark.parametrize("status", [400, 404, 405, 409, 418, 501])
    def test_an_answer_that_will_not_change_is_returned(
        self, registry: FaultRegistry, anonymous: Credentials, status: int
    ) -> None:
        registry.rule("GET", "", faults.status(status))
        with opened(registry.host, anonymous) as transport:
            answer = transport.request(Request(method="GET", target="v2/", repository="app"))
            assert (answer.status, answer.ok, transport.requests) == (status, False, 1)

    def test_tries_are_few_and_the_pauses_between_them_grow(
        self, registry: FaultRegistry, anonymous: Credentials
    ) -> None:
        registry.rule("GET", "", faults.status(503))
        pauses: list[float] = []
        with opened(registry.host, anonymous, sleep=pauses.append) as transport:
            assert refused(transport).code == "registry-unavailable"
            assert transport.requests == RETRIES + 1
        assert len(pauses) == RETRIES
        assert all(0.05 * 3**step <= pause <= 0.15 * 3**step for step, pause in enumerate(pauses))

    @pytest.mark.parametrize("after", [-1, 0])
    def test_a_cut_connection_is_tried_again(self, registry: FaultRegistry, anonymous: Credentials, after: int) -> None:
        registry.rule("POST", "", faults.cut(after), nth=1)
        with opened(registry.host, anonymous) as transport:
            assert post(transport) == 202

    def test_nobody_there_is_unavailable(self, anonymous: Credentials) -> None:
        with opened("127.0.0.1:1", anonymous) as transport:
            assert refused(transport).code == "registry-unavailable"
            assert transport.requests == RETRIES + 1

    @pytest.mark.parametrize(
        ("value", "date", "seconds"),
        [
            ("7", "", 7.0),
            ("1000000000", "", 1e9),
            ("9" * 400, "", float("inf")),
            ("-5", "", 0.0),
            ("soon", "", 0.0),
            ("", "", 0.0),
            ("Wed, 25 Nov 2026 10:00:30 GMT", "Wed, 25 Nov 2026 10:00:10 GMT", 20.0),
            ("Wed, 25 Nov 2026 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:10 GMT", 0.0),
            ("Wed, 25 Nov 2099 10:00:00 GMT", "Wed, 25 Nov 2026 10:00:10 GMT", 2303683190.0),
            ("Wed, 25 Nov 2026 10:00:30 GMT", "", 0.0),
        ],
    )
    def test_retry_after_is_read_in_seconds_or_as_a_date(self, value: str, date: str, seconds: float) -> None:
        assert retry_after({"Retry-After": value, "Date": date}) == seconds

    def test_the_registry_says_how_long_to_wait(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        registry.rule("GET", "", faults.status(429, {"Retry-After": "17"}), nth=1)
        clock = FakeClock()
        with opened(registry.host, anonymous, clock=clock, sleep=clock.sleep) as transport:
            get(transport)
        assert clock.pauses == [17.0]


class TestDeadlines:
    def test_silence_ends_at_the_deadline(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        registry.rule("GET", "", faults.call(lambda _: registry.stopped.wait(5)))
        with opened(registry.host, anonymous, patience=0.2) as transport:
            assert refused(transport).code == "deadline-exceeded"
            assert transport.requests == 1

    def test_a_body_that_dribbles_ends_at_the_deadline(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        registry.rule("GET", "", faults.dribble(0.02))
        with opened(registry.host, anonymous, patience=0.2) as transport:
            assert refused(transport).code == "deadline-exceeded"

    def test_headers_that_dribble_end_at_the_deadline(self, anonymous: Credentials) -> None:
        def speak(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            pause = threading.Event()
            for _ in range(100):
                connection.sendall(b"a: b\r\n")
                pause.wait(0.02)

        with raw_server(speak) as host, opened(host, anonymous, patience=0.2) as transport:
            assert refused(transport).code == "deadline-exceeded"

    @pytest.mark.parametrize("start", [b"HTTP/1.1 100 Continue\r\n\r\n", b"x" * 1000])
    def test_headers_without_end_are_given_up(self, anonymous: Credentials, start: bytes) -> None:
        def speak(connection: socket.socket) -> None:
            while True:
                connection.sendall(start * 100)

        with raw_server(speak) as host, opened(host, anonymous) as transport:
            assert refused(transport).code == "registry-unavailable"

    def test_a_slow_reader_is_not_mistaken_for_a_slow_server(self, anonymous: Credentials) -> None:
        ready = threading.Event()

        def speak(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 10)
            ready.wait(5)
            connection.sendall(b"x" * 10)

        with raw_server(speak) as host, opened(host, anonymous, patience=0.2) as transport:
            chunks = transport.request(Request(method="GET", target="v2/", repository="app")).chunks()
            assert next(chunks) == b"x" * 10
            ready.set()
            threading.Event().wait(0.4)
            assert b"".join(chunks) == b"x" * 10


class TestRedirects:
    def test_the_login_stays_at_its_origin(self, other: FaultRegistry, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY)) as registry:
            registry.rule("GET", "/tags/", faults.redirect(f"{other.url}/v2/app/tags/list"), nth=2)
            with opened(registry.host, credentials(tmp_path, registry.host, other.host)) as transport:
                assert get(transport) == b'{"name": "app", "tags": []}'
            assert "authorization" in registry.requests[-1].headers
        assert [("authorization" in seen.headers) for seen in other.requests] == [False]

    def test_whoever_left_the_origin_comes_back_without_the_login(self, other: FaultRegistry, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY)) as registry:
            registry.rule("GET", "/tags/", faults.redirect(f"{other.url}/v2/x/tags/list"), nth=2)
            other.rule("GET", "", faults.redirect(f"{registry.url}/v2/secret/tags/list"))
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                assert refused(transport).code == "cross-origin-credentials"
            assert "authorization" not in registry.requests[-1].headers

    def test_within_the_origin_the_login_goes_along(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY)) as registry:
            registry.put_blob("app", b"")
            registry.rule("GET", "/tags/", faults.redirect("/v2/app/tags/list?n=9"), nth=2)
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                assert b"app" in get(transport)

    @pytest.mark.parametrize("demand", ['Basic realm="x"', 'Bearer realm="https://x/token"'])
    def test_another_origin_that_asks_for_a_login_gets_none(
        self, registry: FaultRegistry, other: FaultRegistry, tmp_path: Path, demand: str
    ) -> None:
        registry.rule("GET", "", faults.redirect(f"{other.url}/v2/app/tags/list"))
        other.rule("GET", "", faults.challenge(demand))
        with opened(registry.host, credentials(tmp_path, registry.host, other.host)) as transport:
            assert refused(transport).code == "cross-origin-credentials"
        assert [("authorization" in seen.headers) for seen in other.requests] == [False]

    def test_five_redirects_are_followed_and_no_more(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        registry.rule("GET", "", faults.redirect("/v2/app/tags/list"), nth=range(1, REDIRECTS + 1))
        with opened(registry.host, anonymous) as transport:
            assert b"app" in get(transport)
        registry.rule("GET", "", faults.redirect("/v2/app/tags/list"))
        with opened(registry.host, anonymous) as transport:
            assert refused(transport).code == "limit-exceeded"
            assert transport.requests == REDIRECTS + 1

    @pytest.mark.parametrize(
        ("target", "code"),
        [
            ("http://plain.example/", "tls-downgrade"),
            (f"https://robot:{CANARY}@evil.example/", "answer-unexpected"),
            ("ftp://evil.example/", "answer-unexpected"),
            ("https://good.example\\@evil.example/", "answer-unexpected"),
            (f"http://127.0.0.1:1/?signature={CANARY}", "registry-unavailable"),
        ],
    )
    def test_other_redirects_are_refused_and_their_queries_not_repeated(
        self, registry: FaultRegistry, anonymous: Credentials, target: str, code: str
    ) -> None:
        registry.rule("GET", "", faults.redirect(target))
        with opened(registry.host, anonymous) as transport:
            assert refused(transport).code == code

    def test_a_write_is_never_redirected(
        self, registry: FaultRegistry, other: FaultRegistry, anonymous: Credentials
    ) -> None:
        registry.rule("POST", "", faults.redirect(f"{other.url}/v2/app/blobs/uploads/"), nth=1)
        registry.rule("POST", "", faults.redirect("/v2/app/blobs/uploads/"), nth=2)
        with opened(registry.host, anonymous) as transport:
            assert refused(transport, post).code == "cross-origin-upload"
            assert refused(transport, post).code == "answer-unexpected"
        assert other.requests == []

    def test_an_address_that_a_registry_gives_is_its_own(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        with opened(registry.host, anonymous) as transport:
            answer = transport.request(Request(method="POST", target="v2/app/blobs/uploads/", repository="app"))
            assert transport.beside(answer, "/x?y=z", code="c") == f"{registry.url}/x?y=z"
            assert transport.beside(answer, f"{registry.url}/x", code="c") == f"{registry.url}/x"
            for link in ("http://127.0.0.1:1/x", f"https://{registry.host}/x", "//evil.example/x"):
                with pytest.raises(ContentError) as error:
                    transport.beside(answer, link, code="cross-origin-upload")
                assert error.value.code == "cross-origin-upload"


class TestLogins:
    @pytest.mark.parametrize("kind", ["basic", "bearer"])
    def test_a_login_is_given_when_it_is_asked_for_and_then_at_once(self, tmp_path: Path, kind: str) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=kind == "bearer") as registry:
            registry.put_blob("app", b"")
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                get(transport)
                get(transport)
            paths = [seen.path.partition("?")[0] for seen in registry.requests]
            assert paths == [
                "/v2/app/tags/list",
                *(["/token"] if kind == "bearer" else []),
                *(["/v2/app/tags/list"] * 2),
            ]
            assert [seen.status for seen in registry.requests].count(401) == 1

    def test_a_token_is_asked_for_one_repository_and_action_only(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            registry.put_blob("app", b"")
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                get(transport)
                post(transport)
                post(transport)
                post(transport, "b/c")
                request = Request(method="POST", target="v2/app/blobs/uploads/", repository="app", source="b/c")
                transport.request(request)
            asked = [seen.path.partition("?")[2] for seen in registry.requests if seen.path.startswith("/token")]
        pull, push, second, mount = asked
        assert pull == "service=faults&scope=repository%3Aapp%3Apull"
        assert push == "service=faults&scope=repository%3Aapp%3Apull%2Cpush"
        assert second == "service=faults&scope=repository%3Ab%2Fc%3Apull%2Cpush"
        assert mount == "service=faults&scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Ab%2Fc%3Apull"

    def test_a_token_that_is_no_longer_taken_is_replaced_once(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            registry.put_blob("app", b"")
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                get(transport)
                registry.tokens.clear()
                get(transport)
                assert sum(seen.path.startswith("/token") for seen in registry.requests) == 2

    @pytest.mark.parametrize("lifetime", [-1, 0, 300, 10**12, "x", None])
    def test_a_token_is_used_as_long_as_the_server_says(self, tmp_path: Path, lifetime: Any) -> None:
        granted = json.dumps({"access_token": "tok", "expires_in": lifetime}).encode()
        with FaultRegistry() as registry:
            registry.rule("GET", "/v2/", faults.challenge(f'Bearer realm="{registry.url}/token"'), nth=1)
            registry.rule("GET", "/token", faults.status(200, body=granted))
            registry.put_blob("app", b"")
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                get(transport)
                get(transport)
            assert sum(seen.path.startswith("/token") for seen in registry.requests) == 1
            assert registry.requests[-1].headers["authorization"] == "Bearer tok"

    @pytest.mark.parametrize(
        "granted", [b"{}", b"[]", b"x", b'{"token": 3}', b'{"token": "a\\nb"}', b'{"token": ""}', b" " * 300_000]
    )
    def test_a_token_server_that_gives_no_token_is_no_login(self, tmp_path: Path, granted: bytes) -> None:
        with FaultRegistry() as registry:
            registry.rule("GET", "/v2/", faults.challenge(f'Bearer realm="{registry.url}/token"'))
            registry.rule("GET", "/token", faults.status(200, body=granted))
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                assert refused(transport).code in ("answer-unexpected", "json-malformed", "size-limit")
                assert transport.requests == 2

    def test_a_foreign_token_server_sees_nothing(
        self, registry: FaultRegistry, other: FaultRegistry, tmp_path: Path
    ) -> None:
        registry.rule("GET", "", faults.challenge(f'Bearer realm="{other.url}/token",service="s"'))
        with opened(registry.host, credentials(tmp_path, registry.host, other.host)) as transport:
            assert refused(transport).code == "token-realm-refused"
        assert other.requests == []

    def test_a_token_server_that_redirects_takes_no_login_along(
        self, registry: FaultRegistry, other: FaultRegistry, tmp_path: Path
    ) -> None:
        registry.rule("GET", "/v2/", faults.challenge(f'Bearer realm="{registry.url}/token"'))
        registry.rule("GET", "/token", faults.redirect(f"{other.url}/token"))
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            assert refused(transport).code == "token-realm-refused"
        assert other.requests == []

    @pytest.mark.parametrize("kind", ["basic", "bearer"])
    def test_without_a_login_the_refusal_names_the_file_that_was_asked(self, tmp_path: Path, kind: str) -> None:
        faulty = FaultRegistry(login=("robot", "x"), bearer=kind == "bearer")
        with faulty as registry, opened(registry.host, credentials(tmp_path, "another.example")) as transport:
            error = refused(transport)
        assert error.code == "credentials-missing"
        assert str(tmp_path / "config.json") in str(error)
        assert error.reasons[0].hint == f"docker login {registry.host}"

    def test_a_token_server_that_forbids_strangers_wants_a_login(
        self, registry: FaultRegistry, anonymous: Credentials
    ) -> None:
        registry.rule("GET", "/v2/", faults.challenge(f'Bearer realm="{registry.url}/token"'))
        registry.rule("GET", "/token", faults.status(403))
        with opened(registry.host, anonymous) as transport:
            assert refused(transport).code == "credentials-missing"

    @pytest.mark.parametrize("kind", ["basic", "bearer"])
    def test_a_login_that_is_refused_is_named_by_its_file(self, tmp_path: Path, kind: str) -> None:
        faulty = FaultRegistry(login=("robot", "x"), bearer=kind == "bearer")
        with faulty as registry, opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            error = refused(transport)
        assert error.code == "credentials-refused"
        assert str(tmp_path / "config.json") in str(error)

    def test_what_is_forbidden_is_denied_and_not_tried_again(self, registry: FaultRegistry, tmp_path: Path) -> None:
        registry.rule("POST", "", faults.status(403))
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            assert refused(transport, post).code == "access-denied"
            assert transport.requests == 1

    def test_a_challenge_that_can_not_be_met_is_refused(self, registry: FaultRegistry, tmp_path: Path) -> None:
        registry.rule("GET", "", faults.challenge("Negotiate"))
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            assert refused(transport).code == "challenge-unsupported"

    def test_an_upload_is_sent_again_after_the_challenge(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                assert post(transport, body=b"x" * 1000) == 202
            assert [seen.size for seen in registry.requests] == [1000, 0, 1000]

    def test_netrc_and_the_process_environment_have_no_say(
        self, registry: FaultRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login robot password {CANARY}\n")
        (tmp_path / "netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        registry.rule("GET", "", faults.challenge('Basic realm="x"'))
        with opened(registry.host, Credentials({}, home=None)) as transport:
            assert refused(transport).code == "credentials-missing"
        assert not any("authorization" in seen.headers for seen in registry.requests)

    def test_secrets_that_a_registry_echoes_are_not_repeated(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            registry.put_blob("app", b"")

            def echo(seen: Seen, answer: faults.Answer) -> faults.Reply:
                said = seen.headers.get("authorization", "")
                return faults.Reply(status=403, body=f"{said} {CANARY} {said.removeprefix('Bearer ')}".encode())

            registry.rule("GET", "/v2/", echo, nth=2)
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                error = refused(transport)
            token = registry.requests[-1].headers["authorization"].removeprefix("Bearer ")
        assert error.code == "access-denied"
        assert token not in str(error)
        assert "***" in str(error)

    def test_text_from_a_registry_is_cut_and_escaped(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        hostile = "\x1b]0;pwned\x07\r\n::error::\u202e" + "x" * 100_000
        registry.rule("GET", "", faults.status(403, body=hostile.encode()))
        with opened(registry.host, anonymous) as transport:
            message = str(refused(transport))
        assert message.isprintable()
        assert "\\x1b]0;pwned\\x07\\r\\n::error::\\u202e" in message
        assert len(message) < 500

    def test_the_codes_and_messages_of_an_error_body_are_shown(
        self, registry: FaultRegistry, anonymous: Credentials
    ) -> None:
        said = json.dumps({"errors": [{"code": "DENIED", "message": "quota\nexceeded"}, 3]}).encode()
        registry.rule("GET", "", faults.status(403, body=said))
        with opened(registry.host, anonymous) as transport:
            assert "403 DENIED quota\\nexceeded" in str(refused(transport))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class TestTls:
    def trust(self, authority: Authority) -> Network:
        return Network.of({"SSL_CERT_FILE": str(authority.file)})

    def test_a_certificate_of_a_trusted_authority_is_accepted(
        self, authority: Authority, anonymous: Credentials
    ) -> None:
        with FaultRegistry(tls=authority.server()) as registry:
            registry.put_blob("app", b"")
            with opened(local(registry), anonymous, https=True, network=self.trust(authority)) as transport:
                assert b"app" in get(transport)

    @pytest.mark.parametrize("case", ["another name", "expired", "unknown authority"])
    def test_another_certificate_is_refused(self, authority: Authority, anonymous: Credentials, case: str) -> None:
        host = "other.example" if case == "another name" else "localhost"
        until = OLD + timedelta(days=1) if case == "expired" else None
        network = Network() if case == "unknown authority" else self.trust(authority)
        with FaultRegistry(tls=authority.server(host=host, until=until)) as registry:
            with opened(local(registry), anonymous, https=True, network=network) as transport:
                error = refused(transport)
                assert (error.code, transport.requests) == ("tls-invalid", 1)
            assert registry.requests == []

    def test_a_server_without_tls_is_refused(self, registry: FaultRegistry, anonymous: Credentials) -> None:
        with opened(local(registry), anonymous, https=True) as transport:
            assert refused(transport).code == "tls-invalid"

    def test_the_way_back_to_plain_http_is_closed(
        self, authority: Authority, registry: FaultRegistry, tmp_path: Path
    ) -> None:
        with FaultRegistry(tls=authority.server()) as safe:
            logins, network = credentials(tmp_path, local(safe)), self.trust(authority)
            with opened(local(safe), logins, https=True, network=network) as transport:
                safe.rule("GET", "", faults.redirect(f"{registry.url}/v2/app/tags/list"), nth=1)
                assert refused(transport).code == "tls-downgrade"
                safe.rule("GET", "", faults.challenge(f'Bearer realm="http://{local(safe)}/token"'), nth=1)
                assert refused(transport).code == "tls-downgrade"
                answer = transport.request(Request(method="POST", target="v2/app/blobs/uploads/", repository="app"))
                with pytest.raises(ContentError) as error:
                    transport.beside(answer, f"http://{local(safe)}/x", code="cross-origin-upload")
                assert error.value.code == "tls-downgrade"
        assert registry.requests == []

    def test_a_named_authority_that_does_not_exist_is_a_usage_error(self) -> None:
        with pytest.raises(Refusal) as error:
            Network(authorities=Authorities(file="/does/not/exist"))
        assert error.value.code == "authorities-missing"


def test_what_is_not_printable_is_escaped_and_the_rest_kept() -> None:
    assert escaped("  Grüße\t\x00 ") == "Grüße\\t\\x00"
