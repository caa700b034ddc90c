"""Every command ends with the exit code that tells CI what to do, and names every reason."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.demo.image import grype_report
from tests import evidence
from tests.e2e.shop import Shop, initialized, now
from tests.faults import FaultRegistry, status


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A host that refuses every connection: the port is held, and nobody listens on it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def test_2_a_malformed_definition_is_named_with_line_and_column(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    text = (tmp_path / "samebits.yaml").read_text()
    twin.write("samebits.yaml", text.replace("max-age: 24h", "max-age: often"))
    lines = text.splitlines()
    line = next(number for number, line in enumerate(lines, 1) if "max-age: 24h" in line)
    column = lines[line - 1].index("24h") + 1

    for command in (("definition", "check"), ("plan", "test", "1.0")):
        ended = twin.run(*command)
        assert (ended.code, ended.reasons) == (2, ["definition-invalid"])
        assert f"samebits.yaml:{line}:{column}" in ended.stderr


def test_2_every_fault_of_a_definition_is_told_at_once(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    text = (tmp_path / "samebits.yaml").read_text()
    twin.write(
        "samebits.yaml", text.replace("max-age: 24h", "max-age: often").replace("admit: [ci-build]", "amdit: []")
    )

    ended = twin.run("definition", "check")

    assert ended.code == 2
    assert {"definition-invalid", "policy-key-unknown"} <= set(ended.reasons)
    assert "admit" in ended.stderr.split("hint:", 1)[1]


@pytest.mark.parametrize(
    "command", [("promote", "pord", "1.0", "--key", "keys/ci-promote.key"), ("plan", "pord", "1.0")]
)
def test_2_an_unknown_stage_is_refused_with_the_nearest_name(shop: Shop, command: tuple[str, ...]) -> None:
    ended = shop.run(*command)

    assert (ended.code, ended.reasons) == (2, ["stage-unknown"])
    assert "prod" in ended.stderr.split("hint:", 1)[1]


def test_2_an_unknown_step_is_refused_with_the_nearest_name(shop: Shop) -> None:
    ended = shop.run("step", "build", "unti", "ready", key="ci-build")

    assert (ended.code, ended.reasons) == (2, ["step-unknown"])
    assert "did you mean unit?" in ended.stderr


@pytest.mark.parametrize(
    ("stage", "image"),
    [
        ("prod", "not a tag"),
        ("prod", "-1.0-"),
        ("build", "no-registry"),
        ("build", "a//b:1"),
        ("build", "host:1/UPPER:1"),
    ],
)
def test_2_what_names_no_image_is_refused(shop: Shop, stage: str, image: str) -> None:
    ended = shop.run("plan", stage, "--", image)

    assert (ended.code, ended.reasons) == (2, ["reference-malformed"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "no-such-code"),
        ("--no-such-option",),
        ("promot",),
        ("verify", "prod"),
        ("verify", "prod", "1", "-o", "xml"),
    ],
)
def test_2_what_was_typed_wrong_prints_nothing_on_stdout(shop: Shop, arguments: tuple[str, ...]) -> None:
    ended = shop.run(*arguments)

    assert (ended.code, ended.stdout) == (2, "")
    assert ended.stderr


def test_2_what_was_typed_wrong_is_told_in_the_format_that_was_asked_for(shop: Shop, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    for formats in (["-o", "json"], ["--output=json"], ["-o", f"json={told}"]):
        ended = shop.run("verify", "build", "1.0", "--what", *formats)
        result = json.loads(ended.stdout or told.read_text())
        assert (ended.code, ended.reasons) == (2, ["usage"])
        assert (result["command"], result["exit"], result["reasons"][0]["code"]) == ("verify", 2, "usage")
        assert "--what" in result["reasons"][0]["message"]


def test_2_a_trust_file_in_the_current_folder_is_not_taken_unless_it_is_named(shop: Shop) -> None:
    ended = shop.run("verify", "prod", "1.0", env={"SAMEBITS_TRUST": ""})

    assert (ended.code, ended.reasons) == (2, ["config-not-named"])
    assert "--trust FILE" in ended.stderr


def test_a_trust_file_in_the_configuration_folder_is_taken(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    configuration = tmp_path / "configuration/samebits"
    twin.twin(configuration)
    (tmp_path / "trust.yaml").unlink()

    ended = twin.run("definition", "show", env={"SAMEBITS_TRUST": "", "XDG_CONFIG_HOME": str(configuration.parent)})

    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize("command", ["promote", "plan"])
def test_3_a_high_finding_blocks_and_nothing_reaches_the_stage(shop: Shop, command: str) -> None:
    version = f"3.0-{command}"
    image = shop.built(version)
    shop.workshop.admit("build", f"oci:{shop.folder / 'image'}:{version}", "ci-build")
    unit, *_ = shop.reports(image, version)
    found = [
        shop.write(f"reports/{version}-found-{number}.json", _with_finding(grype_report(platform, now())))
        for number, platform in enumerate(image.platforms)
    ]
    shop.run("step", "build", "unit", version, unit, key="ci-build")
    scanned = shop.run("step", "build", "scan", version, *(f"--report=grype={file}" for file in found), key="scanner")
    before = shop.tags("test") if command == "plan" else ()

    ended = shop.run(command, "test", version, "-o", "json", key="ci-promote" if command == "promote" else None)

    assert scanned.code == 0, scanned.stderr
    assert (ended.code, set(ended.reasons)) == (3, {"vulnerability-found"})
    assert "CVE-2026-0001" in ended.stderr
    assert {reason["code"] for reason in ended.result["reasons"]} == {"vulnerability-found"}
    assert shop.run("verify", "test", str(image.digest)).code == 6
    assert not before or shop.tags("test") == before


@pytest.mark.parametrize("bearer", [False, True], ids=["basic", "token"])
def test_4_a_registry_that_asks_for_a_login_is_not_a_missing_image(tmp_path: Path, *, bearer: bool) -> None:
    with FaultRegistry(login=("shop", "right"), bearer=bearer) as registry:
        shop = initialized(tmp_path, registry.host, registry.host)
        shop.built("1.0")

        promoted = shop.run("promote", "build", "oci:image:1.0", "-o", "json", key="ci-build")
        verified = shop.run("verify", "prod", "1.0", "-o", "json")

        assert (promoted.code, promoted.reasons) == (4, ["credentials-missing"])
        assert (verified.code, verified.reasons) == (4, ["credentials-missing"])
        assert promoted.result["reasons"][0]["hint"].startswith("docker login")
        assert not registry.manifests


def test_5_a_definition_that_was_changed_after_signing_counts_for_nothing(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    twin.write("samebits.yaml", (tmp_path / "samebits.yaml").read_text().replace("max-age: 24h", "max-age: 900h"))

    for command in (("plan", "test", "ready"), ("verify", "build", "ready")):
        ended = twin.run(*command, "-o", "json")
        assert (ended.code, ended.reasons) == (5, ["pipeline-changed"]), ended.stderr
        assert ended.result["exit"] == 5


def test_5_a_definition_without_signature_counts_for_nothing(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    (tmp_path / "samebits.yaml.sigstore.jsonl").unlink()

    ended = twin.run("plan", "test", "1.0")

    assert (ended.code, ended.reasons) == (5, ["definition-unsigned"])


def test_5_the_key_of_another_stage_promotes_nothing(shop: Shop) -> None:
    promoted = shop.run("promote", "test", "ready", "-o", "json", key="ci-build")
    stepped = shop.run("step", "build", "unit", "ready", "--report=junit=none.xml", "-o", "json", key="scanner")

    for ended in (promoted, stepped):
        assert (ended.code, ended.reasons) == (5, ["signer-not-for-stage"])
        assert ended.result["reasons"][0]["hint"]
    assert "ready" not in shop.tags("test")


def test_6_an_unknown_tag_is_not_found(shop: Shop) -> None:
    for command in (("plan", "prod", "never"), ("verify", "prod", "never"), ("audit", "never")):
        ended = shop.run(*command, "-o", "json")
        assert (ended.code, ended.reasons) == (6, ["image-not-found"])
        assert "never" in ended.result["reasons"][0]["message"]
    promoted = shop.run("promote", "prod", "never", key="ci-promote")
    assert (promoted.code, promoted.reasons) == (6, ["image-not-found"])


def test_6_a_layout_that_is_not_there_is_not_found(shop: Shop) -> None:
    ended = shop.run("plan", "build", "oci:no-such-folder:1.0")

    assert (ended.code, ended.reasons) == (6, ["image-not-found"])


def test_7_a_registry_that_is_down_may_be_asked_again(tmp_path: Path, nowhere: str) -> None:
    shop = initialized(tmp_path, nowhere, nowhere)
    shop.built("1.0")

    ended = shop.run("plan", "build", "oci:image:1.0", "-o", "json")

    assert (ended.code, ended.reasons) == (7, ["registry-unavailable"])
    assert nowhere in ended.stderr
    assert ended.result["exit"] == 7


def changed(shop: Shop, folder: Path, prod: str) -> Shop:
    """The shop with another end of its definition, signed."""
    twin = shop.twin(folder)
    text = (folder / "samebits.yaml").read_text()
    twin.write("samebits.yaml", text[: text.rindex("    gates:\n")] + prod)
    assert twin.run("definition", "sign", key="owner").code == 0
    return twin


def test_8_a_stage_waits_for_an_approval_and_takes_it(shop: Shop, tmp_path: Path) -> None:
    twin = changed(shop, tmp_path, "    gates:\n      approvals: {from: [scanner]}\n")
    image = twin.workshop.in_test("approved")

    waiting = twin.run("promote", "prod", "approved", "-o", "json", key="ci-promote")
    unasked = twin.run("approve", "prod", "approved", key="scanner")
    approved = twin.run("approve", "prod", "approved", "--yes", "--words", "seen", "-o", "json", key="scanner")
    admitted = twin.run("promote", "prod", "approved", "-o", "json", key="ci-promote")

    assert (waiting.code, waiting.reasons) == (8, ["approval-missing"])
    assert f"samebits approve prod {image.digest}" in waiting.result["reasons"][0]["hint"]
    assert (unasked.code, unasked.reasons) == (2, ["usage"])
    assert approved.result["facts"][-1] == {"name": "words", "value": "seen"}
    assert "gate approvals: waiting" in approved.stderr
    assert (admitted.code, admitted.result["verdict"]) == (0, "admitted")


def test_a_tag_goes_back_only_by_rollback(shop: Shop, tmp_path: Path) -> None:
    shop = changed(shop, tmp_path, "    gates: {}\n    tags: [stable]\n")
    older, newer = (shop.workshop.in_test(version) for version in ("back-1", "back-2"))
    for version in ("back-1", "back-2"):
        assert shop.run("promote", "prod", version, key="ci-promote").code == 0

    refused = shop.run("promote", "prod", "back-1", "-o", "json", key="ci-promote")
    shown = shop.run("rollback", "prod", "back-1", "--dry-run")
    done = shop.run("rollback", "prod", "back-1", "-o", "json", key="ci-promote")

    assert (refused.code, refused.reasons) == (3, ["rollback-refused"])
    assert refused.result["reasons"][0]["hint"] == f"samebits rollback prod {older.digest}"
    assert (shown.code, done.code) == (0, 0), shown.stderr + done.stderr
    assert done.result["image"] == str(older.digest) != str(newer.digest)


def test_an_audit_says_what_it_could_not_read_and_shows_the_rest(shop: Shop, tmp_path: Path) -> None:
    with FaultRegistry() as registry:
        half = initialized(tmp_path, shop.registry, registry.host)
        half.workshop.in_build("7.0")
        registry.rule("GET|HEAD", "/prod/", status(403))

        ended = half.run("audit", "7.0", "--stage", "build", "-o", "json")

    assert ended.code == 4
    assert "audit-incomplete" in ended.reasons
    assert [stage["standing"] for stage in ended.result["stages"]] == ["admitted", "absent", "unread"]


def test_a_plan_writes_nothing_and_exits_as_the_promotion_would(shop: Shop) -> None:
    shop.workshop.in_build("8.0")
    before = {stage: shop.tags(stage) for stage in ("build", "test", "prod")}

    planned = shop.run("plan", "test", "8.0", "-o", "json")
    dry = shop.run("promote", "test", "8.0", "--dry-run", "-o", "json", key="ci-promote")
    skipped = shop.run("plan", "prod", "8.0")

    assert (planned.code, dry.code) == (0, 0)
    assert {**dry.result, "command": "plan"} == planned.result
    assert skipped.code == 6
    assert {stage: shop.tags(stage) for stage in before} == before
    assert shop.run("verify", "test", "8.0").code == 6
    assert shop.run("promote", "test", "8.0", key="ci-promote").code == 0


def test_a_plan_without_the_steps_of_the_stage_before_exits_with_5(shop: Shop) -> None:
    shop.built("8.1")
    shop.workshop.admit("build", f"oci:{shop.folder / 'image'}:8.1", "ci-build")

    planned = shop.run("plan", "test", "8.1", "-o", "json")
    promoted = shop.run("promote", "test", "8.1", "-o", "json", key="ci-promote")

    assert (planned.code, set(planned.reasons)) == (5, {"step-missing"})
    assert (promoted.code, promoted.reasons) == (planned.code, planned.reasons)
    assert planned.result["reasons"] == promoted.result["reasons"]


def test_a_promotion_without_a_key_says_which_option_is_missing(shop: Shop) -> None:
    ended = shop.run("promote", "test", "1.0", "-o", "json")

    assert (ended.code, ended.reasons) == (4, ["key-missing"])
    assert "--key" in ended.result["reasons"][0]["hint"]


def _with_finding(report: bytes) -> bytes:
    value = json.loads(report)
    return json.dumps({**value, "matches": [evidence.match("CVE-2026-0001", "High")]}).encode()


def test_3_a_definition_that_loosens_is_told_and_fails_where_that_is_asked_for(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    text = (tmp_path / "samebits.yaml").read_text()
    twin.write("new.yaml", text.replace("max-age: 24h", "max-age: 48h", 1))

    told = twin.run("definition", "diff", "samebits.yaml", "new.yaml", "-o", "json")
    failed = twin.run("definition", "diff", "samebits.yaml", "new.yaml", "--fail-on-loosening")
    back = twin.run("definition", "diff", "new.yaml", "--fail-on-loosening")

    assert (told.code, failed.code, back.code) == (0, 3, 0), failed.stderr
    assert failed.reasons == ["definition-loosened"]
    assert [fact["name"] for fact in told.result["facts"]] == ["loosens"]
    assert "tightens" in back.stdout


def test_a_waiver_is_given_listed_and_taken_back(shop: Shop, tmp_path: Path) -> None:
    twin = shop.twin(tmp_path)
    text = (tmp_path / "samebits.yaml").read_text()
    waivable = text.replace("max-age: 24h, by: [scanner]", "max-age: 24h, by: [scanner], waivers-by: [scanner]", 1)
    twin.write("samebits.yaml", waivable)
    assert twin.run("definition", "sign", key="owner").code == 0
    words = [
        "--finding",
        "CVE-2026-1",
        "--kind",
        "secured-by-practice",
        "--owner",
        "shop",
        "--reason",
        "why",
        "--expires",
    ]
    soon = (now() + timedelta(days=30)).isoformat()

    given = twin.run("waive", "add", "W-1", *words, soon, "--package", "zlib1g", "-o", "json", key="scanner")
    listed = twin.run("waive", "list", "-o", "json")
    later = twin.run("waive", "list", "--expiring", "7d", "-o", "json")
    forever = twin.run("waive", "add", "W-2", *words, "2099-01-01", "--package", "zlib1g", key="scanner")
    wide = twin.run("waive", "add", "W-2", *words, soon, key="scanner")
    stranger = twin.run("waive", "add", "W-2", *words, soon, "--package", "zlib1g", key="ci-build")
    gone = twin.run("waive", "remove", "W-1", key="scanner")
    again = twin.run("waive", "remove", "W-1", key="scanner")

    assert given.result["told"] == "gave W-1", given.stderr
    assert listed.result["facts"][0] == {"name": "W-1", "value": "vulnerabilities CVE-2026-1 in zlib1g"}
    assert later.result["told"] == "waivers: 0"
    assert (forever.reasons, wide.reasons) == (["waiver-invalid"], ["waiver-invalid"])
    assert stranger.reasons == ["signer-not-for-stage"]
    assert (gone.code, again.code, again.reasons) == (0, 6, ["waiver-unknown"])
    assert twin.run("waive", "list", "-o", "json").result["told"] == "waivers: 0"


def test_trust_is_shown_and_every_record_explained(shop: Shop) -> None:
    shop.workshop.in_test("trusted")

    shown = shop.run("trust", "show", "-o", "json")
    explained = shop.run("trust", "show", "--explain", "trusted", "--stage", "test", "-o", "json")
    told = shop.run("trust", "show").stdout

    assert {"name": "  may", "value": "do the step scan of build"} in shown.result["facts"]
    assert "1 of 1 must sign a definition" in told
    facts = explained.result["facts"]
    said = [fact["value"] for fact in facts if fact["name"] == "  says"]
    assert {"promotion to build", "promotion to test", "step scan of build: passed"} <= set(said)
    assert all("believed" in fact["value"] for fact in facts if fact["name"] == "  so")
