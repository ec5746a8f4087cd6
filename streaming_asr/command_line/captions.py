"""Live captions as a pure function: what was recognized so far in, a picture of it for rich out."""

from __future__ import annotations

import math
import typing
from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from streaming_asr.audio.samples import FloatArray
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed

QUIETEST_DB: typing.Final = -60.0
"""Left end of the level meter, in dB below full scale."""
METER_CELLS: typing.Final = 12
TIME_CELLS: typing.Final = 9
"""Width of the column of times: `1:02:03.4` just fits."""
STATUS_LINES: typing.Final = 2
"""The status line and the empty line above it."""
FEWEST_CELLS: typing.Final = 20
"""A terminal narrower than this is drawn as if it had so many cells."""


@dataclass(frozen=True, slots=True)
class Captions:
    """The utterance in progress and what the status line tells; times in seconds, level in dB of full scale."""

    committed: str = ""
    tail: str = ""
    gap: str = " "
    """What stands between the two where both are."""
    start: float = 0.0
    speaking: bool = False
    position: float = 0.0
    lag: float = 0.0
    level: float = QUIETEST_DB


def after_event(captions: Captions, event: Event) -> Captions:
    """The captions once an event has come."""
    match event:
        case SpeechStarted(time=time, lag=lag):
            return replace(captions, committed="", tail="", start=time, speaking=True, lag=lag)
        case Partial(readable=readable, start=start, lag=lag):
            gap = "" if readable.joined else " "
            return replace(captions, committed=readable.committed, tail=readable.tail, gap=gap, start=start, lag=lag)
        case TurnEnding() | TurnResumed():
            return captions
        case Final(lag=lag):
            return replace(captions, committed="", tail="", lag=lag)
        case SpeechEnded(lag=lag):
            return replace(captions, committed="", tail="", speaking=False, lag=lag)
        case _:
            assert_never(event)


def after_audio(captions: Captions, piece: FloatArray, seconds: float) -> Captions:
    """The captions once a piece of audio, any shape, was pushed; the level falls slowly, as a meter does."""
    falling = captions.level - 40.0 * seconds
    return replace(captions, position=captions.position + seconds, level=max(loudness(piece), falling, QUIETEST_DB))


def loudness(piece: FloatArray) -> float:
    """Root mean square in dB of full scale, not below `QUIETEST_DB`."""
    power = float(np.mean(np.square(piece, dtype=np.float64))) if piece.size else 0.0
    return max(QUIETEST_DB, 10 * math.log10(power)) if power > 0 else QUIETEST_DB


def clock(seconds: float) -> str:
    """A time as people read it, to a tenth of a second: `0:03.2`, `12:40.0`, `1:02:03.4`."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    spoken = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{spoken}" if hours else f"{minutes}:{spoken}"


def final_line(final: Final) -> RenderableType:
    """A finished utterance with its time, as it scrolls up."""
    return _row(clock(final.start), Text(final.readable.text))


def picture(captions: Captions, *, width: int, height: int) -> RenderableType:
    """The live part of the screen: the utterance in progress over the status line.

    It never needs more than `height` lines of `width` cells: of a longer utterance the end is shown.
    """
    width = max(width, FEWEST_CELLS)
    text = _last_lines(_caption_text(captions), width - TIME_CELLS - 2, max(1, height - STATUS_LINES))
    time = clock(captions.start) if text else ""
    return Group(_row(time, text), Text(), _status(captions, width))


def _caption_text(captions: Captions) -> Text:
    gap = captions.gap if captions.committed and captions.tail else ""
    return Text.assemble((captions.committed, "bold"), gap, (captions.tail, "dim italic"))


def _last_lines(text: Text, width: int, lines: int) -> Text:
    wrapped = text.wrap(Console(width=width, color_system=None), width)
    if len(wrapped) <= lines:
        return text
    return Text("\n").join(wrapped[-lines:])


def _row(time: str, text: Text) -> Table:
    row = Table.grid(padding=(0, 2, 0, 0), expand=False)
    row.add_column(width=TIME_CELLS, justify="right", style="cyan", no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(time, text)
    return row


def _status(captions: Captions, width: int) -> Text:
    lamp = ("● speech", "green") if captions.speaking else ("○ silence", "dim")
    status = Text.assemble(
        (f"{clock(captions.position):>{TIME_CELLS}}", "cyan"),
        "  ",
        _meter(captions.level),
        "  ",
        (f"{lamp[0]:<9}", lamp[1]),
        (f"  lag {captions.lag:.1f} s", "dim"),
        no_wrap=True,
    )
    status.truncate(width)
    return status


def _meter(level: float) -> Text:
    lit = round(METER_CELLS * (1 - level / QUIETEST_DB))
    lit = min(max(lit, 0), METER_CELLS)
    colour = "red" if level > -3 else "yellow" if level > -9 else "green"
    return Text.assemble(("━" * lit, colour), ("╌" * (METER_CELLS - lit), "dim"))
