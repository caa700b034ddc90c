"""The story of the demonstration, told by running the real command; every line of it is checked while it is told."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pipeline.demo import forgeries
from pipeline.demo.workshop import DemoFailed, Workshop
from registries.server import serve_in_thread

INTEGRITY: Final = 5
FORGERIES: Final = (
    (
        "another image is pushed to the tag that prod is about to take",
        "digest-changed",
        forgeries.other_image_under_the_tag,
    ),
    (
        "a step record of build is replaced by another one, validly signed",
        "predecessor-changed",
        forgeries.step_record_replaced,
    ),
    ("an image is copied past the stage test, with all its records", "stage-skipped", forgeries.stage_skipped),
    ("one byte of a layer is changed in the registry's storage", "digest-mismatch", forgeries.byte_changed_in_a_layer),
    (
        "the key of the stage build signs an admission to test",
        "signer-not-for-stage",
        forgeries.signed_by_the_wrong_stage,
    ),
)


def tell(folder: Path, *, clock: Callable[[], datetime], write: Callable[[str], None]) -> None:
    """Tell the whole story in an empty folder; `demo-failed` when anything in it does not go as it must."""
    with ExitStack() as stack:
        development = stack.enter_context(serve_in_thread(folder / "registry-dev"))
        production = stack.enter_context(serve_in_thread(folder / "registry-prod"))
        story = _Story(folder=folder, write=write)
        story.says("two embedded OCI registries are running: one for build and test, one for production")
        story.shows(f"init . --registry {development} --production {production}")
        workshop = Workshop(folder, clock)
        workshop.built("1.0")
        _journey(story)
        before = workshop.tagged("prod", "1.0").digest
        story.says("five forgeries follow; each one must be refused, and production must stay as it is")
        for title, code, forge in FORGERIES:
            story.says(title)
            story.shows(f"promote prod {forge(workshop)} --key keys/ci-promote.key", code=code)
        story.says("production is untouched")
        story.shows("verify prod 1.0")
        _unchanged(workshop, before)


def _journey(story: _Story) -> None:
    story.says("a two-platform image was built into ./image; it enters the pipeline at build")
    story.shows("promote build oci:image:1.0 --key keys/ci-build.key")
    story.says("the steps of build: unit tests, and a scan of both platforms by the scanner's own key")
    story.shows("step build unit 1.0 --report junit=reports/unit.xml --key keys/ci-build.key")
    story.shows(
        "step build scan 1.0 --report grype=reports/1.0-0.json --report grype=reports/1.0-1.json --key keys/scanner.key"
    )
    story.says("test admits it only because build and its steps are proven")
    story.shows("promote test 1.0 --key keys/ci-promote.key")
    story.shows("step test integration 1.0 --key keys/ci-promote.key")
    story.shows("plan prod 1.0")
    story.shows("promote prod 1.0 --key keys/ci-promote.key")
    story.says("the same promotion once more writes nothing")
    story.shows("promote prod 1.0 --key keys/ci-promote.key")
    story.says("the chain, link by link")
    story.shows("audit 1.0")


def _unchanged(workshop: Workshop, before: object) -> None:
    place = workshop.place("prod")
    tags = [tag for tag in place.registry.tags(place.repository) if not tag.startswith("sha256-")]
    if workshop.tagged("prod", "1.0").digest != before or tags != ["1.0"]:
        raise DemoFailed("demo-failed", f"production has changed: its tags are {', '.join(tags)}")


@dataclass(frozen=True, slots=True)
class _Story:
    """Runs the commands that people see, and checks how each one ends."""

    folder: Path
    write: Callable[[str], None]

    def says(self, text: str) -> None:
        """A line between the commands."""
        self.write(f"\n# {text}\n")

    def shows(self, command: str, *, code: str = "") -> None:
        """Run a command: it must end well or, with `code`, be refused with exit 5 for exactly this reason."""
        self.write(f"$ samebits {command}\n")
        done = self._run(command)
        self.write(done.stdout)
        self.write(done.stderr)
        if done.returncode != (INTEGRITY if code else 0) or (code and f"[{code}]" not in done.stderr):
            raise DemoFailed(
                "demo-failed", f"`samebits {command}` ended with {done.returncode}; wanted: {code or 'success'}"
            )
        if code:
            self.write(f"exit {done.returncode}\n")

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        surroundings = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)}
        named = {"SAMEBITS_TRUST": "trust.yaml", "SAMEBITS_DEFINITION": "samebits.yaml", "SAMEBITS_QUIET": "1"}
        return subprocess.run(  # noqa: S603  our own command, with words written in this file
            [sys.executable, "-P", "-m", "pipeline.cli", *shlex.split(command)],
            cwd=self.folder,
            env=surroundings | named,
            capture_output=True,
            text=True,
            check=False,
        )
