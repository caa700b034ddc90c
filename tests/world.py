"""A world in memory: keys, registries, a clock and a small pipeline, all of which a test may bend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from attestations.bundle import Bundle
from attestations.keys import new_key
from attestations.records.step import StepRecord
from attestations.signers.key import KeySigner
from attestations.verify import Verified
from pipeline import anchors as anchors_file
from pipeline import audit as audits
from pipeline import definition as definitions
from pipeline import promote as promotions
from pipeline import step as steps
from pipeline.anchors import Anchors
from pipeline.definition import Definition, Pipeline, definition_statement, trust
from pipeline.gather import gather
from pipeline.places import Image as Found
from pipeline.places import Places
from pipeline.promote import Plan, Promotion, Tools
from registries.digest import Digest
from registries.errors import NotFound
from registries.kinds.http import http_registry
from registries.kinds.memory import MemoryRegistry
from registries.registry import Location, Registry
from registries.shelf import Shelf
from tests.evidence import grype, junit
from tests.images import Image, image

DEFINITION = """\
samebits: 1
pipeline: shop
version: 1
image: shop/api
owners: {threshold: 1, signers: [owner]}
signers:
  owner: {key: keys/owner.pub}
  ci-build: {key: keys/ci-build.pub}
  ci-promote: {key: keys/ci-promote.pub}
  scanner: {key: keys/scanner.pub}
stages:
  - name: build
    registry: dev.test:5000/dev
    admit: [ci-build]
    steps:
      - {name: unit, by: [ci-build], evidence: junit}
      - {name: scan, by: [scanner], evidence: grype}
  - name: test
    after: [build]
    registry: dev.test:5000/test
    admit: [ci-promote]
    gates:
      tests: {}
      vulnerabilities: {none-at-or-above: medium, max-age: 24h, by: [scanner]}
    steps:
      - {name: integration, by: [ci-promote], run: "true {image}"}
  - name: prod
    after: [test]
    registry: prod.test:5000/prod
    admit: [ci-promote]
    gates: {}
    tags: ["{source_tag}", stable]
"""

TRUST = """\
samebits-trust: 1
pipeline: shop
owners: {threshold: 1, signers: [owner]}
signers:
  owner: {key: keys/owner.pub}
registries: ["dev.test:5000", "prod.test:5000"]
"""

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NAMES = ("owner", "ci-build", "ci-promote", "scanner")
SIGNS = {"build": "ci-build", "test": "ci-promote", "prod": "ci-promote"}


@dataclass
class World:
    """Memory registries `dev.test:5000`, `prod.test:5000` and `source.test:5000`, and a key for every name."""

    definition_text: str = DEFINITION
    trust_text: str = TRUST
    now: datetime = START
    registries: dict[str, Registry] = field(default_factory=dict)
    keys: dict[str, tuple[bytes, bytes]] = field(default_factory=lambda: {name: new_key() for name in NAMES})
    signatures: list[Bundle] = field(default_factory=list)
    waivers: list[Bundle] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        for host in ("dev.test:5000", "prod.test:5000", "source.test:5000"):
            self.registries.setdefault(host, MemoryRegistry(host))
        self.sign_definition()

    # the definition

    @property
    def definition(self) -> Definition:
        return definitions.read(self.definition_text.encode(), path="samebits.yaml", read_file=self._key_file)

    @property
    def anchors(self) -> Anchors:
        return anchors_file.read(self.trust_text.encode(), path="trust.yaml", read_file=self._key_file)

    @property
    def pipeline(self) -> Pipeline:
        return trust(self.definition, self.signatures, self.anchors, now=self.now)

    def sign_definition(self, by: str = "owner") -> None:
        self.signatures = [self.signer(by).sign(definition_statement(self.definition))]

    def change_definition(self, before: str, after: str, by: str = "owner") -> None:
        """Replace the definition by its next version, which the owners sign; earlier signatures stay beside it."""
        replaced, version = self.definition, self.definition.version + 1
        past = f"version: {version}\nprevious: {replaced.digest}\n"
        text = re.sub(r"version: \d+\n(previous: \S+\n)?", past, self.definition_text)
        assert before in text
        self.definition_text = text.replace(before, after)
        self.signatures.append(self.signer(by).sign(definition_statement(self.definition)))

    def signer(self, name: str) -> KeySigner:
        if name not in self.keys:
            self.keys[name] = new_key()
        return KeySigner.from_pem(self.keys[name][0])

    def _key_file(self, name: str) -> bytes:
        return self.keys[name.removeprefix("keys/").removesuffix(".pub")][1]

    # the places

    def tools(self, by: str | None = "ci-promote") -> Tools:
        def open_registry(host: str) -> Registry:
            if host not in self.registries:
                raise NotFound("image-not-found", "no such registry in this world", where=host)
            return self.registries[host]

        def open_source(text: str) -> Found:
            raise NotFound("image-not-found", "this world has registries only", where=text)

        return Tools(
            places=Places(open_registry, open_source),
            revocations=self.anchors.revocations,
            signer=self.signer(by) if by else None,
            tool=(("name", "samebits"), ("version", "test")),
            jobs=2,
            waivers=tuple(self.waivers),
            sleep=self.waited.append,
        )

    def place(self, stage: str) -> Location:
        return self.tools(None).places.stage(self.pipeline, stage)[0]

    def tag(self, stage: str, tag: str) -> Digest | None:
        return promotions.tag_now(self.place(stage), tag)

    def records(self, subject: Digest, stage: str = "prod") -> tuple[Verified, ...]:
        """What is believed of an image in a stage."""
        pipeline, revocations = self.pipeline, self.anchors.revocations
        places = (self.place(stage),)
        found = gather(subject, places, pipeline=pipeline, revocations=revocations, now=self.now, shelf=Shelf())
        return found.records.verified

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    # what people do

    def built(self, seed: str = "a", tag: str = "1.0") -> Image:
        """An image at the builder's registry, under a tag."""
        made = image(seed=seed)
        source = Location(self.registries["source.test:5000"], "builder/api")
        made.push(source)
        source.registry.tag(source.repository, tag, made.manifest, expected=promotions.tag_now(source, tag))
        return made

    def enter(self, tag: str = "1.0", **options: str) -> Promotion:
        """Admit what the builder tagged to the entry stage."""
        return self.promote(f"source.test:5000/builder/api:{tag}", "build", **options)

    def promote(self, image_text: str, stage: str, *, by: str = "") -> Promotion:
        tools, pipeline = self.tools(by or SIGNS[stage]), self.pipeline
        found = tools.places.incoming(image_text, stage, pipeline)
        self.pass_time(minutes=1)
        return promotions.promote(found, stage, pipeline=pipeline, tools=tools, now=self.now)

    def plan(self, image_text: str, stage: str) -> Plan:
        tools, pipeline = self.tools(None), self.pipeline
        found = tools.places.incoming(image_text, stage, pipeline)
        return promotions.plan(found, stage, pipeline=pipeline, tools=tools, now=self.now)

    def step(
        self,
        stage: str,
        name: str,
        image_text: str,
        *,
        by: str,
        reports: Sequence[tuple[str, bytes]] = (),
        exit_code: int | None = None,
    ) -> tuple[Digest, StepRecord]:
        tools, pipeline = self.tools(by), self.pipeline
        found = tools.places.admitted(image_text, stage, pipeline)
        self.pass_time(minutes=1)
        intended = steps.intend(found, stage, name, pipeline=pipeline, tools=tools, now=self.now)
        done = steps.Done(started_at=self.now, finished_at=self.now, exit_code=exit_code, reports=tuple(reports))
        return steps.record(intended, done, tools=tools)

    def verify(self, image_text: str, stage: str) -> audits.Verification:
        tools, pipeline = self.tools(None), self.pipeline
        found = tools.places.admitted(image_text, stage, pipeline)
        return audits.verify(found, stage, pipeline=pipeline, tools=tools, now=self.now)

    def audit(self, image_text: str) -> audits.Story:
        tools, pipeline = self.tools(None), self.pipeline
        found = tools.places.anywhere(image_text, None, pipeline)
        return audits.audit(found, pipeline=pipeline, tools=tools, now=self.now)

    # images that are somewhere already

    def in_build(self, seed: str = "a", tag: str = "1.0") -> Image:
        """Admitted to build, with both of its steps done."""
        made = self.built(seed, tag)
        self.enter(tag)
        self.step("build", "unit", tag, by="ci-build", reports=[("junit", junit(passed=3))])
        self.step("build", "scan", tag, by="scanner", reports=self.scans(made))
        return made

    def in_test(self, seed: str = "a", tag: str = "1.0") -> Image:
        """Admitted to test, with its step done."""
        made = self.in_build(seed, tag)
        self.promote(tag, "test")
        self.step("test", "integration", tag, by="ci-promote", exit_code=0)
        return made

    def in_prod(self, seed: str = "a", tag: str = "1.0") -> Image:
        """Admitted to prod."""
        made = self.in_test(seed, tag)
        self.promote(tag, "prod")
        return made

    def scans(self, made: Image) -> list[tuple[str, bytes]]:
        """A clean Grype report for each platform."""
        return [("grype", grype(about=(platform.manifest,), scanned_at=self.now)) for platform in made.platforms]


def world_on(dev: str, prod: str, name: str) -> World:
    """A world whose stages are on real registries, `build` and `test` at `dev`; `name` keeps tests apart."""
    hosts = {"dev.test:5000": dev, "prod.test:5000": prod}
    allowed = ", ".join(f'"{real}"' for real in sorted({dev, prod}))
    definition, trust = DEFINITION, TRUST.replace('"dev.test:5000", "prod.test:5000"', allowed)
    for known, real in hosts.items():
        definition = definition.replace(known, real)
    definition = definition.replace("image: shop/api", f"image: {name}/api")
    registries = {real: http_registry(real, environment={}) for real in {dev, prod}}
    return World(definition_text=definition, trust_text=trust, registries=dict(registries))
