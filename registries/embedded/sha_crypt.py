"""Passwords hashed as `openssl passwd -6` and `htpasswd -5` hash them: salted, and slow to guess.

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.6. (`crypt` left the standard library.)
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, Self

LONGEST_PASSWORD: Final = 256  # bytes; the work grows with the square of the length
_DEFAULT_ROUNDS: Final = 5000
_FEWEST_ROUNDS: Final = 1000
_MOST_ROUNDS: Final = 1_000_000  # about two seconds; the format allows a thousand times as many
_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM: Final = re.compile(r"\$([56])\$(?:rounds=([0-9]{1,9})\$)?([^$:\n]{0,16})\$([./0-9A-Za-z]+)")
_ALGORITHMS: Final = {"5": ("sha256", 43), "6": ("sha512", 86)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hash:
    """One hashed password."""

    algorithm: str
    rounds: int
    salt: str
    encoded: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `$6$[rounds=N$]salt$hash`, or with `$5$`. Anything else is a `ValueError` that says why."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("it is not of the form $6$SALT$HASH")
        algorithm, length = _ALGORITHMS[match[1]]
        rounds = int(match[2] or _DEFAULT_ROUNDS)
        if not _FEWEST_ROUNDS <= rounds <= _MOST_ROUNDS:
            raise ValueError(f"{rounds} rounds are not between {_FEWEST_ROUNDS} and {_MOST_ROUNDS}")
        if len(match[4]) != length:
            raise ValueError(f"a {algorithm} hash has {length} characters")
        return cls(algorithm=algorithm, rounds=rounds, salt=match[3], encoded=match[4])

    def fits(self, password: bytes) -> bool:
        """Whether this is the password; takes as long when it is not."""
        found = _encoded(_crypt(password[:LONGEST_PASSWORD], self.salt.encode(), self.rounds, self.algorithm))
        return hmac.compare_digest(found, self.encoded) and len(password) <= LONGEST_PASSWORD


def _crypt(password: bytes, salt: bytes, rounds: int, algorithm: str) -> bytes:
    def digest(content: bytes) -> bytes:
        return hashlib.new(algorithm, content).digest()

    def stretched(block: bytes, length: int) -> bytes:
        return (block * (length // len(block) + 1))[:length]

    mixed = digest(password + salt + password)
    start = password + salt + stretched(mixed, len(password))
    length = len(password)
    while length:
        start += mixed if length & 1 else password
        length >>= 1
    current = digest(start)
    of_password = stretched(digest(password * len(password)), len(password))
    of_salt = stretched(digest(salt * (16 + current[0])), len(salt))
    for number in range(rounds):
        odd = number & 1
        content = of_password if odd else current
        content += (of_salt if number % 3 else b"") + (of_password if number % 7 else b"")
        current = digest(content + (current if odd else of_password))
    return current


def _encoded(digest: bytes) -> str:
    """The bytes three by three, from thirds of the digest that change places, with six bits to a character."""
    third, rest = divmod(len(digest), 3)
    turn = 1 if rest == 1 else -1  # SHA-512 turns the three places one way, SHA-256 the other
    text = ""
    for number in range(third):
        places = (number, number + third, number + 2 * third)
        first, second, last = (digest[places[(number * turn + place) % 3]] for place in range(3))
        text += _six_bits(first << 16 | second << 8 | last, 4)
    if rest == 1:
        return text + _six_bits(digest[-1], 2)
    return text + _six_bits(digest[-1] << 8 | digest[-2], 3)


def _six_bits(value: int, characters: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(characters))
