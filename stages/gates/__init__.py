"""The gates that a stage can ask, by the name they have in a definition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stages.gate import Gate
from stages.gates.approvals import Approvals
from stages.gates.base_image import BaseImage
from stages.gates.cel import Cel
from stages.gates.freeze import Freeze
from stages.gates.freshness import Freshness
from stages.gates.image_config import ImageConfig
from stages.gates.malware import Malware
from stages.gates.policy_report import PolicyReport
from stages.gates.provenance import BuildProvenance
from stages.gates.sast import StaticAnalysis
from stages.gates.sbom import BillOfMaterials
from stages.gates.soak import Soak
from stages.gates.tests import PassingTests
from stages.gates.vulnerabilities import Vulnerabilities

GATES: Final[Mapping[str, type[Gate]]] = {
    "approvals": Approvals,
    "base-image": BaseImage,
    "cel": Cel,
    "freeze": Freeze,
    "freshness": Freshness,
    "image-config": ImageConfig,
    "malware": Malware,
    "policy-report": PolicyReport,
    "provenance": BuildProvenance,
    "sast": StaticAnalysis,
    "sbom": BillOfMaterials,
    "soak": Soak,
    "tests": PassingTests,
    "vulnerabilities": Vulnerabilities,
}
