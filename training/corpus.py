"""Prepared audio: one memory-mapped int16 array and one table of the utterances in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import SAMPLE_RATE, Samples

AUDIO_FILE: Final = "audio.i16"
TABLE_FILE: Final = "table.tsv"


@dataclass(frozen=True, slots=True)
class Utterance:
    """Where one recording lies in the array, in samples at 16 kHz, and what is said in it.

    `cuts` are the samples of the recording before which its words but the first begin, if `training.align` found them.
    """

    name: str
    collection: str
    speaker: str
    part: str
    start: int
    samples: int
    transcript: str
    cuts: tuple[int, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return self.samples / SAMPLE_RATE

    def words(self, first: int, last: int) -> Utterance:
        """The words from `first` to before `last` as an utterance of their own."""
        places = (0, *self.cuts, self.samples)
        begin, end = places[first], places[last]
        said = " ".join(self.transcript.split()[first:last])
        return replace(self, start=self.start + begin, samples=end - begin, transcript=said, cuts=())


@dataclass(frozen=True, slots=True)
class Corpus:
    """Recordings that share one array on disk; `audio` is not read until it is sliced."""

    audio: npt.NDArray[np.int16]
    utterances: tuple[Utterance, ...]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """The corpus that `CorpusWriter` left in a folder."""
        with (folder / TABLE_FILE).open(newline="", encoding="utf-8") as file:
            utterances = tuple(_parse(row) for row in csv.DictReader(file, dialect="excel-tab"))
        return cls(np.memmap(folder / AUDIO_FILE, dtype=np.int16, mode="r"), utterances)

    def part(self, part: str) -> Corpus:
        """The same audio with the utterances of one part only."""
        return Corpus(self.audio, tuple(utterance for utterance in self.utterances if utterance.part == part))

    def collections(self, only: Sequence[str], without: Sequence[str]) -> Corpus:
        """The same audio with the utterances of some collections (none named: all) and not of others."""
        kept = (one for one in self.utterances if not only or one.collection in only)
        return Corpus(self.audio, tuple(one for one in kept if one.collection not in without))

    def samples(self, utterance: Utterance) -> Samples:
        """One recording as float32, shape (samples,), full scale 1.0."""
        piece = self.audio[utterance.start : utterance.start + utterance.samples]
        return piece.astype(np.float32) / 32768.0


class CorpusWriter:
    """Appends recordings to a corpus folder; the table is written by `close`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = (folder / AUDIO_FILE).open("wb")
        self._position = 0
        self._utterances: list[Utterance] = []

    def add(self, samples: Samples, *, name: str, collection: str, speaker: str, part: str, transcript: str) -> None:
        """Appends one recording, shape (samples,); full scale is clipped."""
        np.clip(np.rint(samples * 32767.0), -32768, 32767).astype(np.int16).tofile(self._file)
        at = self._position
        self._utterances.append(Utterance(name, collection, speaker, part, at, len(samples), transcript))
        self._position += len(samples)

    def close(self) -> tuple[Utterance, ...]:
        """Writes the table and gives what it lists."""
        self._file.close()
        write_table(self._folder / TABLE_FILE, self._utterances)
        return tuple(self._utterances)


def write_table(path: Path, utterances: Iterable[Utterance]) -> None:
    """One line per utterance, tabs between the columns, a head line; an older table stays until this one is whole."""
    unfinished = path.with_suffix(".new")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect="excel-tab", lineterminator="\n")
        writer.writerow([field.name for field in fields(Utterance)])
        for utterance in utterances:
            writer.writerow((*astuple(utterance)[:-1], " ".join(map(str, utterance.cuts))))
    unfinished.replace(path)


def hours(utterances: Sequence[Utterance]) -> float:
    """The summed duration in hours."""
    return sum(utterance.samples for utterance in utterances) / SAMPLE_RATE / 3600


def _parse(row: dict[str, str]) -> Utterance:
    where = int(row["start"]), int(row["samples"])
    cuts = tuple(int(cut) for cut in (row.get("cuts") or "").split())
    return Utterance(row["name"], row["collection"], row["speaker"], row["part"], *where, row["transcript"], cuts)
