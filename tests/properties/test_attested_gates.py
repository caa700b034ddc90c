from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from attestations.statement import Statement
from attestations.verify import Verified
from registries.strict_json import member_content
from stages.gate import Gate, Outcome
from stages.gates.provenance import BuildProvenance
from stages.gates.sast import StaticAnalysis
from stages.gates.sbom import BillOfMaterials
from stages.source import Repository
from tests.evidence import (
    AMD64,
    ARM64,
    BUILDER,
    NOW,
    REPOSITORY,
    STRANGER,
    SUBJECT,
    alert,
    attested,
    cyclonedx,
    evidence,
    sarif,
    slsa,
)

SLSA, BILL = "https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"
SARIF = "https://json.schemastore.org/sarif-2.1.0.json"
BOTH = (AMD64, ARM64)
GATES: tuple[Gate, ...] = (
    BillOfMaterials(by=("builder",)),
    BuildProvenance(builder=BUILDER, source=Repository(REPOSITORY), any_value=("workflow",), by=("builder",)),
    StaticAnalysis(by=("builder",), provenance_by=("builder",)),
)

abouts = st.sampled_from([(SUBJECT,), (AMD64.manifest,), (ARM64.manifest,), (STRANGER,)])
said = st.one_of(
    st.builds(lambda other: (SLSA, slsa(builder="x") if other else slsa()), st.booleans()),
    st.builds(
        lambda about: (BILL, json.loads(cyclonedx("a", about=about))),
        st.sampled_from([AMD64.manifest, ARM64.config, STRANGER, None]),
    ),
    st.builds(lambda bad: (SARIF, json.loads(sarif(*[alert()] * bad))), st.integers(0, 1)),
    st.sampled_from([(SLSA, {}), (BILL, {"bomFormat": "x"}), (SARIF, {"runs": []})]),
)


def statements(signers: list[str]) -> st.SearchStrategy[Verified]:
    return st.builds(
        lambda what, about, signer: attested(what[0], what[1], about=about, signer=signer, proved_time=NOW),
        said,
        abouts,
        st.sampled_from(signers),
    )


OURS, STRANGERS = statements(["builder"]), statements(["stranger", "Builder"])


@settings(max_examples=60, deadline=None)
@given(st.lists(OURS, max_size=5), st.lists(STRANGERS, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_statements_and_what_strangers_say_never_change_a_decision(
    ours: list[Verified], strangers: list[Verified], random: Any
) -> None:
    mixed = random.sample([*ours, *strangers], len(ours) + len(strangers))
    for gate in GATES:
        alone = gate.judge(evidence(statements=tuple(ours), platforms=BOTH))
        among = gate.judge(evidence(statements=tuple(mixed), platforms=BOTH))
        assert (among.outcome, among.evidence, among.counts) == (alone.outcome, alone.evidence, alone.counts)
        assert [reason.code for reason in among.reasons] == [reason.code for reason in alone.reasons]


@settings(max_examples=60, deadline=None)
@given(st.lists(OURS, max_size=5))
def test_a_gate_passes_only_with_evidence_that_names_the_image(ours: list[Verified]) -> None:
    for gate in GATES:
        verdict = gate.judge(evidence(statements=tuple(ours), platforms=BOTH))
        if verdict.outcome is Outcome.PASSED:
            used = [it for it in ours if it.record in verdict.evidence]
            assert used
            assert all(any(it.statement.names(d) for d in (SUBJECT, *(p.manifest for p in BOTH))) for it in used)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=6), values, max_size=4), st.sampled_from([None, 0, 2]), st.booleans())
def test_the_exact_bytes_of_a_predicate_are_found_whatever_stands_around_them(
    predicate: dict[str, Any],
    indent: int | None,
    escaped: bool,  # noqa: FBT001  hypothesis fills it in
) -> None:
    made = Statement.about(SUBJECT, predicate_type=BILL, predicate={})
    value = {**json.loads(made.content), "predicate": predicate}
    content = json.dumps(value, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    found = member_content(content, "predicate")
    assert found in content
    assert json.loads(found) == predicate
