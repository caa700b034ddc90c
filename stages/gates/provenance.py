"""The image was built by this builder, from this source, in this way, and the builder says so itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from registries.errors import Reason, UsageError
from stages.evidence import Evidence
from stages.gate import Outcome, Verdict
from stages.provenance import Build, Builds, builds
from stages.recorded import digests, place
from stages.source import Repository, Source

NAME: Final = "provenance"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildProvenance:
    """SLSA provenance of every platform, with this builder and source; each must say what is asked for, and no more.

    `ref` are the branches and tags that may be built, whole (`refs/heads/main`) or all below one (`refs/tags/*`).
    `parameters` are external parameters that must be there with one of these values; `any_value` are those, with all
    that is below them, whose value does not matter; any other one is refused. `by` are the signers who are believed,
    otherwise those who may admit to the stage. Unsigned provenance counts once a step has recorded it.
    """

    builder: str | tuple[str, ...]
    source: Repository
    ref: str | tuple[str, ...] = ()
    build_type: str | tuple[str, ...] = ()
    parameters: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    any_value: tuple[str, ...] = ()
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for ref in _several(self.ref):
            if "*" in ref.removesuffix("/*") or not ref.removesuffix("/*"):
                raise UsageError("definition-invalid", f"{ref!r:.80} is no ref; `*` stands only at the end, behind `/`")
        if not _several(self.builder) or not all(_several(self.builder)):
            raise UsageError("definition-invalid", "`builder` names nobody")

    def judge(self, evidence: Evidence) -> Verdict:
        """One good provenance of each platform is enough; one that can't be read is a no."""
        seen = builds(NAME, evidence, self.by)
        wrong = {build.report: tuple(self._mismatches(build)) for build in seen.found}
        good = tuple(build for build in seen.found if not wrong[build.report])
        faults, mismatches = list(seen.faults), dict[Reason, None]()
        for platform in evidence.platforms:
            about = seen.of(platform)
            if not about:
                faults.append(_missing(platform.name, seen))
            elif not any(build in good for build in about):
                mismatches.update(dict.fromkeys(reason for build in about for reason in wrong[build.report]))
        if not evidence.platforms:
            faults.append(_missing("the image, which has no platform", seen))
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if mismatches else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=(*faults, *mismatches),
            counts=(("statements", len(seen.found)), ("good", len(good))),
            evidence=digests(build.report for build in good),
            newest_data=max((at for build in good if (at := build.provenance.finished_at)), default=None),
        )

    def _mismatches(self, build: Build) -> Iterator[Reason]:
        """Everything in it that is not as the gate asks."""
        where, said = place(NAME, build.report), build.provenance
        yield from _other("the builder", said.builder, _several(self.builder), where)
        if self.build_type:
            yield from _other("the build type", said.build_type, _several(self.build_type), where)
        if not said.sources:
            yield Reason("provenance-mismatch", "does not say from which source the image was built", where)
        for source in said.sources:
            yield from self._source(source, where)
        yield from self._parameters(dict(said.parameters), where)

    def _source(self, source: Source, where: str) -> Iterator[Reason]:
        yield from _other("the source", str(source.repository), (str(self.source),), where)
        refs = _several(self.ref)
        if refs and not any(_is_ref(source.ref, ref) for ref in refs):
            yield from _other("the ref", source.ref, refs, where)

    def _parameters(self, given: Mapping[str, str], where: str) -> Iterator[Reason]:
        for name, value in given.items():
            if name in self.parameters:
                yield from _other(f"the parameter {name}", value, _several(self.parameters[name]), where)
            elif not any(_is_below(name, free) for free in self.any_value):
                hint = f"if it may be so, name it in the gate: parameters: {{{name}: {value!r:.80}}}"
                message = f"the parameter {name:.120} is {value!r:.120}, and the gate does not name it"
                yield Reason("provenance-mismatch", message, where, hint)
        for name in self.parameters:
            if name not in given:
                yield Reason("provenance-mismatch", f"does not say what the parameter {name} was", where)


def _several(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else text


def _other(what: str, found: str, wanted: tuple[str, ...], where: str) -> Iterator[Reason]:
    if found not in wanted:
        said = f"{found!r:.200}" if found else "not said"
        yield Reason("provenance-mismatch", f"{what} is {said}, and must be {' or '.join(wanted)}", where)


def _is_ref(ref: str, wanted: str) -> bool:
    """The ref itself, or one below `wanted` without its star."""
    below = wanted.removesuffix("*")
    return ref == wanted if below == wanted else ref.startswith(below) and ref != below


def _is_below(name: str, free: str) -> bool:
    return name == free or name.startswith((f"{free}.", f"{free}["))


def _missing(what: str, seen: Builds) -> Reason:
    hint = "have the builder attest SLSA provenance about the image, and name its signer: by"
    return Reason("attestation-missing", f"no provenance of {what} counts{seen.but}", f"gate {NAME}", hint)
