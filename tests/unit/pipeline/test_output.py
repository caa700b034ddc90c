"""What reaches a terminal: results on stdout, everything else on stderr, nothing from outside uncleaned."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pipeline.formats.result import Result, Told
from pipeline.output import Output, clean, parse_formats, wants_color
from registries.errors import Reason, UsageError

REASON = Reason("digest-mismatch", "expected \x1b]0;evil\x07 other bytes", "registry\r\nat", "look")


def output(**options: object) -> tuple[Output, io.StringIO, io.StringIO]:
    stdout, stderr = io.StringIO(), io.StringIO()
    return Output(stdout=stdout, stderr=stderr, **options), stdout, stderr  # type: ignore[arg-type]


def test_t074_control_characters_from_outside_are_made_visible() -> None:
    writer, stdout, stderr = output()
    writer.refused([REASON])
    assert stdout.getvalue() == ""
    assert "\x1b" not in stderr.getvalue()
    assert "\r" not in stderr.getvalue()
    assert "\\u001b]0;evil\\u0007" in stderr.getvalue()
    assert clean("\u202egpj.exe") == "\\u202egpj.exe"


def test_an_error_shows_its_message_code_place_and_hint() -> None:
    writer, _, stderr = output()
    writer.refused([Reason("tag-conflict", "points elsewhere", "prod:1.0", "samebits plan prod 1.0")])
    assert stderr.getvalue() == (
        "error: points elsewhere [tag-conflict]\n  at prod:1.0\n  hint: samebits plan prod 1.0\n"
    )


def test_several_formats_go_to_their_own_targets(tmp_path: Path) -> None:
    writer, stdout, _ = output(formats=parse_formats(["text", f"json={tmp_path / 'result.json'}"]))
    writer.result(Result(command="explain", exit_code=0, shown=Told(heading="heading", lines=(("a", "b"),))))
    assert stdout.getvalue() == "heading\n  a  b\n"
    assert json.loads((tmp_path / "result.json").read_text())["told"] == "heading"


@pytest.mark.parametrize("texts", [["yaml"], ["json", "text"], ["json="]])
def test_formats_that_can_not_be_meant_are_refused(texts: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse_formats(texts)
    assert error.value.code == "format-unknown"


@pytest.mark.parametrize(
    ("choice", "environment", "terminal", "colored"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"CLICOLOR_FORCE": "1"}, False, True),
        ("auto", {"TERM": "dumb"}, True, False),
    ],
)
def test_color_follows_the_option_then_the_environment_then_the_terminal(
    choice: str,
    environment: dict[str, str],
    terminal: bool,  # noqa: FBT001
    colored: bool,  # noqa: FBT001
) -> None:
    assert wants_color(choice, environment, terminal=terminal) is colored


def test_quiet_says_nothing_but_results_and_errors() -> None:
    writer, _, stderr = output(quiet=True)
    writer.note("copied")
    writer.say("gathering")
    assert stderr.getvalue() == ""


def test_progress_away_from_a_terminal_is_one_line_for_each_blob() -> None:
    from registries.descriptor import Descriptor
    from registries.digest import Digest

    writer, _, stderr = output()
    blob = Descriptor(media_type="x", digest=Digest.of(b"x"), size=1)
    progress = writer.progress()
    progress.start(blob, 1)
    progress.advance(blob, 1)
    progress.done(blob, "copied")
    assert stderr.getvalue() == f"copied {blob.digest} 1 bytes\n"
