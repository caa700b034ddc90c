"""Bills of materials: CycloneDX and SPDX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registries.digest import Digest
from registries.errors import ContentError
from stages.reports import cyclonedx, spdx
from tests.evidence import AMD64, STRANGER

SAMPLES = Path(__file__).parents[2] / "assets" / "reports"
SYFT = Digest.parse("sha256:70ecc561a5c3ce2600fa856f0fbeee51960b6e2429fc48a411f44362850adc40")
DIGEST = AMD64.manifest
PURL = f"pkg:oci/api@sha256%3A{DIGEST.hex}?arch=amd64&repository_url=registry.example%2Fshop"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_bytes())


def bill(*components: dict[str, Any], image: dict[str, Any] | None = None, **more: Any) -> bytes:
    metadata = {"component": {"type": "container", "name": "shop", **(image or {})}}
    value = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": metadata,
        "components": list(components),
        **more,
    }
    return json.dumps(value).encode()


def library(name: str = "flask", **more: Any) -> dict[str, Any]:
    return {"type": "library", "name": name, "version": "1.0", **more}


def document(*packages: dict[str, Any], image: dict[str, Any] | None = None, **more: Any) -> bytes:
    root = {"SPDXID": "SPDXRef-image", "name": "shop", "primaryPackagePurpose": "CONTAINER", **(image or {})}
    value = {
        "spdxVersion": "SPDX-2.3",
        "packages": [root, *packages],
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-image",
            }
        ],
        **more,
    }
    return json.dumps(value).encode()


def package(name: str = "flask", **more: Any) -> dict[str, Any]:
    return {"SPDXID": f"SPDXRef-{name}", "name": name, **more}


def refusal(read: Any, content: bytes) -> str:
    with pytest.raises(ContentError) as error:
        read(content)
    return error.value.code


@pytest.mark.parametrize("name", ["cyclonedx-syft.json", "spdx-syft.json", "spdx-three.json"])
def test_a_bill_names_its_image_and_when_it_was_made(name: str) -> None:
    read = cyclonedx.read if name.startswith("cyclonedx") else spdx.read
    found = read((SAMPLES / name).read_bytes())
    assert (found.about, found.number) == ((SYFT,), 2)
    assert found.made_at is not None


@pytest.mark.parametrize(
    "image",
    [
        {"version": str(DIGEST)},
        {"name": f"registry.example/shop@{DIGEST}"},
        {"purl": PURL},
        {"hashes": [{"alg": "SHA-256", "content": DIGEST.hex}, {"alg": "MD5", "content": "0" * 32}]},
        {"properties": [{"name": "aquasecurity:trivy:RepoDigest", "value": f"shop@{DIGEST}"}, {"name": "x"}]},
        {"properties": [{"name": "aquasecurity:trivy:ImageID", "value": str(DIGEST)}]},
    ],
)
def test_cyclonedx_names_an_image_in_several_ways(image: dict[str, Any]) -> None:
    assert cyclonedx.read(bill(library(), image=image)).about == (DIGEST,)


@pytest.mark.parametrize(
    "image",
    [
        {"versionInfo": str(DIGEST)},
        {"name": f"registry.example/shop@{DIGEST}"},
        {"checksums": [{"algorithm": "SHA256", "checksumValue": DIGEST.hex}]},
        {"externalRefs": [{"referenceType": "purl", "referenceLocator": PURL}, {"referenceType": "cpe23Type"}]},
        {"attributionTexts": [f"ImageID: {DIGEST}", "LayerDigest: x"]},
        {"attributionTexts": [f"RepoDigest: shop@{DIGEST}"]},
    ],
)
def test_spdx_names_an_image_in_several_ways(image: dict[str, Any]) -> None:
    assert spdx.read(document(package(), image=image)).about == (DIGEST,)


def test_only_what_the_bill_is_of_names_the_image() -> None:
    assert cyclonedx.read(bill(library(purl=PURL, version=str(DIGEST)))).about == ()
    assert spdx.read(document(package(versionInfo=str(DIGEST)))).about == ()
    assert cyclonedx.read(bill(library(), image={"purl": PURL.replace("pkg:oci", "pkg:npm")})).about == ()


def test_packages_are_counted_each_once_at_every_depth_and_nothing_else_is() -> None:
    inner = library("inner")
    found = cyclonedx.read(
        bill(
            library(components=[inner, {"type": "file", "name": "x", "components": [library("innermost")]}]),
            library(),
            {"type": "operating-system", "name": "debian"},
            {"type": "data", "name": "rows"},
            image={"components": [library("part")]},
        )
    )
    assert found.number == 4
    packages = [package(), package("jinja", primaryPackagePurpose="LIBRARY")]
    packages += [package("os", primaryPackagePurpose="OPERATING-SYSTEM"), package("f", primaryPackagePurpose="FILE")]
    assert spdx.read(document(*packages)).number == 2


def test_a_bill_without_packages_is_empty() -> None:
    files = {"type": "file", "name": "x"}
    for content in (bill(), bill(files), bill({"type": "operating-system", "name": "debian"})):
        assert refusal(cyclonedx.read, content) == "evidence-empty"
    assert refusal(spdx.read, document()) == "evidence-empty"
    assert refusal(spdx.read, document(package(primaryPackagePurpose="FILE"))) == "evidence-empty"
    three = sample("spdx-three.json")
    three["@graph"] = [one for one in three["@graph"] if one.get("name") not in ("flask", "requests")]
    assert refusal(spdx.read, json.dumps(three).encode()) == "evidence-empty"


def test_a_document_about_its_packages_describes_no_image() -> None:
    names = ["SPDXRef-flask", "SPDXRef-jinja"]
    content = document(package(), package("jinja"), relationships=[], documentDescribes=names)
    assert (spdx.read(content).number, spdx.read(content).about) == (3, ())


@pytest.mark.parametrize("version", ["1.3", "1.8", "2.0", "", None, 1.6])
def test_other_versions_of_cyclonedx_are_refused(version: Any) -> None:
    assert refusal(cyclonedx.read, bill(library(), specVersion=version)) == "evidence-malformed"


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6", "1.7"])
def test_these_versions_of_cyclonedx_are_read(version: str) -> None:
    assert cyclonedx.read(bill(library(), specVersion=version)).number == 1


def test_other_versions_of_spdx_are_refused() -> None:
    assert refusal(spdx.read, document(package(), spdxVersion="SPDX-2.2")) == "evidence-malformed"
    contexts: tuple[Any, ...] = (
        None,
        [],
        "https://spdx.org/rdf/4.0.0/spdx-context.jsonld",
        "https://evil.test/context.jsonld",
    )
    for context in contexts:
        three = sample("spdx-three.json") | {"@context": context}
        assert refusal(spdx.read, json.dumps(three).encode()) == "evidence-malformed"


def test_what_has_no_name_or_type_is_malformed() -> None:
    assert refusal(cyclonedx.read, bill({"type": "library"})) == "evidence-malformed"
    assert refusal(cyclonedx.read, bill({"name": "flask"})) == "evidence-malformed"
    assert refusal(spdx.read, document({"SPDXID": "SPDXRef-x"})) == "evidence-malformed"
    assert refusal(spdx.read, document({"name": "flask"})) == "evidence-malformed"


def test_roots_that_lead_in_a_circle_end() -> None:
    three = sample("spdx-three.json")
    for element in three["@graph"]:
        if element["type"] == "software_Sbom":
            element["rootElement"].append(element["spdxId"])
    assert spdx.read(json.dumps(three).encode()).about == (SYFT,)


def test_another_digest_is_another_image() -> None:
    assert cyclonedx.read(bill(library(), image={"version": str(STRANGER)})).about == (STRANGER,)
