"""A pipeline whose signers are workflows: certificates instead of keys, from the build to production."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from attestations.bundle import Bundle
from attestations.errors import AttestationError, ChainBroken
from attestations.identity import KeylessIdentity, Role
from attestations.statement import Statement
from pipeline.yaml_nodes import DefinitionError
from tests.sigstore import ISSUER, Sigstore, as_bytes
from tests.world import DEFINITION, NAMES, TRUST, World

SUBJECT = "https://github.com/acme/shop/.github/workflows/{}.yml@refs/heads/main"
KEYLESS = DEFINITION
for name in NAMES:
    KEYLESS = KEYLESS.replace(f"{{key: keys/{name}.pub}}", f'{{issuer: "{ISSUER}", subject: "{SUBJECT.format(name)}"}}')
OWNER = f'owner: {{issuer: "{ISSUER}", subject: "{SUBJECT.format("owner")}"}}'
TRUSTED = TRUST.replace("owner: {key: keys/owner.pub}", OWNER) + "sigstore: {trusted-root: root.json}\n"


@dataclass
class Workflow:
    """Signs as a workflow that the fake Sigstore has certified, with a certificate for each signature."""

    world: KeylessWorld
    name: str

    @property
    def public_name(self) -> str:
        return self.name

    def is_one_of(self, role: Role) -> bool:
        subject = SUBJECT.format(self.name)
        return any(isinstance(one, KeylessIdentity) and one.subject == subject for one in role.signers)

    def sign(self, statement: Statement) -> Bundle:
        sigstore = self.world.sigstore
        sigstore.now = self.world.now
        certificate = sigstore.ca.certify(sigstore.signing_key, SUBJECT.format(self.name))
        return Bundle.from_bytes(
            as_bytes(sigstore.sign(statement.content, certificate=certificate, form=self.world.form))
        )


@dataclass
class KeylessWorld(World):
    """The world of the other tests with certificates instead of keys."""

    definition_text: str = KEYLESS
    trust_text: str = TRUSTED
    sigstore: Sigstore = field(default_factory=Sigstore)
    pinned: bytes = b""
    form: str = "hashedrekord 0.0.2"

    def signer(self, name: str) -> Workflow:  # type: ignore[override]
        return Workflow(self, name)

    def _key_file(self, name: str) -> bytes:
        return self.pinned or as_bytes(self.sigstore.root())


@pytest.mark.parametrize("form", ["hashedrekord 0.0.2", "dsse 0.0.1"])
def test_an_image_goes_to_production_signed_by_workflows_alone(form: str) -> None:
    world = KeylessWorld(form=form)
    made = world.in_prod()
    assert world.tag("prod", "stable") == made.digest
    verification = world.verify("1.0", "prod")
    signers = {link.verified.signer.name for link in verification.chain.links}
    assert signers == {"ci-build", "ci-promote"}
    assert all(link.verified.proved_time is not None for link in verification.chain.links)


def test_certificates_that_have_expired_long_ago_still_prove_what_was_signed_then() -> None:
    world = KeylessWorld()
    world.in_prod()
    world.pass_time(days=3000)
    assert world.verify("1.0", "prod").chain.links


def test_t041_another_workflow_of_the_same_repository_admits_nothing() -> None:
    world = KeylessWorld()
    world.in_build()
    with pytest.raises(AttestationError) as refused:
        world.promote("1.0", "test", by="ci-build")
    assert refused.value.code == "signer-not-for-stage"


def test_t022_records_of_another_sigstore_do_not_count() -> None:
    world = KeylessWorld()
    world.in_test()
    world.sigstore = Sigstore()
    world.sign_definition()
    with pytest.raises(ChainBroken) as broken:
        world.promote("1.0", "prod")
    assert "chain-untrusted" in {reason.code for reason in broken.value.reasons}


def test_t042_a_workflow_that_was_revoked_signed_nothing_from_then_on_and_everything_before() -> None:
    world = KeylessWorld()
    world.in_prod()
    day = f"{world.now:%Y-%m-%d}T{world.now:%H:%M:%S}Z"
    world.trust_text = TRUSTED + f'revocations: {{signers: {{ci-promote: "{day}"}}}}\n'
    with pytest.raises(ChainBroken) as broken:
        world.verify("1.0", "prod")
    assert "key-revoked" in {reason.code for reason in broken.value.reasons}
    world.pass_time(seconds=1)
    later = f"{world.now:%Y-%m-%d}T{world.now:%H:%M:%S}Z"
    world.trust_text = TRUSTED + f'revocations: {{signers: {{ci-promote: "{later}"}}}}\n'
    assert world.verify("1.0", "prod").chain.links


def test_without_a_pinned_root_certificates_are_refused_with_a_reason() -> None:
    world = KeylessWorld()
    world.trust_text = TRUST.replace("owner: {key: keys/owner.pub}", OWNER)
    with pytest.raises(AttestationError) as refused:
        _ = world.pipeline
    assert refused.value.code == "chain-untrusted"


def test_a_trusted_root_that_is_none_is_a_fault_of_the_trust_file() -> None:
    world = KeylessWorld()
    world.pinned = json.dumps({"mediaType": "something"}).encode()
    with pytest.raises(DefinitionError) as error:
        _ = world.anchors
    assert error.value.code == "trust-root-malformed"
