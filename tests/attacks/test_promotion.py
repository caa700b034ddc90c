"""Attacks on a promotion, each named by its row in the threat catalogue, each refused for its own reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from attestations import store
from attestations.records.step import StepRecord
from attestations.summary import SUMMARY
from pipeline import promote as promotions
from pipeline import step as steps
from registries.copy import copy_image, plan_copy
from registries.digest import Digest
from registries.errors import Refusal, TagMoved
from registries.registry import Location
from stages.decision import PromotionBlocked
from tests.bent import Bent
from tests.evidence import grype, junit, match
from tests.world import World

DEV, PROD = "dev.test:5000", "prod.test:5000"


@pytest.fixture
def world() -> World:
    return World()


def bend(world: World, host: str) -> Bent:
    bent = Bent(world.registries[host])
    world.registries[host] = bent
    return bent


def codes(action: Callable[[], object]) -> list[str]:
    with pytest.raises(Refusal) as error:
        action()
    return [reason.code for reason in error.value.reasons]


def referrer_of(world: World, stage: str, image: Digest, record: Digest) -> Digest:
    """The digest of the manifest that holds a record at a stage."""
    place = world.place(stage)
    for listed in place.registry.referrers(place.repository, image):
        if place.registry.manifest(place.repository, listed.digest).layers[0].digest == record:
            return listed.digest
    raise AssertionError(record)


def test_a_whole_journey_ends_with_the_same_digest_under_the_tag_of_production(world: World) -> None:
    image = world.in_prod()
    assert world.tag("prod", "1.0") == world.tag("prod", "stable") == image.digest
    assert [link.stage for link in world.verify("1.0", "prod").chain.links] == ["build", "test", "prod"]


def test_t005_an_image_without_any_attestation_is_refused(world: World) -> None:
    image = world.built()
    copy_image(plan_copy(image.digest, source(world), world.place("test")))
    assert codes(lambda: world.promote(str(image.digest), "prod")) == ["predecessor-missing"]
    assert world.tag("prod", "1.0") is None


def source(world: World) -> Location:
    return Location(world.registries["source.test:5000"], "builder/api")


def test_t026_a_platform_of_an_admitted_index_has_no_chain_of_its_own(world: World) -> None:
    image = world.in_test()
    child = image.platforms[0].manifest
    assert codes(lambda: world.promote(str(child), "prod")) == ["predecessor-missing"]


def test_t041_a_run_with_another_stages_key_is_refused_before_anything_is_asked(world: World) -> None:
    world.in_test()
    bent = bend(world, PROD)
    assert codes(lambda: world.promote("1.0", "prod", by="ci-build")) == ["signer-not-for-stage"]
    assert bent.writes == []


def test_t048_a_tag_that_moves_after_it_was_resolved_changes_nothing(world: World) -> None:
    image = world.in_test()
    other = world.in_build(seed="b", tag="2.0")
    bent = bend(world, DEV)
    place = world.place("test")
    manifest = world.place("build").registry.manifest(world.place("build").repository, other.digest)

    def move() -> None:
        copy_image(plan_copy(other.digest, world.place("build"), place))
        place.registry.tag(place.repository, "1.0", manifest, expected=image.digest)

    bent.before(1, "referrers", move)
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == image.digest
    assert [what for method, what in bent.calls if method == "resolve"].count("1.0") == 1


def test_t094_an_image_changed_under_the_same_tag_is_refused(world: World) -> None:
    image = world.in_test()
    other = world.built(seed="evil", tag="evil")
    place = world.place("test")
    copy_image(plan_copy(other.digest, source(world), place))
    place.registry.tag(
        place.repository, "1.0", place.registry.manifest(place.repository, other.digest), expected=image.digest
    )
    assert codes(lambda: world.promote("1.0", "prod"))[0] == "digest-changed"
    assert world.tag("prod", "1.0") is None


def test_t087_only_the_moves_of_the_definition_are_allowed(world: World) -> None:
    image = world.in_build()
    copy_image(plan_copy(image.digest, world.place("build"), world.place("test")))
    assert codes(lambda: world.promote(str(image.digest), "prod")) == ["stage-skipped"]
    assert world.tag("prod", "1.0") is None


@pytest.mark.parametrize("stage", ["build", "test"])
def test_t086_a_deleted_admission_is_missed(world: World, stage: str) -> None:
    image = world.in_test()
    link = world.verify("1.0", "test").chain.link(stage)
    assert link is not None
    bend(world, DEV).hidden.add(referrer_of(world, "test", image.digest, link.record))
    assert "predecessor-missing" in codes(lambda: world.promote("1.0", "prod"))


def test_t093_a_step_record_replaced_by_another_valid_one_is_refused(world: World) -> None:
    image = world.in_test()
    chain = world.verify("1.0", "test").chain.link("build")
    assert chain is not None
    named = chain.steps[0]
    hidden = referrer_of(world, "test", image.digest, named.verified.record)
    replacement, _ = world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=9))])
    bundles = store.fetch((world.place("build"),), image.digest).bundles
    place = world.place("test")
    subject = place.registry.manifest(place.repository, image.digest).descriptor
    store.attach(place, subject, [b for b in bundles if b.record == replacement], created=world.now)
    bend(world, DEV).hidden.add(hidden)
    assert codes(lambda: world.promote("1.0", "prod")) == ["predecessor-changed"]


def test_t095_a_byte_changed_in_a_layer_stops_the_copy_and_moves_no_tag(world: World) -> None:
    image = world.in_test()
    place = world.place("test")
    child = place.registry.manifest(place.repository, image.platforms[0].manifest)
    layer = child.layers[0]
    content = bytearray(b"".join(place.registry.blob(place.repository, layer)))
    content[len(content) // 2] ^= 1
    bend(world, DEV).altered[layer.digest] = bytes(content)
    assert codes(lambda: world.promote("1.0", "prod")) == ["digest-mismatch"]
    assert world.tag("prod", "1.0") is None
    with pytest.raises(Refusal):
        world.place("prod").registry.manifest(world.place("prod").repository, image.digest)


def test_t096_an_image_from_another_registry_than_the_stage_before_is_refused(world: World) -> None:
    world.in_test()
    reference = "source.test:5000/builder/api:1.0"
    assert codes(lambda: world.promote(reference, "prod")) == ["repository-mismatch"]


def test_t097_a_tag_that_somebody_else_set_is_not_overwritten(world: World) -> None:
    world.in_test()
    other = world.built(seed="b", tag="b")
    place = world.place("prod")
    copy_image(plan_copy(other.digest, source(world), place))
    manifest = place.registry.manifest(place.repository, other.digest)
    place.registry.tag(place.repository, "1.0", manifest, expected=None)
    with pytest.raises(TagMoved) as error:
        world.promote("1.0", "prod")
    assert error.value.code == "tag-conflict"
    assert str(other.digest) in str(error.value)
    assert world.tag("prod", "1.0") == other.digest


def test_t099_a_tag_that_moves_while_the_promotion_runs_is_not_overwritten(world: World) -> None:
    world.in_test()
    other = world.built(seed="b", tag="b")
    place = world.place("prod")
    copy_image(plan_copy(other.digest, source(world), place))
    manifest = place.registry.manifest(place.repository, other.digest)
    bent = bend(world, PROD)
    bent.before(1, "tag", lambda: bent.inner.tag(place.repository, "1.0", manifest, expected=None))
    assert codes(lambda: world.promote("1.0", "prod")) == ["tag-conflict"]
    assert world.tag("prod", "1.0") == other.digest


def test_t091_going_back_to_an_earlier_image_needs_a_decision_of_its_own(world: World) -> None:
    world.in_prod(tag="1.0")
    newer = world.in_prod(seed="b", tag="2.0")
    assert codes(lambda: world.promote("1.0", "prod")) == ["rollback-refused"]
    assert world.tag("prod", "stable") == newer.digest


def test_t043_a_key_is_rotated_with_an_overlap_in_which_both_count(world: World) -> None:
    world.in_test()
    assert codes(lambda: world.promote("1.0", "prod", by="ci-next")) == ["signer-not-for-stage"]

    world.change_definition("  scanner:", "  ci-next: {key: keys/ci-next.pub}\n  scanner:")
    world.change_definition("admit: [ci-promote]", "admit: [ci-promote, ci-next]")
    world.promote("1.0", "prod", by="ci-next")
    assert world.verify("1.0", "prod").link.verified.signer.name == "ci-next"
    world.in_test(seed="b", tag="2.0")
    world.promote("2.0", "prod")

    world.change_definition("admit: [ci-promote, ci-next]", "admit: [ci-next]")
    assert codes(lambda: world.promote("2.0", "prod")) == ["signer-not-for-stage"]
    assert set(codes(lambda: world.verify("2.0", "prod"))) == {"signer-not-for-stage"}


def test_t043_what_a_key_has_signed_ends_with_it_as_nothing_proves_when_it_signed(world: World) -> None:
    until = (world.now + timedelta(days=1)).date()
    key = "ci-promote: {key: keys/ci-promote.pub"
    world.change_definition(f"{key}}}", f"{key}, valid: {{until: {until.isoformat()}}}}}")
    world.in_prod()
    world.verify("1.0", "prod")
    world.pass_time(days=2)
    assert "key-not-valid-at-time" in codes(lambda: world.verify("1.0", "prod"))


def test_t092_a_definition_that_was_changed_after_signing_is_not_believed(world: World) -> None:
    world.in_test()
    world.definition_text = world.definition_text.replace("none-at-or-above: medium", "none-at-or-above: critical")
    assert codes(lambda: world.promote("1.0", "prod")) == ["pipeline-changed"]


def test_t092_records_made_under_another_definition_do_not_count_even_if_it_was_signed(world: World) -> None:
    world.in_test()
    world.definition_text = world.definition_text.replace("max-age: 24h", "max-age: 48h")
    world.sign_definition()
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"pipeline-changed"}


def test_t092_a_chain_goes_on_under_every_definition_that_descends_from_its_own(world: World) -> None:
    image = world.in_test()
    for age, longer in (("24h", "25h"), ("25h", "26h"), ("26h", "27h")):
        world.change_definition(f"max-age: {age}", f"max-age: {longer}")
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == image.digest


def test_t092_a_chain_does_not_go_on_when_a_signature_in_between_is_not_there(world: World) -> None:
    world.in_test()
    for age, longer in (("24h", "25h"), ("25h", "26h"), ("26h", "27h")):
        world.change_definition(f"max-age: {age}", f"max-age: {longer}")
    del world.signatures[-2]
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"pipeline-changed"}


def test_t092_a_chain_does_not_go_on_through_a_definition_that_a_stranger_signed(world: World) -> None:
    world.in_test()
    world.change_definition("max-age: 24h", "max-age: 25h", by="ci-promote")
    world.change_definition("max-age: 25h", "max-age: 26h")
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"pipeline-changed"}


def test_t092_nobody_goes_back_to_a_definition_that_was_replaced(world: World) -> None:
    older = world.definition_text
    world.change_definition("max-age: 24h", "max-age: 48h")
    world.in_test()
    world.definition_text = older
    assert codes(lambda: world.promote("1.0", "prod")) == ["definition-rolled-back"]


@pytest.mark.parametrize("shown_by", ["the image", "the image before it"])
def test_t092_records_show_that_a_later_definition_was_in_force(world: World, shown_by: str) -> None:
    older, signatures = world.definition_text, list(world.signatures)
    if shown_by == "the image before it":
        world.in_test(seed="b", tag="2.0")
    world.change_definition("max-age: 24h", "max-age: 48h")
    if shown_by == "the image":
        world.in_test()
    else:
        world.in_prod(tag="1.0")
    world.definition_text, world.signatures = older, signatures
    refused = codes(lambda: world.promote("1.0" if shown_by == "the image" else "2.0", "prod"))
    assert set(refused) == {"definition-rolled-back"}


def test_t098_the_tag_is_the_very_last_thing_written(world: World) -> None:
    world.in_test()
    bent = bend(world, PROD)
    world.promote("1.0", "prod")
    assert bent.writes[-2:] == ["tag", "tag"]
    assert "tag" not in bent.writes[:-2]


def test_t105_a_plan_writes_nothing_and_decides_as_the_promotion_would(world: World) -> None:
    image = world.in_test()
    dev, prod = bend(world, DEV), bend(world, PROD)
    plan = world.plan("1.0", "prod")
    assert dev.writes == prod.writes == []
    assert [move.now_at for move in plan.tags] == [None, None]
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == image.digest


def test_g10_the_same_promotion_again_writes_nothing_and_names_the_same_record(world: World) -> None:
    world.in_test()
    first = world.promote("1.0", "prod")
    dev, prod = bend(world, DEV), bend(world, PROD)
    again = world.promote("1.0", "prod")
    assert again.record == first.record
    assert dev.writes == prod.writes == []


def test_t131_a_run_that_ended_before_the_tag_is_completed_with_the_same_record(world: World) -> None:
    image = world.in_test()
    bent = bend(world, PROD)

    def killed() -> None:
        raise KeyboardInterrupt

    bent.before(1, "tag", killed)
    with pytest.raises(KeyboardInterrupt):
        world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") is None
    left = world.verify(str(image.digest), "prod").link.record
    assert world.promote("1.0", "prod").record == left
    assert world.tag("prod", "stable") == image.digest
    again = world.verify("1.0", "prod")
    assert len([one for one in store.fetch((world.place("prod"),), image.digest).bundles if one.record == left]) == 1
    assert again.link.record == left
    place = world.place("prod")
    listed = [
        place.registry.manifest(place.repository, item.digest)
        for item in place.registry.referrers(place.repository, image.digest)
    ]
    assert [manifest.layers[0].digest for manifest in listed].count(left) == 1


def test_a_newer_image_interrupted_before_its_tag_is_completed_and_is_no_rollback(world: World) -> None:
    world.in_prod(tag="1.0")
    newer = world.in_test(seed="b", tag="2.0")
    bent = bend(world, PROD)

    def killed() -> None:
        raise KeyboardInterrupt

    bent.before(2, "tag", killed)
    with pytest.raises(KeyboardInterrupt):
        world.promote("2.0", "prod")
    world.promote("2.0", "prod")
    assert world.tag("prod", "stable") == newer.digest


def test_t082_referrers_arrive_once_however_often_an_image_is_promoted(world: World) -> None:
    image = world.in_prod()
    place = world.place("prod")
    listed = {item.digest for item in place.registry.referrers(place.repository, image.digest)}
    world.promote("1.0", "prod")
    assert {item.digest for item in place.registry.referrers(place.repository, image.digest)} == listed
    before = world.place("test")
    assert {item.digest for item in before.registry.referrers(before.repository, image.digest)} <= listed


def test_t042_a_revoked_image_is_refused_everywhere(world: World) -> None:
    image = world.in_test()
    world.trust_text += f"revocations:\n  digests: ['{image.digest}']\n"
    assert codes(lambda: world.promote("1.0", "prod")) == ["digest-revoked"]
    assert codes(lambda: world.verify("1.0", "test")) == ["digest-revoked"]


def test_t042_an_index_with_a_revoked_platform_is_refused(world: World) -> None:
    image = world.in_test()
    world.trust_text += f"revocations:\n  digests: ['{image.platforms[1].manifest}']\n"
    assert codes(lambda: world.promote("1.0", "prod")) == ["digest-revoked"]


@pytest.mark.parametrize(
    ("stop", "blocks"),
    [("stages: {test: 2026-11-24}", "test"), ("stages: {prod: 2026-11-24}", "prod"), ("pipeline: 2026-11-24", "build")],
)
def test_t042_a_stopped_stage_takes_nothing_and_gives_nothing_on_until_it_is_lifted(
    world: World, stop: str, blocks: str
) -> None:
    world.in_prod(tag="1.0")
    world.in_test(seed="b", tag="2.0")
    free = world.trust_text
    world.trust_text += f"revocations: {{{stop}}}\n"
    assert set(codes(lambda: world.promote("2.0", "prod"))) == {"stage-stopped"}
    stopped = [stage for stage in ("build", "test", "prod") if refuses(world, stage)]
    assert stopped == {"build": ["build", "test", "prod"]}.get(blocks, [blocks])
    faults = {story.stage for story in world.audit("1.0").stages for it in story.faults if it.code == "stage-stopped"}
    assert faults == set(stopped)
    world.trust_text = free
    world.promote("2.0", "prod")


def refuses(world: World, stage: str) -> bool:
    """Whether `verify` refuses the first image there because of a stop, and of nothing else."""
    try:
        world.verify("1.0", stage)
    except Refusal as refusal:
        return refusal.code == "stage-stopped"
    return False


def test_t042_a_stop_of_tomorrow_stops_nothing_today(world: World) -> None:
    world.trust_text += "revocations: {stages: {prod: 2026-11-26}}\n"
    world.in_prod()
    world.pass_time(days=2)
    assert codes(lambda: world.verify("1.0", "prod")) == ["stage-stopped"]


def test_t042_records_of_a_revoked_key_without_proven_time_do_not_count(world: World) -> None:
    world.in_test()
    world.trust_text += "revocations:\n  signers: {scanner: 2026-11-24T00:00:00Z}\n"
    assert "key-revoked" in codes(lambda: world.promote("1.0", "prod"))


def test_t077_a_registry_that_withholds_everything_can_block_and_not_admit(world: World) -> None:
    image = world.in_test()
    place = world.place("test")
    bent = bend(world, DEV)
    bent.hidden |= {item.digest for item in place.registry.referrers(place.repository, image.digest)}
    assert "predecessor-missing" in codes(lambda: world.promote(str(image.digest), "prod"))


def test_t061_t080_a_listed_manifest_that_hangs_elsewhere_is_left_aside(world: World) -> None:
    image = world.in_test()
    other = world.in_test(seed="b", tag="2.0")
    place = world.place("test")
    foreign = place.registry.referrers(place.repository, other.digest)
    bend(world, DEV).extra.extend(foreign)
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == image.digest


def test_a_failed_step_is_on_record_and_blocks(world: World) -> None:
    world.in_build()
    world.promote("1.0", "test")
    _, record = world.step("test", "integration", "1.0", by="ci-promote", exit_code=1)
    assert record.result == "failed"
    assert codes(lambda: world.promote("1.0", "prod")) == ["step-failed"]


def test_a_step_done_again_replaces_the_failure(world: World) -> None:
    image = world.in_build()
    world.promote("1.0", "test")
    failed, _ = world.step("test", "integration", "1.0", by="ci-promote", exit_code=1)
    _, again = world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    assert again.supersedes == (failed,)
    world.promote("1.0", "prod")
    assert world.tag("prod", "1.0") == image.digest


def test_a_step_can_not_be_recorded_before_the_image_was_admitted(world: World) -> None:
    image = world.in_build()
    copy_image(plan_copy(image.digest, world.place("build"), world.place("test")))
    step = lambda: world.step("test", "integration", str(image.digest), by="ci-promote", exit_code=0)  # noqa: E731
    assert codes(step) == ["stage-skipped"]


def test_a_step_can_not_be_recorded_by_another_role(world: World) -> None:
    world.in_build()
    assert codes(lambda: world.step("build", "scan", "1.0", by="ci-build")) == ["signer-not-for-stage"]


def test_a_step_without_its_report_is_refused(world: World) -> None:
    world.built()
    world.enter()
    assert codes(lambda: world.step("build", "unit", "1.0", by="ci-build")) == ["report-missing"]


def test_a_vulnerability_blocks_with_its_name_and_moves_nothing(world: World) -> None:
    made = world.built()
    world.enter()
    world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=1))])
    reports = [
        ("grype", grype(match("CVE-2026-0001"), about=(platform.manifest,), scanned_at=world.now))
        for platform in made.platforms
    ]
    world.step("build", "scan", "1.0", by="scanner", reports=reports)
    with pytest.raises(PromotionBlocked) as error:
        world.promote("1.0", "test")
    assert [reason.code for reason in error.value.reasons] == ["vulnerability-found"]
    assert "CVE-2026-0001" in str(error.value)
    assert world.tag("test", "1.0") is None


def test_t090_a_scan_of_yesterday_is_too_old_and_a_new_one_replaces_it(world: World) -> None:
    made = world.in_build()
    world.pass_time(hours=25)
    assert set(codes(lambda: world.promote("1.0", "test"))) == {"evidence-too-old"}
    world.step("build", "scan", "1.0", by="scanner", reports=world.scans(made))
    world.promote("1.0", "test")
    assert world.tag("test", "1.0") == made.digest


def test_t108_a_scan_of_another_image_does_not_count(world: World) -> None:
    world.built()
    world.enter()
    other = world.built(seed="b", tag="b")
    world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=1))])
    world.step("build", "scan", "1.0", by="scanner", reports=world.scans(other))
    assert "subject-mismatch" in codes(lambda: world.promote("1.0", "test"))


def test_failing_tests_make_a_failed_step(world: World) -> None:
    world.built()
    world.enter()
    _, record = world.step("build", "unit", "1.0", by="ci-build", reports=[("junit", junit(passed=2, failed=1))])
    assert record.result == "failed"


def test_t138_an_audit_that_could_not_read_a_stage_says_so(world: World) -> None:
    world.in_test()
    bent = bend(world, PROD)

    def down() -> None:
        from registries.errors import Unavailable

        raise Unavailable("registry-unavailable", "down", where=PROD)

    tools, pipeline = world.tools(None), world.pipeline
    found = tools.places.admitted("1.0", "test", pipeline)
    bent.before(1, "referrers", down)
    from pipeline import audit

    story = audit.audit(found, pipeline=pipeline, tools=tools, now=world.now)
    assert [stage.standing for stage in story.stages] == ["admitted", "admitted", "unread"]
    assert [fault.code for fault in story.faults] == ["audit-incomplete", "registry-unavailable"]


def test_an_audit_of_a_whole_chain_has_no_fault_and_tells_every_step(world: World) -> None:
    world.in_test()
    story = world.audit("1.0")
    assert [(stage.stage, stage.standing) for stage in story.stages] == [
        ("build", "admitted"),
        ("test", "admitted"),
        ("prod", "absent"),
    ]
    assert [step.result for stage in story.stages for step in stage.steps] == ["passed"] * 3
    assert story.faults == ()


def test_an_audit_of_a_broken_chain_names_the_hole(world: World) -> None:
    image = world.in_prod()
    link = world.verify("1.0", "prod").chain.link("test")
    assert link is not None
    hidden = referrer_of(world, "prod", image.digest, link.record)
    bend(world, PROD).hidden.add(hidden)
    story = world.audit("1.0")
    assert [stage.standing for stage in story.stages] == ["admitted", "admitted", "broken"]
    assert "predecessor-missing" in [fault.code for fault in story.faults]


def test_nothing_is_published_or_recorded_without_a_signer(world: World) -> None:
    world.in_test()
    plan = world.plan("1.0", "prod")
    assert codes(lambda: promotions.publish(plan, tools=world.tools(None))) == ["key-missing"]
    tools, pipeline = world.tools(None), world.pipeline
    found = tools.places.admitted("1.0", "test", pipeline)
    intended = steps.intend(found, "test", "integration", pipeline=pipeline, tools=tools, now=world.now)
    done = steps.Done(started_at=world.now, finished_at=world.now, exit_code=0)
    assert codes(lambda: steps.record(intended, done, tools=tools)) == ["key-missing"]


def test_a_summary_that_is_missing_is_signed_again_and_nothing_counts_in_its_place(world: World) -> None:
    image = world.in_prod()
    place, before = world.place("prod"), world.place("test")
    came_along = {item.digest for item in before.registry.referrers(before.repository, image.digest)}
    bent = bend(world, PROD)
    for listed in place.registry.referrers(place.repository, image.digest):
        if listed.digest not in came_along and listed.annotations.get("dev.sigstore.bundle.predicateType") == SUMMARY:
            bent.hidden.add(listed.digest)
    first = world.verify("1.0", "prod").link.record
    assert world.promote("1.0", "prod").record == first
    assert "push_manifest" in bent.writes


def test_an_image_named_by_digest_alone_gets_only_the_tags_that_need_no_other(world: World) -> None:
    image = world.in_test()
    world.promote(str(image.digest), "prod")
    place = world.place("prod")
    assert place.registry.tags(place.repository) == ("stable",)
    assert world.tag("prod", "stable") == image.digest


def test_t094_verifying_a_tag_that_somebody_moved_says_so_first(world: World) -> None:
    world.in_prod()
    other = world.built(seed="evil", tag="evil")
    place = world.place("prod")
    copy_image(plan_copy(other.digest, source(world), place))
    manifest = place.registry.manifest(place.repository, other.digest)
    place.registry.tag(place.repository, "1.0", manifest, expected=world.tag("prod", "1.0"))
    assert codes(lambda: world.verify("1.0", "prod"))[0] == "digest-changed"


def test_a_step_that_failed_before_it_wrote_its_report_is_still_on_record(world: World) -> None:
    world.built()
    world.enter()
    _, record = world.step("build", "unit", "1.0", by="ci-build", exit_code=1)
    assert (record.result, record.reports) == ("failed", ())


def test_a_report_is_kept_as_it_is_and_one_that_shows_nothing_is_not_recorded(world: World) -> None:
    world.definition_text = world.definition_text.replace("evidence: junit", "evidence: cyclonedx")
    world.sign_definition()
    image = world.built()
    world.enter()
    place = world.place("build")
    before = place.registry.referrers(place.repository, image.digest)

    def recorded(content: bytes) -> StepRecord:
        return world.step("build", "unit", "1.0", by="ci-build", reports=[("cyclonedx", content)])[1]

    assert codes(lambda: recorded(b"{}")) == ["evidence-empty"]
    assert place.registry.referrers(place.repository, image.digest) == before
    content = b'{ "bomFormat": "CycloneDX","specVersion":"1.6", "components":[{"type":"library","name":"flask"}] }'
    record = recorded(content)
    assert record.result == "passed"
    assert [(report.format, report.summary) for report in record.reports] == [("cyclonedx", (("components", 1),))]
    assert store.fetch_report([place], record.reports[0].digest, len(content)) == content


def test_a_step_without_reports_hangs_one_record_on_the_image_and_nothing_else(world: World) -> None:
    image = world.in_build()
    world.promote("1.0", "test")
    place = world.place("test")
    before = len(place.registry.referrers(place.repository, image.digest))
    world.step("test", "integration", "1.0", by="ci-promote", exit_code=0)
    assert len(place.registry.referrers(place.repository, image.digest)) == before + 1


def test_a_step_that_the_stage_does_not_have_is_named_with_the_nearest(world: World) -> None:
    world.in_build()
    with pytest.raises(Refusal) as error:
        world.step("build", "unti", "1.0", by="ci-build")
    assert error.value.code == "step-unknown"
    assert error.value.reasons[0].hint == "did you mean unit?"


def test_an_audit_of_a_revoked_image_says_so_in_every_stage_that_it_reached(world: World) -> None:
    image = world.in_test()
    world.trust_text += f"revocations:\n  digests: ['{image.digest}']\n"
    story = world.audit("1.0")
    assert [stage.standing for stage in story.stages] == ["broken", "broken", "absent"]
    assert [fault.code for fault in story.faults] == ["digest-revoked"]


def test_an_audit_shows_the_steps_that_nobody_has_done(world: World) -> None:
    world.built()
    world.enter()
    build = world.audit("1.0").stages[0]
    assert [(step.name, step.result, step.record) for step in build.steps] == [
        ("unit", "missing", None),
        ("scan", "missing", None),
    ]
