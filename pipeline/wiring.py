"""Wiring: reads the files that were named and opens the doors. The one module that knows concrete kinds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attestations.bundle import Bundle
from attestations.signers.key import KeySigner
from attestations.verify import Signer
from pipeline import anchors as anchors_file
from pipeline import definition as definition_file
from pipeline.anchors import Anchors
from pipeline.decode import decode
from pipeline.definition import Definition, Pipeline, read_signatures, trust
from pipeline.places import Image, Places
from pipeline.promote import Tools
from pipeline.schema import DefinitionFile
from pipeline.surroundings import Surroundings
from pipeline.withheld import PASSPHRASES
from pipeline.yaml_nodes import parse
from registries.digest import Digest
from registries.errors import NotFound, UsageError
from registries.limits import BUNDLE_BYTES, CHUNK_BYTES, DEFINITION_BYTES
from registries.reference import is_tag
from registries.registry import Location, Registry
from registries.shelf import Shelf

if TYPE_CHECKING:
    from attestations.bundle_verifier import Sigstore
    from attestations.signers.trust_config import TrustConfig
    from registries.access import Access
    from registries.copy import Progress
    from registries.pace import Deadline

DEFINITION_NAME: Final = "samebits.yaml"
SIGNATURES_SUFFIX: Final = ".sigstore.jsonl"
WAIVERS_SUFFIX: Final = ".waivers.sigstore.jsonl"
TRUST_NAME: Final = "trust.yaml"

_KEY_URI = re.compile(r"pkcs11:|[a-z][a-z0-9+.-]*://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """What to sign with: a key; without one an identity, whose token is looked for when none is named.

    `trust_config` are the files that describe a Sigstore instance. Without any, no key's signature is stamped, and
    whoever signs without a key uses the public instance.
    """

    key: str | None = None
    identity_token: str | None = field(default=None, repr=False)
    trust_config: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How registries are reached: `HOST[:PORT]` without TLS, `HOST[:PORT]` that they may send us to, `HOST=FILE`.

    `rate` is in requests per second and registry; the deadline is that of the whole run.
    """

    plain_http: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    registry_ca: tuple[str, ...] = ()
    rate: float | None = None
    deadline: Deadline | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the user named: files, what to sign with (else nothing is), how registries are reached, how thoroughly."""

    definition: Path | None = None
    trust: Path | None = None
    signing: Signing | None = None
    jobs: int = 8
    whole: bool = False
    reach: Reach = field(default_factory=Reach)


def read_definition(named: Path | None, around: Surroundings) -> Definition:
    """The definition that was named, or the `samebits.yaml` found walking up to the repository root."""
    path = named or _find_definition(around.folder)
    content = read_file(path, DEFINITION_BYTES)
    return definition_file.read(content, path=str(path), read_file=_reader(path.parent))


def decode_definition(named: Path | None, around: Surroundings) -> DefinitionFile:
    """A definition as it is written, without its key files."""
    path = named or _find_definition(around.folder)
    return decode(parse(read_file(path, DEFINITION_BYTES), path=str(path)), DefinitionFile)


def read_anchors(named: Path | None, around: Surroundings) -> Anchors:
    """The pinned trust file: named, or in the user's configuration folder; never from the current folder by itself."""
    path = named or _configuration(around) / TRUST_NAME
    if named is None and not path.is_file():
        raise UsageError(
            "config-not-named",
            "no trust file was named, and there is none in the configuration folder",
            where=str(path),
            hint="--trust FILE, or set SAMEBITS_TRUST",
        )
    return anchors_file.read(read_file(path, DEFINITION_BYTES), path=str(path), read_file=_reader(path.parent))


def believe(definition: Definition, anchors: Anchors, *, now: datetime) -> Pipeline:
    """The pipeline of a definition whose owners' signatures lie beside it."""
    path = signatures_path(Path(definition.path))
    content = read_file(path, BUNDLE_BYTES) if path.is_file() else b""
    return trust(definition, read_signatures(content), anchors, now=now)


def signatures_path(definition: Path) -> Path:
    """Where the owners' signatures of a definition lie: one Sigstore bundle per line."""
    return definition.with_name(definition.name + SIGNATURES_SUFFIX)


def read_waivers(definition: Path) -> tuple[Bundle, ...]:
    """The waivers records that lie beside a definition, not believed yet: one Sigstore bundle per line."""
    path = waivers_path(definition)
    return read_signatures(read_file(path, BUNDLE_BYTES)) if path.is_file() else ()


def waivers_path(definition: Path) -> Path:
    """Where the waivers of a pipeline lie."""
    return definition.with_name(definition.name + WAIVERS_SUFFIX)


def open_signer(
    signing: Signing, around: Surroundings, clock: Callable[[], datetime], pinned: Sigstore | None = None
) -> Signer:
    """The signer of this run: the key that was named, else whoever the run's identity token names.

    Nothing is asked of a Sigstore before the signer is used; a file that can't be read is told at once.
    """
    config = _trust_config(signing.trust_config)
    if signing.key is None:
        return _open_keyless(signing.identity_token, config, around, clock, pinned)
    signer = _open_key(signing.key, around)
    if config is None:
        return signer
    from attestations.signers.keyless import stamps
    from attestations.signers.stamped import StampedSigner
    from attestations.trusted_root import TrustedRoot

    root = pinned.root if pinned else TrustedRoot.from_bytes(config.trusted_root, where="--trust-config")
    return StampedSigner(signer=signer, stamp=lambda signature: stamps(config, signature), root=root)


def _open_key(key: str, around: Surroundings) -> KeySigner:
    if _KEY_URI.match(key):
        from attestations.signers.remote import open_remote

        return open_remote(key, around.environment)
    passphrase = next((around.environment[name] for name in PASSPHRASES if name in around.environment), None)
    pem = read_file(Path(key), DEFINITION_BYTES)
    return KeySigner.from_pem(pem, None if passphrase is None else passphrase.encode(), where=key)


def _open_keyless(
    token: str | None,
    config: TrustConfig | None,
    around: Surroundings,
    clock: Callable[[], datetime],
    pinned: Sigstore | None,
) -> Signer:
    from attestations.signers import keyless
    from attestations.signers.tokens import TOKEN_BYTES, find_token

    tokens = find_token(
        token,
        around.environment,
        read_file=lambda path: read_file(path, TOKEN_BYTES),
        detect=keyless.detect,
    )
    return keyless.KeylessSigner(config=config, tokens=tokens, clock=clock, pinned=pinned)


def _trust_config(paths: tuple[Path, ...]) -> TrustConfig | None:
    from attestations.signers.trust_config import TRUST_CONFIG_BYTES, TrustConfig

    files = [(str(path), read_file(path, TRUST_CONFIG_BYTES)) for path in paths]
    return TrustConfig.of(files) if files else None


def open_places(named: Named, around: Surroundings, *, read_only: bool) -> Places:
    """The registries of this run. With `read_only`, a write is refused before it leaves."""

    @cache
    def access() -> Access:
        from registries.access import Access

        return Access.of(
            around.environment,
            plain_http=named.reach.plain_http,
            allowed=named.reach.allow_host,
            registry_ca=named.reach.registry_ca,
            rate=named.reach.rate,
            deadline=named.reach.deadline,
        )

    def registry(host: str) -> Registry:
        from registries.kinds.http import http_registry

        return http_registry(host, access=access(), read_only=read_only)

    return Places(open_registry=registry, open_source=lambda text: open_source(text, around))


def open_source(text: str, around: Surroundings) -> Image:
    """`oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker:NAME`, resolved to a digest."""
    scheme, _, rest = text.partition(":")
    opened, tag = _open_kind(scheme, rest, around)
    place = Location(opened, "")
    if tag is not None and tag.startswith("@"):
        return Image(digest=Digest.parse(tag[1:]), tag=None, place=place)
    tags = opened.tags("")
    if tag is None:
        if len(tags) != 1:
            known = ", ".join(tags) or "none"
            raise UsageError(
                "reference-malformed", f"{text!r} does not say which image; its tags: {known}", hint=f"{text}:TAG"
            )
        tag = tags[0]
    return Image(digest=opened.resolve("", tag), tag=tag if is_tag(tag) else None, place=place)


def open_tools(
    named: Named,
    anchors: Anchors,
    around: Surroundings,
    *,
    clock: Callable[[], datetime],
    read_only: bool,
    tool: tuple[tuple[str, str], ...],
    say: Callable[[str], None],
    progress: Progress | None,
    waivers: tuple[Bundle, ...] = (),
) -> Tools:
    """Everything that a run uses, with its signer. The clock tells that one how late it is."""
    return Tools(
        places=open_places(named, around, read_only=read_only),
        revocations=anchors.revocations,
        signer=open_signer(named.signing, around, clock, anchors.sigstore) if named.signing else None,
        by=invocation(around.environment),
        tool=tool,
        jobs=named.jobs,
        whole=named.whole,
        waivers=waivers,
        shelf=Shelf(_cache(around)),
        say=say,
        progress=progress,
    )


def invocation(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Which CI run this is, from the variables that GitHub, GitLab and Jenkins set; empty elsewhere. Never secrets."""
    if environment.get("GITHUB_ACTIONS") == "true":
        server, repository = environment.get("GITHUB_SERVER_URL", ""), environment.get("GITHUB_REPOSITORY", "")
        run = environment.get("GITHUB_RUN_ID", "")
        facts = (
            ("url", f"{server}/{repository}/actions/runs/{run}"),
            ("commit", environment.get("GITHUB_SHA", "")),
            ("run", run),
        )
    elif environment.get("GITLAB_CI") == "true":
        facts = (
            ("url", environment.get("CI_JOB_URL", "")),
            ("commit", environment.get("CI_COMMIT_SHA", "")),
            ("run", environment.get("CI_JOB_ID", "")),
        )
    else:
        facts = (
            ("url", environment.get("BUILD_URL", "")),
            ("commit", environment.get("GIT_COMMIT", "")),
            ("run", environment.get("BUILD_TAG", "")),
        )
    return tuple((name, value) for name, value in facts if value)


def read_file(path: Path, limit: int) -> bytes:
    """A file that was named, whole; at most `limit` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UsageError("file-unreadable", f"can't be read: {error.strerror}", where=str(path)) from error
    if len(content) > limit:
        raise UsageError("size-limit", f"more than the limit of {limit} bytes", where=str(path))
    return content


def hash_file(path: Path) -> dict[str, bytes]:
    """The digests of a file of any size, by name; it is read once."""
    found = [hashlib.new(name) for name in ("sha256", "sha384", "sha512")]
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                for one in found:
                    one.update(chunk)
    except OSError as error:
        raise UsageError("file-unreadable", f"can't be read: {error.strerror}", where=str(path)) from error
    return {one.name: one.digest() for one in found}


def _reader(folder: Path) -> Callable[[str], bytes]:
    return lambda name: read_file(folder / name, DEFINITION_BYTES)


def _configuration(around: Surroundings) -> Path:
    base = around.environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else around.home / ".config") / "samebits"


def _cache(around: Surroundings) -> Path | None:
    """Where manifests and records are kept from one run to the next; nowhere if SAMEBITS_CACHE is empty."""
    named = around.environment.get("SAMEBITS_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = around.environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else around.home / ".cache") / "samebits"


def _find_definition(folder: Path) -> Path:
    for place in (folder, *folder.parents):
        path = place / DEFINITION_NAME
        if path.is_file():
            return path
        if (place / ".git").exists():
            break
    raise UsageError(
        "definition-not-found",
        f"there is no {DEFINITION_NAME} here or further up in the repository",
        where=str(folder),
        hint="samebits init DIR, or --definition FILE",
    )


def _open_kind(scheme: str, rest: str, around: Surroundings) -> tuple[Registry, str | None]:
    match scheme:
        case "oci":
            from registries.kinds.layout import LayoutRegistry

            path, tag = _path_and_tag(rest)
            return LayoutRegistry(path), tag
        case "oci-archive":
            from registries.kinds.archive import ArchiveRegistry

            path, tag = _path_and_tag(rest)
            return ArchiveRegistry(path), tag
        case _:
            from registries.kinds.docker import docker_image

            engine = docker_image(rest, environment=around.environment)
            return engine, None


def _path_and_tag(text: str) -> tuple[Path, str | None]:
    """`DIR`, `DIR:TAG` or `DIR@sha256:…`; a path that exists as it stands is a path."""
    if Path(text).exists():
        return Path(text), None
    path, at, digest = text.partition("@")
    if at:
        return Path(path), f"@{digest}"
    path, colon, tag = text.rpartition(":")
    if colon and is_tag(tag) and Path(path).exists():
        return Path(path), tag
    raise NotFound("image-not-found", "there is no such file or folder", where=text)
