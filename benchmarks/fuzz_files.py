"""Damaged recordings into the reader of files: audio, or one error; never another exception, a hang, or nothing.

`python -m benchmarks.fuzz_files --cases 10000` cuts, flips, joins and reorders the bundled recording in every
container; each case has a seed and can be run alone with `--first SEED --cases 1`.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streaming_asr.audio.files import FileSource, Pipe
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.errors import AudioError

LONGEST_SECONDS: Final = 10.0
"""What takes longer counts as a hang."""

CONTAINERS: Final[Mapping[str, tuple[str, str, int]]] = {
    "WAV": ("wav", "pcm_s16le", 16_000),
    "WAV float": ("wav", "pcm_f32le", 16_000),
    "FLAC": ("flac", "flac", 16_000),
    "MP3": ("mp3", "libmp3lame", 44_100),
    "ADTS": ("adts", "aac", 44_100),
    "M4A": ("ipod", "aac", 44_100),
    "Ogg Opus": ("ogg", "libopus", 48_000),
    "Ogg FLAC": ("ogg", "flac", 16_000),
    "WebM": ("webm", "libopus", 48_000),
    "Matroska": ("matroska", "aac", 44_100),
    "MPEG-TS": ("mpegts", "aac", 44_100),
    "AVI": ("avi", "libmp3lame", 44_100),
    "AIFF": ("aiff", "pcm_s16be", 16_000),
    "CAF": ("caf", "pcm_s16le", 16_000),
}
"""FFmpeg's names of container and codec, and the rate."""


def encoded(container: str, codec: str, rate: int, seconds: float) -> bytes:
    """The beginning of the bundled recording in a container."""
    import av

    with FileSource(RECORDING) as source:
        samples: Samples = np.concatenate(list(source))[: round(seconds * SAMPLE_RATE), 0]
    content = io.BytesIO()
    with av.open(content, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(resampled))
        file.mux(stream.encode(None))
    return content.getvalue()


def truncated(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Without its end, or its beginning."""
    at = chance.randrange(len(data))
    return data[:at] if chance.random() < 0.7 else data[at:]


def flipped(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """With wrong bytes, few or many, anywhere or in the header."""
    changed = bytearray(data)
    reach = len(data) if chance.random() < 0.6 else min(300, len(data))
    for _ in range(chance.choice([1, 3, 20, len(data) // 200 + 1])):
        changed[chance.randrange(reach)] = chance.randrange(256)
    return bytes(changed)


def concatenated(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """With another file behind it."""
    return data + chance.choice(others)


def reordered(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """With its parts in another order."""
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.randint(1, 6)))
    parts = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    chance.shuffle(parts)
    return b"".join(parts)


DAMAGES: Final[Sequence[Callable[[bytes, Sequence[bytes], random.Random], bytes]]] = (
    truncated,
    flipped,
    concatenated,
    reordered,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: seconds of audio, the error in words, and how many seconds it took."""

    audio: float
    said: str
    took: float

    @property
    def kind(self) -> str:
        """What came of it, for the count."""
        return " and ".join([*(["audio"] if self.audio else []), *(["an error"] if self.said else [])]) or "nothing"

    @property
    def fault(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.took > LONGEST_SECONDS:
            return f"took {self.took:.1f} s"
        if not self.audio and not self.said:
            return "gave nothing and said nothing"
        return "an error of several lines" if "\n" in self.said else ""


def case(seed: int, files: Mapping[str, bytes]) -> tuple[str, bytes, bool]:
    """The case of a seed: its name, its bytes, and whether they come through a pipe."""
    chance = random.Random(seed)
    container = chance.choice(list(files))
    damage = chance.choice(DAMAGES)
    data = damage(files[container], list(files.values()), chance)
    if chance.random() < 0.2:
        data = chance.choice(DAMAGES)(data, list(files.values()), chance) if data else data
    return f"{container}, {damage.__name__}", data, chance.random() < 0.3


def read(data: bytes, *, piped: bool) -> Outcome:
    """Read a file to its end."""
    began, worked, samples, said = time.monotonic(), time.process_time(), 0, ""
    file = io.BytesIO(data)
    try:
        with FileSource(Pipe(file) if piped else file, name="case") as source:
            for piece in source:
                assert np.isfinite(piece).all(), "a sample is no number"
                samples += len(piece)
    except AudioError as error:
        said = str(error)
    took, worked = time.monotonic() - began, time.process_time() - worked
    # A busy machine is no hang: the clock counts where next to nothing was computed meanwhile.
    return Outcome(samples / SAMPLE_RATE, said, worked if worked > took / 20 else took)


def recordings(seconds: float) -> dict[str, bytes]:
    """The bundled recording in every container."""
    return {name: encoded(*form, seconds) for name, form in CONTAINERS.items()}


def run(first: int, cases: int, seconds: float) -> list[str]:
    """Run cases; returns what is wrong, a line per case."""
    files, faults, kinds = recordings(seconds), list[str](), Counter[str]()
    for seed in range(first, first + cases):
        name, data, piped = case(seed, files)
        try:
            outcome = read(data, piped=piped)
            fault = outcome.fault
            kinds[
                "audio and an error" if outcome.audio and outcome.said else "audio" if outcome.audio else "error"
            ] += 1
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            fault = f"{type(error).__name__}: {error}"
        if fault:
            faults.append(f"seed {seed} ({name}{', piped' if piped else ''}): {fault}")
            print(faults[-1], flush=True)
    print(f"{cases} cases: {dict(kinds)}, {len(faults)} faults")
    return faults


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cases that the options name; the exit code is 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--seconds", type=float, default=2.0, help="of the recording")
    options: Any = parser.parse_args(arguments)
    sys.exit(1 if run(options.first, options.cases, options.seconds) else 0)


if __name__ == "__main__":
    main()
