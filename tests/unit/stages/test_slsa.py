from __future__ import annotations

import json
from typing import Any

import pytest

from registries.errors import ContentError, UsageError
from stages.reports import slsa
from stages.source import Repository, Source
from tests.evidence import SUBJECT

COMMIT = "a1" * 20
OTHER = "b2" * 20
SHOP = Repository("github.com/acme/shop")
MAIN = "refs/heads/main"


def v1(external: dict[str, Any], dependencies: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "buildDefinition": {
            "buildType": more.pop("build_type", "https://example.test/build/v1"),
            "externalParameters": external,
            "resolvedDependencies": dependencies or [],
        },
        "runDetails": {"builder": {"id": "https://builder.test/one"}, **more},
    }


def v02(config: dict[str, Any], materials: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "builder": {"id": "https://builder.test/one"},
        "buildType": more.pop("build_type", "https://example.test/build@v1"),
        "invocation": {"configSource": config, "parameters": more.pop("parameters", {})},
        "materials": materials or [],
        **more,
    }


def git(uri: str, commit: str = COMMIT, name: str = "gitCommit") -> dict[str, Any]:
    return {"uri": uri, "digest": {name: commit}}


GITHUB = v1(
    {"workflow": {"ref": MAIN, "repository": "https://github.com/acme/shop", "path": ".github/workflows/build.yml"}},
    [git(f"git+https://github.com/acme/shop@{MAIN}")],
)
GENERATOR = v02(
    {**git(f"git+https://github.com/acme/shop@{MAIN}", name="sha1"), "entryPoint": ".github/workflows/build.yml"},
    [git(f"git+https://github.com/acme/shop@{MAIN}", name="sha1")],
)
GITLAB = v1({"source": "https://github.com/acme/shop", "variables": {"A": "b"}}, [git("https://github.com/acme/shop")])
CLOUD_BUILD = v1(
    {"buildConfigSource": {"repository": "git+https://github.com/acme/shop", "ref": MAIN, "path": "build.yaml"}},
    [git(f"git+https://github.com/acme/shop@{MAIN}")],
)
TEKTON = v02(
    {}, [git("git+https://github.com/acme/shop.git", name="sha1"), {"uri": "oci://task", "digest": {"sha256": "1"}}]
)
BUILDKIT_GIT = v02(
    {
        "uri": "https://github.com/acme/shop.git#refs/heads/main:api",
        "digest": {"sha1": COMMIT},
        "entryPoint": "Dockerfile",
    },
    [git("https://github.com/evil/other.git", OTHER, "sha1")],
    build_type="https://mobyproject.org/buildkit@v1",
)
BUILDKIT_LOCAL = v1(
    {"configSource": {"path": "Dockerfile"}, "request": {"frontend": "dockerfile.v0"}},
    [git("https://github.com/evil/other.git", OTHER, "sha1")],
    build_type="https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
    metadata={"buildkit_metadata": {"vcs": {"source": "git@github.com:acme/shop.git", "revision": COMMIT}}},
)


def read(value: Any) -> Any:
    return slsa.read(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("value", "ref", "parameters"),
    [
        (GITHUB, MAIN, (("workflow.path", ".github/workflows/build.yml"),)),
        (GENERATOR, MAIN, (("entryPoint", ".github/workflows/build.yml"),)),
        (GITLAB, "", (("variables.A", "b"),)),
        (CLOUD_BUILD, MAIN, (("buildConfigSource.path", "build.yaml"),)),
        (TEKTON, "", ()),
        (BUILDKIT_GIT, MAIN, (("entryPoint", "Dockerfile"),)),
        (BUILDKIT_LOCAL, "", (("configSource.path", "Dockerfile"), ("request.frontend", "dockerfile.v0"))),
    ],
    ids=["github", "generator", "gitlab", "cloud-build", "tekton", "buildkit-git", "buildkit-local"],
)
def test_what_was_built_is_found_where_each_builder_says_it(
    value: Any, ref: str, parameters: tuple[tuple[str, str], ...]
) -> None:
    found = read(value)
    assert found.sources == (Source(repository=SHOP, ref=ref, commit=COMMIT),)
    assert found.parameters == parameters
    assert found.builder == "https://builder.test/one"


def test_every_source_that_is_named_is_one() -> None:
    found = read(
        v1({"source": "https://github.com/acme/shop", "workflow": {"repository": "https://github.com/evil/shop"}})
    )
    assert [str(source) for source in found.sources] == ["github.com/evil/shop", "github.com/acme/shop"]
    two = v1(
        {"source": "https://github.com/acme/shop"},
        [git("https://github.com/acme/shop"), git("https://github.com/acme/shop", OTHER)],
    )
    assert [source.commit for source in read(two).sources] == [COMMIT, OTHER]


def test_the_commit_of_another_ref_is_not_that_of_the_source() -> None:
    value = v1(
        {"workflow": {"ref": MAIN, "repository": "https://github.com/acme/shop"}},
        [git("git+https://github.com/acme/shop@refs/heads/evil")],
    )
    assert read(value).sources == (Source(repository=SHOP, ref=MAIN),)


def test_digests_that_disagree_or_are_none_are_no_commit() -> None:
    for digest in ({"gitCommit": COMMIT, "sha1": OTHER}, {"sha1": "short"}, {"sha1": [1]}, {"sha256": "a" * 64}):
        assert read(v02({"uri": "https://github.com/acme/shop", "digest": digest})).sources[0].commit == ""


def test_every_leaf_is_a_parameter_and_no_two_look_alike() -> None:
    external = {"inputs": {"a": [1, {}, None, True], "x.y": "v", "x": {"y": "w"}}, "source": 3, "empty": []}
    assert dict(read(v1(external)).parameters) == {
        "inputs.a[0]": "1",
        "inputs.a[1]": "{}",
        "inputs.a[2]": "null",
        "inputs.a[3]": "true",
        'inputs["x.y"]': "v",
        "inputs.x.y": "w",
        "source": "3",
        "empty": "[]",
    }


def test_a_whole_statement_is_read_and_names_what_it_is_about() -> None:
    statement = {
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": slsa.V02,
        "subject": [{"name": "pkg:docker/shop", "digest": {"sha256": SUBJECT.hex}}],
        "predicate": BUILDKIT_GIT,
    }
    assert read(statement).about == (SUBJECT,)
    for change, code in (
        ({"subject": []}, "subject-mismatch"),
        ({"predicateType": slsa.V1}, "evidence-malformed"),
        ({"predicateType": "https://slsa.dev/provenance/v1.1"}, "evidence-malformed"),
        ({"_type": "https://in-toto.io/Statement/v2"}, "evidence-malformed"),
        ({"predicate": {}}, "evidence-empty"),
    ):
        with pytest.raises(ContentError) as error:
            read(statement | change)
        assert error.value.code == code


def test_a_predicate_of_no_version_or_without_builder_is_refused() -> None:
    without = v1({})
    without["runDetails"] = {"builder": {}}
    for value in ({"builder": {"id": "x"}}, GITHUB | GENERATOR, without, v02({}) | {"builder": {"id": ""}}):
        with pytest.raises(ContentError) as error:
            read(value)
        assert error.value.code == "evidence-malformed"


@pytest.mark.parametrize(
    "text",
    [
        "github.com/acme/shop",
        "GitHub.com/acme/shop",
        "https://github.com/acme/shop",
        "git+https://github.com/acme/shop.git",
        "ssh://git@github.com/acme/shop",
        "git@github.com:acme/shop.git",
    ],
)
def test_a_repository_may_be_written_as_it_is_cloned(text: str) -> None:
    assert Repository.parse(text) == SHOP


def test_what_is_reached_without_protection_or_has_another_case_is_another_repository() -> None:
    for text in ("http://github.com/acme/shop", "git://github.com/acme/shop", "https://github.com/Acme/shop"):
        assert Repository.parse(text) != SHOP


@pytest.mark.parametrize(
    "text", ["", "shop", "https://", "github.com/acme/shop?x", "https://github.com/acme/shop@main", "a b/c"]
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Repository.parse(text)
    assert error.value.code == "definition-invalid"
