"""Ed25519ph, verified: the variant of Ed25519 that signs a file by its SHA-512, as cosign signs with such a key.

Source: RFC 8032 section 5.1. `cryptography` has no Ed25519ph. Only public values go in, so nothing here has to hide how
long it takes; a signature costs a few milliseconds.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Final

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)
_DOMAIN: Final = b"SigEd25519 no Ed25519 collisions\x01\x00"
_BYTES: Final = 32

# Extended coordinates: x = X/Z, y = Y/Z, x*y = T/Z.
_Point = tuple[int, int, int, int]
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def is_valid(public_key: bytes, signature: bytes, prehash: bytes) -> bool:
    """Whether the raw public key made this signature over a message with this SHA-512."""
    point = _decoded(public_key)
    if point is None or len(signature) != 2 * _BYTES:
        return False
    made, scalar = signature[:_BYTES], int.from_bytes(signature[_BYTES:], "little")
    if scalar >= _ORDER:
        return False
    challenge = int.from_bytes(sha512(_DOMAIN + made + public_key + prehash).digest(), "little") % _ORDER
    x, y, z, t = point
    return _encoded(_sum(_times(scalar, _BASE), _times(challenge, (_P - x, y, z, _P - t)))) == made


def _sum(one: _Point, other: _Point) -> _Point:
    """RFC 8032 section 5.1.4; complete, so it doubles too."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(scalar: int, point: _Point) -> _Point:
    found = _NEUTRAL
    while scalar:
        if scalar & 1:
            found = _sum(found, point)
        point = _sum(point, point)
        scalar >>= 1
    return found


def _encoded(point: _Point) -> bytes:
    inverse = pow(point[2], -1, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(_BYTES, "little")


def _decoded(content: bytes) -> _Point | None:
    """RFC 8032 section 5.1.3; None for what is no point."""
    if len(content) != _BYTES:
        return None
    number = int.from_bytes(content, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _base() -> _Point:
    point = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(_BYTES, "little"))
    if point is None:
        raise AssertionError("the base point of RFC 8032 section 5.1 is a point")
    return point


_BASE: Final = _base()
