"""Any single change to a valid chain blocks, and nothing that is unrelated changes a decision."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attestations.bundle import Bundle
from attestations.errors import AttestationError, ChainBroken
from attestations.records.admission import Admission, admission_statement
from attestations.records.step import StepRecord, StepResult, step_statement
from attestations.signers.identities import IdentityVerifier
from attestations.verify import Claim
from registries.digest import Digest
from registries.errors import ContentError
from tests.chains import IMAGE, NOW, OTHER_IMAGE, PIPELINE, SIGNERS, Pieces, chain, identity, signer, whole

WHOLE = whole()
NAMES = tuple(WHOLE.bundles)
SIGNED_BY = {
    "build": "ci-build",
    "build/unit": "ci-build",
    "build/scan": "scanner",
    "test": "ci-promote",
    "test/integration": "ci-promote",
}
GOOD = chain(list(WHOLE.bundles.values()))


def claim_of(bundle: Bundle) -> Claim:
    claim = IdentityVerifier([identity(name) for name in SIGNERS], NOW).verify(bundle, IMAGE).claim
    assert claim is not None
    return claim


def signed(claim: Claim, by: str, subject: Digest = IMAGE) -> Bundle:
    match claim:
        case Admission():
            return signer(by).sign(admission_statement(claim, subject))
        case StepRecord():
            return signer(by).sign(step_statement(claim, subject))
        case _:
            raise AssertionError(claim)


def changed(name: str, bundle: Bundle) -> list[Bundle]:
    return [bundle if key == name else kept for key, kept in WHOLE.bundles.items()]


def refused(bundles: list[Bundle]) -> None:
    with pytest.raises(ChainBroken) as error:
        chain(bundles)
    assert error.value.reasons


names = st.sampled_from(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_dropping_any_record_blocks(name: str) -> None:
    refused(list(WHOLE.without(name).bundles.values()))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", [*SIGNERS, "stranger"])
def test_any_record_signed_by_anybody_else_blocks(name: str, by: str) -> None:
    if by != SIGNED_BY[name]:
        refused(changed(name, signed(claim_of(WHOLE.bundles[name]), by)))


@pytest.mark.parametrize("name", NAMES)
def test_any_record_about_another_image_blocks(name: str) -> None:
    refused(changed(name, signed(claim_of(WHOLE.bundles[name]), SIGNED_BY[name], OTHER_IMAGE)))


@pytest.mark.parametrize("name", NAMES)
def test_any_record_of_another_definition_blocks(name: str) -> None:
    foreign = replace(PIPELINE, definition=Digest.of(b"foreign"))
    claim = claim_of(WHOLE.bundles[name])
    assert isinstance(claim, Admission | StepRecord)
    refused(changed(name, signed(replace(claim, pipeline=foreign), SIGNED_BY[name])))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stage", ["build", "test", "prod", "elsewhere"])
def test_any_record_of_another_stage_blocks(name: str, stage: str) -> None:
    claim = claim_of(WHOLE.bundles[name])
    assert isinstance(claim, Admission | StepRecord)
    if claim.stage != stage:
        refused(changed(name, signed(replace(claim, stage=stage), SIGNED_BY[name])))


@pytest.mark.parametrize("name", [name for name in NAMES if "/" in name])
def test_any_step_that_failed_blocks(name: str) -> None:
    claim = claim_of(WHOLE.bundles[name])
    assert isinstance(claim, StepRecord)
    refused(changed(name, signed(replace(claim, result=StepResult.FAILED), SIGNED_BY[name])))


@given(name=names, position=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_one_flipped_bit_in_any_record_blocks(name: str, position: int, bit: int) -> None:
    content = bytearray(WHOLE.bundles[name].content)
    content[position % len(content)] ^= 1 << bit
    try:
        flipped = Bundle.from_bytes(bytes(content))
    except (AttestationError, ContentError):
        refused(list(WHOLE.without(name).bundles.values()))
        return
    # The hint only orders the keys that are tried: the record is still valid, but it is another record.
    if name == "test/integration" and flipped.envelope == WHOLE.bundles[name].envelope:
        assert chain(changed(name, flipped)).links[1].steps[0].verified.record == flipped.record
    else:
        refused(changed(name, flipped))


@given(order=st.permutations(NAMES), repeated=st.lists(names, max_size=3))
@settings(max_examples=40, deadline=None)
def test_order_and_repetition_of_records_change_nothing(order: list[str], repeated: list[str]) -> None:
    assert chain([WHOLE.bundles[name] for name in (*order, *repeated)]) == GOOD


@given(
    other=st.sampled_from(["other image", "stranger", "foreign pipeline"]),
    picked=st.lists(names, min_size=1, unique=True),
)
@settings(max_examples=40, deadline=None)
def test_unrelated_records_never_change_a_decision(other: str, picked: list[str]) -> None:
    unrelated = [_unrelated(other, WHOLE.bundles[name], SIGNED_BY[name]) for name in picked]
    assert chain([*WHOLE.bundles.values(), *unrelated]) == GOOD
    for name in NAMES:
        refused([*WHOLE.without(name).bundles.values(), *unrelated])


def _unrelated(kind: str, bundle: Bundle, by: str) -> Bundle:
    claim = claim_of(bundle)
    match kind:
        case "other image":
            return signed(claim, by, OTHER_IMAGE)
        case "stranger":
            return signed(claim, "stranger")
        case _:
            assert isinstance(claim, Admission | StepRecord)
            return signed(replace(claim, pipeline=replace(PIPELINE, name="foreign")), by)


def test_mixing_the_stages_of_two_valid_runs_blocks() -> None:
    """T089: the first stage of one run with the second stage of another is no chain."""
    other: Pieces = whole()
    refused(
        [
            *WHOLE.without("test", "test/integration").bundles.values(),
            other.bundles["test"],
            other.bundles["test/integration"],
        ]
    )
