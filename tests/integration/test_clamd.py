"""A real clamd, with signatures of our own, scans real layers over INSTREAM; what it finds blocks a promotion."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest

from pipeline.clamd import Clamd, NotScanned
from pipeline.scan import scan
from registries.errors import Refusal
from registries.registry import Location
from registries.shelf import Shelf
from tests import images, peers
from tests.evidence import junit
from tests.images import Image
from tests.world import DEFINITION, World

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SIGNATURES = f"Eicar.Test:0:*:{EICAR.hex()}\nShop.Test:0:*:{b'stolen cookies'.hex()}\n"

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with peers.clamd(SIGNATURES) as address:
        yield Clamd(address)


def test_clamd_finds_what_its_signatures_know_and_nothing_else(clamd: Clamd) -> None:
    assert clamd.scan([b"harmless"]) == ""
    assert clamd.scan([EICAR[:20], EICAR[20:]]) == "Eicar.Test.UNOFFICIAL"
    assert clamd.scan([gzip.compress(b"some stolen cookies")]) == "Shop.Test.UNOFFICIAL"
    assert clamd.engine().version.startswith("1.4.")
    with pytest.raises(NotScanned, match="size limit exceeded"):
        clamd.scan(bytes(65536) for _ in range(64))


def scanned(world: World, clamd: Clamd, tag: str) -> bytes:
    found = world.tools(None).places.admitted(tag, "build", world.pipeline)
    return scan(found, clamd, now=world.now, shelf=Shelf()).report


def through(world: World, made: Image, tag: str, clamd: Clamd) -> None:
    """From the builder to prod, with the step `scan` done by clamd too."""
    source = Location(world.registries["source.test:5000"], "builder/api")
    made.push(source, tag)
    world.enter(tag)
    world.step("build", "unit", tag, by="ci-build", reports=[("junit", junit(passed=3))])
    reports = [*world.scans(made), ("clamav", scanned(world, clamd, tag))]
    world.step("build", "scan", tag, by="scanner", reports=reports)
    world.promote(tag, "test")
    world.step("test", "integration", tag, by="ci-promote", exit_code=0)
    world.promote(tag, "prod")


@pytest.fixture
def world() -> World:
    gate = "malware: {by: [scanner], max-age: 24h}"
    made = World(definition_text=DEFINITION.replace("gates: {}", f"gates: {{{gate}}}"))
    made.sign_definition()
    return made


def test_an_image_whose_every_file_is_clean_is_admitted(world: World, clamd: Clamd) -> None:
    through(world, images.image(), "1.0", clamd)
    (gate,) = world.verify("1.0", "prod").link.admission.gates
    assert (gate.gate, gate.verdict, dict(gate.counts)) == ("malware", "passed", {"files": 4, "found": 0})


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("usr/bin/app", EICAR, ("malware-found", "Eicar.Test.UNOFFICIAL in usr/bin/app")),
        ("big", bytes(2 * 1024 * 1024), ("scanner-failed", "size limit exceeded")),
    ],
    ids=["infected", "too large"],
)
def test_t114_what_is_found_or_could_not_be_scanned_blocks(
    world: World, clamd: Clamd, name: str, content: bytes, refusal: tuple[str, str]
) -> None:
    made = images.image_of(gzip.compress(images.layer_tar("clean", b"clean")), images.layer_tar(name, content))
    with pytest.raises(Refusal) as error:
        through(world, made, "1.0", clamd)
    reasons = {reason.code: reason.message for reason in error.value.reasons}
    assert refusal[1] in reasons[refusal[0]]
    assert world.tag("prod", "1.0") is None
