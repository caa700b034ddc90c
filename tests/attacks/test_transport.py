"""Attacks through what a registry answers, each named by its row in the threat catalogue, with its reason code."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from registries.access import Access
from registries.credentials import Credentials
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.http import HttpRegistry
from registries.network import Network
from registries.pace import Deadline
from registries.request import Request
from registries.transport import Transport
from tests import faults
from tests.certificates import OLD, Authority
from tests.clock import FakeClock
from tests.faults import FaultRegistry, Seen
from tests.talk import CANARY, credentials, get, local, opened, post, raw_server, refused

CONTENT = b"content"
BLOB = Descriptor(media_type="application/octet-stream", digest=Digest.of(CONTENT), size=len(CONTENT))


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    """One that asks for the login whose password is the canary."""
    with FaultRegistry(login=("robot", CANARY)) as registry:
        registry.put_blob("app", CONTENT)
        yield registry


@pytest.fixture
def canary() -> Iterator[FaultRegistry]:
    """Somebody else's server. It would serve the same blob."""
    with FaultRegistry() as canary:
        canary.put_blob("app", CONTENT)
        yield canary


def resolver(**hosts: str) -> Callable[..., list[Any]]:
    """Names resolve as they are told here, the others as they do."""

    def resolve(host: str, port: int, **options: Any) -> list[Any]:
        return socket.getaddrinfo(hosts.get(host.replace(".", "_"), host), port, **options)

    return resolve


def leaks(*servers: FaultRegistry) -> list[Seen]:
    """The requests that brought a credential to servers that must see none."""
    secrets = (CANARY, base64.b64encode(f"robot:{CANARY}".encode()).decode())
    return [
        seen
        for server in servers
        for seen in server.requests
        if "authorization" in seen.headers
        or any(secret in f"{seen.path} {seen.headers} {seen.body!r}" for secret in secrets)
    ]


def pull(place: HttpRegistry) -> bytes:
    return b"".join(place.blob("app", BLOB))


def push(place: HttpRegistry) -> None:
    place.push_blob("app", BLOB, lambda: [CONTENT])


Arrange = Callable[[FaultRegistry, FaultRegistry], Callable[[HttpRegistry], object]]


def _redirected(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("GET", "/blobs/", faults.redirect(f"{canary.url}/v2/app/blobs/{BLOB.digest}"), nth=2)
    return pull


def _redirected_to_a_login(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    canary.rule("GET", "", faults.challenge('Basic realm="registry"'))
    return _redirected(registry, canary)


def _there_and_back(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("GET", "/blobs/", faults.redirect(f"{canary.url}/v2/app/blobs/x"), nth=2)
    canary.rule("GET", "", faults.redirect(f"{registry.url}/v2/app/manifests/secret"))
    return pull


def _upload_elsewhere(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("POST", "", faults.header("Location", f"{canary.url}/v2/app/blobs/uploads/1"), nth=2)
    return push


def _upload_redirected(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("PUT", "", faults.redirect(f"{canary.url}/v2/app/blobs/uploads/1"))
    return push


def _upload_goes_on_elsewhere(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("PUT", "", faults.status(500), nth=1)
    moved = {"Location": f"{canary.url}/v2/app/blobs/uploads/1", "Range": "0-3"}
    registry.rule("GET", "/uploads/", faults.status(204, moved))
    return push


def _realm_elsewhere(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("GET", "", faults.challenge(f'Bearer realm="{canary.url}/token",service="s"'))
    return pull


def _token_server_redirects(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("GET", "/v2/", faults.challenge(f'Bearer realm="{registry.url}/token",service="s"'))
    registry.rule("GET", "/token", faults.redirect(f"{canary.url}/token"))
    return pull


def _next_page_elsewhere(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("GET", "/tags/", faults.header("Link", f'<{canary.url}/v2/app/tags/list>; rel="next"'), nth=2)
    return lambda place: place.tags("app")


def _urls_of_a_descriptor(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.blobs.clear()
    value = {**BLOB.json(), "urls": [f"{canary.url}/v2/app/blobs/{BLOB.digest}"]}
    return lambda place: list(place.blob("app", Descriptor.read(value, where="here")))


def _mounted_from_elsewhere(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    registry.rule("POST", "", faults.header("Location", f"{canary.url}/v2/app/blobs/uploads/1"), nth=2)
    return lambda place: place.mount("app", BLOB, "other")


def _login_of_the_canary_too(registry: FaultRegistry, canary: FaultRegistry) -> Callable[[HttpRegistry], object]:
    canary.login = ("robot", CANARY)  # the same user has a login there, and was not asked to use it
    return _redirected(registry, canary)


SCENARIOS: dict[str, tuple[Arrange, str | None]] = {
    "redirect of a download": (_redirected, None),
    "redirect to a server that asks for a login": (_redirected_to_a_login, "cross-origin-credentials"),
    "redirect there and back again": (_there_and_back, "cross-origin-credentials"),
    "redirect to a server that we have a login for": (_login_of_the_canary_too, "cross-origin-credentials"),
    "location of an upload": (_upload_elsewhere, "cross-origin-upload"),
    "redirect of an upload": (_upload_redirected, "cross-origin-upload"),
    "location of an upload that goes on": (_upload_goes_on_elsewhere, None),
    "realm of a challenge": (_realm_elsewhere, "token-realm-refused"),
    "redirect of a token server": (_token_server_redirects, "token-realm-refused"),
    "next page of a list": (_next_page_elsewhere, "cross-origin-link"),
    "urls of a descriptor": (_urls_of_a_descriptor, "blob-not-found"),
    "location of a mount": (_mounted_from_elsewhere, None),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_g9_no_credential_leaves_the_registry(
    registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path, scenario: str
) -> None:
    arrange, expected = SCENARIOS[scenario]
    act = arrange(registry, canary)
    with opened(registry.host, credentials(tmp_path, registry.host, canary.host)) as transport:
        place = HttpRegistry(registry.host, transport=transport)
        if expected is None:
            act(place)
        else:
            assert refused(transport, lambda _: act(place)).code == expected
    assert leaks(canary) == []


class TestT065:
    def test_t065_a_redirect_takes_no_credentials_along(
        self, registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        act = _redirected(registry, canary)
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            assert act(HttpRegistry(registry.host, transport=transport)) == CONTENT
        assert "authorization" in registry.requests[-1].headers
        assert len(canary.requests) == 1
        assert leaks(canary) == []

    def test_t065_a_server_behind_a_redirect_that_asks_for_a_login_is_refused(
        self, registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        act = _redirected_to_a_login(registry, canary)
        with opened(registry.host, credentials(tmp_path, registry.host, canary.host)) as transport:
            error = refused(transport, lambda it: act(HttpRegistry(it.host, transport=it)))
        assert error.code == "cross-origin-credentials"
        assert leaks(canary) == []


class TestT066:
    def test_t066_an_upload_location_elsewhere_gets_no_byte(
        self, registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        act = _upload_elsewhere(registry, canary)
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            error = refused(transport, lambda it: act(HttpRegistry(it.host, transport=it)))
        assert error.code == "cross-origin-upload"
        assert f"--allow-host {canary.host}" in error.reasons[0].hint
        assert canary.requests == []

    def test_t066_an_allowed_host_takes_the_upload_without_credentials(
        self, registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        registry.rule("POST", "", faults.header("Location", f"{canary.url}/bucket"), nth=2)
        canary.rule("PUT", "/bucket", faults.status(201))
        network = Network(allowed=frozenset({canary.host}))
        with opened(registry.host, credentials(tmp_path, registry.host), network=network) as transport:
            push(HttpRegistry(registry.host, transport=transport))
        assert [seen.body for seen in canary.requests] == [CONTENT]
        assert leaks(canary) == []

    def test_t066_an_allowed_host_without_tls_takes_nothing_unless_that_is_allowed_too(
        self, registry: FaultRegistry, tmp_path: Path
    ) -> None:
        registry.rule("POST", "", faults.header("Location", "http://storage.test/bucket"), nth=2)
        network = Network(allowed=frozenset({"storage.test"}), resolve=resolver(storage_test="127.0.0.1"))
        with opened(registry.host, credentials(tmp_path, registry.host), network=network) as transport:
            error = refused(transport, lambda it: push(HttpRegistry(it.host, transport=it)))
        assert error.code == "cross-origin-upload"


class TestT067:
    def test_t067_a_foreign_realm_sees_nothing(
        self, registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        act = _realm_elsewhere(registry, canary)
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            error = refused(transport, lambda it: act(HttpRegistry(it.host, transport=it)))
        assert error.code == "token-realm-refused"
        assert "--allow-host" in error.reasons[0].hint
        assert canary.requests == []

    def test_t067_an_allowed_realm_gets_the_login(self, canary: FaultRegistry, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry, FaultRegistry() as server:
            registry.put_blob("app", CONTENT)
            server.login, server.tokens = registry.login, registry.tokens  # it gives out the registry's tokens
            registry.rule("GET", "", faults.challenge(f'Bearer realm="{server.url}/token",service="s"'), nth=1)
            network = Network(allowed=frozenset({server.host}))
            with opened(registry.host, credentials(tmp_path, registry.host), network=network) as transport:
                assert pull(HttpRegistry(registry.host, transport=transport)) == CONTENT
            assert [seen.path.partition("?")[0] for seen in server.requests] == ["/token"]


INTERNAL = (
    "0.0.0.0",  # noqa: S104 - an address that is refused
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # Alibaba's metadata service
    "127.0.0.2",
    "169.254.169.254",  # everybody else's
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # Oracle's
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "fc00::1",
    "fd00:ec2::254",  # Amazon's
    "fe80::1",
    "fec0::1",
    "2002:a00:1::1",
    "ff02::1",
)


def host_of(address: str) -> str:
    return f"[{address}]" if ":" in address else address


class TestT068:
    @pytest.mark.parametrize("address", INTERNAL)
    def test_t068_a_redirect_to_an_internal_address_is_refused(self, address: str, tmp_path: Path) -> None:
        with FaultRegistry() as registry:
            registry.rule("GET", "", faults.redirect(f"https://{host_of(address)}:8443/latest/meta-data"))
            with opened(registry.host, credentials(tmp_path)) as transport:
                error = refused(transport)
            assert error.code == "address-not-allowed"
            assert error.reasons[0].hint.startswith(f"--allow-host {host_of(address)}:8443")

    @pytest.mark.parametrize("address", INTERNAL)
    def test_t068_a_name_that_resolves_to_an_internal_address_is_refused(self, address: str, tmp_path: Path) -> None:
        network = Network(resolve=resolver(evil_example=address))
        with FaultRegistry() as registry:
            registry.rule("GET", "", faults.redirect("https://evil.example/latest/meta-data"))
            with opened(registry.host, credentials(tmp_path), network=network) as transport:
                assert refused(transport).code == "address-not-allowed"

    def test_t068_a_realm_at_an_internal_address_is_refused(self, tmp_path: Path) -> None:
        """Even one that is believed: the registry's own name, at another port, which now is elsewhere."""
        authority = Authority(tmp_path)
        with FaultRegistry(tls=authority.server(host="registry.test")) as registry:
            registry.rule("GET", "", faults.challenge('Bearer realm="https://registry.test:1/token"'))
            host = f"registry.test:{registry.host.rpartition(':')[2]}"
            trusted = Network.of({"SSL_CERT_FILE": str(authority.file)}).authorities
            network = Network(resolve=_once("127.0.0.1", then="10.0.0.1"), authorities=trusted)
            with opened(host, credentials(tmp_path, host), network=network) as transport:
                assert refused(transport).code == "address-not-allowed"
            assert len(registry.requests) == 1

    def test_t068_a_name_that_changes_its_mind_gains_nothing(self, tmp_path: Path) -> None:
        """The address that is connected to is the one that was checked: there is no second look at the name."""
        asked: list[str] = []

        def rebinding(host: str, port: int, **options: Any) -> list[Any]:
            if host != "evil.example":
                return socket.getaddrinfo(host, port, **options)
            asked.append(host)
            return socket.getaddrinfo("10.0.0.1" if len(asked) == 1 else "127.0.0.1", port, **options)

        with FaultRegistry() as registry:
            registry.rule("GET", "", faults.redirect("https://evil.example/"))
            with opened(registry.host, credentials(tmp_path), network=Network(resolve=rebinding)) as transport:
                assert refused(transport).code == "address-not-allowed"
        assert asked == ["evil.example"]

    def test_t068_behind_a_proxy_a_written_address_is_refused_too(self, canary: FaultRegistry, tmp_path: Path) -> None:
        network = Network(http_proxy=canary.url, https_proxy=canary.url, plain_http=frozenset({"registry.test"}))
        canary.rule("GET", "", faults.redirect("https://169.254.169.254/latest/meta-data"))
        with opened("registry.test", credentials(tmp_path), network=network) as transport:
            assert refused(transport).code == "address-not-allowed"
        assert len(canary.requests) == 1

    def test_t068_behind_a_proxy_nothing_is_the_registrys_own_address(
        self, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        with FaultRegistry() as proxy:
            proxy.rule("GET", "", faults.redirect(f"{canary.url}/v2/app/tags/list"))
            for allowed, expected in ((frozenset[str](), "address-not-allowed"), (frozenset({canary.host}), None)):
                network = Network(http_proxy=proxy.url, plain_http=frozenset({"registry.test"}), allowed=allowed)
                with opened("registry.test", credentials(tmp_path), network=network) as transport:
                    if expected is None:
                        assert b"app" in get(transport)
                    else:
                        assert refused(transport).code == expected
        assert len(canary.requests) == 1


def _once(first: str, *, then: str) -> Callable[..., list[Any]]:
    """Every name is at the first address, and from the second look on at the other."""
    looks = iter((first,))

    def resolve(_: str, port: int, **options: Any) -> list[Any]:
        return socket.getaddrinfo(next(looks, then), port, **options)

    return resolve


class TestT069:
    def test_t069_a_registry_inside_the_network_and_its_own_token_server_are_reached(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            registry.put_blob("app", CONTENT)
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                assert pull(HttpRegistry(registry.host, transport=transport)) == CONTENT
            assert [seen.path.partition("?")[0] for seen in registry.requests].count("/token") == 1

    def test_t069_other_ports_at_the_registrys_own_address_are_reached(
        self, registry: FaultRegistry, canary: FaultRegistry, tmp_path: Path
    ) -> None:
        act = _redirected(registry, canary)
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            assert act(HttpRegistry(registry.host, transport=transport)) == CONTENT

    def test_t069_a_name_inside_the_network_is_reached_as_the_registry_itself(self, tmp_path: Path) -> None:
        with FaultRegistry() as registry:
            registry.put_blob("app", b"")
            port = registry.host.rpartition(":")[2]
            network = Network(resolve=resolver(registry_lan="127.0.0.1"), plain_http=frozenset({"registry.lan"}))
            with opened(f"registry.lan:{port}", credentials(tmp_path), network=network) as transport:
                assert b"app" in get(transport)


class TestT070:
    def test_t070_from_https_there_is_no_way_to_http(self, canary: FaultRegistry, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        with FaultRegistry(tls=authority.server()) as registry:
            network = Network.of(
                {"SSL_CERT_FILE": str(authority.file)}, plain_http=[canary.host], allowed=[canary.host]
            )
            logins = credentials(tmp_path, local(registry))
            with opened(local(registry), logins, https=True, network=network) as transport:
                registry.rule("GET", "", faults.redirect(f"{canary.url}/v2/app/tags/list"), nth=1)
                assert refused(transport).code == "tls-downgrade"
                registry.rule("GET", "", faults.challenge(f'Bearer realm="{canary.url}/token"'), nth=1)
                assert refused(transport).code == "tls-downgrade"
                registry.rule("POST", "", faults.header("Location", f"{canary.url}/v2/app/blobs/uploads/1"))
                error = refused(transport, lambda it: push(HttpRegistry(it.host, transport=it)))
                assert error.code == "tls-downgrade"
        assert canary.requests == []


class TestT071:
    def test_t071_a_token_is_asked_for_one_repository_and_no_more_than_is_done(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            registry.put_blob("from", CONTENT)
            registry.rule("GET|POST", "/v2/", _greedy(registry), nth=1)
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                place = HttpRegistry(registry.host, transport=transport)
                place.push_blob("to", BLOB, lambda: place.blob("from", BLOB))
            granted = sorted(scope for scopes in registry.tokens.values() for scope in scopes)
        assert granted == ["repository:from:pull", "repository:to:pull,push"]


def _greedy(registry: FaultRegistry) -> faults.Action:
    """A challenge that asks for rights on everything."""
    return faults.challenge(
        f'Bearer realm="{registry.url}/token",service="faults",scope="registry:catalog:* repository:*:*"'
    )


class TestT072:
    def test_t072_the_process_has_no_say_in_who_gets_what(
        self, registry: FaultRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login robot password {CANARY}\n")
        (tmp_path / ".netrc").chmod(0o600)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        with opened(registry.host, Credentials({}, home=None)) as transport:
            assert refused(transport).code == "credentials-missing"
        assert leaks(registry) == []

    def test_t072_authorities_of_the_process_are_not_believed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = Authority(tmp_path)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.setenv(name, str(authority.file))
        with (
            FaultRegistry(tls=authority.server()) as registry,
            opened(local(registry), credentials(tmp_path), https=True, network=Network()) as transport,
        ):
            assert refused(transport).code == "tls-invalid"


class TestT073:
    @pytest.mark.parametrize(
        "action",
        [
            faults.status(403, body=f"denied for robot:{CANARY}".encode()),
            faults.status(418, body=base64.b64encode(f"robot:{CANARY}".encode())),
            faults.redirect(f"http://127.0.0.1:1/blob?X-Signature={CANARY}"),
            faults.redirect(f"https://evil.example\\@{CANARY}/"),
            faults.challenge(f'Bearer realm="https://user:{CANARY}@evil.example/token"'),
            faults.header("Location", f"ftp://{CANARY}/"),
        ],
    )
    def test_t073_secrets_in_answers_are_in_no_message_and_no_traceback(
        self, registry: FaultRegistry, tmp_path: Path, action: faults.Action
    ) -> None:
        registry.rule("GET|POST", "/v2/", action, nth=range(2, 20))
        with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
            place = HttpRegistry(registry.host, transport=transport)
            for act in (pull, push):
                with suppress(pytest.fail.Exception):  # some of them are overcome
                    refused(transport, lambda _, act=act: act(place))  # type: ignore[misc]


class TestT074:
    def test_t074_what_a_registry_says_can_not_steer_a_terminal(self, tmp_path: Path) -> None:
        hostile = "\x1b]0;pwned\x07\r\n::error::\u202e"
        said = json.dumps({"errors": [{"code": "DENIED", "message": hostile}]}).encode()
        with FaultRegistry() as registry, opened(registry.host, credentials(tmp_path)) as transport:
            for body in (hostile.encode(), said):
                registry.rule("GET", "", faults.status(403, body=body), nth=1)
                assert str(refused(transport)).isprintable()


class TestT075:
    @pytest.mark.parametrize("case", ["self-signed", "expired", "another name", "unknown authority"])
    def test_t075_a_bad_certificate_is_refused_at_once(self, tmp_path: Path, case: str) -> None:
        authority = Authority(tmp_path)
        server: ssl.SSLContext = {
            "self-signed": lambda: Authority.self_signed(tmp_path),
            "expired": lambda: authority.server(until=OLD + timedelta(days=1)),
            "another name": lambda: authority.server(host="other.test"),
            "unknown authority": lambda: Authority(tmp_path, "another authority").server(),
        }[case]()
        network = Network.of({"SSL_CERT_FILE": str(authority.file)})
        with FaultRegistry(tls=server) as registry:
            with opened(local(registry), credentials(tmp_path), https=True, network=network) as transport:
                error = refused(transport)
                assert (error.code, transport.requests) == ("tls-invalid", 1)
            assert error.reasons[0].hint.startswith(f"--registry-ca {local(registry)}=")
            assert registry.requests == []

    def test_t075_no_answer_to_the_greeting_is_no_tls(self, tmp_path: Path) -> None:
        quiet = raw_server(lambda _: None)
        with quiet as host, opened(host, credentials(tmp_path), https=True, patience=0.1) as transport:
            assert refused(transport).code == "tls-invalid"

    def test_t075_an_old_version_of_tls_is_refused(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        server = authority.server()
        server.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1_1
        network = Network.of({"SSL_CERT_FILE": str(authority.file)})
        with (
            FaultRegistry(tls=server) as registry,
            opened(local(registry), credentials(tmp_path), https=True, network=network) as transport,
        ):
            assert refused(transport).code == "tls-invalid"

    def test_t075_an_authority_is_set_per_registry(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        with FaultRegistry(tls=authority.server()) as registry, FaultRegistry(tls=authority.server()) as other:
            registry.put_blob("app", b"")
            network = Network.of({}, registry_ca=[f"{local(registry)}={authority.file}"])
            with opened(local(registry), credentials(tmp_path), https=True, network=network) as transport:
                assert b"app" in get(transport)
            with opened(local(other), credentials(tmp_path), https=True, network=network) as transport:
                assert refused(transport).code == "tls-invalid"

    def test_t075_the_authority_of_a_registry_is_the_only_one_for_it(self, tmp_path: Path) -> None:
        authority, named = Authority(tmp_path), Authority(tmp_path, "named authority")
        with FaultRegistry(tls=authority.server()) as registry:
            network = Network.of({"SSL_CERT_FILE": str(authority.file)}, registry_ca=[f"localhost={named.file}"])
            with opened(local(registry), credentials(tmp_path), https=True, network=network) as transport:
                assert refused(transport).code == "tls-invalid"

    def test_t075_folders_of_docker_and_podman_hold_authorities_and_our_certificate(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        server = authority.server()
        server.verify_mode = ssl.CERT_REQUIRED
        server.load_verify_locations(authority.file)
        certificate, key = authority.issue("robot")
        with FaultRegistry(tls=server) as registry:
            registry.put_blob("app", b"")
            folder = tmp_path / "containers" / "certs.d" / local(registry)
            folder.mkdir(parents=True)
            (folder / "ca.crt").write_bytes(authority.file.read_bytes())
            for shown in (False, True):
                if shown:
                    (folder / "client.cert").write_bytes(certificate.read_bytes())
                    (folder / "client.key").write_bytes(key.read_bytes())
                network = Network.of({"XDG_CONFIG_HOME": str(tmp_path)})
                with opened(local(registry), credentials(tmp_path), https=True, network=network) as transport:
                    if shown:
                        assert b"app" in get(transport)
                    else:
                        assert refused(transport).code in ("tls-invalid", "registry-unavailable")

    def test_t075_a_certificate_without_its_key_is_a_usage_error(self, tmp_path: Path) -> None:
        certificate, _ = Authority(tmp_path).issue("robot")
        folder = tmp_path / "containers" / "certs.d" / "registry.test"
        folder.mkdir(parents=True)
        (folder / "client.cert").write_bytes(certificate.read_bytes())
        with opened(
            "registry.test", credentials(tmp_path), network=Network.of({"XDG_CONFIG_HOME": str(tmp_path)})
        ) as it:
            assert refused(it).code == "certificates-unusable"


class TestT132:
    @pytest.mark.parametrize(
        ("asked", "pauses"),
        [({}, 0.1), ({"Retry-After": "60"}, 60.0), ({"Retry-After": "-5"}, 0.1), ({"Retry-After": "soon"}, 0.1)],
    )
    def test_t132_a_registry_that_is_busy_gets_its_pause(
        self, tmp_path: Path, asked: dict[str, str], pauses: float
    ) -> None:
        clock = FakeClock()
        with FaultRegistry() as registry:
            registry.put_blob("app", b"")
            registry.rule("GET", "", faults.status(429, asked), nth=1)
            options = {"clock": clock, "sleep": clock.sleep, "random": lambda: 0.5}
            with opened(registry.host, credentials(tmp_path), **options) as transport:
                assert b"app" in get(transport)
        assert clock.pauses == [pytest.approx(pauses)]

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(
        "asked",
        [{"Retry-After": "61"}, {"Retry-After": "1000000000"}, {"Retry-After": "Wed, 25 Nov 2099 10:00:00 GMT"}],
    )
    def test_t132_a_pause_of_more_than_a_minute_is_not_waited_for(
        self, tmp_path: Path, status: int, asked: dict[str, str]
    ) -> None:
        clock = FakeClock()
        with FaultRegistry() as registry:
            registry.rule("GET", "", faults.status(status, asked))
            with opened(registry.host, credentials(tmp_path), clock=clock, sleep=clock.sleep) as transport:
                assert refused(transport).code == "registry-unavailable"
                assert transport.requests == 1
        assert clock.pauses == []

    def test_t132_a_login_that_ends_midway_is_renewed(self, tmp_path: Path) -> None:
        with FaultRegistry(login=("robot", CANARY), bearer=True) as registry:
            registry.put_blob("app", CONTENT)
            with opened(registry.host, credentials(tmp_path, registry.host)) as transport:
                place = HttpRegistry(registry.host, transport=transport)
                assert pull(place) == CONTENT
                registry.tokens.clear()
                assert pull(place) == CONTENT


class TestT133:
    @pytest.mark.parametrize("pause", [0.02, 0.15])
    def test_t133_a_server_that_dribbles_is_given_up(self, tmp_path: Path, pause: float) -> None:
        with FaultRegistry() as registry:
            registry.put_blob("app", CONTENT * 100)
            registry.rule("GET", "", faults.dribble(pause))
            with opened(registry.host, credentials(tmp_path), patience=0.2) as transport:
                assert refused(transport).code == "deadline-exceeded"

    def test_t133_a_server_that_takes_nothing_is_given_up(self, tmp_path: Path) -> None:
        def speak(connection: socket.socket) -> None:
            time.sleep(2)

        with raw_server(speak) as host, opened(host, credentials(tmp_path), patience=0.2) as transport:
            error = refused(transport, lambda it: post(it, body=bytes(32 * 1024 * 1024)))
            assert error.code == "deadline-exceeded"

    def test_t133_the_run_ends_at_its_deadline_for_all_registries(self, tmp_path: Path) -> None:
        clock = FakeClock()
        deadline = Deadline(90, clock=clock)
        with FaultRegistry() as one, FaultRegistry() as two:
            one.rule("GET", "", faults.status(503, {"Retry-After": "40"}))
            options: dict[str, Any] = {"clock": clock, "sleep": clock.sleep, "deadline": deadline}
            with opened(one.host, credentials(tmp_path), **options) as transport:
                error = refused(transport)
                assert error.code == "deadline-exceeded"
                assert "--deadline 3m" in error.reasons[0].hint
            assert clock.pauses == [40.0, 40.0]  # the third pause would have ended after the run
            clock.now += 10
            with opened(two.host, credentials(tmp_path), **options) as transport:
                assert refused(transport).code == "deadline-exceeded"
            assert two.requests == []

    def test_t133_a_body_that_comes_at_the_end_of_the_run_is_cut_there(self, tmp_path: Path) -> None:
        with FaultRegistry() as registry:
            registry.put_blob("app", b"")
            registry.rule("GET", "", faults.dribble(0.05))
            with opened(registry.host, credentials(tmp_path), deadline=Deadline(0.3)) as transport:
                error = refused(transport)
        assert error.code == "deadline-exceeded"
        assert "--deadline" in error.reasons[0].hint

    def test_t133_a_body_that_never_pauses_for_long_is_cut_at_the_end_of_the_run_too(self, tmp_path: Path) -> None:
        ticks = iter(range(10_000))
        with FaultRegistry() as registry:
            registry.put_blob("app", CONTENT)
            registry.rule("GET", "", faults.dribble(0.001))
            with opened(registry.host, credentials(tmp_path), deadline=Deadline(20, clock=lambda: next(ticks))) as it:
                error = refused(it)
        assert error.code == "deadline-exceeded"
        assert "--deadline" in error.reasons[0].hint

    def test_t133_near_the_end_of_the_run_nobody_is_waited_for_longer_than_that(self, tmp_path: Path) -> None:
        clock = FakeClock()

        def nearly_over(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx")
            clock.now += 99.9
            time.sleep(2)
            connection.sendall(b"x")

        late = Deadline(100, clock=clock)
        with raw_server(nearly_over) as host, opened(host, credentials(tmp_path), deadline=late) as transport:
            assert refused(transport).code == "deadline-exceeded"


def test_one_access_gives_all_registries_of_a_run_the_same_deadline_and_their_own_rate(tmp_path: Path) -> None:
    access = Access.of({"HOME": str(tmp_path)}, deadline=Deadline(0))
    for host in ("one.test", "two.test"):
        transport = access.transport(host)
        assert isinstance(transport, Transport)
        with pytest.raises(Refusal) as error:
            transport.request(Request(method="GET", target="v2/", repository="app"))
        assert error.value.code == "deadline-exceeded"


def test_the_addresses_of_the_table_are_addresses() -> None:
    assert len({ip_address(address) for address in INTERNAL}) == len(INTERNAL) >= 20
