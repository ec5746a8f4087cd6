"""What formatted text costs: processor time of a stream with and without it, and per word.

    python -m benchmarks.formatting [--audio FILE] [--rounds 3]

The recording is recognized by turns raw and formatted, in pieces of 100 ms; the least time of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import print_machine
from streaming_asr import Final, Recognizer
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING
from training.prepare import read_audio

PIECE = SAMPLE_RATE // 10


def cost(recognizer: Recognizer, samples: Samples, *, formatted: bool) -> tuple[float, int]:
    """Processor seconds for a recording, and its words."""
    stream = recognizer.stream(sample_rate=SAMPLE_RATE, formatted=formatted)
    began, words = time.process_time(), 0
    for place in [*range(0, len(samples), PIECE), None]:
        events = stream.finish() if place is None else stream.push(samples[place : place + PIECE])
        words += sum(len(event.words) for event in events if isinstance(event, Final))
    return time.process_time() - began, words


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, default=RECORDING)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    print_machine()
    samples = read_audio(options.audio)
    with Recognizer.load() as recognizer:
        cost(recognizer, samples, formatted=True)
        rounds = [
            (cost(recognizer, samples, formatted=False), cost(recognizer, samples, formatted=True))
            for _ in range(options.rounds)
        ]
    raw, words = min(one for one, _ in rounds)
    formatted, _ = min(other for _, other in rounds)
    print(f"audio {len(samples) / SAMPLE_RATE:.1f} s, {words} words, {options.rounds} rounds")
    print(f"raw        {raw:.3f} s of processor time")
    print(f"formatted  {formatted:.3f} s: {formatted / raw - 1:+.1%}, {(formatted - raw) / words * 1000:.2f} ms a word")


if __name__ == "__main__":
    main()
