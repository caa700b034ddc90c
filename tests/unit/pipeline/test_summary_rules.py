"""Every rule of SLSA 1.2 for a consumer of a verification summary, held against the ones that a pipeline writes.

The rules are written out here from `verification_summary.md`, and know nothing of how samebits makes a summary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from attestations import store
from attestations.bundle import Bundle
from attestations.bundle_verifier import check_signature
from attestations.envelope import to_base64
from attestations.errors import AttestationError
from attestations.keys import load_public_key, parse_public_key
from registries.digest import Digest
from tests.world import SIGNS, World

TYPE = "https://slsa.dev/verification_summary/v1"
VERIFIER = "https://samebits.dev/verifier/v1"
LEVELS = {"build": "SAMEBITS_STAGE_BUILD", "test": "SAMEBITS_STAGE_TEST", "prod": "SAMEBITS_STAGE_PROD"}

_LEVEL = re.compile(r"SLSA_([A-Z]+)_LEVEL_(?:[0-9]+|UNEVALUATED)")
_PROPERTIES = frozenset({"SLSA_SOURCE_TWO_PARTY_REVIEWED", "SLSA_BUILD_REPRODUCED"})
_REQUIRED = ("verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels")
_KNOWN = (*_REQUIRED, "inputAttestations", "dependencyLevels", "slsaVersion")


@dataclass(frozen=True)
class Expected:
    """What a consumer configures: pairs of key and verifier, the resource, the level, and the artifact in hand."""

    keys: Mapping[str, bytes]
    resource: str
    level: str
    artifact: Digest
    inputs: frozenset[str]


def broken_rules(bundle: Bundle, expected: Expected) -> Iterator[str]:
    statement = json.loads(bundle.envelope.payload)
    predicate = statement["predicate"]
    if not _signed_by(bundle, expected.keys.get(predicate.get("verifier", {}).get("id", ""))):
        yield "the signature is not by the key that is paired with the verifier"
    if expected.artifact.hex not in {it["digest"].get("sha256") for it in statement["subject"]}:
        yield "the artifact is no subject"
    if statement["predicateType"] != TYPE:
        yield "the predicate type is another one"
    if predicate.get("resourceUri") != expected.resource:
        yield "the resource is another one"
    if predicate.get("verificationResult") != "PASSED":
        yield "the result is not PASSED"
    if expected.level not in predicate.get("verifiedLevels", []):
        yield "the level is not among the verified ones"
    yield from _form(predicate)
    yield from _levels(predicate.get("verifiedLevels", []))
    yield from _inputs(predicate.get("inputAttestations", []), expected.inputs)


def _signed_by(bundle: Bundle, key: bytes | None) -> bool:
    if key is None:
        return False
    try:
        check_signature(bundle, parse_public_key(load_public_key(key)), None)
    except AttestationError:
        return False
    return True


def _form(predicate: Mapping[str, Any]) -> Iterator[str]:
    for name in _REQUIRED:
        if not predicate.get(name):
            yield f"{name} is missing"
    for name in predicate.keys() - set(_KNOWN):
        if not urlsplit(name).scheme:
            yield f"{name} is an extension that is no URI"
    verifier, policy = predicate.get("verifier", {}), predicate.get("policy", {})
    for uri in (verifier.get("id"), predicate.get("resourceUri"), policy.get("uri")):
        if not isinstance(uri, str) or not urlsplit(uri).scheme:
            yield f"{uri!r} is no URI"
    time = predicate.get("timeVerified", "")
    if not time.endswith("Z") or datetime.fromisoformat(time).tzinfo is None:
        yield "timeVerified is no RFC 3339 time in UTC"
    versions = verifier.get("version", {})
    if not all(isinstance(item, str) for pair in versions.items() for item in pair):
        yield "verifier.version does not map names to versions"
    if not policy.get("digest", {}).get("sha256"):
        yield "the policy is not named by its digest"


def _levels(levels: list[str]) -> Iterator[str]:
    tracks = []
    for level in levels:
        found = _LEVEL.fullmatch(level)
        if found is not None:
            tracks.append(found[1])
        elif level.startswith("SLSA_") and level not in _PROPERTIES:
            yield f"{level} is no level of SLSA, and may not be called so"
    if len(set(tracks)) < len(tracks):
        yield "a track has two levels"


def _inputs(listed: list[dict[str, Any]], expected: frozenset[str]) -> Iterator[str]:
    digests = [it.get("digest", {}).get("sha256", "") for it in listed]
    if len(set(digests)) < len(digests) or not all(digests):
        yield "an input has no digest, or stands there twice"
    if listed and frozenset(digests) != expected:
        yield "the inputs are not all that was used"


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    made.in_prod()
    return made


@pytest.fixture(scope="module")
def image(world: World) -> Digest:
    found = world.tag("prod", "stable")
    assert found is not None
    return found


def hanging(world: World, image: Digest, stage: str) -> list[Bundle]:
    return list(store.fetch((world.place(stage),), image).bundles)


def summary(world: World, image: Digest, stage: str) -> Bundle:
    (found,) = [it for it in hanging(world, image, stage) if LEVELS[stage].encode() in it.envelope.payload]
    return found


def used(world: World, image: Digest, stage: str) -> frozenset[str]:
    """All that an admission to this stage rests on: the admissions and steps of the stages before, and itself."""
    before = {"build": (), "test": ("build",), "prod": ("build", "test")}[stage]
    found = set()
    for bundle in hanging(world, image, "prod"):
        statement = json.loads(bundle.envelope.payload)
        kind, at = statement["predicateType"].split("/")[-2], statement["predicate"].get("stage")
        if (kind == "admission" and at in (*before, stage)) or (kind == "step" and at in before):
            found.add(bundle.record.hex)
    return frozenset(found)


def expected(world: World, image: Digest, stage: str) -> Expected:
    return Expected(
        keys={VERIFIER: world.keys[SIGNS[stage]][1]},
        resource=f"oci://{world.place(stage)}",
        level=LEVELS[stage],
        artifact=image,
        inputs=used(world, image, stage),
    )


@pytest.mark.parametrize("stage", LEVELS)
def test_a_summary_keeps_every_rule(world: World, image: Digest, stage: str) -> None:
    assert list(broken_rules(summary(world, image, stage), expected(world, image, stage))) == []
    assert len(used(world, image, stage)) == {"build": 1, "test": 4, "prod": 6}[stage]


def test_every_platform_of_an_index_is_a_subject(world: World, image: Digest) -> None:
    children = world.registries["prod.test:5000"].manifest("prod/shop/api", image).children
    subjects = json.loads(summary(world, image, "prod").envelope.payload)["subject"]
    assert [it["digest"]["sha256"] for it in subjects] == [image.hex, *(child.digest.hex for child in children)]


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "the predicate type is another one": lambda it: it.update(
        predicateType="https://slsa.dev/verification_summary/v0.2"
    ),
    "the artifact is no subject": lambda it: it.update(subject=[{"digest": {"sha256": "0" * 64}}]),
    "the resource is another one": lambda it: it["predicate"].update(resourceUri="oci://example.test/x"),
    "the result is not PASSED": lambda it: it["predicate"].update(verificationResult="FAILED"),
    "the level is not among the verified ones": lambda it: it["predicate"].update(verifiedLevels=["OTHER"]),
    "a track has two levels": lambda it: it["predicate"]["verifiedLevels"].extend(
        ["SLSA_BUILD_LEVEL_1", "SLSA_BUILD_LEVEL_2"]
    ),
    "SLSA_PROD is no level of SLSA, and may not be called so": lambda it: it["predicate"]["verifiedLevels"].append(
        "SLSA_PROD"
    ),
    "the inputs are not all that was used": lambda it: it["predicate"]["inputAttestations"].pop(),
    "the policy is not named by its digest": lambda it: it["predicate"]["policy"].pop("digest"),
    "timeVerified is no RFC 3339 time in UTC": lambda it: it["predicate"].update(timeVerified="2026-11-24T09:00:00"),
    "more is an extension that is no URI": lambda it: it["predicate"].update(more=1),
}


@pytest.mark.parametrize("rule", CHANGES)
def test_the_rules_see_what_breaks_them(world: World, image: Digest, rule: str) -> None:
    whole = summary(world, image, "prod")
    statement = json.loads(whole.envelope.payload)
    CHANGES[rule](statement)
    changed = json.loads(whole.content)
    changed["dsseEnvelope"]["payload"] = to_base64(json.dumps(statement).encode())
    broken = broken_rules(Bundle.from_bytes(json.dumps(changed).encode()), expected(world, image, "prod"))
    assert set(broken) == {"the signature is not by the key that is paired with the verifier", rule}


def test_a_summary_by_the_signer_of_another_stage_is_not_of_this_verifier(world: World, image: Digest) -> None:
    other = expected(world, image, "prod")
    stranger = Expected(
        keys={VERIFIER: world.keys["ci-build"][1]},
        resource=other.resource,
        level=other.level,
        artifact=image,
        inputs=other.inputs,
    )
    (broken,) = broken_rules(summary(world, image, "prod"), stranger)
    assert "signature" in broken
