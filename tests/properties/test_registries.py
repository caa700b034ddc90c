"""Laws of digests, names, streams, manifests, archives and copies; each docstring says which."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registries.checked import checked
from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.errors import ContentError, Refusal, TagMoved
from registries.kinds.layout import LayoutRegistry
from registries.kinds.memory import MemoryRegistry
from registries.manifest import Manifest
from registries.read_only import ReadOnly
from registries.reference import Reference
from registries.registry import Location, Registry
from registries.strict_json import dumps, loads
from registries.tarball import Tarball
from tests.images import Image, image, index, manifest_value, referrer

ALGORITHMS = st.sampled_from(["sha256", "sha512"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=15,
)
LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.lists(LABEL, min_size=2, max_size=3).map(".".join),
    st.just("localhost"),
    st.builds("{}:{}".format, LABEL, st.integers(1, 65535)),
    st.builds("[::1]:{}".format, st.integers(1, 65535)),
)
COMPONENT = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,2})[a-z0-9]{1,5}){0,2}", fullmatch=True)
DIGESTS = st.builds(Digest.of, st.binary(max_size=8), ALGORITHMS)
REFERENCES = st.builds(
    Reference,
    registry=HOSTS,
    repository=st.lists(COMPONENT, min_size=1, max_size=3).map("/".join),
    tag=st.none() | st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True),
    digest=st.none() | DIGESTS,
)


Found = TypeVar("Found")


def attempt(act: Callable[[], Found]) -> tuple[Found | None, str]:
    """What comes out, or the code of the refusal."""
    try:
        return act(), ""
    except Refusal as refusal:
        return None, refusal.code


@given(st.binary(), st.binary(), ALGORITHMS)
def test_a_digest_passes_its_own_content_and_no_other(content: bytes, other: bytes, algorithm: str) -> None:
    """OCI image-spec, descriptor.md: the content must be hashed and compared before it is used."""
    digest = Digest.of(content, algorithm)
    assert digest.check(content) == content
    if other != content:
        with pytest.raises(ContentError):
            digest.check(other)


@given(st.text())
def test_text_is_a_digest_or_is_refused(text: str) -> None:
    """Whatever parses is written as it was read."""
    digest, refused = attempt(lambda: Digest.parse(text))
    assert refused in {"digest-malformed", "algorithm-not-allowed"} if digest is None else str(digest) == text


@given(REFERENCES)
def test_t060_a_reference_and_its_text_are_one_to_one(reference: Reference) -> None:
    """The text form of a reference parses to the same reference."""
    assert Reference.parse(str(reference)) == reference


@given(st.text(st.characters(codec="utf-8")) | st.text("aA0./:@-_[]\n%sh256"))
def test_t060_text_is_a_reference_or_is_refused(text: str) -> None:
    """Whatever parses is written as it was read; nothing but `reference-malformed` comes out otherwise."""
    reference, refused = attempt(lambda: Reference.parse(text))
    assert refused == "reference-malformed" if reference is None else str(reference) == text


@given(st.lists(st.binary(max_size=20)), ALGORITHMS)
def test_the_right_bytes_pass_however_they_are_cut(chunks: list[bytes], algorithm: str) -> None:
    """A stream passes unchanged when its bytes together are the ones that were promised."""
    content = b"".join(chunks)
    assert b"".join(checked(chunks, Digest.of(content, algorithm), len(content))) == content


@given(st.binary(min_size=1), st.data())
def test_one_changed_bit_never_passes(content: bytes, data: st.DataObject) -> None:
    """Any single change of a stream is refused at its end at the latest."""
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ContentError) as error:
        list(checked([bytes(changed)], Digest.of(content), len(content)))
    assert error.value.code == "digest-mismatch"


@given(JSON.filter(lambda value: isinstance(value, dict | list)))
def test_what_is_written_as_json_is_read_as_it_was(value: Any) -> None:
    """`loads` after `dumps` is the same value, and Python's own reader agrees."""
    assert loads(dumps(value), limit=1 << 20) == value == json.loads(dumps(value))


@given(st.binary(max_size=60) | st.text('{}[]:,"\\ua1e.-truefalsnNaInity ', max_size=40).map(str.encode))
def test_bytes_are_json_or_are_refused(content: bytes) -> None:
    """Nothing but a refusal comes out of bytes that are no unambiguous JSON; what is read, Python reads alike."""
    value, refused = attempt(lambda: loads(content, limit=100))
    assert refused in {"json-malformed", "json-ambiguous"} if refused else value == json.loads(content)


@given(
    st.dictionaries(st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject"]), JSON)
)
def test_a_document_is_a_manifest_or_is_refused(changes: dict[str, Any]) -> None:
    """Whatever the fields hold, only a refusal or a manifest with exactly these bytes comes out."""
    content = dumps({**manifest_value(), **changes})
    manifest, refused = attempt(lambda: Manifest.from_bytes(content))
    assert refused if manifest is None else (manifest.content, manifest.digest) == (content, Digest.of(content))


@given(st.data())
@settings(max_examples=100)
def test_a_changed_archive_is_read_or_refused(data: st.DataObject) -> None:
    """A tar file with any bytes changed gives members that lie inside it, or a refusal; never anything else."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("short", "folder/" + "long" * 30):
            member = tarfile.TarInfo(name)
            member.size = 700
            tar.addfile(member, io.BytesIO(bytes(700)))
    content = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 4000))] = data.draw(st.integers(0, 255))
    tarball, refused = attempt(lambda: Tarball.spool([bytes(content)], where="here"))
    if tarball is None:
        assert refused == "archive-malformed"
    else:
        assert all(len(b"".join(found.chunks())) == found.size <= len(content) for found in tarball.members.values())


@st.composite
def trees(draw: st.DrawFn, depth: int = 2) -> Image:
    """An image, or an index over such, with any white space."""
    if depth == 0 or draw(st.booleans()):
        return image(
            ("linux/amd64",),
            layers=draw(st.integers(0, 2)),
            seed=draw(st.sampled_from("abc")),
            spaces=draw(st.integers(0, 3)),
        )
    children = draw(st.lists(trees(depth=depth - 1), max_size=3))
    return index(*children, spaces=draw(st.integers(0, 3)))


def hang(draw: st.DrawFn, made: Image, place: Location) -> None:
    subjects = list(made.manifests)
    for number in range(draw(st.integers(0, 3))):
        subject = draw(st.sampled_from(subjects[-3:]))
        subjects.append(referrer(subject, f"note {number}".encode()).push(place).manifest)


@st.composite
def published(draw: st.DrawFn) -> tuple[Digest, MemoryRegistry]:
    """An image with what hangs on it, in a registry."""
    registry = MemoryRegistry("source.test:5000")
    made = draw(trees()).push(Location(registry, "app"))
    hang(draw, made, Location(registry, "app"))
    return made.digest, registry


@given(published())
@settings(max_examples=40, deadline=None)
def test_a_copy_keeps_every_byte_and_twice_is_once(source: tuple[Digest, MemoryRegistry]) -> None:
    """What is at the destination afterwards is what was at the source; a plan writes nothing; again moves nothing."""
    subject, registry = source
    place, destination = Location(registry, "app"), MemoryRegistry("destination.test:5000")
    plan = plan_copy(subject, place, Location(ReadOnly(destination), "app"))
    assert destination.repositories["app"] == MemoryRegistry().repositories["app"]
    moved = copy_image(plan_copy(subject, place, Location(destination, "app")))
    assert destination.repositories["app"] == registry.repositories["app"]
    assert (moved.manifests, moved.blobs) == (len(plan.manifests), len(plan.blobs))
    assert plan_copy(subject, place, Location(destination, "app")).is_empty


@given(published(), st.data())
@settings(max_examples=40, deadline=None)
def test_no_changed_byte_ever_arrives(source: tuple[Digest, MemoryRegistry], data: st.DataObject) -> None:
    """With any one byte changed at the source, the copy refuses or leaves that part out; all that arrives is right."""
    subject, registry = source
    held = registry.repositories["app"]
    kind = data.draw(st.sampled_from([held.blobs, held.manifests]))
    digest = data.draw(st.sampled_from(sorted(kind))) if kind else subject
    content = bytearray(kind.get(digest, b"?"))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    kind[digest] = bytes(content)
    destination = MemoryRegistry("destination.test:5000")
    places = Location(registry, "app"), Location(destination, "app")
    _, refused = attempt(lambda: copy_image(plan_copy(subject, *places)))
    arrived = destination.repositories["app"]
    assert (refused == "digest-mismatch") == (subject not in arrived.manifests)
    assert all(Digest.of(bytes_) == name for name, bytes_ in (arrived.blobs | arrived.manifests).items())


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["push", "tag", "hang"]), st.sampled_from("abc"), st.sampled_from(["v1", "v2"]), st.booleans()
    ),
    max_size=8,
)


@given(ACTIONS)
@settings(max_examples=25, deadline=None)
def test_a_layout_behaves_like_a_registry_in_memory(actions: list[tuple[str, str, str, bool]]) -> None:
    """After the same actions two kinds give the same answers."""
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryRegistry()
        places = (Location(memory, "app"), Location(LayoutRegistry.create(Path(folder)), ""))
        for action, seed, tag, expects in actions:
            made = image(("linux/amd64",), seed=seed, layers=1)
            outcomes = [_done(place, action, made, tag, expects=expects) for place in places]
            assert outcomes[0] == outcomes[1]
        for place in places:
            _same(places[0].registry, places[0].repository, place.registry, place.repository)


def _done(place: Location, action: str, made: Image, tag: str, *, expects: bool) -> str:
    match action:
        case "push":
            made.push(place)
        case "hang":
            referrer(made.manifest).push(place)
        case _:
            made.push(place)
            now = (
                place.registry.resolve(place.repository, tag) if tag in place.registry.tags(place.repository) else None
            )
            try:
                place.registry.tag(place.repository, tag, made.manifest, expected=now if expects else None)
            except TagMoved as error:
                return error.code
    return "done"


def _same(one: Registry, its: str, other: Registry, others: str) -> None:
    assert one.tags(its) == other.tags(others)
    for tag in one.tags(its):
        assert one.resolve(its, tag) == other.resolve(others, tag)
    for seed in "abc":
        made = image(("linux/amd64",), seed=seed, layers=1)
        listed = [
            {entry.digest for entry in place.referrers(name, made.digest)}
            for place, name in ((one, its), (other, others))
        ]
        assert listed[0] == listed[1]
        assert all(one.holds(its, blob) == other.holds(others, blob) for blob in made.manifest.blobs)
