"""Private keys in cosign's own encrypted form: NaCl's vectors, a key that cosign made, and everything that is none."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from hashlib import scrypt
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.poly1305 import Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from attestations.cosign_key import WrongPassword, open_box, xsalsa20
from attestations.keys import PrivateKey, encode, load_private_key, load_public_key
from registries.errors import Refusal

ASSETS = Path(__file__).resolve().parents[2] / "assets/cosign-keys"
PASSWORD = b"correct horse"

# NaCl, tests/stream3.c and tests/secretbox.c: the key is HSalsa20's of tests/core1.c
KEY = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
NONCE = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
STREAM = bytes.fromhex("eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880")
MESSAGE = bytes.fromhex(
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4"
    "1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52"
    "f0a089bc76897040e082f937763848645e0705"
)
BOX = bytes.fromhex(
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b"
    "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da"
    "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
)


def sealed(key: PrivateKey | bytes, password: bytes = PASSWORD, *, cost: int = 32768) -> dict[str, Any]:
    """What a key file says, as cosign would write it."""
    content = key
    if not isinstance(content, bytes):
        content = content.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = os.urandom(32), os.urandom(24)
    derived = scrypt(password, salt=salt, n=cost, r=8, p=1, maxmem=2**28, dklen=32)
    stream = xsalsa20(derived, nonce, 32 + len(content))
    ciphertext = bytes(a ^ b for a, b in zip(content, stream[32:], strict=True))
    box = Poly1305.generate_tag(stream[:32], ciphertext) + ciphertext
    return {
        "kdf": {"name": "scrypt", "params": {"N": cost, "r": 8, "p": 1}, "salt": b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": b64encode(nonce).decode()},
        "ciphertext": b64encode(box).decode(),
    }


def pem(value: Any, label: str = "SIGSTORE") -> bytes:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    body = b64encode(content).decode()
    lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
    begin, end = (f"-----{word} ENCRYPTED {label} PRIVATE KEY-----" for word in ("BEGIN", "END"))
    return f"{begin}\n{lines}\n{end}\n".encode()


def code(content: bytes, password: bytes | None = PASSWORD) -> str:
    with pytest.raises(Refusal) as refusal:
        load_private_key(content, password)
    assert "correct horse" not in str(refusal.value)
    return refusal.value.code


def test_the_stream_and_the_box_are_those_of_nacl() -> None:
    assert xsalsa20(KEY, NONCE, 32) == STREAM
    assert open_box(KEY, NONCE, BOX) == MESSAGE


@pytest.mark.parametrize("place", [0, 15, 16, len(BOX) - 1])
def test_a_changed_box_is_not_opened(place: int) -> None:
    changed = bytearray(BOX)
    changed[place] ^= 1
    with pytest.raises(WrongPassword):
        open_box(KEY, NONCE, bytes(changed))


def test_a_key_that_cosign_made_is_read() -> None:
    key = load_private_key((ASSETS / "cosign.key").read_bytes(), PASSWORD)
    assert encode(key.public_key()) == load_public_key((ASSETS / "cosign.pub").read_bytes())


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=3072),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "RSA", "Ed25519"],
)
def test_every_kind_of_key_is_read(key: PrivateKey) -> None:
    assert encode(load_private_key(pem(sealed(key), "COSIGN"), PASSWORD).public_key()) == encode(key.public_key())


def test_the_empty_password_is_a_password_and_none_is_not() -> None:
    content = pem(sealed(ed25519.Ed25519PrivateKey.generate(), b""))
    load_private_key(content, b"")
    assert code(content, None) == "key-passphrase-missing"
    assert code(content, b"other") == "key-passphrase-wrong"


GOOD = sealed(ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    "value",
    [
        {**GOOD, "more": 1},
        {**GOOD, "kdf": {**GOOD["kdf"], "name": "pbkdf2"}},
        {**GOOD, "kdf": {**GOOD["kdf"], "params": {"N": 2**20, "r": 8, "p": 1}}},
        {**GOOD, "kdf": {**GOOD["kdf"], "params": {"N": 16384, "r": 8, "p": 1}}},
        {**GOOD, "kdf": {**GOOD["kdf"], "params": {"N": 32768, "r": 16, "p": 1}}},
        {**GOOD, "kdf": {**GOOD["kdf"], "params": {"N": 32768, "r": 8, "p": 2}}},
        {**GOOD, "kdf": {**GOOD["kdf"], "params": {"N": [], "r": 8, "p": 1}}},
        {**GOOD, "kdf": {**GOOD["kdf"], "salt": b64encode(bytes(16)).decode()}},
        {**GOOD, "cipher": {**GOOD["cipher"], "name": "aes"}},
        {**GOOD, "cipher": {**GOOD["cipher"], "nonce": b64encode(bytes(12)).decode()}},
        {**GOOD, "cipher": []},
        {**GOOD, "ciphertext": "AAA"},
        {**GOOD, "ciphertext": None},
        {"kdf": GOOD["kdf"]},
        b"{",
        b'{"kdf":1,"kdf":1}',
        sealed(b"no key at all"),
    ],
)
def test_another_form_or_cost_is_refused(value: Any) -> None:
    assert code(pem(value)) == "key-malformed"


@pytest.mark.parametrize(
    "content", [pem(GOOD) * 2, pem(GOOD).replace(b"END", b"EXIT"), pem(GOOD).replace(b"e", b"!", 9)]
)
def test_what_is_no_single_pem_block_is_refused(content: bytes) -> None:
    assert code(content) == "key-malformed"


def test_a_short_box_is_not_opened() -> None:
    assert code(pem({**GOOD, "ciphertext": "AAAA"})) == "key-passphrase-wrong"


def test_a_key_that_may_not_sign_is_refused_in_this_form_too() -> None:
    assert code(pem(sealed(ec.generate_private_key(ec.SECP521R1())))) == "algorithm-not-allowed"
