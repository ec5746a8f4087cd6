"""The labels of a CTC head as a search reads them: which is blank, which begins a word, how words are spelled."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from streaming_asr.errors import OptionError
from streaming_asr.scripts import continues, stands_alone

JOINED: Final = "\u2060"
"""Before a word of a history that follows the word before it without a space: Unicode's word joiner."""

_WORD_START: Final = "▁"
_WORD_INSIDE: Final = "##"
_UNKNOWN: Final = "⁇"
_UNKNOWN_PIECE: Final = f"{_WORD_START}{_UNKNOWN}{_WORD_START}"

_BLANK_TOKEN: Final = re.compile(r"[<\[]pad[>\]]", re.IGNORECASE)
_UNKNOWN_TOKEN: Final = re.compile(r"[<\[]unk[>\]]", re.IGNORECASE)
_SPECIAL_TOKEN: Final = re.compile(r"[<\[].+[>\]]")


@dataclass(frozen=True, slots=True, init=False)
class Alphabet:
    """Labels, one per column of the log-probabilities, normalized as pyctcdecode 0.5.0 normalizes them.

    "" or a pad token is blank, or else "_"; " " is the delimiter, or else "|". A label that begins with "▁" or "##"
    makes it an alphabet of word pieces. "<unk>" is written "⁇"; other special tokens such as "<s>" stay labels like
    any other. If no label is blank, one is appended. Raises OptionError for duplicate or unusable labels.

    `by_character` makes each character of a script without spaces (Chinese, Japanese, Thai), or each piece that begins
    with one, a word of its own, which is joined to the word before it; pyctcdecode knows no such thing.
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
    by_character: bool
    """Whether some labels are words of their own; never so without labels of scripts without spaces."""

    def __init__(self, labels: Sequence[str], *, by_character: bool = False) -> None:
        self._set(*_normalize(labels), by_character=by_character)

    @classmethod
    def of_normalized(cls, labels: Sequence[str], *, is_bpe: bool) -> Self:
        """The alphabet of labels that were normalized before; raises OptionError if none of them is blank."""
        alphabet = cls.__new__(cls)
        alphabet._set(_checked(labels), is_bpe)
        return alphabet

    def _set(self, normalized: tuple[str, ...], is_bpe: bool, by_character: bool = False) -> None:
        if "" not in normalized:
            raise OptionError(f"none of the normalized labels is blank, which is '': {list(normalized)!r}")
        first = {label: index for index, label in reversed(list(enumerate(normalized)))}
        ends = tuple(is_bpe and label[-1:] == _WORD_START for label in normalized)
        set_field = object.__setattr__
        set_field(self, "labels", normalized)
        set_field(self, "is_bpe", is_bpe)
        set_field(self, "blank", first[""])
        set_field(self, "symbols", tuple(first[label] for label in normalized))
        set_field(self, "opens", tuple(label[:1] == _WORD_START if is_bpe else label == " " for label in normalized))
        set_field(self, "closes", ends)
        pieces = tuple(_piece(label, is_bpe) for label in normalized)
        set_field(self, "pieces", pieces)
        set_field(self, "by_character", by_character and any(stands_alone(piece[0]) for piece in pieces if piece))

    def begins(self, part: str, token: int) -> bool:
        """With `by_character`, whether a label begins a word behind the letters of an unfinished one."""
        piece = self.pieces[token]
        if self.opens[token] or not piece or stands_alone(piece[0]):
            return True
        first = unmarked(part)[:1]
        return first != "" and not continues(piece[0]) and (stands_alone(first) or first == _UNKNOWN)

    def begun(self, part: str, token: int) -> str:
        """With `by_character`, the word that a label begins behind an unfinished one: `JOINED` where no space is."""
        piece = self.pieces[token]
        return JOINED + piece if part and piece and not self.opens[token] else piece

    def dumps(self) -> str:
        """The normalized labels as JSON, as pyctcdecode writes them to `alphabet.json`."""
        return json.dumps({"labels": list(self.labels), "is_bpe": self.is_bpe})

    @classmethod
    def loads(cls, text: str) -> Self:
        """The alphabet that `dumps` or pyctcdecode wrote; raises OptionError for anything else."""
        try:
            found = json.loads(text)
        except ValueError as error:
            raise OptionError(f"the alphabet is not JSON: {error}") from error
        if not isinstance(found, dict) or found.keys() != {"labels", "is_bpe"} or not isinstance(found["labels"], list):
            raise OptionError(f"an alphabet is an object of 'labels', a list, and 'is_bpe', not {text[:80]!r}")
        return cls.of_normalized(found["labels"], is_bpe=bool(found["is_bpe"]))

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


def unmarked(word: str) -> str:
    """A word of a history without `JOINED`."""
    return word.removeprefix(JOINED)


def _checked(labels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels) or not labels:
        raise OptionError(f"labels are {labels!r}; they must be a sequence of strings, one per column of the model")
    return tuple(labels)


def _normalize(labels: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """The labels as the search uses them, and whether they are word pieces."""
    checked = _checked(labels)
    twice = [label for label, count in Counter(checked).items() if count > 1]
    if twice:
        raise OptionError(f"these labels come twice: {twice!r}; every column needs a label of its own")
    is_bpe = any(label.startswith((_WORD_START, _WORD_INSIDE)) for label in checked)
    return tuple(_normalize_pieces(checked) if is_bpe else _normalize_characters(checked)), is_bpe


def _normalize_characters(labels: Sequence[str]) -> list[str]:
    normalized = list(labels)
    if " " not in normalized:
        normalized = [" " if label == "|" else label for label in normalized]
    normalized = ["" if _BLANK_TOKEN.fullmatch(label) else label for label in normalized]
    if "" not in normalized:
        normalized = ["" if label == "_" else label for label in normalized]
    return [_UNKNOWN if _UNKNOWN_TOKEN.fullmatch(label) else label for label in _with_blank(normalized)]


def _normalize_pieces(labels: Sequence[str]) -> list[str]:
    spaced = [label for label in labels if " " in label]
    if spaced:
        raise OptionError(f"these word pieces contain a space: {spaced!r}; a piece that begins a word begins with '▁'")
    if any(label.startswith(_WORD_INSIDE) for label in labels):
        labels = [_marked_at_start(label) for label in labels]
    normalized = _with_blank(["" if _BLANK_TOKEN.fullmatch(label) else label for label in labels])
    return [_UNKNOWN_PIECE if _UNKNOWN_TOKEN.fullmatch(label) else label for label in normalized]


def _marked_at_start(label: str) -> str:
    """A label of the style that marks pieces inside a word, in the style that marks pieces at its start."""
    if label.startswith(_WORD_INSIDE):
        return label.removeprefix(_WORD_INSIDE)
    plain = label in ("", _WORD_START, _UNKNOWN_PIECE) or _SPECIAL_TOKEN.fullmatch(label)
    return label if plain else _WORD_START + label


def _with_blank(labels: list[str]) -> list[str]:
    return labels if "" in labels else [*labels, ""]


def _piece(label: str, is_bpe: bool) -> str:
    if not is_bpe:
        return "" if label == " " else label
    inner = label[1:] if label[:1] == _WORD_START else label
    return inner[:-1] if label[-1:] == _WORD_START else inner
