"""What recognition does to words, done to text: words dropped, doubled and misheard, and pauses between them.

All works on arrays of a whole batch; a generator makes it a function of the seed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from streaming_asr.text.features import PAUSE_BOUNDS
from training.text.labels import QUESTION, STOP

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Generator = np.random.Generator

NEIGHBOURS: Final = 4
"""Words that may be heard for another."""

_MOST_ERRORS: Final = 0.25
_UNMEASURED_SHARE: Final = 0.3
_TALK_SHARE: Final = 0.35
_HESITATIONS: Final = 0.06
_HURRIED_ENDS: Final = 0.3


def neighbours(types: Sequence[str], seen: Sequence[int]) -> Ints:
    """For each type some that sound alike, (types, NEIGHBOURS): the same consonants, or nearly so; itself if none."""
    groups: dict[str, list[int]] = defaultdict(list)
    keys = [(_skeleton(word), _skeleton(word)[:-1], word[:3]) for word in types]
    for number, word_keys in enumerate(keys):
        for key in word_keys:
            if len(groups[key]) < 30 and seen[number] > 0:
                groups[key].append(number)
    table = np.empty((len(types), NEIGHBOURS), dtype=np.int64)
    for number, word_keys in enumerate(keys):
        near = [other for key in word_keys for other in groups[key] if other != number]
        near = sorted(dict.fromkeys(near), key=lambda other: abs(len(types[other]) - len(types[number])))
        table[number] = np.resize(near[:NEIGHBOURS] or [number], NEIGHBOURS)
    return table


def _skeleton(word: str) -> str:
    alike = str.maketrans({"c": "k", "q": "k", "z": "s", "v": "f", "d": "t", "b": "p", "g": "k", "'": None})
    letters = word.translate(alike)
    return letters[:1] + "".join(letter for letter in letters[1:] if letter not in "aeiouyhw")


def disturb(rows: Ints, near: Ints, generator: Generator) -> Ints:
    """Words with their labels, (words, 3), as a recognizer with a random word error rate would give them.

    A dropped word leaves its mark to the word before it. The result has as many words or fewer, or a few more.
    """
    rate = generator.uniform(0, _MOST_ERRORS)
    chance = generator.random(len(rows))
    misheard = chance < rate * 0.6
    rows = rows.copy()
    rows[misheard, 0] = near[rows[misheard, 0], generator.integers(NEIGHBOURS, size=int(misheard.sum()))]
    dropped = (chance >= rate * 0.6) & (chance < rate * 0.85)
    for place in np.flatnonzero(dropped[1:]) + 1:
        rows[place - 1, 1] = max(rows[place - 1, 1], rows[place, 1])
    doubled = (chance >= rate * 0.85) & (chance < rate)
    times = np.where(dropped, 0, np.where(doubled, 2, 1))
    repeated = np.repeat(rows, times, axis=0)
    first = np.repeat(doubled, times) & np.append(np.diff(np.repeat(np.arange(len(rows)), times)) == 0, False)
    repeated[first, 1] = np.minimum(repeated[first, 1], 0)
    return repeated


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds of silence behind words by the mark that is written there, as quantiles (marks, quantiles)."""

    quantiles: Reals

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `training.text.pauses` measured."""
        return cls(np.array(json.loads(path.read_text(encoding="utf-8"))["quantiles"]))

    def draw(self, marks: Ints, generator: Generator) -> Reals:
        """A pause behind each word, (words,), as a reader makes it, or somebody who talks; NaN where nobody measured.

        Who talks stops within sentences to think and runs on at their ends.
        """
        style = generator.random()
        if style < _UNMEASURED_SHARE:
            return np.full(len(marks), np.nan)
        told = np.maximum(marks, 0)
        if style < _UNMEASURED_SHARE + _TALK_SHARE:
            hurried = (told >= STOP) & (generator.random(len(marks)) < _HURRIED_ENDS)
            told = np.where(hurried, 0, told)
        pauses = self._sample(told, generator)
        if style < _UNMEASURED_SHARE + _TALK_SHARE:
            thinks = (told == 0) & (generator.random(len(marks)) < _HESITATIONS)
            pauses = np.where(thinks, 0.2 + generator.exponential(0.5, len(marks)), pauses)
        return pauses

    def _sample(self, marks: Ints, generator: Generator) -> Reals:
        places = generator.random(len(marks)) * (self.quantiles.shape[1] - 1)
        below = places.astype(np.int64)
        lower, upper = self.quantiles[marks, below], self.quantiles[marks, below + 1]
        drawn: Reals = lower + (upper - lower) * (places - below)
        return drawn


def classes(pauses: Reals) -> Ints:
    """The classes of pauses, as `streaming_asr.text.features.pause_class` gives them; 0 for NaN."""
    found: Ints = np.where(np.isnan(pauses), 0, 1 + np.searchsorted(PAUSE_BOUNDS, pauses, side="right"))
    return found


def so_far(pauses: Reals, generator: Generator) -> Ints:
    """The classes of pauses that are still going on: somewhere between nothing and the whole of each."""
    return classes(pauses * generator.random(len(pauses)))


ENDS: Final = (STOP, QUESTION)
