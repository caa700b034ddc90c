from __future__ import annotations

import hashlib

import pytest

from registries.digest import Digest
from registries.errors import ContentError

HEX = "a" * 64


def test_a_digest_names_its_content() -> None:
    assert str(Digest.of(b"")) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Digest.of(b"x", "sha512").hex == hashlib.sha512(b"x").hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_text_and_digest_are_one_to_one(algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)
    assert Digest.parse(str(digest)) == digest
    assert digest.algorithm == algorithm


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        f":{HEX}",
        f"sha256:{'a' * 63}",
        f"sha256:{'a' * 65}",
        f"sha256:{'A' * 64}",
        f"sha256:{'g' * 64}",
        f"sha256:{'a' * 63}é",
        f"sha256:{'a' * 63} ",
        f"sha256:{'a' * 64}\n",
        f" sha256:{HEX}",
        f"sha256:{HEX}:{HEX}",
        f"sha256-{HEX}",
        f"sha256:../{'a' * 61}",
        f"sha256:{'a' * 32}/{'a' * 31}",
        "sha256:" + "\u0660" * 64,
        f"sha256:{'a' * 128}",
        f"sha512:{HEX}",
        f"SHA256:{HEX}",
        f"sha256:0x{'a' * 62}",
        f"sha256:{'a' * 63}\x00",
    ],
)
def test_t059_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ContentError) as error:
        Digest.parse(text)
    assert error.value.code == "digest-malformed"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha3", "blake3", "sha256+b64u", "none"])
def test_t059_an_algorithm_outside_the_list_is_refused(algorithm: str) -> None:
    with pytest.raises(ContentError) as parsed:
        Digest.parse(f"{algorithm}:{HEX}")
    with pytest.raises(ContentError) as computed:
        Digest.of(b"", algorithm)
    assert parsed.value.code == computed.value.code == "algorithm-not-allowed"


@pytest.mark.parametrize(
    ("algorithm", "encoded", "code"),
    [
        ("sha256", "../../etc/passwd", "digest-malformed"),
        ("sha256", HEX.upper(), "digest-malformed"),
        ("sha512", HEX, "digest-malformed"),
        ("../sha256", HEX, "algorithm-not-allowed"),
        ("", HEX, "algorithm-not-allowed"),
    ],
)
def test_a_digest_can_not_be_made_invalid_past_the_parser(algorithm: str, encoded: str, code: str) -> None:
    with pytest.raises(ContentError) as error:
        Digest(algorithm, encoded)
    assert error.value.code == code


def test_only_its_own_content_passes_a_digest() -> None:
    digest = Digest.of(b"content")
    assert digest.check(b"content") == b"content"
    for other in (b"", b"Content", b"content ", b"conten"):
        with pytest.raises(ContentError) as error:
            digest.check(other, where="here")
        assert error.value.code == "digest-mismatch"
        assert error.value.reasons[0].where == "here"
        assert str(Digest.of(other)) in str(error.value)


def test_the_same_bytes_under_two_algorithms_are_two_digests() -> None:
    assert Digest.of(b"content") != Digest.of(b"content", "sha512")


def test_digests_can_be_sorted_and_be_keys() -> None:
    digests = [Digest.of(bytes([number])) for number in range(5)]
    assert sorted(digests) == sorted(digests, key=str)
    assert len({*digests, *digests}) == 5
