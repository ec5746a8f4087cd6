"""Which console takes what: the transcript is for standard output, everything else for standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console

from streaming_asr.audio.samples import FloatArray
from streaming_asr.command_line.stages import LiveStage, PlainStage, ProgressStage, SilentStage, Stage
from streaming_asr.events import Event


class Stages:
    """Several stages that show the same."""

    def __init__(self, *stages: Stage) -> None:
        self._stages = stages
        self._entered = ExitStack()

    def heard(self, piece: FloatArray, seconds: float) -> None:
        for stage in self._stages:
            stage.heard(piece, seconds)

    def show(self, events: Sequence[Event]) -> None:
        for stage in self._stages:
            stage.show(events)

    def __enter__(self) -> Self:
        for stage in self._stages:
            self._entered.enter_context(stage)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._entered.close()


def live_stage(*, lines: bool, times: bool, partials: bool = False) -> Stage:
    """Live captions on a terminal; with `lines`, finals go to standard output as they come.

    On a terminal they scroll up above the captions, elsewhere they are plain lines, with their `times` if asked. Where
    there is no terminal at all, `partials` shows partials as lines too.
    """
    out, err = Console(highlight=False), Console(stderr=True, highlight=False)
    if lines and out.is_terminal:
        return LiveStage(out)
    drawn: list[Stage] = [LiveStage(err)] if err.is_terminal else []
    written: list[Stage] = [PlainStage(sys.stdout, times=times, partials=partials and not drawn)] if lines else []
    return Stages(*written, *drawn)


def progress_stage(name: str, duration: float | None) -> Stage:
    """A progress bar on standard error, if that is a terminal; `duration` in seconds where it is known."""
    console = Console(stderr=True, highlight=False)
    return ProgressStage(console, name, duration) if console.is_terminal else SilentStage()


def announce(line: str) -> None:
    """A line for the person at the terminal, on standard error."""
    console = Console(stderr=True, highlight=False)
    console.print(line, markup=False, soft_wrap=not console.is_terminal)
