"""Bytes that a fuzzer finds, led by coverage, into the decoding of streams: audio, or one error, however they are cut.

    pip install atheris
    python -m benchmarks.fuzz_decoding CORPUS -max_total_time=3600

`CORPUS` is a folder; every container is put into it, and what reaches new code is added to it. Options with one dash
are libFuzzer's. A fault ends the run; its bytes are kept beside, and named on standard error: give them as the argument
instead of the folder to see it again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np

from streaming_asr.audio.samples import Samples

SEED_SECONDS: Final = 0.3
LONGEST_BYTES: Final = 12_000
LONGEST_AUDIO: Final = 240
LOUDEST: Final = 200.0
"""Float samples may be 40 dB over full scale; resampling doubles the peak of the worst of them at most."""


def pieces_of(data: bytes) -> Iterator[bytes]:
    """Cut at a place that follows from the bytes, and again and again from there on."""
    size = 1 + sum(data) % 1_500
    return (data[start : start + size] for start in range(0, len(data), size))


@dataclass(frozen=True, slots=True)
class Decoded:
    """All samples, shape (samples,), how many packets were damaged, and the error that ended them."""

    samples: Samples
    damaged: int
    error: str


def decoded(pieces: Iterable[bytes]) -> Decoded:
    """What comes out of pieces until they end or an error ends them."""
    from streaming_asr.audio.containers import AudioLimits
    from streaming_asr.audio.input import AudioInput
    from streaming_asr.errors import AudioError

    source = AudioInput(encoding="container", limits=AudioLimits(longest_seconds=LONGEST_AUDIO))
    samples, error = [np.zeros(0, np.float32)], ""
    try:
        for piece in pieces:
            # One by one: what came before an error counts.
            for part in source.pieces(piece):
                samples.append(part)
        samples.append(source.finish())
    except AudioError as refusal:
        error = str(refusal)
    return Decoded(np.concatenate(samples), source.damaged_packets, error)


def check(data: bytes) -> None:
    """Raises AssertionError where the samples are no audio, or depend on how the bytes came."""
    at_once, cut = decoded([data]), decoded(pieces_of(data))
    assert np.isfinite(at_once.samples).all(), "a sample is not a number"
    assert np.abs(at_once.samples).max(initial=0.0) <= LOUDEST, "a sample is far over full scale"
    assert np.array_equal(at_once.samples, cut.samples), "samples depend on the cuts"
    assert at_once.damaged == cut.damaged, "what is told of damage depends on the cuts"
    assert at_once.error == cut.error, "errors depend on the cuts"


def write_seeds(folder: Path) -> None:
    """A short file of every container that is decoded as a stream."""
    from benchmarks.fuzz_files import CONTAINERS, encoded

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("WAV", "WAV float", "FLAC", "MP3", "ADTS", "Ogg Opus", "Ogg FLAC", "WebM", "Matroska", "AIFF"):
        folder.joinpath(name.replace(" ", "-")).write_bytes(encoded(*CONTAINERS[name], SEED_SECONDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    options, of_fuzzer = parser.parse_known_args()
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["streaming_asr.audio"]):
        import_module("streaming_asr.audio.input")
    if not options.corpus.is_file():
        write_seeds(options.corpus)
    atheris.Setup([sys.argv[0], f"-max_len={LONGEST_BYTES}", "-timeout=20", *of_fuzzer, str(options.corpus)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
