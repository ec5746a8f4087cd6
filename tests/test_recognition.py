"""The one loop from pieces of audio to events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from streaming_asr.audio.encodings import Frames, PcmPiece
from streaming_asr.errors import AudioError
from streaming_asr.events import Event, SpeechStarted
from streaming_asr.recognition import SpeechStream, recognize, stream_events, transcribe


class Counter:
    """Answers each piece with the number of samples so far, and the end with -1."""

    def __init__(self) -> None:
        self.samples = 0

    def push(self, piece: PcmPiece, /) -> list[Event]:
        self.samples += len(piece)
        return [SpeechStarted(self.samples, 0.0, 0.0)]

    def finalize(self) -> list[Event]:
        return []

    def finish(self) -> list[Event]:
        return [SpeechStarted(-1, 0.0, 0.0)]


class Recording:
    """Two pieces at 8 kHz, two channels, and then an error if there is one."""

    sample_rate = 8_000
    channels = 2

    def __init__(self, error: BaseException | None = None) -> None:
        self._error = error

    def __iter__(self) -> Iterator[Frames]:
        yield np.zeros((800, 2), np.float32)
        yield np.zeros((400, 2), np.float32)
        if self._error is not None:
            raise self._error


def numbers(events: Iterator[Event]) -> Iterator[int]:
    return (event.utterance for event in events)


def test_every_piece_is_pushed_and_the_stream_is_finished() -> None:
    assert list(numbers(stream_events(Counter(), Recording()))) == [800, 1200, -1]


def test_events_come_while_the_source_goes_on() -> None:
    events = stream_events(Counter(), Recording(AudioError("damaged")))
    assert next(numbers(events)) == 800


@pytest.mark.parametrize("error", [AudioError("damaged behind 3 s"), KeyboardInterrupt()])
def test_what_came_before_a_source_broke_off_is_recognized(error: BaseException) -> None:
    told: list[int] = []
    with pytest.raises(type(error)):
        told.extend(numbers(stream_events(Counter(), Recording(error))))
    assert told == [800, 1200, -1]


def test_the_stream_is_opened_as_the_source_says_and_with_the_options() -> None:
    opened: dict[str, Any] = {}

    def open_stream(**arguments: Any) -> SpeechStream:
        opened.update(arguments)
        return Counter()

    assert list(numbers(recognize(open_stream, Recording(), {"alternatives": 3}))) == [800, 1200, -1]
    assert opened == {"sample_rate": 8_000, "channels": 2, "alternatives": 3}
    assert transcribe(open_stream, Recording(), {}).duration == 0.15
