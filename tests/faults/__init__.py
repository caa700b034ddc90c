"""The fault-injection registry: a small OCI registry on loopback, correct until a rule tells it to misbehave.

    with FaultRegistry(referrers_api=False) as registry:
        registry.rule("GET", "/manifests/", status(503), nth=range(1, 3))     # the first two, then correctly
        …
        assert [seen.method for seen in registry.requests] == ["GET", "GET", "GET"]

A rule is (method, path, n-th match) -> action. The actions are the server modes of the threat catalogue; `FAULTS` is
the table of the sixteen that T132 sends to every request of a promotion. Every request is remembered.

It shares no code with samebits, so that both can't be wrong in the same way; `tests/integration` shows it correct with
crane and oras.
"""

from tests.faults.actions import (
    FAULTS,
    LOST,
    Action,
    Answer,
    Turn,
    body,
    call,
    challenge,
    cut,
    dribble,
    endless,
    half,
    header,
    kill,
    lost,
    redirect,
    short,
    silence,
    status,
    then,
    unauthorized,
    without,
)
from tests.faults.registry import FaultRegistry, Repeated, Stored
from tests.faults.wire import Reply, Seen

__all__ = [
    "FAULTS",
    "LOST",
    "Action",
    "Answer",
    "FaultRegistry",
    "Repeated",
    "Reply",
    "Seen",
    "Stored",
    "Turn",
    "body",
    "call",
    "challenge",
    "cut",
    "dribble",
    "endless",
    "half",
    "header",
    "kill",
    "lost",
    "redirect",
    "short",
    "silence",
    "status",
    "then",
    "unauthorized",
    "without",
]
