"""The definition of a pipeline: as it was read, and as it is believed once its owners' signatures were checked.

A `Definition` says where to look; nothing may be decided from it. `trust` is the only way to a `Pipeline`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from attestations.bundle import Bundle
from attestations.chain import ExpectedStage
from attestations.errors import AttestationError
from attestations.identity import Identity, KeylessIdentity, Role
from attestations.lineage import Lineage, SignedDefinition, verify_lineage
from attestations.records import definition as records
from attestations.records.definition import DefinitionRecord
from attestations.records.step import InImage
from attestations.signers.identities import IdentityVerifier
from attestations.statement import Statement
from attestations.steps import ExpectedStep
from attestations.verify import Rejected, Verified, sift
from pipeline.anchors import Anchors, ReadFile, Signers
from pipeline.decode import decode, suggestion
from pipeline.schema import AnyOf, DefinitionFile, StageEntry, StepEntry
from pipeline.step_entry import spec, step_faults
from pipeline.yaml_nodes import Document, parse
from registries.digest import Digest
from registries.errors import ContentError, Reason, UsageError
from registries.reference import check_registry, check_repository, is_tag
from stages.decision import EMERGENCY_APPROVALS
from stages.gate import Gate
from stages.gates.approvals import Approvals
from stages.stage import STEP_TIMEOUT, BreakGlass, Stage, Step

if TYPE_CHECKING:
    from attestations.bundle_verifier import Sigstore

SOURCE_TAG: Final = "{source_tag}"
IMAGE: Final = "{image}"
COMMIT: Final = "{commit}"

_TAG_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_RUN_PLACEHOLDER = re.compile(r"(?<!\$)\{[A-Za-z_][A-Za-z_-]*\}")
_SIGN: Final = "samebits definition sign --key FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A definition as read, not believed yet. `digest` is the SHA-256 of `content`, the file's exact bytes.

    `materials` are the key files that it names, each by its path as written and the digest of its bytes.
    """

    content: bytes
    digest: Digest
    path: str
    pipeline: str
    version: int
    previous: Digest | None
    image: str
    owners: Role
    signers: tuple[Identity, ...]
    stages: tuple[Stage, ...]
    materials: tuple[tuple[str, Digest], ...]

    @property
    def record(self) -> DefinitionRecord:
        """What its owners sign."""
        return DefinitionRecord(
            pipeline=self.pipeline, version=self.version, previous=self.previous, materials=self.materials
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A definition that its owners have signed. Only `trust` makes one."""

    definition: Definition
    lineage: Lineage
    sigstore: Sigstore | None = None

    @property
    def name(self) -> str:
        """The pipeline's name, which is in every record."""
        return self.definition.pipeline

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Everybody who may sign anything."""
        return self.definition.signers

    def stage(self, name: str) -> Stage:
        """The stage of this name, or `stage-unknown`."""
        for stage in self.definition.stages:
            if stage.name == name:
                return stage
        known = [stage.name for stage in self.definition.stages]
        raise UsageError(
            "stage-unknown",
            f"{self.name} has no stage {name!r:.80}",
            where=self.definition.path,
            hint=suggestion(name, known),
        )

    def before(self, name: str) -> tuple[ExpectedStage, ...]:
        """All stages before this one, each after its own predecessors; empty for the entry stage."""
        found: dict[str, None] = {}
        self._collect(self.stage(name), found)
        return tuple(self.expected(ancestor) for ancestor in found)

    def _collect(self, stage: Stage, found: dict[str, None]) -> None:
        for name in stage.after:
            if name not in found:
                self._collect(self.stage(name), found)
                found[name] = None

    def expected(self, name: str) -> ExpectedStage:
        """What the chain must show of this stage."""
        stage = self.stage(name)
        return ExpectedStage(
            name=stage.name,
            after=stage.after,
            any_of=stage.any_of,
            admit=stage.admit,
            repositories=self.repositories(name),
            emergency=None if stage.break_glass is None else stage.break_glass.repair_within.timedelta,
            steps=tuple(
                ExpectedStep(name=step.name, by=step.by, spec=step.spec, attested=step.attested, builders=step.builders)
                for step in stage.steps
            ),
        )

    def repositories(self, name: str) -> tuple[str, ...]:
        """Where the stage keeps the image, `host[:port]/path`: the first place and its mirrors."""
        return tuple(f"{place}/{self.definition.image}" for place in self.stage(name).places)


def read(content: bytes, *, path: str, read_file: ReadFile) -> Definition:
    """Read a definition, or raise `DefinitionError` with every fault. Key files are named relative to it."""
    document = parse(content, path=path)
    file = decode(document, DefinitionFile)
    reader = _Reader(document, file, Signers.read(document, file.signers, read_file))
    reader.check()
    owners = reader.signers.owners(document, file.owners)
    stages = tuple(reader.stage(number, entry) for number, entry in enumerate(file.stages))
    document.faults.refuse()
    return Definition(
        content=content,
        digest=Digest.of(content),
        path=path,
        pipeline=file.pipeline,
        version=file.version,
        previous=file.previous,
        image=file.image,
        owners=owners,
        signers=tuple(reader.signers.identities.values()),
        stages=stages,
        materials=reader.signers.materials,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what the shape of the file alone does not say; every fault goes into `document.faults`."""

    document: Document
    file: DefinitionFile
    signers: Signers

    def check(self) -> None:
        """Everything that concerns more than one stage; what follows from a fault is not told as another one."""
        self._check_previous()
        image = self.file.image if self._check_image() else ""
        self._check_places(image)
        if self._check_order():
            self._check_gates()

    def _fault(self, message: str, *steps: str | int, hint: str = "") -> None:
        self.document.faults.add(self.document.at(*steps), message, hint=hint)

    def _check_previous(self) -> None:
        previous, version = self.file.previous, self.file.version
        if version > 1 and previous is None:
            message = f"version {version} needs `previous`, the digest of the definition that it replaces"
            self._fault(message, "version", hint="sha256sum of the file as it was signed last")
        elif version == 1 and previous is not None:
            self._fault("version 1 replaces nothing; count `version` up, or leave `previous` out", "previous")
        elif previous is not None and previous.algorithm != "sha256":
            self._fault("definitions are named by their sha256", "previous")

    def _check_image(self) -> bool:
        try:
            check_repository(self.file.image, self.file.image)
        except UsageError as error:
            self._fault(str(error), "image")
            return False
        return True

    def _check_order(self) -> bool:
        """One entry stage, from which every other one is reached: names known and unique, no circle."""
        before, stages = self.document.faults.count, self.file.stages
        names = [stage.name for stage in stages]
        self._unique(names, "stages", what="stage")
        for number, stage in enumerate(stages):
            for place, name in enumerate(_after(stage)):
                if name not in names:
                    steps = (*_after_steps(stage, number), place)
                    self._fault(f"there is no stage `{name}`", *steps, hint=suggestion(name, names))
        if self.document.faults.count == before:
            self._check_circle()  # without one, some stage is after no other
        entries = [number for number, stage in enumerate(stages) if not _after(stage)]
        for number in entries[1:]:
            message = f"`{stages[entries[0]].name}` and `{stages[number].name}` are both entry stages; there is one"
            self._fault(message, "stages", number, hint="say which stages it is `after`")
        return self.document.faults.count == before

    def _check_circle(self) -> None:
        waiting = {stage.name: set(_after(stage)) for stage in self.file.stages}
        while ready := {name for name, after in waiting.items() if not after}:
            waiting = {name: after - ready for name, after in waiting.items() if name not in ready}
        if not waiting:
            return
        walk = [next(iter(waiting))]
        while walk.count(walk[-1]) == 1:
            walk.append(min(waiting[walk[-1]]))
        circle = walk[walk.index(walk[-1]) :]
        number = [stage.name for stage in self.file.stages].index(circle[0])
        message = f"stages wait for each other in a circle: {' after '.join(circle)}"
        self._fault(message, *_after_steps(self.file.stages[number], number))

    def _check_places(self, image: str) -> None:
        """Each place is `host[:port][/prefix]` and belongs to one stage."""
        owners: dict[str, str] = {}
        for number, stage in enumerate(self.file.stages):
            for index, place in enumerate(_places(stage)):
                steps = ("stages", number, "registry", index)
                try:
                    _check_place(place, image)
                except UsageError as error:
                    self._fault(str(error), *steps)
                    continue
                if place in owners:
                    self._fault(f"`{place}` is the place of `{owners[place]}` already", *steps)
                owners[place] = stage.name

    def stage(self, number: int, entry: StageEntry) -> Stage:
        """One stage; only without any fault is it what was meant."""
        here = ("stages", number)
        if entry.gates is None and _after(entry):
            self._fault(f"`{entry.name}` has no gates", *here, hint="write `gates: {}` if the chain alone is enough")
        self._unique([step.name for step in entry.steps], *here, "steps", what="step")
        self._check_width(entry, number)
        for index, tag in enumerate(entry.tags):
            if fault := _tag_fault(tag):
                self._fault(fault, *here, "tags", index)
        for name, gate in entry.rules.items():
            for option in ("by", "from_", "except_", "provenance_by", "vex_by", "waivers_by"):
                key = option.rstrip("_").replace("_", "-")
                self.signers.check(self.document, (*here, "gates", name, key), _listed(gate, option))
            if isinstance(gate, Approvals):
                self._check_people((*here, "gates", name, "from"), gate.from_)
        return Stage(
            name=entry.name,
            after=_after(entry),
            any_of=isinstance(entry.after, AnyOf),
            places=_places(entry),
            admit=self.signers.role(self.document, (*here, "admit"), f"{entry.name}: admit", entry.admit),
            gates=tuple(entry.rules.items()),
            steps=tuple(self._step(entry, step, number, index) for index, step in enumerate(entry.steps)),
            tags=entry.tags,
            break_glass=self._break_glass(entry, number),
            effective_on=tuple(
                (name, gate.effective_on.time) for name, gate in (entry.gates or {}).items() if gate.effective_on
            ),
        )

    def _check_people(self, here: tuple[str | int, ...], names: Sequence[str]) -> None:
        """Whoever is counted is one: a pattern stands for many, and would be several people at several tags."""
        for index, name in enumerate(names):
            signer = self.signers.identities.get(name)
            if isinstance(signer, KeylessIdentity) and signer.pattern is not None:
                at = self.document.at(*here, index)
                self.document.faults.add(at, f"`{name}` is a pattern; who approves is one", code="policy-too-wide")

    def _check_width(self, entry: StageEntry, number: int) -> None:
        """Where nothing comes after, whoever may push a branch of some name must not be who admits."""
        if any(entry.name in _after(other) for other in self.file.stages):
            return
        for index, name in enumerate(entry.admit):
            signer = self.signers.identities.get(name)
            pattern = signer.pattern if isinstance(signer, KeylessIdentity) else None
            if pattern is not None and not pattern.is_of_tags:
                at = self.document.at("stages", number, "admit", index)
                message = f"`{name}` is a pattern of branches, and `{entry.name}` is a last stage"
                self.document.faults.add(at, message, code="policy-too-wide", hint="name the branch, or use tags")

    def _break_glass(self, stage: StageEntry, number: int) -> BreakGlass | None:
        entry = stage.break_glass
        if entry is None:
            return None
        here = ("stages", number, "break-glass", "from")
        self.signers.check(self.document, here, entry.from_)
        self._check_people(here, entry.from_)
        names = tuple(dict.fromkeys(entry.from_))
        if len(names) < EMERGENCY_APPROVALS:
            self._fault(f"an emergency needs {EMERGENCY_APPROVALS} people, and here are {len(names)}", *here)
        return BreakGlass(names=names, repair_within=entry.repair_within)

    def _step(self, stage: StageEntry, entry: StepEntry, number: int, index: int) -> Step:
        here = ("stages", number, "steps", index)
        if entry.run is None and entry.evidence is None and entry.attested is None:
            message = f"the step `{entry.name}` has neither `run` nor `evidence` nor `attested`"
            hint = 'write `run: "COMMAND {image}"`, `evidence: FORMAT`, or `attested: PREDICATE_TYPE`'
            self._fault(message, *here, hint=hint)
        subject = COMMIT if entry.on == "source" else IMAGE
        if fault := _run_fault(entry.run or "", subject):
            self._fault(fault, *here, "run", hint=f"write {subject}; more is in the variables $SAMEBITS_…")
        for message, key in step_faults(entry, entry_stage=not _after(stage)):
            self._fault(message, *here, key)
        in_image, entries = entry.in_image, [one.admit for one in self.file.stages if not _after(one)]
        builders = entry.builders or (entries[0] if entries else ())
        return Step(
            name=entry.name,
            by=self.signers.role(self.document, (*here, "by"), f"{stage.name}: {entry.name}", entry.by),
            run=entry.run,
            evidence=entry.evidence,
            spec=spec(stage.name, entry),
            env=entry.env,
            timeout=entry.timeout or STEP_TIMEOUT,
            produces=entry.produces,
            exit_codes=(0, *entry.exit_codes),
            in_image=InImage(network=in_image.network, writable=in_image.writable) if in_image else None,
            attested=entry.attested or "",
            builders=self.signers.role(self.document, (*here, "builders"), "builders", builders)
            if entry.on == "source"
            else None,
        )

    def _check_gates(self) -> None:
        """The `steps` that a gate names are steps of the stages before."""
        for number, stage in enumerate(self.file.stages):
            named = ((name, _listed(gate, "steps")) for name, gate in stage.rules.items())
            known = self._steps_before(stage)
            for name, steps in named:
                for index, step in enumerate(steps):
                    if step not in known:
                        message, here = f"no stage before has a step `{step}`", ("stages", number, "gates", name)
                        self._fault(message, *here, "steps", index, hint=suggestion(step, known))

    def _steps_before(self, stage: StageEntry) -> list[str]:
        entries = {entry.name: entry for entry in self.file.stages}
        names, waiting = set[str](), list(_after(stage))
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting.extend(_after(entries[name]))
        return [step.name for entry in self.file.stages if entry.name in names for step in entry.steps]

    def _unique(self, names: Sequence[str], *steps: str | int, what: str) -> None:
        for number, name in enumerate(names):
            if name in names[:number]:
                self._fault(f"there is a {what} `{name}` already", *steps, number, "name")


def _after(stage: StageEntry) -> tuple[str, ...]:
    return stage.after.any_of if isinstance(stage.after, AnyOf) else stage.after or ()


def _after_steps(stage: StageEntry, number: int) -> tuple[str | int, ...]:
    return ("stages", number, "after", *(("any-of",) if isinstance(stage.after, AnyOf) else ()))


def _places(stage: StageEntry) -> tuple[str, ...]:
    """Hosts are compared without case, so they are kept in lower case."""
    places = (stage.registry,) if isinstance(stage.registry, str) else stage.registry
    hosts = (place.partition("/") for place in places)
    return tuple(f"{host.lower()}{slash}{prefix}" for host, slash, prefix in hosts)


def _check_place(place: str, image: str) -> None:
    host, slash, prefix = place.partition("/")
    check_registry(host, place)
    if slash:
        check_repository(prefix, place)
        if image:
            check_repository(f"{prefix}/{image}", f"{place}/{image}")


def _tag_fault(template: str) -> str:
    for placeholder in _TAG_PLACEHOLDER.findall(template):
        if placeholder != SOURCE_TAG:
            return f"{placeholder} is no placeholder of a tag; there is only {SOURCE_TAG}"
    return "" if is_tag(template.replace(SOURCE_TAG, "x")) else f"{template!r:.140} is not a tag"


def _run_fault(command: str, subject: str) -> str:
    if f"${subject}" in command:
        return f"${subject} is read neither by the shell nor here"
    others = (found for found in _RUN_PLACEHOLDER.findall(command) if found != subject)
    return next((f"{found} is no placeholder of a command; there is only {subject}" for found in others), "")


def _listed(gate: Gate, option: str) -> tuple[str, ...]:
    """An option that is a list of names, where the gate has it."""
    value = getattr(gate, option, ())
    return value if isinstance(value, tuple) else ()


def definition_statement(definition: Definition) -> Statement:
    """What an owner signs: this file, the one that it replaces, and the key files that it names, all by digest."""
    return records.definition_statement(definition.record, definition.digest)


def read_signatures(content: bytes) -> tuple[Bundle, ...]:
    """The signatures that lie beside a definition: one Sigstore bundle per line."""
    lines = enumerate(content.split(b"\n"), start=1)
    return tuple(Bundle.from_bytes(line, where=f"signatures, line {n}") for n, line in lines if line.strip())


def with_signature(content: bytes, bundle: Bundle) -> bytes:
    """The signatures with one more, in place of one by the same signer over the same statement."""
    kept = [old for old in read_signatures(content) if _signed(old) != _signed(bundle)]
    return b"".join(b"%b\n" % one.content for one in (*kept, bundle))


def _signed(bundle: Bundle) -> tuple[object, ...]:
    return bundle.material.hint, bundle.material.certificate, bundle.envelope.payload


def trust(definition: Definition, signatures: Sequence[Bundle], anchors: Anchors, now: datetime) -> Pipeline:
    """Believe a definition that enough pinned owners have signed, or raise `AttestationError` with every reason."""
    reasons = [*_disagreements(definition, anchors), *_unsigned(definition, signatures, anchors, now)]
    if reasons:
        raise AttestationError.of(tuple(dict.fromkeys(reasons)))
    lineage = verify_lineage(definition.digest, definition.record, _signed_before(signatures, anchors, now))
    return Pipeline(definition=definition, lineage=lineage, sigstore=anchors.sigstore)


def _signed_before(signatures: Sequence[Bundle], anchors: Anchors, now: datetime) -> list[SignedDefinition]:
    """The definition records that enough pinned owners have signed, whichever definition each is about."""
    verifier = IdentityVerifier(anchors.owners.signers, now, anchors.sigstore)
    signers: dict[tuple[Digest, bytes], set[object]] = {}
    found: dict[tuple[Digest, bytes], SignedDefinition] = {}
    for subject in dict.fromkeys(subject for bundle in signatures for subject in _subjects(bundle)):
        verified, _ = sift(verifier, signatures, subject)
        for item in verified:
            if isinstance(item.claim, DefinitionRecord) and anchors.revocations.reason_for(item) is None:
                key = subject, item.statement.content
                signers.setdefault(key, set()).add(item.signer.who)
                found[key] = SignedDefinition(digest=subject, record=item.claim)
    return [one for key, one in found.items() if len(signers[key]) >= anchors.owners.threshold]


def _subjects(bundle: Bundle) -> Iterator[Digest]:
    """What a bundle says that it is about, before anything is believed."""
    try:
        statement = Statement.from_bytes(bundle.envelope.payload)
        yield from (Digest("sha256", subject.digests["sha256"]) for subject in statement.subjects)
    except (AttestationError, ContentError, KeyError):
        return  # believed about nothing


def _disagreements(definition: Definition, anchors: Anchors) -> Iterator[Reason]:
    """What the definition says otherwise than the pinned trust file, whoever has signed it."""
    where = definition.path
    if definition.pipeline != anchors.pipeline:
        message = f"defines {definition.pipeline!r}, but {anchors.path} trusts {anchors.pipeline!r}"
        yield Reason("pipeline-mismatch", message, where, "--trust FILE")
    if definition.owners.threshold < anchors.owners.threshold:
        message = f"asks for {definition.owners.threshold} owners, {anchors.path} for {anchors.owners.threshold}"
        yield Reason("pipeline-changed", message, where)
    owners = {owner.who for owner in definition.owners.signers}
    for owner in anchors.owners.signers:
        if owner.who not in owners:
            yield Reason("pipeline-changed", f"does not have the owner {owner} of {anchors.path}", where)
    for host in dict.fromkeys(place.partition("/")[0] for stage in definition.stages for place in stage.places):
        if host not in anchors.registries:
            message = f"names the registry {host}, which {anchors.path} does not allow"
            yield Reason("registry-not-allowed", message, where, f"add {host} to `registries` there, if it is yours")


def _unsigned(
    definition: Definition, signatures: Sequence[Bundle], anchors: Anchors, now: datetime
) -> Iterator[Reason]:
    """Why too few owners have signed exactly this definition; nothing when there are enough, whatever else is there."""
    verified, rejected = sift(
        IdentityVerifier(anchors.owners.signers, now, anchors.sigstore), signatures, definition.digest
    )
    objections = [(item.signer, _objection(item, definition, anchors)) for item in verified]
    signers = {signer.who: signer.name for signer, objection in objections if objection is None}
    if len(signers) >= anchors.owners.threshold:
        return
    if signers or not signatures:
        code = "threshold-not-met" if signers else "definition-unsigned"
        signed = f"only {', '.join(sorted(signers.values()))} signed it" if signers else "nobody has signed it"
        message = f"{signed}; {anchors.owners.threshold} of {anchors.owners} must"
        yield Reason(code, message, definition.path, _SIGN)
    yield from (objection for _, objection in objections if objection is not None)
    yield from (_told(one, definition) for one in rejected)


def _objection(item: Verified, definition: Definition, anchors: Anchors) -> Reason | None:
    """Why an owner's signature about this very file does not count."""
    if revoked := anchors.revocations.reason_for(item):
        return revoked
    where, claim = definition.path, item.claim
    if not isinstance(claim, DefinitionRecord):
        message = f"{item.signer} signed {item.statement.predicate_type}, which is no definition record"
        return Reason("predicate-type-mismatch", message, where, _SIGN)
    if claim == definition.record:
        return None
    changed = [path for path, _ in dict(claim.materials).items() ^ dict(definition.materials).items()]
    what = ", ".join(sorted(set(changed))) or "the record's own pipeline, version or previous definition"
    return Reason("pipeline-changed", f"not what {item.signer} signed: {what}", where, _SIGN)


def _told(rejected: Rejected, definition: Definition) -> Reason:
    """A signature that is not believed. That it is about another file is proven: an owner's key signed that."""
    if rejected.reason.code != "subject-mismatch":
        return rejected.reason
    return Reason("pipeline-changed", "the file was changed after an owner signed it", definition.path, _SIGN)
