"""Why something that was said is not believed.

registries.errors.Refusal
    ├── AttestationError    one bundle, envelope, statement or signature is not believed   exit 5
    └── ChainBroken         the chain of an image has faults; carries all of them           exit 5
"""

from __future__ import annotations

from registries.errors import Refusal


class AttestationError(Refusal):
    """One bundle, envelope, statement or signature is not believed."""


class ChainBroken(Refusal):
    """The chain of an image is not whole. No option and no waiver reaches this."""
