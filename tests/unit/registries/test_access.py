"""Who may use the embedded registry."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from registries.digest import Digest
from registries.embedded.access import Access, Logins
from registries.embedded.sha_crypt import LONGEST_PASSWORD, Hash
from registries.errors import Unauthorized, UsageError
from registries.server import Options, serve_in_thread

ALICE = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
BOB = "$5$ab.c/d9$VznQ2NpC77mNgIRDHVASds.s5/.wXlFNKX2yhSFb3D1"
FILE = f"# who may log in\n\nalice:{ALICE}\nbob:{BOB}\n".encode()
LONGEST = "$5$ab.c/d9$2I00sJbgJYvh3L4P09TJ1s2g9wki79Y0Q6JEjrTWl06"  # "a", 256 times
BLOB = b"pulled by everybody"

# Made by `openssl passwd -5` and `-6`, with `-salt`.
VECTORS = [
    ("Hello world!", ALICE),
    ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    ("x", BOB),
    ("x", "$6$ab.c/d9$kCOK4m.RLy6benxJyGX51RdvtEjIc4f4ppdOLQydeTcWbw5ZJEC4T3LyVirwlnp.gGM.VQL1kN1eZ8HzWC2FC0"),
    ("m" * 64, "$5$ab.c/d9$9wU2kjO7npLVztVAKG9x5x7g9RMs9CzNtQhfWaRULJ4"),
    ("m" * 64, "$6$ab.c/d9$lE.sBElLBTk/goU6ToYpsw1TO6zgiJsZBdaZSC17WVlshdHoADyvcQ5xSkGDBvpEpvXa0FCDMhBz/Dfp4pXvF0"),
    ("p" * 200, "$5$ab.c/d9$ZWazBisnhlL8tH5UCUPBasoZuCS1R5J2si2mBnGvJm7"),
    ("p" * 200, "$6$ab.c/d9$1u06kdgLE39paTLQMzminJWRcgKAk.j.nYoHB.TusOr8eFIHosf7wliza4WppS7/iqbne5Eap9RrABWqAoeyZ/"),
    ("pässwörd", "$5$ab.c/d9$l8LAWY3gJDX9N9kNDrCT2wnrfg1K/mf7AEjr91Yb866"),
    ("pässwörd", "$6$ab.c/d9$yK7w9rUGP6Ggv2J4eTWew/xoTjd4YxCtfcpgKsyfp2GFzAPcW5hqn.HUnZtn9BuckHmTDq64zlGVMuhkhpw4V0"),
    (
        "x",
        "$6$rounds=1000$saltsalt$w9KQdgZ0Ki6LoC1UHsgXGBQaO4XJhW7upynW4LSaoTX6YuFX0KIqzhQcvdJFwTJS.I2sYmby8LApILDV7m1xF/",
    ),
    ("x", "$5$rounds=1500$saltsalt$ElJEVhcpJz3KKC2LGg810yR0UHGfgscAXT1ZNJEdwK9"),
]


@pytest.mark.parametrize(("password", "text"), VECTORS)
def test_a_password_that_openssl_hashed_fits_and_no_other(password: str, text: str) -> None:
    found = Hash.parse(text)
    assert found.fits(password.encode())
    for other in (password + "x", password[:-1], password.upper() + "!"):
        assert not found.fits(other.encode())


def test_a_password_beyond_the_limit_never_fits() -> None:
    """The work grows with the square of its length; what is beyond the limit is not cut to what may fit."""
    found = Hash.parse(LONGEST)
    assert found.fits(b"a" * LONGEST_PASSWORD)
    assert not found.fits(b"a" * (LONGEST_PASSWORD + 1))
    assert not found.fits(b"a" * 60_000)


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n", "logins-unsupported", 1),
        (b"bob:" + BOB.encode() + b"\nalice:$2b$12$x\n", "logins-unsupported", 2),
        (b"alice:$apr1$nUCkwJTp$W3WqV9UgPxVH4r4gLYqjT1\n", "logins-unsupported", 1),
        (b"alice:$1$abc$x\n", "logins-unsupported", 1),
        (b"alice:{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=\n", "logins-unsupported", 1),
        (b"alice:in plain text\n", "logins-malformed", 1),
        (b"alice:\n", "logins-malformed", 1),
        (b"alice\n", "logins-malformed", 1),
        (b":" + ALICE.encode(), "logins-malformed", 1),
        (b"alice:" + ALICE.encode() + b"\n\nalice:" + BOB.encode(), "logins-malformed", 3),
        (b"alice:" + ALICE.encode()[:-1], "logins-malformed", 1),
        (b"alice:" + ALICE.encode() + b"x", "logins-malformed", 1),
        (b"alice:" + ALICE.encode().replace(b"$6$", b"$6$rounds=999$"), "logins-malformed", 1),
        (b"alice:" + ALICE.encode().replace(b"$6$", b"$6$rounds=1000001$"), "logins-malformed", 1),
        (b"alice:" + ALICE.encode().replace(b"$6$", b"$7$"), "logins-malformed", 1),
        (b"", "logins-malformed", None),
        (b"# nobody\n", "logins-malformed", None),
        (b"alice:\xff\n", "logins-malformed", None),
    ],
)
def test_a_file_with_a_line_that_can_not_count_is_refused_as_a_whole(
    content: bytes, code: str, line: int | None
) -> None:
    with pytest.raises(UsageError) as error:
        Logins.parse(content, where="logins")
    (reason,) = error.value.reasons
    assert (reason.code, reason.where) == (code, "logins" if line is None else f"logins:{line}")
    assert "Hello" not in str(error.value)


def test_who_was_let_in_is_remembered_and_nobody_else() -> None:
    logins = Logins.parse(FILE, where="logins")
    logins.verify("alice", b"Hello world!")
    assert logins.remembers("alice", b"Hello world!")
    for name, password in (("alice", b"x"), ("bob", b"Hello world!"), ("", b""), ("alice\0Hello world!", b"")):
        assert not logins.remembers(name, password)
        with pytest.raises(Unauthorized) as error:
            logins.verify(name, password)
        assert error.value.code == "credentials-refused"
        assert not logins.remembers(name, password)


def test_a_name_that_is_not_in_the_file_has_no_password() -> None:
    """Its password is compared with somebody else's, so that it takes as long; that one's must not let it in."""
    logins = Logins.parse(b"alice:" + ALICE.encode(), where="logins")
    with pytest.raises(Unauthorized):
        logins.verify("mallory", b"Hello world!")


# over HTTP


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    access = Access(logins=Logins.parse(FILE, where="logins"))
    with serve_in_thread(tmp_path_factory.mktemp("closed"), options=Options(access=access)) as address:
        yield address


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Everybody may pull; there is one blob."""
    access = Access(logins=Logins.parse(FILE, where="logins"), anonymous_pull=True)
    with serve_in_thread(tmp_path_factory.mktemp("public"), options=Options(access=access)) as address:
        path = f"/v2/a/b/blobs/uploads/?digest={Digest.of(BLOB)}"
        assert ask(address, "POST", path, basic("alice", "Hello world!"), body=BLOB).status == 201
        yield address


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["errors"][0]["code"])


def ask(address: str, method: str, path: str, *authorization: str, body: bytes | None = None) -> Answer:
    with contextlib.closing(http.client.HTTPConnection(address, timeout=20)) as connection:
        connection.putrequest(method, path)
        for value in authorization:
            connection.putheader("Authorization", value)
        connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        return Answer(connection.getresponse())


_PATHS = [
    ("GET", "/v2/"),
    ("GET", f"/v2/a/b/blobs/{Digest.of(BLOB)}"),
    ("GET", "/v2/a/b/manifests/v1"),
    ("GET", "/v2/a/b/tags/list"),
    ("GET", "/v2/a/b/blobs/uploads/" + "0" * 32),
    ("GET", "/"),
    ("POST", "/v2/a/b/blobs/uploads/"),
    ("PATCH", "/v2/a/b/blobs/uploads/" + "0" * 32),
    ("PUT", "/v2/a/b/manifests/v1"),
    ("DELETE", "/v2/a/b/manifests/v1"),
    ("OPTIONS", "/v2/"),
]


@pytest.mark.parametrize(("method", "path"), _PATHS)
def test_without_a_login_nothing_is_answered_but_the_question_for_one(closed: str, method: str, path: str) -> None:
    answer = ask(closed, method, path)
    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="samebits", charset="UTF-8"'
    assert ask(closed, method, path, basic("bob", "x")).status != 401


@pytest.mark.parametrize(
    "authorization",
    [
        [basic("alice", "x")],
        [basic("alice", "")],
        [basic("mallory", "x")],
        [basic("", "")],
        [basic("bob", "x") + "="],
        [basic("bob", "x").replace("Basic ", "Bearer ")],
        [basic("bob", "x").removeprefix("Basic ")],
        ["Basic !!!!"],
        ["Basic " + base64.b64encode(b"no colon").decode()],
        ["Basic " + base64.b64encode(b"\xff:x").decode()],
        [basic("bob", "x"), basic("alice", "y")],
        [basic("alice", "y"), basic("bob", "x")],
        [""],
    ],
)
def test_what_is_no_login_of_somebody_is_refused_even_where_everybody_may_pull(
    closed: str, public: str, authorization: list[str]
) -> None:
    for address in (closed, public):
        answer = ask(address, "GET", "/v2/a/b/tags/list", *authorization)
        assert (answer.status, answer.code) == (401, "UNAUTHORIZED")


def test_where_everybody_may_pull_a_login_is_needed_to_change_anything(public: str) -> None:
    path = f"/v2/a/b/blobs/{Digest.of(BLOB)}"
    assert ask(public, "GET", path).body == BLOB
    assert ask(public, "HEAD", path).status == 200
    assert ask(public, "GET", "/v2/a/b/tags/list").status == 200
    for method, target in _PATHS[6:10]:
        assert (ask(public, method, target).status, method) == (401, method)
    assert ask(public, "DELETE", path).status == 401
    assert ask(public, "GET", path).status == 200


def test_where_everybody_may_pull_the_version_check_still_asks_for_the_login(public: str) -> None:
    """Docker and crane decide by this answer whether they will send a login with what follows."""
    assert ask(public, "GET", "/v2/").status == 401
    assert ask(public, "GET", "/v2/", basic("alice", "Hello world!")).status == 200


def test_our_own_client_logs_in_with_what_docker_knows(closed: str, tmp_path: Path) -> None:
    from registries.kinds.http import http_registry
    from registries.registry import Location
    from tests.images import image

    entry = {"auth": basic("alice", "Hello world!").removeprefix("Basic ")}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {closed: entry}}))
    registry = http_registry(closed, environment={"DOCKER_CONFIG": str(tmp_path)})
    made = image().push(Location(registry, "team/image"), "v1")
    assert registry.resolve("team/image", "v1") == made.digest
