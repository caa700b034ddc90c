"""The chain of one image: admission and step records from the entry stage to where it is now, each named by digest.

The rule (design, section 2, step 4): for every predecessor stage, back to the entry, an admission record by a signer of
that stage, over exactly this digest, under a definition of the lineage, naming its own predecessors' records by digest;
and for every step defined there, a passing record by a signer of the step, naming that admission. No waiver applies.

What can go wrong, and its code:

    predecessor-missing    a record that is needed, or that a later record names, is not there
    predecessor-changed    a record that a later one names was replaced by another valid one
    stage-skipped          the image came from further back than the definition allows
    chain-branched         two admissions to one stage rest on different things, and nothing says which one counts
    run-mismatch           a step was done after another admission than the one it is shown for
    step-missing, step-failed, step-ambiguous, step-changed
    attestation-missing, provenance-mismatch    nothing says from which commit the image is; a step was done on another
    break-glass-expired, break-glass-not-allowed
    signer-not-for-stage   the signer is known, but may not sign this
    pipeline-mismatch, pipeline-changed, repository-mismatch, clock-skew

A record that does not count never hides one that does: it is left aside, and named only when nothing better is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from attestations.commit import Commit
from attestations.errors import ChainBroken
from attestations.identity import Role
from attestations.lineage import Lineage
from attestations.records.admission import ADMISSION, Admission, AdmissionKind, PipelineReference, Predecessor
from attestations.records.step import STEP, StepRecord, StepResult
from attestations.steps import BuiltFrom, ExpectedStep, StepProof, attested_step, not_of_the_source, source_of
from attestations.verify import Rejected, Verified
from registries.digest import Digest
from registries.errors import Reason

CLOCK_TOLERANCE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedStage:
    """What the definition says about a stage, as far as the chain is concerned.

    `repositories` are the `host/repository` places that an admission there may name as its destination. `emergency` is
    how long an admission counts there that gates refused; it never carries an image into another stage.
    """

    name: str
    after: tuple[str, ...]
    any_of: bool
    admit: Role
    repositories: tuple[str, ...]
    steps: tuple[ExpectedStep, ...]
    emergency: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One stage of a chain: the admission record that counts, and the proof of each of the stage's steps."""

    stage: str
    verified: Verified
    admission: Admission
    steps: tuple[StepProof, ...]

    @property
    def record(self) -> Digest:
        """The identity of the admission record."""
        return self.verified.record


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A whole chain, predecessors before successors. Only `verify_chain` makes one; empty for an entry stage."""

    subject: Digest
    links: tuple[Link, ...]

    def link(self, stage: str) -> Link | None:
        """The link of this stage, if the chain passes through it."""
        return next((link for link in self.links if link.stage == stage), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Everything that is said about one image: what was verified, and what was not believed.

    `on_source` are step records that hang on the image and are about a commit; `built_from` is what the image's
    provenance says, by whomever, so that it can be seen whether it is the image's own.
    """

    subject: Digest
    verified: tuple[Verified, ...]
    rejected: tuple[Rejected, ...] = ()
    on_source: tuple[Verified, ...] = ()
    built_from: tuple[BuiltFrom, ...] = ()

    def admissions(self, stage: str) -> tuple[tuple[Verified, Admission], ...]:
        """The admission records of this stage, believed but not yet judged, each once, oldest first."""
        found = {
            verified.record: (verified, claim)
            for verified in self.verified
            if isinstance(claim := verified.claim, Admission) and claim.stage == stage
        }
        return tuple(sorted(found.values(), key=lambda pair: (pair[1].decided_at, pair[0].record)))

    def steps(self, stage: str, step: str) -> tuple[tuple[Verified, StepRecord], ...]:
        """The records of this step, believed but not yet judged, each once, oldest first."""
        return _steps(self.verified, stage, step)

    def source_steps(self, stage: str, step: str) -> tuple[tuple[Verified, StepRecord], ...]:
        """The same of a step on the source, on whatever commit."""
        return _steps(self.on_source, stage, step)

    def attested(self, predicate_type: str) -> tuple[Verified, ...]:
        """What others have attested in this type, believed but not yet judged, each once."""
        found = {
            item.record: item
            for item in self.verified
            if item.claim is None and item.statement.predicate_type == predicate_type
        }
        return tuple(found[record] for record in sorted(found))


def _steps(said: Iterable[Verified], stage: str, step: str) -> tuple[tuple[Verified, StepRecord], ...]:
    found = {
        verified.record: (verified, claim)
        for verified in said
        if isinstance(claim := verified.claim, StepRecord) and (claim.stage, claim.step) == (stage, step)
    }
    return tuple(sorted(found.values(), key=lambda pair: (pair[1].finished_at, pair[0].record)))


def verify_chain(
    records: Records,
    *,
    after: tuple[str, ...],
    any_of: bool,
    stages: Sequence[ExpectedStage],
    lineage: Lineage,
    now: datetime,
    last: str | None = None,
) -> Chain:
    """The chain that leads to a stage after `after`, or `ChainBroken` with every fault.

    `stages` are the stages in `after` and all before them. `last` is the one where the image is asked for, if it is not
    to go on from there: an emergency admission counts there, for its time. Pure; the order of the records never
    matters.
    """
    walk = _Walk(records=records, stages={stage.name: stage for stage in stages}, lineage=lineage, now=now, last=last)
    links: dict[str, Link] = {}
    faults: list[Reason] = []
    forks: list[Reason] = []
    for name in after:
        found = walk.stage(name)
        if isinstance(found, _Whole):
            forks.extend(_join(links, found.links))
        else:
            faults.extend(found.faults)
    blocked = not links if any_of and after else bool(faults)
    if blocked or forks:
        faults.extend(forks)
        raise ChainBroken.of(_distinct(faults))
    order = [stage.name for stage in stages]
    return Chain(subject=records.subject, links=tuple(sorted(links.values(), key=lambda link: order.index(link.stage))))


def heads(
    candidates: Iterable[tuple[Verified, StepRecord]],
) -> tuple[tuple[Verified, StepRecord], ...]:
    """The step records that no other one of them supersedes.

    A bundle can be written in other ways without its key: another hint, white space, the other `s` of an ECDSA
    signature. Such a twin has a record digest of its own but says the same, byte for byte: it counts as the same one.
    """
    records = tuple(candidates)
    superseded = {digest for _, step in records for digest in step.supersedes}
    replaced = {verified.statement.content for verified, _ in records if verified.record in superseded}
    standing: dict[bytes, tuple[Verified, StepRecord]] = {}
    for verified, step in sorted(records, key=lambda pair: pair[0].record):
        if verified.statement.content not in replaced:
            standing.setdefault(verified.statement.content, (verified, step))
    return tuple(standing.values())


@dataclass(frozen=True, slots=True)
class _Whole:
    """The links of a stage and of all before it."""

    links: dict[str, Link]


@dataclass(frozen=True, slots=True)
class _Broken:
    """Why there is no chain up to a stage; never empty."""

    faults: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A predecessor as a later record names it; `current` when that record was made under the definition in force."""

    link: Predecessor
    current: bool

    def step(self, name: str) -> Digest | None:
        """The record of this step that it names."""
        return next((link.record for link in self.link.steps if link.name == name), None)


_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """One walk from a stage back to the entry, over records that do not change meanwhile."""

    records: Records
    stages: dict[str, ExpectedStage]
    lineage: Lineage
    now: datetime
    last: str | None = None
    """The stage where the image is asked for; None where it is to go on."""

    def stage(self, name: str) -> _Whole | _Broken:
        """The chain up to a stage that no later record names: every admission there is a candidate."""
        expected = self.stages[name]
        acceptable, faults = self._acceptable_admissions(expected)
        if not acceptable:
            return _Broken(tuple(faults) or self._absent(expected))
        results = [self._link(expected, verified, admission, named=None) for verified, admission in acceptable]
        whole = [result for result in results if isinstance(result, _Whole)]
        ordinary = [result for result in whole if result.links[name].admission.kind is AdmissionKind.PROMOTION]
        whole = ordinary or whole  # an emergency that was repaired since is no second ground
        if not whole:
            return min((result for result in results if isinstance(result, _Broken)), key=lambda r: len(r.faults))
        if len({_grounds(result.links[name].admission) for result in whole}) > 1:
            return _Broken((_branched(name, [result.links[name] for result in whole]),))
        return whole[0]

    def _named(self, by: Digest, named: _Named) -> _Whole | _Broken:
        """The chain up to a stage whose record a later record names: exactly that one counts."""
        expected, where = self.stages[named.link.stage], f"record {by}"
        acceptable, faults = self._acceptable_admissions(expected)
        for verified, admission in acceptable:
            if verified.record == named.link.record:
                return self._link(expected, verified, admission, named=named)
        if any(verified.record == named.link.record for verified, _ in self.records.admissions(named.link.stage)):
            return _Broken(tuple(faults))
        replaced = [str(verified.record) for verified, _ in acceptable]
        return _Broken(self._gone(named.link.record, f"admission to {named.link.stage}", where, replaced))

    def _link(
        self, expected: ExpectedStage, verified: Verified, admission: Admission, *, named: _Named | None
    ) -> _Whole | _Broken:
        """Judge one admission: the stages it rests on, and the steps that were done after it."""
        links: dict[str, Link] = {}
        faults: list[Reason] = list(self._order_faults(expected, verified, admission))
        if not faults:
            for predecessor in admission.predecessors:
                current = admission.pipeline.definition == self.lineage.current
                found = self._named(verified.record, _Named(link=predecessor, current=current))
                if isinstance(found, _Whole):
                    faults.extend(_join(links, found.links))
                else:
                    faults.extend(found.faults)
        proofs: list[StepProof] = []
        for step in expected.steps:
            proof = self._step(expected, step, verified.record, named)
            if isinstance(proof, StepProof):
                proofs.append(proof)
            else:
                faults.extend(proof.faults)
        if faults:
            return _Broken(tuple(faults))
        links[expected.name] = Link(stage=expected.name, verified=verified, admission=admission, steps=tuple(proofs))
        return _Whole(links)

    def _acceptable_admissions(self, expected: ExpectedStage) -> tuple[list[tuple[Verified, Admission]], list[Reason]]:
        """The admissions to a stage that count, and what is wrong with each of the others."""
        acceptable: list[tuple[Verified, Admission]] = []
        faults: list[Reason] = []
        for verified, admission in self.records.admissions(expected.name):
            if admission.kind is AdmissionKind.ROLLBACK:
                continue  # it says that the tag went back; the image was admitted by the record before
            found = list(self._admission_faults(expected, verified, admission))
            if found:
                faults.extend(found)
            else:
                acceptable.append((verified, admission))
        return acceptable, faults

    def _admission_faults(self, expected: ExpectedStage, verified: Verified, admission: Admission) -> Iterable[Reason]:
        where = f"admission to {expected.name}, record {verified.record}"
        yield from self._signed_by(verified, expected.admit, where)
        yield from self._pipeline(admission.pipeline, where)
        if admission.destination not in expected.repositories:
            places = ", ".join(expected.repositories)
            yield Reason("repository-mismatch", f"was made for {admission.destination}, the stage is {places}", where)
        if admission.kind is AdmissionKind.BREAK_GLASS:
            yield from self._emergency(expected, admission, where)
        yield from self._not_ahead(admission.decided_at, where)

    def _emergency(self, expected: ExpectedStage, admission: Admission, where: str) -> Iterable[Reason]:
        hint = f"repair it, then: samebits promote {expected.name} {self.records.subject}"
        if expected.name != self.last:
            yield Reason("break-glass-expired", "an emergency admission carries no image further", where, hint)
        elif expected.emergency is None:
            yield Reason("break-glass-not-allowed", f"{expected.name} has no `break-glass` any more", where, hint)
        elif self.now > (until := admission.decided_at + expected.emergency):
            yield Reason("break-glass-expired", f"the emergency had to be repaired by {until.isoformat()}", where, hint)

    def _order_faults(self, expected: ExpectedStage, verified: Verified, admission: Admission) -> Iterable[Reason]:
        """Whether the admission rests on the stages that the definition puts before it."""
        where = f"admission to {expected.name}, record {verified.record}"
        rests_on = [predecessor.stage for predecessor in admission.predecessors]
        allowed = set(expected.after)
        complete = (
            bool(rests_on) and set(rests_on) <= allowed
            if expected.any_of and expected.after
            else set(rests_on) == allowed
        )
        if not complete or len(set(rests_on)) != len(rests_on):
            before = (" or " if expected.any_of else " and ").join(expected.after) or "nothing"
            message = f"rests on {', '.join(rests_on) or 'nothing'}, but {expected.name} comes after {before}"
            yield Reason("stage-skipped", message, where)
        sources = {place for name in rests_on if name in self.stages for place in self.stages[name].repositories}
        if expected.after and admission.source not in sources:
            message = f"was taken from {admission.source}, the stages before it are {', '.join(sorted(sources))}"
            yield Reason("repository-mismatch", message, where)

    def _step(
        self, stage: ExpectedStage, step: ExpectedStep, admission: Digest, named: _Named | None
    ) -> StepProof | _Broken:
        """The one record that this step rests on: the head of its re-runs, passing, as defined."""
        where = f"step {step.name} of {stage.name}"
        if step.attested:
            return self._attested_step(step, named, where)
        if step.builders is None:
            counted, foreign = self._counted_steps(stage, step, admission, where)
        else:
            counted, foreign = self._counted_source_steps(stage, step, step.builders, where)
        there = [verified.record for verified, _ in counted]
        if named is not None and (gone := self._named_step(named, step, there, where)):
            return _Broken((*foreign, *gone) if step.builders else gone)
        standing = heads(counted)
        if not standing:
            return _Broken(tuple(foreign) or self._absent_step(stage, step, where))
        if len(standing) > 1:
            rivals = " and ".join(str(verified.record) for verified, _ in standing)
            hint = f"run it again: samebits step {stage.name} {step.name} {self.records.subject}"
            return _Broken((Reason("step-ambiguous", f"{rivals} contradict or repeat each other", where, hint),))
        verified, record = standing[0]
        faults = tuple(self._step_faults(step, verified, record, where))
        return _Broken(faults) if faults else StepProof(name=step.name, verified=verified, step=record)

    def _attested_step(self, step: ExpectedStep, named: _Named | None, where: str) -> StepProof | _Broken:
        """The attestation of others that this step rests on, about this image and by the step's role."""
        found = self.records.attested(step.attested)
        counted = [item for item in found if step.by.admits(item.signer)]
        there = [item.record for item in counted]
        if named is not None and (gone := self._named_step(named, step, there, where)):
            return _Broken(gone)
        if not counted:
            places = ((item, f"{where}, attestation {item.record}") for item in found)
            strangers = [reason for item, place in places for reason in self._signed_by(item, step.by, place)]
            return _Broken(tuple(strangers) or self._not_attested(step, where))
        link = None if named is None else named.step(step.name)
        proof = attested_step(step, counted, where, named=link)
        return _Broken((proof,)) if isinstance(proof, Reason) else proof

    def _not_attested(self, step: ExpectedStep, where: str) -> tuple[Reason, ...]:
        told = self._told(lambda r: r.says[0] == step.attested, where)
        hint = f"cosign attest --type {step.attested} --predicate FILE IMAGE@{self.records.subject}"
        message = f"{step.by} has attested no {step.attested} about it in a bundle (samebits rewrap makes old ones so)"
        return (*told, Reason("step-missing", message, where, hint))

    def _counted_source_steps(
        self, stage: ExpectedStage, step: ExpectedStep, builders: Role, where: str
    ) -> tuple[list[tuple[Verified, StepRecord]], list[Reason]]:
        """Records about the commit that the image was built from, and why the others do not count."""
        done = self.records.source_steps(stage.name, step.name)
        commit = source_of(self.records.built_from, builders, where)
        if isinstance(commit, Reason):
            return [], [commit]
        counted: list[tuple[Verified, StepRecord]] = []
        foreign = [*not_of_the_source((record for _, record in done), commit, where)]
        for verified, record in done:
            if record.commit == commit:
                place = f"{where}, record {verified.record}"
                faults = [*self._signed_by(verified, step.by, place), *self._pipeline(record.pipeline, place)]
                foreign.extend(faults)
                if not faults:
                    counted.append((verified, record))
        return counted, foreign

    def _counted_steps(
        self, stage: ExpectedStage, step: ExpectedStep, admission: Digest, where: str
    ) -> tuple[list[tuple[Verified, StepRecord]], list[Reason]]:
        """Records by the step's signers after this admission, and why the others do not count."""
        counted: list[tuple[Verified, StepRecord]] = []
        foreign: list[Reason] = []
        for verified, record in self.records.steps(stage.name, step.name):
            place = f"{where}, record {verified.record}"
            faults = [*self._signed_by(verified, step.by, place), *self._pipeline(record.pipeline, place)]
            if record.admission != admission:
                faults.append(
                    Reason("run-mismatch", f"was done after {record.admission}, not after {admission}", place)
                )
            if faults:
                foreign.extend(faults)
            else:
                counted.append((verified, record))
        return counted, foreign

    def _named_step(self, named: _Named, step: ExpectedStep, there: Sequence[Digest], where: str) -> tuple[Reason, ...]:
        """Whether the step record that a later admission names is still there; empty when it is."""
        record = named.step(step.name)
        if record is None and not named.current:
            return ()  # the step came with a later definition: a passing record of it is enough
        if record is None:
            return (Reason("step-missing", "the admission that follows names no record of it", where),)
        if record in there:
            return ()
        return self._gone(record, where, where, [str(other) for other in there])

    def _step_faults(self, step: ExpectedStep, verified: Verified, record: StepRecord, where: str) -> Iterable[Reason]:
        place = f"{where}, record {verified.record}"
        hint = f"samebits step {record.stage} {record.step} {record.commit or self.records.subject}"
        if record.spec != step.spec:
            yield Reason(
                "step-changed", "the step was defined otherwise when it was done", place, f"run it again: {hint}"
            )
        if record.result is not StepResult.PASSED:
            yield Reason("step-failed", "the step failed", place, f"fix it, then run it again: {hint}")
        yield from self._not_ahead(record.finished_at, place)

    def _signed_by(self, verified: Verified, role: Role, where: str) -> Iterable[Reason]:
        if not role.admits(verified.signer):
            yield Reason("signer-not-for-stage", f"{verified.signer} may not sign this; {role} may", where)

    def _pipeline(self, pipeline: PipelineReference, where: str) -> Iterable[Reason]:
        if pipeline.name != self.lineage.pipeline:
            yield Reason("pipeline-mismatch", f"belongs to {pipeline.name!r}, not {self.lineage.pipeline!r}", where)
        elif pipeline.version > self.lineage.version:
            message = f"was made under version {pipeline.version} ({pipeline.definition}), after the one in force"
            hint = f"version {self.lineage.version} is in force here; use the definition that replaced it"
            yield Reason("definition-rolled-back", message, where, hint)
        elif not self.lineage.includes(pipeline.definition):
            message = f"was made under definition {pipeline.definition}, from which the one in force does not descend"
            hint = ""
            if gap := self.lineage.unknown_before:
                message += f", as far as is known: what {gap} replaced is not, without its owners' signatures"
                hint = "put them back beside the definition: git log -p -- '*.sigstore.jsonl'"
            yield Reason("pipeline-changed", message, where, hint)

    def _not_ahead(self, time: datetime, where: str) -> Iterable[Reason]:
        if time > self.now + CLOCK_TOLERANCE:
            yield Reason("clock-skew", f"says {time.isoformat()}, which is ahead of {self.now.isoformat()}", where)

    def _absent(self, expected: ExpectedStage) -> tuple[Reason, ...]:
        """Why no admission to this stage is there: not believed, never been there, or never been anywhere."""
        where = f"{expected.name} {self.records.subject}"
        told = self._told(lambda r: r.says == (ADMISSION, expected.name, ""), f"admission to {expected.name}")
        reached = sorted(name for name in self.stages if name != expected.name and self.records.admissions(name))
        hint = f"samebits promote {expected.name} {self.records.subject}"
        if any(record.stage == expected.name for record in self._all_steps()):
            gap = Reason("predecessor-missing", "the steps done there name an admission that is not there", where)
        elif reached:
            message = f"the image was admitted to {', '.join(reached)}, but never to {expected.name}"
            gap = Reason("stage-skipped", message, where, hint)
        else:
            gap = Reason("predecessor-missing", f"no admission to {expected.name} is attached to it", where, hint)
        return (*told, gap)

    def _absent_step(self, stage: ExpectedStage, step: ExpectedStep, where: str) -> tuple[Reason, ...]:
        told = self._told(lambda r: r.says == (STEP, stage.name, step.name), where)
        source = source_of(self.records.built_from, step.builders, where) if step.builders else None
        subject = f"{self.records.subject} --from FOLDER" if isinstance(source, Commit) else self.records.subject
        hint = f"samebits step {stage.name} {step.name} {subject}"
        on = f" on {source}, from which the image was built" if isinstance(source, Commit) else ""
        return (*told, Reason("step-missing", f"no record that it was done{on}", where, hint))

    def _gone(self, record: Digest, what: str, where: str, others: Sequence[str]) -> tuple[Reason, ...]:
        """A record that a later one names by digest is not among those that count."""
        told = self._told(lambda r: r.record == record, what)
        if others:
            message = f"{record} was replaced by {', '.join(others)}"
            return (*told, Reason("predecessor-changed", message, where))
        return (*told, Reason("predecessor-missing", f"{record} ({what}) is not there", where))

    def _told(self, wanted: Callable[[Rejected], bool], what: str) -> tuple[Reason, ...]:
        return tuple(
            Reason(
                rejected.reason.code, rejected.reason.message, f"{what}, record {rejected.record}", rejected.reason.hint
            )
            for rejected in sorted(self.records.rejected, key=lambda r: r.record)
            if wanted(rejected)
        )

    def _all_steps(self) -> Iterable[StepRecord]:
        return (verified.claim for verified in self.records.verified if isinstance(verified.claim, StepRecord))


def _join(links: dict[str, Link], other: dict[str, Link]) -> list[Reason]:
    """Add the links of another branch; where both pass a stage, they must have been admitted there on one ground."""
    forks = [
        name for name in links.keys() & other if _grounds(links[name].admission) != _grounds(other[name].admission)
    ]
    faults = [_branched(name, [links[name], other[name]]) for name in sorted(forks)]
    links |= {name: link for name, link in other.items() if name not in links}
    return faults


def _branched(name: str, links: Sequence[Link]) -> Reason:
    rivals = " and ".join(sorted(str(link.record) for link in links))
    return Reason("chain-branched", f"{rivals} admit the image on different grounds", f"admission to {name}")


def _grounds(admission: Admission) -> tuple[object, ...]:
    """What an admission rests on. Two with the same grounds are one decision, written down twice."""
    return (admission.kind, admission.predecessors, admission.pipeline, admission.source)


def _distinct(items: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(items))
