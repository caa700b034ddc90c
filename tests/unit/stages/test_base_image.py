from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from registries.digest import Digest
from registries.errors import UsageError
from stages.gate import Outcome, Verdict
from stages.gates.base_image import Base, BaseImage, Day
from tests.evidence import AMD64, ARM64, NOW, evidence

ONE, TWO, THREE, APP = (Digest.of(name.encode()) for name in ("one", "two", "three", "app"))
DEBIAN = Base(name="debian", layers=(ONE, TWO), until=Day.parse("2026-12-31"))
ALPINE = Base(name="alpine", layers=(THREE,), until=Day.parse("2026-12-31"))
GATE = BaseImage(bases=(DEBIAN, ALPINE))


def config(*layers: object) -> bytes:
    return json.dumps({"rootfs": {"type": "layers", "diff_ids": [str(layer) for layer in layers]}}).encode()


def judged(*configs: bytes | None, gate: BaseImage = GATE, now: datetime = NOW) -> Verdict:
    """What the gate says of an image whose platforms have these configurations; None: it could not be read."""
    platforms = (AMD64, ARM64)[: len(configs)]
    read = {it.config: content for it, content in zip(platforms, configs, strict=True) if content is not None}
    return gate.judge(replace(evidence(platforms=platforms), configs=read, now=now))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("layers", "allowed"),
    [
        ((ONE, TWO, APP), True),
        ((ONE, TWO), True),
        ((THREE, APP), True),
        ((ONE, APP), False),
        ((ONE,), False),
        ((TWO, ONE, APP), False),
        ((APP, ONE, TWO), False),
        ((ONE, APP, TWO), False),
        ((APP, THREE), False),
    ],
)
def test_only_all_layers_of_a_base_from_the_lowest_up_are_that_base(
    layers: tuple[Digest, ...], *, allowed: bool
) -> None:
    verdict = judged(config(*layers))
    assert codes(verdict) == ([] if allowed else ["base-refused"])
    assert verdict.outcome is (Outcome.PASSED if allowed else Outcome.BLOCKED)
    assert verdict.evidence == (AMD64.config,)


def test_every_platform_has_to_be_on_a_base() -> None:
    assert judged(config(ONE, TWO, APP), config(THREE, APP)).outcome is Outcome.PASSED
    verdict = judged(config(ONE, TWO, APP), config(APP))
    assert codes(verdict) == ["base-refused"]
    assert str(ARM64.manifest) in verdict.reasons[0].where


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "attestation-missing"),
        (b"{", "evidence-malformed"),
        (b"{}", "evidence-malformed"),
        (config(), "evidence-malformed"),
        (config(ONE, TWO, "latest"), "evidence-malformed"),
        (b'{"rootfs": [], "rootfs": {}}', "evidence-malformed"),
        (json.dumps({"rootfs": {"diff_ids": {str(ONE): 1}}}).encode(), "evidence-malformed"),
    ],
)
def test_what_cannot_be_read_is_not_checked(content: bytes | None, code: str) -> None:
    verdict = judged(content)
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, [code])
    both = judged(content, config(APP))
    assert (both.outcome, codes(both)) == (Outcome.BLOCKED, [code, "base-refused"])


def test_an_image_without_a_platform_does_not_pass() -> None:
    verdict = judged()
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, ["evidence-empty"])


@pytest.mark.parametrize(
    "said",
    [{"config": {"Labels": {"org.opencontainers.image.base.digest": str(ONE)}}}, {"annotations": {"base": "debian"}}],
)
def test_what_an_image_says_of_its_base_counts_for_nothing(said: dict[str, Any]) -> None:
    content = json.dumps({**said, "rootfs": {"type": "layers", "diff_ids": [str(APP)]}}).encode()
    assert codes(judged(content)) == ["base-refused"]


def test_a_base_is_allowed_to_the_end_of_its_last_day_in_utc() -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    image = config(ONE, TWO, APP)
    assert judged(image, now=end - timedelta(microseconds=1)).outcome is Outcome.PASSED
    assert codes(judged(image, now=end)) == ["base-outdated"]
    early, late = (timezone(timedelta(hours=hours)) for hours in (-12, 14))
    assert codes(judged(image, now=end.astimezone(early))) == ["base-outdated"]
    assert judged(image, now=(end - timedelta(seconds=1)).astimezone(late)).outcome is Outcome.PASSED


def test_a_base_that_ended_does_not_end_another_with_the_same_layers() -> None:
    ended = Base(name="old", layers=(ONE,), until=Day.parse("2026-01-01"))
    for bases in ((ended, DEBIAN), (DEBIAN, ended)):
        assert judged(config(ONE, TWO), gate=BaseImage(bases=bases)).outcome is Outcome.PASSED
        assert codes(judged(config(ONE, APP), gate=BaseImage(bases=bases))) == ["base-outdated"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-13-01",
        "20261231",
        "2026-12-31T00:00:00Z",
        "2026-W01-1",
        "2026-12-31\n",
        "\uff12\uff10\uff12\uff16-12-31",
    ],
)
def test_a_day_is_written_in_one_way(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Day.parse(text)
    assert refused.value.reasons[0].code == "definition-invalid"


def test_a_base_without_layers_is_refused_as_every_image_begins_with_it() -> None:
    with pytest.raises(UsageError) as refused:
        replace(DEBIAN, layers=())
    assert refused.value.reasons[0].code == "definition-invalid"
