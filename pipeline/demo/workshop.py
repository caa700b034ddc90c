"""The workshop behind the demonstration: its folder, its keys and registries, and quick ways through the pipeline.

What people see runs the real command; what only prepares a scene calls the same rooms in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from attestations.chain import Records
from pipeline import wiring
from pipeline.definition import Pipeline
from pipeline.demo.image import Built, build, grype_report, junit_report
from pipeline.gather import gather
from pipeline.places import Image
from pipeline.promote import Tools, promote
from pipeline.step import Done, intend, record
from pipeline.surroundings import Surroundings
from registries.digest import Digest
from registries.errors import Refusal
from registries.kinds.layout import LayoutRegistry
from registries.registry import Location

REGISTRY_FOLDERS: Final = {"build": "registry-dev", "test": "registry-dev", "prod": "registry-prod"}


class DemoFailed(Refusal):
    """Something in the demonstration did not go as it must."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder that `samebits init` filled, with two embedded registries that keep their data in it."""

    folder: Path
    clock: Callable[[], datetime]

    @property
    def pipeline(self) -> Pipeline:
        """The believed definition."""
        around = self._around()
        anchors = wiring.read_anchors(self.folder / "trust.yaml", around)
        definition = wiring.read_definition(self.folder / "samebits.yaml", around)
        return wiring.believe(definition, anchors, now=self.clock())

    def tools(self, key: str) -> Tools:
        """Tools that sign with one of the folder's keys."""
        around = self._around()
        named = wiring.Named(signing=wiring.Signing(key=str(self.folder / "keys" / f"{key}.key")))
        anchors = wiring.read_anchors(self.folder / "trust.yaml", around)
        return wiring.open_tools(
            named,
            anchors,
            around,
            clock=self.clock,
            read_only=False,
            tool=(("name", "samebits"),),
            say=lambda _: None,
            progress=None,
        )

    def built(self, version: str) -> Built:
        """A new version of the shop in the folder's OCI layout, with reports about it."""
        image = build(self.folder / "image", version)
        reports = self.folder / "reports"
        reports.mkdir(exist_ok=True)
        (reports / "unit.xml").write_bytes(junit_report())
        for number, platform in enumerate(image.platforms):
            (reports / f"{version}-{number}.json").write_bytes(grype_report(platform, self.clock()))
        return image

    def in_build(self, version: str) -> Built:
        """A version that was admitted to build, with the steps of build done."""
        image = self.built(version)
        self.admit("build", f"oci:{self.folder / 'image'}:{version}", "ci-build")
        self.do("build", "unit", image.digest, "ci-build", self.unit_reports)
        scans = tuple(("grype", grype_report(platform, self.clock())) for platform in image.platforms)
        self.do("build", "scan", image.digest, "scanner", scans)
        return image

    def in_test(self, version: str) -> Built:
        """A version that was admitted to test, with the steps of test done: ready for prod."""
        image = self.in_build(version)
        self.admit("test", version, "ci-promote")
        self.do("test", "integration", image.digest, "ci-promote", ())
        return image

    def admit(self, stage: str, image: str, key: str) -> None:
        """What `samebits promote` does."""
        tools, pipeline = self.tools(key), self.pipeline
        promote(tools.places.incoming(image, stage, pipeline), stage, pipeline=pipeline, tools=tools, now=self.clock())

    def do(self, stage: str, step: str, image: Digest, key: str, reports: tuple[tuple[str, bytes], ...]) -> Digest:
        """What `samebits step` does, for a step that went well; returns the record's digest."""
        tools, pipeline, now = self.tools(key), self.pipeline, self.clock()
        found = tools.places.admitted(str(image), stage, pipeline)
        intended = intend(found, stage, step, pipeline=pipeline, tools=tools, now=now)
        done = Done(started_at=now, finished_at=now, exit_code=0 if intended.step.run else None, reports=reports)
        digest, _ = record(intended, done, tools=tools)
        return digest

    @property
    def unit_reports(self) -> tuple[tuple[str, bytes], ...]:
        """What the step `unit` reports."""
        return (("junit", junit_report()),)

    @property
    def layout(self) -> Location:
        """The OCI layout that images are built into."""
        return Location(LayoutRegistry(self.folder / "image"), "")

    def records(self, stage: str, image: Digest) -> Records:
        """What is said about an image in a stage's place."""
        tools, pipeline = self.tools("ci-promote"), self.pipeline
        places = tools.places.stage(pipeline, stage)
        found = gather(
            image, places, pipeline=pipeline, revocations=tools.revocations, now=self.clock(), shelf=tools.shelf
        )
        return found.records

    def place(self, stage: str) -> Location:
        """A stage's place, as its registry serves it."""
        tools, pipeline = self.tools("ci-promote"), self.pipeline
        return tools.places.stage(pipeline, stage)[0]

    def storage(self, stage: str) -> LayoutRegistry:
        """The same place as it lies on disk: what somebody with access to the registry's storage can change."""
        place = self.place(stage)
        return LayoutRegistry(self.folder / REGISTRY_FOLDERS[stage] / place.repository / "_oci")

    def tagged(self, stage: str, tag: str) -> Image:
        """What a stage's tag points at."""
        tools, pipeline = self.tools("ci-promote"), self.pipeline
        return tools.places.admitted(tag, stage, pipeline)

    def _around(self) -> Surroundings:
        return Surroundings(environment={}, folder=self.folder, home=self.folder)
