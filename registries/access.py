"""How the registries of one run are reached: the logins, the way there, and the time and rate that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from registries.credentials import Credentials
from registries.network import Network
from registries.pace import Deadline
from registries.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One for all registries of a run: files of logins and authorities are read once, and one deadline holds."""

    credentials: Credentials
    network: Network
    deadline: Deadline
    rate: float | None = None

    @classmethod
    def of(
        cls,
        environment: Mapping[str, str],
        *,
        plain_http: Iterable[str] = (),
        allowed: Iterable[str] = (),
        registry_ca: Iterable[str] = (),
        deadline: Deadline | None = None,
        rate: float | None = None,
    ) -> Access:
        """From the environment and what the user named: `HOST[:PORT]`, `HOST=FILE`, requests per second."""
        home = environment.get("HOME")
        return cls(
            credentials=Credentials(environment, home=Path(home) if home else None),
            network=Network.of(environment, plain_http=plain_http, allowed=allowed, registry_ca=registry_ca),
            deadline=deadline or Deadline(),
            rate=rate,
        )

    def transport(self, host: str, *, read_only: bool = False) -> Transport:
        """The door to one registry; its rate is its own."""
        return Transport(
            host,
            credentials=self.credentials,
            network=self.network,
            deadline=self.deadline,
            rate=self.rate,
            read_only=read_only,
        )
