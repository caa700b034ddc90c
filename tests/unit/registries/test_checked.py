from __future__ import annotations

from collections.abc import Iterator

import pytest

from registries.checked import checked, read_limited
from registries.digest import Digest
from registries.errors import ContentError

CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)


class Endless:
    """Chunks without end that remember how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 1
            yield b"x" * 10


@pytest.mark.parametrize(
    "chunks", [[CONTENT], [b"01234", b"56789"], [b"", CONTENT, b""], [bytes([c]) for c in CONTENT]]
)
def test_the_right_bytes_pass_in_whatever_chunks(chunks: list[bytes]) -> None:
    assert b"".join(checked(chunks, DIGEST, len(CONTENT))) == CONTENT


def test_sha512_is_checked_with_sha512() -> None:
    digest = Digest.of(CONTENT, "sha512")
    assert b"".join(checked([CONTENT], digest, 10)) == CONTENT
    with pytest.raises(ContentError) as error:
        list(checked([b"9876543210"], digest, 10))
    assert error.value.code == "digest-mismatch"


def test_nothing_is_the_content_of_the_digest_of_nothing() -> None:
    assert list(checked([], Digest.of(b""), 0)) == []


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([b"012345678X"], "digest-mismatch"),
        ([b"9876543210"], "digest-mismatch"),
        ([b"012345678"], "size-mismatch"),
        ([], "size-mismatch"),
        ([CONTENT, b"x"], "size-mismatch"),
        ([CONTENT + b"x"], "size-mismatch"),
    ],
)
def test_t054_other_shorter_and_longer_bytes_are_refused(chunks: list[bytes], code: str) -> None:
    with pytest.raises(ContentError) as error:
        list(checked(chunks, DIGEST, len(CONTENT), where="registry.test/app"))
    assert error.value.code == code
    assert error.value.reasons[0].where == "registry.test/app"


def test_t137_an_endless_stream_is_left_at_the_first_byte_too_many() -> None:
    endless, passed = Endless(), list[bytes]()
    with pytest.raises(ContentError) as error:
        passed.extend(checked(endless, DIGEST, 25))
    assert error.value.code == "size-mismatch"
    assert (endless.taken, len(passed)) == (3, 2)


def test_the_last_bytes_are_passed_on_before_they_are_judged() -> None:
    """A consumer therefore has to read to the end, and must not publish before."""
    stream = checked([b"9876543210"], DIGEST, 10)
    assert next(stream) == b"9876543210"
    with pytest.raises(ContentError):
        next(stream)


def test_what_has_no_promised_size_is_read_to_the_limit_and_not_one_byte_further() -> None:
    assert read_limited([b"01234", b"56789"], 10) == CONTENT
    with pytest.raises(ContentError) as error:
        read_limited([b"01234", b"56789"], 9, where="here")
    assert (error.value.code, error.value.reasons[0].where) == ("size-limit", "here")


def test_t033_an_endless_answer_is_left_at_the_limit() -> None:
    endless = Endless()
    with pytest.raises(ContentError) as error:
        read_limited(endless, 100)
    assert error.value.code == "size-limit"
    assert endless.taken == 11
