"""The picture of the live captions, rendered to strings."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console, RenderableType

from streaming_asr.command_line.captions import (
    METER_CELLS,
    QUIETEST_DB,
    Captions,
    after_audio,
    after_event,
    clock,
    final_line,
    loudness,
    picture,
)
from streaming_asr.events import Final, Partial, SpeechEnded, SpeechStarted

FINAL = Final(3, "so it is", (), 63.44, 64.0, 0.9, (), "silence", 0.2)


def rendered(picture_: RenderableType, *, width: int = 60, colours: bool = False) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        height=20,
        force_terminal=colours,
        color_system="truecolor" if colours else None,
    )
    with console.capture() as capture:
        console.print(picture_)
    return [line.rstrip() for line in capture.get().splitlines()]


def partial(committed: str, tail: str) -> Partial:
    return Partial(0, committed, tail, (), 1.0, 2.0, 0.3)


def test_committed_text_and_tail_stand_in_one_line_with_the_time_before_them() -> None:
    lines = rendered(picture(Captions("good morning", "and thank", start=3.21), width=60, height=10))
    assert lines[0] == "   0:03.2  good morning and thank"


def test_scripts_without_spaces_get_none_between_the_two() -> None:
    joined = Partial(0, "东京", "大学", (), 1.0, 2.0, 0.3, joined=True)
    for event, shown in ((joined, "东京大学"), (partial("so it", "is"), "so it is")):
        assert shown in rendered(picture(after_event(Captions(), event), width=60, height=10))[0]


def test_committed_text_is_firm_and_the_tail_dim() -> None:
    line = rendered(picture(Captions("firm", "soft"), width=60, height=10), colours=True)[0]
    assert "\x1b[1mfirm" in line
    assert "\x1b[2;3msoft" in line


@pytest.mark.parametrize("width", [20, 40, 61, 120])
def test_long_captions_wrap_and_never_exceed_the_screen(width: int) -> None:
    captions = Captions("these words will stay " * 30, "and these may change", speaking=True)
    lines = rendered(picture(captions, width=width, height=8), width=width)
    assert len(lines) <= 8
    assert max(map(len, lines)) <= width


def test_of_a_caption_that_is_too_long_the_end_is_shown() -> None:
    text = " ".join(f"word{index}" for index in range(100))
    lines = rendered(picture(Captions(text, "tail"), width=60, height=6))
    assert "word99 tail" in " ".join(lines)
    assert "word0 " not in " ".join(lines)


def test_the_status_line_tells_position_speech_and_lag() -> None:
    line = rendered(picture(Captions(speaking=True, position=12.34, lag=0.52), width=60, height=10))[-1]
    assert line.startswith("   0:12.3")
    assert "● speech" in line
    assert line.endswith("lag 0.5 s")


def test_the_meter_is_empty_in_silence_and_full_at_full_scale() -> None:
    assert "━" not in rendered(picture(Captions(), width=60, height=10))[-1]
    assert "━" * METER_CELLS in rendered(picture(Captions(level=0.0), width=60, height=10))[-1]


def test_the_meter_rises_at_once_and_falls_slowly() -> None:
    loud = after_audio(Captions(), np.full(1600, 0.5, dtype=np.float32), 0.1)
    assert loud.level == pytest.approx(-6.02, abs=0.01)
    quiet = after_audio(loud, np.zeros(1600, dtype=np.float32), 0.1)
    assert loud.level > quiet.level > QUIETEST_DB
    assert quiet.position == pytest.approx(0.2)


def test_loudness_of_nothing_and_of_silence_is_the_quietest() -> None:
    assert loudness(np.zeros(0, dtype=np.float32)) == loudness(np.zeros(9, dtype=np.float32)) == QUIETEST_DB


def test_events_move_the_captions() -> None:
    captions = after_event(Captions(), SpeechStarted(0, 1.0, 0.1))
    assert captions.speaking
    captions = after_event(captions, partial("good", "mor"))
    assert (captions.committed, captions.tail, captions.lag) == ("good", "mor", 0.3)
    assert after_event(captions, FINAL).committed == ""
    assert not after_event(captions, SpeechEnded(0, 2.0, "silence", 0.1)).speaking


def test_a_final_is_one_line_with_its_time() -> None:
    assert rendered(final_line(FINAL)) == ["   1:03.4  so it is"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00.0"), (59.96, "1:00.0"), (3599.94, "59:59.9"), (3723.4, "1:02:03.4"), (-1, "0:00.0")]
)
def test_times_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
