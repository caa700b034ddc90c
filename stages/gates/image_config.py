"""How the image starts: not as root, without secrets in its environment, by an entry point that is expected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from registries.errors import ContentError, Reason
from registries.limits import MANIFEST_BYTES
from registries.strict_json import loads_object
from stages.evidence import Evidence, Platform
from stages.gate import Outcome, Verdict

NAME: Final = "image-config"

_SECRET_NAMES: Final = re.compile(
    r"(?i)(?:^|_)(?:PASS(?:WORD|WD|PHRASE)?|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|CREDENTIALS?)(?:$|_)"
)
_SECRET_VALUES: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bglpat-[A-Za-z0-9_-]{20}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.|://[^/\s:@]+:[^/\s:@]+@"
)
_SHOWN: Final = 80


class User(StrEnum):
    """Whom an image may run as. A name may stand for the number 0, which only its own files can tell."""

    NUMERIC = "numeric"
    NON_ROOT = "non-root"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """Every platform runs as a user whose number is above zero, and no variable is secret (OCI image-spec, "config").

    `user: non-root` also takes a name other than root; `env` names variables that look like secrets and are none.
    `entrypoint`, `ports` and `labels`, where given, are what is allowed, allowed and demanded.
    """

    needs_config: ClassVar[bool] = True

    user: User = User.NUMERIC
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    ports: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()

    def judge(self, evidence: Evidence) -> Verdict:
        """Look at each platform; what could not be read is not checked."""
        blocked: list[Reason] = []
        faults: list[Reason] = []
        for platform in evidence.platforms:
            where = f"gate {NAME}, {platform.name} {platform.manifest}"
            try:
                found = tuple(self._reasons(_config(evidence, platform), where))
            except ContentError as error:
                faults += [Reason(reason.code, reason.message, where, reason.hint) for reason in error.reasons]
            else:
                blocked += found
        if not evidence.platforms:
            faults.append(Reason("evidence-empty", "the image has no platform that could run", f"gate {NAME}"))
        return Verdict(
            gate=NAME,
            outcome=Outcome.BLOCKED if blocked else Outcome.NOT_CHECKED if faults else Outcome.PASSED,
            reasons=(*faults, *blocked),
            counts=(("platforms", len(evidence.platforms)),),
            evidence=tuple(platform.config for platform in evidence.platforms),
        )

    def _reasons(self, config: Mapping[str, Any], where: str) -> Iterator[Reason]:
        yield from (Reason("config-refused", message, where, hint) for message, hint in self._faults(config))

    def _faults(self, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong, and what to do about it."""
        user = _text(config, "User")
        if not _may_run(user, self.user):
            message = f"it runs as {user!r:.60}" if user else "it names no user, and runs as root"
            yield message, "USER 10001 in the Dockerfile"
        for name, value in _variables(config):
            if name not in self.env and value and (_SECRET_NAMES.search(name) or _SECRET_VALUES.search(value)):
                message = f"the variable {name!r:.80} looks like a secret"
                yield message, "give it to the container when it starts; if it is none, name it in `env`"
        entrypoint = (*_list(config, "Entrypoint"), *_list(config, "Cmd"))
        if self.entrypoint is not None and entrypoint != self.entrypoint:
            yield f"it starts {_shown(entrypoint)}, not {_shown(self.entrypoint)}", ""
        ports = sorted(_object(config, "ExposedPorts"))
        if self.ports is not None and (others := [port for port in ports if port not in self.ports]):
            yield f"it exposes {_shown(others)}", ""
        labels = _object(config, "Labels")
        for label in self.labels:
            if not labels.get(label):
                yield f"it has no label {label!r}", f"LABEL {label}=… in the Dockerfile"


def _may_run(user: str, wanted: User) -> bool:
    """`uid`, `name`, each with `:group` or without (OCI image-spec, "User"). No user at all is root."""
    name = user.partition(":")[0]
    number = int(name) if re.fullmatch(r"[0-9]{1,10}", name) else None
    match wanted:
        case User.ANY:
            return True
        case User.NUMERIC:
            return number is not None and number > 0
        case User.NON_ROOT:
            return (
                number > 0
                if number is not None
                else re.fullmatch(r"[a-z_][a-z0-9_-]*", name) is not None and name != "root"
            )


def _config(evidence: Evidence, platform: Platform) -> Mapping[str, Any]:
    """What the platform's configuration says about running it."""
    content = evidence.configs.get(platform.config)
    if content is None:
        raise ContentError("attestation-missing", f"the configuration {platform.config} was not read")
    return _object(loads_object(content, limit=MANIFEST_BYTES), "config")


def _object(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _malformed(name)
    return found


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise _malformed(name)
    return found


def _list(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = value.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise _malformed(name)
    return tuple(found)


def _variables(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in _list(config, "Env"):
        name, _, content = variable.partition("=")
        yield name, content


def _malformed(name: str) -> ContentError:
    return ContentError("evidence-malformed", f"`{name}` in the image's configuration is not what the format says")


def _shown(words: Sequence[str]) -> str:
    return repr(" ".join(words)[:_SHOWN]) if words else "nothing"
