from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.announced import announced_as
from registries.credentials import Credentials
from registries.descriptor import Descriptor
from registries.digest import Digest
from registries.errors import NotFound, Refusal, TagMoved
from registries.kinds.http import HttpRegistry, http_registry, referrers_tag
from registries.limits import MANIFEST_BYTES, REFERRER_PAGES, REFERRERS, RETRIES, TAG_PAGES
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST, Manifest, artifact
from registries.registry import Mounting, Registry
from registries.strict_json import dumps
from registries.transport import Transport
from tests import faults
from tests.faults import FaultRegistry, Reply, Seen
from tests.images import referrer as hanging

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def client(host: str, sleep: Callable[[float], None] = lambda _: None) -> HttpRegistry:
    return HttpRegistry(host, transport=Transport(host, credentials=Credentials({}, home=None), sleep=sleep))


def blob(content: bytes) -> Descriptor:
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=len(content))


def odd_image(registry: FaultRegistry, *layers: bytes, repository: str = "app", mark: str = "") -> Manifest:
    """An image whose manifest has strange white space; its blobs are in the registry, the manifest is not."""
    pieces = [
        {"mediaType": "application/x-layer", "digest": registry.put_blob(repository, it), "size": len(it)}
        for it in layers
    ]
    registry.put_blob(repository, b"{}")
    value = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": EMPTY.json(), "layers": pieces}
    content = json.dumps(value | {"annotations": {"mark": mark}}, indent="\t ").encode() + b"\n\n"
    return Manifest.from_bytes(content)


def stored(registry: FaultRegistry, *layers: bytes, tag: str | None = None, mark: str = "") -> Manifest:
    image = odd_image(registry, *layers, mark=mark)
    registry.put_manifest("app", image.content, tag)
    return image


def signed(registry: FaultRegistry, subject: Manifest, mark: str = "one") -> Manifest:
    """A referrer of `subject`; its blobs are in the registry, the manifest is not."""
    layer = Descriptor(media_type=BUNDLE, digest=Digest.of(mark.encode()), size=len(mark))
    registry.put_blob("app", mark.encode())
    registry.put_blob("app", b"{}")
    annotations = {"dev.sigstore.bundle.content": "dsse-envelope", "mark": mark}
    return artifact(artifact_type=BUNDLE, layers=(layer,), subject=subject.descriptor, annotations=annotations)


def listed(registry: FaultRegistry, subject: Digest) -> list[Any]:
    """What the fallback tag lists, as it is stored."""
    digest = registry.tags.get(("app", referrers_tag(subject)))
    entries: list[Any] = json.loads(registry.manifests["app", digest][1])["manifests"] if digest else []
    return entries


def write_listing(registry: FaultRegistry, subject: Digest, entries: list[Any], **others: Any) -> None:
    value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **others}
    registry.put_manifest("app", json.dumps(value).encode(), referrers_tag(subject), OCI_INDEX)


def announcement(subject: Digest, manifest: Manifest) -> str:
    (tag,) = announced_as(referrers_tag(subject), {manifest.digest: None})
    return tag


def announce(registry: FaultRegistry, subject: Digest, manifest: Manifest, entries: list[Any] | None = None) -> None:
    """What another writer says before it lists this referrer."""
    content = json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries or [manifest.listed.json()]}
    ).encode()
    registry.put_manifest("app", content, announcement(subject, manifest), OCI_INDEX)


def names(registry: FaultRegistry, subject: Digest) -> set[str]:
    return {entry["digest"] for entry in listed(registry, subject)}


def code(act: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        act()
    return error.value.code


@pytest.fixture
def registry() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        yield registry


@pytest.fixture
def plain() -> Iterator[FaultRegistry]:
    """A registry without the referrers API."""
    with FaultRegistry(referrers_api=False, oci_subject=False) as registry:
        yield registry


def test_it_is_a_registry_that_can_mount(registry: FaultRegistry) -> None:
    place: Registry = client(registry.host)
    assert isinstance(place, Mounting)
    assert place.name == registry.host


def test_opening_one_loads_no_http_library_before_it_is_needed() -> None:
    script = "import sys, registries.kinds.http; print(sorted({'requests', 'urllib3'} & set(sys.modules)))"
    root = Path(__file__).parents[3]
    found = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_environment_is_an_argument(registry: FaultRegistry, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"username": "u", "password": "p"}}}))
    registry.login = ("u", "p")
    image = stored(registry, tag="1")
    opened = http_registry(registry.host, environment={"DOCKER_CONFIG": str(tmp_path)}, read_only=True)
    assert opened.resolve("app", "1") == image.digest
    assert opened.requests == len(registry.requests) == 2
    assert code(lambda: opened.push_manifest("app", image)) == "write-in-dry-run"
    assert (
        code(lambda: http_registry(registry.host, environment={"HOME": "/"}).resolve("app", "1"))
        == "credentials-missing"
    )


@pytest.mark.parametrize("name", ["../x", "App", "a//b", "app?x", ""])
def test_a_name_outside_the_grammar_reaches_no_server(registry: FaultRegistry, name: str) -> None:
    assert code(lambda: client(registry.host).tags(name)) == "reference-malformed"
    assert code(lambda: client(registry.host).resolve("app", name.upper() + "/")) == "reference-malformed"
    assert code(lambda: client(registry.host).mount("app", blob(b"x"), name)) == "reference-malformed"
    assert registry.requests == []


class TestManifests:
    def test_the_bytes_are_kept(self, registry: FaultRegistry) -> None:
        image = odd_image(registry, b"layer")
        client(registry.host).push_manifest("app", image)
        assert client(registry.host).manifest("app", image.digest).content == image.content
        assert registry.manifests["app", str(image.digest)] == (OCI_MANIFEST, image.content)

    def test_a_sha512_digest_is_kept(self, registry: FaultRegistry) -> None:
        odd = odd_image(registry)
        image = Manifest.from_bytes(odd.content, algorithm="sha512")
        client(registry.host).push_manifest("app", image)
        assert client(registry.host).manifest("app", image.digest).digest == image.digest

    def test_a_manifest_is_asked_for_once_until_it_is_pushed(self, registry: FaultRegistry) -> None:
        image = stored(registry, tag="1")
        place = client(registry.host)
        place.resolve("app", "1")
        place.manifest("app", image.digest)
        assert len(registry.requests) == 1
        place.push_manifest("app", image)
        registry.rule("GET", "/manifests/", faults.body(lambda content: content + b" "))
        assert code(lambda: place.manifest("app", image.digest)) == "digest-mismatch"

    def test_what_is_kept_is_kept_for_its_own_repository(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        place = client(registry.host)
        place.manifest("app", image.digest)
        assert code(lambda: place.manifest("other", image.digest)) == "image-not-found"

    def test_many_manifests_are_not_all_kept(self, registry: FaultRegistry) -> None:
        images = [stored(registry, mark=str(number) * 2_000_000) for number in range(10)]
        place = client(registry.host)
        for image in images:
            place.manifest("app", image.digest)
        assert place.manifest("app", images[-1].digest) == images[-1]
        assert len(registry.requests) == 10
        place.manifest("app", images[0].digest)
        assert len(registry.requests) == 11

    def test_what_is_absent_is_not_found(self, registry: FaultRegistry) -> None:
        absent = Digest.of(b"absent")
        place = client(registry.host)
        with pytest.raises(NotFound) as error:
            place.manifest("app", absent)
        assert error.value.reasons[0].where == f"{registry.host}/app@{absent}"
        assert error.value.code == "image-not-found"
        assert code(lambda: place.resolve("app", "1")) == "image-not-found"

    def test_a_tag_is_one_get_and_its_digest_that_of_the_bytes(self, registry: FaultRegistry) -> None:
        image, other = stored(registry, b"one", tag="1"), stored(registry, b"two")
        registry.rule("HEAD", "", faults.header("Docker-Content-Digest", str(other.digest)))
        assert client(registry.host).resolve("app", "1") == image.digest
        assert [seen.method for seen in registry.requests] == ["GET"]

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            (faults.body(lambda content: content + b" "), "digest-mismatch"),
            (faults.body(lambda content: content[:-1]), "digest-mismatch"),
            (faults.body(lambda content: content.replace(b"{", b"[", 1)), "digest-mismatch"),
            (faults.header("Docker-Content-Digest", str(Digest.of(b"x"))), "digest-mismatch"),
            (faults.header("Docker-Content-Digest", "sha256:abc"), "digest-malformed"),
            (faults.header("Content-Type", OCI_INDEX), "media-type-confusion"),
            (faults.header("Content-Type", "application/json"), "media-type-confusion"),
            (faults.endless(), "size-limit"),
            (faults.status(206, body=b"{}"), "answer-unexpected"),
            (faults.status(418), "answer-unexpected"),
        ],
    )
    def test_other_bytes_or_lying_headers_are_refused(
        self, registry: FaultRegistry, action: faults.Action, expected: str
    ) -> None:
        image = stored(registry, tag="1")
        registry.rule("GET", "/manifests/", action)
        assert code(lambda: client(registry.host).manifest("app", image.digest)) == expected

    def test_other_bytes_are_refused_without_a_header_to_compare_with(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        silent, longer = faults.header("Docker-Content-Digest", None), faults.body(lambda content: content + b" ")
        registry.rule("GET", "", lambda seen, answer: silent(seen, lambda: longer(seen, answer)))
        assert code(lambda: client(registry.host).manifest("app", image.digest)) == "digest-mismatch"

    def test_control_characters_of_a_header_are_not_repeated(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        registry.rule("GET", "", faults.header("Content-Type", "text/\x1b]0;pwned\x07"))
        with pytest.raises(Refusal) as error:
            client(registry.host).manifest("app", image.digest)
        assert error.value.code == "media-type-confusion"
        assert str(error.value).isprintable()

    @pytest.mark.parametrize("type_", [f"{OCI_MANIFEST}; charset=utf-8", None])
    def test_a_content_type_that_claims_nothing_else_agrees(self, registry: FaultRegistry, type_: str | None) -> None:
        image = stored(registry)
        registry.rule("GET", "", faults.header("Content-Type", type_))
        assert client(registry.host).manifest("app", image.digest) == image

    def test_a_lying_header_of_a_tag_is_only_compared(self, registry: FaultRegistry) -> None:
        stored(registry, tag="1")
        registry.rule("GET", "", faults.header("Docker-Content-Digest", str(Digest.of(b"x"))))
        assert code(lambda: client(registry.host).resolve("app", "1")) == "digest-mismatch"

    def test_a_manifest_of_four_mebibytes_is_read_and_one_byte_more_is_not(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        longest = Manifest.from_bytes(image.content + b" " * (MANIFEST_BYTES - len(image.content)))
        registry.put_manifest("app", longest.content)
        assert len(client(registry.host).manifest("app", longest.digest).content) == MANIFEST_BYTES
        digest = Digest.parse(registry.put_manifest("app", longest.content + b" "))
        assert code(lambda: client(registry.host).manifest("app", digest)) == "size-limit"

    def test_an_answer_that_is_cut_is_asked_for_again(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        registry.rule("GET", "", faults.cut(10), nth=(1, 2))
        assert client(registry.host).manifest("app", image.digest) == image

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (faults.status(404, body=b'{"errors":[{"code":"NAME_UNKNOWN"}]}'), "repository-not-found"),
            (faults.status(413), "size-limit"),
            (faults.status(400, body=b'{"errors":[{"code":"DIGEST_INVALID"}]}'), "digest-mismatch"),
            (faults.status(400), "answer-unexpected"),
            (faults.status(200), "answer-unexpected"),
            (faults.status(412), "answer-unexpected"),
            (faults.header("Docker-Content-Digest", str(Digest.of(b"x"))), "destination-altered"),
            (faults.status(403), "access-denied"),
        ],
    )
    def test_a_push_needs_to_be_confirmed(self, registry: FaultRegistry, answer: faults.Action, expected: str) -> None:
        image = odd_image(registry)
        registry.rule("PUT", "/manifests/", answer)
        assert code(lambda: client(registry.host).push_manifest("app", image)) == expected

    def test_a_manifest_without_its_blobs_leaves_the_destination_incomplete(self, registry: FaultRegistry) -> None:
        image = odd_image(registry, b"layer")
        registry.blobs.clear()
        assert code(lambda: client(registry.host).push_manifest("app", image)) == "destination-incomplete"


class TestBlobs:
    def test_a_blob_is_streamed_and_checked(self, registry: FaultRegistry) -> None:
        content = bytes(range(256)) * 4000
        registry.put_blob("app", content)
        assert b"".join(client(registry.host).blob("app", blob(content))) == content
        assert b"".join(client(registry.host).blob("app", blob(content))) == content

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            (faults.body(lambda content: b"X" + content[1:]), "digest-mismatch"),
            (faults.body(lambda content: content + b"X"), "size-mismatch"),
            (faults.body(lambda content: content[:-1]), "size-mismatch"),
            (faults.endless(), "size-mismatch"),
            (faults.status(206, body=b"content"), "answer-unexpected"),
            (faults.cut(0), "registry-unavailable"),
            (faults.status(404), "blob-not-found"),
            (faults.header("Content-Encoding", "gzip"), "content-encoding-refused"),
        ],
    )
    def test_other_bytes_are_refused(self, registry: FaultRegistry, action: faults.Action, expected: str) -> None:
        registry.put_blob("app", b"content")
        registry.rule("GET", "/blobs/", action)
        assert code(lambda: list(client(registry.host).blob("app", blob(b"content")))) == expected

    def test_a_compressed_answer_is_not_inflated(self, registry: FaultRegistry) -> None:
        bomb = gzip.compress(b"\0" * 10_000_000)
        registry.rule("GET", "", faults.status(200, {"Content-Encoding": "gzip"}, bomb))
        assert (
            code(lambda: list(client(registry.host).blob("app", blob(b"\0" * 10_000_000))))
            == "content-encoding-refused"
        )

    def test_the_urls_of_a_foreign_layer_are_never_asked(self, registry: FaultRegistry) -> None:
        with FaultRegistry() as canary:
            foreign = Descriptor(media_type="x", digest=Digest.of(b"x"), size=1, urls=(f"{canary.url}/x",))
            place = client(registry.host)
            assert code(lambda: list(place.blob("app", foreign))) == "blob-not-found"
            assert place.holds("app", foreign) is False
            assert canary.requests == []

    def test_a_redirected_blob_is_followed_without_a_login_and_checked(self, registry: FaultRegistry) -> None:
        with FaultRegistry() as store:
            digest = store.put_blob("bucket", b"content")
            registry.rule("GET", "", faults.redirect(f"{store.url}/v2/bucket/blobs/{digest}?X-Signature=1"))
            place = client(registry.host)
            assert b"".join(place.blob("app", blob(b"content"))) == b"content"
            assert place.holds("app", blob(b"content")) is True
            store.blobs["bucket", digest] = b"CONTENT"
            assert code(lambda: list(place.blob("app", blob(b"content")))) == "digest-mismatch"

    def test_a_dropped_blob_stream_gives_its_connection_up(self, registry: FaultRegistry) -> None:
        content = b"x" * 5_000_000
        registry.put_blob("app", content)
        place = client(registry.host)
        stream = iter(place.blob("app", blob(content)))
        next(stream)
        del stream
        assert b"".join(place.blob("app", blob(content))) == content


class TestHolds:
    @pytest.mark.parametrize("content", [b"", b"x", b"{}", b"content" * 1000])
    @pytest.mark.parametrize("ranges", ["with ranges", "without ranges"])
    def test_what_is_there_is_held_and_head_is_not_asked(
        self, registry: FaultRegistry, content: bytes, ranges: str
    ) -> None:
        registry.ranges = ranges == "with ranges"
        registry.put_blob("app", content)
        assert client(registry.host).holds("app", blob(content)) is True
        assert client(registry.host).holds("other", blob(content)) is False
        assert {seen.method for seen in registry.requests} == {"GET"}

    def test_a_small_blob_is_read_whole_and_of_a_large_one_both_ends(self, registry: FaultRegistry) -> None:
        small, large = b"c" * 65_536, b"c" * 65_537
        for content in (small, large):
            registry.put_blob("app", content)
            assert client(registry.host).holds("app", blob(content)) is True
        asked = [seen.headers.get("range") for seen in registry.requests]
        assert asked == [None, "bytes=61441-65536", "bytes=0-4095"]

    def test_every_byte_of_a_large_blob_is_read_where_that_is_asked_for(self, registry: FaultRegistry) -> None:
        content = b"c" * 200_000
        digest = registry.put_blob("app", content)
        assert client(registry.host).holds("app", blob(content), whole=True) is True
        registry.blobs["app", digest] = content[:100_000] + b"d" + content[100_001:]
        assert client(registry.host).holds("app", blob(content)) is True
        assert client(registry.host).holds("app", blob(content), whole=True) is False

    @pytest.mark.parametrize("end", [1, 2])
    @pytest.mark.parametrize(
        "action",
        [
            faults.status(206),
            faults.status(206, {"Content-Range": "bytes 65536-69631/69632"}, b"c" * 4095),
            faults.status(206, {"Content-Range": "bytes 65536-69631/69632"}, b"c" * 4097),
            faults.status(206, {"Content-Range": "bytes 65536-69631/69633"}, b"c" * 4096),
            faults.status(206, {"Content-Range": "bytes 4096-8191/69632"}, b"c" * 4096),
            faults.status(206, {}, b"c" * 4096),
            faults.status(404),
            faults.status(416),
            faults.cut(0),
        ],
    )
    def test_an_end_of_a_large_blob_that_does_not_come_is_no(
        self, registry: FaultRegistry, action: faults.Action, end: int
    ) -> None:
        registry.put_blob("app", b"c" * 69_632)
        registry.rule("GET", "", action, nth=end)
        assert client(registry.host).holds("app", blob(b"c" * 69_632)) is False

    @pytest.mark.parametrize(
        "action",
        [
            faults.status(200),
            faults.status(200, body=b"CONTENT"),
            faults.status(200, body=b"content and more"),
            faults.status(206),
            faults.status(206, {"Content-Range": "bytes 6-6/7"}),
            faults.status(206, {"Content-Range": "bytes 6-6/7"}, b"tt"),
            faults.status(206, {"Content-Range": "bytes 6-6/8"}, b"t"),
            faults.status(206, {"Content-Range": "bytes 0-0/7"}, b"c"),
            faults.status(206, {"Content-Range": "bytes 0-6/7"}, b"content"),
            faults.status(206, {}, b"t"),
            faults.status(404),
            faults.status(416),
        ],
    )
    def test_an_answer_without_the_right_bytes_is_no(self, registry: FaultRegistry, action: faults.Action) -> None:
        registry.put_blob("app", b"content")
        registry.rule("GET", "", action)
        assert client(registry.host).holds("app", blob(b"content")) is False

    @pytest.mark.parametrize("content", [b"x", b"content"])
    @pytest.mark.parametrize("ranges", ["with ranges", "without ranges"])
    def test_a_promised_length_without_the_bytes_is_no(
        self, registry: FaultRegistry, content: bytes, ranges: str
    ) -> None:
        registry.ranges = ranges == "with ranges"
        registry.put_blob("app", content)
        registry.rule("GET", "", faults.cut(0))
        assert client(registry.host).holds("app", blob(content)) is False

    @pytest.mark.parametrize("action", [faults.status(206), faults.status(200, body=b"x"), faults.status(404)])
    def test_the_empty_blob_is_no_exception(self, registry: FaultRegistry, action: faults.Action) -> None:
        registry.rule("GET", "", action)
        assert client(registry.host).holds("app", blob(b"")) is False

    def test_a_server_that_fails_is_unknown_and_not_a_no(self, registry: FaultRegistry) -> None:
        registry.rule("GET", "", faults.status(503), nth=range(1, RETRIES + 2))
        registry.rule("GET", "", faults.status(418))
        place = client(registry.host)
        assert code(lambda: place.holds("app", blob(b"x"))) == "registry-unavailable"
        assert code(lambda: place.holds("app", blob(b"x"))) == "answer-unexpected"


class TestUploads:
    @pytest.mark.parametrize("content", [b"", b"{}", b"content" * 100_000])
    def test_a_blob_goes_up_in_one_piece_with_its_length(self, registry: FaultRegistry, content: bytes) -> None:
        client(registry.host).push_blob("app", blob(content), lambda: iter([content[:100_000], content[100_000:]]))
        assert registry.blobs["app", str(blob(content).digest)] == content
        post, put = registry.requests
        assert (post.method, put.method, put.query["digest"]) == ("POST", "PUT", str(blob(content).digest))
        assert put.headers["content-length"] == str(len(content))
        assert "transfer-encoding" not in put.headers

    def test_the_state_in_an_upload_location_is_kept(self, registry: FaultRegistry) -> None:
        def stateful(seen: Seen, answer: faults.Answer) -> Reply:
            reply = answer()
            reply.headers["Location"] = f"{registry.url}{reply.headers['Location']}?_state=a%2Fb%3D%3D"
            return reply

        registry.rule("POST", "", stateful)
        client(registry.host).push_blob("app", blob(b"x"), lambda: [b"x"])
        assert registry.requests[-1].query == {"_state": "a/b==", "digest": str(blob(b"x").digest)}

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [(b"CONTENT", "digest-mismatch"), (b"conten", "size-mismatch"), (b"contents", "size-mismatch")],
    )
    def test_wrong_bytes_are_never_stored(self, registry: FaultRegistry, sent: bytes, expected: str) -> None:
        place = client(registry.host)
        assert code(lambda: place.push_blob("app", blob(b"content"), lambda: [sent])) == expected
        assert registry.blobs == {}

    @pytest.mark.parametrize(
        ("method", "action"),
        [
            *(("POST", action) for action in (faults.status(500), faults.status(429), faults.cut())),
            *(("PUT", action) for action in (faults.status(500), faults.status(404), faults.status(416), faults.cut())),
        ],
    )
    def test_what_fails_on_the_way_starts_over(
        self, registry: FaultRegistry, method: str, action: faults.Action
    ) -> None:
        opened: list[int] = []

        def chunks() -> Iterator[bytes]:
            opened.append(1)
            return iter([b"con", b"tent"])

        registry.rule(method, "", action, nth=1)
        client(registry.host).push_blob("app", blob(b"content"), chunks)
        assert registry.blobs["app", str(blob(b"content").digest)] == b"content"
        assert [seen.method for seen in registry.requests][-2:] == ["POST", "PUT"]
        assert len(opened) == 1  # what was read is still there

    def test_an_upload_whose_confirmation_is_lost_is_not_sent_again(self, registry: FaultRegistry) -> None:
        registry.rule("PUT", "", faults.lost(), nth=1)
        client(registry.host).push_blob("app", blob(b"content"), lambda: [b"content"])
        assert [seen.method for seen in registry.requests] == ["POST", "PUT", "GET", "GET"]

    def test_an_upload_that_always_fails_is_given_up(self, registry: FaultRegistry) -> None:
        registry.rule("PUT", "", faults.status(502))
        place = client(registry.host)
        assert code(lambda: place.push_blob("app", blob(b"x"), lambda: [b"x"])) == "registry-unavailable"
        assert [seen.method for seen in registry.requests].count("PUT") == RETRIES + 1

    @pytest.mark.parametrize(
        ("method", "action", "expected"),
        [
            ("POST", faults.status(201), "answer-unexpected"),
            ("POST", faults.status(404), "repository-not-found"),
            ("POST", faults.header("Location", None), "answer-unexpected"),
            ("PUT", faults.status(202), "answer-unexpected"),
            ("PUT", faults.status(200), "answer-unexpected"),
            ("PUT", faults.status(400, body=b'{"errors":[{"code":"SIZE_INVALID"}]}'), "size-mismatch"),
            ("PUT", faults.header("Docker-Content-Digest", str(Digest.of(b"y"))), "digest-mismatch"),
            ("PUT", faults.header("Docker-Content-Digest", "md5:\x1b"), "digest-mismatch"),
            ("PUT", faults.status(413), "size-limit"),
        ],
    )
    def test_an_upload_needs_to_be_confirmed(
        self, registry: FaultRegistry, method: str, action: faults.Action, expected: str
    ) -> None:
        registry.rule(method, "", action)
        assert code(lambda: client(registry.host).push_blob("app", blob(b"x"), lambda: [b"x"])) == expected

    def test_a_confirmation_without_a_digest_is_one(self, registry: FaultRegistry) -> None:
        registry.rule("PUT", "", faults.header("Docker-Content-Digest", None))
        client(registry.host).push_blob("app", blob(b"x"), lambda: [b"x"])

    def test_no_byte_goes_to_an_upload_location_elsewhere(self, registry: FaultRegistry) -> None:
        with FaultRegistry() as canary:
            registry.rule("POST", "", faults.header("Location", f"{canary.url}/v2/app/blobs/uploads/1"))
            place = client(registry.host)
            assert code(lambda: place.push_blob("app", blob(b"x"), lambda: [b"x"])) == "cross-origin-upload"
            assert place.mount("app", blob(b"x"), "other") is False
            assert canary.requests == []

    def test_a_fault_of_the_source_is_not_blamed_on_the_destination(self, registry: FaultRegistry) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x"
            raise NotFound("blob-not-found", "the source lost it")

        assert code(lambda: client(registry.host).push_blob("app", blob(b"xy"), chunks)) == "blob-not-found"


class TestMounts:
    def test_a_blob_is_mounted_without_moving(self, registry: FaultRegistry) -> None:
        registry.put_blob("team/source", b"content")
        assert client(registry.host).mount("app", blob(b"content"), "team/source") is True
        assert registry.blobs["app", str(blob(b"content").digest)] == b"content"
        assert [(seen.method, seen.size) for seen in registry.requests] == [("POST", 0)]

    def test_a_mount_that_becomes_an_upload_is_gone_on_with(self, registry: FaultRegistry) -> None:
        place = client(registry.host)
        assert place.mount("app", blob(b"content"), "source") is False
        place.push_blob("app", blob(b"content"), lambda: [b"content"])
        assert [seen.method for seen in registry.requests] == ["POST", "PUT"]
        assert registry.blobs["app", str(blob(b"content").digest)] == b"content"

    def test_an_upload_that_a_mount_began_and_that_is_gone_is_begun_anew(self, registry: FaultRegistry) -> None:
        place = client(registry.host)
        assert place.mount("app", blob(b"content"), "source") is False
        registry.rule("PUT", "", faults.status(404), nth=1)
        place.push_blob("app", blob(b"content"), lambda: [b"content"])
        assert [seen.method for seen in registry.requests] == ["POST", "PUT", "GET", "GET", "POST", "PUT"]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
    def test_a_mount_that_is_not_possible_is_no_error(self, registry: FaultRegistry, status: int) -> None:
        registry.rule("POST", "", faults.status(status, {"WWW-Authenticate": 'Basic realm="x"'}))
        assert client(registry.host).mount("app", blob(b"content"), "source") is False


class TestReferrersApi:
    def test_a_referrer_is_listed_with_what_its_manifest_says(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        attestation = signed(registry, image)
        place = client(registry.host)
        place.push_manifest("app", attestation)
        assert place.referrers("app", image.digest) == (attestation.listed,)
        assert listed(registry, image.digest) == []

    def test_whether_the_api_answers_is_asked_once(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        place = client(registry.host)
        for number in range(3):
            place.push_manifest("app", signed(registry, image, str(number)))
        assert sum("/referrers/" in seen.path for seen in registry.requests) == 1

    def test_all_pages_are_read(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        expected = set()
        for number in range(7):
            attestation = signed(registry, image, str(number))
            registry.put_manifest("app", attestation.content)
            expected.add(attestation.digest)
        registry.page_size = 2
        assert {entry.digest for entry in client(registry.host).referrers("app", image.digest)} == expected

    def test_api_and_tag_are_united(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        one, two = signed(registry, image, "one"), signed(registry, image, "two")
        registry.put_manifest("app", one.content)
        write_listing(registry, image.digest, [two.listed.json(), one.listed.json()])
        assert {entry.digest for entry in client(registry.host).referrers("app", image.digest)} == {
            one.digest,
            two.digest,
        }

    def test_a_malformed_entry_hides_no_other(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        good = signed(registry, image).listed
        bad: list[Any] = [3, None, {}, {**good.json(), "digest": "sha256:x"}, {**good.json(), "size": -1}]
        write_listing(registry, image.digest, [*bad, good.json()])
        registry.rule("GET", "/referrers/", faults.body(lambda _: dumps({"manifests": [*bad, good.json()]})))
        assert client(registry.host).referrers("app", image.digest) == (good,)

    @pytest.mark.parametrize(
        "action",
        [
            *(faults.status(status) for status in (400, 404, 405, 406, 501)),
            faults.status(200, {"Content-Type": "text/html"}, b"<html>"),
            faults.status(200, {"Content-Type": "application/json"}, b'{"manifests":[]}'),
        ],
    )
    def test_an_answer_that_is_no_index_means_no_api(self, registry: FaultRegistry, action: faults.Action) -> None:
        image = stored(registry)
        attestation = signed(registry, image)
        registry.rule("GET", "/referrers/", action)
        place = client(registry.host)
        place.push_manifest("app", attestation)
        assert listed(registry, image.digest) == [attestation.listed.json()]
        assert place.referrers("app", image.digest) == (attestation.listed,)

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            (faults.status(418), "answer-unexpected"),
            (faults.status(503), "registry-unavailable"),
            (faults.status(200, {"Content-Type": OCI_INDEX}, b"{}"), "manifest-malformed"),
            (faults.status(200, {"Content-Type": OCI_INDEX}, b"<"), "json-malformed"),
            (faults.status(200, {"Content-Type": OCI_INDEX}, b'{"manifests":[],"manifests":[]}'), "json-ambiguous"),
            (faults.header("Link", '<http://evil.example/>; rel="next"'), "cross-origin-link"),
            (faults.header("Link", 'nowhere; rel="next"'), "answer-unexpected"),
            (faults.header("Link", '</v2/app/tags/list>; rel="next"'), "answer-unexpected"),
            (faults.header("Link", "<?x>; rel=next"), "too-many-referrers"),
            (faults.endless(), "size-limit"),
        ],
    )
    def test_a_list_that_can_not_be_read_to_its_end_is_no_list(
        self, registry: FaultRegistry, action: faults.Action, expected: str
    ) -> None:
        image = stored(registry)
        registry.rule("GET", "/referrers/", action)
        assert code(lambda: client(registry.host).referrers("app", image.digest)) == expected

    def test_pages_without_end_are_given_up(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        numbers = iter(range(10**6))

        def following(seen: Seen, answer: faults.Answer) -> Reply:
            return faults.header("Link", f'<?page={next(numbers)}>; rel="next"')(seen, answer)

        registry.rule("GET", "/referrers/", following)
        place = client(registry.host)
        assert code(lambda: place.referrers("app", image.digest)) == "too-many-referrers"
        assert place.requests == REFERRER_PAGES + 1  # the fallback tag

    def test_a_thousand_referrers_are_read_and_one_more_is_too_many(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        entry = signed(registry, image).listed.json()
        entries = [{**entry, "digest": str(Digest.of(str(number).encode()))} for number in range(REFERRERS + 1)]
        write_listing(registry, image.digest, entries[1:])
        assert len(client(registry.host).referrers("app", image.digest)) == REFERRERS
        write_listing(registry, image.digest, entries)
        assert code(lambda: client(registry.host).referrers("app", image.digest)) == "too-many-referrers"
        write_listing(registry, image.digest, [])
        registry.rule("GET", "/referrers/", faults.body(lambda _: dumps({"manifests": entries})))
        assert code(lambda: client(registry.host).referrers("app", image.digest)) == "too-many-referrers"

    def test_too_many_malformed_entries_are_too_many_as_well(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        registry.rule("GET", "/referrers/", faults.body(lambda _: dumps({"manifests": [3] * (REFERRERS + 1)})), nth=1)
        place = client(registry.host)
        assert code(lambda: place.referrers("app", image.digest)) == "too-many-referrers"
        write_listing(registry, image.digest, [3] * (REFERRERS + 1))
        assert code(lambda: place.referrers("app", image.digest)) == "too-many-referrers"

    def test_too_many_together_are_too_many(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        entry = signed(registry, image).listed.json()
        entries = [{**entry, "digest": str(Digest.of(str(number).encode()))} for number in range(REFERRERS + 1)]
        write_listing(registry, image.digest, entries[:600])
        registry.rule("GET", "/referrers/", faults.body(lambda _: dumps({"manifests": entries[600:]})))
        assert code(lambda: client(registry.host).referrers("app", image.digest)) == "too-many-referrers"

    def test_an_unknown_repository_has_no_referrers_and_no_tags(self, plain: FaultRegistry) -> None:
        assert client(plain.host).referrers("nowhere", Digest.of(b"x")) == ()
        assert client(plain.host).tags("nowhere") == ()
        assert client(plain.host).holds("nowhere", blob(b"x")) is False


class TestFallbackTag:
    def test_the_list_is_kept_by_the_client(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        one, two = signed(plain, image, "one"), signed(plain, image, "two")
        place = client(plain.host)
        place.push_manifest("app", one)
        place.push_manifest("app", two)
        assert listed(plain, image.digest) == [one.listed.json(), two.listed.json()]
        assert listed(plain, image.digest)[0]["annotations"] == dict(one.annotations)
        assert listed(plain, image.digest)[0]["artifactType"] == BUNDLE
        assert place.referrers("app", image.digest) == (one.listed, two.listed)

    @pytest.mark.parametrize(("api", "subject"), [(True, False), (False, True)])
    def test_neither_header_nor_api_alone_is_believed(self, api: bool, subject: bool) -> None:  # noqa: FBT001
        with FaultRegistry(referrers_api=api, oci_subject=subject) as registry:
            image = stored(registry)
            attestation = signed(registry, image)
            client(registry.host).push_manifest("app", attestation)
            assert listed(registry, image.digest) == [attestation.listed.json()]

    def test_an_oci_subject_of_another_digest_is_no_confirmation(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        attestation = signed(registry, image)
        registry.rule("PUT", "", faults.header("OCI-Subject", str(Digest.of(b"x"))), nth=1)
        client(registry.host).push_manifest("app", attestation)
        assert listed(registry, image.digest) == [attestation.listed.json()]

    def test_pushing_twice_is_pushing_once(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        attestation = signed(plain, image)
        client(plain.host).push_manifest("app", attestation)
        writes = len(plain.writes())
        client(plain.host).push_manifest("app", attestation)
        assert len(plain.writes()) == writes + 1
        assert listed(plain, image.digest) == [attestation.listed.json()]

    def test_what_others_wrote_is_left_as_it_is(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        other = stored(plain, b"other")
        foreign = {**other.descriptor.json(), "x-unknown": {"b": [1, 2.5, None], "a": "ü"}, "platform": {"os": "any"}}
        write_listing(plain, image.digest, [foreign], annotations={"by": "somebody"}, extra=True)
        attestation = signed(plain, image)
        client(plain.host).push_manifest("app", attestation)
        digest = plain.tags["app", referrers_tag(image.digest)]
        value = json.loads(plain.manifests["app", digest][1])
        assert value["manifests"] == [foreign, attestation.listed.json()]
        assert (value["annotations"], value["extra"]) == ({"by": "somebody"}, True)

    @pytest.mark.parametrize("kind", ["an image", "no JSON", "no list", "another type"])
    def test_a_tag_that_holds_something_else_is_none_to_read_and_not_overwritten(
        self, plain: FaultRegistry, kind: str
    ) -> None:
        image = stored(plain)
        tag = referrers_tag(image.digest)
        match kind:
            case "an image":
                stored(plain, b"x", tag=tag)
            case "no JSON":
                plain.put_manifest("app", b"<", tag, OCI_INDEX)
            case "no list":
                plain.put_manifest("app", b'{"manifests": 3}', tag, OCI_INDEX)
            case _:
                plain.put_manifest("app", b'{"manifests": []}', tag, "application/json")
        before = plain.tags["app", tag]
        place = client(plain.host)
        assert place.referrers("app", image.digest) == ()
        assert code(lambda: place.push_manifest("app", signed(plain, image))) == "fallback-tag-occupied"
        assert plain.tags["app", tag] == before

    def test_a_tag_that_is_read_as_the_subject_itself_lists_nothing(self, plain: FaultRegistry) -> None:
        child = stored(plain, b"child")
        value = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.descriptor.json()]}
        index = Manifest.from_bytes(dumps(value))
        plain.put_manifest("app", index.content, referrers_tag(index.digest))
        place = client(plain.host)
        assert place.referrers("app", index.digest) == ()
        attestation = signed(plain, index)
        place.push_manifest("app", attestation)
        assert place.referrers("app", index.digest) == (attestation.listed,)

    def test_an_entry_that_another_writer_drops_is_added_again(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        attestation = signed(plain, image)

        def overwrite(seen: Seen) -> None:
            write_listing(plain, image.digest, [])

        for nth in (2, 3, 5):
            plain.rule("GET", "/manifests/sha256-", faults.call(overwrite), nth=nth)
        client(plain.host).push_manifest("app", attestation)
        assert listed(plain, image.digest) == [attestation.listed.json()]

    def test_a_listing_that_comes_late_is_waited_for(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        attestation = signed(plain, image)
        plain.rule("GET", "/manifests/sha256-", faults.status(404), nth=range(1, 6))
        client(plain.host).push_manifest("app", attestation)
        assert listed(plain, image.digest) == [attestation.listed.json()]

    def test_an_entry_that_never_stays_is_no_success(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        plain.rule("GET", "/manifests/sha256-", faults.call(lambda _: write_listing(plain, image.digest, [])))
        assert code(lambda: client(plain.host).push_manifest("app", signed(plain, image))) == "attestation-not-visible"

    def test_a_full_list_is_not_extended(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        entry = image.descriptor.json()
        write_listing(plain, image.digest, [entry] * (REFERRERS - 1))
        client(plain.host).push_manifest("app", signed(plain, image, "last"))
        assert (
            code(lambda: client(plain.host).push_manifest("app", signed(plain, image, "next"))) == "too-many-referrers"
        )

    def test_a_sha512_subject_has_a_tag_of_64_digits(self) -> None:
        digest = Digest.of(b"x", "sha512")
        assert referrers_tag(digest) == f"sha512-{digest.hex[:64]}"

    def test_conditions_are_sent_and_heeded(self) -> None:
        with FaultRegistry(referrers_api=False, conditions=True) as registry:
            image = stored(registry)
            one, two = signed(registry, image, "one"), signed(registry, image, "two")
            client(registry.host).push_manifest("app", one)
            late = faults.call(lambda _: write_listing(registry, image.digest, [one.listed.json(), foreign]))
            foreign = image.descriptor.json()
            registry.rule("PUT", f"{referrers_tag(image.digest)}$", late, nth=1)
            client(registry.host).push_manifest("app", two)
            assert listed(registry, image.digest) == [one.listed.json(), foreign, two.listed.json()]
            conditions = [it.headers for it in registry.writes() if it.path.endswith(referrers_tag(image.digest))]
            assert conditions[0]["if-none-match"] == "*"
            assert conditions[1]["if-match"].startswith('"sha256:')

    def test_writers_of_one_process_wait_for_each_other(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        attestations = [signed(plain, image, str(number)) for number in range(8)]
        place = client(plain.host)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda it: place.push_manifest("app", it), attestations))
        assert {entry["digest"] for entry in listed(plain, image.digest)} == {str(it.digest) for it in attestations}
        assert sum(seen.path.endswith(referrers_tag(image.digest)) for seen in plain.writes()) == 8

    def test_each_write_of_the_list_is_announced_before_it(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        attestation = signed(plain, image)
        client(plain.host).push_manifest("app", attestation)
        tag = referrers_tag(image.digest)
        written = [seen.path.rpartition("/")[2] for seen in plain.writes()]
        assert written == [str(attestation.digest), announcement(image.digest, attestation), tag]
        assert json.loads(plain.manifests["app", plain.tags["app", written[1]]][1])["manifests"] == [
            attestation.listed.json()
        ]

    def test_what_our_own_late_write_dropped_is_added_again(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        ours, theirs = signed(plain, image, "ours"), signed(plain, image, "theirs")

        def finish_before_us(seen: Seen) -> None:
            plain.put_manifest("app", theirs.content)
            announce(plain, image.digest, theirs)
            write_listing(plain, image.digest, [theirs.listed.json()])

        plain.rule("PUT", f"{referrers_tag(image.digest)}$", faults.call(finish_before_us), nth=1)
        client(plain.host).push_manifest("app", ours)
        assert names(plain, image.digest) == {str(ours.digest), str(theirs.digest)}

    @pytest.mark.parametrize("what", ["another subject", "nothing there", "no list", "no descriptor"])
    def test_an_announcement_is_believed_as_far_as_it_is_true(self, plain: FaultRegistry, what: str) -> None:
        image, other = stored(plain), stored(plain, b"other")
        ours, foreign = signed(plain, image, "ours"), signed(plain, other, "foreign")
        match what:
            case "another subject":
                plain.put_manifest("app", foreign.content)
                announce(plain, image.digest, foreign)
            case "nothing there":
                announce(plain, image.digest, foreign)
            case "no list":
                plain.put_manifest("app", b"<", announcement(image.digest, foreign), "x/y")
            case _:
                announce(plain, image.digest, foreign, [3, {"digest": "sha256:"}])
        client(plain.host).push_manifest("app", ours)
        assert names(plain, image.digest) == {str(ours.digest)}

    @pytest.mark.parametrize("status", [403, 404])
    def test_where_tags_cannot_be_listed_time_has_to_show_that_nothing_is_dropped(
        self, plain: FaultRegistry, status: int
    ) -> None:
        image = stored(plain)
        attestation = signed(plain, image)
        waited: list[float] = []

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 1:
                write_listing(plain, image.digest, [])

        plain.rule("GET", "/tags/list", faults.status(status))
        client(plain.host, sleep).push_manifest("app", attestation)
        assert names(plain, image.digest) == {str(attestation.digest)}
        assert all(seconds >= 1 for seconds in waited)
        assert len([seconds for seconds in waited if seconds >= 1]) >= 2

    def test_tags_of_other_things_are_not_paged_through(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        for number in range(2 * REFERRERS):
            plain.tags["app", f"v{number}"] = str(image.digest)
            plain.tags["app", f"{number}"] = str(image.digest)
        client(plain.host).push_manifest("app", signed(plain, image))
        assert sum("/tags/list" in seen.path for seen in plain.requests) == 1

    def test_twelve_writers_of_as_many_processes_lose_nothing(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        attestations = [signed(plain, image, str(number)) for number in range(12)]
        plain.rule("PUT", "/manifests/sha256-", faults.call(lambda _: time.sleep(delays.random() / 50)))
        delays = random.Random(12)  # noqa: S311 - only to mix the writers
        start = threading.Barrier(12)

        def write(attestation: Manifest) -> None:
            start.wait()
            client(plain.host, sleep=time.sleep).push_manifest("app", attestation)

        with ThreadPoolExecutor(12) as pool:
            list(pool.map(write, attestations))
        assert {entry["digest"] for entry in listed(plain, image.digest)} == {str(it.digest) for it in attestations}


class TestTags:
    def test_a_new_tag_is_set_and_read_back(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        place = client(registry.host)
        place.tag("app", "1.0", image, expected=None)
        assert place.resolve("app", "1.0") == image.digest

    def test_a_tag_moves_from_where_it_was_expected(self, registry: FaultRegistry) -> None:
        old, new = stored(registry, b"old", tag="1"), stored(registry, b"new")
        client(registry.host).tag("app", "1", new, expected=old.digest)
        assert registry.tags["app", "1"] == str(new.digest)

    def test_a_tag_that_is_here_already_is_not_written(self, registry: FaultRegistry) -> None:
        image = stored(registry, tag="1")
        client(registry.host).tag("app", "1", image, expected=None)
        client(registry.host).tag("app", "1", image, expected=Digest.of(b"x"))
        assert registry.writes() == []

    @pytest.mark.parametrize("expected", ["nowhere", "elsewhere"])
    def test_a_tag_that_is_elsewhere_stays_there(self, registry: FaultRegistry, expected: str) -> None:
        taken, new = stored(registry, b"taken", tag="1"), stored(registry, b"new")
        other = None if expected == "nowhere" else Digest.of(b"x")
        with pytest.raises(TagMoved) as error:
            client(registry.host).tag("app", "1", new, expected=other)
        assert error.value.code == "tag-conflict"
        assert str(taken.digest) in str(error.value)
        assert (str(other) if other else "nowhere") in str(error.value)
        assert registry.writes() == []

    def test_a_tag_that_vanished_is_not_set(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        assert code(lambda: client(registry.host).tag("app", "1", image, expected=Digest.of(b"x"))) == "tag-conflict"
        assert registry.writes() == []

    @pytest.mark.parametrize("heeded", ["conditions heeded", "conditions ignored"])
    @pytest.mark.parametrize("before", [None, "old"])
    def test_another_writer_in_between_is_noticed(self, heeded: str, before: str | None) -> None:
        with FaultRegistry(conditions=heeded == "conditions heeded") as registry:
            new, other = stored(registry, b"new"), stored(registry, b"other")
            old = stored(registry, b"old", tag="1") if before else None
            late = faults.call(
                lambda _: registry.tags.update({("app", "1"): str(other.digest)}), after=not registry.conditions
            )
            registry.rule("PUT", "", late)
            act = client(registry.host)
            assert code(lambda: act.tag("app", "1", new, expected=old.digest if old else None)) == "tag-conflict"
            assert registry.tags["app", "1"] == str(other.digest)

    def test_a_weak_etag_is_no_condition(self, registry: FaultRegistry) -> None:
        old, new = stored(registry, b"old", tag="1"), stored(registry, b"new")
        registry.rule("GET", "", faults.header("ETag", 'W/"x"'))
        client(registry.host).tag("app", "1", new, expected=old.digest)
        assert "if-match" not in registry.writes()[0].headers

    def test_a_write_whose_answer_was_lost_is_still_a_success(self) -> None:
        with FaultRegistry(conditions=True) as registry:
            image = stored(registry)
            registry.rule("PUT", "", faults.cut(), nth=1)
            client(registry.host).tag("app", "1", image, expected=None)
            assert registry.tags["app", "1"] == str(image.digest)

    def test_all_pages_of_tags_are_read(self, registry: FaultRegistry) -> None:
        names = [f"v{number}" for number in range(25)]
        for name in names:
            stored(registry, tag=name)
        registry.page_size = 4
        assert client(registry.host).tags("app") == tuple(sorted(names))

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [(b'{"tags":null}', ()), (b"{}", ()), (b'{"tags":["b","a","a",3,"-x","\\u001b"]}', ("a", "b"))],
    )
    def test_only_tags_are_tags(self, registry: FaultRegistry, answer: bytes, expected: tuple[str, ...]) -> None:
        registry.rule("GET", "", faults.status(200, body=answer))
        assert client(registry.host).tags("app") == expected

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            (faults.status(200, body=b'{"tags":3}'), "manifest-malformed"),
            (faults.status(200, body=b"[]"), "json-malformed"),
            (faults.status(405), "answer-unexpected"),
            (faults.header("Link", '</v2/app/tags/list>; rel="next"'), "limit-exceeded"),
        ],
    )
    def test_a_list_of_tags_that_can_not_be_read_is_refused(
        self, registry: FaultRegistry, action: faults.Action, expected: str
    ) -> None:
        stored(registry)
        registry.rule("GET", "", action)
        place = client(registry.host)
        assert code(lambda: place.tags("app")) == expected
        assert place.requests < TAG_PAGES


@settings(max_examples=20, deadline=None)
@given(content=st.binary(max_size=5000), cut=st.integers(0, 5000))
def test_what_was_pushed_comes_back_and_nothing_else_does(content: bytes, cut: int) -> None:
    with FaultRegistry() as registry:
        place = client(registry.host)
        place.push_blob("app", blob(content), lambda: [content[:cut], content[cut:]])
        assert b"".join(place.blob("app", blob(content))) == content
        registry.rule("GET", "/blobs/", faults.body(lambda body: body[:cut] + b"!" + body[cut:]))
        assert code(lambda: list(place.blob("app", blob(content)))) == "size-mismatch"


class TestNothingTwice:
    def test_a_list_is_asked_for_once_until_something_is_pushed_that_belongs_in_it(
        self, registry: FaultRegistry
    ) -> None:
        image = stored(registry)
        place = client(registry.host)
        for _ in range(3):
            assert place.referrers("app", image.digest) == ()
        assert place.requests == 2  # API and tag
        note = hanging(image).manifest
        place.push_blob("app", EMPTY, lambda: [EMPTY_CONTENT])
        place.push_blob("app", note.layers[0], lambda: [b"a note"])
        place.push_manifest("app", note)
        before = place.requests
        for _ in range(2):
            assert [entry.digest for entry in place.referrers("app", image.digest)] == [note.digest]
        assert place.requests - before == 4

    def test_a_registry_without_the_api_is_asked_for_it_once(self, plain: FaultRegistry) -> None:
        place = client(plain.host)
        for number in range(5):
            place.referrers("app", Digest.of(bytes([number])))
        asked = [seen.path for seen in plain.requests if "/referrers/" in seen.path]
        assert len(asked) == 1
        assert len(plain.requests) == 6

    def test_a_repository_that_is_not_there_yet_says_nothing_about_the_api(self, registry: FaultRegistry) -> None:
        unknown = b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}'
        registry.rule("GET", "/referrers/", faults.status(404, {"Content-Type": "application/json"}, unknown), nth=1)
        image = stored(registry)
        place = client(registry.host)
        assert place.referrers("app", image.digest) == ()
        note = hanging(image).manifest
        registry.put_manifest("app", note.content)
        assert [entry.digest for entry in place.referrers("app", Digest.of(b"other"))] == []
        assert sum("/referrers/" in seen.path for seen in registry.requests) == 2

    def test_several_referrers_are_listed_in_one_write(self, plain: FaultRegistry) -> None:
        image = stored(plain)
        place = client(plain.host)
        notes = [hanging(image, str(number).encode()).manifest for number in range(3)]
        place.push_blob("app", EMPTY, lambda: [EMPTY_CONTENT])
        for number, note in enumerate(notes):
            content = str(number).encode()
            assert plain.put_blob("app", content) == str(note.layers[0].digest)
        place.push_manifests("app", [notes[:2], [], notes[2:]])
        writes = [seen for seen in plain.writes() if seen.path.endswith(f"/sha256-{image.digest.hex}")]
        assert len(writes) == 1
        assert {entry.digest for entry in place.referrers("app", image.digest)} == {note.digest for note in notes}

    def test_a_manifest_that_threads_want_at_the_same_time_is_asked_for_once(self, registry: FaultRegistry) -> None:
        image = stored(registry)
        place = client(registry.host)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: place.manifest("app", image.digest).digest, range(8))) == {image.digest}
        assert place.requests == 1
