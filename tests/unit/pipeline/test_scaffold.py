"""What `samebits init` writes is a pipeline that works: read, signed, believed, and safe to look after."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from attestations.keys import load_public_key
from attestations.signers.key import KeySigner
from pipeline.anchors import read as read_anchors
from pipeline.definition import Pipeline, read, read_signatures, trust
from pipeline.scaffold import files
from pipeline.yaml_nodes import DefinitionError
from stages.reports import REPORTS

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
Files = Mapping[str, tuple[bytes, int]]


@pytest.fixture(scope="module")
def written() -> Files:
    return files(pipeline="shop-api", registry="127.0.0.1:5001", production="127.0.0.1:5002")


def believed(written: Files) -> Pipeline:
    def content(path: str) -> bytes:
        return written[path][0]

    anchors = read_anchors(content("trust.yaml"), path="trust.yaml", read_file=content)
    definition = read(content("samebits.yaml"), path="samebits.yaml", read_file=content)
    return trust(definition, read_signatures(content("samebits.yaml.sigstore.jsonl")), anchors, NOW)


def test_the_definition_is_believed_at_once(written: Files) -> None:
    pipeline = believed(written)
    assert pipeline.name == "shop-api"
    assert [stage.name for stage in pipeline.definition.stages] == ["build", "test", "prod"]
    assert pipeline.repositories("build") == ("127.0.0.1:5001/dev/shop-api",)
    assert pipeline.repositories("test") == ("127.0.0.1:5001/test/shop-api",)
    assert pipeline.repositories("prod") == ("127.0.0.1:5002/prod/shop-api",)


def test_one_registry_is_enough() -> None:
    one = files(pipeline="shop", registry="localhost:5000", production="localhost:5000")
    assert believed(one).repositories("prod") == ("localhost:5000/prod/shop",)


def test_every_stage_after_the_first_has_gates_and_every_report_can_be_read(written: Files) -> None:
    build, *later = believed(written).definition.stages
    assert all(stage.gates for stage in later)
    assert {step.evidence for step in build.steps} <= set(REPORTS)


def test_the_owner_admits_nothing_and_build_does_not_sign_for_later_stages(written: Files) -> None:
    build, test, prod = believed(written).definition.stages
    assert [signer.name for signer in build.admit.signers] == ["ci-build"]
    assert [signer.name for signer in (*test.admit.signers, *prod.admit.signers)] == ["ci-promote", "ci-promote"]


def test_private_keys_are_for_their_user_alone_and_kept_out_of_git(written: Files) -> None:
    modes = {name: mode for name, (_, mode) in written.items()}
    assert {mode for name, mode in modes.items() if name.endswith(".key")} == {0o600}
    assert {mode for name, mode in modes.items() if not name.endswith(".key")} == {0o644}
    private = [content for name, (content, mode) in written.items() if mode == 0o644 and b"PRIVATE" in content]
    assert private == []
    assert written["keys/.gitignore"][0] == b"*.key\n"


def test_each_private_key_belongs_to_the_public_key_beside_it(written: Files) -> None:
    for name in ("owner", "ci-build", "ci-promote", "scanner"):
        signer = KeySigner.from_pem(written[f"keys/{name}.key"][0])
        assert signer.public_key == load_public_key(written[f"keys/{name}.pub"][0])


def test_every_run_makes_new_keys(written: Files) -> None:
    again = files(pipeline="shop-api", registry="127.0.0.1:5001", production="127.0.0.1:5002")
    assert again["samebits.yaml"] == written["samebits.yaml"]
    keys = [files[name][0] for files in (written, again) for name in files if name.endswith(".key")]
    assert len(set(keys)) == 8


@pytest.mark.parametrize(
    ("pipeline", "registry"),
    [
        ("Shop API", "127.0.0.1:5001"),
        ("shop\nsigners: {}", "127.0.0.1:5001"),
        ("", "127.0.0.1:5001"),
        ("shop", "https://127.0.0.1:5001"),
        ("shop", "registry"),
        ("shop", "127.0.0.1:5001\n#"),
        ("shop", ""),
    ],
)
def test_a_name_that_can_t_stand_in_a_definition_is_refused(pipeline: str, registry: str) -> None:
    with pytest.raises(DefinitionError):
        files(pipeline=pipeline, registry=registry, production="127.0.0.1:5002")
