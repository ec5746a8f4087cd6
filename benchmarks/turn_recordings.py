"""Sentences of one speaker, joined with pauses: what `benchmarks.turns` measures, and what comes of it."""

from __future__ import annotations

import csv
import statistics
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from streaming_asr import SAMPLE_RATE
from streaming_asr.audio.gate import GateOptions, detector_for
from streaming_asr.audio.samples import Samples
from training.prepare import read_audio
from training.text.labels import STOP, read_line

PIECE: typing.Final = SAMPLE_RATE // 50


@dataclass(frozen=True, slots=True)
class Turn:
    """One sentence in a joined recording: where its audio begins, where its speech ends, in samples, and its words."""

    start: int
    speech_end: int
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """Sentences of one speaker, joined."""

    samples: Samples
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule made of all turns; delays in seconds."""

    rule: str
    turns: int
    cut: int
    delays: tuple[float, ...]
    ending_delays: tuple[float, ...] = ()

    @property
    def cut_share(self) -> float:
        """Turns that were cut inside their sentence."""
        return self.cut / self.turns

    @property
    def median(self) -> float:
        """The median delay of a turn's last final."""
        return statistics.median(self.delays)


def speech_end(samples: Samples) -> int:
    """The end of the last frame that the voice detector calls speech."""
    detector = detector_for(GateOptions())
    size = detector.frame_samples
    ends = [
        start + size for start in range(0, len(samples) - size + 1, size) if detector.is_speech(samples[start:][:size])
    ]
    return ends[-1] if ends else 0


def join(sentences: Iterable[tuple[Samples, Sequence[str]]], gap: Samples) -> Recording:
    """Sentences one after the other, with a gap behind each; those without speech are left out."""
    pieces: list[Samples] = []
    turns, position = [], 0
    for samples, words in sentences:
        end = speech_end(samples)
        if end:
            turns.append(Turn(position, position + end, tuple(words)))
            pieces += [samples[: end + PIECE], gap]
            position += len(samples[: end + PIECE]) + len(gap)
    return Recording(np.concatenate(pieces) if pieces else gap, tuple(turns))


def read_recordings(
    manifest: Path, collections: Sequence[str], *, part: str, minutes: float, sentences: int, gap: float
) -> list[Recording]:
    """Joined recordings of a part, up to so many minutes of sentences; at most so many in one."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file, dialect="excel-tab", quoting=csv.QUOTE_NONE)
            if row["part"] == part and row["path"].split("/")[0] in collections and _words(row["transcript"])
        ]
    rows.sort(key=lambda row: row["speaker"])
    silence = (np.random.default_rng(1).normal(0, 1e-4, round(gap * SAMPLE_RATE))).astype(np.float32)
    recordings, left = [], minutes * 60
    for _, group in groupby(rows, key=lambda row: row["speaker"]):
        said = list(group)[:sentences]
        if left <= 0:
            break
        left -= sum(float(row["duration"]) for row in said)
        read = ((read_audio(manifest.parent / row["path"]), _words(row["transcript"])) for row in said)
        recordings.append(join(read, silence))
    return [recording for recording in recordings if recording.turns]


def _words(transcript: str) -> list[str]:
    """The words of a transcript that is one sentence, and one that is finished; none of another."""
    read = read_line(transcript)
    ends = [word.mark >= STOP for word in read]
    return [word.word for word in read] if ends and ends[-1] and sum(ends) == 1 else []
