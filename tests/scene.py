"""A promotion between two fault registries that is about to happen, as often as a test wants; and what must hold then.

    with opened(referrers_api=False) as scene:
        scene.rule(Turn(17, status(503)))
        scene.promote()
        scene.check_complete()

An image of two platforms is in the stage before, with all records and two attestations of others; `prod` has gates and
two tags.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attestations import store
from attestations.records.admission import ADMISSION
from attestations.statement import Statement
from pipeline.promote import Promotion
from registries.credentials import Credentials
from registries.digest import Digest
from registries.errors import NotFound, Refusal
from registries.kinds.http import HttpRegistry
from registries.registry import Location
from registries.transport import Transport
from tests.evidence import junit
from tests.faults import Action, FaultRegistry, Seen, Stored
from tests.images import Image, image
from tests.world import DEFINITION, TRUST, World

TAG = "1.0"
TAGS = (TAG, "stable")
WORDS = ("promote", "prod", TAG, "--key", "keys/ci-promote.key")
PATIENCE = 30.0  # seconds
HANG_SECONDS = 90.0

_GATES = "{tests: {}, vulnerabilities: {none-at-or-above: medium, max-age: 24h, by: [scanner]}}"


@dataclass
class Scene:
    """The registries of the stages before (`dev`) and of `prod`, and the image that is to go there."""

    dev: FaultRegistry
    prod: FaultRegistry
    world: World
    image: Image
    before: tuple[Stored, Stored]
    source: str  # the repository in `dev` that the image comes from
    destination: str = "prod/shop/api"  # the one in `prod` that it goes to
    waited: list[float] = field(default_factory=list)

    @property
    def registries(self) -> tuple[FaultRegistry, FaultRegistry]:
        return self.dev, self.prod

    @property
    def requests(self) -> list[Seen]:
        """What both were asked."""
        return [*self.dev.requests, *self.prod.requests]

    def again(self) -> None:
        """As if nobody had promoted anything; no rules."""
        for registry, stored in zip(self.registries, self.before, strict=True):
            registry.restore(stored)
        self.waited.clear()

    def obey(self) -> None:
        """No rules any more, and no memory of requests."""
        for registry in self.registries:
            registry.obey()

    def rule(self, action: Action) -> None:
        """For every request to either registry."""
        for registry in self.registries:
            registry.rule(".*", "", action)

    @contextmanager
    def clients(self, patience: float = PATIENCE) -> Iterator[World]:
        """The world with new clients, as a new process has them. They never sleep; the clock stays where it is."""
        transports = {registry.host: self._transport(registry.host, patience) for registry in self.registries}
        kept, now = self.world.registries, self.world.now
        self.world.registries = {**kept, **{host: HttpRegistry(host, transport=it) for host, it in transports.items()}}
        try:
            yield self.world
        finally:
            self.world.registries, self.world.now = kept, now
            for transport in transports.values():
                transport.close()

    def promote(self, patience: float = PATIENCE) -> Promotion:
        """The promotion, in this process."""
        with self.clients(patience) as world:
            return world.promote(TAG, "prod")

    def outcome(self, patience: float = PATIENCE) -> str:
        """How the promotion in this process ends: `promoted`, or the code of the refusal. A hang fails."""
        ended: list[str | Exception] = []

        def promote() -> None:
            try:
                self.promote(patience)
                ended.append("promoted")
            except Refusal as refusal:
                ended.append(refusal.code)
            except Exception as error:  # noqa: BLE001 - raised below, where the test sees it
                ended.append(error)

        thread = threading.Thread(target=promote, daemon=True)
        thread.start()
        thread.join(HANG_SECONDS)
        assert ended, "it hangs"
        if isinstance(ended[0], Exception):
            raise ended[0]
        return ended[0]

    def requests_needed(self) -> int:
        """How many requests the undisturbed promotion takes; it has not happened afterwards."""
        self.again()
        self.promote()
        number = len(self.requests)
        self.again()
        return number

    # what must hold

    @property
    def tagged(self) -> set[str]:
        """The stage's tags that are set."""
        return {tag for tag in TAGS if (self.destination, tag) in self.prod.tags}

    def check(self) -> None:
        """Where a tag is set, the image is there and its chain verifies (I1); at most one admission is listed (I2).

        Without the referrers API each run has one: what a run announced before it was cut is listed by the next one
        beside its own, and the two, on the same grounds, count as one.
        """
        with self.clients() as world:
            world.now = _this_second() + timedelta(minutes=1)
            if self.tagged:
                assert {self.prod.tags[self.destination, tag] for tag in self.tagged} == {str(self.image.digest)}
                world.verify(min(self.tagged), "prod")
            admissions = self._admissions(world.place("prod"))
        assert len(admissions) <= (1 if self.prod.referrers_api else 2), admissions
        if self.tagged:
            assert admissions
            assert self.missing_blobs().isdisjoint(str(descriptor.digest) for descriptor, _ in self.image.blobs)
            assert self._missing_manifests().isdisjoint(str(manifest.digest) for manifest in self.image.manifests)

    def check_complete(self) -> None:
        """All of that, both tags are set, and every byte at the destination equals the source's (I4)."""
        self.check()
        assert self.tagged == set(TAGS)
        assert self.missing_blobs() == set()
        assert self._missing_manifests() == set()

    def state(self) -> tuple[object, ...]:
        """What the destination holds, with new records as numbers, since these differ from run to run."""
        known = {key[1] for stored in self.before for key in (*stored.blobs, *stored.manifests)}
        held = [*self.prod.blobs, *self.prod.manifests]
        old = frozenset(digest for _, digest in held if digest in known)
        return old, len(self.prod.blobs), len(self.prod.manifests), frozenset(self.prod.tags)

    def missing_blobs(self) -> set[str]:
        """The blobs at the source that are not, or not the same, at the destination."""
        return {
            digest
            for (repository, digest), content in self.dev.blobs.items()
            if repository == self.source and self.prod.blobs.get((self.destination, digest)) != content
        }

    def _missing_manifests(self) -> set[str]:
        """The same for manifests; lists of referrers are each registry's own."""
        return {
            digest
            for (repository, digest), held in self.dev.manifests.items()
            if repository == self.source
            and ("manifests" not in json.loads(held[1]) or digest == str(self.image.digest))
            and self.prod.manifests.get((self.destination, digest)) != held
        }

    def uploads(self) -> list[str]:
        """The digests of the image's blobs that were sent to the destination since the last `obey`, each time."""
        known = {digest for repository, digest in self.dev.blobs if repository == self.source}
        sent = [seen.query.get("digest", "") for seen in self.prod.writes() if "/blobs/uploads/" in seen.path]
        return [digest for digest in sent if digest in known]

    def _admissions(self, place: Location) -> set[Digest]:
        """The records of admissions to prod that are listed."""
        found: set[Digest] = set()
        try:
            bundles = store.fetch((place,), self.image.digest).bundles
        except NotFound:
            return found
        for bundle in bundles:
            statement = Statement.from_bytes(bundle.envelope.payload)
            if statement.predicate_type == ADMISSION and statement.predicate["stage"] == "prod":
                found.add(bundle.record)
        return found

    def _transport(self, host: str, patience: float) -> Transport:
        return Transport(
            host,
            credentials=Credentials({}, home=None),
            patience=patience,
            sleep=self.waited.append,
            random=lambda: 0.5,
        )

    def written(self, folder: Path) -> Path:
        """The folder with what the command needs: definition, signatures, trust file, keys."""
        (folder / "keys").mkdir(parents=True, exist_ok=True)
        (folder / "samebits.yaml").write_text(self.world.definition_text)
        (folder / "trust.yaml").write_text(self.world.trust_text)
        signatures = b"".join(b"%b\n" % bundle.content for bundle in self.world.signatures)
        (folder / "samebits.yaml.sigstore.jsonl").write_bytes(signatures)
        for name, (private, public) in self.world.keys.items():
            (folder / f"keys/{name}.key").write_bytes(private)
            (folder / f"keys/{name}.pub").write_bytes(public)
        return folder


@contextmanager
def opened(
    *, referrers_api: bool = True, conditions: bool = False, layers: int = 3, after: str = "test"
) -> Iterator[Scene]:
    """A scene in front of the promotion to prod, after `test` or, with fewer records, right after `build`.

    Without the referrers API, clients keep lists under tags.
    """
    with ExitStack() as stack:
        dev, prod = (
            stack.enter_context(
                FaultRegistry(referrers_api=referrers_api, oci_subject=referrers_api, conditions=conditions)
            )
            for _ in range(2)
        )
        definition = DEFINITION.replace("gates: {}", f"gates: {_GATES}").replace("after: [test]", f"after: [{after}]")
        world = World(
            definition_text=_named(definition, dev, prod),
            trust_text=_named(TRUST, dev, prod),
            now=_this_second() - timedelta(minutes=30),
        )
        source = {"build": "dev/shop/api", "test": "test/shop/api"}[after]
        scene = Scene(dev, prod, world, image(layers=layers), (dev.stored(), prod.stored()), source)
        with scene.clients():
            _ready(scene, after)
            ready = world.now
        world.now = ready
        scene.before = (dev.stored(), prod.stored())
        scene.again()
        yield scene


def _this_second() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _named(text: str, dev: FaultRegistry, prod: FaultRegistry) -> str:
    return text.replace("dev.test:5000", dev.host).replace("prod.test:5000", prod.host)


def _ready(scene: Scene, stage: str) -> None:
    """The image in this stage, with all records, an SBOM of the index and a review of one platform."""
    world, made = scene.world, scene.image
    made.push(Location(world.registries["source.test:5000"], "builder/api"), TAG)
    world.enter(TAG)
    world.step("build", "unit", TAG, by="ci-build", reports=[("junit", junit(passed=3))])
    world.step("build", "scan", TAG, by="scanner", reports=world.scans(made))
    if stage == "test":
        world.promote(TAG, "test")
        world.step("test", "integration", TAG, by="ci-promote", exit_code=0)
    place = world.place(stage)
    for subject, predicate_type in (
        (made.manifest, "https://spdx.dev/Document"),
        (made.manifests[0], "https://example.com/review/v1"),
    ):
        statement = Statement.about(subject.digest, predicate_type=predicate_type, predicate={"by": "others"})
        store.attach(place, subject.descriptor, [world.signer("scanner").sign(statement)], created=world.now)
