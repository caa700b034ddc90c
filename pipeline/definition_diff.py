"""What one definition changes against another, in words, and which of it lets in more than before.

Whatever no rule here knows to be harmless or stricter is counted as loosening: a kind of change that nobody thought of
must not pass a review unseen. Only the two files are compared; a key file that was replaced shows in the signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final

from pipeline.schema import AnyOf, DefinitionFile, GateEntry, Moment, Period, SignerEntry, StageEntry, StepEntry
from stages.duration import Duration
from stages.evidence import UNDATED
from stages.finding import Severity


class Effect(StrEnum):
    """What a change does to what is let in."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `where` is the key path, such as `stages.prod.gates.soak.time`."""

    effect: Effect
    where: str
    message: str


def differences(old: DefinitionFile, new: DefinitionFile) -> tuple[Change, ...]:
    """Every change from `old` to `new`, what loosens first."""
    found = [
        *_plain("pipeline", old.pipeline, new.pipeline),
        *_plain("image", old.image, new.image),
        *_version(old, new),
        *_number("owners.threshold", old.owners.threshold, new.owners.threshold, more=Effect.TIGHTENS),
        *_names("owners.signers", old.owners.signers, new.owners.signers, "may sign the definition"),
        *_table("signers", old.signers, new.signers, _signer, absent=Effect.TIGHTENS, added=Effect.NEITHER),
        *_table(
            "stages",
            {stage.name: stage for stage in old.stages},
            {stage.name: stage for stage in new.stages},
            _stage,
            absent=Effect.LOOSENS,
            added=Effect.LOOSENS,
        ),
    ]
    order = list(Effect)
    return tuple(sorted(found, key=lambda change: order.index(change.effect)))


def _version(old: DefinitionFile, new: DefinitionFile) -> Iterator[Change]:
    if new.version <= old.version and (old.version, old.previous) != (new.version, new.previous):
        yield Change(Effect.LOOSENS, "version", f"goes back from {old.version} to {new.version}")
    elif new.version != old.version:
        yield Change(Effect.NEITHER, "version", f"from {old.version} to {new.version}")


def _signer(where: str, old: SignerEntry, new: SignerEntry) -> Iterator[Change]:
    """Another key or identity under the same name is somebody else."""
    if type(old) is not type(new):
        yield Change(Effect.LOOSENS, where, "is known in another way")
        return
    for name in _fields(old):
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Period):
            yield from _period(f"{where}.valid", before, after)
        else:
            yield from _plain(f"{where}.{_key(name)}", before, after)


def _period(where: str, old: Period, new: Period) -> Iterator[Change]:
    """An open end is the furthest one."""
    yield from _moment(f"{where}.from", old.from_, new.from_, later=Effect.TIGHTENS)
    yield from _moment(f"{where}.until", old.until, new.until, later=Effect.LOOSENS)


def _moment(where: str, old: Moment | None, new: Moment | None, *, later: Effect) -> Iterator[Change]:
    if old == new:
        return
    opened = _opposite(Effect.TIGHTENS)
    if new is None:
        yield Change(opened, where, f"was {_shown(old)}, and is open now")
    elif old is None:
        yield Change(Effect.TIGHTENS, where, f"is {_shown(new)} now")
    else:
        yield Change(later if new.time > old.time else _opposite(later), where, _from_to(old, new))


def _stage(where: str, old: StageEntry, new: StageEntry) -> Iterator[Change]:
    yield from _after(f"{where}.after", old, new)
    yield from _plain(f"{where}.registry", old.registry, new.registry)
    yield from _names(f"{where}.admit", old.admit, new.admit, "may admit")
    yield from _table(
        f"{where}.gates", old.gates or {}, new.gates or {}, _gate, absent=Effect.LOOSENS, added=Effect.TIGHTENS
    )
    yield from _table(
        f"{where}.steps",
        {step.name: step for step in old.steps},
        {step.name: step for step in new.steps},
        _step,
        absent=Effect.LOOSENS,
        added=Effect.TIGHTENS,
    )
    yield from _emergency(f"{where}.break-glass", old, new)
    if set(old.tags) != set(new.tags):
        yield Change(Effect.NEITHER, f"{where}.tags", _from_to(old.tags, new.tags))
    yield from _others(where, old, new, {"name", "after", "registry", "admit", "gates", "steps", "break_glass", "tags"})


def _after(where: str, old: StageEntry, new: StageEntry) -> Iterator[Change]:
    """More stages that must all have been passed are stricter; one more that is enough is not."""
    if old.after == new.after:
        return
    before, after = old.after, new.after
    if not isinstance(before, AnyOf | None) and not isinstance(after, AnyOf | None) and set(before) < set(after):
        yield Change(Effect.TIGHTENS, where, _from_to(before, after))
    elif isinstance(before, AnyOf) and isinstance(after, AnyOf) and set(after.any_of) < set(before.any_of):
        yield Change(Effect.TIGHTENS, where, _from_to(before.any_of, after.any_of))
    elif not (isinstance(before, tuple) and isinstance(after, tuple) and set(before) == set(after)):
        yield Change(Effect.LOOSENS, where, f"the order of the stages changes: {_from_to(before, after)}")


def _emergency(where: str, old: StageEntry, new: StageEntry) -> Iterator[Change]:
    before, after = old.break_glass, new.break_glass
    if before is None and after is not None:
        yield Change(Effect.LOOSENS, where, f"an emergency may overrule gates: {_shown(after.from_)}")
    elif before is not None and after is None:
        yield Change(Effect.TIGHTENS, where, "no emergency overrules a gate any more")
    elif before is not None and after is not None:
        yield from _names(f"{where}.from", before.from_, after.from_, "may declare an emergency")
        yield from _length(f"{where}.repair-within", before.repair_within, after.repair_within, longer=Effect.LOOSENS)
        yield from _others(where, before, after, {"from_", "repair_within"})


def _step(where: str, old: StepEntry, new: StepEntry) -> Iterator[Change]:
    yield from _names(f"{where}.by", old.by, new.by, "may record it")
    if old.evidence is None and new.evidence is not None:
        yield Change(Effect.TIGHTENS, f"{where}.evidence", f"asks for a {new.evidence} report now")
    else:
        yield from _plain(f"{where}.evidence", old.evidence, new.evidence)
    yield from _others(where, old, new, {"name", "by", "evidence"})


def _gate(where: str, old: GateEntry, new: GateEntry) -> Iterator[Change]:
    yield from _effective(f"{where}.effective-on", old.effective_on, new.effective_on)
    for name in _fields(old.gate):
        before, after = getattr(old.gate, name), getattr(new.gate, name)
        if before != after:
            yield from _option(f"{where}.{_key(name)}", name, before, after)


def _effective(where: str, old: Moment | None, new: Moment | None) -> Iterator[Change]:
    """Without a day a gate has blocked since ever."""
    if old == new:
        return
    before, after = (UNDATED if one is None else one.time for one in (old, new))
    effect = Effect.LOOSENS if after > before else Effect.TIGHTENS
    yield Change(effect, where, _from_to(old or "at once", new or "at once"))


# How an option of any gate is compared; what is not here is `_plain`, and so loosens.
_LESS_IS_LOOSER: Final = frozenset({"count", "min_tests", "min_components", "time"})
_MORE_IS_LOOSER: Final = frozenset({"max_age", "max_data_age", "max_record_age", "max"})
_NAMES_LOOSEN: Final = frozenset({"from_", "except_", "waivers_by", "vex_by", "env", "any_value"})
_NAMES_TIGHTEN: Final = frozenset({"not_", "labels", "days", "dates", "hours"})
_EMPTY_IS_ANY: Final = frozenset({"by", "provenance_by", "tools", "steps"})


def _option(where: str, name: str, old: Any, new: Any) -> Iterator[Change]:
    """One option of a gate that was changed."""
    match old, new:
        case Severity(), Severity():
            effect = Effect.LOOSENS if new.rank > old.rank else Effect.TIGHTENS
            yield Change(effect, where, f"{_from_to(old, new)} and worse")
        case (Duration() | None, Duration() | None) if name in _MORE_IS_LOOSER:
            yield from _length(where, old, new, longer=Effect.LOOSENS)
        case (Duration() | None, Duration() | None) if name in _LESS_IS_LOOSER:
            yield from _length(where, old, new, longer=Effect.TIGHTENS)
        case (int() | "none", int() | "none") if name in _MORE_IS_LOOSER and not isinstance(old, bool):
            before, after = (0 if one == "none" else one for one in (old, new))
            yield from _number(where, before, after, more=Effect.LOOSENS)
        case (int(), int()) if name in _LESS_IS_LOOSER:
            yield from _number(where, old, new, more=Effect.TIGHTENS)
        case (tuple(), tuple()) if name in _NAMES_LOOSEN:
            yield from _names(where, old, new, "is taken")
        case (tuple(), tuple()) if name in _NAMES_TIGHTEN:
            yield from _names(where, new, old, "is demanded", turned=True)
        case (tuple(), tuple()) if name in _EMPTY_IS_ANY and bool(old) != bool(new):
            effect = Effect.TIGHTENS if new else Effect.LOOSENS
            yield Change(effect, where, _from_to(old or "any", new or "any"))
        case (tuple(), tuple()) if name in _EMPTY_IS_ANY and name != "steps":
            yield from _names(where, old, new, "is taken")
        case _:
            yield from _plain(where, old, new)


def _length(where: str, old: Duration | None, new: Duration | None, *, longer: Effect) -> Iterator[Change]:
    """None is no limit at all."""
    if old == new:
        return
    if old is None or new is None:
        effect = Effect.LOOSENS if new is None else Effect.TIGHTENS
    else:
        effect = longer if new.timedelta > old.timedelta else _opposite(longer)
        effect = Effect.NEITHER if new.timedelta == old.timedelta else effect
    yield Change(effect, where, _from_to(old or "no limit", new or "no limit"))


def _number(where: str, old: int, new: int, *, more: Effect) -> Iterator[Change]:
    if old != new:
        yield Change(more if new > old else _opposite(more), where, _from_to(old, new))


def _names(where: str, old: Sequence[Any], new: Sequence[Any], may: str, *, turned: bool = False) -> Iterator[Change]:
    """Each name that came or went; `turned` where old and new were handed over in turned order."""
    added, removed = ([str(one) for one in new if one not in old], [str(one) for one in old if one not in new])
    came, went = (" no longer", "") if turned else ("", " no longer")
    yield from (Change(Effect.LOOSENS, where, f"`{name}` {may}{came}") for name in added)
    yield from (Change(Effect.TIGHTENS, where, f"`{name}` {may}{went}") for name in removed)


def _table(
    where: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    compare: Callable[[str, Any, Any], Iterator[Change]],
    *,
    absent: Effect,
    added: Effect,
) -> Iterator[Change]:
    for name, value in old.items():
        if name not in new:
            yield Change(absent, f"{where}.{name}", "is gone")
        elif value != new[name]:
            yield from compare(f"{where}.{name}", value, new[name])
    yield from (Change(added, f"{where}.{name}", "is new") for name in new if name not in old)


def _others(where: str, old: Any, new: Any, known: set[str]) -> Iterator[Change]:
    """Fields that came to the format after these rules were written."""
    for name in _fields(old):
        if name not in known:
            yield from _plain(f"{where}.{_key(name)}", getattr(old, name), getattr(new, name))


def _plain(where: str, old: Any, new: Any) -> Iterator[Change]:
    if old != new:
        yield Change(Effect.LOOSENS, where, _from_to(old, new))


def _opposite(effect: Effect) -> Effect:
    return Effect.LOOSENS if effect is Effect.TIGHTENS else Effect.TIGHTENS


def _fields(value: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(value)) if is_dataclass(value) else ()


def _key(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _from_to(old: Any, new: Any) -> str:
    return f"from {_shown(old)} to {_shown(new)}"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case Moment():
            return value.time.isoformat()
        case AnyOf():
            return f"any of {_shown(value.any_of)}"
        case tuple() | list():
            return ", ".join(_shown(one) for one in value) or "nothing"
        case Mapping():
            return ", ".join(f"{key}: {_shown(one)}" for key, one in value.items()) or "nothing"
        case _ if is_dataclass(value) and type(value).__str__ is object.__str__:
            return ", ".join(f"{_key(name)}: {_shown(getattr(value, name))}" for name in _fields(value))
        case _:
            return str(value)
