from __future__ import annotations

import pytest

from registries.errors import ContentError
from registries.limits import REPORT_BYTES
from stages.reports import junit
from tests.evidence import junit as made


def refusal(content: str | bytes) -> str:
    with pytest.raises(ContentError) as error:
        junit.read(content.encode() if isinstance(content, str) else content)
    return error.value.code


def suite(cases: str, **claims: str) -> str:
    attributes = " ".join(f'{name}="{value}"' for name, value in claims.items())
    return f"<testsuite {attributes}>{cases}</testsuite>"


GOOD = '<testcase name="a"/>'
BAD = '<testcase classname="shop" name="b"><failure/></testcase>'
SKIP = '<testcase name="c"><skipped/></testcase>'


def test_cases_are_counted_by_how_they_ended() -> None:
    found = junit.read(made(passed=3, failed=2, errors=1, skipped=4))
    assert (found.tests, found.failures, found.errors, found.skipped) == (10, 2, 1, 4)
    assert found.failed == ("fails-0", "fails-1", "breaks-0")


def test_a_case_is_named_with_its_class() -> None:
    assert junit.read(suite(BAD).encode()).failed == ("shop.b",)
    assert junit.read(b"<testsuite><testcase><error/></testcase></testsuite>").failed == ("a case without a name",)


def test_a_case_that_fails_and_is_skipped_failed() -> None:
    both = junit.read(suite('<testcase name="x"><skipped/><failure/><error/></testcase>').encode())
    assert (both.tests, both.failures, both.errors, both.skipped, both.failed) == (1, 1, 0, 0, ("x",))


@pytest.mark.parametrize("said", ['status="fail"', 'result="error"', 'status="FAILED"'])
def test_a_case_that_says_it_failed_failed(said: str) -> None:
    assert junit.read(suite(f'<testcase name="x" {said}/>').encode()).failed == ("x",)


@pytest.mark.parametrize("said", ['status="notrun"', 'status="disabled"', 'result="suppressed"'])
def test_a_case_that_says_it_did_not_run_is_skipped(said: str) -> None:
    assert junit.read(suite(f'<testcase name="x" {said}/>').encode()).skipped == 1


@pytest.mark.parametrize("tag", ["error", "failure"])
def test_a_suite_that_fails_outside_of_its_cases_fails(tag: str) -> None:
    found = junit.read(f'<testsuites><testsuite name="shop"><{tag}/>{GOOD}</testsuite></testsuites>'.encode())
    assert (found.tests, found.errors, found.failed) == (1, 1, ("shop",))
    assert junit.read(f"<testsuite><{tag}/></testsuite>".encode()).failed == ("a suite without a name",)


@pytest.mark.parametrize("content", [b"", b"\n", b"<testsuites/>", b'<testsuite tests="0"/>'])
def test_no_case_is_empty(content: bytes) -> None:
    assert refusal(content) == "evidence-empty"


@pytest.mark.parametrize(
    "claims",
    [
        {"tests": "2"},
        {"tests": "4"},
        {"tests": "0"},
        {"failures": "1"},
        {"errors": "1"},
        {"skipped": "0"},
        {"skipped": "2"},
        {"skipped": "1", "disabled": "1"},
        {"disabled": "2"},
        {"tests": ""},
        {"tests": "three"},
        {"tests": "-3"},
        {"tests": "3.0"},
        {"tests": "٣"},
        {"tests": "9" * 5000},
    ],
)
def test_a_claim_that_is_not_so_is_malformed(claims: dict[str, str]) -> None:
    assert refusal(suite(GOOD + GOOD + SKIP, **claims)) == "evidence-malformed"


def test_a_claim_of_the_outermost_suite_is_checked_too() -> None:
    assert refusal(f'<testsuites tests="2">{suite(GOOD, tests="1")}</testsuites>') == "evidence-malformed"
    assert refusal(f'<testsuites tests="0">{suite(GOOD, tests="1")}</testsuites>') == "evidence-malformed"


def test_a_suite_may_claim_its_own_cases_or_all_below_it() -> None:
    inner = suite(GOOD + GOOD, tests="2")
    assert junit.read(suite(GOOD + inner, tests="3").encode()).tests == 3
    assert junit.read(suite(GOOD + inner, tests="1").encode()).tests == 3
    assert refusal(suite(GOOD + inner, tests="2")) == "evidence-malformed"


def test_a_report_with_failures_says_no_whatever_it_claims() -> None:
    assert junit.read(suite(GOOD + BAD, tests="1", failures="0").encode()).failed == ("shop.b",)


@pytest.mark.parametrize(
    "content",
    [
        "not XML",
        "<testsuite>",
        f"<testsuite>{GOOD}",
        f"<testsuite>{GOOD}</testsuite><testsuite/>",
        "<html/>",
        GOOD,
        f'<x:testsuite xmlns:x="urn:x">{GOOD}</x:testsuite>',
        f"<testsuite><testcase>{GOOD}</testcase></testsuite>",
        "<testsuite><testcase><testsuite/></testcase></testsuite>",
        '<testsuite name="a" name="b"/>',
        "<testsuite>&nothing;</testsuite>",
        '<?xml version="1.0" encoding="no-such-code"?><testsuite/>',
        '<?xml version="1.0" encoding="shift_jis"?><testsuite/>',
        "<testsuite>" * 100_000,
        b"\xff\xfe\x00<testsuite/>",
        b"<testsuite>\x00</testsuite>",
    ],
)
def test_other_documents_are_malformed(content: str | bytes) -> None:
    assert refusal(content) == "evidence-malformed"


def test_elements_may_be_nested_to_a_limit() -> None:
    deep = "<testsuite>" * 63 + GOOD + "</testsuite>" * 63
    assert junit.read(deep.encode()).tests == 1
    assert refusal(f"<testsuite>{deep}</testsuite>") == "evidence-malformed"


@pytest.mark.parametrize(
    "declaration",
    [
        "<!DOCTYPE testsuite>",
        '<!DOCTYPE testsuite SYSTEM "http://localhost/junit.dtd">',
        '<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
        '<!DOCTYPE t [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE t [<!ENTITY % a SYSTEM "http://localhost/x"> %a;]>',
        '<!DOCTYPE t [<!ATTLIST testcase name CDATA "x">]>',
    ],
)
def test_a_document_type_is_malformed(declaration: str) -> None:
    assert refusal(f"{declaration}<testsuite>{GOOD}</testsuite>") == "evidence-malformed"


def test_a_report_has_a_greatest_size() -> None:
    content = made()
    padded = content + b" " * (REPORT_BYTES - len(content))
    assert junit.read(padded).tests == 1
    assert refusal(padded + b" ") == "size-limit"
