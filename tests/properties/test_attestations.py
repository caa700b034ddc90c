"""Laws of envelopes, statements and records; each docstring is the sentence that holds for all inputs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attestations.bundle import Bundle
from attestations.envelope import PAYLOAD_TYPE, Envelope, from_base64, pae, to_base64
from attestations.errors import AttestationError
from attestations.keys import new_key
from attestations.records.admission import (
    Admission,
    AdmissionKind,
    Copied,
    GateOutcome,
    PipelineReference,
    Predecessor,
    StepLink,
    admission_statement,
)
from attestations.records.definition import DefinitionRecord, definition_statement
from attestations.records.step import ReportLink, StepRecord, StepResult, step_statement
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from registries.digest import Digest

TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=12)
DIGESTS = st.builds(Digest.of, st.binary(max_size=8), st.sampled_from(("sha256", "sha512")))
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda time: time.replace(microsecond=0)
)
COUNTS = st.integers(0, 2**53)


def many(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=3).map(tuple)


def named(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[tuple[str, object], ...]]:
    return st.dictionaries(TEXTS, values, max_size=3).map(lambda pairs: tuple(pairs.items()))


PIPELINES = st.builds(PipelineReference, name=TEXTS, definition=DIGESTS, version=COUNTS)
PREDECESSORS = st.builds(
    Predecessor, stage=TEXTS, record=DIGESTS, steps=many(st.builds(StepLink, name=TEXTS, record=DIGESTS))
)
GATES = st.builds(
    GateOutcome,
    gate=TEXTS,
    verdict=TEXTS,
    counts=named(COUNTS),
    evidence=many(DIGESTS),
    newest_data=st.none() | TIMES,
)
ADMISSIONS = st.builds(
    Admission,
    pipeline=PIPELINES,
    stage=TEXTS,
    kind=st.sampled_from(AdmissionKind),
    predecessors=many(PREDECESSORS),
    gates=many(GATES),
    approvals=many(DIGESTS),
    source=TEXTS,
    destination=TEXTS,
    copied=st.builds(Copied, manifests=COUNTS, blobs=COUNTS, bytes=COUNTS, mounted=COUNTS),
    decided_at=TIMES,
    by=named(TEXTS),
    tool=named(TEXTS),
)
REPORTS = st.builds(ReportLink, format=TEXTS, digest=DIGESTS, size=COUNTS, summary=named(COUNTS))
STEPS = st.builds(
    StepRecord,
    pipeline=PIPELINES,
    stage=TEXTS,
    step=TEXTS,
    admission=DIGESTS,
    spec=DIGESTS,
    result=st.sampled_from(StepResult),
    started_at=TIMES,
    finished_at=TIMES,
    command=many(TEXTS),
    exit_code=st.none() | st.integers(-255, 255),
    reports=many(REPORTS),
    supersedes=many(DIGESTS),
)
DEFINITIONS = st.builds(
    DefinitionRecord,
    pipeline=TEXTS,
    version=COUNTS,
    previous=st.none() | DIGESTS,
    materials=many(st.tuples(TEXTS, DIGESTS)),
)
PAYLOAD_TYPES = st.text(max_size=6) | st.text("0123456789 DSEv", max_size=6)
PAYLOADS = st.binary(max_size=6) | st.text("0123456789 ", max_size=6).map(str.encode)

SIGNER = KeySigner.from_pem(new_key()[0])


@given(PAYLOAD_TYPES, PAYLOADS, PAYLOAD_TYPES, PAYLOADS)
@settings(max_examples=300)
def test_the_signed_bytes_tell_type_and_payload_apart(one: str, first: bytes, other: str, second: bytes) -> None:
    """Two pairs of type and payload have the same encoding only if they are the same pair."""
    assert (pae(one, first) == pae(other, second)) == ((one, first) == (other, second))


@given(st.text("ABab01+/=-_ \n", max_size=12))
@settings(max_examples=300)
def test_base64_has_one_form(text: str) -> None:
    """Whatever text is decoded is exactly how its bytes are written."""
    try:
        content = from_base64(text, "the text")
    except AttestationError as error:
        assert error.code == "payload-encoding"  # noqa: PT017 - both outcomes are lawful
    else:
        assert to_base64(content) == text


@given(st.binary(max_size=40), st.binary(max_size=40), st.text(max_size=10))
@settings(max_examples=50)
def test_an_envelope_comes_back_out_of_its_bundle(payload: bytes, signature: bytes, hint: str) -> None:
    """Payload, signature and hint are read from a bundle as they were put in."""
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    bundle = Bundle.signed(envelope, hint)
    assert (Bundle.from_bytes(bundle.content).envelope, bundle.material.hint) == (envelope, hint)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
@settings(max_examples=100)
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(content: bytes) -> None:
    """Neither reading a bundle nor reading a statement raises anything but a refusal."""
    for read in (Bundle.from_bytes, Statement.from_bytes):
        with pytest.raises(AttestationError):
            read(content)


@given(ADMISSIONS, DIGESTS)
@settings(max_examples=50)
def test_an_admission_is_read_as_it_was_written(record: Admission, subject: Digest) -> None:
    """Admission.read is the inverse of admission_statement."""
    assert Admission.read(admission_statement(record, subject)) == record


@given(STEPS, DIGESTS)
@settings(max_examples=50)
def test_a_step_is_read_as_it_was_written(record: StepRecord, subject: Digest) -> None:
    """StepRecord.read is the inverse of step_statement."""
    assert StepRecord.read(step_statement(record, subject)) == record


@given(DEFINITIONS, DIGESTS)
@settings(max_examples=50)
def test_a_definition_is_read_as_it_was_written(record: DefinitionRecord, subject: Digest) -> None:
    """DefinitionRecord.read is the inverse of definition_statement."""
    assert DefinitionRecord.read(definition_statement(record, subject)) == record


@given(st.lists(DIGESTS, min_size=1, max_size=4), DIGESTS)
@settings(max_examples=50)
def test_a_statement_names_its_subjects_and_no_other_digest(subjects: list[Digest], other: Digest) -> None:
    """`names` is membership in the subjects, whatever their order."""
    made = Statement.about(subjects[0], predicate_type="https://example.com/t/v1", predicate={}, more=subjects[1:])
    assert all(made.names(subject) for subject in subjects)
    assert made.names(other) == (other in subjects)
