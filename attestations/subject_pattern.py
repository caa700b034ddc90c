"""Subjects of certificates that may differ in a few places: workflows at any tag of a kind, and nothing else.

A pattern is matched whole. `*` stands for one or more of `A-Z a-z 0-9 . _ -`, so it never crosses a `/`, `@` or `:`,
and can't reach into another repository, owner or host. Nothing else in a pattern is special.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from attestations.errors import AttestationError

MOST_STARS: Final = 2  # what is matched stays cheap
MOST_CHARACTERS: Final = 1000
_STAR: Final = "[A-Za-z0-9._-]+"
_FORM: Final = re.compile(
    r"https://[a-z0-9.-]+(?::[0-9]+)?/[^*/@\s]+/[^*/@\s]+/[^@*\s]+@refs/(?P<kind>heads|tags)/(?P<ref>[^@:\s]+)"
)
_LIKE_A_REGEX: Final = re.compile(r"\.\*|\.\+|[\^$\\()\[\]{}|?+]")


@dataclass(frozen=True, slots=True)
class SubjectPattern:
    """`https://HOST/OWNER/REPOSITORY/WORKFLOW@refs/heads/…` or `…@refs/tags/…`, with stars only behind that."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`policy-too-wide` for one that could name somebody else, or that seems to be meant as another language."""
        if _LIKE_A_REGEX.search(text):
            raise _wide(f"{text!r:.120} looks like a regular expression; a pattern knows `*` alone")
        match = _FORM.fullmatch(text)
        if match is None or len(text) > MOST_CHARACTERS:
            raise _wide(
                f"{text!r:.120} must be https://HOST/OWNER/REPOSITORY/WORKFLOW@refs/heads/… or refs/tags/…, "
                "with `*` only in the branch or tag"
            )
        stars = match["ref"].count("*")
        if not 1 <= stars <= MOST_STARS or "**" in match["ref"]:
            raise _wide(f"{text!r:.120} has {stars} stars; a pattern has one or two, apart from each other")
        if not match["ref"].replace("*", "").strip("/") and match["kind"] == "heads":
            raise _wide(f"{text!r:.120} takes every branch, and so whoever may push one")
        return cls(text)

    @property
    def is_of_tags(self) -> bool:
        """Whether it names tags alone."""
        return "@refs/tags/" in self.text

    def matches(self, subject: str) -> bool:
        """Whether a subject is one of those that are meant."""
        if len(subject) > MOST_CHARACTERS:
            return False
        return re.fullmatch(_STAR.join(map(re.escape, self.text.split("*"))), subject, re.ASCII) is not None

    def overlaps(self, subject: str) -> bool:
        """Whether a subject, or anything that another pattern of this text means, may be meant here too.

        Two patterns of one workflow's tags, or of its branches, are taken to overlap: which of them do is not computed.
        """
        if "*" not in subject:
            return self.matches(subject)
        return self._workflow_and_kind(subject) == self._workflow_and_kind(self.text)

    @staticmethod
    def _workflow_and_kind(text: str) -> tuple[str, str]:
        workflow, _, ref = text.partition("@")
        return workflow, ref.split("/")[1] if ref.count("/") > 1 else ref


def _wide(message: str) -> AttestationError:
    return AttestationError("policy-too-wide", message)
