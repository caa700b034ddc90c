"""Laws of bundles, logs, certificates and time stamps: whatever the bytes are, a refusal or the truth comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestations.bundle import read_bundle
from attestations.bundle_verifier import Artifact, BundleVerifier
from attestations.certificates import read_leaf
from attestations.checkpoints import Checkpoint, root_from
from attestations.der import MalformedDer, one
from attestations.errors import AttestationError
from attestations.statement import Statement
from attestations.timestamps import Token
from attestations.trusted_root import TrustedRoot
from registries.errors import Refusal
from tests.sigstore import (
    Sigstore,
    as_bytes,
    audit_path,
    integer,
    new_ec,
    oid,
    sequence,
    tlv,
    tree_hash,
)

WORLD = Sigstore()
ROOT = WORLD.root()
FILE = b"a file"
SIGNED = WORLD.sign(FILE, as_file=True, form="hashedrekord 0.0.1", stamps=1)
VERIFIER = BundleVerifier(TrustedRoot.from_bytes(as_bytes(ROOT)))
TOKEN = WORLD.tsa.stamp(b"signature")
LEAF = WORLD.ca.certify(new_ec())
NOTE = WORLD.log.checkpoint()

junk = st.binary(max_size=300)


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """The bytes with a stretch of them replaced, dropped or repeated."""
    start = draw(st.integers(0, len(content)))
    length = draw(st.integers(0, 24))
    return content[:start] + draw(st.binary(max_size=24)) + content[start + length :]


@given(junk | mutated(TOKEN))
def test_any_bytes_are_a_time_stamp_or_refused(content: bytes) -> None:
    try:
        Token.read(content)
    except AttestationError as error:
        assert error.code in ("timestamp-malformed", "size-limit")  # noqa: PT017


@given(junk | mutated(LEAF))
def test_any_bytes_are_a_certificate_or_refused(content: bytes) -> None:
    try:
        read_leaf(content)
    except AttestationError as error:
        assert error.code in ("key-material-mismatch", "certificate-invalid", "algorithm-not-allowed")  # noqa: PT017


@given(st.text(max_size=300) | mutated(NOTE.encode()).map(lambda note: note.decode("utf-8", "replace")))
def test_any_text_is_a_checkpoint_or_refused(note: str) -> None:
    try:
        read = Checkpoint.from_text(note)
    except AttestationError as error:
        assert error.code in ("checkpoint-invalid", "limit-exceeded")  # noqa: PT017
    else:
        assert note.startswith(read.text.decode())
        assert len(read.root) == 32


@given(junk | mutated(as_bytes(ROOT)))
def test_any_bytes_are_a_trusted_root_or_refused(content: bytes) -> None:
    try:
        TrustedRoot.from_bytes(content)
    except AttestationError as error:
        assert error.code in ("trust-root-malformed", "json-ambiguous")  # noqa: PT017


@given(junk | mutated(as_bytes(SIGNED)))
def test_any_bytes_are_a_bundle_that_verifies_or_refused(content: bytes) -> None:
    try:
        proven = VERIFIER.certified(read_bundle(content), Artifact.of(FILE))
    except AttestationError:
        return
    assert json.loads(content)["messageSignature"] == SIGNED["messageSignature"]
    assert proven.leaf is not None


@given(st.integers(1, 200), st.data())
def test_an_inclusion_proof_leads_to_the_root_of_its_tree_and_of_no_other(size: int, data: st.DataObject) -> None:
    """RFC 6962 section 2.1.1."""
    leaves = [b"%d" % number for number in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path = audit_path(index, leaves)
    assert root_from(leaves[index], index, size, path) == tree_hash(leaves)
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        try:
            found = root_from(leaves[index], other, size, path)
        except AttestationError:
            return
        assert found != tree_hash(leaves)


@given(st.integers(-(2**70), 2**70))
def test_a_whole_number_reads_back(number: int) -> None:
    length = (8 + (number + (number < 0)).bit_length()) // 8
    assert one(tlv(0x02, number.to_bytes(length, "big", signed=True)), "a number").integer("a number") == number


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=8))
def test_an_object_identifier_reads_back(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, (first, second, *rest)))
    assert one(oid(dotted), "an identifier").identifier("an identifier") == dotted


@given(junk)
def test_any_bytes_are_der_in_their_one_form_or_refused(content: bytes) -> None:
    try:
        element = one(content, "it")
    except MalformedDer:
        return
    assert tlv(element.tag, element.content) == content == element.whole


@given(st.integers(0, 2**31), junk)
def test_nothing_follows_unseen_in_a_sequence(number: int, rest: bytes) -> None:
    parts = one(sequence(integer(number), tlv(0x04, rest)), "it").children("it")
    assert parts.take("a number").integer("a number") == number
    with pytest.raises(MalformedDer):
        parts.end()


def _statement(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5) | junk.map(bytes.hex)
)
def test_any_payload_is_a_statement_or_refused(value: Any) -> None:
    try:
        Statement.from_bytes(_statement({"_type": "https://in-toto.io/Statement/v1", "subject": value}))
    except Refusal as error:
        assert error.code in (  # noqa: PT017
            "payload-malformed",
            "field-unknown",
            "json-ambiguous",
            "limit-exceeded",
            "statement-version",
        )
