"""The SLSA verification summary: every field that its specification requires, and only what was really verified."""

from __future__ import annotations

import json

import pytest

from attestations.bundle import BUNDLE_TYPE
from attestations.statement import Statement
from attestations.summary import SUMMARY, stage_level, summarizes, summary_statement
from registries.digest import Digest
from tests.unit.attestations.samples import IMAGE, NOW, OTHER, PIPELINE

RECORD = Digest.of(b"the admission record")


def summary(*children: Digest) -> Statement:
    return summary_statement(
        IMAGE,
        children,
        stage="prod-eu",
        destination="registry.acme.example/prod/shop/api",
        pipeline=PIPELINE,
        inputs=(RECORD,),
        decided_at=NOW,
        version="0.1.0",
    )


def test_a_summary_says_what_slsa_asks_for() -> None:
    made = summary()
    assert made.predicate_type == "https://slsa.dev/verification_summary/v1"
    assert made.predicate == {
        "verifier": {"id": "https://samebits.dev/verifier/v1", "version": {"samebits": "0.1.0"}},
        "timeVerified": "2026-11-23T22:40:30Z",
        "resourceUri": "oci://registry.acme.example/prod/shop/api",
        "policy": {"uri": "https://samebits.dev/pipeline/shop-api/v7", "digest": {"sha256": PIPELINE.definition.hex}},
        "inputAttestations": [{"digest": {"sha256": RECORD.hex}, "mediaType": BUNDLE_TYPE}],
        "verificationResult": "PASSED",
        "verifiedLevels": ["SAMEBITS_STAGE_PROD_EU"],
        "slsaVersion": "1.2",
    }


def test_an_index_is_summarised_with_its_children() -> None:
    assert json.loads(summary(OTHER).content)["subject"] == [
        {"name": "_", "digest": {"sha256": IMAGE.hex}},
        {"name": "_", "digest": {"sha256": OTHER.hex}},
    ]


def test_what_a_gate_used_and_is_no_bundle_is_an_input_too() -> None:
    made = summary_statement(
        IMAGE,
        (),
        stage="prod",
        destination="registry.acme.example/prod/shop/api",
        pipeline=PIPELINE,
        inputs=(RECORD,),
        others=(OTHER,),
        decided_at=NOW,
        version="0.1.0",
    )
    assert made.predicate["inputAttestations"] == [
        {"digest": {"sha256": RECORD.hex}, "mediaType": BUNDLE_TYPE},
        {"digest": {"sha256": OTHER.hex}},
    ]
    assert summarizes(made, stage="prod", record=RECORD)
    assert not summarizes(made, stage="prod", record=OTHER)


def test_stages_with_different_names_have_different_levels() -> None:
    names = ("a-b", "a--b", "a-b-", "ab")
    assert len({stage_level(name) for name in names}) == len(names)


def test_no_stage_name_claims_a_level_of_slsa() -> None:
    assert stage_level("SLSA_BUILD_LEVEL_3") == "SAMEBITS_STAGE_SLSA_BUILD_LEVEL_3"


@pytest.mark.parametrize(
    "change",
    [
        {"verifiedLevels": ["SAMEBITS_STAGE_TEST"]},
        {"verifiedLevels": "SAMEBITS_STAGE_PROD"},
        {"inputAttestations": []},
        {"inputAttestations": None},
        {"inputAttestations": ["prod"]},
        {"inputAttestations": [{"digest": {"sha256": RECORD.hex}}]},
    ],
)
def test_only_the_summary_of_this_stage_over_this_record_is_taken_for_it(change: dict[str, object]) -> None:
    def made(predicate: dict[str, object]) -> Statement:
        return Statement.about(RECORD, predicate_type=SUMMARY, predicate=predicate)

    whole: dict[str, object] = {
        "verifiedLevels": ["SAMEBITS_STAGE_PROD"],
        "inputAttestations": [{"digest": {"sha256": RECORD.hex}, "mediaType": BUNDLE_TYPE}],
    }
    assert summarizes(made(whole), stage="prod", record=RECORD)
    assert not summarizes(made({**whole, **change}), stage="prod", record=RECORD)
