"""What other libraries say of a bill of materials; run with their own Python (`tests.peers.python`), prints JSON.

usage: bill_oracles.py read FORMAT FILE     {"valid": …, "packages": [names], "of": the version of what it describes}
       bill_oracles.py write VERSION        a CycloneDX bill of that version with components inside components
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_NO_PACKAGES = ("file", "data", "operating-system", "cryptographic-asset")


def _cyclonedx(path: Path) -> dict[str, Any]:
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = path.read_text()
    value = json.loads(text)
    version = SchemaVersion.from_version(value["specVersion"])
    bom, waiting, found = Bom.from_json(value), [], []
    waiting.extend(bom.components)
    while waiting:
        component = waiting.pop()
        waiting.extend(component.components)
        if component.type.value not in _NO_PACKAGES:
            found.append(component.name)
    valid = JsonStrictValidator(version).validate_str(text) is None
    return {"valid": valid, "packages": sorted(found), "of": bom.metadata.component.version}


def _spdx(path: Path) -> dict[str, Any]:
    if "@graph" in json.loads(path.read_text()):
        return _spdx_3(path)
    from spdx_tools.spdx.model import RelationshipType
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = parse_file(str(path))
    described = (it for it in document.relationships if it.relationship_type is RelationshipType.DESCRIBES)
    roots = {it.related_spdx_element_id for it in described}
    found = sorted(package.name for package in document.packages if package.spdx_id not in roots)
    (root,) = (package for package in document.packages if package.spdx_id in roots)
    return {"valid": not validate_full_spdx_document(document), "packages": found, "of": root.version}


def _spdx_3(path: Path) -> dict[str, Any]:
    from spdx_python_model import v3_0_1 as model

    objects = model.SHACLObjectSet()
    with path.open("rb") as file:
        model.JSONLDDeserializer().read(file, objects)
    (document,) = objects.foreach_type(model.SpdxDocument)
    (root,) = (inner for outer in document.rootElement for inner in outer.rootElement)
    packages = [
        package.name
        for package in objects.foreach_type(model.software_Package)
        if package is not root and not str(package.software_primaryPurpose).endswith("operatingSystem")
    ]
    (checksum,) = root.verifiedUsing
    return {"valid": not objects.missing_ids, "packages": sorted(packages), "of": f"sha256:{checksum.hashValue}"}


def _write(version: str) -> str:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    def made(kind: ComponentType, name: str, *inner: Component) -> Component:
        return Component(type=kind, name=name, version="1.0", components=inner, bom_ref=name)

    bom = Bom()
    bom.metadata.component = Component(type=ComponentType.CONTAINER, name="shop", version=f"sha256:{'a' * 64}")
    bom.components.add(made(ComponentType.FRAMEWORK, "outer", made(ComponentType.LIBRARY, "inner")))
    bom.components.add(made(ComponentType.FILE, "file", made(ComponentType.LIBRARY, "in-file")))
    bom.components.add(made(ComponentType.OPERATING_SYSTEM, "debian"))
    return str(make_outputter(bom, OutputFormat.JSON, SchemaVersion.from_version(version)).output_as_string())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read", "cyclonedx", name]:
            print(json.dumps(_cyclonedx(Path(name))))
        case ["read", "spdx", name]:
            print(json.dumps(_spdx(Path(name))))
        case ["write", version]:
            print(_write(version))
        case _:
            sys.exit(str(__doc__))
