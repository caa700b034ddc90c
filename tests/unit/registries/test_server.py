from __future__ import annotations

import contextlib
import gc
import hashlib
import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.digest import Digest
from registries.errors import Unavailable, UsageError
from registries.limits import MANIFEST_BYTES
from registries.manifest import DOCKER_MANIFEST, EMPTY, EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST
from registries.server import serve, serve_in_thread
from registries.strict_json import dumps

_NUMBERS = itertools.count()
_BLOB = b"0123456789"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_ABSENT = Digest.of(b"nobody pushed this")


class Client:
    """One repository of the server, over a real socket."""

    def __init__(self, session: requests.Session, address: str, repository: str) -> None:
        self.session = session
        self.address = address
        self.repository = repository

    def beside(self) -> Client:
        return Client(self.session, self.address, f"{self.repository}-other")

    def ask(
        self, method: str, path: str, body: Any = None, headers: Any = None, **parameters: str
    ) -> requests.Response:
        url = path if path.startswith("/v2/") else f"/v2/{self.repository}/{path}"
        return self.session.request(
            method, f"http://{self.address}{url}", data=body, headers=headers, params=parameters, timeout=20
        )

    def begin(self) -> str:
        started = self.ask("POST", "blobs/uploads/")
        assert started.status_code == 202
        return started.headers["Location"]

    def blob(self, content: bytes = _BLOB, algorithm: str = "sha256") -> Digest:
        digest = Digest.of(content, algorithm)
        pushed = self.ask("POST", "blobs/uploads/", content, digest=str(digest))
        assert pushed.status_code == 201, pushed.text
        return digest

    def put(
        self,
        content: bytes,
        reference: str | None = None,
        media_type: str = OCI_MANIFEST,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        path = f"manifests/{reference or Digest.of(content)}"
        return self.ask("PUT", path, content, {"Content-Type": media_type, **(headers or {})})

    def image(self, reference: str | None = None, **fields: Any) -> Digest:
        """A small image, pushed with the one blob it needs."""
        self.blob(EMPTY_CONTENT)
        content = manifest(**fields)
        pushed = self.put(content, reference)
        assert pushed.status_code == 201, pushed.text
        return Digest.of(content)


def manifest(**fields: Any) -> bytes:
    value = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY.json(), "layers": []}
    return dumps({**value, **fields})


def pointer(digest: Digest, size: int, media_type: str = OCI_MANIFEST) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(digest), "size": size}


def code(answer: requests.Response) -> str:
    """The one error code of an answer in the specification's form."""
    (error,) = answer.json()["errors"]
    assert error["message"]
    assert answer.headers["Content-Type"] == "application/json"
    return str(error["code"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with serve_in_thread(root) as address:
        yield address


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def client(session: requests.Session, address: str) -> Client:
    return Client(session, address, f"team/image-{next(_NUMBERS)}")


def test_the_version_check_answers(client: Client) -> None:
    answer = client.ask("GET", "/v2/")
    assert answer.status_code == 200
    assert answer.json() == {}
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize("path", ["/", "/v2", "/v3/", "/v2/_catalog", "/v2/a/b", "/v2/a/manifests", "/v2/a/blobs/"])
def test_a_path_that_means_nothing_is_not_found(address: str, path: str) -> None:
    answer = requests.get(f"http://{address}{path}", timeout=20)
    assert answer.status_code == 404
    assert code(answer) == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "manifests/v1"), ("PUT", "tags/list"), ("DELETE", "tags/list"), ("PUT", f"blobs/{_ABSENT}")],
)
def test_a_method_that_a_path_does_not_have_is_refused(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path)
    assert answer.status_code == 405
    assert code(answer) == "UNSUPPORTED"


@pytest.mark.parametrize(
    "name", ["UPPER", "a//b", "a/../b", "_oci", "a/_oci", "..", "a/", "a%2F..%2Fb", "%00", "a" * 256, "é", "a b"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"blobs/{_ABSENT}"),
        ("POST", "blobs/uploads/"),
        ("GET", "blobs/uploads/0"),
        ("GET", "manifests/v1"),
        ("PUT", "manifests/v1"),
        ("DELETE", "manifests/v1"),
        ("GET", "tags/list"),
        ("GET", f"referrers/{_ABSENT}"),
    ],
)
def test_a_name_outside_the_grammar_is_refused_everywhere(
    address: str, root: Path, method: str, path: str, name: str
) -> None:
    before = sorted(root.rglob("*"))
    status, found = ask_raw(address, method, f"/v2/{name}/{path}")
    assert (status, found) == (400, "NAME_INVALID")
    assert sorted(root.rglob("*")) == before


def ask_raw(address: str, method: str, path: str) -> tuple[int, str]:
    """Status and error code; the path goes out as it is, unlike with `requests`, which tidies it up."""
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        connection._encode_request = lambda request: request.encode("utf-8")  # type: ignore[attr-defined]
        connection._validate_path = lambda _: None  # type: ignore[attr-defined]
        connection.request(method, path.replace(" ", "%20").replace("é", "%C3%A9"))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["errors"][0]["code"]


_ODD_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
_WORDS = ["a", "B", "blobs", "uploads", "manifests", "tags", "list", "referrers", "v1", "..", "%2f", "%ff", "_oci"]
_PIECES = st.sampled_from([*_WORDS, "", "0" * 32, str(EMPTY.digest), str(_ABSENT), f"sha512:{'0' * 128}", "sha256:"])
_PARAMETERS = st.sampled_from(["digest", "mount", "from", "n", "last", "artifactType", "request"])
_HEADERS = st.sampled_from(["Range", "Content-Range", "Content-Type", "If-Match", "If-None-Match", "Host", "Accept"])
_VALUES = _ODD_TEXT | st.sampled_from(["bytes=0-", "0-1", OCI_MANIFEST, "*", str(EMPTY.digest), "a", "-1", "9" * 30])


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    path=st.lists(_PIECES, max_size=5),
    query=st.dictionaries(_PARAMETERS, _VALUES, max_size=3),
    headers=st.dictionaries(_HEADERS, _VALUES, max_size=3),
    body=st.sampled_from([b"", EMPTY_CONTENT, manifest(), b"[" * 1000]),
)
def test_no_request_makes_the_server_fail(
    address: str, *, method: str, path: list[str], query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, f"/v2/{'/'.join(path)}?{urlencode(query)}", body, headers)
        assert connection.getresponse().status < 500


@pytest.mark.parametrize("digest", ["sha256:bad", "md5:" + "0" * 32, "sha256:" + "A" * 64, "sha256", "sha256:%0a"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "blobs"), ("HEAD", "blobs"), ("DELETE", "blobs"), ("GET", "referrers")]
)
def test_a_malformed_digest_is_refused(client: Client, method: str, path: str, digest: str) -> None:
    answer = client.ask(method, f"{path}/{digest}")
    assert answer.status_code == 400
    assert method == "HEAD" or code(answer) == "DIGEST_INVALID"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("content", [_BLOB, b""])
def test_a_blob_comes_back_as_it_was_pushed(client: Client, content: bytes, algorithm: str) -> None:
    digest = client.blob(content, algorithm)
    answer = client.ask("GET", f"blobs/{digest}")
    assert answer.status_code == 200
    assert answer.content == content
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Docker-Content-Digest"] == str(digest)
    assert answer.headers["ETag"] == f'"{digest}"'


def test_a_head_says_what_a_get_would(client: Client) -> None:
    digest = client.blob()
    said = client.ask("HEAD", f"blobs/{digest}")
    assert said.status_code == 200
    assert said.content == b""
    assert said.headers["Content-Length"] == str(len(_BLOB))
    assert said.headers["Docker-Content-Digest"] == str(digest)
    assert said.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_blob_that_nobody_pushed_is_unknown(client: Client, method: str) -> None:
    for _ in ("before the repository exists", "after"):
        answer = client.ask(method, f"blobs/{_ABSENT}")
        assert answer.status_code == 404
        assert method == "HEAD" or code(answer) == "BLOB_UNKNOWN"
        client.blob()


@pytest.mark.parametrize(
    ("asked", "content", "span"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-100", _BLOB, "bytes 0-9/10"),
    ],
)
def test_a_range_of_a_blob_is_partial_content(client: Client, asked: str, content: bytes, span: str) -> None:
    digest = client.blob()
    answer = client.ask("GET", f"blobs/{digest}", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == content
    assert answer.headers["Content-Range"] == span
    assert answer.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=5-2", "bytes=-0", "bytes=" + "9" * 18 + "-"])
def test_a_range_without_any_byte_of_the_blob_is_not_satisfiable(client: Client, asked: str) -> None:
    digest = client.blob()
    answer = client.ask("GET", f"blobs/{digest}", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */10"
    assert code(answer) == "RANGE_INVALID"


@pytest.mark.parametrize(
    "asked", ["items=0-3", "bytes=a-b", "bytes=-", "bytes=0-1,3-4", "bytes", "bytes=" + "9" * 5000 + "-"]
)
def test_a_range_that_can_not_be_read_is_ignored(client: Client, asked: str) -> None:
    digest = client.blob()
    answer = client.ask("GET", f"blobs/{digest}", headers={"Range": asked})
    assert answer.status_code == 200
    assert answer.content == _BLOB


def test_what_is_no_file_is_no_blob(client: Client, root: Path) -> None:
    client.blob()
    (root / client.repository / "_oci" / "blobs" / "sha256" / _ABSENT.hex).mkdir()
    for method in ("GET", "DELETE"):
        assert client.ask(method, f"blobs/{_ABSENT}").status_code == 404


def test_a_deleted_blob_is_gone(client: Client) -> None:
    digest = client.blob()
    assert client.ask("DELETE", f"blobs/{digest}").status_code == 202
    assert client.ask("GET", f"blobs/{digest}").status_code == 404
    assert client.ask("DELETE", f"blobs/{digest}").status_code == 404


def test_an_upload_in_one_put_finishes(client: Client) -> None:
    location = client.begin()
    done = client.ask("PUT", location, _BLOB, digest=str(Digest.of(_BLOB)))
    assert done.status_code == 201
    assert done.headers["Docker-Content-Digest"] == str(Digest.of(_BLOB))
    assert client.ask("GET", done.headers["Location"]).content == _BLOB
    assert client.ask("GET", location).status_code == 404


def test_a_streamed_patch_without_range_is_appended(client: Client) -> None:
    first = client.ask("PATCH", client.begin(), iter([_BLOB[:5]]))
    second = client.ask("PATCH", first.headers["Location"], iter([_BLOB[5:]]))
    for answer, reached in ((first, "0-4"), (second, "0-9")):
        assert (answer.status_code, answer.headers["Range"]) == (202, reached)
    assert client.ask("PUT", second.headers["Location"], digest=str(Digest.of(_BLOB))).status_code == 201


@settings(max_examples=20, deadline=None)
@given(content=st.binary(max_size=300), cuts=st.sets(st.integers(1, 299), max_size=5), last_in_put=st.booleans())
def test_chunks_in_order_become_the_blob(
    session: requests.Session, address: str, *, content: bytes, cuts: set[int], last_in_put: bool
) -> None:
    """OCI distribution-spec, "Pushing a blob in chunks": chunks MUST be uploaded in order."""
    client = Client(session, address, f"chunks/image-{next(_NUMBERS)}")
    edges = [0, *sorted(cut for cut in cuts if cut < len(content)), len(content)]
    chunks = [(start, end) for start, end in itertools.pairwise(edges) if start < end]
    closing = chunks.pop() if last_in_put and chunks else None
    location = client.begin()
    for start, end in chunks:
        answer = client.ask("PATCH", location, content[start:end], {"Content-Range": f"{start}-{end - 1}"})
        assert answer.status_code == 202
        assert answer.headers["Range"] == f"0-{end - 1}"
        location = answer.headers["Location"]
    body, headers = (b"", {}) if closing is None else (content[slice(*closing)], span(closing))
    digest = Digest.of(content)
    assert client.ask("PUT", location, body, headers, digest=str(digest)).status_code == 201
    assert client.ask("GET", f"blobs/{digest}").content == content


def span(chunk: tuple[int, int]) -> dict[str, str]:
    return {"Content-Range": f"{chunk[0]}-{chunk[1] - 1}"}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("start", [0, 4, 6, 10**17])
def test_a_chunk_out_of_order_is_refused_and_the_upload_goes_on(client: Client, method: str, start: int) -> None:
    digest = str(Digest.of(_BLOB))
    location = client.ask("PATCH", client.begin(), _BLOB[:5], span((0, 5))).headers["Location"]
    parameters = {"digest": digest} if method == "PUT" else {}
    answer = client.ask(method, location, _BLOB[5:], span((start, start + 5)), **parameters)
    assert answer.status_code == 416
    assert answer.headers["Range"] == "0-4"
    assert code(answer) == "BLOB_UPLOAD_INVALID"
    assert client.ask("PUT", answer.headers["Location"], _BLOB[5:], span((5, 10)), digest=digest).status_code == 201


@pytest.mark.parametrize("given", ["0-3", "0-5", "4-0", "bytes 0-4/10", "x", "0-", "-4", "0-" + "9" * 5000])
def test_a_chunk_that_is_not_as_long_as_it_says_is_refused(client: Client, given: str) -> None:
    location = client.begin()
    answer = client.ask("PATCH", location, _BLOB[:5], {"Content-Range": given})
    assert answer.status_code in {400, 416}
    assert code(answer) == "BLOB_UPLOAD_INVALID"
    assert client.ask("PUT", location, _BLOB, span((0, 10)), digest=str(Digest.of(_BLOB))).status_code == 201


def test_an_upload_says_how_far_it_is(client: Client) -> None:
    location = client.begin()
    fresh = client.ask("GET", location)
    assert (fresh.status_code, fresh.headers["Range"]) == (204, "0-0")
    client.ask("PATCH", location, _BLOB[:5])
    going = client.ask("GET", location)
    assert (going.status_code, going.headers["Range"]) == (204, "0-4")
    assert going.headers["Location"] == location


def test_a_cancelled_upload_is_gone(client: Client, root: Path) -> None:
    location = client.begin()
    client.ask("PATCH", location, _BLOB)
    assert client.ask("DELETE", location).status_code == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = client.ask(method, location, digest=str(Digest.of(_BLOB)))
        assert answer.status_code == 404
        assert code(answer) == "BLOB_UPLOAD_UNKNOWN"
    assert [
        path for path in (root / client.repository).rglob("*") if path.is_file() and path.read_bytes() == _BLOB
    ] == []


@pytest.mark.parametrize("name", ["0", "..", "%2e%2e%2f%2e%2e%2findex.json", "0" * 32, "oci-layout", "%00"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_an_upload_that_nobody_began_is_unknown(client: Client, method: str, name: str) -> None:
    client.blob()
    status, _ = ask_raw(client.address, method, f"/v2/{client.repository}/blobs/uploads/{name}")
    assert status == 404


def test_only_one_request_at_a_time_writes_to_an_upload(client: Client) -> None:
    location = client.begin()
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = (
            f"PATCH {location} HTTP/1.1\r\nHost: {client.address}\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        for method in ("PATCH", "PUT", "DELETE"):
            answer = client.ask(method, location, _BLOB, digest=str(Digest.of(_BLOB)))
            assert answer.status_code == 409
            assert code(answer) == "BLOB_UPLOAD_INVALID"
        connection.sendall(_BLOB)
        assert connection.recv(100).startswith(b"HTTP/1.1 202 ")
    assert client.ask("PUT", location, digest=str(Digest.of(_BLOB))).status_code == 201


def test_an_upload_belongs_to_its_repository(client: Client) -> None:
    elsewhere = client.beside()
    elsewhere.blob()
    session = client.begin().rpartition("/")[2]
    assert elsewhere.ask("GET", f"blobs/uploads/{session}").status_code == 404


@pytest.mark.parametrize("way", ["post", "put", "patch"])
def test_bytes_that_are_not_what_the_digest_names_are_refused(client: Client, way: str) -> None:
    digest = str(_ABSENT)
    match way:
        case "post":
            answer = client.ask("POST", "blobs/uploads/", _BLOB, digest=digest)
        case "put":
            answer = client.ask("PUT", client.begin(), _BLOB, digest=digest)
        case _:
            location = client.ask("PATCH", client.begin(), _BLOB).headers["Location"]
            answer = client.ask("PUT", location, digest=digest)
    assert answer.status_code == 400
    assert code(answer) == "DIGEST_INVALID"
    assert client.ask("GET", f"blobs/{digest}").status_code == 404
    assert client.ask("GET", f"blobs/{Digest.of(_BLOB)}").status_code == 404


def test_an_upload_in_one_request_that_is_refused_leaves_nothing(client: Client, root: Path) -> None:
    digest = str(Digest.of(_BLOB))
    assert client.ask("POST", "blobs/uploads/", _BLOB, span((0, 4)), digest=digest).status_code == 400
    assert list((root / client.repository / "_oci" / "uploads").iterdir()) == []


@pytest.mark.parametrize("digest", ["", "sha256:bad", "md5:" + "0" * 32])
def test_an_upload_needs_a_digest_to_finish(client: Client, digest: str) -> None:
    parameters = {"digest": digest} if digest else {}
    answer = client.ask("PUT", client.begin(), _BLOB, **parameters)
    assert answer.status_code == 400
    assert code(answer) == "DIGEST_INVALID"


def test_an_upload_that_breaks_off_can_be_resumed(client: Client) -> None:
    content = os.urandom(3 << 20)
    location = client.begin()
    host, _, port = client.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"PATCH {location} HTTP/1.1\r\nHost: {client.address}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content[: 2 << 20])
    kept = 0
    while kept < 2 << 20:
        kept = int(client.ask("GET", location).headers["Range"].removeprefix("0-")) + 1
    digest = Digest.of(content)
    done = client.ask("PUT", location, content[kept:], span((kept, len(content))), digest=str(digest))
    assert done.status_code == 201
    assert hashlib.sha256(client.ask("GET", f"blobs/{digest}").content).hexdigest() == digest.hex


def test_a_blob_is_mounted_from_another_repository(client: Client) -> None:
    source = client.beside()
    digest = source.blob()
    answer = client.ask("POST", "blobs/uploads/", mount=str(digest), **{"from": source.repository})
    assert answer.status_code == 201
    assert answer.headers["Docker-Content-Digest"] == str(digest)
    assert client.ask("GET", answer.headers["Location"]).content == _BLOB
    source.ask("DELETE", f"blobs/{digest}")
    assert client.ask("GET", f"blobs/{digest}").content == _BLOB


def test_a_mount_without_a_source_becomes_an_upload(client: Client) -> None:
    digest = str(client.beside().blob())
    for source in ("no/such", client.repository):
        answer = client.ask("POST", "blobs/uploads/", mount=digest, **{"from": source})
        assert answer.status_code == 202
        assert client.ask("PUT", answer.headers["Location"], _BLOB, digest=digest).status_code == 201
        client.ask("DELETE", f"blobs/{digest}")


def test_a_mount_that_names_no_source_finds_the_blob_if_it_is_anywhere(client: Client) -> None:
    content = os.urandom(20)
    digest = str(Digest.of(content))
    assert client.ask("POST", "blobs/uploads/", mount=digest).status_code == 202
    client.beside().blob(content)
    assert client.ask("POST", "blobs/uploads/", mount=digest).status_code == 201
    assert client.ask("GET", f"blobs/{digest}").content == content


@pytest.mark.parametrize(
    ("mount", "source", "expected"), [("sha256:bad", "a", "DIGEST_INVALID"), (str(_ABSENT), "a/../b", "NAME_INVALID")]
)
def test_a_mount_that_can_not_be_meant_is_refused(client: Client, mount: str, source: str, expected: str) -> None:
    answer = client.ask("POST", "blobs/uploads/", mount=mount, **{"from": source})
    assert answer.status_code == 400
    assert code(answer) == expected


def test_a_manifest_keeps_its_exact_bytes(client: Client) -> None:
    client.blob(EMPTY_CONTENT)
    odd = b' {\n\t"layers" :[], ' + manifest()[1:] + b"\n\n"
    odd = odd.replace(b',"layers":[]', b"")
    digest = Digest.of(odd)
    pushed = client.put(odd, "v1")
    assert pushed.status_code == 201
    assert pushed.headers["Docker-Content-Digest"] == str(digest)
    assert pushed.headers["Location"] == f"/v2/{client.repository}/manifests/{digest}"
    for reference in ("v1", str(digest)):
        answer = client.ask("GET", f"manifests/{reference}")
        assert answer.content == odd
        assert answer.headers["Content-Type"] == OCI_MANIFEST
        assert answer.headers["Docker-Content-Digest"] == str(digest)
        assert answer.headers["ETag"] == f'"{digest}"'
        said = client.ask("HEAD", f"manifests/{reference}")
        assert said.content == b""
        assert said.headers["Content-Length"] == str(len(odd))
        assert said.headers["Content-Type"] == OCI_MANIFEST


def test_a_docker_manifest_keeps_its_media_type(client: Client) -> None:
    client.blob(EMPTY_CONTENT)
    assert client.put(manifest(mediaType=DOCKER_MANIFEST), "v1", DOCKER_MANIFEST).status_code == 201
    assert client.ask("GET", "manifests/v1").headers["Content-Type"] == DOCKER_MANIFEST


def test_a_manifest_may_be_named_by_sha512(client: Client) -> None:
    client.blob(EMPTY_CONTENT)
    digest = Digest.of(manifest(), "sha512")
    assert client.put(manifest(), str(digest)).headers["Docker-Content-Digest"] == str(digest)
    assert client.ask("GET", f"manifests/{digest}").content == manifest()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("reference", ["v1", "-no-tag", str(_ABSENT), "a" * 129])
def test_a_manifest_that_nobody_pushed_is_unknown(client: Client, method: str, reference: str) -> None:
    for _ in ("before the repository exists", "after"):
        answer = client.ask(method, f"manifests/{reference}")
        assert answer.status_code == 404
        assert method == "HEAD" or code(answer) == "MANIFEST_UNKNOWN"
        client.image("other")


def test_a_blob_is_no_manifest(client: Client) -> None:
    digest = client.blob(manifest())
    assert client.ask("GET", f"manifests/{digest}").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_manifest_named_by_a_malformed_digest_is_refused(client: Client, method: str) -> None:
    answer = client.ask(method, "manifests/sha256:bad", manifest(), {"Content-Type": OCI_MANIFEST})
    assert answer.status_code == 400
    assert code(answer) == "DIGEST_INVALID"


def test_a_manifest_that_is_not_what_its_digest_names_is_refused(client: Client) -> None:
    client.blob(EMPTY_CONTENT)
    answer = client.put(manifest() + b" ", str(Digest.of(manifest())))
    assert answer.status_code == 400
    assert code(answer) == "DIGEST_INVALID"
    assert client.ask("GET", f"manifests/{Digest.of(manifest() + b' ')}").status_code == 404


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (manifest(), OCI_INDEX),
        (manifest(), "application/json"),
        (manifest(), ""),
        (manifest(mediaType="text/plain"), "text/plain"),
        (manifest(mediaType=None), OCI_MANIFEST),
        (manifest(schemaVersion=1), OCI_MANIFEST),
        (manifest(manifests=[]), OCI_MANIFEST),
        (manifest(config={"mediaType": "a/b", "size": 2, "digest": "sha256:bad"}), OCI_MANIFEST),
        (manifest(layers=[7]), OCI_MANIFEST),
        (manifest(subject="x"), OCI_MANIFEST),
        (b"", OCI_MANIFEST),
        (b"{", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"\xff\xfe", OCI_MANIFEST),
        (b'{"schemaVersion":2,"schemaVersion":2}', OCI_MANIFEST),
        (b"[" * 100_000, OCI_MANIFEST),
    ],
)
@pytest.mark.parametrize("reference", ["v1", None])
def test_what_is_no_manifest_is_refused(client: Client, content: bytes, media_type: str, reference: str | None) -> None:
    client.blob(EMPTY_CONTENT)
    answer = client.put(content, reference, media_type)
    assert answer.status_code == 400
    assert code(answer) == "MANIFEST_INVALID"
    assert client.ask("GET", f"manifests/{reference or Digest.of(content)}").status_code == 404


def test_a_media_type_may_come_with_parameters(client: Client) -> None:
    client.blob(EMPTY_CONTENT)
    assert client.put(manifest(), "v1", f"{OCI_MANIFEST}; charset=utf-8").status_code == 201


@pytest.mark.parametrize("tag", ["-v1", ".v1", "v 1", "a" * 129, "v1+x", "é"])
def test_a_tag_outside_the_grammar_is_refused(client: Client, tag: str) -> None:
    client.blob(EMPTY_CONTENT)
    answer = client.put(manifest(), tag)
    assert answer.status_code == 400
    assert code(answer) == "MANIFEST_INVALID"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_manifest_is_taken_at_the_limit_and_refused_one_byte_beyond(client: Client, *, streamed: bool) -> None:
    client.blob(EMPTY_CONTENT)
    room = MANIFEST_BYTES - len(manifest(annotations={"a": ""}))
    largest, larger = (manifest(annotations={"a": "x" * (room + beyond)}) for beyond in (0, 1))
    assert len(largest) == MANIFEST_BYTES
    answers = [
        client.ask("PUT", "manifests/v1", iter([content]) if streamed else content, {"Content-Type": OCI_MANIFEST})
        for content in (largest, larger)
    ]
    assert [answer.status_code for answer in answers] == [201, 413]
    assert code(answers[1]) == "MANIFEST_INVALID"


@pytest.mark.parametrize("place", ["config", "layers"])
def test_a_manifest_whose_blob_is_not_there_is_refused(client: Client, place: str) -> None:
    client.blob(EMPTY_CONTENT)
    absent = pointer(_ABSENT, 18, _LAYER_TYPE)
    answer = client.put(manifest(**{place: absent if place == "config" else [absent]}))
    assert answer.status_code == 400
    assert code(answer) == "MANIFEST_BLOB_UNKNOWN"
    assert str(_ABSENT) in answer.text


def test_an_index_whose_manifest_is_not_there_is_refused(client: Client) -> None:
    blob = client.blob()
    for digest, size in ((_ABSENT, 18), (blob, len(_BLOB))):
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [pointer(digest, size)]}
        answer = client.put(dumps(index), media_type=OCI_INDEX)
        assert answer.status_code == 400
        assert code(answer) == "MANIFEST_BLOB_UNKNOWN"


def test_an_index_is_pushed_after_its_manifests(client: Client) -> None:
    child = client.image()
    index = dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [pointer(child, len(manifest()))]},
    )
    assert client.put(index, "v1", OCI_INDEX).status_code == 201
    assert client.ask("GET", "manifests/v1").content == index
    assert client.ask("GET", "tags/list").json()["tags"] == ["v1"]


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ],
)
def test_a_layer_that_may_not_be_distributed_may_be_absent(client: Client, media_type: str) -> None:
    client.blob(EMPTY_CONTENT)
    assert client.put(manifest(layers=[pointer(_ABSENT, 18, media_type)])).status_code == 201


def test_bytes_that_changed_on_disk_are_served_as_they_are(client: Client, root: Path) -> None:
    """A client that does not hash what it gets has to be found out with this registry too."""
    digest, blob = client.image("v1"), client.blob()
    for changed in (digest, blob):
        (root / client.repository / "_oci" / "blobs" / "sha256" / changed.hex).write_bytes(b"changed")
    for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{blob}"):
        answer = client.ask("GET", path)
        assert (answer.status_code, answer.content) == (200, b"changed")


def test_a_manifest_whose_bytes_are_gone_is_unknown(client: Client) -> None:
    digest = client.image("v1")
    assert client.ask("DELETE", f"blobs/{digest}").status_code == 202
    for reference in ("v1", str(digest)):
        assert client.ask("GET", f"manifests/{reference}").status_code == 404


def test_deleting_a_tag_leaves_the_manifest(client: Client) -> None:
    digest = client.image("v1")
    assert client.ask("DELETE", "manifests/v1").status_code == 202
    assert client.ask("GET", "manifests/v1").status_code == 404
    assert client.ask("GET", f"manifests/{digest}").status_code == 200
    assert client.ask("GET", "tags/list").json()["tags"] == []


def test_deleting_a_manifest_takes_its_tags_along(client: Client) -> None:
    digest = client.image("v1")
    client.image("v2")
    kept = client.image("v3", annotations={"a": "b"})
    assert client.ask("DELETE", f"manifests/{digest}").status_code == 202
    for reference in ("v1", "v2", str(digest)):
        assert client.ask("GET", f"manifests/{reference}").status_code == 404
    assert client.ask("GET", "tags/list").json()["tags"] == ["v3"]
    assert client.ask("GET", f"manifests/{kept}").status_code == 200


def test_a_tag_moves_to_what_is_pushed_last(client: Client) -> None:
    first = client.image("v1")
    second = client.image("v1", annotations={"a": "b"})
    assert client.ask("GET", "manifests/v1").headers["Docker-Content-Digest"] == str(second)
    assert client.ask("GET", f"manifests/{first}").status_code == 200


def test_a_condition_on_the_tag_is_honoured(client: Client) -> None:
    client.blob(EMPTY_CONTENT)
    first, second = manifest(), manifest(annotations={"a": "b"})
    here, there = f'"{Digest.of(first)}"', f'"{Digest.of(second)}"'
    steps: list[tuple[bytes, dict[str, str], int]] = [
        (first, {"If-Match": here}, 412),
        (first, {"If-Match": "*"}, 412),
        (first, {"If-None-Match": "*"}, 201),
        (second, {"If-None-Match": "*"}, 412),
        (second, {"If-Match": there}, 412),
        (second, {"If-None-Match": here}, 412),
        (second, {"If-Match": "W/" + here}, 412),
        (second, {"If-None-Match": "W/" + here}, 412),
        (second, {"If-Match": "nonsense"}, 412),
        (second, {"If-Match": f"{there}, {here}"}, 201),
        (first, {"If-Match": "*"}, 201),
        (second, {"If-None-Match": there}, 201),
    ]
    for content, condition, status in steps:
        answer = client.put(content, "v1", headers=condition)
        assert (answer.status_code, condition) == (status, condition)
        assert status == 201 or code(answer) == "PRECONDITION_FAILED"


def test_of_many_who_want_to_be_first_one_is(client: Client) -> None:
    client.blob(EMPTY_CONTENT)

    def push(number: int) -> int:
        content = manifest(annotations={"writer": str(number)})
        with requests.Session() as session:
            mine = Client(session, client.address, client.repository)
            return mine.put(content, "v1", headers={"If-None-Match": "*"}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(push, range(8)))
    assert statuses == [201] + [412] * 7


def test_tags_come_sorted_and_in_pages(client: Client) -> None:
    names = ["Z", "a", "b", "v1", "v10", "v2"]
    for name in reversed(names):
        client.image(name)
    assert client.ask("GET", "tags/list").json() == {"name": client.repository, "tags": names}
    assert client.ask("GET", "tags/list", n="0").json()["tags"] == []
    assert client.ask("GET", "tags/list", last="b").json()["tags"] == ["v1", "v10", "v2"]
    assert client.ask("GET", "tags/list", last="nothing").json()["tags"] == ["v1", "v10", "v2"]
    pages, url = [], "tags/list?n=4"
    while url:
        answer = client.ask("GET", url)
        pages.append(answer.json()["tags"])
        url = answer.links.get("next", {}).get("url", "")
    assert pages == [names[:4], names[4:]]


def test_a_name_that_is_no_tag_is_not_listed(client: Client, root: Path) -> None:
    client.image("v1")
    index = root / client.repository / "_oci" / "index.json"
    index.write_text(index.read_text().replace('"v1"', '"docker.io/library/image:v1"'))
    assert client.ask("GET", "tags/list").json()["tags"] == []


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "", "9" * 5000])
def test_a_page_size_that_is_no_number_is_refused(client: Client, number: str) -> None:
    client.image("v1")
    answer = client.ask("GET", "tags/list", n=number)
    assert answer.status_code == 400
    assert code(answer) == "PAGINATION_NUMBER_INVALID"


def test_an_unknown_repository_has_no_list_of_tags(client: Client) -> None:
    answer = client.ask("GET", "tags/list")
    assert answer.status_code == 404
    assert code(answer) == "NAME_UNKNOWN"


def referrers(client: Client, digest: Digest, **parameters: str) -> list[dict[str, Any]]:
    """All pages of the list, each a valid index."""
    found: list[dict[str, Any]] = []
    answer = client.ask("GET", f"referrers/{digest}", **parameters)
    while True:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == OCI_INDEX
        page = answer.json()
        assert (page["schemaVersion"], page["mediaType"]) == (2, OCI_INDEX)
        found += page["manifests"]
        if "next" not in answer.links:
            return found
        answer = client.ask("GET", answer.links["next"]["url"])


def test_a_referrer_is_listed_with_its_type_and_annotations(client: Client) -> None:
    subject = client.image("v1")
    content = manifest(
        subject=pointer(subject, len(manifest())), artifactType="text/example", annotations={"who": "me"}
    )
    pushed = client.put(content)
    assert pushed.status_code == 201
    assert pushed.headers["OCI-Subject"] == str(subject)
    assert referrers(client, subject) == [
        {
            **pointer(Digest.of(content), len(content)),
            "artifactType": "text/example",
            "annotations": {"who": "me"},
        }
    ]


def test_a_referrer_without_artifact_type_is_listed_with_that_of_its_config(client: Client) -> None:
    subject = client.image("v1")
    client.image(subject=pointer(subject, len(manifest())))
    assert [entry["artifactType"] for entry in referrers(client, subject)] == [EMPTY.media_type]


def test_an_index_may_refer_to_an_image(client: Client) -> None:
    subject = client.image("v1")
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": pointer(subject, 1)}
    assert client.put(dumps(value), media_type=OCI_INDEX).headers["OCI-Subject"] == str(subject)
    assert [entry["mediaType"] for entry in referrers(client, subject)] == [OCI_INDEX]


def test_the_subject_may_come_later_or_never(client: Client) -> None:
    referrer = client.image(subject=pointer(_ABSENT, 18))
    assert [entry["digest"] for entry in referrers(client, _ABSENT)] == [str(referrer)]


def test_a_list_is_filtered_by_artifact_type(client: Client) -> None:
    subject = client.image("v1")
    for name in ("text/a", "text/b"):
        client.image(subject=pointer(subject, 1), artifactType=name)
    answer = client.ask("GET", f"referrers/{subject}", artifactType="text/b")
    assert answer.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["artifactType"] for entry in answer.json()["manifests"]] == ["text/b"]
    assert "OCI-Filters-Applied" not in client.ask("GET", f"referrers/{subject}").headers


def test_nobody_refers_to_an_unknown_digest(client: Client) -> None:
    for _ in ("before the repository exists", "after"):
        assert referrers(client, _ABSENT) == []
        client.blob()


def test_a_deleted_referrer_is_no_longer_listed(client: Client) -> None:
    subject = client.image("v1")
    referrer = client.image(subject=pointer(subject, 1))
    assert client.ask("DELETE", f"manifests/{referrer}").status_code == 202
    assert referrers(client, subject) == []


def test_a_long_list_comes_in_pages_that_a_manifest_limit_can_hold(client: Client) -> None:
    subject = client.image("v1")
    large = "x" * (MANIFEST_BYTES // 3)
    pushed = []
    for number in range(5):
        fields: dict[str, Any] = {"artifactType": f"text/{number % 2}", "annotations": {str(number): large}}
        pushed.append(str(client.image(subject=pointer(subject, 1), **fields)))
    first = client.ask("GET", f"referrers/{subject}", request="any other parameter")
    assert len(first.content) <= MANIFEST_BYTES
    assert "next" in first.links
    assert sorted(entry["digest"] for entry in referrers(client, subject)) == sorted(pushed)
    assert len(referrers(client, subject, artifactType="text/0")) == 3


def test_no_referrer_of_many_writers_is_lost(client: Client) -> None:
    subject = client.image("v1")

    def push(number: int) -> str:
        with requests.Session() as session:
            mine = Client(session, client.address, client.repository)
            return str(mine.image(subject=pointer(subject, 1), annotations={"writer": str(number)}))

    with ThreadPoolExecutor(12) as pool:
        pushed = list(pool.map(push, range(24)))
    assert sorted(entry["digest"] for entry in referrers(client, subject)) == sorted(pushed)


def test_every_repository_is_an_oci_layout_on_disk(client: Client, root: Path) -> None:
    digest = client.image("v1")
    layout = root / client.repository / "_oci"
    assert json.loads((layout / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert (layout / "blobs" / "sha256" / digest.hex).read_bytes() == manifest()
    entries = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert [entry["digest"] for entry in entries] == [str(digest)]


def test_what_was_pushed_outlives_the_server(tmp_path: Path) -> None:
    with requests.Session() as session:
        with serve_in_thread(tmp_path) as address:
            client = Client(session, address, "a/b")
            subject = client.image("v1")
            referrer = client.image(subject=pointer(subject, 1))
            location = client.ask("PATCH", client.begin(), _BLOB[:5]).headers["Location"]
        with serve_in_thread(tmp_path) as address:
            client = Client(session, address, "a/b")
            assert client.ask("GET", "tags/list").json()["tags"] == ["v1"]
            assert [entry["digest"] for entry in referrers(client, subject)] == [str(referrer)]
            assert client.ask("PUT", location, _BLOB[5:], digest=str(Digest.of(_BLOB))).status_code == 201


def test_a_stopped_server_leaves_nothing_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with requests.Session() as session, contextlib.ExitStack() as hanging:
        with serve_in_thread(tmp_path) as address:
            client = Client(session, address, "a/b")
            large, location = client.blob(bytes(32 << 20)), client.begin()
            host, _, port = address.partition(":")
            sender, reader = (
                hanging.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(2)
            )
            sender.sendall(f"PATCH {location} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100\r\n\r\nbegun".encode())
            reader.sendall(f"GET /v2/a/b/blobs/{large} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            assert reader.recv(100).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://{address}/v2/", timeout=20)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=20)
    gc.collect()
    assert set(threading.enumerate()) - before == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server_in_the_foreground(tmp_path: Path, number: signal.Signals) -> None:
    program = (
        "import sys, pathlib, registries.server as s;"
        "s.serve(pathlib.Path(sys.argv[1]), '127.0.0.1', 0, ready=lambda address: print(address, flush=True))"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert requests.get(f"{address}/v2/", timeout=20).status_code == 200
        process.send_signal(number)
        _, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints) == (0, "")


def test_an_address_that_is_taken_is_a_usage_error(address: str, tmp_path: Path) -> None:
    host, _, port = address.partition(":")
    with pytest.raises(UsageError) as error:
        serve(tmp_path, host, int(port), ready=lambda _: pytest.fail("it can't be ready"))
    assert error.value.code == "address-unavailable"


def test_a_folder_that_can_not_be_made_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable) as error, serve_in_thread(tmp_path / "file" / "registry"):
        pytest.fail("it can't be served")
    assert error.value.code == "local-storage-failed"


@pytest.mark.parametrize("host", ["[", "x/?#", "a b", "127.0.0.1:x"])
def test_a_strange_host_header_changes_nothing(address: str, host: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/v2/a/tags/list", headers={"Host": host})
        assert connection.getresponse().status == 404


def test_what_is_not_http_gets_a_bad_request(address: str) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
