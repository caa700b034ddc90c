"""Who is measured, and with which words each is asked for the same thing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attestations.records.step import STEP
from tests import peers
from tests.bench.servers import SAMEBITS
from tests.bench.shop import TAG, Shop

OURS = "samebits promote"
SCRIPT = "cosign + oras + tag"

_PREDICATE = "https://example.com/attestation/promotion/v1"
_WITHOUT_SERVICES = {
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "caUrls": [],
    "oidcUrls": [],
    "rekorTlogUrls": [],
    "rekorTlogConfig": {},
    "tsaUrls": [],
    "tsaConfig": {},
}


@dataclass(frozen=True, slots=True)
class Contestant:
    """`command` says how to bring a shop's image to its stage `prod-N`. `whole`: with all that hangs on it."""

    name: str
    program: str
    command: Callable[[Shop, int], Sequence[str]]
    whole: bool = False

    @property
    def is_here(self) -> bool:
        return self.program == str(SAMEBITS) or shutil.which(self.program, path=peers.PATH) is not None


def _promote(shop: Shop, number: int) -> Sequence[str]:
    return (str(SAMEBITS), "promote", f"prod-{number}", TAG, "--key", "keys/ci-promote.key", "--quiet")


def _crane(shop: Shop, number: int) -> Sequence[str]:
    return ("crane", "copy", *_both(shop, number))


def _oras(*options: str) -> Callable[[Shop, int], Sequence[str]]:
    fixed = ("oras", "cp", "--no-tty", "--from-plain-http", "--to-plain-http", *options)
    return lambda shop, number: (*fixed, *_both(shop, number))


def _regctl(*options: str) -> Callable[[Shop, int], Sequence[str]]:
    def command(shop: Shop, number: int) -> Sequence[str]:
        hosts = [word for host in {shop.source, shop.destination} for word in ("--host", f"reg={host},tls=disabled")]
        return ("regctl", *hosts, "image", "copy", *options, *_both(shop, number))

    return command


def _skopeo(shop: Shop, number: int) -> Sequence[str]:
    plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
    places = (f"docker://{place}" for place in _both(shop, number))
    return ("skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--quiet", *plain, *places)


def _cosign(shop: Shop, number: int) -> Sequence[str]:
    return ("cosign", "copy", "--allow-http-registry", *_both(shop, number))


def _script(shop: Shop, number: int) -> Sequence[str]:
    """What people write today: verify one attestation, copy, sign what was done, and only then set the tag."""
    source, to = shop.source_repository, shop.destination_repository(number)
    digest, keys = shop.image.digest, shop.folder / "cosign"
    steps = (
        f"cosign verify-attestation --allow-http-registry --insecure-ignore-tlog --type {STEP}"
        f" --key keys/ci-build.pub {source}@{digest}",
        f"oras cp -r --no-tty --from-plain-http --to-plain-http {source}@{digest} {to}@{digest}",
        f"cosign attest --yes --allow-http-registry --signing-config {keys}.json --key {keys}.key"
        f" --type {_PREDICATE} --predicate {keys}.predicate {to}@{digest}",
        f"crane tag {to}@{digest} {TAG}",
    )
    return ("sh", "-c", "set -e; " + "; ".join(steps))


def _both(shop: Shop, number: int) -> tuple[str, str]:
    return f"{shop.source_repository}:{TAG}", f"{shop.destination_repository(number)}:{TAG}"


PROMOTE = Contestant(OURS, str(SAMEBITS), _promote, whole=True)
COPIES = (
    Contestant("crane copy", "crane", _crane),
    Contestant("regctl image copy", "regctl", _regctl()),
    Contestant("skopeo copy --all", "skopeo", _skopeo),
    Contestant("oras cp", "oras", _oras()),
    Contestant("cosign copy", "cosign", _cosign),
    Contestant("regctl image copy --referrers", "regctl", _regctl("--referrers"), whole=True),
    Contestant("oras cp -r", "oras", _oras("-r"), whole=True),
)
SCRIPTED = Contestant(SCRIPT, "cosign", _script, whole=True)


def prepare_cosign(shop: Shop) -> None:
    """The files that the script names: a key pair, the predicate, and a signing configuration without services."""
    prefix = str(shop.folder / "cosign")
    Path(f"{prefix}.json").write_text(json.dumps(_WITHOUT_SERVICES))
    Path(f"{prefix}.predicate").write_text('{"promoted": true}')
    subprocess.run(
        ("cosign", "generate-key-pair", "--output-key-prefix", prefix),
        env={**peers.environment(shop.folder), "COSIGN_PASSWORD": ""},
        check=True,
        capture_output=True,
    )
