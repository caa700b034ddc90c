"""Older cosign attestations, from the command line: warned about, shown, carried over, and the second time nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from attestations.keys import load_private_key
from attestations.signers.key import KeySigner
from attestations.statement import Statement
from registries.digest import Digest
from tests.e2e.shop import Shop, opened
from tests.legacy import Layer, push_tag, signed

REVIEW = "https://example.test/review/v1"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(tmp_path_factory.mktemp("older")) as made:
        yield made


def attested(shop: Shop, about: Digest) -> Layer:
    key = load_private_key((shop.folder / "keys/ci-build.key").read_bytes())
    assert isinstance(key, EllipticCurvePrivateKey)
    return signed(Statement.about(about, predicate_type=REVIEW, predicate={}).content, key)


def test_an_attestation_of_cosign_2_is_warned_about_shown_and_carried_over(shop: Shop) -> None:
    made = shop.built("1.0")
    push_tag(shop.workshop.layout, made.digest, [attested(shop, made.digest)])
    hint = f"samebits rewrap {made.digest} --stage build"

    promoted = shop.run("promote", "build", f"oci:image@{made.digest}", "-o", "json", key="ci-build")
    assert (promoted.code, [it["code"] for it in promoted.result["warnings"]]) == (0, ["attestations-hidden"])
    assert hint in promoted.stderr
    audited = shop.run("audit", str(made.digest), "-o", "json").result["attached"]
    assert [(it["writer"], it["says"], it["standing"]) for it in audited] == [("cosign", REVIEW, "counts")]

    command = hint.split()[1:]
    shown = shop.run(*command, "--dry-run", "-o", "json")
    assert (shown.code, shown.result["verdict"]) == (0, "would-be-rewrapped")
    assert shop.run(*command).stdout.startswith(f"rewrapped: {made.digest}\n  carried {REVIEW} ")
    again = shop.run(*command, "-o", "json").result
    assert [it["standing"] for it in again["attestations"]] == ["there"]
    assert again["attestations"][0]["record"] == shown.result["attestations"][0]["record"]


def test_what_can_not_be_carried_ends_with_its_reason(shop: Shop) -> None:
    made = shop.workshop.in_build("2.0")
    push_tag(shop.workshop.place("build"), made.digest, [attested(shop, made.digest), Layer(b"{}")])
    ended = shop.run("rewrap", str(made.digest), "-o", "json")
    assert (ended.code, ended.reasons) == (5, ["bundle-malformed"])
    assert [it["standing"] for it in ended.result["attestations"]] == ["carried", "left"]


def test_bundles_from_a_file_are_hung_on_the_image(shop: Shop) -> None:
    made = shop.workshop.in_build("3.0")
    signer = KeySigner.from_pem((shop.folder / "keys/scanner.key").read_bytes())
    bundle = signer.sign(Statement.about(made.digest, predicate_type=REVIEW, predicate={}))
    shop.write("github.jsonl", bundle.content + b"\n")
    ended = shop.run("rewrap", str(made.digest), "--attestation", "github.jsonl", "-o", "json")
    (item,) = ended.result["attestations"]
    assert (ended.code, item["where"], item["standing"]) == (0, "github.jsonl:1", "carried")
    assert item["record"] == str(bundle.record)
    assert shop.run("rewrap", str(made.digest), "--attestation", "none.jsonl").reasons == ["file-unreadable"]


def test_what_is_nowhere_can_not_be_rewrapped(shop: Shop, tmp_path: Path) -> None:
    ended = shop.run("rewrap", "no-such-tag")
    assert (ended.code, ended.reasons) == (6, ["image-not-found"])
