"""Ed25519ph: the vector of the standard, and nothing that is only nearly it."""

from __future__ import annotations

from hashlib import sha512

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from attestations.ed25519ph import is_valid
from attestations.errors import AttestationError
from attestations.keys import verify_hashed

# RFC 8032 section 7.3, "TEST abc"
PUBLIC = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
SIGNATURE = bytes.fromhex(
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
    "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
)
MESSAGE = b"abc"
ORDER = 2**252 + 27742317777372353535851937790883648493


def test_the_vector_of_the_standard_is_valid() -> None:
    assert is_valid(PUBLIC, SIGNATURE, sha512(MESSAGE).digest())


def test_another_message_is_not_signed() -> None:
    assert not is_valid(PUBLIC, SIGNATURE, sha512(b"abd").digest())


@pytest.mark.parametrize("position", range(0, 64, 3))
def test_a_changed_signature_is_not_valid(position: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[position] ^= 1
    assert not is_valid(PUBLIC, bytes(changed), sha512(MESSAGE).digest())


def test_a_scalar_beyond_the_order_is_refused_although_it_would_fit() -> None:
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not is_valid(PUBLIC, SIGNATURE[:32] + scalar.to_bytes(32, "little"), sha512(MESSAGE).digest())


@pytest.mark.parametrize("content", [b"", SIGNATURE[:63], SIGNATURE + b"\0"])
def test_a_signature_of_another_length_is_refused(content: bytes) -> None:
    assert not is_valid(PUBLIC, content, sha512(MESSAGE).digest())


@pytest.mark.parametrize("key", [b"", PUBLIC[:31], b"\xff" * 32, b"\x02" + b"\0" * 31, b"\1" + b"\0" * 30 + b"\x80"])
def test_what_is_no_point_is_no_key(key: bytes) -> None:
    assert not is_valid(key, SIGNATURE, sha512(MESSAGE).digest())


def test_the_plain_form_and_this_one_are_not_taken_for_each_other() -> None:
    key = Ed25519PrivateKey.generate()
    prehash = sha512(MESSAGE).digest()
    plain = key.sign(prehash)
    assert not is_valid(key.public_key().public_bytes_raw(), plain, prehash)
    with pytest.raises(AttestationError) as error:
        verify_hashed(key.public_key(), plain, {"sha512": prehash}, lambda: MESSAGE)
    assert error.value.code == "signature-invalid"
    verify_hashed(key.public_key(), key.sign(MESSAGE), {"sha512": prehash}, lambda: MESSAGE)


def test_a_file_that_is_known_by_another_digest_alone_can_not_be_verified() -> None:
    key = Ed25519PrivateKey.generate()
    with pytest.raises(AttestationError) as error:
        verify_hashed(key.public_key(), key.sign(MESSAGE), {"sha256": b"\0" * 32}, None)
    assert error.value.code == "algorithm-not-allowed"
