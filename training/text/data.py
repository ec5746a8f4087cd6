"""What the training has prepared, and batches of it: words with noise, their pieces, pauses and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from streaming_asr.text.features import piece_rows
from training.text.labels import UNKNOWN
from training.text.network import Shape
from training.text.noise import Generator, Ints, Pauses, classes, disturb, so_far

DISTURBED_SHARE: Final = 0.5
"""Of the sequences; the others are as they were written."""

_WORD: Final = 0
_MARK: Final = 1
_CASE: Final = 2


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Every word that occurs, with its rows: its own, 0 for one that is too rare, and those of its pieces."""

    types: tuple[str, ...]
    own: Ints
    pieces: tuple[Ints, ...]
    near: Ints

    @classmethod
    def read(cls, folder: Path, shape: Shape) -> Self:
        """From the folder of `training.text.prepare`."""
        listed = json.loads((folder / "types.json").read_text(encoding="utf-8"))
        types, seen = tuple(listed["types"]), listed["seen"]
        numbers = np.arange(1, len(types) + 1)
        own = np.where((numbers < shape.words) & (np.array(seen) > 1), numbers, 0)
        pieces = tuple(np.array(piece_rows(word, shape.pieces)) for word in types)
        return cls(types, own, pieces, np.load(folder / "near.npy"))

    @property
    def listed(self) -> tuple[str, ...]:
        """The words that have a row of their own, in the order of the rows from 1."""
        return tuple(word for word, row in zip(self.types, self.own, strict=True) if row)


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences beside each other; labels and pauses are (time, batch), `UNKNOWN` where a label is not told.

    `places` says which row of the batch's own types each word is; those types' rows follow.
    """

    places: Tensor
    words: Tensor
    pieces: Tensor
    offsets: Tensor
    pauses: Tensor
    going_on: Tensor
    marks: Tensor
    cases: Tensor


def batches(
    rows: Ints, lexicon: Lexicon, pauses: Pauses, *, time: int, size: int, steps: int, generator: Generator
) -> Iterator[Batch]:
    """Random pieces of the text, (words, 3), with noise."""
    for _ in range(steps):
        starts = generator.integers(0, len(rows) - 2 * time, size=size)
        yield collate([_sequence(rows, start, time, lexicon, pauses, generator) for start in starts], lexicon)


def _sequence(
    rows: Ints, start: int, time: int, lexicon: Lexicon, pauses: Pauses, generator: Generator
) -> tuple[Ints, Ints, Ints]:
    """Words with labels, pauses before and going on."""
    chosen = rows[start : start + 2 * time].astype(np.int64)
    if generator.random() < DISTURBED_SHARE:
        chosen = disturb(chosen, lexicon.near, generator)
    chosen = chosen[:time]
    behind = pauses.draw(chosen[:, _MARK], generator)
    known = classes(behind)
    going_on = so_far(behind, generator)
    return chosen, np.append(0, known[:-1]), np.where(generator.random(time) < 0.3, 0, going_on)


def collate(sequences: list[tuple[Ints, Ints, Ints]], lexicon: Lexicon) -> Batch:
    """Sequences of one length as a batch."""
    rows = np.stack([one for one, _, _ in sequences], axis=1)
    types, places = np.unique(rows[..., _WORD], return_inverse=True)
    pieces = [lexicon.pieces[one] for one in types]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in pieces])])
    return Batch(
        torch.from_numpy(places.reshape(rows.shape[:2])),
        torch.from_numpy(lexicon.own[types]),
        torch.from_numpy(np.concatenate(pieces)),
        torch.from_numpy(offsets),
        torch.from_numpy(np.stack([one for _, one, _ in sequences], axis=1)),
        torch.from_numpy(np.stack([one for _, _, one in sequences], axis=1)),
        torch.from_numpy(rows[..., _MARK]),
        torch.from_numpy(rows[..., _CASE]),
    )


def whole(rows: Ints, lexicon: Lexicon, *, before: Ints | None = None, going_on: Ints | None = None) -> Batch:
    """A text as one sequence, without noise; without measured pauses if none are given."""
    nothing = np.zeros(len(rows), dtype=np.int64)
    sequence = rows.astype(np.int64), nothing if before is None else before, nothing if going_on is None else going_on
    return collate([sequence], lexicon)


IGNORED: Final = UNKNOWN
