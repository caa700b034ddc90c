"""SLSA provenance, version 0.2 and 1: the bare predicate, or a whole in-toto statement as BuildKit writes it unsigned.

What the build was told to build stands at places that depend on the build type; those of GitHub's workflows, of
slsa-github-generator, GitLab, Cloud Build, Tekton Chains and BuildKit are known. Sources: SLSA 1.2, "Provenance"; SLSA
0.2, "Provenance"; each builder's own description of its build type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attestations.statement import STATEMENT_V01, STATEMENT_V1
from registries.errors import ContentError
from stages.report import empty, malformed
from stages.reports.fields import Fields, digests
from stages.source import Provenance, Source, commit_in

V02: Final = "https://slsa.dev/provenance/v0.2"
V1: Final = "https://slsa.dev/provenance/v1"
VERSIONS: Final[Mapping[str, str]] = {V02: "0.2", V1: "1"}

# Where the build is told what to build. These leaves are the source; all others are parameters.
_SOURCE_PARAMETERS: Final = ("workflow", "source", "configSource", "buildConfigSource")
_SOURCE_LEAVES: Final = ("repository", "ref", "uri", "digest")
# BuildKit's dependencies are what a Dockerfile fetches, never what was built.
_BUILDKIT: Final = ("https://mobyproject.org/buildkit@", "https://github.com/moby/buildkit/")
_BUILDKIT_METADATA: Final = ("https://mobyproject.org/buildkit@v1#metadata", "buildkit_metadata")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_:/-]+")


def read(content: bytes) -> Provenance:
    """A statement of another type is `evidence-malformed`; a predicate without a builder too."""
    document = Fields.read(content)
    if "_type" not in document.value:
        return _predicate(document, about=())
    if document.text("_type") not in (STATEMENT_V1, STATEMENT_V01):
        raise malformed(f"`_type` is {document.text('_type')!r:.80}")
    version = VERSIONS.get(document.text("predicateType"))
    if version is None:
        raise malformed(f"a statement of type {document.text('predicateType')!r:.80}, which is no provenance")
    about = tuple(
        digest
        for subject in document.objects("subject")
        for digest in digests(*(f"{name}:{value}" for name, value in subject.object("digest").value.items()))
    )
    if not about:
        raise ContentError("subject-mismatch", "the statement names no digest as its subject")
    found = _predicate(document.object("predicate"), about=about)
    if found.version != version:
        raise malformed(f"the statement says version {version}, its predicate is of version {found.version}")
    return found


def _predicate(predicate: Fields, about: tuple[Any, ...]) -> Provenance:
    if not predicate.value:
        raise empty("the provenance says nothing")
    is_v1, is_v02 = "buildDefinition" in predicate.value, "buildType" in predicate.value
    if is_v1 == is_v02:
        raise malformed("neither `buildDefinition` (version 1) nor `buildType` (version 0.2), or both")
    if is_v1:
        definition, run = predicate.object("buildDefinition"), predicate.object("runDetails")
        external = definition.object("externalParameters")
        dependencies = _dependencies(definition.objects("resolvedDependencies"))
        build_type, metadata = definition.text("buildType"), run.object("metadata")
        named = list(_named(external, dependencies))
        leaves = tuple(_parameters(external))
        builder, finished = run.object("builder").text("id"), metadata.time("finishedOn")
    else:
        invocation, metadata = predicate.object("invocation"), predicate.object("metadata")
        config = invocation.object("configSource")
        dependencies = _dependencies(predicate.objects("materials"))
        build_type = predicate.text("buildType")
        named = list(_descriptor(config, dependencies))
        entry = config.optional_text("entryPoint")
        leaves = (*((("entryPoint", entry),) if entry else ()), *_leaves(invocation.object("parameters").value, ""))
        builder, finished = predicate.object("builder").text("id"), metadata.time("buildFinishedOn")
    return Provenance(
        version=VERSIONS[V1 if is_v1 else V02],
        builder=builder,
        build_type=build_type,
        sources=tuple(dict.fromkeys(named or _unnamed(build_type, metadata, dependencies))),
        parameters=tuple(sorted(leaves)),
        about=about,
        finished_at=finished,
    )


def _dependencies(found: Sequence[Fields]) -> tuple[Source, ...]:
    """Those that are commits of a repository."""
    sources = (
        Source.at(one.optional_text("uri"), commit=commit)
        for one in found
        if (commit := commit_in(one.object("digest").value))
    )
    return tuple(source for source in sources if source is not None)


def _named(external: Fields, dependencies: Sequence[Source]) -> Iterator[Source]:
    """What the external parameters of version 1 name as the source."""
    for name in _SOURCE_PARAMETERS:
        value = external.value.get(name)
        if isinstance(value, str):
            yield from _with_commits(Source.at(value), dependencies)
        elif isinstance(value, Mapping):
            yield from _descriptor(external.object(name), dependencies)


def _descriptor(found: Fields, dependencies: Sequence[Source]) -> Iterator[Source]:
    """A resource descriptor, or a repository with its ref; the commit stands there or among the dependencies."""
    uri = found.optional_text("uri") or found.optional_text("repository")
    commit = commit_in(found.object("digest").value)
    yield from _with_commits(Source.at(uri, ref=found.optional_text("ref"), commit=commit), dependencies)


def _with_commits(source: Source | None, dependencies: Sequence[Source]) -> Iterator[Source]:
    """The source at every commit that a dependency says of the same repository and ref."""
    if source is None:
        return
    if source.commit:
        yield source
        return
    same = [
        it
        for it in dependencies
        if it.repository == source.repository and (it.ref == source.ref or not it.ref or not source.ref)
    ]
    for found in same or [source]:
        yield Source(repository=source.repository, ref=source.ref or found.ref, commit=found.commit)


def _unnamed(build_type: str, metadata: Fields, dependencies: Sequence[Source]) -> Iterator[Source]:
    """Where no parameter names it: BuildKit's note about the folder it started in; of others, the commits taken."""
    if not build_type.startswith(_BUILDKIT):
        yield from dependencies
        return
    for name in _BUILDKIT_METADATA:
        vcs = metadata.object(name).object("vcs")
        source = Source.at(vcs.optional_text("source"), commit=commit_in({"sha1": vcs.optional_text("revision")}))
        if source is not None:
            yield source


def _parameters(external: Fields) -> Iterator[tuple[str, str]]:
    for name, value in external.value.items():
        if name not in _SOURCE_PARAMETERS:
            yield from _leaves(value, _joined("", name))
        elif isinstance(value, Mapping):
            for leaf, inner in value.items():
                if leaf not in _SOURCE_LEAVES:
                    yield from _leaves(inner, _joined(name, leaf))
        elif not isinstance(value, str):
            yield from _leaves(value, name)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every value within, by its path; what holds nothing is a value too."""
    if isinstance(value, Mapping) and (value or not path):
        for name, inner in value.items():
            yield from _leaves(inner, _joined(path, name))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{number}]")
    else:
        yield path, value if isinstance(value, str) else _written(value)


def _joined(path: str, name: str) -> str:
    if not _PLAIN_KEY.fullmatch(name):
        return f'{path}["{name}"]'
    return f"{path}.{name}" if path else name


def _written(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "{}"
        case list():
            return "[]"
        case _:
            return str(value)
