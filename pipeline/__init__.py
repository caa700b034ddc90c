"""What people do with samebits: commands, the definition, and the way of one promotion."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""Of the distribution. A constant, since to ask for the installed one takes longer than the rest of `--version`."""
