"""The registry itself: the answers of OCI distribution-spec 1.1, its switches, its store, and the rules."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.faults.actions import Action
from tests.faults.wire import Reply, Seen, Server

INDEX = "application/vnd.oci.image.index.v1+json"
LONGEST_MANIFEST = 4 * 1024 * 1024


@dataclass(frozen=True)
class Repeated:
    """A blob that is too large to be kept: one block, so many times."""

    block: bytes
    times: int

    @property
    def size(self) -> int:
        return len(self.block) * self.times

    @property
    def digest(self) -> str:
        hashed = hashlib.sha256()
        for block in itertools.repeat(self.block, self.times):
            hashed.update(block)
        return f"sha256:{hashed.hexdigest()}"

    def part(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes from the first to the last."""
        while first <= last:
            begin = first % len(self.block)
            piece = self.block[begin : begin + last + 1 - first]
            yield piece
            first += len(piece)


@dataclass(frozen=True)
class Stored:
    """What a registry holds at one instant."""

    blobs: Mapping[tuple[str, str], bytes]
    manifests: Mapping[tuple[str, str], tuple[str, bytes]]
    tags: Mapping[tuple[str, str], str]


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
    large: dict[str, Repeated] = field(default_factory=dict)  # by digest: what these blobs consist of
    tokens: dict[str, list[str]] = field(default_factory=dict)  # the scopes that were granted
    requests: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._uploads: dict[str, bytes] = {}
        self._rules: list[_Rule] = []
        self._lock = threading.RLock()
        self._server = Server(self.answer, self.tls)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"{'https' if self.tls else 'http'}://{self.host}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._server.stop()
        if kind is None and self.errors:
            raise self.errors[0]

    @property
    def errors(self) -> list[BaseException]:
        """What went wrong in the registry itself; raised when it ends."""
        return self._server.errors

    @property
    def stopped(self) -> threading.Event:
        """For actions that wait."""
        return self._server.stopped

    def rule(self, method: str, path: str, action: Action, *, nth: int | Container[int] | None = None) -> None:
        """Let `action` answer the n-th matching requests, from 1 (None: all). The first rule that applies wins."""
        times = (nth,) if isinstance(nth, int) else nth
        with self._lock:
            self._rules.append(_Rule(re.compile(method), re.compile(path), action, times))

    def obey(self) -> None:
        """Forget all rules, requests and unfinished uploads: correct again, and as if nobody had asked anything."""
        with self._lock:
            self._rules.clear()
            self._uploads.clear()
            self.requests.clear()
        self._server.begin()

    def stored(self) -> Stored:
        """What is held now."""
        with self._lock:
            return Stored(dict(self.blobs), dict(self.manifests), dict(self.tags))

    def restore(self, stored: Stored) -> None:
        """Hold what was held at another time, and obey."""
        with self._lock:
            self.blobs, self.manifests, self.tags = dict(stored.blobs), dict(stored.manifests), dict(stored.tags)
            self.obey()

    def settle(self) -> None:
        """Wait until whatever clients had sent that came since `obey` and have died has taken its effect."""
        self._server.settle()

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
        if self.login is not None and seen.headers.get("authorization") != _basic(*self.login):
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
        if seen.swallowed is not None:
            return self._swallowed(seen, name, upload)
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

    def _swallowed(self, seen: Seen, name: str, upload: str) -> Reply:
        """The end of an upload of one of the `large`."""
        digest = seen.query.get("digest", "")
        if seen.swallowed is None or digest not in self.large or seen.swallowed != (self.large[digest].size, digest):
            return _error(400, "DIGEST_INVALID")
        del self._uploads[upload]
        self.blobs[name, digest] = b""
        return _created(f"/v2/{name}/blobs/{digest}", digest)

    def _blob(self, seen: Seen, name: str, digest: str) -> Reply:
        if (name, digest) not in self.blobs:
            return _error(404, "BLOB_UNKNOWN")
        if seen.method == "DELETE":
            del self.blobs[name, digest]
            return Reply(status=202)
        content, large = self.blobs[name, digest], self.large.get(digest)
        size = len(content) if large is None else large.size
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.headers.get("range", "")) if self.ranges else None
        first, last = (0, size - 1) if wanted is None else (int(wanted[1]), min(int(wanted[2] or size), size - 1))
        if wanted is not None:
            if first > last:
                return _error(416, "RANGE_INVALID", {"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        if large is not None:
            headers["Content-Length"] = str(last + 1 - first)
        part = content[first : last + 1] if large is None else large.part(first, last)
        return Reply(status=200 if wanted is None else 206, headers=headers, body=part)

    def _manifest(self, seen: Seen, name: str, reference: str) -> Reply:
        if seen.method == "PUT":
            return self._put_manifest(seen, name, reference)
        digest = reference if ":" in reference else self.tags.get((name, reference), "")
        if (name, digest) not in self.manifests:
            return _error(404, "MANIFEST_UNKNOWN")
        if seen.method == "DELETE":
            return self._delete(name, reference)
        media_type, content = self.manifests[name, digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return Reply(headers=headers, body=content)

    def _delete(self, name: str, reference: str) -> Reply:
        """A tag alone, or a manifest with its tags."""
        if ":" in reference:
            del self.manifests[name, reference]
        gone = [key for key, digest in self.tags.items() if key[0] == name and reference in (key[1], digest)]
        for key in gone:
            del self.tags[key]
        return Reply(status=202)

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
        by_name = path.endswith("/tags/list")
        rest = [item for item in items if item > last] if by_name else items[int(last or 0) :]
        if not size or len(rest) <= size:
            return rest, {}
        following = rest[size - 1] if by_name else int(last or 0) + size
        return rest[:size], {"Link": f'<{path}?n={size}&last={following}>; rel="next"'}


def _digest(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" if algorithm in ("sha256", "sha512") else ""


def _basic(user: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()


def _created(location: str, digest: str) -> Reply:
    return Reply(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _json(
    code: int, value: object, *, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Reply:
    return Reply(status=code, headers={"Content-Type": media_type, **(headers or {})}, body=json.dumps(value).encode())


def _error(code: int, name: str, headers: Mapping[str, str] | None = None) -> Reply:
    return _json(code, {"errors": [{"code": name, "message": name.lower()}]}, headers=headers)
