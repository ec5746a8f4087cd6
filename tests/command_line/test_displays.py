"""Where events are shown: terminals, pipes and event lines."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
import pytest
from rich.console import Console

from streaming_asr.command_line.displays import Display, EventLines, LiveCaptions, NoDisplay, PlainLines, ProgressBar
from streaming_asr.command_line.terminals import Displays
from streaming_asr.events import Event

Script = Sequence[tuple[float, Event]]
PIECE = np.full((800, 1), 0.1, dtype=np.float32)


def played(display: Display, script: Script) -> None:
    with display:
        for _, event in script:
            display.pushed(PIECE, 0.05)
            display.show([event])


def test_plain_lines_are_the_finals(script: Script) -> None:
    out = io.StringIO()
    played(PlainLines(out, times=False), script)
    assert out.getvalue() == "good morning\nthank you all\n"


def test_plain_lines_may_have_times_and_partials(script: Script) -> None:
    out = io.StringIO()
    played(PlainLines(out, times=True, partials=True), script)
    assert out.getvalue().splitlines() == [
        "   0:00.2  good mourn ...",
        "   0:00.2  good morning ...",
        "   0:00.2  good morning",
        "   0:02.0  thank ...",
        "   0:02.0  thank you all",
    ]


def test_event_lines_are_objects_with_their_type(script: Script) -> None:
    out = io.StringIO()
    played(EventLines(out), script)
    objects = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [found["type"] for found in objects][:4] == ["SpeechStarted", "Partial", "Partial", "Final"]
    assert objects[2]["committed"] == "good"
    assert objects[3]["words"][0] == {
        "text": "good",
        "start": 0.2,
        "end": 0.5,
        "confidence": 0.9,
        "joined": False,
    }


def test_a_silent_stage_shows_nothing(script: Script, capfd: pytest.CaptureFixture[str]) -> None:
    played(NoDisplay(), script)
    assert capfd.readouterr() == ("", "")


def terminal(out: io.StringIO) -> Console:
    return Console(file=out, force_terminal=True, width=60, height=12, color_system=None, legacy_windows=False)


def test_live_captions_end_with_the_finals_and_nothing_else(script: Script) -> None:
    out = io.StringIO()
    played(LiveCaptions(terminal(out)), script)
    assert screen(out.getvalue()) == ["   0:00.2  good morning", "   0:02.0  thank you all"]


def test_live_captions_show_the_utterance_while_it_is_spoken(script: Script) -> None:
    out = io.StringIO()
    display = LiveCaptions(terminal(out))
    display.__enter__()
    display.show([event for _, event in script[:3]])
    lines = screen(out.getvalue())
    display.__exit__(None, None, None)
    assert lines[0] == "   0:00.2  good morning"
    assert "● speech" in lines[-1]


def test_the_picture_is_drawn_at_most_twelve_times_a_second() -> None:
    out = io.StringIO()
    time = iter(np.arange(0, 1, 0.01))
    display = LiveCaptions(terminal(out), now=lambda: float(next(time)))
    with display:
        for _ in range(100):
            display.pushed(PIECE, 0.01)
    assert out.getvalue().count("lag") <= 13


def test_a_progress_bar_tells_position_and_leaves_nothing_behind(script: Script) -> None:
    out = io.StringIO()
    played(ProgressBar(terminal(out), "[talk].wav", 4.0), script)
    assert "[talk].wav" in out.getvalue()
    assert screen(out.getvalue()) == []


def test_several_stages_show_the_same(script: Script) -> None:
    first, second = io.StringIO(), io.StringIO()
    played(Displays(PlainLines(first, times=False), PlainLines(second, times=False)), script)
    assert first.getvalue() == second.getvalue() != ""


def screen(written: str) -> list[str]:
    """What a terminal shows after this: only what rich uses is understood - lines, cursor up, erase line."""
    lines, row = [""], 0
    rest = written
    while rest:
        if rest.startswith("\x1b["):
            end = next(index for index, letter in enumerate(rest[2:], 2) if letter.isalpha())
            count, verb = rest[2:end], rest[end]
            if verb == "A":
                row = max(0, row - int(count or 1))
            elif verb == "K":
                lines[row] = ""
            rest = rest[end + 1 :]
        elif rest[0] == "\n":
            row += 1
            lines += [""] * (row - len(lines) + 1)
            rest = rest[1:]
        elif rest[0] == "\r":
            rest = rest[1:]
        else:
            lines[row] += rest[0]
            rest = rest[1:]
    return [line.rstrip() for line in lines if line.strip()]
