"""How checkpoints are listed and described."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console, RenderableType

from streaming_asr.checkpoints.description import Description
from streaming_asr.command_line.models import details, listing

MMS = Description(
    name="facebook/mms-1b-all",
    folder=Path("/cache/mms"),
    family="wav2vec2",
    parameters=964_900_000,
    languages=tuple(f"l{number:02}" for number in range(20)),
    hop=320,
    vocabulary=154,
    size=3_860_000_000,
    language_model=False,
    refusal=None,
)
BROKEN = Description("broken", Path("/b"), None, None, (), None, None, 0, False, "broken: has no weights")


def rendered(table: RenderableType) -> list[str]:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_list_has_one_line_for_each_model() -> None:
    assert rendered(listing([MMS, BROKEN])) == [
        "model family parameters frame language model",
        "facebook/mms-1b-all wav2vec2 964.9 M 20 ms no",
        "broken ? ? ? no",
    ]


def test_details_tell_units_and_languages() -> None:
    lines = rendered(details(MMS))
    assert "frame 20 ms" in lines
    assert "on this disk 3860.0 MB" in lines
    assert "and 8 more (choose with --language)" in " ".join(lines)
    assert lines[-1] == "usable yes, live and from files"


def test_a_checkpoint_that_cannot_be_used_is_described_as_far_as_it_tells() -> None:
    lines = rendered(details(BROKEN))
    assert "family unknown" in lines
    assert "on this disk not downloaded yet" in lines
    assert lines[-1] == "usable no"
