"""Which console takes what: the transcript is for standard output, everything else for standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console

from streaming_asr.audio.samples import FloatArray
from streaming_asr.command_line.displays import Display, LiveCaptions, PlainLines, ProgressBar
from streaming_asr.events import Event


class Displays:
    """Several displays that show the same."""

    def __init__(self, *displays: Display) -> None:
        self._displays = displays
        self._entered = ExitStack()

    def pushed(self, piece: FloatArray, seconds: float) -> None:
        for display in self._displays:
            display.pushed(piece, seconds)

    def show(self, events: Sequence[Event]) -> None:
        for display in self._displays:
            display.show(events)

    def __enter__(self) -> Self:
        for display in self._displays:
            self._entered.enter_context(display)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._entered.close()


def live_display(*, lines: bool, times: bool, partials: bool = False) -> Display:
    """Live captions on a terminal; with `lines`, finals go to standard output as they come.

    On a terminal they scroll up above the captions, elsewhere they are plain lines, with their `times` if asked. Where
    there is no terminal at all, `partials` shows partials as lines too.
    """
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    if lines and out.is_terminal:
        return LiveCaptions(out)
    drawn: list[Display] = [LiveCaptions(err)] if err.is_terminal else []
    written: list[Display] = [PlainLines(sys.stdout, times=times, partials=partials and not drawn)] if lines else []
    return Displays(*written, *drawn)


def progress_display(name: str, duration: float | None, *, lines: bool) -> Display:
    """A progress bar where there is a terminal; `duration` in seconds where it is known.

    With `lines`, finals go to standard output as they come, on a terminal above the bar.
    """
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    if lines and out.is_terminal:
        return ProgressBar(out, name, duration, lines=True)
    drawn: list[Display] = [ProgressBar(err, name, duration)] if err.is_terminal else []
    written: list[Display] = [PlainLines(sys.stdout, times=False)] if lines else []
    return Displays(*written, *drawn)


def announce(line: str) -> None:
    """A line for the person at the terminal, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(line, markup=False, emoji=False, soft_wrap=not console.is_terminal)
