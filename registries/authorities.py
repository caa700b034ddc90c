"""Whose certificates are believed, and which certificate we show: the system's authorities, and those per registry.

Per registry: `--registry-ca HOST=FILE` replaces the system's authorities; a folder `certs.d/HOST[:PORT]` adds to them
(`*.crt`) and may hold our own certificate (`*.cert` with `*.key`). Source: containers-certs.d(5).
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from registries.errors import UsageError
from registries.origin import Origin

_FILES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_FOLDERS: Final = (Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))
_SYSTEM_FILES: Final = (  # where distributions keep them, for a Python whose OpenSSL was built for another one
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """What the user and the system say about certificates. Read when a registry is first reached by TLS."""

    file: str | None = None
    folder: str | None = None
    of_host: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[Path] = ()
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def __post_init__(self) -> None:
        """A file or folder that was named must be there: without it, other authorities would be believed."""
        folders = (self.folder or "").split(os.pathsep)
        for named in (self.file, *self.of_host.values(), *folders):
            if named and not Path(named).exists():
                raise UsageError("authorities-missing", "the trusted authorities named there do not exist", where=named)

    @classmethod
    def of(cls, environment: Mapping[str, str], of_host: Mapping[str, str] | None = None) -> Authorities:
        """From the customary variables and folders, and what was named per host."""
        home, configured = environment.get("HOME"), environment.get("XDG_CONFIG_HOME")
        own = Path(configured) if configured else Path(home, ".config") if home else None
        return cls(
            file=next((environment[name] for name in _FILES if environment.get(name)), None),
            folder=environment.get("SSL_CERT_DIR") or None,
            of_host=of_host or {},
            folders=(*([own / "containers" / "certs.d"] if own else []), *_SYSTEM_FOLDERS),
        )

    def context(self, place: Origin) -> ssl.SSLContext:
        """How TLS is spoken with this host and port: from version 1.2, the name checked, our certificate shown."""
        name = f"{place.host}:{place.port}"
        only = self.of_host.get(name) or self.of_host.get(place.host)
        folder = None if only else self._folder(place)
        key = only or str(folder or "")
        with self._lock:
            if key not in self._contexts:
                self._contexts[key] = self._made(only, folder)
            return self._contexts[key]

    def _made(self, only: str | None, folder: Path | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if only:
            _load(context, only, None)
        else:
            self._load_system(context)
        if folder is not None:
            _load_folder(context, folder)
        return context

    def _load_system(self, context: ssl.SSLContext) -> None:
        if self.file or self.folder:
            _load(context, self.file, self.folder)
            return
        paths = ssl.get_default_verify_paths()
        file = next((name for name in (paths.openssl_cafile, *_SYSTEM_FILES) if Path(name).is_file()), None)
        folder = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
        if file is None and folder is None:
            from requests.utils import DEFAULT_CA_BUNDLE_PATH  # Mozilla's, for a system that brings none

            file = DEFAULT_CA_BUNDLE_PATH
        _load(context, file, folder)

    def _folder(self, place: Origin) -> Path | None:
        """The first folder that is there for this host; a port is part of its name unless it is the usual one."""
        usual = str(place).partition("://")[2]
        names = dict.fromkeys((usual, f"{place.host}:{place.port}"))
        for folder in (folder / name for folder in self.folders for name in names):
            try:
                if folder.is_dir():
                    return folder
            except PermissionError:  # not ours to read; what it would add is not believed
                continue
        return None


def _load_folder(context: ssl.SSLContext, folder: Path) -> None:
    """Authorities `*.crt`, and our own certificate `NAME.cert` with its key `NAME.key`."""
    for file in sorted(folder.glob("*.crt")):
        _load(context, str(file), None)
    for file in sorted(folder.glob("*.cert")):
        key = file.with_suffix(".key")
        try:
            context.load_cert_chain(file, key, password="")  # never asked for at the terminal
        except (OSError, ValueError) as error:
            raise _unusable(str(file), f"it can't be used with {key.name}: {_why(error)}") from error


def _load(context: ssl.SSLContext, file: str | None, folder: str | None) -> None:
    try:
        context.load_verify_locations(file, folder)
    except (OSError, ValueError) as error:
        raise _unusable(str(file or folder), f"no certificates of authorities can be read: {_why(error)}") from error


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__


def _unusable(where: str, why: str) -> UsageError:
    return UsageError("certificates-unusable", why, where=where, hint=f"openssl x509 -noout -text -in {where}")
