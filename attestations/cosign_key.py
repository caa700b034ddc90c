"""cosign's encrypted private keys: scrypt makes a key of the password, and a secretbox of NaCl holds the private key.

Source: cosign `pkg/cosign/keys.go`, go-securesystemslib `encrypted`; D. J. Bernstein, "Extending the Salsa20 nonce" and
"Cryptography in NaCl", section 9. `cryptography` has scrypt and Poly1305, but not XSalsa20, which is written here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import scrypt
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from attestations.envelope import from_base64
from attestations.errors import AttestationError
from attestations.fields import only, parse
from registries.limits import KIB, MIB

KEY_BYTES: Final = 64 * KIB

_PEM: Final = re.compile(
    rb"\s*-----BEGIN ENCRYPTED (SIGSTORE|COSIGN) PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+)"
    rb"-----END ENCRYPTED \1 PRIVATE KEY-----\s*"
)
_COSTS: Final = (32768, 65536, 131072)  # the "legacy", "standard" and "OWASP" of the Go reader, which takes no others
_BLOCK_SIZE, _PARALLEL = 8, 1
_SCRYPT_BYTES: Final = 256 * MIB  # the dearest of them uses 128 MiB
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES, _TAG_BYTES = 32, 24, 32, 16

_SIGMA: Final = struct.unpack("<4I", b"expand 32-byte k")
_ROUNDS: Final = 10  # of a column round and a row round
_QUARTERS: Final = (
    ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)),
    ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)),
)


class WrongPassword(Exception):
    """The password does not open the box, or the box was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptedKey:
    """A private key as it lies in the file. `cost` is scrypt's N, of which memory and time are made."""

    cost: int
    salt: bytes
    nonce: bytes
    box: bytes

    @classmethod
    def from_pem(cls, pem: bytes) -> EncryptedKey:
        """Read strictly; other costs and forms are refused: nobody else writes them."""
        found = _PEM.fullmatch(pem)
        if found is None:
            raise _malformed("no encrypted key in PEM form")
        content = from_base64(b"".join(found[2].split()).decode("ascii"), "the key file's body")
        value = parse(content, limit=KEY_BYTES, malformed="key-malformed")
        only(value, ("kdf", "cipher", "ciphertext"), "the key file")
        kdf, cipher = _object(value, "kdf", ("name", "params", "salt")), _object(value, "cipher", ("name", "nonce"))
        cost = _object(kdf, "params", ("N", "r", "p"))
        if (kdf.get("name"), cipher.get("name")) != ("scrypt", "nacl/secretbox"):
            raise _malformed("encrypted in another way than scrypt and nacl/secretbox")
        if cost.get("N") not in _COSTS or (cost.get("r"), cost.get("p")) != (_BLOCK_SIZE, _PARALLEL):
            raise _malformed("scrypt has other costs than cosign gives it")
        key = cls(
            cost=cost["N"],
            salt=from_base64(kdf.get("salt"), "the salt"),
            nonce=from_base64(cipher.get("nonce"), "the nonce"),
            box=from_base64(value.get("ciphertext"), "the ciphertext"),
        )
        if len(key.salt) != _SALT_BYTES or len(key.nonce) != _NONCE_BYTES:
            raise _malformed("salt or nonce are of another length than cosign's")
        return key

    def open(self, password: bytes) -> bytes:
        """The private key as PKCS #8 in DER, or `WrongPassword`. The empty password is one like any other."""
        key = scrypt(
            password, salt=self.salt, n=self.cost, r=_BLOCK_SIZE, p=_PARALLEL, maxmem=_SCRYPT_BYTES, dklen=_KEY_BYTES
        )
        return open_box(key, self.nonce, self.box)


def open_box(key: bytes, nonce: bytes, box: bytes) -> bytes:
    """What a secretbox holds: the tag is checked before anything is decrypted."""
    tag, ciphertext = box[:_TAG_BYTES], box[_TAG_BYTES:]
    stream = xsalsa20(key, nonce, _KEY_BYTES + len(ciphertext))
    try:
        Poly1305.verify_tag(stream[:_KEY_BYTES], ciphertext, tag)
    except InvalidSignature:
        raise WrongPassword from None
    return bytes(left ^ right for left, right in zip(ciphertext, stream[_KEY_BYTES:], strict=True))


def xsalsa20(key: bytes, nonce: bytes, size: int) -> bytes:
    """`size` bytes of the key stream for a nonce of 24 bytes."""
    words = _rounds(_state(key, nonce[:16]))
    subkey = struct.pack("<8I", *(words[index] for index in (0, 5, 10, 15, 6, 7, 8, 9)))
    blocks = range(-(-size // 64))
    return b"".join(_block(_state(subkey, nonce[16:] + struct.pack("<Q", number))) for number in blocks)[:size]


def _state(key: bytes, middle: bytes) -> tuple[int, ...]:
    """Salsa20's sixteen words; `middle` is a nonce of 8 bytes with a counter of 8, or a nonce of 16 for HSalsa20."""
    words, inner = struct.unpack("<8I", key), struct.unpack("<4I", middle)
    return (_SIGMA[0], *words[:4], _SIGMA[1], *inner, _SIGMA[2], *words[4:], _SIGMA[3])


def _block(state: tuple[int, ...]) -> bytes:
    return struct.pack(
        "<16I", *((left + right) & 0xFFFFFFFF for left, right in zip(state, _rounds(state), strict=True))
    )


def _rounds(state: tuple[int, ...]) -> list[int]:
    words = list(state)
    for _ in range(_ROUNDS):
        for half in _QUARTERS:
            for a, b, c, d in half:
                words[b] ^= _turned(words[a] + words[d], 7)
                words[c] ^= _turned(words[b] + words[a], 9)
                words[d] ^= _turned(words[c] + words[b], 13)
                words[a] ^= _turned(words[d] + words[c], 18)
    return words


def _turned(word: int, by: int) -> int:
    word &= 0xFFFFFFFF
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF


def _object(value: Mapping[str, Any], member: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    found = value.get(member)
    if not isinstance(found, dict):
        raise _malformed(f"`{member}` is no object")
    only(found, names, f"`{member}`")
    return found


def _malformed(message: str) -> AttestationError:
    return AttestationError("key-malformed", message)
