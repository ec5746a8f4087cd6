"""The speech detectors beside each other: what they miss, what opens the gate for nothing, when, and at what cost.

    python -m benchmarks.detectors --speech ../shared/speech [--limit 60] [--noises 400]

Speech is recordings of the part `dev` of the manifest, each between two seconds of room noise: as they are, at 5 dB and
15 dB over a recorded noise, in a telephone band, far away (a room's response, 20 dB quieter) and quiet (30 dB quieter).
What is spoken is told by the level of the recording before it was changed: blocks of 10 ms within 30 dB of its loud
ones. Missed is the share of those blocks that the gate does not let through; lost are recordings that never open it;
the delay is the time from the first block of speech to the decision that opens it. CPU is the gate's time per second of
audio. Noise is synthesized (see benchmarks.silence) and recorded; each time that the gate opens there is false.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.machine import print_machine
from benchmarks.silence import SOUNDS, room
from benchmarks.soak import samples_of
from streaming_asr.audio.detectors import NoiseRobustDetector, SileroDetector, SpeechDetector, WebRtcDetector
from streaming_asr.audio.gate import Closed, Gate, GateOptions, Opened, detector_for
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.augment import add_noise, trimmed
from training.evaluation_sets import on_telephone

DETECTORS: Final[Mapping[str, Callable[[], SpeechDetector]]] = {
    "webrtc": lambda: detector_for(GateOptions()),
    "silero": lambda: detector_for(GateOptions(detector="silero")),
    "webrtcvad alone": lambda: WebRtcDetector(2),
    "silero, level and pitch": lambda: NoiseRobustDetector(SileroDetector()),
}
"""The two that can be chosen, and for comparison each without or with the tests of level and pitch."""

BLOCK: Final = SAMPLE_RATE // 100
PIECE: Final = SAMPLE_RATE // 50
MARGIN: Final = 2 * SAMPLE_RATE
ROOM_LEVEL: Final = 0.2
"""Of the noise of a quiet room, which is at -60 dBFS; far and quiet voices must stand out of it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """When the gate was open, in samples, and the sample behind the one at which it decided to open."""

    start: int
    stop: int
    decided: int


@dataclass(frozen=True, slots=True)
class Heard:
    """One recording: the share of speech that was missed, and the delay in samples; None if the gate never opened."""

    missed: float
    delay: int | None


def openings(gate: Gate, samples: Samples) -> list[Opening]:
    """What the gate lets through of some samples, pushed in pieces of 20 ms."""
    found: list[Opening] = []
    opened: tuple[int, int] | None = None
    for at in range(0, len(samples), PIECE):
        last = at + PIECE >= len(samples)
        for event in gate.push(samples[at : at + PIECE]) + (gate.finish() if last else []):
            match event:
                case Opened(position=start):
                    opened = start, at + PIECE
                case Closed(position=stop):
                    assert opened is not None
                    found.append(Opening(opened[0], stop, opened[1]))
    return found


def speech_blocks(clean: Samples) -> npt.NDArray[np.intp]:
    """First samples of the blocks that hold speech."""
    blocks = clean[: len(clean) // BLOCK * BLOCK].reshape(-1, BLOCK)
    power = np.square(blocks, dtype=np.float64).mean(axis=1)
    return np.flatnonzero(power > np.quantile(power, 0.95) / 1000) * BLOCK


def judge(gate: Gate, clean: Samples, changed: Samples, background: Samples) -> Heard:
    """Push a changed recording amid its background through a gate."""
    audio = background.copy()
    audio[MARGIN : MARGIN + len(changed)] += changed
    spoken = MARGIN + speech_blocks(clean)
    found = openings(gate, audio)
    inside = np.zeros(len(spoken), bool)
    for opening in found:
        inside |= (spoken >= opening.start) & (spoken + BLOCK <= opening.stop)
    heard = [opening for opening in found if opening.stop > spoken[0]]
    return Heard(1 - float(inside.mean()), max(0, heard[0].decided - int(spoken[0])) if heard else None)


def changes(noises: Sequence[Samples], rooms: Sequence[Samples]) -> Mapping[str, Callable[[Samples, int], Samples]]:
    """Ways to change a recording, chosen by its number."""

    def noise(number: int, length: int) -> Samples:
        return np.resize(noises[number % len(noises)], length)

    def far(clean: Samples, number: int) -> Samples:
        response = trimmed(rooms[number % len(rooms)])
        echoed = np.convolve(clean, response)[: len(clean)]
        return np.asarray(0.1 * echoed * clean.std() / max(echoed.std(), 1e-9), np.float32)

    return {
        "as it is": lambda clean, number: clean,
        "15 dB over noise": lambda clean, number: add_noise(clean, noise(number, len(clean)), 15.0),
        "5 dB over noise": lambda clean, number: add_noise(clean, noise(number, len(clean)), 5.0),
        "telephone band": lambda clean, number: on_telephone(clean),
        "far": far,
        "quiet": lambda clean, number: np.asarray(clean * 10 ** (-30 / 20), np.float32),
    }


def recordings(folder: Path, limit: int) -> list[Samples]:
    """Held-out recordings, chosen by their names."""
    rows = [line.split("\t") for line in (folder / "manifest.tsv").read_text("utf-8").splitlines()[1:]]
    chosen = sorted((row[0] for row in rows if row[3] == "dev"), key=lambda name: zlib.crc32(name.encode()))
    return [samples_of(folder / name) for name in chosen[:limit]]


def audio_of(folder: Path, limit: int) -> list[Samples]:
    """Recordings below a folder, chosen by their names."""
    files = [path for path in folder.rglob("*") if path.suffix in {".opus", ".flac", ".wav"}]
    return [samples_of(path) for path in sorted(files, key=lambda path: zlib.crc32(path.name.encode()))[:limit]]


def print_speech(speech: Sequence[Samples], noises: Sequence[Samples], rooms: Sequence[Samples]) -> None:
    """The table of missed speech, lost recordings and delays."""
    table = Table("speech", "detector", "missed %", "lost", "delay, median ms", "95 % ms", "CPU per s")
    random = np.random.default_rng(0)
    backgrounds = [ROOM_LEVEL * room(len(clean) + 2 * MARGIN, random).astype(np.float32) for clean in speech]
    seconds = sum(map(len, backgrounds)) / SAMPLE_RATE
    for name, change in changes(noises, rooms).items():
        changed = [change(clean, number) for number, clean in enumerate(speech)]
        for detector, make in DETECTORS.items():
            started = time.process_time()
            found = [judge(Gate(detector=make()), *one) for one in zip(speech, changed, backgrounds, strict=True)]
            cost = (time.process_time() - started) / seconds
            delays = [one.delay / SAMPLE_RATE * 1000 for one in found if one.delay is not None]
            missed = 100 * float(np.mean([one.missed for one in found]))
            middle, late = np.quantile(delays, [0.5, 0.95]) if delays else (np.nan, np.nan)
            lost = len(found) - len(delays)
            table.add_row(name, detector, f"{missed:.2f}", str(lost), f"{middle:.0f}", f"{late:.0f}", f"{cost:.4f}")
    Console(width=120).print(table)


def sounds(noises: Sequence[Samples], seconds: int) -> Iterator[tuple[str, Samples]]:
    """Everything without speech, by name."""
    random = np.random.default_rng(0)
    for name, sound in SOUNDS.items():
        yield name, sound(seconds * SAMPLE_RATE, random).astype(np.float32)
    yield "recorded noises", np.concatenate(noises)


def print_noise(noises: Sequence[Samples], seconds: int) -> None:
    """The table of false openings."""
    table = Table("sound", "minutes", *(f"{name}: openings/h, open %" for name in DETECTORS))
    for name, samples in sounds(noises, seconds):
        row = []
        for make in DETECTORS.values():
            found = openings(Gate(detector=make()), samples)
            hours = len(samples) / SAMPLE_RATE / 3600
            share = sum(one.stop - one.start for one in found) / len(samples)
            row.append(f"{len(found) / hours:.0f}, {100 * share:.0f} %")
        table.add_row(name, f"{len(samples) / SAMPLE_RATE / 60:.1f}", *row)
    Console(width=150).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="a folder with manifest.tsv, noise and rir")
    parser.add_argument("--limit", type=int, default=60, help="recordings")
    parser.add_argument("--noises", type=int, default=400, help="recorded noises")
    parser.add_argument("--seconds", type=int, default=120, help="of each synthesized sound")
    options = parser.parse_args(arguments)
    print_machine()
    noises = audio_of(options.speech / "noise", options.noises)
    rooms = audio_of(options.speech / "rir", options.limit)
    print_noise(noises, options.seconds)
    print_speech(recordings(options.speech, options.limit), noises, rooms)


if __name__ == "__main__":
    main()
