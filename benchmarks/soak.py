"""Nothing grows: an hour of audio through one stream, its memory and its work watched minute by minute.

    python -m benchmarks.soak [--minutes 60] [--model NAME] [--audio FILE]

The recording is played over and over, each time at another loudness, as fast as it is taken. Shown are resident memory
and CPU time per second of audio, of every tenth minute; the last minute is compared with minute 2.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.machine import print_machine, resident_mib
from streaming_asr import SAMPLE_RATE, Final, Recognizer
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.samples import Samples
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.demo import RECORDING

PIECE: int = SAMPLE_RATE // 10


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of audio: memory at its end in MiB, CPU seconds per second of audio, words said."""

    memory: float
    cpu: float
    words: int


def samples_of(path: Path) -> Samples:
    """A whole recording at 16 kHz, (samples,)."""
    with FileSource(path) as source:
        audio = AudioInput(sample_rate=source.sample_rate, channels=source.channels)
        pieces = [audio.push(piece) for piece in source]
    return np.concatenate([*pieces, audio.finish()])


def endless(recording: Samples) -> Iterator[Samples]:
    """The recording over and over in pieces of 100 ms, from a tenth of its loudness to all of it."""
    for repetition in count():
        gain = np.float32(10 ** (-(repetition % 5) / 4))
        for start in range(0, len(recording) - PIECE + 1, PIECE):
            yield recording[start : start + PIECE] * gain


def soak(recognizer: Recognizer, recording: Samples, minutes: int) -> Iterator[Minute]:
    """Push so many minutes of audio through one stream."""
    stream = recognizer.stream(sample_rate=SAMPLE_RATE)
    pieces = endless(recording)
    for _ in range(minutes):
        words, cpu = 0, time.process_time()
        for _ in range(60 * SAMPLE_RATE // PIECE):
            words += sum(len(event.words) for event in stream.push(next(pieces)) if isinstance(event, Final))
        yield Minute(resident_mib(), (time.process_time() - cpu) / 60, words)
    stream.finish()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--model")
    parser.add_argument("--audio", type=Path, default=RECORDING)
    options = parser.parse_args(arguments)
    if options.minutes < 3:
        parser.error(f"--minutes is {options.minutes}; it must be at least 3")
    print_machine()
    with Recognizer.load(options.model) as recognizer:
        passed: list[Minute] = []
        for number, minute in enumerate(soak(recognizer, samples_of(options.audio), options.minutes), 1):
            passed.append(minute)
            if number in (1, 2) or number % 10 == 0 or number == options.minutes:
                print(
                    f"minute {number:3}  {minute.memory:7.1f} MiB  {minute.cpu:.4f} CPU  {minute.words:3} words",
                    flush=True,
                )
    second, last = passed[1], passed[-1]
    print(f"\nmemory growth from minute 2 to the end   {last.memory - second.memory:+.1f} MiB (at most +10)")
    print(f"CPU of the last minute over minute 2     {last.cpu / second.cpu:.3f} (at most 1.1)")


if __name__ == "__main__":
    main()
