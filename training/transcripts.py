"""Transcripts as the model spells them: the letters A to Z, the apostrophe and the word delimiter."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

VOCABULARY: Final = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""The rows of the head: blank, three that are never used, the delimiter, the letters by frequency."""

BLANK: Final = 0
DELIMITER: Final = VOCABULARY.index("|")

_APOSTROPHES: Final = str.maketrans("\u2018\u2019\u02bc`", "''''")
_JOINED_BY_NOTHING: Final = re.compile(r"[.,;:!?\"()\[\]{}\u201c\u201d]+")
_NOT_SPELLABLE: Final = re.compile(r"[^A-Z' ]+")
_LOOSE_APOSTROPHE: Final = re.compile(r"(?<![A-Z])'(?=[A-Z]{4,})|'(?![A-Z])(?<!S')")


def normalize(text: str) -> str:
    """Upper case letters, apostrophes inside words and single spaces; accents are dropped, all else is a space."""
    letters = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES)).upper()
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    letters = _NOT_SPELLABLE.sub(" ", _JOINED_BY_NOTHING.sub(" ", letters))
    return " ".join(_LOOSE_APOSTROPHE.sub("", letters).split())


def is_spellable(text: str) -> bool:
    """Whether a transcript can be trained on: no digits or other signs that are read aloud as words."""
    return not re.search(r"[0-9&%$@#+=/\\<>*_^~]", text) and bool(normalize(text))


def least_frames(spelled: Sequence[object]) -> int:
    """The fewest frames in which CTC can say these letters: one for each, and a blank between two that are equal."""
    return len(spelled) + sum(one == other for one, other in pairwise(spelled))


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a model spells: `labels` are its rows as `read_checkpoint` gives them, "" the blank, " " the delimiter."""

    labels: tuple[str, ...]
    blank: int

    @property
    def ids(self) -> dict[str, int]:
        """The row of each letter; if only small (or only capital) letters are known, they stand for both."""
        ids = {label: row for row, label in enumerate(self.labels) if len(label) == 1}
        return {other: row for label, row in ids.items() for other in (label.lower(), label.upper())} | ids

    def encode(self, text: str) -> list[int]:
        """The rows that spell a text; ValueError for a letter that no row stands for."""
        ids = self.ids
        unknown = sorted(set(text) - set(ids))
        if unknown:
            raise ValueError(f"{text!r} has letters that the model does not know: {' '.join(unknown)}")
        return [ids[letter] for letter in text]

    def decode(self, rows: Sequence[int]) -> str:
        """The text of a path of best rows, one per frame: repeats merged, blanks dropped (greedy CTC)."""
        kept = [row for row, previous in zip(rows, [None, *rows], strict=False) if row != previous]
        letters = (self.labels[row] for row in kept if row != self.blank)
        return " ".join("".join(letter for letter in letters if len(letter) == 1).split())


ENGLISH: Final = Spelling(("", *VOCABULARY[1:DELIMITER], " ", *VOCABULARY[DELIMITER + 1 :]), BLANK)
"""The spelling of the models that are trained here from scratch."""
