"""How a result is shown: the same value for people and for programs. FORMATS is the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pipeline.formats import json, text
from pipeline.formats.result import Result

FORMATS: Mapping[str, Callable[[Result], str]] = MappingProxyType({"text": text.render, "json": json.render})

__all__ = ["FORMATS", "Result"]
