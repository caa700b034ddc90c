"""What is fuzzed: each target reads bytes as the product does, begins with what is good, and may only refuse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from attestations.bundle import Bundle, read_bundle
from attestations.bundle_verifier import KEYED, Artifact, BundleVerifier, Requirements
from attestations.certificates import Usage, check_leaf, read_leaf
from attestations.checkpoints import Checkpoint
from attestations.foreign.envelopes import read_loose, wrap
from attestations.foreign.notation import signed_by
from attestations.statement import Statement
from attestations.timestamps import Token
from attestations.trusted_root import TrustedRoot
from registries.digest import Digest
from registries.kinds.memory import MemoryRegistry
from registries.manifest import Manifest
from registries.registry import Location
from tests.legacy import notation_jws, push_tag
from tests.legacy import signed as as_layer
from tests.sigstore import FORMS, IDENTITY, Sigstore, as_bytes, der, new_ec, other_name

FILE = b"a file"


@dataclass(frozen=True, slots=True)
class Target:
    """Reads bytes, and returns or raises a `Refusal`; anything else is a finding."""

    read: Callable[[bytes], object]
    corpus: Sequence[bytes]


def targets() -> Mapping[str, Target]:
    """All of them, with a corpus made anew."""
    world = Sigstore()
    root = as_bytes(world.root())
    verifier = BundleVerifier(TrustedRoot.from_bytes(root))
    without_log = BundleVerifier(TrustedRoot.from_bytes(root), Requirements().unsafe_without_log())
    statement = json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "a", "digest": {"sha256": Digest.of(FILE).hex}, "annotations": {"n": 1}}],
            "predicateType": "https://example.com/scan/v1",
            "predicate": {"list": [1, 2.5, None, True, "text"], "object": {"n": {}}},
        }
    ).encode()

    def bundle(content: bytes) -> None:
        read = read_bundle(content)
        if read.material.certificate is None:
            verifier.keyed(read, world.signing_key.public_key(), KEYED, Artifact.of(FILE))
        else:
            verifier.certified(read, Artifact.of(FILE))
        if isinstance(read, Bundle):
            Statement.from_bytes(read.envelope.payload)

    def certificate(content: bytes) -> None:
        check_leaf(read_leaf(content).certificate, Usage.CODE_SIGNING)

    def older(content: bytes) -> None:
        """A manifest under an `.att` tag whose one layer's bytes follow it after a line feed."""
        head, _, layer = content.partition(b"\n")
        found = Manifest.from_bytes(head)
        read = read_loose(layer, found.layers[0].annotations if found.layers else {})
        if read.material.certificate is None:
            verifier.keyed(read, world.signing_key.public_key(), KEYED)
        else:
            without_log.certified(read)
        wrap(read)

    def jws(content: bytes) -> None:
        signed_by(content, Digest.of(FILE))

    signed = [as_bytes(world.sign(statement, form=form, keyed=keyed)) for form in FORMS for keyed in (False, True)]
    files = [as_bytes(world.sign(FILE, form=form, as_file=True)) for form in FORMS[:2]]
    key = new_ec()
    names = (IDENTITY, "dev@acme.example", other_name("x"))
    certificates = [world.ca.certify(key, name) for name in names]
    stamp = world.tsa.stamp(b"signature")
    return {
        "bundle": Target(bundle, signed + files),
        "older-attestation": Target(older, older_attestations(world, statement)),
        "notation": Target(jws, [notation_jws(str(Digest.of(FILE)), der(world.tsa.certificate))]),
        "statement": Target(Statement.from_bytes, [statement]),
        "certificate": Target(certificate, certificates),
        "trusted-root": Target(TrustedRoot.from_bytes, [root]),
        "checkpoint": Target(
            lambda content: Checkpoint.from_text(content.decode("utf-8", "replace")),
            [log.checkpoint().encode() for log in (world.log, world.log_v2)],
        ),
        "timestamp": Target(Token.read, [stamp, world.tsa.stamp(b"signature", embed=(world.tsa.certificate,))]),
    }


def older_attestations(world: Sigstore, statement: bytes) -> list[bytes]:
    """Manifests of cosign 2, each with its layer on the next line: a key and a certificate, with each kind of proof."""
    place, key = Location(MemoryRegistry("fuzz.test"), "a"), world.signing_key
    made = [
        as_layer(statement, key, sigstore=world, certificate=certificate, form=form, stamped=stamped)
        for certificate in (None, world.ca.certify(key))
        for form, stamped in (("dsse 0.0.1", ""), ("intoto 0.0.2", "envelope"), ("", "signature"))
    ]
    return [push_tag(place, layer.digest, [layer]).content + b"\n" + layer.content for layer in made]
