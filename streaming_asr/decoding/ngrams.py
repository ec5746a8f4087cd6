"""Back-off n-grams of words in plain arrays: what an ARPA file says, scored without KenLM.

An n-gram is a row of its order's `Level`; its first n - 1 words are a row of the level before, so the levels make a
trie that is searched by bisection. Scores equal KenLM's up to the rounding of its floats.
"""

from __future__ import annotations

import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streaming_asr.errors import CheckpointError

UNKNOWN: Final = "<unk>"
BEGIN: Final = "<s>"
END: Final = "</s>"
MARKS: Final = (UNKNOWN, BEGIN, END)

SUFFIX: Final = ".npz"
"""What the name of a file of `Ngrams.save` ends with."""

_VALUES: Final = 256
"""Different values per column of a saved level, so that a value takes one byte."""

_ROUNDS: Final = 30
"""Steps in which those values find their best places."""

_NOWHERE: Final = -1

State: TypeAlias = tuple[int, ...]
"""The rows of the last one, two, ... words, one per level; -1 where there is no such n-gram."""

Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Reals: TypeAlias = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Level:
    """The n-grams of one order, sorted by context and word, shape (n-grams,) each.

    `context` is the row of the first n - 1 words in the level before, `word` the number of the last one; `log10` is its
    probability and `backoff` the weight of the n-gram as a context, both as logarithms to base 10.
    """

    context: Integers
    word: Integers
    log10: Reals
    backoff: Reals

    def __len__(self) -> int:
        return len(self.word)


class Ngrams:
    """A back-off model; immutable, so that any number of searches may share it.

    Args:
        words: every word by its number, among them "<s>" and "</s>"; without "<unk>" unknown words score -100.
        levels: the n-grams of order 1, 2, ...; row and word are the same number in the first one.

    Raises ValueError where these do not fit together.
    """

    def __init__(self, words: Sequence[str], levels: Sequence[Level]) -> None:
        _check(words, levels)
        self._names: Final = tuple(words)
        self._numbers: Final = {word: number for number, word in enumerate(words)}
        self.unknown: Final = self._numbers.get(UNKNOWN, _NOWHERE)
        """The number of words that are not there; -1 if there is none."""
        # Single items of a memoryview come faster than those of an array.
        words_row, self._words = _in_a_row([level.word for level in levels], np.uint32)
        log10, self._log10 = _in_a_row([level.log10 for level in levels], np.float32)
        backoff, self._backoff = _in_a_row([level.backoff for level in levels], np.float32)
        children = [_first_children(len(level), children) for level, children in pairwise(levels)]
        first, self._first = _in_a_row(children, np.uint32)
        starts = np.cumsum([0, *map(len, levels)], dtype=np.int64)
        first_starts = np.cumsum([0, *map(len, children)], dtype=np.int64)
        self.flat: Final = (words_row, log10, backoff, first, starts, first_starts)
        """The levels in a row: words, log10 and backoff, where the children of each n-gram begin; where each level
        begins in these, and in those."""
        self.highest: Final = _highest(levels)
        """No word has more than this, as a logarithm to base 10, behind any others."""

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        return len(self._words)

    @property
    def words(self) -> list[str]:
        """The known words, without the marks."""
        return [word for word in self._names if word not in MARKS]

    def __len__(self) -> int:
        return sum(map(len, self._words))

    def __contains__(self, word: str) -> bool:
        return word in self._numbers and word != UNKNOWN

    def number(self, word: str) -> int:
        """The number of a word; that of unknown ones if it is not there."""
        return self._numbers.get(word, self.unknown)

    def start(self, *, boundary: bool) -> State:
        """The state at the beginning of a sentence, or with no context at all."""
        return (self._numbers[BEGIN],) if boundary and self.order > 1 else ()

    def score(self, state: State, word: str) -> tuple[float, State]:
        """The logarithm to base 10 of a word's probability behind a state, and the state behind the word."""
        number = self._numbers.get(word, self.unknown)
        rows = [number]
        # The row of the word behind the n-gram in each row of the state.
        for level, row in enumerate(state):
            place = _NOWHERE
            if row != _NOWHERE:
                words, first = self._words[level + 1], self._first[level]
                behind = first[row + 1]
                place = bisect_left(words, number, first[row], behind)
                if place == behind or words[place] != number:
                    place = _NOWHERE
            rows.append(place)
        score = 0.0
        for level in range(len(state), -1, -1):
            if rows[level] != _NOWHERE:
                return score + self._log10[level][rows[level]], tuple(rows[: self.order - 1])
            if level and state[level - 1] != _NOWHERE:
                score += self._backoff[level - 1][state[level - 1]]
        return score + _UNLISTED, ()

    def save(self, path: Path) -> None:
        """Write a compressed file that `read` reads; values are rounded to the nearest of 256 per order."""
        arrays: dict[str, Any] = {"words": np.frombuffer("\n".join(self._names).encode(), np.uint8)}
        for name, columns in (("log10", self._log10), ("backoff", self._backoff[:-1])):
            for order, column in enumerate(columns, start=1):
                arrays[f"{name}_values_{order}"], arrays[f"{name}_{order}"] = _rounded(np.asarray(column))
        for order, (first, words) in enumerate(zip(self._first, self._words[1:], strict=True), start=1):
            children = np.diff(np.asarray(first))
            arrays[f"children_{order}"] = children.astype(np.min_scalar_type(children.max()))
            arrays[f"words_{order + 1}"] = np.asarray(words).astype(np.min_scalar_type(len(self._names)))
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The model in a file of `save`; raises CheckpointError where it is none."""
        try:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as arrays:
                words = bytes(arrays["words"]).decode().split("\n")
                return cls(words, list(_levels(arrays, len(words))))
        except _UNREADABLE as error:
            raise CheckpointError(f"{path} is not a language model of this project: {error}") from error


_UNREADABLE: Final = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, zipfile.BadZipFile, zlib.error)

_UNLISTED: Final = -100.0
"""Score of an unknown word in a model without "<unk>", as in KenLM."""


def make_levels(words: Mapping[str, int], orders: Iterable[tuple[Integers, Reals, Reals]]) -> list[Level]:
    """The levels of n-grams in any order, each order given as its words' numbers (n-grams, n), log10 and backoff.

    Raises ValueError for an n-gram whose first words are no n-gram themselves, or that comes twice.
    """
    levels: list[Level] = []
    keys: list[Integers] = []
    for numbers, log10, backoff in orders:
        context = numbers[:, 0].astype(np.int64) if levels else np.zeros(len(numbers), np.int64)
        for column, known in enumerate(keys[1:], start=1):
            wanted = context * len(words) + numbers[:, column]
            context = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
            if len(wanted) and not (len(known) and np.array_equal(known[context], wanted)):
                raise ValueError(f"the first words of some {numbers.shape[1]}-gram are no {column + 1}-gram")
        key = context * len(words) + numbers[:, -1]
        sorting = np.argsort(key, kind="stable")
        keys.append(key[sorting])
        if np.any(keys[-1][1:] == keys[-1][:-1]):
            raise ValueError(f"some {numbers.shape[1]}-gram comes twice")
        word = numbers[sorting, -1].astype(np.min_scalar_type(len(words)))
        levels.append(Level(context[sorting], word, log10[sorting], backoff[sorting]))
    return levels


def _check(words: Sequence[str], levels: Sequence[Level]) -> None:
    if missing := [mark for mark in (BEGIN, END) if mark not in words]:
        raise ValueError(f"{' and '.join(missing)} must be among the words")
    for order, level in enumerate(levels, start=1):
        if not len(level.context) == len(level.word) == len(level.log10) == len(level.backoff):
            raise ValueError(f"the columns of order {order} differ in length")
    if not levels or not np.array_equal(levels[0].word, np.arange(len(words))):
        raise ValueError(f"the n-grams of order 1 must be the {len(words)} words, each once")
    for order, (before, level) in enumerate(pairwise(levels), start=2):
        rising = np.diff(level.context.astype(np.int64) * len(words) + level.word) > 0
        if len(level) and (level.context[-1] >= len(before) or level.word.max() >= len(words) or not rising.all()):
            raise ValueError(f"the n-grams of order {order} are not sorted, or name words that are not there")


def _highest(levels: Sequence[Level]) -> float:
    probabilities = max((float(level.log10.max()) for level in levels if len(level)), default=0.0)
    return probabilities + sum(max(0.0, float(level.backoff.max())) for level in levels[:-1] if len(level))


def _in_a_row(columns: Sequence[npt.NDArray[Any]], kind: type) -> tuple[npt.NDArray[Any], list[memoryview]]:
    """Columns of several orders as one array, and views on each."""
    row = np.concatenate([np.zeros(0, kind), *(column.astype(kind, copy=False) for column in columns)])
    borders = np.cumsum([0, *map(len, columns)])
    return row, [row[start:stop].data for start, stop in pairwise(borders)]


def _first_children(rows: int, children: Level) -> npt.NDArray[np.uint32]:
    """Where the children of each row begin, and where those of the last one end, shape (rows + 1,)."""
    counts = np.bincount(children.context, minlength=rows)
    return np.concatenate(([0], np.cumsum(counts))).astype(np.uint32)


def _levels(arrays: Mapping[str, npt.NDArray[Any]], words: int) -> Iterable[Level]:
    orders = sum(name.startswith("log10_values_") for name in arrays)
    rows = words
    for order in range(1, orders + 1):
        counts = arrays[f"children_{order - 1}"] if order > 1 else np.array([words])
        if order > 1 and len(counts) != rows:
            raise ValueError(f"there are {rows} {order - 1}-grams and {len(counts)} numbers of what follows them")
        word = arrays[f"words_{order}"] if order > 1 else np.arange(words, dtype=np.uint32)
        rows = len(word)
        log10 = arrays[f"log10_values_{order}"][arrays[f"log10_{order}"]]
        last = order == orders
        backoff = np.zeros(rows) if last else arrays[f"backoff_values_{order}"][arrays[f"backoff_{order}"]]
        yield Level(np.repeat(np.arange(len(counts)), counts), word, log10, backoff)


def _rounded(column: Reals) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """At most 256 values, and for each item the number of its nearest; 0 stays 0, and so do all if they are few."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) > _VALUES:
        # Lloyd's algorithm. Half of the first values are where the items are, half are spread evenly for the rare ones,
        # all but the lowest: that <s> never comes is written as -99.
        items, weights, exact = values, counts, np.unique(np.append(values[[0, -1]], 0.0))
        shares = np.linspace(0, 1, (_VALUES - len(exact)) // 2)
        spread = np.linspace(items[1], items[-1], len(shares))
        values = np.unique(np.concatenate((np.quantile(column, shares), spread, exact)))
        for _ in range(_ROUNDS):
            nearest = _nearest(values, items)
            total = np.bincount(nearest, weights, len(values))
            means = np.bincount(nearest, weights * items, len(values)) / np.maximum(total, 1)
            values = np.unique(np.where((total == 0) | np.isin(values, exact), values, means))
    return values.astype(np.float32), _nearest(values, column).astype(np.uint8)


def _nearest(values: Reals, items: Reals) -> npt.NDArray[np.intp]:
    """The number of the nearest of some rising values for each item."""
    return np.searchsorted((values[1:] + values[:-1]) / 2, items)
