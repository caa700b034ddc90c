"""samebits attest: look at a bundle by itself, whoever has made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.session import ColorOption, OutputOption, QuietOption, begin
from registries.errors import UsageError
from registries.limits import MESSAGE_BYTES

if TYPE_CHECKING:
    from attestations.bundle_verifier import Artifact
    from attestations.identity import Identity
    from attestations.trusted_root import TrustedRoot
    from pipeline.bundles import VerifiedBundle
    from pipeline.formats.result import Told

attest_app = typer.Typer(help="Look at a bundle by itself, whoever has made it.", rich_markup_mode=None)


@attest_app.callback()
def attest() -> None:
    """Look at a bundle by itself, whoever has made it."""


@attest_app.command("verify-bundle")
def verify_bundle(
    context: typer.Context,
    artifact: Annotated[str, typer.Argument(metavar="FILE_OR_DIGEST", help="The file that was signed, or sha256:….")],
    *,
    bundle: Annotated[Path, typer.Option("--bundle", metavar="FILE", help="The Sigstore bundle.")],
    identity: Annotated[
        str | None, typer.Option("--certificate-identity", metavar="ID", help="Who the certificate must name.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option("--certificate-oidc-issuer", metavar="URL", help="Who must have vouched for that.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The public key, instead of identity and issuer.")
    ] = None,
    trusted_root: Annotated[
        Path | None,
        typer.Option("--trusted-root", metavar="FILE", help="The trusted root; else that of the public instance."),
    ] = None,
    staging: Annotated[bool, typer.Option("--staging", help="The public staging instance.")] = False,
    logs: Annotated[
        int | None, typer.Option("--logs", min=1, metavar="N", help="Distinct logs; 1, with a key 0.")
    ] = None,
    timestamps: Annotated[
        int, typer.Option("--timestamps", min=0, metavar="N", help="Distinct timestamp authorities.")
    ] = 0,
    certificate_logs: Annotated[
        int, typer.Option("--certificate-logs", min=1, metavar="N", help="Distinct logs of certificates.")
    ] = 1,
    unsafe_without_log: Annotated[
        bool, typer.Option("--unsafe-without-log", help="Ask for no log: with an authority of one's own.")
    ] = False,
    unsafe_without_certificate_log: Annotated[
        bool, typer.Option("--unsafe-without-certificate-log", help="Ask for no certificate log: as above.")
    ] = False,
    rsa_pss: Annotated[bool, typer.Option("--rsa-pss", help="Let RSA-PSS signatures count.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    color: ColorOption = "auto",
) -> None:
    """Did this identity, or this key, sign this file or a statement about it? Asks nobody: everything is in the files.

    \b
    $ samebits attest verify-bundle --bundle app.sigstore.json --key cosign.pub app.tar
    $ samebits attest verify-bundle --bundle app.sigstore.json --certificate-identity dev@acme.example \\
        --certificate-oidc-issuer https://accounts.example --trusted-root trusted_root.json sha256:…
    """
    from attestations.bundle_verifier import Requirements
    from pipeline import bundles, wiring
    from registries.limits import BUNDLE_BYTES

    session = begin(context, formats=output, quiet=quiet, color=color)
    signer = _signer(identity, issuer, key)
    asked = Requirements(logs=logs or 1, timestamps=timestamps, certificate_logs=certificate_logs, rsa_pss=rsa_pss)
    if unsafe_without_log or (key is not None and logs is None):
        asked = asked.unsafe_without_log()
    if unsafe_without_certificate_log:
        asked = asked.unsafe_without_certificate_log()
    found = bundles.verify_bundle(
        wiring.read_file(bundle, BUNDLE_BYTES),
        _artifact(artifact),
        signer=signer,
        root=_root(trusted_root, staging=staging),
        asked=asked,
        where=str(bundle),
    )
    session.finish(_told(found, bundle))


def _signer(identity: str | None, issuer: str | None, key: Path | None) -> Identity:
    """Exactly one way to say who must have signed."""
    from attestations.identity import KeyIdentity, KeylessIdentity
    from attestations.keys import load_public_key
    from pipeline import wiring
    from registries.limits import DEFINITION_BYTES

    if key is not None:
        if identity is not None or issuer is not None:
            raise UsageError("usage", "--key and --certificate-identity exclude each other")
        public_key = load_public_key(wiring.read_file(key, DEFINITION_BYTES), where=str(key))
        return KeyIdentity(name=str(key), public_key=public_key)
    if not identity or not issuer:
        message = "an identity is --certificate-identity and --certificate-oidc-issuer, both; or name a --key"
        raise UsageError("usage", message)
    return KeylessIdentity(name=identity, issuer=issuer, subject=identity)


def _root(named: Path | None, *, staging: bool) -> TrustedRoot:
    from attestations.signers import public_good
    from attestations.trusted_root import TrustedRoot
    from pipeline import wiring
    from registries.limits import TRUSTED_ROOT_BYTES

    if named is None:
        return TrustedRoot.from_bytes(public_good.trusted_root(staging=staging), where="the public instance")
    return TrustedRoot.from_bytes(wiring.read_file(named, TRUSTED_ROOT_BYTES), where=str(named))


def _artifact(text: str) -> Artifact:
    """A digest, unless a file has that name; else the file, which is hashed as it is read."""
    from attestations.bundle_verifier import Artifact
    from pipeline import wiring
    from registries.digest import Digest
    from registries.errors import ContentError

    path = Path(text)
    if text.startswith("sha256:") and not path.exists():
        try:
            return Artifact.known_as(Digest.parse(text))
        except ContentError:
            pass  # then it is the name of a file
    return Artifact(digests=wiring.hash_file(path), content=lambda: wiring.read_file(path, MESSAGE_BYTES))


def _told(found: VerifiedBundle, bundle: Path) -> Told:
    from attestations.fields import rfc3339
    from attestations.identity import KeyIdentity
    from pipeline.formats.result import Told

    signer: tuple[tuple[str, str], ...]
    if isinstance(found.signer, KeyIdentity):
        signer = (("key", str(found.signer.fingerprint)),)
    else:
        signer = (("identity", found.signer.subject), ("issuer", found.signer.issuer))
    statement = (("predicate type", found.predicate_type),) if found.predicate_type else ()
    times = tuple(("signed at", f"{rfc3339(one.time)}, proven by {one.by}") for one in found.proven.times)
    logs = (("logs", str(len(found.proven.logs))),)
    return Told(heading=f"{bundle} is verified", lines=(*signer, *statement, *times, *logs))
