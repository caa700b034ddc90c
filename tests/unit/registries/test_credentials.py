from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.challenge import Challenge, check_realm
from registries.credentials import Credentials, Kind, Login
from registries.errors import Refusal
from registries.origin import Origin

CANARY = "s3cr3t-canary"


def auth(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


class Home:
    """A user's folder with a Docker configuration file and a place for helper programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / ".docker" / "config.json"
        self.file.parent.mkdir()
        (folder / "bin").mkdir()
        self.environment = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}

    def write(self, value: object) -> None:
        self.file.write_text(value if isinstance(value, str) else json.dumps(value))

    def helper(self, name: str, script: str) -> None:
        program = self.folder / "bin" / f"docker-credential-{name}"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def credentials(self, seconds: float = 10.0) -> Credentials:
        return Credentials(self.environment, home=self.folder, helper_seconds=seconds)

    def login(self, host: str = "registry.example", repository: str = "team/app") -> Login | None:
        return self.credentials().login(host, repository)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def secret(login: Login | None) -> str:
    assert login is not None
    return login.secret


def test_without_a_file_there_is_no_login(home: Home) -> None:
    assert home.login() is None
    assert Credentials({}, home=None).login("registry.example", "app") is None


def test_the_folder_named_by_docker_config_wins_over_the_home(home: Home, tmp_path: Path) -> None:
    home.write({"auths": {"registry.example": auth("home", "one")}})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"auths": {"registry.example": auth("other", "two")}}))
    home.environment["DOCKER_CONFIG"] = str(tmp_path / "other")
    assert secret(home.login()) == "two"


@pytest.mark.parametrize("key", ["registry.example", "https://registry.example", "https://registry.example/v2/"])
def test_a_host_is_found_however_its_key_is_spelled(home: Home, key: str) -> None:
    home.write({"auths": {key: auth("robot", "one")}})
    assert secret(home.login()) == "one"
    assert home.login("other.example") is None


def test_user_name_and_password_may_be_written_out(home: Home) -> None:
    home.write({"auths": {"registry.example": {"username": "robot", "password": "pass:word"}}})
    assert home.login() == Login("robot", "pass:word", str(home.file))


def test_the_most_specific_path_wins_over_the_host(home: Home) -> None:
    auths = {name: auth("robot", name) for name in ("registry.example", "registry.example/team", "registry.example/te")}
    home.write({"auths": auths})
    assert secret(home.login(repository="team/app")) == "registry.example/team"
    assert secret(home.login(repository="tea/app")) == "registry.example"


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_is_kept_under_its_old_key(home: Home, host: str) -> None:
    home.write({"auths": {"https://index.docker.io/v1/": auth("robot", "hub")}})
    assert secret(home.login(host, "library/app")) == "hub"


def test_a_helper_is_asked_for_its_host_only(home: Home) -> None:
    home.helper("vault", f'read server; echo "{{\\"Username\\":\\"$server\\",\\"Secret\\":\\"{CANARY}\\"}}"')
    home.write({"credHelpers": {"registry.example": "vault"}})
    assert home.login() == Login("registry.example", CANARY, "docker-credential-vault")
    assert home.login("other.example") is None


def test_a_helper_for_the_host_comes_before_the_file_and_the_general_store_after(home: Home) -> None:
    home.helper("one", 'echo \'{"Username":"u","Secret":"helper"}\'')
    home.helper("two", 'echo \'{"Username":"u","Secret":"store"}\'')
    auths = {"registry.example": auth("u", "file"), "inline.example": auth("u", "inline"), "stored.example": {}}
    home.write({"auths": auths, "credHelpers": {"registry.example": "one"}, "credsStore": "two"})
    found = [secret(home.login(host)) for host in ("registry.example", "inline.example", "stored.example")]
    assert found == ["helper", "inline", "store"]


def test_a_helper_that_holds_nothing_means_no_login(home: Home) -> None:
    home.helper("empty", "echo 'credentials not found in native keychain'; exit 1")
    home.write({"credsStore": "empty"})
    assert home.login() is None


@pytest.mark.parametrize(
    "script",
    [
        f"echo {CANARY}; exit 1",
        f"echo {CANARY}",
        "head -c 70000 /dev/zero",
        f'echo \'{{"Username":"{CANARY}"}}\'',
        "true",
    ],
)
def test_a_helper_that_fails_is_named_and_its_words_are_not_repeated(home: Home, script: str) -> None:
    home.helper("bad", script)
    home.write({"credsStore": "bad"})
    with pytest.raises(Refusal) as error:
        home.login()
    assert error.value.code == "credential-helper-failed"
    assert "docker-credential-bad" in str(error.value)
    assert CANARY not in str(error.value)


def test_a_helper_that_never_stops_talking_is_ended(home: Home) -> None:
    home.helper("endless", "yes")
    home.write({"credsStore": "endless"})
    with pytest.raises(Refusal, match="more than 65536 bytes") as error:
        home.login()
    assert error.value.code == "credential-helper-failed"


def test_a_helper_that_hangs_is_ended_with_all_it_started(home: Home) -> None:
    home.helper("slow", "sleep 600 & echo $! > $0.pid; wait")
    home.write({"credsStore": "slow"})
    with pytest.raises(Refusal) as error:
        home.credentials(seconds=0.5).login("registry.example", "app")
    assert error.value.code == "credential-helper-failed"
    started = Path(f"/proc/{(home.folder / 'bin' / 'docker-credential-slow.pid').read_text().strip()}/cmdline")
    for _ in range(500):
        if not started.exists() or not started.read_bytes():
            break
        time.sleep(0.01)
    else:
        pytest.fail("the helper's own child is still running")


@pytest.mark.parametrize("name", ["../evil", "a b", "", 3, "-x"])
def test_a_helper_is_a_plain_program_name(home: Home, name: object) -> None:
    home.write({"credHelpers": {"registry.example": name}})
    with pytest.raises(Refusal) as error:
        home.login()
    assert error.value.code == "credentials-malformed"


def test_a_helper_that_is_not_installed_is_named(home: Home) -> None:
    home.write({"credsStore": "nowhere-to-be-found"})
    with pytest.raises(Refusal) as error:
        home.login()
    assert error.value.code == "credential-helper-failed"
    assert "docker-credential-nowhere-to-be-found" in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"auths": 3}',
        '{"auths": {"registry.example": 3}}',
        '{"auths": {"registry.example": {"auth": 3}}}',
        '{"auths": {"registry.example": {"auth": "not base64!"}}}',
        '{"auths": {"registry.example": {"auth": "bm8gY29sb24="}}}',
        '{"auths": {"registry.example": {"auth": "cm9ib3Q6!eA=="}}}',
        '{"auths": {"registry.example": {"username": "robot"}}}',
        '{"auths": {}, "auths": {}}',
        '{"credHelpers": []}',
    ],
)
def test_a_malformed_file_is_named(home: Home, content: str) -> None:
    home.write(content)
    with pytest.raises(Refusal) as error:
        home.login()
    assert error.value.code == "credentials-malformed"
    assert error.value.reasons[0].where == str(home.file)


def test_a_malformed_file_does_no_harm_until_a_login_is_needed(home: Home) -> None:
    home.write("{")
    assert str(home.file) in home.credentials().asked


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"identitytoken": CANARY}, Kind.IDENTITY),
        ({"auth": auth("00000000-0000-0000-0000-000000000000", "")["auth"], "identitytoken": CANARY}, Kind.IDENTITY),
        ({"registrytoken": CANARY}, Kind.BEARER),
    ],
)
def test_tokens_in_a_file_are_known_for_what_they_are(home: Home, entry: dict[str, str], kind: Kind) -> None:
    home.write({"auths": {"registry.example": entry}})
    assert home.login() == Login("", CANARY, str(home.file), kind)


def test_an_identity_token_from_a_helper_is_known_by_its_user_name(home: Home) -> None:
    home.helper("acr", f'echo \'{{"Username":"<token>","Secret":"{CANARY}"}}\'')
    home.write({"credsStore": "acr"})
    assert home.login() == Login("<token>", CANARY, "docker-credential-acr", Kind.IDENTITY)


class TestFiles:
    """Where logins are looked for, in the order of containers-auth.json(5) after Docker's own file."""

    def files(self, home: Home) -> dict[str, Path]:
        folder = home.folder
        for name in ("docker", "run/containers", "config/containers", ".config/containers"):
            (folder / name).mkdir(parents=True)
        home.environment |= {
            "DOCKER_CONFIG": str(folder / "docker"),
            "REGISTRY_AUTH_FILE": str(folder / "named.json"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        return {
            "DOCKER_CONFIG": folder / "docker" / "config.json",
            "REGISTRY_AUTH_FILE": folder / "named.json",
            "XDG_RUNTIME_DIR": folder / "run" / "containers" / "auth.json",
            "XDG_CONFIG_HOME": folder / "config" / "containers" / "auth.json",
        }

    def test_the_first_file_that_has_a_login_gives_it(self, home: Home) -> None:
        files = self.files(home)
        for variable, file in files.items():
            file.write_text(json.dumps({"auths": {"registry.example": auth("robot", variable)}}))
        found = []
        for file in files.values():
            found.append(secret(home.login()))
            file.write_text(json.dumps({"auths": {"other.example": auth("robot", "other")}}))
        assert found == list(files)
        assert home.login() is None

    def test_without_the_variables_the_home_is_looked_at(self, home: Home) -> None:
        podman = home.folder / ".config" / "containers" / "auth.json"
        podman.parent.mkdir(parents=True)
        podman.write_text(json.dumps({"auths": {"registry.example/team": auth("robot", "podman")}}))
        assert secret(home.login()) == "podman"
        assert home.login(repository="other/app") is None

    def test_an_empty_variable_names_no_file(self, home: Home) -> None:
        home.environment |= dict.fromkeys(self.files(home), "")
        home.write({"auths": {"registry.example": auth("robot", "home")}})
        assert secret(home.login()) == "home"

    def test_what_was_asked_names_every_file_and_the_helpers_that_ran(self, home: Home) -> None:
        files = self.files(home)
        home.helper("empty", "echo 'credentials not found in native keychain'; exit 1")
        files["DOCKER_CONFIG"].write_text(json.dumps({"credsStore": "empty"}))
        credentials = home.credentials()
        assert credentials.login("registry.example", "app") is None
        docker, *others = map(str, files.values())
        assert credentials.asked == ", ".join((docker, "docker-credential-empty", *others))

    def test_a_file_that_can_not_be_read_is_no_missing_file(self, home: Home) -> None:
        self.files(home)["XDG_RUNTIME_DIR"].write_text("{")
        with pytest.raises(Refusal) as error:
            home.login()
        assert error.value.code == "credentials-malformed"


def test_a_secret_is_in_no_text_form(home: Home) -> None:
    home.write({"auths": {"registry.example": auth("robot", CANARY)}})
    credentials = home.credentials()
    login = credentials.login("registry.example", "app")
    for text in (repr(login), str(login), f"{login}", repr(credentials), repr(credentials.known())):
        assert CANARY not in text


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', Challenge("basic")),
        ("basic", Challenge("basic")),
        ('Bearer realm="https://a/token",service="s"', Challenge("bearer", "https://a/token", "s")),
        ('bearer  REALM = "https://a/t" , scope="repository:x:pull,push"', Challenge("bearer", "https://a/t")),
        ('Basic realm="x, y", Bearer realm="https://a/t",service=s', Challenge("bearer", "https://a/t", "s")),
        ('Bearer realm="https://a/t",service="a \\"b\\""', Challenge("bearer", "https://a/t", 'a "b"')),
        ('Negotiate, Basic realm=""', Challenge("basic")),
    ],
)
def test_a_challenge_is_read(header: str, expected: Challenge) -> None:
    assert Challenge.read(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Negotiate",
        'Digest realm="x"',
        'Bearer realm="https://a',
        'Bearer realm="https://a" service="s"',
        'Bearer realm="https://a",realm="https://b"',
        'Bearer realm="https://a", Bearer realm="https://b"',
        'realm="https://a"',
        "Bearer realm=https://a",
        'Bearer realm="https://a\x01"',
        'Bearer realm="https://a"; x',
    ],
)
def test_a_challenge_that_is_malformed_or_ambiguous_or_foreign_is_refused(header: str) -> None:
    with pytest.raises(Refusal) as error:
        Challenge.read(header)
    assert error.value.code == "challenge-unsupported"


@settings(max_examples=50)
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40))
def test_a_quoted_value_is_read_as_it_was_meant(service: str) -> None:
    quoted = service.replace("\\", "\\\\").replace('"', '\\"')
    assert Challenge.read(f'Bearer service="{quoted}", realm="https://a/t"') == Challenge(
        "bearer", "https://a/t", service
    )


HUB = Origin("https", "registry-1.docker.io", 443)
ACME = Origin("https", "registry.acme.example", 443)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        (Origin("https", "ghcr.io", 443), "https://ghcr.io/token"),
        (HUB, "https://auth.docker.io/token"),
        (Origin("https", "registry.gitlab.com", 443), "https://gitlab.com/jwt/auth"),
        (Origin("https", "gitlab.acme.example", 5050), "https://gitlab.acme.example/jwt/auth"),
        (ACME, "https://REGISTRY.acme.example:5001/auth?x=y"),
        (Origin("https", "registry.acme.co.uk", 443), "https://auth.acme.co.uk/token"),
        (Origin("http", "127.0.0.1", 5000), "http://127.0.0.1:5000/token"),
        (Origin("http", "registry.acme.example", 80), "https://auth.acme.example/token"),
    ],
)
def test_the_token_servers_of_known_registries_are_believed(registry: Origin, realm: str) -> None:
    check_realm(realm, registry)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        (ACME, "https://evil.example/token"),
        (ACME, "https://acme.example.evil.test/token"),
        (ACME, "https://evilacme.example/token"),
        (ACME, "https://registry.acme.example@evil.example/token"),
        (ACME, "https://registry.acme.example\\@evil.example/token"),
        (ACME, "https://auth.acme.example/token#x"),
        (ACME, "file:///etc/passwd"),
        (ACME, "//auth.acme.example/token"),
        (ACME, ""),
        (Origin("https", "acme.co.uk", 443), "https://evil.co.uk/token"),
        (Origin("https", "acme.example", 443), "https://evil.example/token"),
        (Origin("https", "acme.azurecr.io", 443), "https://evil.azurecr.io/token"),
        (Origin("https", "1.dkr.ecr.eu-west-1.amazonaws.com", 443), "https://2.dkr.ecr.eu-west-1.amazonaws.com/t"),
        (Origin("https", "10.0.0.1", 443), "https://11.0.0.1/token"),
        (Origin("https", "10.0.0.1", 443), "https://evil.0.0.1/token"),
        (Origin("http", "127.0.0.1", 5000), "http://127.0.0.1:5001/token"),
        (Origin("http", "127.0.0.1", 5000), "http://127.0.0.2:5000/token"),
    ],
)
def test_other_token_servers_get_no_login(registry: Origin, realm: str) -> None:
    with pytest.raises(Refusal) as error:
        check_realm(realm, registry)
    assert error.value.code == "token-realm-refused"


def test_a_token_server_without_tls_is_a_downgrade() -> None:
    with pytest.raises(Refusal) as error:
        check_realm("http://registry.acme.example/token", ACME)
    assert error.value.code == "tls-downgrade"


def test_a_token_server_can_be_allowed_by_name_but_not_without_tls() -> None:
    check_realm("https://login.example/token", ACME, trusted=frozenset({"login.example"}))
    with pytest.raises(Refusal) as error:
        check_realm("http://login.example/t", Origin("http", "10.0.0.1", 80), trusted=frozenset({"login.example"}))
    assert error.value.code == "token-realm-refused"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Acme.Example", Origin("https", "acme.example", 443)),
        ("HTTP://[::1]:5000/x?y", Origin("http", "[::1]", 5000)),
        ("https://acme.example:443/", Origin("https", "acme.example", 443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: Origin) -> None:
    assert Origin.of(url) == expected
    assert Origin.of(str(expected)) == expected


@pytest.mark.parametrize(
    "url", ["https://a b/", "https://ä.example/", "https://a:b@c/", "ftp://a/", "https://a:65536/", "https://a/\n", "a"]
)
def test_an_address_that_two_parsers_could_read_differently_is_refused(url: Any) -> None:
    with pytest.raises(Refusal) as error:
        Origin.of(url)
    assert error.value.code == "answer-unexpected"
