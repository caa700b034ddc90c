"""What the image is built on: its lowest layers are those of a base that the owners allow, and still allow today."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date
from typing import ClassVar, Final, Self

from registries.digest import Digest
from registries.errors import Reason, UsageError
from stages.evidence import Evidence, Platform
from stages.gate import Outcome, Verdict
from stages.image_layers import diff_ids

NAME: Final = "base-image"

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, order=True)
class Day:
    """A day of the calendar, `2026-12-31`."""

    date: date

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `YYYY-MM-DD`; else `definition-invalid`."""
        try:
            return cls(date.fromisoformat(text if _DAY.fullmatch(text) else ""))
        except ValueError:
            raise UsageError("definition-invalid", f"{text!r:.40} is no day such as 2026-12-31") from None

    def __str__(self) -> str:
        return self.date.isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base for one platform, by its uncompressed layers, the lowest first; allowed to the end of `until` (UTC)."""

    name: str
    layers: tuple[Digest, ...]
    until: Day

    def __post_init__(self) -> None:
        if not self.layers:
            raise UsageError(
                "definition-invalid", f"the base {self.name!r:.60} has no layers: every image begins with it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """Every platform begins with all layers of one of `bases`, whose last day is not over (OCI image-spec, "config").

    Labels and annotations that name a base are not looked at: whoever builds the image writes them as they like.
    """

    needs_config: ClassVar[bool] = True

    bases: tuple[Base, ...]

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at the layers of each platform; what could not be read is not checked."""
        faults: list[Reason] = []
        blocked: list[Reason] = []
        today = Day(evidence.now.astimezone(UTC).date())
        for platform in evidence.platforms:
            where = f"gate {NAME}, {platform.name} {platform.manifest}"
            layers = diff_ids(evidence.configs.get(platform.config))
            if not layers:
                faults.append(_unread(evidence, platform, where))
            elif (reason := self._refused(layers, today, where)) is not None:
                blocked.append(reason)
        if not evidence.platforms:
            faults.append(Reason("evidence-empty", "the image has no platform that could run", f"gate {NAME}"))
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if blocked else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=(*faults, *blocked),
            counts=(("platforms", len(evidence.platforms)),),
            evidence=tuple(platform.config for platform in evidence.platforms),
        )

    def _refused(self, layers: tuple[Digest, ...], today: Day, where: str) -> Reason | None:
        """Why these layers are on no base that may be used today; None when they are."""
        found = [base for base in self.bases if layers[: len(base.layers)] == base.layers]
        if not found:
            message = f"its lowest layer is {layers[0]}, and it is on none of {', '.join(sorted(self._names))}"
            return Reason(
                "base-refused", message, where, "docker image inspect --format '{{json .RootFS.Layers}}' BASE"
            )
        newest = max(found, key=lambda base: (base.until, base.name))
        if today > newest.until:
            message = f"it is on {newest.name}, which was allowed until {newest.until}; today is {today}"
            return Reason("base-outdated", message, where, "build it on a base that is still allowed")
        return None

    @property
    def _names(self) -> set[str]:
        return {base.name for base in self.bases}


def _unread(evidence: Evidence, platform: Platform, where: str) -> Reason:
    if platform.config not in evidence.configs:
        return Reason("attestation-missing", f"the configuration {platform.config} was not read", where)
    return Reason("evidence-malformed", "`rootfs.diff_ids` in the configuration is no list of layers", where)
