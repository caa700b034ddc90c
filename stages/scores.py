"""CVSS scores and vectors, versions 2 to 4, as severities; always the base score, which nobody's circumstances lower.

Sources: CVSS 3.1 and 4.0, "Qualitative Severity Rating Scale"; for version 2, which has none, that of the NVD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from stages.finding import Severity

_NUMBER: Final = re.compile(r"(?:10|\d)(?:\.\d{1,2})?", re.ASCII)
_BASE_4: Final = ("AV", "AC", "AT", "PR", "UI", "VC", "VI", "VA", "SC", "SI", "SA")
_HIGHEST: Final = 10
_VECTOR_BYTES: Final = 500
_SCALE: Final = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))
_SCALE_2: Final = ((7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))
_WORDS: Final = {"moderate": Severity.MEDIUM, "important": Severity.HIGH, "none": Severity.NEGLIGIBLE}


def severity_of(text: str, method: str = "") -> Severity:
    """A vector, a score from 0 to 10, or a word; `unknown` for anything else. `method` may say CVSS version 2."""
    if "/" in text or text.startswith("CVSS:"):
        return _of_vector(text)
    if _NUMBER.fullmatch(text):
        return of_score(float(text), version_2="2" in re.findall(r"\d", method)[:1])
    return _WORDS.get(text.lower()) or Severity.told(text)


def of_score(score: float, *, version_2: bool = False) -> Severity:
    """A base score; beyond the scale nobody knows what it means."""
    if not 0 <= score <= _HIGHEST:
        return Severity.UNKNOWN
    scale = _SCALE_2 if version_2 else _SCALE
    return next((severity for least, severity in scale if score >= least), Severity.NEGLIGIBLE)


def worst(found: Iterable[Severity]) -> Severity:
    """The worst that is known: what somebody else could not rate does not make it worse."""
    known = [severity for severity in found if severity is not Severity.UNKNOWN]
    return max(known, key=lambda severity: severity.rank, default=Severity.UNKNOWN)


def _of_vector(text: str) -> Severity:
    if len(text) > _VECTOR_BYTES:
        return Severity.UNKNOWN
    from cvss import CVSS2, CVSS3, CVSS4, CVSSError

    try:
        if text.startswith("CVSS:4"):
            return of_score(float(CVSS4(_base_4(text)).base_score))
        if text.startswith("CVSS:3"):
            return of_score(float(CVSS3(text).base_score))
        return of_score(float(CVSS2(text).base_score), version_2=True)
    except CVSSError:
        return Severity.UNKNOWN


def _base_4(text: str) -> str:
    """The base metrics alone: in version 4 the others change the only score that there is."""
    first, *metrics = text.split("/")
    return "/".join((first, *(metric for metric in metrics if metric.partition(":")[0] in _BASE_4)))
