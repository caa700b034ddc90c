"""`samebits step` runs a command or takes a report, and records exactly what happened."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from attestations import store
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from pipeline.withheld import SECRETS
from stages.reports.slsa import V1
from tests.e2e.shop import CANARY, Shop, now
from tests.evidence import COMMIT, sarif, slsa


def test_the_exit_code_of_a_command_is_recorded(shop: Shop) -> None:
    unit = _entered(shop, "s1")

    done = shop.run(
        "step", "build", "unit", "s1", unit, "-o", "json", "--", "touch", "reports/s1.xml", key="ci-build"
    ).result

    assert (done["verdict"], done["exitCode"], done["reasons"]) == ("passed", 0, [])


def test_a_command_that_fails_is_recorded_and_stops_the_next_promotion(shop: Shop) -> None:
    image = shop.workshop.in_build("s2")
    unit, *_ = shop.reports(image, "s2")

    failed = shop.run("step", "build", "unit", "s2", unit, "-o", "json", "--", "sh", "-c", "exit 7", key="ci-build")
    promoted = shop.run("promote", "test", "s2", key="ci-promote")

    assert (failed.code, failed.reasons) == (3, ["step-not-passed"])
    assert (failed.result["verdict"], failed.result["exitCode"]) == ("failed", 7)
    assert failed.result["supersedes"]
    assert (promoted.code, promoted.reasons) == (5, ["step-failed"])


def test_a_step_that_is_done_again_replaces_its_failure(shop: Shop) -> None:
    image = shop.workshop.in_build("s3")
    unit, *_ = shop.reports(image, "s3")
    failed = shop.run("step", "build", "unit", "s3", unit, "-o", "json", "--", "false", key="ci-build").result

    again = shop.run(
        "step", "build", "unit", "s3", unit, "-o", "json", "--", "touch", "reports/s3.xml", key="ci-build"
    ).result

    assert failed["record"] in again["supersedes"]
    assert shop.run("plan", "test", "s3").code == 0


def test_failed_tests_in_a_report_are_a_failed_step(shop: Shop) -> None:
    _entered(shop, "s4")
    report = shop.write(
        "reports/s4.xml", '<testsuite tests="1" failures="1"><testcase name="a"><failure/></testcase></testsuite>'
    )

    ended = shop.run("step", "build", "unit", "s4", f"--report=junit={report}", "-o", "json", key="ci-build")

    assert (ended.code, ended.reasons) == (3, ["step-not-passed"])
    assert ended.result["reports"][0]["summary"]["failed"] == 1


def test_the_commands_words_reach_it_as_they_were_given(shop: Shop, tmp_path: Path) -> None:
    unit = _entered(shop, "s5")
    words = ["--key", "a b", "$HOME", "-o", "json", ";", ""]
    file = tmp_path / "words.json"
    program = f"import json, os, sys; os.utime('reports/s5.xml'); json.dump(sys.argv[1:], open({str(file)!r}, 'w'))"

    ended = shop.run("step", "build", "unit", "s5", unit, "--", sys.executable, "-c", program, *words, key="ci-build")

    assert ended.code == 0, ended.stderr
    assert json.loads(file.read_bytes()) == words


def test_what_a_command_prints_goes_to_stderr(shop: Shop) -> None:
    unit = _entered(shop, "s6")

    ended = shop.run(
        "step",
        "build",
        "unit",
        "s6",
        unit,
        "-o",
        "json",
        "--",
        "sh",
        "-c",
        "echo hello there; touch reports/s6.xml",
        key="ci-build",
    )

    assert ended.result["verdict"] == "passed"
    assert "hello there" in ended.stderr


def test_a_command_learns_the_image_and_never_what_could_sign(shop: Shop, tmp_path: Path) -> None:
    unit = _entered(shop, "s7")
    seen = tmp_path / "environment"
    secrets = {**dict.fromkeys(SECRETS, CANARY), "MINE": "kept"}
    script = (
        f"env > {shlex.quote(str(seen))}; cat /proc/$PPID/cmdline >> {shlex.quote(str(seen))}; touch reports/s7.xml"
    )

    # None of them is needed here; a CI job sets them for all its commands all the same.
    ended = shop.run("step", "build", "unit", "s7", unit, "--", "sh", "-c", script, key="ci-build", env=secrets)

    text = seen.read_text()
    assert ended.code == 0, ended.stderr
    assert CANARY not in text
    assert "MINE" not in text
    assert f"SAMEBITS_IMAGE={shop.registry}/dev/shop-api@sha256:" in text
    assert "SAMEBITS_STAGE=build\n" in text
    assert "SAMEBITS_STEP=unit\n" in text


def test_a_step_that_the_definition_gives_a_command_runs_no_other(shop: Shop, tmp_path: Path) -> None:
    shop.workshop.in_test("s8")
    touched = tmp_path / "touched"

    ended = shop.run("step", "test", "integration", "s8", "--", "touch", touched, key="ci-promote")

    assert (ended.code, ended.reasons) == (2, ["step-command-differs"])
    assert not touched.exists()


def test_a_command_that_is_not_there_is_refused(shop: Shop) -> None:
    unit = _entered(shop, "s9")

    ended = shop.run("step", "build", "unit", "s9", unit, "--", "no-such-program-at-all", key="ci-build")

    assert (ended.code, ended.reasons) == (2, ["step-command-missing"])
    assert _standing(shop, "s9") == "missing"


def test_a_command_does_not_run_when_the_step_could_not_be_recorded(shop: Shop, tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    ended = shop.run("step", "build", "unit", "ready", "--", "touch", touched, key="ci-promote")

    assert ended.reasons == ["signer-not-for-stage"]
    assert not touched.exists()


@pytest.mark.parametrize("report", ["--report=surefire=x.xml", "--report=junit"])
def test_a_report_of_an_unknown_format_is_refused_before_anything_runs(shop: Shop, tmp_path: Path, report: str) -> None:
    touched = tmp_path / "touched"

    ended = shop.run("step", "build", "unit", "ready", report, "--", "touch", touched, key="ci-build")

    assert (ended.code, ended.reasons) == (2, ["format-unknown"])
    assert not touched.exists()


def test_a_report_that_is_not_there_is_refused(shop: Shop) -> None:
    ended = shop.run("step", "build", "unit", "ready", "--report=junit=nowhere.xml", key="ci-build")

    assert (ended.code, ended.reasons) == (2, ["file-unreadable"])


def test_a_step_without_the_report_that_it_asks_for_is_not_recorded(shop: Shop) -> None:
    _entered(shop, "s13")

    ended = shop.run("step", "build", "unit", "s13", key="ci-build")

    assert (ended.code, ended.reasons) == (2, ["report-missing"])
    assert _standing(shop, "s13") == "missing"


@pytest.mark.parametrize("content", [b"<testsuite", b"{}", b"<!DOCTYPE a [<!ENTITY b 'c'>]><testsuite>&b;</testsuite>"])
def test_a_report_that_can_not_be_read_is_not_recorded(shop: Shop, content: bytes) -> None:
    _entered(shop, "s14")
    report = shop.write("reports/s14.xml", content)

    ended = shop.run("step", "build", "unit", "s14", f"--report=junit={report}", key="ci-build")

    assert (ended.code, ended.reasons) == (3, ["evidence-malformed"])
    assert _standing(shop, "s14") == "missing"


def test_a_step_on_the_source_is_kept_in_a_folder_and_attached_to_the_image_built_from_it(
    shop: Shop, tmp_path: Path
) -> None:
    own = shop.twin(tmp_path / "own")
    text = (own.folder / "samebits.yaml").read_text()
    unit = "      - {name: unit, by: [ci-build], evidence: junit}"
    run = "run: 'cp $FINDINGS {commit}.json', env: [FINDINGS]"
    sast = f"      - {{name: sast, by: [scanner], evidence: sarif, on: source, {run}}}"
    own.write("samebits.yaml", re.sub(f"{re.escape(unit)}.*", f"{unit}\n{sast}", text))
    own.write("samebits.yaml.sigstore.jsonl", "")
    assert own.run("definition", "sign", key="owner").code == 0
    image = own.built("src")
    own.workshop.admit("build", f"oci:{own.folder / 'image'}:src", "ci-build")
    findings = own.write("findings.json", sarif(commit=COMMIT))
    words = ("step", "build", "sast", f"git:{COMMIT}", f"--report=sarif={COMMIT}.json", "--into", "kept", "-o", "json")

    done = own.run(*words, key="scanner", env={"FINDINGS": str(findings)})
    early = own.run("step", "build", "sast", "src", "--from", "kept")
    place = own.workshop.place("build")
    statement = Statement.about(image.digest, predicate_type=V1, predicate=slsa(commit=COMMIT))
    builder = KeySigner.from_pem((own.folder / "keys/ci-build.key").read_bytes())
    subject = place.registry.manifest(place.repository, image.digest).descriptor
    store.attach(place, subject, (builder.sign(statement),), created=now())
    brought = own.run("step", "build", "sast", "src", "--from", "kept", "-o", "json")
    story = own.run("audit", "src", "--stage", "build", "-o", "json").result

    assert (done.result["commit"], done.result["verdict"], done.result["admission"]) == (COMMIT, "passed", None)
    assert (early.code, early.reasons) == (3, ["attestation-missing"])
    assert (brought.code, brought.result["record"]) == (0, done.result["record"]), brought.stderr
    steps = {step["step"]: (step["result"], step["record"]) for step in story["stages"][0]["steps"]}
    assert steps["sast"] == ("passed", done.result["record"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("git:main", "--into", "kept"), "digest-malformed"),
        ((f"git:{'a' * 40}",), "step-subject-differs"),
        (("ready", "--into", "kept"), "step-subject-differs"),
        ((f"git:{'a' * 40}", "--into", "kept"), "step-subject-differs"),
        (("ready", "--from", "kept", "--into", "kept"), "usage"),
        (("ready", "--produces", "file"), "step-command-missing"),
        (("ready", "--in-image"), "step-command-missing"),
        (("ready", "--in-image", "--produces", "file", "--", "true"), "usage"),
    ],
)
def test_what_does_not_go_together_is_refused(shop: Shop, words: tuple[str, ...], code: str) -> None:
    report = shop.write("reports/x.xml", '<testsuite tests="1"><testcase name="a"/></testsuite>')
    ended = shop.run("step", "build", "unit", f"--report=junit={report}", *words, key="ci-build")

    assert ended.reasons == [code]


def test_a_step_that_must_make_a_file_is_none_without_a_command(shop: Shop, tmp_path: Path) -> None:
    own = shop.twin(tmp_path / "own")
    text = (own.folder / "samebits.yaml").read_text()
    own.write("samebits.yaml", text.replace("evidence: junit}", "evidence: junit, produces: [made.bin]}"))
    own.write("samebits.yaml.sigstore.jsonl", "")
    assert own.run("definition", "sign", key="owner").code == 0
    own.built("must")
    own.workshop.admit("build", f"oci:{own.folder / 'image'}:must", "ci-build")
    report = own.write("x.xml", '<testsuite tests="1"><testcase name="a"/></testsuite>')

    ended = own.run("step", "build", "unit", "must", f"--report=junit={report}", key="ci-build")

    assert ended.reasons == ["step-command-missing"]


def test_the_files_that_a_command_must_make_are_recorded_or_the_step_fails(shop: Shop) -> None:
    unit = _entered(shop, "s20")
    words = ("step", "build", "unit", "s20", unit, "--produces", "made.bin", "-o", "json", "--")

    absent = shop.run(*words, "true", key="ci-build")
    shop.write("made.bin", "of an earlier run")
    stale = shop.run(*words, "touch", "reports/s20.xml", key="ci-build")
    made = shop.run(*words, "sh", "-c", "echo made > made.bin; touch reports/s20.xml", key="ci-build")

    assert (absent.code, absent.result["verdict"]) == (3, "failed")
    assert "it did not make 'made.bin'" in absent.stderr
    assert (stale.code, stale.result["verdict"]) == (3, "failed")
    assert made.code == 0
    assert set(made.result["supersedes"]) == {absent.result["record"], stale.result["record"]}


def test_the_time_that_a_command_takes_is_no_part_of_the_runs_own(shop: Shop) -> None:
    unit = _entered(shop, "s21")
    words = ("step", "build", "unit", "s21", unit, "--deadline", "6s", "-o", "json")

    ended = shop.run(*words, "--", "sh", "-c", "sleep 6; touch reports/s21.xml", key="ci-build")

    assert (ended.code, ended.result["verdict"]) == (0, "passed"), ended.stderr


def _entered(shop: Shop, version: str) -> str:
    """Admit a version to build, unless it is there; returns the option for the report of `unit`."""
    image = shop.built(version)
    shop.workshop.admit("build", f"oci:{shop.folder / 'image'}:{version}", "ci-build")
    return shop.reports(image, version)[0]


def _standing(shop: Shop, version: str) -> str:
    """The result of the step `unit` of build, as an audit shows it."""
    story = shop.run("audit", version, "--stage", "build", "-o", "json").result
    results = {step["step"]: step["result"] for step in story["stages"][0]["steps"]}
    return str(results["unit"])
