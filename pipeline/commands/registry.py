"""samebits registry: the embedded OCI registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import QuietOption, begin

if TYPE_CHECKING:
    from registries.embedded.access import Access

registry_app = typer.Typer(help="The embedded OCI registry.", rich_markup_mode=None)


@registry_app.callback()
def registry() -> None:
    """The embedded OCI registry."""


@registry_app.command()
def serve(
    context: typer.Context,
    *,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Where it keeps its OCI layouts.")],
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="Where it listens.")
    ] = "127.0.0.1:5000",
    htpasswd: Annotated[
        Path | None, typer.Option("--htpasswd", metavar="FILE", help="Who may log in: lines NAME:HASH.")
    ] = None,
    anonymous_pull: Annotated[
        bool, typer.Option("--anonymous-pull", help="With --htpasswd: everybody may pull.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Serve TLS 1.3 with this certificate chain (PEM).")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The private key of the certificate (PEM).")
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Take passwords without TLS, behind a proxy that has it.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Serve OCI Distribution 1.1 with the referrers API from a folder of OCI layouts, until it is interrupted.

    \b
    $ samebits registry serve --root ./registry --address 127.0.0.1:5001
    $ printf 'alice:%s\\n' "$(openssl passwd -6)" >> logins
    $ samebits registry serve --root ./registry --address 0.0.0.0:5001 \\
        --htpasswd logins --tls-cert registry.pem --tls-key registry.key
    """
    from registries.errors import UsageError
    from registries.server import Options, Tls, is_loopback
    from registries.server import serve as run

    session = begin(context, quiet=quiet)
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal():
        raise UsageError("usage", f"--address: {address!r} is not HOST:PORT")
    if (certificate is None) != (key is None):
        raise UsageError("usage", "--tls-cert and --tls-key belong together")
    if anonymous_pull and htpasswd is None:
        raise UsageError("usage", "--anonymous-pull says nothing without --htpasswd: everybody may do everything")
    options = Options(
        access=None if htpasswd is None else _access(htpasswd, anonymous_pull=anonymous_pull),
        tls=None if certificate is None or key is None else Tls(certificate=certificate, key=key),
        plain_http=plain_http,
    )
    if options.access is None and not is_loopback(host):
        session.output.warn(f"everybody who can reach {address} may push and delete: see --htpasswd")
    run(root, host, int(port), ready=lambda url: session.output.note(f"serving {root} on {url}"), options=options)


def _access(path: Path, *, anonymous_pull: bool) -> Access:
    """Those whom the file names."""
    from registries.embedded.access import LOGINS_BYTES, Access, Logins
    from registries.errors import UsageError

    try:
        with path.open("rb") as file:
            content = file.read(LOGINS_BYTES + 1)
    except OSError as error:
        raise UsageError("file-unreadable", error.strerror or str(error), where=str(path)) from error
    if len(content) > LOGINS_BYTES:
        raise UsageError("logins-malformed", f"more than {LOGINS_BYTES} bytes are no list of logins", where=str(path))
    return Access(logins=Logins.parse(content, where=str(path)), anonymous_pull=anonymous_pull)
