"""Where audio comes from: files, standard input and the microphone, each an iterator of pieces."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol, cast

from streaming_asr.audio.encodings import BYTES_PER_SAMPLE, Encoding, Frames
from streaming_asr.audio.files import ByteStream, FileSource, Pipe, recut
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.microphone import InputDevice, Microphone, devices
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.errors import OptionError

__all__ = [
    "ByteStream",
    "FileSource",
    "InputDevice",
    "Microphone",
    "Paced",
    "Pipe",
    "Source",
    "StandardInput",
    "devices",
    "paced",
    "recut",
]


_BEGINNING: Final = 200_000
"""Bytes that are enough to doubt how samples are written."""


class Source(Protocol):
    """Audio in pieces, shape (frames, channels), float32, full scale is 1.0."""

    @property
    def sample_rate(self) -> int:
        """Frames per second."""
        ...

    @property
    def channels(self) -> int:
        """Columns of every piece."""
        ...

    def __iter__(self) -> Iterator[Frames]: ...


class StandardInput:
    """Raw samples from standard input or another stream of bytes, as they arrive, mono at 16 kHz.

    Args:
        encoding: how a sample is written.
        sample_rate: frames per second, as they come.
        channels: interleaved channels, as they come.
        channel: the one channel to recognize, from 0; None for the mean of all.
        stream: where to read; None is standard input.

    Raises:
        OptionError: an argument is out of range.
    """

    def __init__(
        self,
        encoding: Encoding = "linear16",
        sample_rate: int = 16_000,
        channels: int = 1,
        *,
        channel: int | None = None,
        stream: ByteStream | None = None,
    ) -> None:
        self.sample_rate: Final = SAMPLE_RATE
        self.channels: Final = 1
        self._input: Final = AudioInput(encoding=encoding, sample_rate=sample_rate, channels=channels, channel=channel)
        self._stream: Final = stream if stream is not None else cast(ByteStream, sys.stdin.buffer)
        self._most: Final = max(1, sample_rate // 10) * channels * BYTES_PER_SAMPLE[encoding]
        self.beginning = b""
        """The first bytes as they came, for whoever doubts what they are."""

    @property
    def dropped_bytes(self) -> int:
        """Bytes of an unfinished last frame."""
        return self._input.dropped_bytes

    def __iter__(self) -> Iterator[Frames]:
        """Read up to the end; raises AudioError if a file with a header, or NaN, comes in."""
        while data := self._stream.read1(self._most):
            if len(self.beginning) < _BEGINNING:
                self.beginning += data
            samples = self._input.push(data)
            if len(samples):
                yield samples.reshape(-1, 1)
        rest = self._input.finish()
        if len(rest):
            yield rest.reshape(-1, 1)


class Paced:
    """Plays a source in real time: each piece comes when its last frame would have been spoken.

    A consumer that is late gets the pieces it missed at once, as from a microphone's queue.

    Args:
        source: what to play.
        piece_ms: longest piece in milliseconds.
        clock: seconds that never run backwards.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        source: Source,
        *,
        piece_ms: int = 50,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if piece_ms < 1:
            raise OptionError(f"piece_ms is {piece_ms}; it must be at least 1")
        self.sample_rate: Final = source.sample_rate
        self.channels: Final = source.channels
        self._source: Final = source
        self._piece: Final = max(1, source.sample_rate * piece_ms // 1000)
        self._clock: Final = clock
        self._sleep: Final = sleep

    def __iter__(self) -> Iterator[Frames]:
        """Play once, from now on."""
        start, played = self._clock(), 0
        for frames in self._source:
            for piece in recut(frames, self._piece):
                played += len(piece)
                wait = start + played / self.sample_rate - self._clock()
                if wait > 0:
                    self._sleep(wait)
                yield piece


def paced(
    source: Source,
    *,
    piece_ms: int = 50,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Paced:
    """Play a source in real time; see `Paced`."""
    return Paced(source, piece_ms=piece_ms, clock=clock, sleep=sleep)
