"""A step on the source commit is recorded before the image exists, and attached to the image that was built from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attestations import store
from attestations.commit import Commit
from attestations.records.step import StepRecord
from attestations.signers.identities import IdentityVerifier
from attestations.statement import STATEMENT_V1, Statement
from attestations.verify import sift
from pipeline import kept
from pipeline import step as steps
from pipeline.on_source import built_from as built_from_provenance
from registries.digest import Digest
from registries.errors import Reason, Refusal
from stages.reports.slsa import V02, V1
from tests.evidence import BUILDER, REPOSITORY, sarif, slsa
from tests.images import Image
from tests.world import World

COMMIT, OTHER = Commit("a" * 40), Commit("b" * 64)
UNIT = "- {name: unit, by: [ci-build], evidence: junit}"
SARIF = sarif(commit=COMMIT.hex)


@pytest.fixture
def world() -> World:
    """The usual pipeline, with one step on the source in build."""
    world = World()
    world.change_definition(UNIT, UNIT + "\n      - {name: sast, by: [scanner], evidence: sarif, on: source}")
    return world


def recorded(world: World, folder: Path, commit: Commit = COMMIT, *, by: str = "scanner", **done: Any) -> Digest:
    """Do the step on this commit, with a report that finds nothing."""
    world.pass_time(minutes=1)
    tools, pipeline = world.tools(by), world.pipeline
    intended = kept.intend(commit, "build", "sast", pipeline=pipeline, tools=tools, folder=folder, now=world.now)
    given = {"reports": (("sarif", SARIF),), "started_at": world.now, "finished_at": world.now, **done}
    return kept.keep(intended, steps.Done(**given), tools=tools, folder=folder)[0]


def built_from(world: World, image: Image, commit: Commit | str, *, by: str = "ci-build", v1: bool = True) -> None:
    """Attest that the image was built from this commit."""
    name = commit.hex if isinstance(commit, Commit) else commit
    if v1:
        predicate = slsa(commit=name)
    else:
        source = {"uri": f"git+https://{REPOSITORY}@refs/heads/main", "digest": {"sha1": name}}
        predicate = {
            "builder": {"id": BUILDER},
            "buildType": "https://builder.example/type/v0",
            "invocation": {"configSource": source},
            "materials": [source],
        }
    statement = Statement.about(image.digest, predicate_type=V1 if v1 else V02, predicate=predicate)
    place = world.place("build")
    store.attach(place, image.manifest.descriptor, (world.signer(by).sign(statement),), created=world.now)


def brought(world: World, folder: Path, image: str = "1.0") -> tuple[Digest, StepRecord]:
    tools, pipeline = world.tools(None), world.pipeline
    found = tools.places.admitted(image, "build", pipeline)
    world.pass_time(minutes=1)
    return kept.bring(found, "build", "sast", pipeline=pipeline, tools=tools, folder=folder, now=world.now)


def why_not(does: Any) -> list[str]:
    with pytest.raises(Refusal) as refused:
        does()
    return [reason.code for reason in refused.value.reasons]


@pytest.mark.parametrize("v1", [True, False])
@pytest.mark.parametrize("commit", [COMMIT, OTHER], ids=["sha1", "sha256"])
def test_a_step_on_the_source_goes_with_the_image_to_production(
    world: World, tmp_path: Path, commit: Commit, *, v1: bool
) -> None:
    record = recorded(world, tmp_path, commit)
    image = world.in_build()
    assert why_not(lambda: world.promote("1.0", "test")) == ["attestation-missing"]
    built_from(world, image, commit, v1=v1)
    assert why_not(lambda: world.promote("1.0", "test")) == ["step-missing"]

    assert brought(world, tmp_path)[0] == record
    world.promote("1.0", "test")
    world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    world.promote("1.0", "prod")

    links = {link.stage: link for link in world.verify("1.0", "prod").chain.links}
    named = {step.name: step.record for step in links["test"].admission.predecessors[0].steps}
    assert named["sast"] == record
    story = world.audit("1.0")
    assert [step.result for step in story.stages[0].steps] == ["passed", "passed", "passed"]
    assert (story.faults, story.rejected) == ((), ())


def test_t112_a_step_on_another_commit_is_not_attached(world: World, tmp_path: Path) -> None:
    recorded(world, tmp_path, OTHER)
    built_from(world, world.in_build(), COMMIT)
    assert why_not(lambda: brought(world, tmp_path)) == ["provenance-mismatch"]


@pytest.mark.parametrize(
    ("commit", "by", "codes"),
    [
        (COMMIT, "scanner", ["attestation-missing"]),
        (COMMIT, "stranger", ["attestation-missing"]),
        ("", "ci-build", ["provenance-mismatch"]),
        ("a" * 7, "ci-build", ["provenance-mismatch"]),
    ],
)
def test_t112_a_provenance_that_does_not_count_ties_nothing(
    world: World, tmp_path: Path, commit: Commit | str, by: str, codes: list[str]
) -> None:
    recorded(world, tmp_path)
    built_from(world, world.in_build(), commit, by=by)
    assert why_not(lambda: brought(world, tmp_path)) == codes


def test_two_provenances_that_name_two_commits_tie_neither(world: World, tmp_path: Path) -> None:
    recorded(world, tmp_path)
    image = world.in_build()
    built_from(world, image, COMMIT)
    brought(world, tmp_path)
    built_from(world, image, OTHER)
    assert why_not(lambda: world.promote("1.0", "test")) == ["provenance-mismatch"]


def test_a_failure_is_kept_and_the_next_record_in_the_folder_replaces_it(world: World, tmp_path: Path) -> None:
    fault = Reason("scanner-failed", "it was killed")
    failed = recorded(world, tmp_path, reports=(), exit_code=1, faults=(fault,))
    image = world.in_build()
    built_from(world, image, COMMIT)
    assert brought(world, tmp_path)[1].result == "failed"
    assert why_not(lambda: world.promote("1.0", "test")) == ["step-failed"]

    again = recorded(world, tmp_path)
    digest, record = brought(world, tmp_path)
    assert (digest, record.supersedes, record.result) == (again, (failed,), "passed")
    world.promote("1.0", "test")


def test_what_is_brought_twice_is_there_once(world: World, tmp_path: Path) -> None:
    recorded(world, tmp_path)
    built_from(world, world.in_build(), COMMIT)
    assert brought(world, tmp_path) == brought(world, tmp_path)
    world.promote("1.0", "test")


def test_gates_see_the_report_and_the_commit_that_it_is_about(world: World, tmp_path: Path) -> None:
    recorded(world, tmp_path)
    built_from(world, world.in_build(), COMMIT)
    brought(world, tmp_path)
    world.change_definition(
        "      tests: {}\n", "      tests: {}\n      sast: {at-or-above: medium, provenance-by: [ci-build]}\n"
    )
    world.promote("1.0", "test")


def test_a_record_by_somebody_else_in_the_folder_is_refused(world: World, tmp_path: Path) -> None:
    assert why_not(lambda: recorded(world, tmp_path, by="ci-build")) == ["signer-not-for-stage"]
    recorded(world, tmp_path)
    built_from(world, world.in_build(), COMMIT)
    world.change_definition("{name: sast, by: [scanner]", "{name: sast, by: [ci-promote]")
    assert why_not(lambda: brought(world, tmp_path)) == ["signer-not-for-stage"]


def test_a_report_in_the_folder_that_was_changed_is_refused(world: World, tmp_path: Path) -> None:
    recorded(world, tmp_path)
    built_from(world, world.in_build(), COMMIT)
    (report,) = tmp_path.glob("*.report")
    report.write_bytes(SARIF.replace(b"Finder", b"Founder"))
    assert why_not(lambda: brought(world, tmp_path)) == ["digest-mismatch"]


def test_a_bundle_in_the_folder_that_was_changed_is_refused(world: World, tmp_path: Path) -> None:
    recorded(world, tmp_path)
    built_from(world, world.in_build(), COMMIT)
    (bundle,) = tmp_path.glob("*.sigstore.json")
    signature = world.signer("ci-build").sign(Statement.about(COMMIT, predicate_type=V1, predicate={"a": 1}))
    content = bundle.read_bytes()
    own, other = (part.split(b'"sig":"')[1].split(b'"')[0] for part in (content, signature.content))
    bundle.write_bytes(content.replace(own, other))
    assert why_not(lambda: brought(world, tmp_path)) == ["signature-invalid"]


def test_an_empty_folder_has_nothing_to_attach(world: World, tmp_path: Path) -> None:
    world.in_build()
    assert why_not(lambda: brought(world, tmp_path)) == ["step-not-kept"]


def test_a_step_on_the_source_is_not_recorded_on_the_image_nor_the_other_way_round(
    world: World, tmp_path: Path
) -> None:
    world.in_build()
    assert why_not(lambda: world.step("build", "sast", "1.0", by="scanner")) == ["step-subject-differs"]
    tools, pipeline, now = world.tools("ci-build"), world.pipeline, world.now
    assert why_not(
        lambda: kept.intend(COMMIT, "build", "unit", pipeline=pipeline, tools=tools, folder=tmp_path, now=now)
    ) == ["step-subject-differs"]


@pytest.mark.parametrize("text", ["", "main", "a" * 39, "A" * 40, "a" * 41, "g" * 40])
def test_only_the_full_id_of_a_commit_names_one(text: str) -> None:
    assert why_not(lambda: Commit(text)) == ["digest-malformed"]


@pytest.mark.parametrize("attached", [True, False])
def test_a_record_by_a_signer_who_was_revoked_does_not_count(world: World, tmp_path: Path, *, attached: bool) -> None:
    recorded(world, tmp_path)
    built_from(world, world.in_build(), COMMIT)
    if attached:
        brought(world, tmp_path)
    world.trust_text += "revocations:\n  signers: {scanner: 2026-01-01}\n"
    with pytest.raises(Refusal) as refused:
        world.promote("1.0", "test") if attached else brought(world, tmp_path)
    found = [reason.code for reason in refused.value.reasons if "scan of build" not in reason.where]
    assert found == (["key-revoked", "step-missing"] if attached else ["key-revoked"])


def test_a_predicate_that_is_not_what_its_statement_says_names_no_commit(world: World) -> None:
    good = slsa(commit=COMMIT.hex)
    nested = {"_type": STATEMENT_V1, "subject": [{"digest": {"sha256": "a" * 64}}], "predicateType": V1}
    shown = [(V1, good), (V02, good), (V1, {**nested, "predicate": good}), (V1, {"nothing": True})]
    found = []
    for predicate_type, predicate in shown:
        about = Digest.of(b"image")
        bundle = world.signer("ci-build").sign(
            Statement.about(about, predicate_type=predicate_type, predicate=predicate)
        )
        verified, _ = sift(IdentityVerifier(world.pipeline.identities, world.now), (bundle,), about)
        found += [one.commit for one in built_from_provenance(verified)]
    assert found == [COMMIT, None, None, None]
