"""samebits' own statements about an image: what each says, field by field. RECORDS is the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from attestations.records.admission import ADMISSION, Admission
from attestations.records.approval import APPROVAL, Approval
from attestations.records.definition import DEFINITION, DefinitionRecord
from attestations.records.step import STEP, StepRecord
from attestations.records.waivers import WAIVERS, WaiversRecord
from attestations.statement import Statement

Record = Admission | StepRecord | DefinitionRecord | Approval | WaiversRecord

RECORDS: Final[Mapping[str, Callable[[Statement], Record]]] = MappingProxyType(
    {
        ADMISSION: Admission.read,
        APPROVAL: Approval.read,
        STEP: StepRecord.read,
        DEFINITION: DefinitionRecord.read,
        WAIVERS: WaiversRecord.read,
    }
)
