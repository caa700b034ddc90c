from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from registries import catalogue
from registries.catalogue import INDEX_JSON_BYTES, MARKER_BYTES, REF_NAME
from registries.digest import Digest
from registries.errors import ContentError, NotFound, Refusal, TagMoved
from registries.kinds.layout import Layout, LayoutRegistry
from registries.limits import MANIFEST_BYTES
from registries.manifest import EMPTY, EMPTY_CONTENT, OCI_INDEX, OCI_MANIFEST, Manifest
from registries.registry import Location
from registries.strict_json import dumps
from tests.images import Image, blob, image, index, manifest_value, push_blob, referrer

EMPTY_INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def registry(root: Path) -> LayoutRegistry:
    return LayoutRegistry.create(root)


@pytest.fixture
def place(registry: LayoutRegistry) -> Location:
    return Location(registry, "")


def document(root: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((root / "index.json").read_bytes())
    return value


def entries(root: Path) -> list[tuple[str, str | None]]:
    """What index.json lists: digests with their names."""
    return [(entry["digest"], entry.get("annotations", {}).get(REF_NAME)) for entry in document(root)["manifests"]]


def written(root: Path, *manifests: Mapping[str, Any], **fields: Any) -> None:
    (root / "index.json").write_bytes(dumps({**EMPTY_INDEX, "manifests": list(manifests), **fields}))


def named(made: Image, name: str, **fields: Any) -> dict[str, Any]:
    return {**made.manifest.descriptor.json(), **fields, "annotations": {REF_NAME: name}}


def code(action: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        action()
    return error.value.code


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


# the folder


def test_a_new_layout_is_what_the_specification_wants(root: Path, registry: LayoutRegistry) -> None:
    assert json.loads((root / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert document(root) == EMPTY_INDEX
    assert files(root) == {"oci-layout", "index.json"}
    assert registry.name == f"oci:{root}"


def test_creating_a_layout_again_changes_nothing(root: Path, place: Location) -> None:
    made = image().push(place, "v1")
    before = (root / "index.json").stat().st_ino
    assert LayoutRegistry.create(root).resolve("", "v1") == made.digest
    assert (root / "index.json").stat().st_ino == before


def test_a_layout_whose_making_was_broken_off_is_completed(root: Path, place: Location) -> None:
    made = image().push(place, "v1")
    (root / "oci-layout").unlink()
    assert LayoutRegistry.create(root).resolve("", "v1") == made.digest


@pytest.mark.parametrize("what", ["nothing", "empty", "file", "index"])
def test_what_is_no_layout_is_not_found(tmp_path: Path, what: str) -> None:
    path = tmp_path / "place"
    match what:
        case "empty":
            path.mkdir()
        case "file":
            path.write_bytes(b"")
        case "index":
            path.mkdir()
            (path / "index.json").write_bytes(dumps(EMPTY_INDEX))
        case _:
            pass
    with pytest.raises(NotFound) as error:
        LayoutRegistry(path)
    assert error.value.code == "image-not-found"
    assert "no OCI image layout" in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        (b'{"imageLayoutVersion":"2.0.0"}', "layout-unsupported"),
        (b'{"imageLayoutVersion":1}', "layout-unsupported"),
        (b"{}", "layout-unsupported"),
        (b"", "json-malformed"),
        (b"[]", "json-malformed"),
        (b'{"imageLayoutVersion":"1.0.0","imageLayoutVersion":"2.0.0"}', "json-ambiguous"),
        (b'{"imageLayoutVersion":"1.0.0"}' + b" " * MARKER_BYTES, "size-limit"),
    ],
)
def test_a_layout_of_another_version_is_refused(root: Path, marker: bytes, expected: str) -> None:
    LayoutRegistry.create(root)
    (root / "oci-layout").write_bytes(marker)
    assert code(lambda: LayoutRegistry(root)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "json-malformed"),
        (b"{}", "manifest-malformed"),
        (b'{"manifests":{}}', "manifest-malformed"),
        (b'{"manifests":["x"]}', "manifest-malformed"),
        (b'{"manifests":[],"manifests":[]}', "json-ambiguous"),
        (b"\xff", "json-ambiguous"),
    ],
)
def test_an_index_json_that_can_not_be_read_is_refused_and_left_alone(
    root: Path, place: Location, content: bytes, expected: str
) -> None:
    (root / "index.json").write_bytes(content)
    made = image(("linux/amd64",))
    for attempt in (
        lambda: place.registry.tags(""),
        lambda: place.registry.resolve("", "v1"),
        lambda: place.registry.referrers("", made.digest),
        lambda: made.push(place),
    ):
        assert code(attempt) == expected
    assert (root / "index.json").read_bytes() == content


def test_a_layout_that_lost_its_index_json_is_not_found(root: Path, registry: LayoutRegistry) -> None:
    (root / "index.json").unlink()
    assert code(lambda: registry.tags("")) == "image-not-found"


def test_index_json_is_read_to_the_limit_and_refused_one_byte_beyond(root: Path, registry: LayoutRegistry) -> None:
    content = dumps(EMPTY_INDEX)
    for beyond, expected in ((0, None), (1, "size-limit")):
        (root / "index.json").write_bytes(content + b" " * (INDEX_JSON_BYTES - len(content) + beyond))
        if expected is None:
            assert registry.tags("") == ()
        else:
            assert code(lambda: registry.tags("")) == expected


# what index.json lists


def test_only_the_entry_points_are_listed(root: Path, place: Location) -> None:
    made = image().push(place, "v1")
    note = referrer(made.manifest).push(place)
    assert entries(root) == [(str(made.digest), "v1"), (str(note.digest), None)]


def test_what_was_pushed_by_digest_is_listed_until_something_leads_to_it(root: Path, place: Location) -> None:
    made = image()
    for descriptor, content in made.blobs:
        push_blob(place, descriptor, content)
    first, second, whole = made.manifests
    place.registry.push_manifest("", first)
    place.registry.push_manifest("", second)
    assert entries(root) == [(str(first.digest), None), (str(second.digest), None)]
    place.registry.push_manifest("", whole)
    assert entries(root) == [(str(whole.digest), None)]
    place.registry.tag("", "v1", whole, expected=None)
    assert entries(root) == [(str(whole.digest), "v1")]
    assert place.registry.manifest("", first.digest) == first


def test_a_tag_that_moves_on_leaves_what_it_pointed_at(root: Path, place: Location) -> None:
    first, second = image(seed="first").push(place, "v1"), image(seed="second").push(place)
    place.registry.tag("", "v1", second.manifest, expected=first.digest)
    assert sorted(entries(root), key=str) == sorted([(str(first.digest), None), (str(second.digest), "v1")], key=str)
    assert place.registry.manifest("", first.manifests[0].digest) == first.manifests[0]


def test_one_image_may_have_many_tags(root: Path, place: Location) -> None:
    made = image().push(place, "v1").push(place, "v2")
    assert entries(root) == [(str(made.digest), "v1"), (str(made.digest), "v2")]


def test_an_annotation_is_never_taken_for_a_tag(root: Path, place: Location, registry: LayoutRegistry) -> None:
    """Whoever may attach something could otherwise move a tag."""
    made = image().push(place, "v1")
    evil = referrer(made.manifest, b"evil", annotations={REF_NAME: "v1"}).push(place)
    child = image(("linux/amd64",), seed="child").push(place)
    entry = {**child.manifest.descriptor.json(), "annotations": {REF_NAME: "v1"}}
    sneaky = Manifest.from_bytes(dumps({**EMPTY_INDEX, "manifests": [entry], "annotations": {REF_NAME: "v1"}}))
    registry.push_manifest("", sneaky)
    registry.delete_manifest(sneaky.digest)
    assert entries(root) == [(str(made.digest), "v1"), (str(evil.digest), None), (str(child.digest), None)]
    assert registry.resolve("", "v1") == made.digest


def test_pushing_again_writes_nothing_again(root: Path, place: Location) -> None:
    made = image().push(place, "v1")
    note = referrer(made.manifest).push(place)
    before = (root / "index.json").stat()
    blobs = {path: path.stat().st_ino for path in (root / "blobs" / "sha256").iterdir()}
    made.push(place, "v1")
    note.push(place)
    place.registry.push_manifest("", made.manifests[0])
    after = (root / "index.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert blobs == {path: path.stat().st_ino for path in (root / "blobs" / "sha256").iterdir()}


def test_foreign_entries_and_unknown_fields_are_kept(root: Path, place: Location) -> None:
    foreign: list[dict[str, Any]] = [
        {"mediaType": "text/plain", "digest": "sha256:" + "0" * 64, "size": 5, "unknown": [1.5, {"a": None}]},
        {"mediaType": "x/y", "digest": "md5:abc", "size": 5},
        {"no": "descriptor"},
        {"digest": "sha256:" + "1" * 64, "annotations": {REF_NAME: "half"}},
        {"mediaType": "text/plain", "digest": "sha256:" + "2" * 64, "size": 5, "annotations": {"their": "own"}},
    ]
    written(root, *foreign, annotations={"of": "the index"}, unknown={"kept": True})
    made = image().push(place, "v1")
    found = document(root)
    assert found["manifests"][: len(foreign)] == foreign
    assert found["annotations"] == {"of": "the index"}
    assert found["unknown"] == {"kept": True}
    assert place.registry.tags("") == ("v1",)
    assert place.registry.resolve("", "v1") == made.digest


def test_what_others_wrote_about_an_entry_survives_a_move_of_its_tag(root: Path, place: Location) -> None:
    first, second = image(seed="first").push(place), image(seed="second").push(place)
    entry = named(first, "v1", platform={"os": "linux"})
    entry["annotations"]["their"] = "own"
    written(root, entry)
    place.registry.tag("", "v1", second.manifest, expected=first.digest)
    assert document(root)["manifests"][0] == {**entry, "annotations": {"their": "own"}}


# reading what others wrote


def test_a_name_that_two_images_have_is_ambiguous(root: Path, place: Location, registry: LayoutRegistry) -> None:
    first, second = image(seed="first").push(place), image(seed="second").push(place)
    written(root, named(first, "latest"), named(second, "latest"))
    with pytest.raises(ContentError) as error:
        registry.resolve("", "latest")
    assert error.value.code == "tag-ambiguous"
    assert f"@{first.digest}" in error.value.reasons[0].hint
    assert registry.layout.tags() == {}
    with pytest.raises(TagMoved):
        registry.tag("", "latest", first.manifest, expected=first.digest)
    assert registry.manifest("", first.digest) == first.manifest


def test_a_name_that_one_image_has_twice_is_clear(root: Path, place: Location, registry: LayoutRegistry) -> None:
    made = image().push(place)
    written(root, named(made, "latest"), named(made, "latest"))
    assert registry.resolve("", "latest") == made.digest


@pytest.mark.parametrize(
    ("lie", "expected"),
    [({"size": 1}, "size-mismatch"), ({"mediaType": OCI_MANIFEST}, "media-type-confusion")],
)
def test_an_entry_must_say_the_truth_about_its_manifest(
    root: Path, place: Location, lie: dict[str, Any], expected: str
) -> None:
    made = image().push(place)
    written(root, named(made, "v1", **lie))
    assert code(lambda: place.registry.resolve("", "v1")) == expected


def test_a_name_that_would_be_no_tag_in_a_registry_is_found(root: Path, place: Location) -> None:
    made = image().push(place)
    written(root, named(made, "docker.io/library/app:1.0"))
    assert place.registry.tags("") == ("docker.io/library/app:1.0",)
    assert place.registry.resolve("", "docker.io/library/app:1.0") == made.digest


def test_a_tag_of_a_manifest_that_is_gone_is_not_found(root: Path, place: Location) -> None:
    made = image()
    written(root, named(made, "v1"))
    assert code(lambda: place.registry.resolve("", "v1")) == "image-not-found"
    made.push(place)
    assert place.registry.resolve("", "v1") == made.digest
    assert place.registry.manifest("", made.manifests[0].digest) == made.manifests[0]


def test_referrers_are_found_as_oras_and_as_regctl_write_them(root: Path, place: Location) -> None:
    """oras lists each in index.json; regctl lists one index of them under a fallback tag."""
    made = image().push(place, "v1")
    by_oras, by_regctl, bare = (referrer(made.manifest, text) for text in (b"oras", b"regctl", b"bare"))
    stranger = image(("linux/amd64",), seed="without subject")
    for item in (by_oras, by_regctl, bare, stranger):
        item.push(place)
    listing = index(by_regctl, stranger).push(place)
    oras = {**by_oras.manifest.listed.json(), "artifactType": "a/b"}
    written(root, named(made, "v1"), oras, named(listing, f"sha256-{made.digest.hex}"))
    found = {entry.digest for entry in place.registry.referrers("", made.digest)}
    assert found == {by_oras.digest, by_regctl.digest, stranger.digest}


@pytest.mark.parametrize("what", ["the subject itself", "no index", "nothing"])
def test_a_fallback_tag_that_is_no_list_lists_nothing(root: Path, place: Location, what: str) -> None:
    made = image().push(place, "v1")
    other = made if what == "the subject itself" else image(("linux/amd64",), seed="other")
    if what != "nothing":
        other.push(place)
    written(root, named(made, "v1"), named(other, f"sha256-{made.digest.hex}"))
    assert place.registry.referrers("", made.digest) == ()


def test_a_damaged_manifest_hides_no_other_referrer(root: Path, place: Location, registry: LayoutRegistry) -> None:
    made = image().push(place, "v1")
    good, bad = (referrer(made.manifest, text).push(place) for text in (b"good", b"bad"))
    registry.blob_path(bad.digest).write_bytes(b"{")
    fresh = LayoutRegistry(root)
    assert [entry.digest for entry in fresh.referrers("", made.digest)] == [good.digest]
    assert code(lambda: fresh.manifest("", bad.digest)) == "digest-mismatch"


def test_blobs_may_be_links_to_files(place: Location, registry: LayoutRegistry, tmp_path: Path) -> None:
    made = image().push(place, "v1")
    path = registry.blob_path(made.blobs[0][0].digest)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert b"".join(registry.blob("", made.blobs[0][0])) == made.blobs[0][1]


@pytest.mark.parametrize("what", ["pipe", "folder", "device", "dangling link"])
def test_what_is_no_file_is_no_blob(registry: LayoutRegistry, what: str) -> None:
    descriptor = blob(b"content")
    path = registry.blob_path(descriptor.digest)
    match what:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            path.symlink_to("nowhere")
    assert code(lambda: registry.blob("", descriptor)) == "blob-not-found"
    assert not registry.holds("", descriptor)


def test_t057_a_manifest_is_read_to_the_limit_and_refused_one_byte_beyond(root: Path, place: Location) -> None:
    push_blob(place, EMPTY, EMPTY_CONTENT)
    content = dumps(manifest_value())
    for beyond, expected in ((0, None), (1, "size-limit")):
        padded = content + b" " * (MANIFEST_BYTES - len(content) + beyond)
        digest = Digest.of(padded)
        push_blob(place, blob(padded), padded)
        written(root, {"mediaType": OCI_MANIFEST, "digest": str(digest), "size": len(padded)})
        if expected is None:
            assert place.registry.manifest("", digest).content == padded
        else:
            assert code(lambda: place.registry.manifest("", digest)) == expected  # noqa: B023


def test_what_another_process_writes_is_seen(root: Path, registry: LayoutRegistry) -> None:
    other = Location(LayoutRegistry(root), "")
    assert registry.tags("") == ()
    made = image().push(other, "v1")
    assert registry.resolve("", "v1") == made.digest
    note = referrer(made.manifest).push(other)
    assert [entry.digest for entry in registry.referrers("", made.digest)] == [note.digest]


def test_what_another_process_writes_within_one_tick_of_the_clock_is_seen(root: Path, place: Location) -> None:
    """Two quick replacements may leave the same number, size and time: then only the bytes tell."""
    image(("linux/amd64",)).push(place, "v1")
    assert place.registry.tags("") == ("v1",)
    path = root / "index.json"
    before = path.stat()
    with path.open("r+b") as file:  # the same file, as when its number is used again
        content = file.read().replace(b'"v1"', b'"v2"')
        file.seek(0)
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert place.registry.tags("") == ("v2",)


def test_a_referrer_that_another_process_deleted_is_not_listed_though_an_index_leads_to_it(
    root: Path, place: Location, registry: LayoutRegistry
) -> None:
    made = image().push(place, "v1")
    note = referrer(made.manifest).push(place)
    index(note).push(place, "list")
    assert [entry.digest for entry in registry.layout.referrers(made.digest)] == [note.digest]
    LayoutRegistry(root).delete_manifest(note.digest)
    assert registry.layout.referrers(made.digest) == ()


def test_a_deleted_index_within_an_index_leaves_its_children(place: Location, registry: LayoutRegistry) -> None:
    inner = image()
    index(inner).push(place, "v1")
    registry.delete_manifest(inner.digest)
    for child in inner.manifests[:-1]:
        assert registry.manifest("", child.digest) == child


# deleting


def test_a_deleted_tag_leaves_the_image(root: Path, place: Location, registry: LayoutRegistry) -> None:
    made = image().push(place, "v1")
    registry.layout.delete_tag("v1")
    assert registry.tags("") == ()
    assert entries(root) == [(str(made.digest), None)]
    assert registry.manifest("", made.digest) == made.manifest
    assert code(lambda: registry.layout.delete_tag("v1")) == "image-not-found"


def test_a_deleted_index_takes_its_tags_and_leaves_its_children(
    root: Path, place: Location, registry: LayoutRegistry
) -> None:
    made = image().push(place, "v1").push(place, "v2")
    registry.delete_manifest(made.digest)
    assert registry.tags("") == ()
    assert code(lambda: registry.manifest("", made.digest)) == "image-not-found"
    for child in made.manifests[:-1]:
        assert registry.manifest("", child.digest) == child
    assert entries(root) == [(str(child.digest), None) for child in made.manifests[:-1]]
    assert not registry.blob_path(made.digest).exists()
    assert code(lambda: registry.delete_manifest(made.digest)) == "image-not-found"


def test_a_deleted_child_is_gone_until_it_is_pushed_again(place: Location, registry: LayoutRegistry) -> None:
    made = image().push(place, "v1")
    child = made.manifests[0]
    registry.delete_manifest(child.digest)
    assert code(lambda: registry.manifest("", child.digest)) == "image-not-found"
    assert not registry.layout.is_manifest(child.digest)
    registry.push_manifest("", child)
    assert registry.manifest("", child.digest) == child


def test_a_deleted_referrer_is_no_longer_listed(place: Location, registry: LayoutRegistry) -> None:
    made = image().push(place, "v1")
    note = referrer(made.manifest).push(place)
    registry.delete_manifest(note.digest)
    assert registry.referrers("", made.digest) == ()
    note.push(place)
    assert [entry.digest for entry in registry.referrers("", made.digest)] == [note.digest]


def test_a_referrer_that_an_index_lists_can_be_deleted_too(place: Location, registry: LayoutRegistry) -> None:
    made = image().push(place, "v1")
    note = referrer(made.manifest).push(place)
    index(note).push(place, "list")
    registry.delete_manifest(note.digest)
    assert registry.referrers("", made.digest) == ()


def test_a_deleted_blob_is_gone(place: Location, registry: LayoutRegistry) -> None:
    push_blob(place, blob(b"x"), b"x")
    registry.layout.delete_blob(blob(b"x").digest)
    assert not registry.holds("", blob(b"x"))
    assert code(lambda: registry.layout.delete_blob(blob(b"x").digest)) == "blob-not-found"


# uploads


def test_an_upload_in_parts_becomes_a_blob(root: Path, registry: LayoutRegistry) -> None:
    layout = registry.layout
    session = layout.uploads.begin()
    for part in (b"in ", b"parts"):
        with layout.uploads.open(session) as growing:
            growing.write(part)
    with layout.uploads.open(session) as growing:
        layout.finish(growing, Digest.of(b"in parts"))
    assert registry.holds("", blob(b"in parts"))
    assert files(root) == {"oci-layout", "index.json", f"blobs/sha256/{Digest.of(b'in parts').hex}"}


def test_an_upload_that_is_not_what_its_digest_names_is_thrown_away(root: Path, registry: LayoutRegistry) -> None:
    uploads = registry.layout.uploads
    with uploads.open(uploads.begin()) as growing:
        growing.write(b"other")
        assert code(lambda: registry.layout.finish(growing, Digest.of(b"right"))) == "digest-mismatch"
    assert files(root) == {"oci-layout", "index.json"}


def test_a_blob_that_is_refused_leaves_no_file_behind(root: Path, place: Location) -> None:
    assert code(lambda: push_blob(place, blob(b"right"), b"wrong")) == "digest-mismatch"
    assert files(root) == {"oci-layout", "index.json"}


@pytest.mark.parametrize(
    "session", ["", "..", "../index.json", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 31 + "\n"]
)
def test_t046_an_upload_has_no_name_that_could_lead_elsewhere(registry: LayoutRegistry, session: str) -> None:
    assert code(lambda: registry.layout.uploads.path(session)) == "upload-not-found"


def test_a_blob_is_taken_over_from_another_layout(registry: LayoutRegistry, tmp_path: Path) -> None:
    other = LayoutRegistry.create(tmp_path / "other")
    push_blob(Location(other, ""), blob(b"shared"), b"shared")
    digest = blob(b"shared").digest
    for _ in range(2):
        registry.layout.adopt(other.layout, digest)
    other.layout.delete_blob(digest)
    assert b"".join(registry.blob("", blob(b"shared"))) == b"shared"


def test_a_blob_that_is_damaged_is_not_taken_over(registry: LayoutRegistry, tmp_path: Path) -> None:
    other = LayoutRegistry.create(tmp_path / "other")
    push_blob(Location(other, ""), blob(b"whole"), b"whole")
    digest = Digest.of(b"whole")
    other.blob_path(digest).write_bytes(b"rotten")
    assert code(lambda: registry.layout.adopt(other.layout, digest)) == "digest-mismatch"
    assert not registry.blob_path(digest).exists()


def test_every_digest_has_its_own_place_inside_the_folder(root: Path, registry: LayoutRegistry) -> None:
    for digest in (Digest.of(b"x"), Digest.of(b"x", "sha512")):
        assert registry.blob_path(digest) == root / "blobs" / digest.algorithm / digest.hex


# faults of the file system


def test_t135_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Refusal) as error:
        LayoutRegistry.create(tmp_path / "file" / "layout")
    assert error.value.code == "local-storage-failed"
    assert str(tmp_path) in str(error.value)


def test_t135_a_blob_that_can_not_be_stored_is_no_blob(root: Path, place: Location) -> None:
    (root / "uploads").rmdir()
    (root / "uploads").write_bytes(b"in the way")
    assert code(lambda: push_blob(place, blob(b"x"), b"x")) == "local-storage-failed"
    assert not place.registry.holds("", blob(b"x"))


# several writers, and kills


def _push_referrers(root: str, first: int, subject: bytes) -> None:
    place = Location(LayoutRegistry(Path(root)), "")
    for number in range(first, first + 10):
        referrer(Manifest.from_bytes(subject), f"note {number}".encode()).push(place)


def test_t076_no_entry_of_several_processes_is_lost(root: Path, place: Location) -> None:
    made = image().push(place, "v1")
    start = multiprocessing.get_context("spawn")
    writers = [
        start.Process(target=_push_referrers, args=(str(root), 10 * number, made.manifest.content))
        for number in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(place.registry.referrers("", made.digest)) == 30


def test_t099_of_several_openings_of_one_layout_one_wins_a_tag(root: Path, place: Location) -> None:
    made = [image(("linux/amd64",), seed=str(number)).push(place) for number in range(8)]

    def claim(number: int) -> int:
        with contextlib.suppress(TagMoved):
            LayoutRegistry(root).tag("", "v1", made[number].manifest, expected=None)
            return 1
        return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


def test_a_reader_never_sees_half_an_index_json(root: Path, place: Location) -> None:
    made = image().push(place, "v1")
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        fresh = LayoutRegistry(root)
        while not stop.is_set():
            seen.append(len(fresh.referrers("", made.digest)))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        referrer(made.manifest, str(number).encode()).push(place)
    stop.set()
    reader.join()
    assert seen == sorted(seen)


_WRITER = """
import sys
from pathlib import Path
from registries.kinds.layout import LayoutRegistry
from registries.registry import Location
from tests.images import image, referrer
place = Location(LayoutRegistry(Path(sys.argv[1])), "")
print("ready", flush=True)
for number in range(10**6):
    made = image(seed=str(number), layers=3).push(place, f"v{number}")
    referrer(made.manifest).push(place)
"""


@pytest.mark.parametrize("milliseconds", [20, 90, 170, 310])
def test_t131_a_writer_that_is_killed_leaves_no_half_file(root: Path, milliseconds: int) -> None:
    LayoutRegistry.create(root)
    command = [sys.executable, "-c", _WRITER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(milliseconds / 1000)
        writer.send_signal(signal.SIGKILL)
    for path in (root / "blobs" / "sha256").iterdir():
        assert Digest.of(path.read_bytes()).hex == path.name
    registry = LayoutRegistry(root)
    for tag in registry.tags(""):
        made = registry.manifest("", registry.resolve("", tag))
        for child in made.children:
            assert all(registry.holds("", descriptor) for descriptor in registry.manifest("", child.digest).blobs)
    image(seed="after").push(Location(registry, ""), "after")
    assert "after" in registry.tags("")


# the catalogue by itself


def test_a_catalogue_is_read_in_one_pass_however_often_things_are_listed(root: Path, place: Location) -> None:
    made = image().push(place)
    asked: list[Digest] = []

    def links(digest: Digest) -> catalogue.Links | None:
        asked.append(digest)
        known = {manifest.digest: manifest for manifest in made.manifests}
        return catalogue.Links.of(known[digest]) if digest in known else None

    listed = [made.manifest.descriptor.json()] * 50
    found = catalogue.Catalogue.of({**EMPTY_INDEX, "manifests": listed}, links, where="here")
    assert sorted(asked) == sorted(manifest.digest for manifest in made.manifests)
    assert len(catalogue.pruned(found)) == 1


def test_the_bare_storage_is_created_on_demand(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a" / "b")
    assert not layout.exists()
    layout.create()
    assert layout.exists()
    assert layout.tags() == {}
