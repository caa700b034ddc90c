"""A small OCI registry on loopback: correct until a rule tells it to misbehave, and it remembers what it was asked.

    with FaultRegistry(referrers_api=False) as registry:
        registry.rule("GET", "/manifests/", status(503), nth=range(1, 3))     # the first two, then correctly
        …
        assert [seen.method for seen in registry.requests] == ["GET", "GET", "GET"]

It shares no code with samebits, so that both can't be wrong in the same way.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
LONGEST_MANIFEST = 4 * 1024 * 1024


@dataclass(kw_only=True)
class Seen:
    """One request as it arrived; `path` includes the query, header names are lower case, `client` is a port."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    client: int = 0
    status: int = 0

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass(kw_only=True)
class Reply:
    """What goes out. `cut`: reset after so many bytes of the body, -1: before anything; `pace`: seconds per byte."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    cut: int | None = None
    pace: float = 0.0


Answer = Callable[[], Reply]
Action = Callable[[Seen, Answer], Reply]


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Action:
    """Answer this, whatever was asked; nothing takes effect."""
    return lambda *_: Reply(status=code, headers=dict(headers or {}), body=body)


def redirect(url: str, code: int = 307) -> Action:
    return status(code, {"Location": url})


def challenge(header: str) -> Action:
    return status(401, {"WWW-Authenticate": header})


def then(change: Callable[[Reply], Reply]) -> Action:
    """Do what was asked, and change the answer."""
    return lambda _, answer: change(answer())


def header(name: str, value: str | None) -> Action:
    """Lying digests, foreign upload locations, encodings. None: without this header."""

    def change(reply: Reply) -> Reply:
        others = {key: old for key, old in reply.headers.items() if key.lower() != name.lower()}
        return replace(reply, headers=others if value is None else {**others, name: value})

    return then(change)


def body(change: Callable[[bytes], bytes]) -> Action:
    """Other, longer or shorter bytes under the same headers, but for the length."""
    return then(lambda reply: replace(reply, body=change(_whole(reply))))


def cut(after: int = -1) -> Action:
    """Reset the connection after so many bytes of the body; -1: before the answer."""
    return then(lambda reply: replace(reply, cut=after))


def dribble(seconds: float) -> Action:
    """One byte of the body at a time, this long after the one before."""
    return then(lambda reply: replace(reply, pace=seconds))


def endless(chunk: bytes = b" " * 65536) -> Action:
    """A body that never ends."""
    return then(lambda reply: replace(reply, body=itertools.repeat(chunk)))


def without(*digests: str) -> Action:
    """Leave these referrers out of a list, from API or tag; none named: all."""

    def drop(content: bytes) -> bytes:
        value = json.loads(content)
        kept = [entry for entry in value["manifests"] if digests and entry["digest"] not in digests]
        return json.dumps({**value, "manifests": kept}).encode()

    return body(drop)


def call(function: Callable[[Seen], object], *, after: bool = False) -> Action:
    """Call this before the request takes effect, or after it did and before it is answered."""

    def act(seen: Seen, answer: Answer) -> Reply:
        if not after:
            function(seen)
        reply = answer()
        if after:
            function(seen)
        return reply

    return act


@dataclass
class _Rule:
    method: re.Pattern[str]
    path: re.Pattern[str]
    action: Action
    nth: Container[int] | None
    matches: int = 0


@dataclass(kw_only=True, eq=False)
class FaultRegistry:
    """The registry. Its switches and its store (by repository and digest or tag) are open to tests at any time."""

    referrers_api: bool = True
    oci_subject: bool = True
    conditions: bool = False  # heed If-Match and If-None-Match
    ranges: bool = True
    mounts: bool = True
    page_size: int | None = None
    login: tuple[str, str] | None = None  # ask for this user and password …
    bearer: bool = False  # … at a token server, /token
    tls: ssl.SSLContext | None = None
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)  # media type and bytes
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)  # the scopes that were granted
    requests: list[Seen] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stopped = threading.Event()
        self._uploads: dict[str, bytes] = {}
        self._rules: list[_Rule] = []
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'https' if self.tls else 'http'}://{self.host}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join(5)
        if kind is None and self.errors:
            raise self.errors[0]

    def rule(self, method: str, path: str, action: Action, *, nth: int | Container[int] | None = None) -> None:
        """Let `action` answer the n-th matching requests, from 1 (None: all). The first rule that applies wins."""
        times = (nth,) if isinstance(nth, int) else nth
        with self._lock:
            self._rules.append(_Rule(re.compile(method), re.compile(path), action, times))

    def writes(self) -> list[Seen]:
        """All requests that could change something."""
        return [seen for seen in self.requests if seen.method not in ("GET", "HEAD")]

    def put_blob(self, name: str, content: bytes) -> str:
        digest = _digest(content)
        self.blobs[name, digest] = content
        return digest

    def put_manifest(self, name: str, content: bytes, tag: str | None = None, media_type: str | None = None) -> str:
        digest = _digest(content)
        self.manifests[name, digest] = (media_type or json.loads(content)["mediaType"], content)
        if tag is not None:
            self.tags[name, tag] = digest
        return digest

    def answer(self, seen: Seen) -> Reply:
        """What the first applicable rule says, else what is correct."""
        with self._lock:
            self.requests.append(seen)
            chosen: Action | None = None
            for rule in self._rules:
                if rule.method.fullmatch(seen.method) and rule.path.search(seen.path):
                    rule.matches += 1
                    if chosen is None and (rule.nth is None or rule.matches in rule.nth):
                        chosen = rule.action
        reply = chosen(seen, lambda: self.correct(seen)) if chosen is not None else self.correct(seen)
        seen.status = reply.status
        return reply

    def correct(self, seen: Seen) -> Reply:
        """The answer of OCI distribution-spec 1.1."""
        path = urlsplit(seen.path).path
        if path == "/token":
            return self._token(seen)
        with self._lock:
            if (refusal := self._challenged(seen, path)) is not None:
                return refusal
            if path in ("/v2", "/v2/"):
                return Reply(body=b"{}")
            for pattern, answer in self._routes():
                if match := re.fullmatch(f"/v2/(.+?)/{pattern}", path):
                    return answer(seen, *match.groups())
        return _error(404, "UNSUPPORTED")

    def _routes(self) -> Iterator[tuple[str, Callable[..., Reply]]]:
        yield "blobs/uploads/", self._start
        yield "blobs/uploads/([^/]+)", self._upload
        yield "blobs/([^/]+)", self._blob
        yield "manifests/([^/]+)", self._manifest
        yield "tags/list", self._list_tags
        if self.referrers_api:
            yield "referrers/([^/]+)", self._list_referrers

    def _challenged(self, seen: Seen, path: str) -> Reply | None:
        if self.login is None:
            return None
        given = seen.headers.get("authorization", "")
        name = re.sub(r"^/v2/|/(blobs|manifests|tags|referrers)/.*$", "", path)
        if self.bearer:
            offer = f'Bearer realm="{self.url}/token",service="faults",scope="repository:{name}:pull,push"'
            wanted = "pull" if seen.method in ("GET", "HEAD") else "push"
            granted = [scope.split(":") for scope in self.tokens.get(given.removeprefix("Bearer "), [])]
            passed = any(of == name and wanted in actions.split(",") for _, of, actions in granted)
        else:
            offer, passed = 'Basic realm="faults"', given == _basic(*self.login)
        return None if passed else _error(401, "UNAUTHORIZED", {"WWW-Authenticate": offer})

    def _token(self, seen: Seen) -> Reply:
        if self.login is None or seen.headers.get("authorization") != _basic(*self.login):
            return _error(401, "UNAUTHORIZED")
        token = uuid.uuid4().hex
        self.tokens[token] = parse_qs(urlsplit(seen.path).query).get("scope", [])
        return _json(200, {"token": token, "expires_in": 300})

    def _start(self, seen: Seen, name: str) -> Reply:
        mounted, source = seen.query.get("mount"), seen.query.get("from", "")
        if self.mounts and mounted is not None and (source, mounted) in self.blobs:
            self.blobs[name, mounted] = self.blobs[source, mounted]
            return _created(f"/v2/{name}/blobs/{mounted}", mounted)
        upload = uuid.uuid4().hex
        self._uploads[upload] = b""
        if "digest" in seen.query:
            return self._upload(seen, name, upload)
        return Reply(status=202, headers={"Location": f"/v2/{name}/blobs/uploads/{upload}", "Range": "0-0"})

    def _upload(self, seen: Seen, name: str, upload: str) -> Reply:
        if upload not in self._uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN")
        if seen.method == "DELETE":
            del self._uploads[upload]
            return Reply(status=204)
        before = self._uploads[upload]
        begins = seen.headers.get("content-range", "").partition("-")[0]
        if begins and int(begins) != len(before):
            return _error(416, "BLOB_UPLOAD_INVALID")
        content = self._uploads[upload] = before + seen.body
        if seen.method in ("GET", "PATCH"):
            location = {"Location": f"/v2/{name}/blobs/uploads/{upload}", "Range": f"0-{max(len(content) - 1, 0)}"}
            return Reply(status=204 if seen.method == "GET" else 202, headers=location)
        digest = seen.query.get("digest", "")
        if digest != _digest(content, digest.partition(":")[0]):
            return _error(400, "DIGEST_INVALID")
        del self._uploads[upload]
        self.blobs[name, digest] = content
        return _created(f"/v2/{name}/blobs/{digest}", digest)

    def _blob(self, seen: Seen, name: str, digest: str) -> Reply:
        if (name, digest) not in self.blobs:
            return _error(404, "BLOB_UNKNOWN")
        content = self.blobs[name, digest]
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", "")) if self.ranges else None
        if wanted is None:
            return Reply(headers=headers, body=content)
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        if first > last:
            return _error(416, "RANGE_INVALID", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Reply(status=206, headers=headers, body=content[first : last + 1])

    def _manifest(self, seen: Seen, name: str, reference: str) -> Reply:
        if seen.method == "PUT":
            return self._put_manifest(seen, name, reference)
        digest = reference if ":" in reference else self.tags.get((name, reference), "")
        if (name, digest) not in self.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        media_type, content = self.manifests[name, digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return Reply(headers=headers, body=content)

    def _put_manifest(self, seen: Seen, name: str, reference: str) -> Reply:
        if seen.size > LONGEST_MANIFEST:
            return _error(413, "SIZE_INVALID")
        try:
            value = json.loads(seen.body)
            pieces = [value["config"], *value["layers"]] if "layers" in value else []
            missing = [piece for piece in pieces if not piece.get("urls") and (name, piece["digest"]) not in self.blobs]
            missing += [child for child in value.get("manifests", []) if (name, child["digest"]) not in self.manifests]
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error(400, "MANIFEST_INVALID")
        if missing:
            return _error(400, "MANIFEST_BLOB_UNKNOWN")
        algorithm, colon, _ = reference.partition(":")
        digest = _digest(seen.body, algorithm if colon else "sha256")
        if colon and digest != reference:
            return _error(400, "DIGEST_INVALID")
        now = self.tags.get((name, reference))
        wanted = seen.headers.get("if-match")
        unwanted = seen.headers.get("if-none-match") == "*" and now is not None
        if self.conditions and (unwanted or (wanted is not None and wanted != f'"{now}"')):
            return _error(412, "PRECONDITION_FAILED")
        self.manifests[name, digest] = (seen.headers.get("content-type", ""), seen.body)
        if not colon:
            self.tags[name, reference] = digest
        reply = _created(f"/v2/{name}/manifests/{digest}", digest)
        if self.oci_subject and isinstance(value.get("subject"), dict):
            reply.headers["OCI-Subject"] = value["subject"]["digest"]
        return reply

    def _list_tags(self, seen: Seen, name: str) -> Reply:
        if not any(name == repository for repository, _ in (*self.manifests, *self.blobs)):
            return _error(404, "NAME_UNKNOWN")
        found = sorted(tag for repository, tag in self.tags if repository == name)
        shown, link = self._page(seen, found, f"/v2/{name}/tags/list")
        return _json(200, {"name": name, "tags": shown}, headers=link)

    def _list_referrers(self, seen: Seen, name: str, subject: str) -> Reply:
        entries = []
        for (repository, digest), (media_type, content) in sorted(self.manifests.items()):
            value = json.loads(content)
            if repository == name and (value.get("subject") or {}).get("digest") == subject:
                artifact_type = value.get("artifactType") or value.get("config", {}).get("mediaType")
                entry = {"mediaType": media_type, "digest": digest, "size": len(content), "artifactType": artifact_type}
                entries.append(entry | ({"annotations": value["annotations"]} if value.get("annotations") else {}))
        shown, link = self._page(seen, entries, f"/v2/{name}/referrers/{subject}")
        listed = {"schemaVersion": 2, "mediaType": INDEX, "manifests": shown}
        return _json(200, listed, media_type=INDEX, headers=link)

    def _page(self, seen: Seen, items: list[Any], path: str) -> tuple[list[Any], dict[str, str]]:
        """The items after `last` (a position for referrers, a tag for tags), and the link to the rest."""
        last, size = seen.query.get("last", ""), int(seen.query.get("n") or self.page_size or 0)
        by_name = bool(items) and isinstance(items[0], str)
        rest = [item for item in items if item > last] if by_name else items[int(last or 0) :]
        if not size or len(rest) <= size:
            return rest, {}
        following = rest[size - 1] if by_name else int(last or 0) + size
        return rest[:size], {"Link": f'<{path}?n={size}&last={following}>; rel="next"'}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], registry: FaultRegistry) -> None:
        self.registry = registry
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        connection = request
        try:
            if self.registry.tls is not None:
                connection = self.registry.tls.wrap_socket(request, server_side=True)
            self._open.add(connection)
            self.finish_request(connection, client_address)
        except OSError:
            pass  # the client went away, or refused our certificate
        except Exception as error:  # noqa: BLE001 - shown to the test when it ends
            self.registry.errors.append(error)
        finally:
            self._open.discard(connection)
            self.shutdown_request(connection)

    def close_connections(self) -> None:
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._open.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def log_message(self, *_: object) -> None:
        """Tests read `requests` instead."""

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.registry.answer(
            Seen(
                method=self.command,
                path=self.path,
                headers=headers,
                body=self._received(headers),
                client=self.client_address[1],
            )
        )
        if reply.cut == -1:
            self._cut()
            return
        streamed = None if isinstance(reply.body, bytes) else iter(reply.body)
        content = reply.body if isinstance(reply.body, bytes) else b""
        sent = {"Content-Length": str(len(content))} if streamed is None else {"Connection": "close"}
        self.send_response(reply.status)
        for name, value in (sent | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in streamed if streamed is not None else self._pieces(content[: reply.cut], reply.pace):
            if self.server.registry.stopped.is_set():
                break
            self.wfile.write(piece)
        if reply.cut is not None:
            self._cut()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names http.server calls

    def _pieces(self, content: bytes, pace: float) -> Iterator[bytes]:
        if not pace:
            yield content
            return
        for position in range(len(content)):
            self.server.registry.stopped.wait(pace)
            yield content[position : position + 1]

    def _received(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        content = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return content

    def _cut(self) -> None:
        """Reset the connection, as a crash does."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _digest(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" if algorithm in ("sha256", "sha512") else ""


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def _whole(reply: Reply) -> bytes:
    return reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)


def _created(location: str, digest: str) -> Reply:
    return Reply(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _json(
    code: int, value: object, *, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Reply:
    return Reply(status=code, headers={"Content-Type": media_type, **(headers or {})}, body=json.dumps(value).encode())


def _error(code: int, name: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _json(code, {"errors": [{"code": name, "message": name.lower()}]}, headers=headers)
