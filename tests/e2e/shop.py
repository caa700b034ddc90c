"""A shop as `samebits init` makes it, between two registries; tests run the installed command in it as a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from pipeline.demo.image import Built, build, grype_report, junit_report
from pipeline.demo.workshop import Workshop
from registries.server import serve_in_thread

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-P", "-m", "pipeline.cli")
CANARY = "s3cr3t-canary"
SECONDS = 90

_SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/reference/result.schema.json").read_bytes())
_RESULT = Draft202012Validator(_SCHEMA)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def reasons(self) -> list[str]:
        """The codes of the reasons on stderr, in order."""
        return re.findall(r"^error: .* \[([a-z0-9-]+)\]$", self.stderr, re.MULTILINE)

    @property
    def result(self) -> dict[str, Any]:
        """What `-o json` printed; it is on stdout alone, and as the schema says."""
        value: dict[str, Any] = json.loads(self.stdout)
        _RESULT.validate(value)
        assert value["exit"] == self.code
        return value


@dataclass(frozen=True, slots=True)
class Shop:
    """A folder that `samebits init` filled. The images that tests need are prepared in this process; it is quicker."""

    folder: Path
    registry: str
    production: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str | Path, key: str | None = None, env: Mapping[str, str] | None = None) -> Ended:
        """Run `samebits`, as CI does: an environment with nothing in it but what is needed, and no terminal."""
        words = [str(argument) for argument in arguments]
        if key is not None:
            at = words.index("--") if "--" in words else len(words)
            words[at:at] = ["--key", f"keys/{key}.key"]
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.surroundings(env),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        return checked(Ended(done.returncode, done.stdout.decode(), done.stderr.decode()))

    def surroundings(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command: its trust file is named, its definition is in the current folder."""
        named = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "SAMEBITS_TRUST": "trust.yaml"}
        return {**named, **self.environment, **(more or {})}

    @property
    def workshop(self) -> Workshop:
        """Quick ways through the pipeline, in this process."""
        return Workshop(self.folder, now)

    def built(self, version: str) -> Built:
        """A new version in the folder's OCI layout `image`."""
        return build(self.folder / "image", version)

    def tags(self, stage: str) -> tuple[str, ...]:
        """The tags at a stage, without those that referrers hang on."""
        place = self.workshop.place(stage)
        return tuple(tag for tag in place.registry.tags(place.repository) if not tag.startswith("sha256-"))

    def write(self, name: str, content: bytes | str) -> Path:
        """A file of this content in the shop's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def reports(self, image: Built, version: str) -> list[str]:
        """The options for the reports of the steps `unit` (first) and `scan` (the others)."""
        unit = self.write(f"reports/{version}.xml", junit_report())
        scans = [
            self.write(f"reports/{version}-{number}.json", grype_report(platform, now()))
            for number, platform in enumerate(image.platforms)
        ]
        return [f"--report=junit={unit}", *(f"--report=grype={scan}" for scan in scans)]

    def twin(self, folder: Path) -> Shop:
        """The same files in another folder, between the same registries: what a test may spoil."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("samebits.yaml", "samebits.yaml.sigstore.jsonl", "trust.yaml"):
            shutil.copy2(self.folder / name, folder / name)
        shutil.copytree(self.folder / "keys", folder / "keys")
        return Shop(folder, self.registry, self.production, self.environment)


def initialized(folder: Path, registry: str, production: str) -> Shop:
    """What `samebits init` writes for these registries."""
    folder.mkdir(parents=True, exist_ok=True)
    shop = Shop(folder, registry, production)
    ended = shop.run("init", ".", "--registry", registry, "--production", production)
    assert ended.code == 0, ended.stderr
    return shop


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """A shop between two embedded registries."""
    folder.mkdir(parents=True, exist_ok=True)
    with serve_in_thread(folder / "registry-dev") as registry, serve_in_thread(folder / "registry-prod") as production:
        yield initialized(folder, registry, production)


def checked(ended: Ended) -> Ended:
    """What holds for every command, however it ends."""
    for text in (ended.stdout, ended.stderr):
        assert "Traceback" not in text
        assert CANARY not in text
        assert [sign for sign in text if unicodedata.category(sign) == "Cc" and sign != "\n"] == []
        assert {len(digits) for digits in re.findall(r"sha256:([0-9a-f]+)", text)} <= {64}
    assert "internal-error" not in ended.stderr, ended.stderr
    return ended


def now() -> datetime:
    """This second."""
    return datetime.now(UTC).replace(microsecond=0)
