"""What `samebits init` writes: a definition that explains itself, fresh keys, trust file and the owner's signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attestations.keys import new_key
from attestations.signers.key import KeySigner
from pipeline.definition import definition_statement, read, with_signature
from registries.errors import UsageError

SIGNERS: Final = ("owner", "ci-build", "ci-promote", "scanner")
PRIVATE: Final = 0o600
PUBLIC: Final = 0o644

_DEFINITION: Final = """\
# The pipeline that an image goes through, from its build to production. After a change: count `version` up, write the
# digest of the file as it was before into `previous`, and have the owners sign it: samebits definition sign --key FILE
samebits: 1
pipeline: {pipeline}
version: 1
image: {pipeline}                  # the repository under each stage's registry

# Who signs this file, and how many of them. The trust file pins the same owners.
owners: {{threshold: 1, signers: [owner]}}

# Everybody who may sign anything. The private keys belong where they are used, never into the repository.
signers:
  owner: {{key: keys/owner.pub}}
  ci-build: {{key: keys/ci-build.pub}}
  ci-promote: {{key: keys/ci-promote.pub}}
  scanner: {{key: keys/scanner.pub}}

stages:
  # The entry: here the image comes in, from a registry, an OCI layout or the Docker engine.
  - name: build
    registry: {registry}/dev
    admit: [ci-build]
    steps:
      - {{name: unit, by: [ci-build], evidence: junit}}      # samebits step build unit IMAGE --report junit=FILE
      - {{name: scan, by: [scanner], evidence: grype}}       # one report per platform

  - name: test
    after: [build]
    registry: {registry}/test
    admit: [ci-promote]
    gates:
      vulnerabilities: {{none-at-or-above: medium, max-age: 24h, by: [scanner]}}
      tests: {{by: [ci-build], steps: [unit]}}
    steps:
      - {{name: integration, by: [ci-promote], run: "echo put the test of {{image}} here"}}

  - name: prod
    after: [test]
    registry: {production}/prod
    admit: [ci-promote]
    gates:
      vulnerabilities: {{none-at-or-above: medium, max-age: 7d, by: [scanner]}}
"""

_TRUST: Final = """\
# What a run trusts before it reads anything else. Keep it, with the owners' public keys beside it, outside of the
# repository, where who changes the definition can't change it, and name it with --trust FILE or SAMEBITS_TRUST.
samebits-trust: 1
pipeline: {pipeline}
owners: {{threshold: 1, signers: [owner]}}
signers:
  owner: {{key: keys/owner.pub}}
registries: [{registries}]

# What does not count any more:
# revocations:
#   digests: ["sha256:…"]                  # images that are not let in anywhere
#   signers: {{ci-build: 2026-01-31}}        # a signer, from a day on
"""


def files(*, pipeline: str, registry: str, production: str) -> Mapping[str, tuple[bytes, int]]:
    """Relative name -> content and mode. Every call makes new keys; private ones get mode 0600.

    Raises `definition-invalid` when the names given can't stand in a definition.
    """
    pairs = {name: new_key() for name in SIGNERS}
    written = {f"keys/{name}.key": (private, PRIVATE) for name, (private, _) in pairs.items()}
    written |= {f"keys/{name}.pub": (public, PUBLIC) for name, (_, public) in pairs.items()}
    written["keys/.gitignore"] = (b"*.key\n", PUBLIC)
    definition = _DEFINITION.format(pipeline=pipeline, registry=registry, production=production).encode()
    registries = ", ".join(f'"{host}"' for host in dict.fromkeys((registry, production)))
    written["samebits.yaml"] = (definition, PUBLIC)
    written["samebits.yaml.sigstore.jsonl"] = (_signature(definition, pairs), PUBLIC)
    written["trust.yaml"] = (_TRUST.format(pipeline=pipeline, registries=registries).encode(), PUBLIC)
    return written


def _signature(definition: bytes, pairs: Mapping[str, tuple[bytes, bytes]]) -> bytes:
    """The owner's signature over the definition, which is read for that, as it will be read later."""

    def public_key(path: str) -> bytes:
        name = path.removeprefix("keys/").removesuffix(".pub")
        if name not in pairs:
            raise UsageError("file-unreadable", "is not among the files that are written", where=path)
        return pairs[name][1]

    statement = definition_statement(read(definition, path="samebits.yaml", read_file=public_key))
    return with_signature(b"", KeySigner.from_pem(pairs["owner"][0]).sign(statement))
