"""Approvals, emergencies and going back: whoever decides is somebody else, has seen this, and it is on record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from attestations.chain import Records
from attestations.records.admission import Admission, AdmissionKind
from attestations.records.approval import APPROVAL, ApprovalKind
from attestations.verify import Verified
from pipeline import approve as approvals
from pipeline import promote as promotions
from pipeline.audit import Standing
from pipeline.gather import chain_to
from registries.digest import Digest
from registries.errors import Refusal
from tests.evidence import junit
from tests.images import layer_tar
from tests.world import DEFINITION, World

PEOPLE = ("alice", "bob", "carol")
GATE = "gates: {approvals: {from: [alice, bob, carol], count: 2, max-age: 72h}}"
GLASS = "break-glass: {from: [alice, bob, carol], repair-within: 24h}"


def defined(gate: str = GATE, glass: str = "") -> str:
    """The shop, with people who approve what goes to prod."""
    signers = "".join(f"  {name}: {{key: keys/{name}.pub}}\n" for name in PEOPLE)
    text = DEFINITION.replace("stages:\n", f"{signers}stages:\n", 1)
    head, prod, tail = text.partition("  - name: prod\n")
    return head + prod + tail.replace("gates: {}", f"{gate}\n    {glass}" if glass else gate)


@pytest.fixture
def world() -> World:
    return with_people(defined())


def with_people(text: str) -> World:
    made = World(definition_text=DEFINITION)
    for name in PEOPLE:
        made.signer(name)
    made.definition_text = text
    made.sign_definition()
    return made


def codes(action: Callable[[], object]) -> list[str]:
    with pytest.raises(Refusal) as error:
        action()
    return [reason.code for reason in error.value.reasons]


def approve(
    world: World,
    by: str,
    *,
    stage: str = "prod",
    tag: str = "1.0",
    valid: timedelta = timedelta(hours=48),
    kind: ApprovalKind = ApprovalKind.PROMOTION,
) -> Digest:
    tools, pipeline = world.tools(by), world.pipeline
    found = tools.places.incoming(tag, stage, pipeline)
    seen = approvals.review(found, stage, kind=kind, pipeline=pipeline, tools=tools, now=world.now)
    return approvals.approve(seen, words="seen", valid=valid, tools=tools, now=world.now)[0]


def promote(world: World, kind: AdmissionKind, tag: str = "1.0") -> promotions.Promotion:
    tools, pipeline = world.tools("ci-promote"), world.pipeline
    found = tools.places.incoming(tag, "prod", pipeline)
    world.pass_time(minutes=1)
    return promotions.promote(found, "prod", pipeline=pipeline, tools=tools, now=world.now, kind=kind)


def test_two_people_are_needed_and_named_in_the_admission(world: World) -> None:
    image = world.in_test()
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-missing"]
    first = approve(world, "alice")
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-missing"]
    second = approve(world, "bob")
    world.promote("1.0", "prod")
    admission = world.verify("1.0", "prod").link.admission
    assert admission.approvals == (first, second)
    assert world.tag("prod", "stable") == image.digest


def test_whoever_may_still_approve_is_told_with_the_command(world: World) -> None:
    image = world.in_test()
    approve(world, "bob")
    with pytest.raises(Refusal) as error:
        world.promote("1.0", "prod")
    (reason,) = error.value.reasons
    assert "alice, carol" in reason.message
    assert "bob" not in reason.message
    assert f"samebits approve prod {image.digest}" in reason.hint


def test_t100_one_person_counts_once(world: World) -> None:
    world.in_test()
    approve(world, "alice")
    world.pass_time(hours=1)
    approve(world, "alice")
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-missing"]


@pytest.mark.parametrize(("own", "other"), [("ci-build", "builder"), ("ci-promote", "promoter")])
def test_t100_nobody_approves_what_they_built_or_promote(own: str, other: str) -> None:
    world = with_people(defined(GATE.replace("carol", own)))
    world.in_test()
    approve(world, "alice")
    approve(world, own)
    with pytest.raises(Refusal) as error:
        world.promote("1.0", "prod")
    assert [reason.code for reason in error.value.reasons] == ["self-approval", "approval-missing"]
    assert other in error.value.reasons[0].message


@pytest.mark.parametrize(("own", "other"), [("ci-build", "promoter"), ("ci-promote", "builder")])
def test_t100_where_the_definition_allows_it_they_may(own: str, other: str) -> None:
    world = with_people(defined(GATE.replace("carol", own).replace("count: 2", f"count: 2, not: [{other}]")))
    world.in_test()
    approve(world, "alice")
    approve(world, own)
    world.promote("1.0", "prod")


def test_t101_an_approval_of_another_image_does_not_count(world: World) -> None:
    world.in_test(seed="b", tag="2.0")
    for name in PEOPLE:
        approve(world, name, tag="2.0")
    world.in_test()
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-missing"]


def test_t101_an_approval_for_another_stage_does_not_count() -> None:
    text = defined()
    prod = text.partition("  - name: prod\n")[2]
    text += f"  - name: us\n{prod}".replace("prod.test:5000/prod", "prod.test:5000/us")
    world = with_people(text)
    world.in_test()
    for name in ("alice", "bob"):
        approve(world, name, stage="us")
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-mismatch", "approval-mismatch", "approval-missing"]


def test_t101_an_approval_under_another_definition_does_not_count(world: World) -> None:
    world.in_test()
    for name in ("alice", "bob"):
        approve(world, name)
    world.change_definition("max-age: 24h", "max-age: 25h")
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"approval-mismatch", "approval-missing"}


def test_t101_an_approval_of_an_emergency_is_none_of_a_promotion() -> None:
    world = with_people(defined(GATE, GLASS))
    world.in_test()
    for name in ("alice", "bob"):
        approve(world, name, kind=ApprovalKind.BREAK_GLASS)
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"approval-mismatch", "approval-missing"}


def test_t102_what_is_found_after_an_approval_was_not_approved() -> None:
    tests = "tests: {}, " + GATE.partition("{")[2]
    world = with_people(defined("gates: {" + tests))
    world.in_test()
    for name in ("alice", "bob"):
        approve(world, name)
    world.promote("1.0", "prod")

    world.in_test(seed="b", tag="2.0")
    for name in ("alice", "bob"):
        approve(world, name, tag="2.0")
    world.step("test", "integration", "2.0", by="ci-promote", exit_code=0, reports=[("junit", junit(passed=4))])
    assert set(codes(lambda: world.promote("2.0", "prod"))) == {"approval-stale", "approval-missing"}


def test_an_approval_expires(world: World) -> None:
    world.in_test()
    approve(world, "alice", valid=timedelta(hours=1))
    approve(world, "bob", valid=timedelta(hours=400))
    world.pass_time(hours=2)
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-expired", "approval-missing"]
    world.pass_time(hours=80)
    assert codes(lambda: world.promote("1.0", "prod")) == ["approval-expired", "approval-expired", "approval-missing"]


def test_an_approval_from_the_future_does_not_count(world: World) -> None:
    world.in_test()
    world.pass_time(hours=1)
    for name in ("alice", "bob"):
        approve(world, name)
    world.pass_time(hours=-1)
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"clock-skew", "approval-missing"}


def test_a_stranger_approves_nothing(world: World) -> None:
    world.in_test()
    assert codes(lambda: approve(world, "scanner")) == ["signer-not-for-stage"]


def test_a_stage_that_asks_for_no_approval_takes_none(world: World) -> None:
    world.in_build()
    assert codes(lambda: approve(world, "alice", stage="test")) == ["approval-not-asked"]
    assert codes(lambda: approve(world, "alice", kind=ApprovalKind.BREAK_GLASS)) == ["image-not-found"]


def test_nobody_approves_an_image_without_a_whole_chain(world: World) -> None:
    world.in_build()
    world.promote("1.0", "test")
    assert codes(lambda: approve(world, "alice")) == ["step-missing"]


@pytest.fixture
def emergency() -> World:
    """An image in test that prod's gate refuses, as nobody has approved it."""
    made = with_people(defined(GATE, GLASS))
    made.in_test()
    return made


def test_t103_an_emergency_needs_two_people_who_neither_built_nor_promote_it(emergency: World) -> None:
    def promoted() -> list[str]:
        return codes(lambda: promote(emergency, AdmissionKind.BREAK_GLASS))

    assert promoted() == ["approval-missing", "approval-missing"]
    approve(emergency, "alice", kind=ApprovalKind.BREAK_GLASS)
    assert promoted()[-1] == "approval-missing"
    approve(emergency, "bob", kind=ApprovalKind.PROMOTION)
    assert "approval-mismatch" in promoted()
    approve(emergency, "bob", kind=ApprovalKind.BREAK_GLASS)
    promote(emergency, AdmissionKind.BREAK_GLASS)
    link = emergency.verify("1.0", "prod").link
    assert link.admission.kind is AdmissionKind.BREAK_GLASS
    assert len(link.admission.approvals) == 2
    assert [gate.verdict for gate in link.admission.gates] == ["waiting"]


def in_emergency(world: World) -> None:
    for name in ("alice", "bob"):
        approve(world, name, kind=ApprovalKind.BREAK_GLASS)
    promote(world, AdmissionKind.BREAK_GLASS)


def test_t103_an_emergency_ends_and_the_audit_shows_it(emergency: World) -> None:
    in_emergency(emergency)
    assert emergency.audit("1.0").stages[-1].standing is Standing.ADMITTED
    emergency.pass_time(hours=25)
    assert codes(lambda: emergency.verify("1.0", "prod")) == ["break-glass-expired"]
    story = emergency.audit("1.0").stages[-1]
    assert (story.standing, [fault.code for fault in story.faults]) == (Standing.BROKEN, ["break-glass-expired"])


def test_t103_an_emergency_is_repaired_by_an_ordinary_admission(emergency: World) -> None:
    in_emergency(emergency)
    emergency.pass_time(hours=25)
    assert codes(lambda: emergency.promote("1.0", "prod")) == [
        "approval-mismatch",
        "approval-mismatch",
        "approval-missing",
    ]
    for name in ("alice", "carol"):
        approve(emergency, name)
    emergency.promote("1.0", "prod")
    assert emergency.verify("1.0", "prod").link.admission.kind is AdmissionKind.PROMOTION


def test_t103_an_emergency_is_repaired_before_its_time_is_over_too(emergency: World) -> None:
    in_emergency(emergency)
    for name in ("alice", "carol"):
        approve(emergency, name)
    emergency.promote("1.0", "prod")
    assert emergency.verify("1.0", "prod").link.admission.kind is AdmissionKind.PROMOTION


def test_t103_the_next_image_takes_the_tag_from_one_that_came_in_an_emergency(emergency: World) -> None:
    in_emergency(emergency)
    emergency.pass_time(hours=25)
    newer = emergency.in_test(seed="b", tag="2.0")
    for name in ("alice", "carol"):
        approve(emergency, name, tag="2.0")
    emergency.promote("2.0", "prod")
    assert emergency.tag("prod", "stable") == newer.digest


def test_t103_where_the_definition_knows_no_emergency_there_is_none(world: World) -> None:
    world.in_test()
    assert codes(lambda: approve(world, "alice", kind=ApprovalKind.BREAK_GLASS)) == ["break-glass-not-allowed"]
    refused = codes(lambda: promote(world, AdmissionKind.BREAK_GLASS))
    assert refused == ["approval-missing", "break-glass-not-allowed"]


def test_t103_an_emergency_repairs_no_chain(emergency: World) -> None:
    emergency.in_build(seed="b", tag="2.0")
    emergency.promote("2.0", "test")
    assert codes(lambda: promote(emergency, AdmissionKind.BREAK_GLASS, tag="2.0")) == ["step-missing"]


def test_t103_an_emergency_carries_no_image_further() -> None:
    further = {"name": "world", "after": "[prod]", "registry": "prod.test:5000/world", "admit": "[ci-promote]"}
    lines = [f"{key}: {value}" for key, value in (*further.items(), ("gates", "{}"))]
    text = defined(GATE, GLASS) + "  - " + "\n    ".join(lines) + "\n"
    world = with_people(text)
    world.in_test()
    in_emergency(world)
    assert codes(lambda: world.promote("1.0", "world", by="ci-promote")) == ["break-glass-expired"]


def test_an_emergency_that_no_gate_refuses_is_an_ordinary_promotion(emergency: World) -> None:
    for name in ("alice", "bob"):
        approve(emergency, name)
    promote(emergency, AdmissionKind.BREAK_GLASS)
    assert emergency.verify("1.0", "prod").link.admission.kind is AdmissionKind.PROMOTION


def test_the_configuration_of_every_platform_is_read_for_the_gate_that_asks_for_it() -> None:
    world = with_people(defined("gates: {image-config: {}}"))
    world.in_test()
    assert set(codes(lambda: world.promote("1.0", "prod"))) == {"config-refused"}
    world = with_people(defined("gates: {image-config: {user: any}}"))
    world.in_prod()


def test_every_platform_has_to_be_on_an_allowed_base_before_the_image_goes_on() -> None:
    lowest = [layer_tar("file0", f"a {name} 0\n".encode() * 50) for name in ("linux/amd64", "linux/arm64")]
    first, second = (f"{{name: base, layers: ['{Digest.of(tar)}'], until: 2027-06-30}}" for tar in lowest)
    world = with_people(defined(f"gates: {{base-image: {{bases: [{first}]}}}}"))
    world.in_test()
    assert codes(lambda: world.promote("1.0", "prod")) == ["base-refused"]
    world = with_people(defined(f"gates: {{base-image: {{bases: [{first}, {second}]}}}}"))
    world.in_prod()
    world.in_test(seed="b", tag="2.0")
    assert codes(lambda: world.promote("2.0", "prod")) == ["base-refused", "base-refused"]


def test_a_gate_warns_until_its_day() -> None:
    world = with_people(defined("gates: {image-config: {effective-on: 2026-11-25}}"))
    world.in_prod()
    (gate,) = world.verify("1.0", "prod").link.admission.gates
    assert gate.verdict == "warned"
    world.in_test(seed="b", tag="2.0")
    world.pass_time(days=2)
    assert set(codes(lambda: world.promote("2.0", "prod"))) == {"config-refused"}


def two(world: World) -> tuple[Digest, Digest]:
    """Two images that were in prod one after the other."""
    older = world.in_prod(tag="1.0").digest
    return older, world.in_prod(seed="b", tag="2.0").digest


@pytest.fixture
def shop() -> World:
    return World()


def test_t091_going_back_has_a_record_of_its_own(shop: World) -> None:
    older, newer = two(shop)
    with pytest.raises(Refusal) as error:
        shop.promote("1.0", "prod")
    assert error.value.reasons[0].hint == f"samebits rollback prod {older}"
    promote(shop, AdmissionKind.ROLLBACK)
    assert (shop.tag("prod", "stable"), shop.tag("prod", "2.0")) == (older, newer)
    admissions = [claim for item in shop.records(older) if isinstance(claim := item.claim, Admission)]
    kinds = [admission.kind for admission in admissions if admission.stage == "prod"]
    assert sorted(kinds) == ["promotion", "rollback"]
    assert shop.verify("1.0", "prod").link.admission.kind is AdmissionKind.PROMOTION


def test_t091_the_record_of_going_back_is_no_admission_itself(shop: World) -> None:
    older, _ = two(shop)
    promote(shop, AdmissionKind.ROLLBACK)
    image = shop.tools(None).places.admitted("1.0", "prod", shop.pipeline)
    left = Records(subject=older, verified=tuple(it for it in shop.records(older) if not admitted_to_prod(it)))
    assert [admission.kind for _, admission in left.admissions("prod")] == [AdmissionKind.ROLLBACK]
    assert codes(lambda: chain_to("prod", image, left, pipeline=shop.pipeline, now=shop.now)) == ["stage-skipped"]


def admitted_to_prod(item: Verified) -> bool:
    claim = item.claim
    return isinstance(claim, Admission) and (claim.stage, claim.kind) == ("prod", AdmissionKind.PROMOTION)


def test_t091_after_going_back_the_later_image_comes_back_only_in_the_same_way(shop: World) -> None:
    _, newer = two(shop)
    promote(shop, AdmissionKind.ROLLBACK)
    assert codes(lambda: shop.promote("2.0", "prod")) == ["rollback-refused"]
    promote(shop, AdmissionKind.ROLLBACK, tag="2.0")
    assert shop.tag("prod", "stable") == newer


def test_t091_an_image_that_was_never_there_is_nothing_to_go_back_to(shop: World) -> None:
    shop.in_prod(tag="1.0")
    shop.in_test(seed="b", tag="2.0")
    assert codes(lambda: promote(shop, AdmissionKind.ROLLBACK, tag="2.0")) == ["rollback-refused"]


def test_t091_the_gates_judge_an_earlier_image_anew() -> None:
    shop = with_people(defined("gates: {tests: {max-age: 24h}}"))
    older, newer = two(shop)
    shop.pass_time(hours=30)
    assert codes(lambda: promote(shop, AdmissionKind.ROLLBACK)) == ["evidence-too-old"]
    assert shop.tag("prod", "stable") == newer
    assert older != newer


def test_going_back_to_where_the_tag_is_does_nothing(shop: World) -> None:
    older, _ = two(shop)
    promote(shop, AdmissionKind.ROLLBACK)
    before = len(shop.records(older))
    promote(shop, AdmissionKind.ROLLBACK)
    assert len(shop.records(older)) == before


def test_an_approval_travels_with_the_image(world: World) -> None:
    image = world.in_test()
    for name in ("alice", "bob"):
        approve(world, name)
    world.promote("1.0", "prod")
    assert sum(item.statement.predicate_type == APPROVAL for item in world.records(image.digest)) == 2
