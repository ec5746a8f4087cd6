"""A recognizer that says what it was told to say, when as much audio has been pushed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from streaming_asr.audio.encodings import PcmPiece
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Alternative, Event, Final, Partial, SpeechEnded, SpeechStarted, Word


@dataclass
class ScriptedStream:
    """`script` is pairs of a time in seconds and the event that is due once so much audio has been pushed."""

    script: Sequence[tuple[float, Event]]
    options: dict[str, Any]
    seconds: float = 0.0
    finished: bool = False
    _next: int = 0

    def push(self, piece: PcmPiece, /) -> list[Event]:
        frames = len(piece) if isinstance(piece, np.ndarray) else len(piece) // 2
        self.seconds += frames / self.options.get("sample_rate", SAMPLE_RATE)
        return self._due(self.seconds)

    def finalize(self) -> list[Event]:
        return self._due(float("inf"))

    def finish(self) -> list[Event]:
        self.finished = True
        return self._due(float("inf"))

    def _due(self, until: float) -> list[Event]:
        due = [event for time, event in self.script[self._next :] if time <= until]
        self._next += len(due)
        return due


@dataclass
class ScriptedRecognizer:
    """Opens a `ScriptedStream` for every stream, and keeps them."""

    script: Sequence[tuple[float, Event]]
    streams: list[ScriptedStream] = field(default_factory=list)

    def stream(self, **options: Any) -> ScriptedStream:
        self.streams.append(ScriptedStream(self.script, options))
        return self.streams[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


def words(text: str, start: float) -> tuple[Word, ...]:
    return tuple(
        Word(word, start + 0.4 * index, start + 0.4 * index + 0.3, 0.9) for index, word in enumerate(text.split())
    )


def partial(committed: str, tail: str, *, utterance: int = 0, start: float = 0.2, lag: float = 0.1) -> Partial:
    spoken = words(f"{committed} {tail}", start)
    end = spoken[-1].end if spoken else start
    return Partial(utterance, committed, tail, spoken, start, end, lag)


def final(text: str, *, utterance: int = 0, start: float = 0.2, lag: float = 0.1) -> Final:
    spoken = words(text, start)
    end = spoken[-1].end if spoken else start
    return Final(utterance, text, spoken, start, end, 0.9, (Alternative(text, -1.0, spoken),), "silence", lag)


@pytest.fixture
def script() -> list[tuple[float, Event]]:
    """Two utterances in four seconds of audio."""
    return [
        (0.5, SpeechStarted(0, 0.2, 0.1)),
        (0.8, partial("", "good mourn")),
        (1.2, partial("good", "morning")),
        (1.8, final("good morning")),
        (1.8, SpeechEnded(0, 1.0, "silence", 0.1)),
        (2.3, SpeechStarted(1, 2.0, 0.1)),
        (2.8, partial("", "thank", utterance=1, start=2.0)),
        (3.5, final("thank you all", utterance=1, start=2.0)),
        (3.5, SpeechEnded(1, 3.1, "silence", 0.1)),
    ]


@pytest.fixture
def recognizer(script: list[tuple[float, Event]]) -> ScriptedRecognizer:
    return ScriptedRecognizer(script)


@pytest.fixture
def silent() -> ScriptedRecognizer:
    """Finds no words in anything."""
    return ScriptedRecognizer([])
