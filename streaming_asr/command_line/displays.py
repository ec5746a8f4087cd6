"""Where events are shown while they come: a terminal with live captions, plain lines, or event objects."""

from __future__ import annotations

import dataclasses
import json
import time
import typing
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streaming_asr.audio.samples import FloatArray
from streaming_asr.command_line.captions import (
    TIME_CELLS,
    Captions,
    after_audio,
    after_event,
    clock,
    final_line,
    picture,
)
from streaming_asr.events import Event, Final, Partial

FRAMES_PER_SECOND: typing.Final = 12
"""How often the picture is drawn at most; more is no smoother to the eye and costs CPU time."""


class Display(Protocol):
    """Shows one stream; entered before the first piece, left after the last event."""

    def pushed(self, piece: FloatArray, seconds: float) -> None: ...
    def show(self, events: Sequence[Event]) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class _Context:
    """The part of a display that most do not need: nothing to open, nothing to close, no level to show."""

    def pushed(self, piece: FloatArray, seconds: float) -> None:
        """Take note of a piece of audio."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing was opened."""


class NoDisplay(_Context):
    """Shows nothing: the transcript at the end is all that is wanted."""

    def show(self, events: Sequence[Event]) -> None:
        """Let them pass."""


class EventLines(_Context):
    """Writes every event as one line of JSON, as it comes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, events: Sequence[Event]) -> None:
        for event in events:
            print(event_line(event), file=self._out, flush=True)


class PlainLines(_Context):
    """Writes finals as lines, with their `times` if asked, and `partials` too, for where no picture can be drawn."""

    def __init__(self, out: TextIO, *, times: bool, partials: bool = False) -> None:
        self._out = out
        self._times = times
        self._partials = partials

    def show(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Final(readable=readable, start=start) if event.text:
                    self._line(start, readable.text)
                case Partial(readable=readable, start=start) if self._partials and event.text:
                    self._line(start, f"{readable.text} ...")

    def _line(self, start: float, text: str) -> None:
        time = f"{clock(start):>{TIME_CELLS}}  " if self._times else ""
        print(f"{time}{text}", file=self._out, flush=True)


class ProgressBar(_Context):
    """A progress bar for audio that is worked through faster than it was spoken; with `lines`, finals scroll above."""

    def __init__(self, console: Console, name: str, duration: float | None, *, lines: bool = False) -> None:
        self._lines = lines
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[position]}", style="cyan"),
            TextColumn("{task.fields[speed]}", style="dim"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(escape(name), total=duration, position=clock(0), speed="")

    def pushed(self, piece: FloatArray, seconds: float) -> None:
        task = self._progress.tasks[0]
        position = task.completed + seconds
        speed = f"{position / task.elapsed:.0f}x" if task.elapsed else ""
        self._progress.update(self._task, completed=position, position=clock(position), speed=speed)

    def show(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._lines and isinstance(event, Final) and event.text:
                self._progress.console.print(event.text, markup=False, emoji=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._progress.stop()


class LiveCaptions:
    """Draws live captions on a terminal: the utterance in progress below, finals scrolling up above it."""

    def __init__(self, console: Console, *, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._captions = Captions()
        self._drawn = -1.0
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def pushed(self, piece: FloatArray, seconds: float) -> None:
        self._captions = after_audio(self._captions, piece, seconds)
        self._draw(at_once=False)

    def show(self, events: Sequence[Event]) -> None:
        for event in events:
            self._captions = after_event(self._captions, event)
            if isinstance(event, Final) and event.text:
                self._console.print(final_line(event))
        if events:
            self._draw(at_once=True)

    def _draw(self, *, at_once: bool) -> None:
        now = self._now()
        if not at_once and now - self._drawn < 1 / FRAMES_PER_SECOND:
            return
        self._drawn = now
        size = self._console.size
        self._live.update(picture(self._captions, width=size.width, height=size.height), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._live.stop()


def event_line(event: Event) -> str:
    """An event as one line of JSON: its fields, and `type` with the name of its class."""
    return json.dumps({"type": type(event).__name__, **dataclasses.asdict(event)}, ensure_ascii=False)
