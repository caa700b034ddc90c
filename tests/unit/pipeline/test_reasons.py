"""Every code that can be printed has exactly one row, with an exit code that is right and words that help."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.reasons import REASONS, exit_code

ROOT = Path(__file__).parents[3]
PACKAGES = ("pipeline", "stages", "attestations", "registries")
CODE = re.compile(r"[a-z]+(?:-[a-z]+)+")

# All codes of the threat catalogue. They are part of the interface: none is ever renamed or dropped.
CATALOGUE = """
    address-not-allowed admission-malformed admission-timeout algorithm-not-allowed approval-mismatch approval-stale
    attestation-missing attestation-not-visible attestation-too-old audit-incomplete break-glass-expired
    certificate-expired chain-branched chain-untrusted checkpoint-invalid clock-skew config-not-named
    content-encoding-refused control-characters credentials-missing cross-origin-credentials cross-origin-upload
    deadline-exceeded destination-altered destination-incomplete digest-changed digest-malformed digest-mismatch
    duplicate-request evidence-empty evidence-malformed evidence-too-old field-unknown foreign-layer-refused gate-error
    identity-mismatch internal-error issuer-mismatch json-ambiguous key-material-mismatch key-not-valid-at-time
    key-revoked limit-exceeded local-storage-failed log-entry-invalid log-entry-mismatch manifest-unsupported
    media-type-confusion name-unsafe oidc-flow-invalid payload-encoding payload-malformed payload-type-mismatch
    pipeline-changed pipeline-mismatch policy-key-unknown policy-too-wide predecessor-changed predecessor-missing
    predicate-incomplete predicate-type-mismatch promotion-incomplete provenance-mismatch reference-malformed
    referrer-descriptor-mismatch referrer-subject-mismatch referrers-incomplete registry-not-allowed
    registry-unavailable repository-mismatch request-expired request-malformed request-unanswered request-untrusted
    rollback-refused run-interrupted run-mismatch scanner-failed secret-in-output self-approval signature-count
    signature-invalid signer-not-for-stage size-limit size-mismatch stage-skipped statement-version subject-count
    subject-mismatch subject-name-mismatch tag-conflict tag-not-allowed threshold-not-met time-unproven
    timestamp-untrusted tls-downgrade tls-invalid token-realm-refused token-scope-too-wide too-many-referrers
    trust-root-mismatch verdict-stale vex-untrusted waiver-invalid write-in-dry-run
"""
THREATS = CATALOGUE.split()


def sources() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def families(trees: dict[Path, ast.Module]) -> set[str]:
    """`Reason`, `Refusal` and every class below it, whatever module it is in."""
    found = {"Reason", "Refusal"}
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while more := {c.name for c in classes if {getattr(b, "id", "") for b in c.bases} & found} - found:
        found |= more
    return found


def words(node: ast.expr | None) -> Iterator[str]:
    """The texts that an expression can be: itself, or either side of a condition."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp():
            yield from (*words(node.body), *words(node.orelse))
        case _:
            pass


def raised() -> dict[str, str]:
    """Code -> where, for every code that a refusal or reason is built with."""
    trees = sources()
    names = families(trees)
    found: dict[str, str] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            codes: list[str] = []
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in names and node.args:
                    codes += words(node.args[0])
                case ast.keyword(arg="code" | "malformed"):
                    codes += words(node.value)
                case ast.Assign(targets=[ast.Name(id="code")]):
                    codes += words(node.value)
                case ast.arguments():
                    defaults = zip(node.kwonlyargs, node.kw_defaults, strict=True)
                    codes += [word for argument, value in defaults if argument.arg == "code" for word in words(value)]
                case _:
                    pass
            found.update({code: f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}" for code in codes if code})
    return found


def test_every_code_in_the_source_has_a_row() -> None:
    found = raised()
    assert len(found) > 80, "the collector sees too little to be right"
    assert {code: where for code, where in found.items() if code not in REASONS} == {}


def test_every_code_of_the_threat_catalogue_has_a_row() -> None:
    assert len(THREATS) == 105
    assert sorted(set(THREATS) - set(REASONS)) == []


def test_no_code_has_two_rows() -> None:
    tree = ast.parse((ROOT / "pipeline/reasons.py").read_text())
    tables = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    keys = [key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)]
    assert sorted(map(str, keys)) == sorted(REASONS)


@pytest.mark.parametrize("code", REASONS)
def test_a_row_is_a_code_with_a_title_and_a_sentence_or_two_that_help(code: str) -> None:
    row = REASONS[code]
    assert CODE.fullmatch(code) or code == "usage"
    assert row.exit_code != 0
    assert row.title.endswith(".")
    assert 10 < len(row.title) < 100
    assert 10 < len(row.advice) < 200
    assert row.title != row.advice


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("digest-mismatch", 5),
        ("signature-invalid", 5),
        ("signer-not-for-stage", 5),
        ("predecessor-missing", 5),
        ("pipeline-changed", 5),
        ("definition-unsigned", 5),
        ("write-in-dry-run", 5),
        ("credentials-missing", 4),
        ("image-not-found", 6),
        ("registry-unavailable", 7),
        ("tag-conflict", 7),
        ("destination-altered", 5),
        ("destination-incomplete", 7),
        ("audit-incomplete", 7),
        ("vulnerability-found", 3),
        ("gate-error", 3),
        ("approval-missing", 8),
        ("definition-invalid", 2),
        ("policy-key-unknown", 2),
        ("run-interrupted", 130),
        ("internal-error", 1),
    ],
)
def test_a_code_ends_the_run_as_the_design_says(code: str, expected: int) -> None:
    assert exit_code([code]) == expected


def test_of_several_reasons_the_one_that_must_never_be_retried_decides() -> None:
    codes = ["approval-missing", "tests-failed", "registry-unavailable", "image-not-found", "access-denied"]
    expected = [8, 3, 7, 6, 4]
    for count in range(1, len(codes) + 1):
        assert exit_code(codes[:count]) == expected[count - 1]
        assert exit_code([*reversed(codes[:count]), "internal-error", "usage"]) == expected[count - 1]
    assert exit_code([*codes, "digest-mismatch"]) == 5


def test_a_code_that_nobody_knows_is_a_bug_and_never_a_success() -> None:
    assert exit_code(["no-such-code"]) == 1
    assert exit_code([]) == 1
    assert exit_code(["no-such-code", "digest-mismatch"]) == 5
