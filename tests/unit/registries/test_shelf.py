from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.memory import MemoryRegistry
from registries.registry import Location
from registries.shelf import FOLDER_BYTES, ONE_BYTES, Shelf
from tests.bent import Bent
from tests.images import blob, image, push_blob


@pytest.fixture
def place() -> Location:
    return Location(Bent(MemoryRegistry()), "app")


def asked(place: Location) -> list[str]:
    assert isinstance(place.registry, Bent)
    return [method for method, _ in place.registry.calls if method in ("manifest", "blob")]


def forget(place: Location) -> None:
    assert isinstance(place.registry, Bent)
    place.registry.calls.clear()


def test_what_was_fetched_once_is_not_fetched_again_in_one_run(place: Location) -> None:
    made = image(("linux/amd64",)).push(place)
    layer, content = made.blobs[1]
    forget(place)
    shelf = Shelf()
    for _ in range(2):
        assert shelf.manifest(place, made.digest) == made.manifest
        assert shelf.blob(place, layer) == content
    assert asked(place) == ["manifest", "blob"]
    assert (shelf.held(layer), shelf.held(replace(layer, size=1)), Shelf().held(layer)) == (content, None, None)


def test_nor_in_the_next_one_where_there_is_a_folder(place: Location, tmp_path: Path) -> None:
    made = image(("linux/amd64",)).push(place)
    layer, content = made.blobs[1]
    first = Shelf(tmp_path / "new")
    first.manifest(place, made.digest)
    first.blob(place, layer)
    forget(place)
    second = Shelf(tmp_path / "new")
    assert second.manifest(place, made.digest) == made.manifest
    assert second.blob(place, layer) == content
    assert asked(place) == []


@pytest.mark.parametrize("damage", [b"", b"other bytes", b"x" * (ONE_BYTES + 2)])
def test_what_is_damaged_in_the_folder_is_fetched(place: Location, tmp_path: Path, damage: bytes) -> None:
    made = image(("linux/amd64",)).push(place)
    Shelf(tmp_path).manifest(place, made.digest)
    (tmp_path / "sha256" / made.digest.hex).write_bytes(damage)
    forget(place)
    assert Shelf(tmp_path).manifest(place, made.digest) == made.manifest
    assert asked(place) == ["manifest"]
    assert (tmp_path / "sha256" / made.digest.hex).read_bytes() == made.manifest.content


def test_t135_a_folder_that_can_not_be_used_changes_nothing(place: Location, tmp_path: Path) -> None:
    made = image(("linux/amd64",)).push(place)
    (tmp_path / "file").write_bytes(b"no folder")
    shelf = Shelf(tmp_path / "file")
    assert shelf.manifest(place, made.digest) == made.manifest
    shelf.tidy()
    assert (tmp_path / "file").read_bytes() == b"no folder"


def test_large_content_is_kept_nowhere(place: Location, tmp_path: Path) -> None:
    large, small = b"x" * (ONE_BYTES + 1), b"x" * ONE_BYTES
    shelf = Shelf(tmp_path)
    for content in (large, small):
        push_blob(place, blob(content), content)
        assert shelf.blob(place, blob(content)) == content
    assert (shelf.held(blob(large)), shelf.held(blob(small))) == (None, small)
    assert [path.name for path in (tmp_path / "sha256").iterdir()] == [Digest.of(small).hex]


def test_a_descriptor_that_lies_about_a_size_is_refused_although_the_content_is_here(place: Location) -> None:
    push_blob(place, blob(b"content"), b"content")
    shelf = Shelf()
    shelf.blob(place, blob(b"content"))
    with pytest.raises(Refusal) as error:
        shelf.blob(place, replace(blob(b"content"), size=6))
    assert error.value.code == "size-mismatch"


def test_a_full_folder_is_tidied_by_whoever_added_to_it(place: Location, tmp_path: Path) -> None:
    folder = tmp_path / "sha256"
    folder.mkdir()
    for number in range(3):
        (folder / f"old{number}").write_bytes(b"")
        with (folder / f"old{number}").open("r+b") as file:
            file.truncate(FOLDER_BYTES // 2)
    made = image(("linux/amd64",)).push(place)
    shelf = Shelf(tmp_path)
    shelf.tidy()
    assert len(list(folder.iterdir())) == 3
    shelf.manifest(place, made.digest)
    shelf.tidy()
    left = {path.name for path in folder.iterdir()}
    assert made.digest.hex in left
    assert len(left) == 2
