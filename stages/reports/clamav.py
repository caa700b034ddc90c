"""The report that `samebits scan` writes of a malware scan by clamd."""

from __future__ import annotations

from typing import Final

from registries.digest import Digest
from registries.errors import ContentError
from stages.report import Infection, MalwareScan, empty, malformed
from stages.reports.fields import Fields

SCHEMA: Final = "https://samebits.dev/schema/malware/v1"


def read(content: bytes) -> MalwareScan:
    """Read it, or raise `evidence-malformed`, `evidence-empty` (no file was scanned), `size-limit`."""
    report = Fields.read(content)
    if report.text("schema") != SCHEMA:
        raise malformed(f"it says that it is {report.text('schema')!r:.80}, not {SCHEMA}")
    platforms = report.objects("platforms")
    files = report.number("files")
    if not platforms or files == 0:
        raise empty("no file was scanned")
    return MalwareScan(
        tool="clamd",
        tool_version=report.text("engine"),
        data_date=report.time("signaturesDate"),
        scanned_at=report.time("scannedAt"),
        about=tuple(_digest(platform.text("manifest")) for platform in platforms),
        files=files,
        found=tuple(
            Infection(signature=one.text("signature"), path=one.text("path"), layer=_digest(one.text("layer")))
            for one in report.objects("found")
        ),
        unscanned=tuple(f"{one.text('path')}: {one.text('why')}" for one in report.objects("unscanned")),
    )


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except ContentError as error:
        raise malformed(str(error)) from error
