"""Part (g): a thousand bundles in one process, beside sigstore-python's `Verifier`, and a loop of cosign."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from attestations.bundle import Bundle
from attestations.bundle_verifier import Sigstore as Pinned
from attestations.identity import KeyIdentity, KeylessIdentity
from attestations.signers.identities import IdentityVerifier
from attestations.trusted_root import TrustedRoot
from registries.digest import Digest
from tests import peers
from tests.bench.parts import Report, Settings
from tests.bench.table import Table
from tests.sigstore import IDENTITY, ISSUER, START, Sigstore, as_bytes, pem, spki

BUNDLES = 1000
LOOPS = 20
FILE = b"what was signed"
TYPE = "https://example.com/scan/v1"
WHO = ("--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER)


def bundles(asked: Settings) -> Report:
    """Each kind of bundle, verified by each that can: processor time for one, the best of the rounds."""
    world = Sigstore()
    statement = _statement()
    certificate = world.ca.certify(world.signing_key)
    kinds: dict[str, Callable[[], dict[str, object]]] = {
        "key": lambda: world.sign(statement, keyed=True, form="", stamps=0),
        "key, Rekor v2 and time stamp": lambda: world.sign(statement, keyed=True),
        "one certificate, Rekor v2 and time stamp": lambda: world.sign(statement, certificate=certificate),
        "a certificate each, Rekor v2 and time stamp": lambda: world.sign(statement),
        "a certificate each, Rekor v1 with promise": lambda: world.sign(statement, form="dsse 0.0.1"),
    }
    rows = []
    for kind, make in kinds.items():
        asked.say(f"(g) {kind}")
        made = [_made(world, make) for _ in range(BUNDLES)]
        rows.append(
            [
                kind,
                _shown(_ours(world, made, asked.rounds or 3)),
                "-" if kind.startswith("key") else _shown(_theirs(world, made, asked.rounds or 3)),
                _shown(_cosign(world, made[:LOOPS], kind)),
            ]
        )
    head = ("1,000 bundles", "samebits", "sigstore-python", f"cosign, {LOOPS} times")
    return Report(
        title="(g) A thousand bundles, verified in one process",
        text=f"Processor time for one: {BUNDLES} of each kind, parsed and verified anew; cosign starts for each one.",
        tables=[Table("", head, rows)],
    )


def _statement() -> bytes:
    subject = [{"name": "file", "digest": {"sha256": Digest.of(FILE).hex}}]
    value = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": TYPE, "predicate": {}}
    return json.dumps(value).encode()


def _made(world: Sigstore, make: Callable[[], dict[str, object]]) -> bytes:
    """A bundle from logs of a few entries: what grows with a log is the proof, by a hash for each doubling."""
    world.log.entries, world.log_v2.entries = [b"first", b"second"], [b"first", b"second"]
    return as_bytes(make())


def _ours(world: Sigstore, made: Sequence[bytes], rounds: int) -> float:
    pinned = Pinned(root=TrustedRoot.from_bytes(as_bytes(world.root())))
    identities = (
        KeyIdentity(name="key", public_key=spki(world.signing_key)),
        KeylessIdentity(name="ci", issuer=ISSUER, subject=IDENTITY),
    )
    about = Digest.of(FILE)

    def once() -> None:
        verifier = IdentityVerifier(identities, START + timedelta(days=1), pinned)
        for content in made:
            verifier.verify(Bundle.from_bytes(content), about)

    return _best(once, rounds) / len(made)


def _theirs(world: Sigstore, made: Sequence[bytes], rounds: int) -> float:
    from sigstore.models import Bundle as TheirBundle
    from sigstore.models import TrustedRoot as TheirRoot
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    with tempfile.TemporaryDirectory(prefix="samebits-bench-") as folder:
        root = Path(folder) / "root.json"
        root.write_bytes(as_bytes(world.root()))
        verifier = Verifier(trusted_root=TheirRoot.from_file(str(root)))
    policy = Identity(identity=IDENTITY, issuer=ISSUER)

    def once() -> None:
        for content in made:
            verifier.verify_dsse(TheirBundle.from_json(content), policy)

    return _best(once, rounds) / len(made)


def _cosign(world: Sigstore, made: Sequence[bytes], kind: str) -> float | None:
    """One process for each bundle; None where there is no cosign."""
    if shutil.which("cosign", path=peers.PATH) is None:
        return None
    with tempfile.TemporaryDirectory(prefix="samebits-bench-") as name:
        folder = Path(name)
        (folder / "root.json").write_bytes(as_bytes(world.root()))
        (folder / "key.pub").write_text(pem("PUBLIC KEY", spki(world.signing_key)))
        (folder / "file").write_bytes(FILE)
        who = ("--key", str(folder / "key.pub")) if kind.startswith("key") else WHO
        log = ("--insecure-ignore-tlog",) if kind == "key" else ()
        stamps = ("--use-signed-timestamps",) if "stamp" in kind else ()
        started = _of_children()
        for content in made:
            (folder / "bundle.json").write_bytes(content)
            named = ("--bundle", str(folder / "bundle.json"), "--trusted-root", str(folder / "root.json"))
            done = peers.attempt(
                "cosign", "verify-blob-attestation", *named, *who, *log, *stamps, "--type", TYPE, str(folder / "file")
            )
            if done.returncode != 0:
                raise subprocess.CalledProcessError(done.returncode, "cosign", done.stdout, done.stderr)
        return (_of_children() - started) / len(made)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _best(action: Callable[[], None], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        action()
        times.append(time.process_time() - started)
    return min(times)


def _shown(seconds: float | None) -> str:
    return "not here" if seconds is None else f"{seconds * 1000:.2f} ms"
