from __future__ import annotations

import json

from attestations.statement import Statement
from registries.digest import Digest
from stages.attested import Counted, counted, covers
from stages.duration import Duration
from stages.evidence import UNDATED
from stages.recorded import date_of, too_old
from tests.evidence import AMD64, ARM64, HOUR, NOW, STRANGER, SUBJECT, attested, evidence, rejected, report

SBOM = "https://cyclonedx.org/bom"
BUILT = "https://slsa.dev/provenance/v1"


def seen(*statements: object, by: tuple[str, ...] = ("builder",), admitters: tuple[str, ...] = ()) -> Counted:
    believed = tuple(it for it in statements if not hasattr(it, "reason"))
    refused = tuple(it for it in statements if hasattr(it, "reason"))
    given = evidence(
        platforms=(AMD64, ARM64),
        statements=believed,  # type: ignore[arg-type]
        rejected=refused,  # type: ignore[arg-type]
        admitters=admitters,
    )
    return counted(given, ("cyclonedx",), by)


def test_an_attestation_is_a_report_with_the_bytes_that_were_signed() -> None:
    text = '{ "bomFormat" : "CycloneDX", "version": 1.0, "_type": "{,}]" }'
    content = (
        '{"predicate" : ' + text + ' , "_type":"https://in-toto.io/Statement/v1",'
        f' "predicateType":"{SBOM}", "subject":[{{"digest":{{"sha256":"{SUBJECT.hex}"}}}}]}}'
    ).encode()
    assert Statement.from_bytes(content).predicate_content == text.encode()
    made = attested(SBOM, json.loads(text))
    (found,) = seen(made).reports
    assert found.content == made.statement.predicate_content
    assert json.loads(found.content) == json.loads(text)
    assert (found.format, found.predicate_type, found.signer.name) == ("cyclonedx", SBOM, "builder")
    assert (found.record, found.digest, found.finished_at) == (made.record, made.record, NOW - HOUR)
    assert found.is_attested


def test_a_time_that_nothing_proves_is_no_time() -> None:
    (found,) = seen(attested(SBOM, {}, proved_time=None)).reports
    assert found.finished_at == UNDATED


def test_of_two_dates_the_older_one_counts_and_one_that_nothing_proves_is_what_the_report_says() -> None:
    (dated,) = seen(attested(SBOM, {})).reports
    (undated,) = seen(attested(SBOM, {}, proved_time=None)).reports
    assert date_of(dated, None) == NOW - HOUR
    assert date_of(dated, NOW) == NOW - HOUR
    assert date_of(dated, NOW - 2 * HOUR) == NOW - 2 * HOUR
    assert date_of(undated, NOW) == NOW
    assert date_of(undated, None) == UNDATED
    (reason,) = too_old("it", UNDATED, Duration.parse("1w"), now=NOW, where="here", hint="")
    assert (reason.code, "nothing shows when it was made" in reason.message) == ("evidence-too-old", True)


def test_only_listed_types_count_letter_for_letter() -> None:
    for other in (SBOM.upper(), f"{SBOM}/", f"{SBOM}/v9", BUILT, "https://cyclonedx.org"):
        assert seen(attested(other, {})).reports == ()


def test_only_signers_whom_the_gate_believes_count_and_the_others_are_told() -> None:
    both = (attested(SBOM, {}), attested(SBOM, {}, signer="stranger"))
    found = seen(*both)
    assert [it.signer.name for it in found.reports] == ["builder"]
    assert [reason.code for reason in found.aside] == ["signer-not-for-stage"]
    assert "by stranger, and only builder is believed here (signer-not-for-stage)" in found.but


def test_where_a_gate_names_nobody_those_who_admit_are_believed_and_nobody_else() -> None:
    made = attested(SBOM, {})
    assert [it.record for it in seen(made, by=(), admitters=("builder",)).reports] == [made.record]
    assert seen(made, by=(), admitters=("somebody",)).reports == ()
    nobody = seen(made, by=())
    assert nobody.reports == ()
    assert "only nobody is believed here" in nobody.but
    assert seen(made, by=("scanner",), admitters=("builder",)).reports == ()


def test_recorded_reports_of_a_step_count_beside_them() -> None:
    recorded = report("cyclonedx", b"{}", signer="scanner")
    given = evidence(recorded, statements=(attested(SBOM, {}),))
    assert counted(given, ("cyclonedx",), ()).reports == (recorded,)
    assert len(counted(given, ("cyclonedx",), ("scanner", "builder")).reports) == 2
    told = counted(given, ("cyclonedx",), ("builder",))
    assert [it.signer.name for it in told.reports] == ["builder"]
    assert [reason.code for reason in told.aside] == ["signer-not-for-stage"]


def test_it_covers_the_platforms_that_it_names() -> None:
    given = evidence(platforms=(AMD64, ARM64))
    abouts: list[tuple[tuple[Digest, ...], tuple[object, ...]]] = [
        ((SUBJECT,), (AMD64, ARM64)),
        ((AMD64.manifest,), (AMD64,)),
        ((STRANGER, ARM64.manifest), (ARM64,)),
        ((ARM64.manifest, AMD64.manifest), (AMD64, ARM64)),
    ]
    for about, platforms in abouts:
        (found,) = seen(attested(SBOM, {}, about=about)).reports
        assert covers(found, given) == platforms
    assert seen(attested(SBOM, {}, about=(STRANGER,))).reports == ()
    assert seen(attested(SBOM, {}, about=(AMD64.config,))).reports == ()


def test_what_was_not_believed_is_told_with_its_code() -> None:
    found = seen(rejected(SBOM), rejected(BUILT))
    assert [reason.code for reason in found.aside] == ["signature-invalid"]
    assert "not believed (signature-invalid)" in found.but


def test_the_order_of_statements_does_not_matter() -> None:
    made = [attested(SBOM, {"serialNumber": str(number)}) for number in range(4)]
    assert seen(*made) == seen(*reversed(made))
