"""A definition is read with every fault at its place, and believed only with its owners' signatures."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestations.bundle import Bundle
from attestations.errors import AttestationError
from attestations.identity import KeyIdentity, KeylessIdentity
from attestations.keys import KeyKind, load_public_key, new_key
from attestations.records.definition import DEFINITION
from attestations.records.definition import definition_statement as statement_of
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from pipeline.anchors import Anchors, Revocations
from pipeline.anchors import read as read_anchors
from pipeline.definition import (
    Definition,
    Pipeline,
    definition_statement,
    read,
    read_signatures,
    trust,
    with_signature,
)
from pipeline.schema import STAGES, STEPS
from pipeline.yaml_nodes import DefinitionError
from registries.digest import Digest
from registries.errors import ContentError, Refusal, UsageError
from registries.strict_json import dumps
from stages.finding import Severity
from stages.gates.provenance import BuildProvenance
from stages.gates.sast import StaticAnalysis
from stages.gates.tests import PassingTests
from stages.gates.vulnerabilities import Vulnerabilities
from stages.reports import REPORTS
from stages.source import Repository

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAMES = ("alice", "bob", "carol", "ci-promote", "office", "scanner", "stranger", "vault")
PAIRS: Mapping[str, tuple[bytes, bytes]] = {name: new_key(KeyKind.ED25519) for name in NAMES}

TEXT = """\
samebits: 1
pipeline: shop-api
version: 2
previous: sha256:{previous}
image: shop/api
owners: {{threshold: 2, signers: [alice, bob, carol]}}
signers:
  alice: {{key: keys/alice.pub, valid: {{from: 2026-01-01, until: 2027-01-01}}}}
  bob: {{key: keys/bob.pub}}
  carol: {{key: keys/carol.pub}}
  ci-build: {{issuer: https://issuer.example, subject: https://ci.example/build@refs/heads/main}}
  ci-promote: {{key: keys/ci-promote.pub}}
  scanner: {{key: keys/scanner.pub}}
  vault: {{key: keys/vault.pub, kms: "gcpkms://projects/p/key"}}
stages:
  - name: build
    registry: registry.example/dev
    admit: [ci-build]
    steps:
      - {{name: unit, by: [ci-build, ci-promote], evidence: junit}}
      - {{name: scan, by: [scanner], evidence: grype, run: "grype {{image}} -o json"}}
  - name: test
    after: [build]
    registry: [registry.example/test, mirror.example:5000]
    admit: [ci-promote]
    gates:
      vulnerabilities: {{none-at-or-above: medium, max-age: 24h, by: [scanner]}}
      tests: {{steps: [unit]}}
    steps:
      - {{name: load, by: [ci-promote], run: "make load IMAGE={{image}}"}}
  - name: canary
    after: [test]
    registry: registry.example/canary
    admit: [ci-promote]
    gates: {{}}
  - name: prod
    after: {{any-of: [test, canary]}}
    registry: registry.example/prod
    admit: [ci-promote]
    gates: {{}}
    tags: ["{{source_tag}}", "v{{source_tag}}", stable]
""".format(previous="a" * 64)

TRUST = """\
samebits-trust: 1
pipeline: shop-api
owners: {threshold: 2, signers: [alice, bob, carol]}
signers:
  alice: {key: keys/alice.pub}
  bob: {key: keys/bob.pub}
  carol: {key: keys/carol.pub}
registries: [registry.example, "mirror.example:5000"]
"""


def key_file(path: str) -> bytes:
    name = path.removeprefix("keys/").removesuffix(".pub")
    if name not in PAIRS:
        raise UsageError("file-unreadable", "can't be read: No such file or directory", where=path)
    return PAIRS[name][1]


def reading(text: str, read_file: Callable[[str], bytes] = key_file) -> Definition:
    return read(text.encode(), path="samebits.yaml", read_file=read_file)


def anchored(text: str = TRUST) -> Anchors:
    return read_anchors(text.encode(), path="trust.yaml", read_file=key_file)


def signed(definition: Definition, *names: str) -> tuple[Bundle, ...]:
    return tuple(KeySigner.from_pem(PAIRS[name][0]).sign(definition_statement(definition)) for name in names)


def with_bob(content: bytes) -> Callable[[str], bytes]:
    return lambda path: content if path == "keys/bob.pub" else key_file(path)


def refused(text: str) -> list[tuple[str, str, str, str]]:
    with pytest.raises(DefinitionError) as error:
        reading(text)
    return [(reason.where, reason.code, reason.message, reason.hint) for reason in error.value.reasons]


def bent(*changes: tuple[str, str]) -> tuple[str, list[str]]:
    """The definition with these texts replaced, and the places that `§` marks in it."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    places: list[str] = []
    while "§" in text:
        before, _, after = text.partition("§")
        places.append(f"samebits.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}")
        text = before + after
    return text, places


# reading


def test_a_definition_says_everything_that_a_promotion_needs() -> None:
    definition = reading(TEXT)
    assert definition.content == TEXT.encode()
    assert definition.digest == Digest.of(TEXT.encode())
    assert (definition.pipeline, definition.version, definition.image) == ("shop-api", 2, "shop/api")
    assert definition.previous == Digest("sha256", "a" * 64)
    assert [owner.name for owner in definition.owners.signers] == ["alice", "bob", "carol"]
    assert definition.owners.threshold == 2
    assert definition.materials == tuple(
        (f"keys/{name}.pub", Digest.of(PAIRS[name][1]))
        for name in ("alice", "bob", "carol", "ci-promote", "scanner", "vault")
    )
    alice, *_ = definition.signers
    assert isinstance(alice, KeyIdentity)
    assert alice.public_key == load_public_key(PAIRS["alice"][1])
    assert (alice.valid.start, alice.valid.end) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (
        KeylessIdentity(
            name="ci-build", issuer="https://issuer.example", subject="https://ci.example/build@refs/heads/main"
        )
        in definition.signers
    )
    assert definition.signers[-1] == KeyIdentity(name="vault", public_key=load_public_key(PAIRS["vault"][1]))


@pytest.mark.parametrize(
    ("written", "start", "end"),
    [
        ("{from: 2026-01-01}", datetime(2026, 1, 1, tzinfo=UTC), None),
        ("{until: 2027-01-01T08:00:00+01:00}", None, datetime(2027, 1, 1, 7, tzinfo=UTC)),
        ("{}", None, None),
    ],
)
def test_a_signer_s_period_may_be_open(written: str, start: datetime | None, end: datetime | None) -> None:
    text = bent(("{from: 2026-01-01, until: 2027-01-01}", written))[0]
    valid = reading(text).signers[0].valid
    assert (valid.start, valid.end) == (start, end)


def test_a_stage_says_where_after_what_by_whom_and_under_which_gates() -> None:
    build, test, canary, prod = reading(TEXT).stages
    assert build.is_entry
    assert build.places == ("registry.example/dev",)
    assert build.gates == ()
    assert build.tags == ("{source_tag}",)
    assert (test.after, test.any_of) == (("build",), False)
    assert test.places == ("registry.example/test", "mirror.example:5000")
    assert [signer.name for signer in test.admit.signers] == ["ci-promote"]
    assert [name for name, _ in test.gates] == ["vulnerabilities", "tests"], "in the order written"
    vulnerabilities, tests = (gate for _, gate in test.gates)
    assert isinstance(vulnerabilities, Vulnerabilities)
    assert vulnerabilities.none_at_or_above is Severity.MEDIUM
    assert vulnerabilities.max_age.timedelta == timedelta(hours=24)
    assert vulnerabilities.by == ("scanner",)
    assert tests == PassingTests(steps=("unit",))
    assert (canary.after, canary.any_of, canary.gates) == (("test",), False, ())
    assert (prod.after, prod.any_of) == (("test", "canary"), True)
    assert prod.tags == ("{source_tag}", "v{source_tag}", "stable")


def test_a_step_says_by_whom_and_how_it_is_done() -> None:
    unit, scan = reading(TEXT).stages[0].steps
    assert (unit.name, unit.run, unit.evidence) == ("unit", None, "junit")
    assert [signer.name for signer in unit.by.signers] == ["ci-build", "ci-promote"]
    assert (scan.run, scan.evidence) == ("grype {image} -o json", "grype")
    spec = {"evidence": "junit", "name": "unit", "stage": "build"}
    assert unit.spec == Digest.of(dumps(spec))


def test_the_spec_of_a_step_is_what_it_says_and_not_how_it_is_written() -> None:
    before = reading(TEXT).stages[0].steps[0].spec
    other_form = bent(
        (
            "      - {name: unit, by: [ci-build, ci-promote], evidence: junit}\n",
            "      - evidence: 'junit'\n        by: [ci-promote, ci-build]\n        name: unit\n",
        )
    )[0]
    assert reading(other_form).stages[0].steps[0].spec == before
    line = "{name: unit, by: [ci-build, ci-promote], evidence: junit}"
    for old, new in (
        ("unit,", "units,"),
        ("junit", "sarif"),
        ("evidence: junit", "run: make"),
        ("junit}", "junit, env: [CI]}"),
        ("junit}", "junit, timeout: 10m}"),
        ("junit}", "junit, produces: [app.bin]}"),
        ("junit}", "junit, exit-codes: [1]}"),
        ("junit}", "junit, in-image: {}}"),
        ("junit}", "junit, in-image: {network: true}}"),
        ("junit}", "junit, on: source}"),
        ("evidence: junit", 'attested: "https://example.com/review/v1"'),
    ):
        changed = bent((line, line.replace(old, new)), ("tests: {steps: [unit]}", "tests: {}"))[0]
        assert reading(changed).stages[0].steps[0].spec != before, new


def test_who_may_record_a_step_is_no_part_of_what_it_is() -> None:
    line = "{name: unit, by: [ci-build, ci-promote], evidence: junit}"
    unit, changed = (
        reading(text).stages[0].steps[0]
        for text in (TEXT, bent((line, line.replace("[ci-build, ci-promote]", "[ci-build]")))[0])
    )
    assert unit.spec == changed.spec
    assert [signer.name for signer in changed.by.signers] == ["ci-build"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ('attested: "https://example.com/review/v1", run: make', "neither run nor recorded here"),
        ('attested: "https://example.com/review/v1", evidence: junit', "neither run nor recorded here"),
        ('attested: "https://example.com/review/v1", on: source', "neither run nor recorded here"),
        ('attested: "https://samebits.dev/attestation/step/v1"', "samebits writes that itself"),
        ('attested: "https://slsa.dev/verification_summary/v1"', "samebits writes that itself"),
        ('attested: "review"', "the URI of a predicate type"),
        ("evidence: junit, on: source, in-image: {}", "there is no image yet"),
        ("evidence: junit, builders: [ci-build]", "only a step with `on: source`"),
        ("evidence: junit, on: source, builders: [nobody]", "there is no signer `nobody`"),
        ("run: make, exit-codes: [1]", "only beside a report"),
        ("run: make, env: [SAMEBITS_KEY]", "never handed on"),
        ("run: make, env: [COSIGN_PASSWORD]", "never handed on"),
        ("run: make, env: ['A=B']", "the name of an environment variable"),
        ("run: make, produces: [/etc/passwd]", "a file, relative to"),
        ("run: make, in-image: {}, produces: [app.bin]", "gone with its container"),
        ("run: make, timeout: 0s", "no length of time"),
    ],
)
def test_options_of_a_step_that_do_not_go_together_are_told(step: str, said: str) -> None:
    text = bent(
        ("{name: unit, by: [ci-build, ci-promote], evidence: junit}", f"{{name: unit, by: [ci-build], {step}}}")
    )[0]
    with pytest.raises(DefinitionError) as refused:
        reading(text)
    assert said in str(refused.value)


def test_only_the_entry_stage_has_steps_on_the_source() -> None:
    text = bent(("{name: load, by: [ci-promote], run:", "{name: load, by: [ci-promote], on: source, run:"))[0]
    with pytest.raises(DefinitionError, match="only the entry stage"):
        reading(text)


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_that_can_be_read_can_be_asked_for(name: str) -> None:
    step = reading(bent(("evidence: junit", f"evidence: {name}"))[0]).stages[0].steps[0]
    assert step.evidence == name


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ([("samebits: 1", "samebits: §2")], "`samebits` must be 1, not 2", ""),
        ([("pipeline: shop-api", "pipeline: §Shop API")], "must be lower-case letters", ""),
        ([("version: 2", "version: §0")], "whole number from 1", ""),
        ([("version: 2", "version: §'2'")], "whole number from 1", ""),
        ([("version: 2", "version: §2.0")], "whole number from 1", ""),
        ([(f"previous: sha256:{'a' * 64}\n", ""), ("version: 2", "version: §2")], "2 needs `previous`", "sha256sum"),
        ([("version: 2", "version: 1"), ("previous: ", "previous: §")], "version 1 replaces nothing", ""),
        ([(f"sha256:{'a' * 64}", f"§sha512:{'a' * 128}")], "by their sha256", ""),
        ([(f"sha256:{'a' * 64}", "§sha256:abc")], "64 lower-case", ""),
        ([("image: shop/api", "image: §Shop/Api")], "not a repository name", ""),
        ([("image: shop/api", "image: §shop/api:1.0")], "not a repository name", ""),
        ([("image: shop/api", "image: §../api")], "not a repository name", ""),
        ([("threshold: 2", "threshold: §4")], "the threshold is 4, and there are 3 owners", ""),
        ([("threshold: 2", "threshold: §0")], "whole number from 1", ""),
        ([("signers: [alice, bob, carol]", "signers: [alice, §bop, carol]")], "no signer `bop`", "did you mean `bob`?"),
        ([("signers: [alice, bob, carol]", "signers: [alice, bob, §alice]")], "names 'alice' twice", ""),
        ([("  carol: {key: keys/carol.pub}", "  §carol: {key: keys/bob.pub}")], "the same signer as `bob`", ""),
        ([("  bob: {key: keys/bob.pub}", "  bob: {key: §keys/nobody.pub}")], "keys/nobody.pub: can't be read", ""),
        ([("  bob: {key: keys/bob.pub}", "  bob: {§keys: keys/bob.pub}")], "unknown key 'keys'", "did you mean `key`?"),
        ([("until: 2027-01-01", "until: §2025-01-01")], "`until` is not later than `from`", ""),
        ([("until: 2027-01-01", "until: §2027-02-30")], "no time such as", ""),
        ([("until: 2027-01-01", "until: §tomorrow")], "no time such as", ""),
        ([("issuer: https://issuer.example", 'issuer: §"https://issuer.example\\n"')], "ASCII text without spaces", ""),
        ([("build@refs", "bu\u0456ld@refs"), ("subject: ", "subject: §")], "ASCII text without spaces", ""),
        ([('kms: "gcpkms://projects/p/key"', "kms: §projects/p")], "a URI such as awskms:", ""),
        ([("vault: {key: keys/vault.pub, kms", "vault: §{kms")], "`key` is missing", ""),
        ([("name: canary", "name: §test"), ("[test, canary]", "[test]")], "there is a stage `test` already", ""),
        ([("name: canary", "name: §Canary"), ("[test, canary]", "[test]")], "must be lower-case letters", ""),
        ([("    after: [build]\n", ""), ("  - name: test", "  - §name: test")], "both entry stages", "say which"),
        ([("after: [build]", "after: [§built]")], "no stage `built`", "did you mean `build`?"),
        ([("[test, canary]", "[test, §canry]")], "no stage `canry`", "did you mean `canary`?"),
        ([("after: [build]", "after: §[canary]")], "in a circle: test after canary after test", ""),
        ([("after: [build]", "after: §[build, prod]")], "in a circle: test after prod after canary after test", ""),
        ([("after: [build]", "after: §[test]")], "in a circle: test after test", ""),
        ([("after: [build]", "after: [build, §build]")], "names 'build' twice", ""),
        ([("after: [build]", "after: §[]")], "`after` is an empty list", ""),
        ([("after: [build]", "after: §build")], "must be a list or a mapping with any-of", ""),
        ([("admit: [ci-build]", "admit: [§ci-bulid]")], "no signer `ci-bulid`", "did you mean `ci-build`?"),
        ([("admit: [ci-build]", "admit: §[]")], "`admit` is an empty list", ""),
        ([("registry: registry.example/dev", "registry: §registry/dev")], "has no dot and no port", ""),
        ([("registry: registry.example/dev", "registry: §https://registry.example/dev")], "not a registry host", ""),
        ([("registry: registry.example/dev", "registry: §registry.example/Dev")], "not a repository name", ""),
        ([("registry: registry.example/dev", "registry: §registry.example/")], "not a repository name", ""),
        ([("registry: registry.example/dev", "registry: §registry.example:99999/dev")], "not a port", ""),
        ([("registry: registry.example/dev", f"registry: §registry.example/{'d' * 250}")], "255 characters", ""),
        ([("mirror.example:5000]", "§mirror:x]")], "not a registry host", ""),
        ([("registry.example/canary", "§registry.example/test")], "is the place of `test` already", ""),
        ([("registry.example/canary", "§REGISTRY.example/test")], "is the place of `test` already", ""),
        ([("mirror.example:5000]", "§registry.example/test]")], "names 'registry.example/test' twice", ""),
        ([("mirror.example:5000]", "§Registry.Example/test]")], "is the place of `test` already", ""),
        ([("name: scan, by", "name: §unit, by")], "there is a step `unit` already", ""),
        ([("by: [scanner], evidence: grype", "by: [§scaner], evidence: grype")], "no signer", "`scanner`?"),
        ([("{name: unit, by: [ci-build, ci-promote], evidence: junit}", "§{name: unit, by: [ci-build]}"),
          ("tests: {steps: [unit]}", "tests: {}")], "neither `run` nor `evidence`", "write `run:"),
        ([("evidence: junit", "evidence: §jnit")], "`evidence` must be one of clamav,", "did you mean `junit`?"),
        ([('run: "grype {image}', 'run: §"grype {imgae}')], "{imgae} is no placeholder", "write {image}"),
        ([('run: "grype {image}', 'run: §"grype {image} {tag}')], "{tag} is no placeholder", "write {image}"),
        ([('run: "grype {image}', 'run: §"grype ${image}')], "neither by the shell nor here", "write {image}"),
        ([("stable]", "§'st{able']")], "is not a tag", ""),
        ([("stable]", "§-stable]")], "is not a tag", ""),
        ([("stable]", '§"{tag}"]')], "{tag} is no placeholder of a tag", ""),
        ([("stable]", '§"v{source_tag}"]')], "names 'v{source_tag}' twice", ""),
        ([("stable]", "§1]")], "`tags` must be text, not 1", 'write it in quotes: "1"'),
        ([("    gates:\n      vulnerabilities: {none-at-or-above: medium, max-age: 24h, by: [scanner]}\n"
           "      tests: {steps: [unit]}\n", ""), ("  - name: test", "  - §name: test")], "no gates", "`gates: {}`"),
        ([("by: [scanner]}\n", "by: [§scaner]}\n")], "no signer `scaner`", "did you mean `scanner`?"),
        ([("steps: [unit]", "steps: [§unti]")], "no stage before has a step `unti`", "did you mean `unit`?"),
        ([("steps: [unit]", "steps: [§load]")], "no stage before has a step `load`", "known: unit, scan"),
        ([("tests: {steps", "tests: §{min-tests: 0, steps")], "no test at all shows nothing", ""),
        ([("tests: {steps: [unit]}", "tests:§")], "`tests` must be a mapping with its options, not nothing", ""),
        ([("none-at-or-above: medium", "none-at-or-above: §meduim")], "one of unknown, critical", "`medium`"),
        ([("max-age: 24h", "max-age: §24")], "no length of time", ""),
        ([("max-age: 24h", "max-age: §1 day")], "no length of time", ""),
    ],
)  # fmt: skip
def test_a_fault_is_told_at_its_place(changes: list[tuple[str, str]], message: str, hint: str) -> None:
    text, (place,) = bent(*changes)
    ((where, code, found, found_hint),) = refused(text)
    assert where == place
    assert code in ("definition-invalid", "policy-key-unknown", "file-unreadable")
    assert message in found
    assert hint in found_hint
    assert bool(hint) == bool(found_hint)


def test_a_fault_has_the_very_line_and_column_that_an_editor_shows() -> None:
    assert refused(TEXT.replace("admit: [ci-build]", "admit: [x]"))[0][0] == "samebits.yaml:18:13"
    found = refused(TEXT.replace("none-at-or-above: medium", "none-at-or-abov: medium"))
    assert [(where, code) for where, code, *_ in found] == [
        ("samebits.yaml:27:24", "definition-invalid"),
        ("samebits.yaml:27:25", "policy-key-unknown"),
    ]


def test_all_faults_are_told_at_once() -> None:
    text, places = bent(
        ("image: shop/api", "image: §Shop"),
        ("threshold: 2", "threshold: §4"),
        ("after: [build]", "after: [§built]"),
        ("mirror.example:5000]", "§mirror]"),
        ("by: [scanner]}\n", "by: [§scaner]}\n"),
        ('run: "make load IMAGE={image}"', 'run: §"make load IMAGE={img}"'),
        ("stable]", "§'a b']"),
    )
    assert [where for where, *_ in refused(text)] == places


@pytest.mark.parametrize(
    "name",
    ["../alice.pub", "keys/../../alice.pub", "/etc/alice.pub", "keys//a", "./a", ".", "..", "a\\b", "a/", "~/a", "a b"],
)
def test_t046_a_key_file_lies_beside_or_below_the_definition(name: str) -> None:
    text, (place,) = bent(("  bob: {key: keys/bob.pub}", f"  bob: {{key: §'{name}'}}"))
    asked: list[str] = []

    def key_file_seen(path: str) -> bytes:
        asked.append(path)
        return key_file(path)

    with pytest.raises(DefinitionError) as error:
        reading(text, key_file_seen)
    assert [(reason.code, reason.where) for reason in error.value.reasons] == [("name-unsafe", place)]
    assert name not in asked


def test_an_identity_is_never_a_pattern() -> None:
    text, (place,) = bent(("subject: https://ci.example/build@refs/heads/main", "subject: §https://ci.example/build@*"))
    assert [(where, code) for where, code, *_ in refused(text)] == [(place, "policy-too-wide")]


@pytest.mark.parametrize("subject", ["https://github.com/acme/shop/.github/workflows/x.yml@refs/pull/7/merge"])
def test_t040_a_pull_request_is_nobody(subject: str) -> None:
    text, (place,) = bent(("subject: https://ci.example/build@refs/heads/main", f"subject: §{subject}"))
    assert [(where, code) for where, code, *_ in refused(text)] == [(place, "policy-too-wide")]


_WORKFLOW = "https://github.com/acme/shop/.github/workflows/x.yml"


@pytest.mark.parametrize(
    ("pattern", "admits", "code"),
    [
        (f"{_WORKFLOW}@refs/tags/v*", "prod", None),
        (f"{_WORKFLOW}@refs/heads/release/*", "prod", "policy-too-wide"),
        (f"{_WORKFLOW}@refs/heads/release/*", "build", None),
        (f"{_WORKFLOW}@refs/heads/.*", "build", "policy-too-wide"),
    ],
)
def test_t040_a_last_stage_is_not_for_whoever_pushes_a_branch(pattern: str, admits: str, code: str | None) -> None:
    signer = f'  many: {{issuer: https://issuer.example, subject-pattern: "{pattern}"}}\nstages:\n'
    text = TEXT.replace("stages:\n", signer, 1)
    at = text.index(f"name: {admits}\n")
    text = text[:at] + re.sub(r"admit: \[[^\]]*\]", "admit: [many]", text[at:], count=1)
    if code is None:
        assert reading(text).signers[-1].name == "many"
    else:
        assert {found for _, found, *_ in refused(text)} == {code}


@pytest.mark.parametrize(
    ("other", "refuses"),
    [
        (f'subject-pattern: "{_WORKFLOW}@refs/tags/rel-*"', True),
        (f'subject-pattern: "{_WORKFLOW}@refs/heads/release/*"', False),
        (f"subject: {_WORKFLOW}@refs/tags/v1", True),
        (f"subject: {_WORKFLOW}@refs/tags/x1", False),
    ],
)
def test_t100_one_workflow_is_not_two_signers(other: str, *, refuses: bool) -> None:
    issuer = "issuer: https://issuer.example"
    pattern = f'  many: {{{issuer}, subject-pattern: "{_WORKFLOW}@refs/tags/v*"}}\n'
    text = TEXT.replace("stages:\n", f"{pattern}  other: {{{issuer}, {other}}}\nstages:\n", 1)
    if refuses:
        assert {code for _, code, *_ in refused(text)} == {"policy-too-wide"}
    else:
        assert len(reading(text).signers) == len(reading(TEXT).signers) + 2


@pytest.mark.parametrize(
    "rule", ["gates: {approvals: {from: [alice, many]}}", "break-glass: {from: [alice, many]}\n    gates: {}"]
)
def test_t100_a_pattern_is_nobody_who_approves(rule: str) -> None:
    pattern = f'  many: {{issuer: https://issuer.example, subject-pattern: "{_WORKFLOW}@refs/tags/v*"}}\nstages:\n'
    head, prod, tail = TEXT.replace("stages:\n", pattern, 1).partition("  - name: prod\n")
    tail = re.sub(r"    gates:[^\n]*\n(?:      [^\n]*\n)*", f"    {rule}\n", tail, count=1)
    assert {code for _, code, *_ in refused(head + prod + tail)} == {"policy-too-wide"}


def test_claims_are_named_by_what_fulcio_says() -> None:
    claims = "claims: {source-repository-uri: https://github.com/acme/shop, runner-environment: github-hosted}"
    text, _ = bent(("build@refs/heads/main}", f"build@refs/heads/main, §{claims}}}"))
    (ci,) = [one for one in reading(text).signers if isinstance(one, KeylessIdentity)]
    assert dict(ci.claims)["runner-environment"] == "github-hosted"
    text, (place,) = bent(("build@refs/heads/main}", "build@refs/heads/main, claims: {§repository: x}}"))
    assert [where for where, *_ in refused(text)] == [place]


def test_one_identity_has_one_name() -> None:
    twin = "  ci-other: {issuer: https://issuer.example, subject: https://ci.example/build@refs/heads/main}\n"
    text, (place,) = bent(("  ci-promote: {key", f"  §{twin.strip()}\n  ci-promote: {{key"))
    assert [where for where, *_ in refused(text)] == [place]
    text, (place,) = bent(("stages:\n", '  §safe: {key: keys/vault.pub, kms: "awskms:///1"}\nstages:\n'))
    assert [where for where, *_ in refused(text)] == [place]


def test_a_key_file_that_is_no_key_is_told_where_it_is_named() -> None:
    text, (place,) = bent(("  bob: {key: keys/bob.pub}", "  bob: {key: §keys/bob.pub}"))
    for content, code in ((b"hello", "key-malformed"), (PAIRS["bob"][1] * 2, "key-malformed")):
        with pytest.raises(DefinitionError) as error:
            reading(text, with_bob(content))
        assert [(reason.code, reason.where) for reason in error.value.reasons] == [(code, place)]


def long(stages: int, steps: int) -> str:
    """A pipeline with so many stages in a row, and so many steps in the first one."""
    head = (
        TEXT[: TEXT.index("stages:")].replace(f"previous: sha256:{'a' * 64}\n", "").replace("version: 2", "version: 1")
    )
    rows = [f"      - {{name: s{n}, by: [scanner], run: x}}" for n in range(steps)]
    first = "\n".join(["stages:", "  - {name: n0, registry: r.example/0, admit: [scanner], steps: [", *rows])
    first = first.replace("      - {", "      {").replace("x}", "x},") + "]}\n"
    more = "".join(
        f"  - {{name: n{n}, after: [n{n - 1}], registry: r.example/{n}, admit: [scanner], gates: {{}}}}\n"
        for n in range(1, stages)
    )
    return head + first + more


def test_stages_and_steps_are_read_to_the_limit_and_not_beyond() -> None:
    definition = reading(long(STAGES, STEPS))
    assert (len(definition.stages), len(definition.stages[0].steps)) == (STAGES, STEPS)
    ((_, code, message, _),) = refused(long(STAGES + 1, 1))
    assert (code, message) == ("definition-invalid", f"`stages` has {STAGES + 1} items; at most {STAGES} are read")
    ((_, code, message, _),) = refused(long(1, STEPS + 1))
    assert (code, message) == ("definition-invalid", f"`steps` has {STEPS + 1} items; at most {STEPS} are read")


def test_a_single_stage_that_waits_for_nobody_known_is_told_once() -> None:
    text = long(2, 1).replace("after: [n0]", "after: [nobody]")
    assert [message for _, _, message, _ in refused(text)] == ["there is no stage `nobody`"]
    text = long(1, 1).replace("{name: n0,", "{name: n0, after: [n0], gates: {},")
    assert [message for _, _, message, _ in refused(text)] == ["stages wait for each other in a circle: n0 after n0"]
    text = long(1, 1).replace("{name: n0,", "{name: n0, after: [nobody], gates: {},")
    assert [message for _, _, message, _ in refused(text)] == ["there is no stage `nobody`"]


EXAMPLE = """\
samebits: 1
pipeline: shop-api
version: 7
previous: sha256:7777777777777777777777777777777777777777777777777777777777777777
image: shop/api
owners: {threshold: 2, signers: [alice, bob, carol]}
signers:
  ci-build: {issuer: https://token.actions.githubusercontent.com, subject: "https://github.com/acme/shop/.github/workflows/build.yml@refs/heads/main"}
  ci-promote: {issuer: https://issuer.example, subject: promote}
  scanner: {key: keys/scanner.pub}
  security-office: {key: keys/office.pub, kms: "gcpkms://projects/acme"}
  alice: {key: keys/alice.pub, valid: {from: 2026-01-01, until: 2027-01-01}}
  bob: {key: keys/bob.pub}
  carol: {key: keys/carol.pub}
stages:
  - name: build
    registry: registry.acme.example/dev
    admit: [ci-build]
    gates:
      provenance: {builder: x, source: github.com/acme/shop}
      sast: {max: none, at-or-above: medium, on: source}
    steps:
      - {name: sbom, by: [ci-build], evidence: cyclonedx}
  - name: test
    after: [build]
    registry: registry.acme.example/test
    admit: [ci-promote]
    gates:
      vulnerabilities: {none-at-or-above: medium, max-age: 24h, by: [scanner]}
      vulnerabilty: {none-at-or-above: medium, max-age: 24h}
    steps:
      - {name: integration, by: [ci-promote], run: "make integration IMAGE={image}"}
      - {name: load, by: [ci-promote], evidence: junit}
  - name: prod
    after: [test]
    registry: registry.acme.example/prod
    admit: [ci-promote]
    gates:
      tests: {}
    tags: ["{source_tag}", "stable"]
"""


def test_the_design_s_example_is_read_and_gates_that_do_not_exist_are_named() -> None:
    assert [(where, code, hint) for where, code, _, hint in refused(EXAMPLE)] == [
        ("samebits.yaml:30:7", "policy-key-unknown", "did you mean `vulnerabilities`?"),
    ]
    example = reading("\n".join(line for line in EXAMPLE.splitlines() if "vulnerabilty" not in line))
    assert [stage.name for stage in example.stages] == ["build", "test", "prod"]
    assert dict(example.stages[0].gates) == {
        "provenance": BuildProvenance(builder="x", source=Repository("github.com/acme/shop")),
        "sast": StaticAnalysis(at_or_above=Severity.MEDIUM),
    }


# believing


def pipeline_of(text: str = TEXT, *signers: str) -> Pipeline:
    definition = reading(text)
    return trust(definition, signed(definition, *(signers or ("alice", "bob"))), anchored(), NOW)


def distrusted(definition: Definition, signatures: tuple[Bundle, ...], anchors: Anchors) -> list[str]:
    with pytest.raises(AttestationError) as error:
        trust(definition, signatures, anchors, NOW)
    return [reason.code for reason in error.value.reasons]


def test_a_definition_that_enough_owners_signed_is_believed() -> None:
    definition = reading(TEXT)
    pipeline = trust(definition, signed(definition, "alice", "carol"), anchored(), NOW)
    assert pipeline.name == "shop-api"
    assert pipeline.definition is definition
    assert pipeline.lineage.current == definition.digest
    assert pipeline.lineage.version == 2
    assert pipeline.lineage.includes(Digest("sha256", "a" * 64))
    assert not pipeline.lineage.includes(Digest("sha256", "b" * 64))
    assert pipeline.identities == definition.signers


def test_a_definition_that_nobody_signed_is_not_believed() -> None:
    assert distrusted(reading(TEXT), (), anchored()) == ["definition-unsigned"]


def test_one_owner_is_not_two() -> None:
    definition = reading(TEXT)
    assert distrusted(definition, signed(definition, "alice"), anchored()) == ["threshold-not-met"]


def test_t009_an_owner_who_signs_twice_counts_once() -> None:
    definition = reading(TEXT)
    twice = signed(definition, "alice", "alice")
    assert distrusted(definition, twice, anchored()) == ["threshold-not-met"]


def test_two_names_of_one_key_in_what_is_pinned_count_once() -> None:
    definition, anchors = reading(TEXT), anchored()
    alice = anchors.owners.signers[0]
    assert isinstance(alice, KeyIdentity)
    twins = replace(anchors.owners, signers=(alice, replace(alice, name="alias")))
    assert distrusted(definition, signed(definition, "alice", "alice"), replace(anchors, owners=twins)) == [
        "threshold-not-met"
    ]


def test_t092_a_definition_that_was_changed_after_signing_is_not_believed() -> None:
    signatures = signed(reading(TEXT), "alice", "bob")
    changed = reading(TEXT.replace("none-at-or-above: medium", "none-at-or-above: critical"))
    with pytest.raises(AttestationError) as error:
        trust(changed, signatures, anchored(), NOW)
    (reason,) = error.value.reasons
    assert reason.code == "pipeline-changed"
    assert reason.where == "samebits.yaml"
    assert reason.hint.startswith("samebits definition sign")


def test_a_comment_is_a_change_too() -> None:
    signatures = signed(reading(TEXT), "alice", "bob")
    assert distrusted(reading(TEXT + "# harmless\n"), signatures, anchored()) == ["pipeline-changed"]


def test_a_key_file_that_was_changed_after_signing_is_named() -> None:
    signatures = signed(reading(TEXT), "alice", "bob")
    swapped = reading(TEXT, lambda path: PAIRS["stranger"][1] if "ci-promote" in path else key_file(path))
    with pytest.raises(AttestationError) as error:
        trust(swapped, signatures, anchored(), NOW)
    assert {reason.code for reason in error.value.reasons} == {"pipeline-changed"}
    assert "keys/ci-promote.pub" in str(error.value)
    assert "scanner" not in str(error.value)


def test_a_stranger_s_signature_is_told_as_such() -> None:
    definition = reading(TEXT)
    assert distrusted(definition, signed(definition, "stranger"), anchored()) == ["signer-unknown"]
    both = signed(definition, "alice", "stranger", "scanner")
    assert distrusted(definition, both, anchored()) == ["threshold-not-met", "signer-unknown", "signer-unknown"]


def test_a_stranger_s_signature_beside_good_ones_does_no_harm() -> None:
    assert pipeline_of(TEXT, "stranger", "alice", "bob").name == "shop-api"


def test_signatures_of_earlier_definitions_beside_good_ones_do_no_harm() -> None:
    definition, earlier = reading(TEXT), reading(TEXT + "# before\n")
    signatures = (*signed(earlier, "alice"), *signed(definition, "alice", "bob"))
    assert trust(definition, signatures, anchored(), NOW).lineage.current == definition.digest


def test_a_definition_vouches_for_what_it_replaced_as_far_as_enough_owners_signed() -> None:
    first = reading(re.sub(r"version: 2\nprevious: .*\n", "version: 1\n", TEXT))
    second = reading(re.sub(r"previous: .*", f"previous: {first.digest}", TEXT))
    third = reading(re.sub(r"version: 2\nprevious: .*", f"version: 3\nprevious: {second.digest}", TEXT))
    now = signed(third, "alice", "bob")
    known = trust(third, (*now, *signed(second, "bob", "carol")), anchored(), NOW).lineage
    assert known.ancestors == (second.digest, first.digest)
    for few in (signed(second, "bob"), signed(second, "bob", "bob"), signed(second, "bob", "scanner")):
        assert trust(third, (*now, *few), anchored(), NOW).lineage.ancestors == (second.digest,)
    revoking = anchored(TRUST + "revocations: {signers: {carol: 2026-01-01}}\n")
    assert trust(third, (*now, *signed(second, "bob", "carol")), revoking, NOW).lineage.ancestors == (second.digest,)


def test_a_signature_whose_bytes_were_changed_is_not_believed() -> None:
    definition = reading(TEXT)
    (alice,) = signed(definition, "alice")
    forged = Bundle.signed(replace(alice.envelope, payload=alice.envelope.payload + b" "), alice.material.hint or "")
    assert distrusted(definition, (forged,), anchored()) == ["signature-invalid"]


@pytest.mark.parametrize(
    "change",
    [
        {"pipeline": "shop-web"},
        {"version": 3},
        {"previous": Digest("sha256", "b" * 64)},
        {"materials": ()},
        {"materials": (("keys/other.pub", Digest("sha256", "c" * 64)),)},
    ],
)
def test_what_the_owners_signed_says_the_same_as_the_file(change: dict[str, object]) -> None:
    definition = reading(TEXT)
    record = replace(definition.record, **change)  # type: ignore[arg-type]
    signatures = tuple(
        KeySigner.from_pem(PAIRS[name][0]).sign(statement_of(record, definition.digest)) for name in ("alice", "bob")
    )
    assert set(distrusted(definition, signatures, anchored())) == {"pipeline-changed"}


def test_an_owner_s_signature_about_something_else_is_none_about_the_definition() -> None:
    definition = reading(TEXT)
    statement = Statement.about(definition.digest, predicate_type="https://other.example/v1", predicate={})
    signatures = tuple(KeySigner.from_pem(PAIRS[name][0]).sign(statement) for name in ("alice", "bob"))
    assert set(distrusted(definition, signatures, anchored())) == {"predicate-type-mismatch"}


def test_t042_an_owner_who_was_revoked_does_not_count() -> None:
    definition = reading(TEXT)
    revoked = replace(anchored(), revocations=Revocations(signers={"alice": NOW + timedelta(days=1)}))
    codes = distrusted(definition, signed(definition, "alice", "bob"), revoked)
    assert codes == ["threshold-not-met", "key-revoked"]


def test_t010_an_owner_signs_only_while_the_key_is_valid() -> None:
    expired = anchored(TRUST.replace("alice.pub}", "alice.pub, valid: {until: 2026-06-01}}"))
    definition = reading(TEXT)
    assert distrusted(definition, signed(definition, "alice", "bob"), expired) == [
        "threshold-not-met",
        "key-not-valid-at-time",
    ]


def test_t029_a_definition_of_another_pipeline_is_not_believed() -> None:
    definition = reading(TEXT.replace("pipeline: shop-api", "pipeline: shop-web"))
    assert distrusted(definition, signed(definition, "alice", "bob"), anchored()) == ["pipeline-mismatch"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threshold: 2", "threshold: 1"),
        ("signers: [alice, bob, carol]}\nsigners", "signers: [alice, bob]}\nsigners"),
        ("carol: {key: keys/carol.pub}", "carol: {key: keys/stranger.pub}"),
    ],
)
def test_the_definition_has_at_least_the_owners_that_are_pinned(old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    definition = reading(TEXT.replace(old, new))
    assert distrusted(definition, signed(definition, "alice", "bob"), anchored()) == ["pipeline-changed"]


def test_the_definition_may_ask_for_more_than_is_pinned() -> None:
    assert pipeline_of(TEXT.replace("threshold: 2", "threshold: 3"), "alice", "bob").definition.owners.threshold == 3
    more = TEXT.replace("[alice, bob, carol]}\nsigners", "[alice, bob, carol, scanner]}\nsigners")
    assert len(pipeline_of(more, "alice", "bob").definition.owners.signers) == 4


@pytest.mark.parametrize("host", ["evil.example", "registry.example:5000", "registry.example.evil", "mirror.example"])
def test_t120_every_registry_is_one_that_is_pinned(host: str) -> None:
    definition = reading(TEXT.replace("mirror.example:5000", f"{host}/x"))
    assert distrusted(definition, signed(definition, "alice", "bob"), anchored()) == ["registry-not-allowed"]


def test_registries_are_compared_without_case() -> None:
    other = pipeline_of(TEXT.replace("registry.example/dev", "Registry.Example/dev"))
    assert other.repositories("build") == ("registry.example/dev/shop/api",)
    definition = reading(TEXT)
    pinned = anchored(TRUST.replace("[registry.example", "[REGISTRY.example"))
    assert trust(definition, signed(definition, "alice", "bob"), pinned, NOW).name == "shop-api"


def test_all_reasons_are_told_at_once() -> None:
    changed = TEXT.replace("pipeline: shop-api", "pipeline: shop-web").replace("threshold: 2", "threshold: 1")
    definition = reading(changed.replace("mirror.example:5000", "evil.example"))
    assert distrusted(definition, (), anchored()) == [
        "pipeline-mismatch",
        "pipeline-changed",
        "registry-not-allowed",
        "definition-unsigned",
    ]


@pytest.mark.parametrize(
    ("made", "module", "function"),
    [("Pipeline", "pipeline/definition.py", "trust"), ("Lineage", "attestations/lineage.py", "verify_lineage")],
)
def test_only_one_function_makes_what_is_believed(made: str, module: str, function: str) -> None:
    root = Path(__file__).parents[3]
    makers: list[tuple[str, str]] = []
    for package in ("pipeline", "stages", "attestations", "registries"):
        for path in (root / package).rglob("*.py"):
            for maker in ast.walk(ast.parse(path.read_text())):
                if isinstance(maker, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                    calls = [node.func for node in ast.walk(maker) if isinstance(node, ast.Call)]
                    if any(made in (getattr(call, "id", ""), getattr(call, "attr", "")) for call in calls):
                        makers.append((path.relative_to(root).as_posix(), getattr(maker, "name", "lambda")))
    assert makers == [(module, function)]


# the believed pipeline


def test_a_stage_is_found_by_its_name_and_a_typo_gets_the_nearest() -> None:
    pipeline = pipeline_of()
    assert pipeline.stage("canary").name == "canary"
    with pytest.raises(UsageError) as error:
        pipeline.stage("canry")
    assert error.value.code == "stage-unknown"
    assert error.value.reasons[0].hint == "did you mean `canary`?"


def test_the_stages_before_come_after_their_own_predecessors() -> None:
    pipeline = pipeline_of()
    assert [stage.name for stage in pipeline.before("build")] == []
    assert [stage.name for stage in pipeline.before("test")] == ["build"]
    assert [stage.name for stage in pipeline.before("prod")] == ["build", "test", "canary"]
    backwards = TEXT.replace("any-of: [test, canary]", "any-of: [canary, test]")
    assert [stage.name for stage in pipeline_of(backwards).before("prod")] == ["build", "test", "canary"]


def test_what_the_chain_must_show_is_what_the_stage_says() -> None:
    pipeline = pipeline_of()
    expected, stage = pipeline.expected("test"), pipeline.stage("test")
    assert (expected.name, expected.after, expected.any_of, expected.admit) == ("test", ("build",), False, stage.admit)
    assert expected.repositories == ("registry.example/test/shop/api", "mirror.example:5000/shop/api")
    assert expected.repositories == pipeline.repositories("test")
    assert [(step.name, step.by, step.spec) for step in expected.steps] == [
        (step.name, step.by, step.spec) for step in stage.steps
    ]
    assert pipeline.expected("prod").any_of


# the signatures beside the file


def test_signatures_are_one_bundle_per_line_with_their_exact_bytes() -> None:
    bundles = signed(reading(TEXT), "alice", "bob")
    content = b""
    for bundle in bundles:
        content = with_signature(content, bundle)
    assert content == b"".join(bundle.content + b"\n" for bundle in bundles)
    assert read_signatures(content) == bundles
    assert read_signatures(b"") == ()
    assert read_signatures(b"\n\n" + content) == bundles


def test_the_same_owner_signing_the_same_file_again_is_one_signature() -> None:
    private, _ = new_key(KeyKind.P256)
    first, second = (KeySigner.from_pem(private).sign(definition_statement(reading(TEXT))) for _ in range(2))
    other = signed(reading(TEXT + "#\n"), "alice")[0]
    assert first != second, "ECDSA signs with randomness"
    content = with_signature(with_signature(with_signature(b"", first), other), second)
    assert read_signatures(content) == (other, second)


def test_a_line_that_is_no_bundle_is_refused_with_its_number() -> None:
    content = with_signature(b"", signed(reading(TEXT), "alice")[0]) + b"{}\n"
    with pytest.raises(AttestationError) as error:
        read_signatures(content)
    assert error.value.code == "bundle-version"
    assert error.value.reasons[0].where == "signatures, line 2"


def test_what_is_signed_names_the_file_and_everything_it_rests_on() -> None:
    definition = reading(TEXT)
    statement = definition_statement(definition)
    assert statement.names(definition.digest)
    assert statement.predicate_type == DEFINITION
    assert statement.predicate["pipeline"] == "shop-api"
    assert len(statement.predicate["materials"]) == 6


# laws


@given(st.text() | st.binary())
def test_any_file_is_read_or_refused(content: str | bytes) -> None:
    outcome(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)


@given(st.integers(0, len(TEXT)), st.integers(0, 40), st.text(alphabet="abc:{}[]&*!|'\"\n #,-?1\u202e", max_size=8))
def test_any_change_to_a_definition_is_read_or_refused(start: int, length: int, text: str) -> None:
    outcome((TEXT[:start] + text + TEXT[start + length :]).encode())


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("abz019 #\n{}[]:,-"))
def test_any_changed_character_makes_the_signatures_void(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    try:
        definition = reading(changed)
    except Refusal:
        return
    if changed != TEXT:
        codes = distrusted(definition, GOOD_SIGNATURES, anchored())
        assert "pipeline-changed" in codes or "pipeline-mismatch" in codes


GOOD_SIGNATURES = signed(reading(TEXT), "alice", "bob")


def outcome(content: bytes) -> None:
    """Either a definition or a refusal that says where; anything else is a failure."""
    try:
        read(content, path="samebits.yaml", read_file=key_file)
    except (DefinitionError, ContentError) as error:
        told = error.reasons
    else:
        return
    assert all(reason.where.startswith("samebits.yaml") and reason.message for reason in told)
