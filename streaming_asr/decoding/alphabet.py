"""The labels of a CTC head as a search reads them: which is blank, which begins a word, how words are spelled."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from streaming_asr.errors import MissingExtraError, OptionError

_WORD_START: Final = "▁"


@dataclass(frozen=True, slots=True, init=False)
class Alphabet:
    """Labels, one per column of the log-probabilities, normalized by pyctcdecode 0.5.0.

    "" or a pad token is blank, " " or "|" the delimiter; "▁" or "##" anywhere makes it an alphabet of word pieces.
    Special tokens such as "<s>" stay labels like any other, as in pyctcdecode, which writes "<unk>" as "⁇".
    If no label is blank, one is appended. Raises OptionError for duplicate or unusable labels.
    """

    labels: tuple[str, ...]
    is_bpe: bool
    blank: int = field(compare=False)
    symbols: tuple[int, ...] = field(compare=False, repr=False)
    """For each label the first index with the same string: to a search, equal strings are one token."""
    opens: tuple[bool, ...] = field(compare=False, repr=False)
    """Whether a label ends the word before it; of characters, only the delimiter does."""
    closes: tuple[bool, ...] = field(compare=False, repr=False)
    """Whether a label also ends its own word, as "▁⁇▁" does."""
    pieces: tuple[str, ...] = field(compare=False, repr=False)
    """What a label adds to the word that it begins."""

    def __init__(self, labels: Sequence[str]) -> None:
        normalized, is_bpe = _normalize(labels)
        first = {label: index for index, label in reversed(list(enumerate(normalized)))}
        ends = tuple(is_bpe and label[-1:] == _WORD_START for label in normalized)
        set_field = object.__setattr__
        set_field(self, "labels", normalized)
        set_field(self, "is_bpe", is_bpe)
        set_field(self, "blank", first[""])
        set_field(self, "symbols", tuple(first[label] for label in normalized))
        set_field(self, "opens", tuple(label[:1] == _WORD_START if is_bpe else label == " " for label in normalized))
        set_field(self, "closes", ends)
        set_field(self, "pieces", tuple(_piece(label, is_bpe) for label in normalized))

    def spellable(self, word: str) -> bool:
        """Whether the labels can be put together to this word."""
        return bool(word) and self._spells(word)

    def missing(self, word: str) -> str:
        """The characters of a word that no label has, each once; where only whole pieces lack, all that stand alone."""
        if self._spells(word):
            return ""
        written = set("".join(self.pieces))
        lacking = [letter for letter in dict.fromkeys(word) if letter not in written]
        return "".join(lacking or [letter for letter in dict.fromkeys(word) if letter not in self.pieces])

    def recase(self, word: str) -> str | None:
        """The word, or else its upper-case or lower-case form, whichever the labels can spell first; None if none."""
        return next((form for form in (word, word.upper(), word.lower()) if self.spellable(form)), None)

    def _spells(self, word: str) -> bool:
        """Walk over the word from its start and mark every place that some sequence of labels reaches."""
        starts = {piece for piece, opens in zip(self.pieces, self.opens, strict=True) if opens or not self.is_bpe}
        inner = set(self.labels) - {"", " "}
        longest = max(map(len, self.labels))
        reached = [True] + [False] * len(word)
        for begin in range(len(word)):
            for end in range(begin + 1, min(len(word), begin + longest) + 1):
                if reached[begin] and word[begin:end] in (inner if begin else inner | starts):
                    reached[end] = True
        return reached[-1]


@contextmanager
def quiet_pyctcdecode() -> Iterator[None]:
    """Keep pyctcdecode's log lines back: it warns of a missing kenlm and of special tokens, which are no news here."""
    logger = logging.getLogger("pyctcdecode")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _normalize(labels: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels) or not labels:
        raise OptionError(f"labels are {labels!r}; they must be a sequence of strings, one per column of the model")
    with quiet_pyctcdecode():
        try:
            from pyctcdecode.alphabet import Alphabet as PyctcdecodeAlphabet
        except ImportError as error:
            raise MissingExtraError("decoding", "recognizer") from error
        try:
            alphabet = PyctcdecodeAlphabet.build_alphabet(list(labels))
        except ValueError as error:
            raise OptionError(f"these labels cannot be decoded: {error} Labels: {list(labels)!r}") from error
    return tuple(alphabet.labels), bool(alphabet.is_bpe)


def _piece(label: str, is_bpe: bool) -> str:
    if not is_bpe:
        return "" if label == " " else label
    inner = label[1:] if label[:1] == _WORD_START else label
    return inner[:-1] if label[-1:] == _WORD_START else inner
