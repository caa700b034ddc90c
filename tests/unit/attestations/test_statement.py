"""Statements: read strictly, matched by digest alone, written with standard fields only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from attestations.errors import AttestationError
from attestations.statement import STATEMENT_V01, STATEMENT_V1, Statement
from registries.digest import Digest
from tests.unit.attestations.samples import IMAGE, OTHER, as_bytes, statement, statement_json


def refused(content: bytes) -> str:
    with pytest.raises(AttestationError) as error:
        Statement.from_bytes(content)
    return error.value.code


def test_a_statement_keeps_its_exact_bytes() -> None:
    odd = b'  {"predicate" : {}, ' + as_bytes(statement_json(predicate=None))[1:]
    assert Statement.from_bytes(odd).content == odd


@pytest.mark.parametrize("version", [STATEMENT_V1, STATEMENT_V01])
def test_both_versions_are_read(version: str) -> None:
    assert statement(_type=version).type == version


@pytest.mark.parametrize(
    "version", ["https://in-toto.io/Statement/v2", "https://in-toto.io/Statement/v1/", "", 1, ["v1"], {}]
)
def test_another_version_is_refused(version: Any) -> None:
    assert refused(as_bytes(statement_json() | {"_type": version})) == "statement-version"


def test_a_statement_without_a_version_is_refused() -> None:
    assert refused(as_bytes(statement_json(_type=None))) == "statement-version"


@pytest.mark.parametrize("payload", [b"not json", b"[]", b"{}", b"", b'"text"', b"null"])
def test_a_payload_that_is_no_statement_is_refused(payload: bytes) -> None:
    assert refused(payload) == "payload-malformed"


@pytest.mark.parametrize("predicate", [[], "text", 1, True])
def test_a_predicate_that_is_no_object_is_refused(predicate: Any) -> None:
    assert refused(as_bytes(statement_json(predicate=predicate))) == "payload-malformed"


@pytest.mark.parametrize("member", ["subject", "predicateType", "predicate"])
@pytest.mark.parametrize("value", ["absent", None])
def test_an_absent_or_null_member_is_refused(member: str, value: str | None) -> None:
    content = statement_json()
    if value is None:
        content[member] = None
    else:
        del content[member]
    assert refused(as_bytes(content)) == "payload-malformed"


@pytest.mark.parametrize("predicate_type", ["", 1, ["https://example.com"]])
def test_a_predicate_type_that_is_no_text_is_refused(predicate_type: Any) -> None:
    assert refused(as_bytes(statement_json(predicateType=predicate_type))) == "payload-malformed"


@pytest.mark.parametrize(
    "name", ["Subject", "_TYPE", "predicatetype", "\u017fubject", "subject ", "predicate_type", "extra"]
)
def test_a_name_that_is_not_exactly_one_of_the_four_is_refused(name: str) -> None:
    assert refused(as_bytes(statement_json(**{name: []}))) == "field-unknown"


def test_an_unknown_name_in_a_subject_is_refused() -> None:
    subject = {"Digest": {"sha256": OTHER.hex}, "digest": {"sha256": IMAGE.hex}}
    assert refused(as_bytes(statement_json(subject=[subject]))) == "field-unknown"


@pytest.mark.parametrize(
    "subject",
    [
        [],
        {},
        "text",
        ["text"],
        [{}],
        [{"name": "app"}],
        [{"digest": {}}],
        1,
        {"digest": {"sha256": "00"}},
        [{"digest": []}],
        [{"digest": "sha256"}],
        [{"digest": ["sha256"]}],
        [{"digest": {"sha256": 1}}],
        [{"digest": {"sha256": "00"}, "name": 1}],
        [{"digest": {"sha256": "00"}, "uri": None}],
        [{"digest": {"sha256": "00"}, "annotations": []}],
    ],
)
def test_a_malformed_subject_is_refused(subject: Any) -> None:
    assert refused(as_bytes(statement_json(subject=subject))) == "payload-malformed"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"subject":[],"subject":[]}', "a duplicate key"),
        (b'{"predicate":{"score":NaN}}', "NaN"),
        (b'{"predicate":{"text":"\\ud800"}}', "a lone surrogate"),
        (b'{"predicate":{"number":9007199254740993}}', "an integer beyond 2**53"),
        (b'{"predicate":' + b"[" * 65 + b"]" * 65 + b"}", "depth 66"),
        (b"\xff\xfe", "no UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ambiguous_json_is_refused(content: bytes, what: str) -> None:
    assert refused(content) == "json-ambiguous"


def test_the_limit_of_subjects_is_1024() -> None:
    subject = {"digest": {"sha256": IMAGE.hex}}
    assert len(statement(subject=[subject] * 1024).subjects) == 1024
    assert refused(as_bytes(statement_json(subject=[subject] * 1025))) == "limit-exceeded"


def test_the_limit_of_digests_is_32_for_each_subject() -> None:
    digests = {f"algorithm-{number}": "00" for number in range(32)}
    assert len(statement(subject=[{"digest": digests}]).subjects[0].digests) == 32
    assert refused(as_bytes(statement_json(subject=[{"digest": {**digests, "one-more": "00"}}]))) == "limit-exceeded"


def test_a_payload_beyond_16_mib_is_refused_before_it_is_parsed() -> None:
    assert refused(b"[" * (16 * 1024 * 1024 + 1)) == "size-limit"


def test_a_statement_is_matched_by_digest_at_any_position() -> None:
    subjects = [{"name": "x", "digest": {"sha256": OTHER.hex}}, {"digest": {"gitCommit": "00", "sha256": IMAGE.hex}}]
    found = statement(subject=subjects)
    assert found.names(IMAGE)
    assert found.names(OTHER)
    assert not found.names(Digest.of(b"a third"))


def test_a_name_is_no_match() -> None:
    assert not statement(subject=[{"name": str(IMAGE), "digest": {"sha256": OTHER.hex}}]).names(IMAGE)


def test_algorithms_are_not_mixed_up() -> None:
    long = Digest.of(b"the image", "sha512")
    assert statement(subject=[{"digest": {"sha512": long.hex}}]).names(long)
    assert not statement(subject=[{"digest": {"sha256": long.hex, "sha512": IMAGE.hex}}]).names(long)


@pytest.mark.parametrize("written", [IMAGE.hex.upper(), f"sha256:{IMAGE.hex}", IMAGE.hex + "\n", IMAGE.hex[:-1]])
def test_a_digest_written_otherwise_is_no_match(written: str) -> None:
    assert not statement(subject=[{"digest": {"sha256": written}}]).names(IMAGE)


def test_a_new_statement_is_compact_json_with_standard_fields_only() -> None:
    made = Statement.about(
        IMAGE, predicate_type="https://example.com/t/v1", predicate={"ü": 1}, name="app", more=[OTHER]
    )
    assert made.content.decode() == (
        '{"_type":"https://in-toto.io/Statement/v1",'
        f'"subject":[{{"name":"app","digest":{{"sha256":"{IMAGE.hex}"}}}},{{"name":"_","digest":{{"sha256":"{OTHER.hex}"}}}}],'
        '"predicateType":"https://example.com/t/v1","predicate":{"ü":1}}'
    )
    assert made.names(OTHER)


def test_a_subject_without_a_name_is_named_as_in_toto_names_those() -> None:
    made = Statement.about(IMAGE, predicate_type="https://example.com/t/v1", predicate={})
    assert json.loads(made.content)["subject"] == [{"name": "_", "digest": {"sha256": IMAGE.hex}}]


def test_what_can_not_be_written_as_utf8_is_not_signed() -> None:
    with pytest.raises(AttestationError) as error:
        Statement.about(IMAGE, predicate_type="https://example.com/t/v1", predicate={"text": "\udc80"})
    assert error.value.code == "json-ambiguous"


def test_what_would_not_be_read_is_not_written() -> None:
    with pytest.raises(AttestationError) as error:
        Statement.about(IMAGE, predicate_type="https://example.com/t/v1", predicate={"number": 2**53 + 1})
    assert error.value.code == "json-ambiguous"
