"""The endpoints of OCI distribution-spec 1.1 as a table: what is asked, in order, and what has to be answered.

The specification's own program is run by `tests/integration/test_oci_conformance.py`. Here is what that asks for, and
what it does not, such as the code of an error, without anything to install. `end-N` is the specification's number.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from registries.digest import Digest
from registries.manifest import EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST
from registries.server import serve_in_thread
from registries.strict_json import dumps

BLOB = b"0123456789"
EMPTY_ENTRY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": str(Digest.of(EMPTY_CONTENT)), "size": 2}
IMAGE = dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY_ENTRY, "layers": [EMPTY_ENTRY]})


def referrer(subject: bytes, algorithm: str = "sha256", **fields: object) -> bytes:
    """A manifest whose subject is another one."""
    entry = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(subject, algorithm)), "size": len(subject)}
    value = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY_ENTRY, "layers": [EMPTY_ENTRY]}
    return dumps({**value, "subject": entry, **fields})


NOTE = referrer(IMAGE, artifactType="text/note", annotations={"by": "me"})
SBOM = referrer(IMAGE, artifactType="text/sbom")
LONG = referrer(IMAGE, "sha512", artifactType="text/long")
ORPHAN = referrer(b"nobody pushed this", artifactType="text/note")
LACKING = dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": EMPTY_ENTRY,
        "layers": [{**EMPTY_ENTRY, "digest": "ABSENT"}],
    }
).replace(b"ABSENT", str(Digest.of(b"absent")).encode())
INDEX = dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": str(Digest.of(IMAGE)), "size": len(IMAGE)}],
    }
)
NAMES: Mapping[str, bytes] = {
    "blob": BLOB,
    "empty": EMPTY_CONTENT,
    "image": IMAGE,
    "note": NOTE,
    "sbom": SBOM,
    "long": LONG,
    "orphan": ORPHAN,
    "lacking": LACKING,
    "index": INDEX,
    "absent": b"absent",
    "nothing": b"",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request and its answer. In texts, {blob} is a digest, {blob512} the longer one, {location} the last upload.

    `code` is that of the error; `sends` are headers asked with; `headers` are full patterns of those answered; `body`
    is the whole body; `lists` are the tags or digests of a list, in order or not.
    """

    asks: str
    body: bytes | None = None
    sends: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    gives: bytes | None = None
    lists: tuple[str, ...] | None = None


def manifest(media_type: str = OCI_MANIFEST) -> dict[str, str]:
    return {"Content-Type": media_type}


UPLOAD = {"Location": "/v2/.+/blobs/uploads/[0-9a-f]{32}"}
BLOBS, UPLOADS, MANIFESTS, TAGS, REFERRERS = (
    "{r}/blobs/",
    "{r}/blobs/uploads/",
    "{r}/manifests/",
    "{r}/tags/list",
    "{r}/referrers/",
)
PUSH_EMPTY = Row(asks=f"POST {UPLOADS}?digest={{empty}}", body=EMPTY_CONTENT, status=201)
PUSH_BLOB = Row(asks=f"POST {UPLOADS}?digest={{blob}}", body=BLOB, status=201)
PUSH_IMAGE = Row(asks=f"PUT {MANIFESTS}v1", body=IMAGE, sends=manifest(), status=201)
BEGIN = Row(asks=f"POST {UPLOADS}", status=202, headers={**UPLOAD, "Range": "0-0"})

TABLE: Mapping[str, tuple[Row, ...]] = {
    "end-1 the version check": (Row(asks="GET /v2/"), Row(asks="POST /v2/", status=405, code="UNSUPPORTED")),
    "end-2 a blob is pulled, in part too": (
        PUSH_BLOB,
        Row(asks=f"HEAD {BLOBS}{{blob}}", headers={"Content-Length": "10", "Docker-Content-Digest": "{blob}"}),
        Row(asks=f"GET {BLOBS}{{blob}}", gives=BLOB, headers={"Docker-Content-Digest": "{blob}"}),
        Row(
            asks=f"GET {BLOBS}{{blob}}",
            sends={"Range": "bytes=2-4"},
            status=206,
            gives=b"234",
            headers={"Content-Range": "bytes 2-4/10", "Content-Length": "3"},
        ),
        Row(asks=f"GET {BLOBS}{{blob}}", sends={"Range": "bytes=-2"}, status=206, gives=b"89"),
        Row(asks=f"GET {BLOBS}{{blob}}", sends={"Range": "bytes=10-"}, status=416, code="RANGE_INVALID"),
        Row(asks=f"GET {BLOBS}{{absent}}", status=404, code="BLOB_UNKNOWN"),
        Row(asks=f"HEAD {BLOBS}{{absent}}", status=404),
        Row(asks=f"GET {BLOBS}sha256:short", status=400, code="DIGEST_INVALID"),
        Row(asks=f"GET {BLOBS}md5:0123", status=400, code="DIGEST_INVALID"),
    ),
    "end-3 a manifest is pulled by tag and by digest": (
        PUSH_EMPTY,
        PUSH_IMAGE,
        Row(
            asks=f"GET {MANIFESTS}v1",
            gives=IMAGE,
            headers={"Content-Type": re.escape(OCI_MANIFEST), "Docker-Content-Digest": "{image}"},
        ),
        Row(asks=f"GET {MANIFESTS}{{image}}", gives=IMAGE),
        Row(
            asks=f"HEAD {MANIFESTS}v1", headers={"Docker-Content-Digest": "{image}", "Content-Length": str(len(IMAGE))}
        ),
        Row(asks=f"GET {MANIFESTS}v2", status=404, code="MANIFEST_UNKNOWN"),
        Row(asks=f"HEAD {MANIFESTS}{{absent}}", status=404),
        Row(asks=f"GET {MANIFESTS}{{empty}}", status=404, code="MANIFEST_UNKNOWN"),
    ),
    "end-4a, end-6 an upload in two requests": (
        BEGIN,
        Row(
            asks="PUT {location}?digest={blob}",
            body=BLOB,
            status=201,
            headers={"Location": "/v2/.+/blobs/{blob}", "Docker-Content-Digest": "{blob}"},
        ),
        Row(asks=f"GET {BLOBS}{{blob}}", gives=BLOB),
        Row(asks="GET {location}", status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ),
    "end-4b an upload in one request": (
        Row(asks=f"POST {UPLOADS}?digest={{blob}}", body=BLOB, status=201, headers={"Location": "/v2/.+/blobs/{blob}"}),
        Row(asks=f"POST {UPLOADS}?digest={{absent}}", body=BLOB, status=400, code="DIGEST_INVALID"),
        Row(asks=f"POST {UPLOADS}?digest=sha256:short", body=BLOB, status=400, code="DIGEST_INVALID"),
        Row(asks=f"GET {BLOBS}{{absent}}", status=404, code="BLOB_UNKNOWN"),
    ),
    "end-5 an upload in chunks": (
        BEGIN,
        Row(
            asks="PATCH {location}", body=BLOB[:4], sends={"Content-Range": "0-3"}, status=202, headers={"Range": "0-3"}
        ),
        Row(
            asks="PATCH {location}",
            body=BLOB[6:],
            sends={"Content-Range": "6-9"},
            status=416,
            code="BLOB_UPLOAD_INVALID",
        ),
        Row(
            asks="PATCH {location}",
            body=BLOB[4:],
            sends={"Content-Range": "4-8"},
            status=400,
            code="BLOB_UPLOAD_INVALID",
        ),
        Row(
            asks="PATCH {location}",
            body=BLOB[4:6],
            sends={"Content-Range": "4-5"},
            status=202,
            headers={"Range": "0-5"},
        ),
        Row(asks="PUT {location}?digest={blob}", body=BLOB[6:], sends={"Content-Range": "6-9"}, status=201),
        Row(asks=f"GET {BLOBS}{{blob}}", gives=BLOB),
    ),
    "end-5 an upload as a stream": (
        BEGIN,
        Row(asks="PATCH {location}", body=BLOB[:7], status=202, headers={"Range": "0-6"}),
        Row(asks="PATCH {location}", body=BLOB[7:], status=202, headers={"Range": "0-9"}),
        Row(asks="PUT {location}", status=400, code="DIGEST_INVALID"),
        Row(asks="PUT {location}?digest={blob}", status=201),
    ),
    "end-6 bytes that are not what the digest names": (
        BEGIN,
        Row(asks="PUT {location}?digest={absent}", body=BLOB, status=400, code="DIGEST_INVALID"),
        Row(asks=f"GET {BLOBS}{{absent}}", status=404, code="BLOB_UNKNOWN"),
        Row(asks=f"GET {BLOBS}{{blob}}", status=404, code="BLOB_UNKNOWN"),
    ),
    "end-13 how far an upload is": (
        BEGIN,
        Row(asks="PATCH {location}", body=BLOB[:7], status=202),
        Row(asks="GET {location}", status=204, headers={"Range": "0-6", **UPLOAD}),
        Row(asks=f"GET {UPLOADS}{'0' * 32}", status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ),
    "end-14 an upload is cancelled": (
        BEGIN,
        Row(asks="DELETE {location}", status=204),
        Row(asks="PATCH {location}", body=BLOB, status=404, code="BLOB_UPLOAD_UNKNOWN"),
    ),
    "end-11 a blob is mounted": (
        Row(asks="POST {s}/blobs/uploads/?digest={blob}", body=BLOB, status=201),
        Row(
            asks=f"POST {UPLOADS}?mount={{blob}}&from={{other}}",
            status=201,
            headers={"Location": "/v2/.+/blobs/{blob}"},
        ),
        Row(asks=f"GET {BLOBS}{{blob}}", gives=BLOB),
        Row(asks="DELETE {s}/blobs/{blob}", status=202),
        Row(asks=f"GET {BLOBS}{{blob}}", gives=BLOB),
        Row(asks=f"POST {UPLOADS}?mount={{absent}}&from={{other}}", status=202, headers=UPLOAD),
        Row(asks=f"POST {UPLOADS}?mount={{absent}}&from=no/such", status=202, headers=UPLOAD),
        Row(asks=f"POST {UPLOADS}?mount=sha256:short&from={{other}}", status=400, code="DIGEST_INVALID"),
        Row(asks=f"POST {UPLOADS}?mount={{blob}}&from=../up", status=400, code="NAME_INVALID"),
    ),
    "end-7 a manifest is pushed": (
        Row(asks=f"PUT {MANIFESTS}v1", body=IMAGE, sends=manifest(), status=400, code="MANIFEST_BLOB_UNKNOWN"),
        PUSH_EMPTY,
        Row(
            asks=f"PUT {MANIFESTS}v1",
            body=IMAGE,
            sends=manifest(),
            status=201,
            headers={"Location": "/v2/.+/manifests/.+", "Docker-Content-Digest": "{image}"},
        ),
        Row(asks=f"PUT {MANIFESTS}{{image}}", body=IMAGE, sends=manifest(), status=201),
        Row(asks=f"PUT {MANIFESTS}latest", body=INDEX, sends=manifest(OCI_INDEX), status=201),
        Row(asks=f"PUT {MANIFESTS}{{absent}}", body=IMAGE, sends=manifest(), status=400, code="DIGEST_INVALID"),
        Row(asks=f"PUT {MANIFESTS}v1", body=LACKING, sends=manifest(), status=400, code="MANIFEST_BLOB_UNKNOWN"),
        Row(asks=f"PUT {MANIFESTS}v1", body=IMAGE, sends=manifest(OCI_INDEX), status=400, code="MANIFEST_INVALID"),
        Row(asks=f"PUT {MANIFESTS}v1", body=b"{", sends=manifest(), status=400, code="MANIFEST_INVALID"),
        Row(asks=f"PUT {MANIFESTS}-v1", body=IMAGE, sends=manifest(), status=400, code="MANIFEST_INVALID"),
        Row(
            asks=f"PUT {MANIFESTS}v1",
            body=IMAGE + b" " * (4 << 20),
            sends=manifest(),
            status=413,
            code="MANIFEST_INVALID",
        ),
        Row(asks=f"GET {MANIFESTS}v1", gives=IMAGE),
    ),
    "end-8 tags in pages": (
        Row(asks=f"GET {TAGS}", status=404, code="NAME_UNKNOWN"),
        PUSH_EMPTY,
        *(
            Row(asks=f"PUT {MANIFESTS}{tag}", body=IMAGE, sends=manifest(), status=201)
            for tag in ("b", "a", "B", "v10", "v2")
        ),
        Row(asks=f"GET {TAGS}", lists=("B", "a", "b", "v10", "v2")),
        Row(
            asks=f"GET {TAGS}?n=2", lists=("B", "a"), headers={"Link": r"</v2/.+/tags/list\?n=2&last=a>; rel=\"next\""}
        ),
        Row(asks=f"GET {TAGS}?n=2&last=a", lists=("b", "v10")),
        Row(asks=f"GET {TAGS}?n=9&last=v10", lists=("v2",)),
        Row(asks=f"GET {TAGS}?n=0", lists=()),
        Row(asks=f"GET {TAGS}?n=x", status=400, code="PAGINATION_NUMBER_INVALID"),
    ),
    "end-9 a tag is deleted, then the manifest": (
        PUSH_EMPTY,
        PUSH_IMAGE,
        Row(asks=f"PUT {MANIFESTS}v2", body=IMAGE, sends=manifest(), status=201),
        Row(asks=f"DELETE {MANIFESTS}v1", status=202),
        Row(asks=f"DELETE {MANIFESTS}v1", status=404, code="MANIFEST_UNKNOWN"),
        Row(asks=f"GET {TAGS}", lists=("v2",)),
        Row(asks=f"GET {MANIFESTS}{{image}}", gives=IMAGE),
        Row(asks=f"DELETE {MANIFESTS}{{image}}", status=202),
        Row(asks=f"GET {MANIFESTS}v2", status=404, code="MANIFEST_UNKNOWN"),
        Row(asks=f"GET {TAGS}", lists=()),
    ),
    "end-10 a blob is deleted": (
        PUSH_BLOB,
        Row(asks=f"DELETE {BLOBS}{{blob}}", status=202),
        Row(asks=f"DELETE {BLOBS}{{blob}}", status=404, code="BLOB_UNKNOWN"),
        Row(asks=f"GET {BLOBS}{{blob}}", status=404, code="BLOB_UNKNOWN"),
    ),
    "end-12 referrers are listed and filtered": (
        Row(asks=f"GET {REFERRERS}{{image}}", lists=(), headers={"Content-Type": re.escape(OCI_INDEX)}),
        PUSH_EMPTY,
        PUSH_IMAGE,
        Row(
            asks=f"PUT {MANIFESTS}{{note}}", body=NOTE, sends=manifest(), status=201, headers={"OCI-Subject": "{image}"}
        ),
        Row(
            asks=f"PUT {MANIFESTS}{{sbom}}", body=SBOM, sends=manifest(), status=201, headers={"OCI-Subject": "{image}"}
        ),
        Row(asks=f"GET {REFERRERS}{{image}}", lists=("{note}", "{sbom}")),
        Row(
            asks=f"GET {REFERRERS}{{image}}?artifactType=text/sbom",
            lists=("{sbom}",),
            headers={"OCI-Filters-Applied": "artifactType"},
        ),
        Row(asks=f"GET {REFERRERS}{{image}}?artifactType=text/none", lists=()),
        Row(asks=f"GET {REFERRERS}sha256:short", status=400, code="DIGEST_INVALID"),
        Row(asks=f"DELETE {MANIFESTS}{{note}}", status=202),
        Row(asks=f"GET {REFERRERS}{{image}}", lists=("{sbom}",)),
        Row(asks=f"GET {TAGS}", lists=("v1",)),
    ),
    "end-12 the subject is not there": (
        PUSH_EMPTY,
        Row(asks=f"PUT {MANIFESTS}{{orphan}}", body=ORPHAN, sends=manifest(), status=201),
        Row(asks=f"GET {REFERRERS}{Digest.of(b'nobody pushed this')}", lists=("{orphan}",)),
    ),
    "sha512 for blobs, manifests and what refers to them, without a tag": (
        Row(asks=f"POST {UPLOADS}?digest-algorithm=sha512", status=202, headers=UPLOAD),
        Row(asks="PATCH {location}", body=BLOB[:4], status=202),
        Row(
            asks="PUT {location}?digest={blob512}",
            body=BLOB[4:],
            status=201,
            headers={"Docker-Content-Digest": "{blob512}"},
        ),
        Row(asks=f"GET {BLOBS}{{blob512}}", gives=BLOB),
        Row(asks=f"GET {BLOBS}{{blob}}", status=404, code="BLOB_UNKNOWN"),
        Row(asks=f"POST {UPLOADS}?digest-algorithm=md5", status=400, code="DIGEST_INVALID"),
        PUSH_EMPTY,
        Row(asks=f"PUT {MANIFESTS}{{image512}}", body=IMAGE, sends=manifest(), status=201),
        Row(asks=f"GET {MANIFESTS}{{image512}}", gives=IMAGE, headers={"Docker-Content-Digest": "{image512}"}),
        Row(
            asks=f"PUT {MANIFESTS}{{long512}}",
            body=LONG,
            sends=manifest(),
            status=201,
            headers={"OCI-Subject": "{image512}", "Docker-Content-Digest": "{long512}"},
        ),
        Row(asks=f"GET {REFERRERS}{{image512}}", lists=("{long512}",)),
        Row(asks=f"GET {REFERRERS}{{image}}", lists=()),
        Row(asks=f"GET {TAGS}", lists=()),
        Row(asks=f"DELETE {MANIFESTS}{{long512}}", status=202),
        Row(asks=f"GET {REFERRERS}{{image512}}", lists=()),
    ),
    "an empty blob": (
        Row(asks=f"POST {UPLOADS}?digest={{nothing}}", body=b"", status=201),
        Row(asks=f"GET {BLOBS}{{nothing}}", gives=b"", headers={"Content-Length": "0"}),
    ),
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_in_thread(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_requests_and_answers(address: str, name: str) -> None:
    repository = re.sub("[^a-z0-9]+", "-", name).strip("-")
    known = {**digests(), "r": f"/v2/{repository}", "s": f"/v2/{repository}/other", "other": f"{repository}/other"}
    host, _, port = address.partition(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        for row in TABLE[name]:
            method, path = row.asks.format_map(known).split(" ")
            connection.request(method, path, row.body, dict(row.sends))
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, row.asks) == (row.status, row.asks), body
            check(row, answer, body, known)
            if re.fullmatch(UPLOAD["Location"], location := answer.headers.get("Location", "")):
                known["location"] = location


def digests() -> dict[str, str]:
    """Every content of the table by its name, with both algorithms."""
    long = {f"{name}512": str(Digest.of(content, "sha512")) for name, content in NAMES.items()}
    return {**long, **{name: str(Digest.of(content)) for name, content in NAMES.items()}}


def check(row: Row, answer: http.client.HTTPResponse, body: bytes, known: Mapping[str, str]) -> None:
    for name, pattern in row.headers.items():
        wanted = re.sub(r"\{([a-z][a-z0-9]+)\}", lambda match: known[match[1]], pattern)
        assert re.fullmatch(wanted, answer.headers.get(name, "")), (row.asks, name, answer.headers.get(name))
    if row.code:
        assert (json.loads(body)["errors"][0]["code"], row.asks) == (row.code, row.asks)
    if row.gives is not None:
        assert (body, row.asks) == (row.gives, row.asks)
    if row.lists is not None:
        value = json.loads(body)
        if "tags" in value:
            assert (tuple(value["tags"]), row.asks) == (row.lists, row.asks)
        else:
            listed = sorted(entry["digest"] for entry in value["manifests"])
            assert (listed, row.asks) == (sorted(name.format_map(known) for name in row.lists), row.asks)
