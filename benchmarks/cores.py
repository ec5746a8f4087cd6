"""A long recording on one core and on several: how many times faster, and whether the words are the same.

`python -m benchmarks.cores` plays the bundled recording again and again; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.machine import print_machine
from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.workers import Workers, usable_cores


def film(minutes: float) -> Iterator[Frames]:
    """The bundled recording with pauses, again and again."""
    with FileSource(RECORDING) as source:
        speech = list(source)
    pause = np.random.default_rng(0).standard_normal((2 * SAMPLE_RATE, 1)).astype(np.float32) * 1e-4
    left = minutes * 60 * SAMPLE_RATE
    while left > 0:
        for piece in [*speech, pause]:
            left -= len(piece)
            yield piece


def recognized(workers: int, minutes: float) -> tuple[float, list[str]]:
    """Seconds of work, without loading, and the words."""
    with Workers(workers, ModelOptions(), RecognitionOptions()) as processes:
        processes.load()
        began = time.perf_counter()
        texts = [final.text for final in processes.finals(film(minutes))]
        return time.perf_counter() - began, texts


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=usable_cores())
    options: Any = parser.parse_args(arguments)
    print_machine()
    alone, words = recognized(1, options.minutes)
    together, same = recognized(options.workers, options.minutes)
    print(f"{options.minutes:g} minutes: 1 worker {alone:.1f} s, {options.workers} workers {together:.1f} s")
    print(f"{alone / together:.2f} times faster, {'the same words' if words == same else 'OTHER WORDS'}")


if __name__ == "__main__":
    main()
