"""Words that a caller expects to hear, and what a search gives for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.letters import Integers, LetterTree
from streaming_asr.decoding.phrases import Phrases
from streaming_asr.errors import OptionError
from streaming_asr.scripts import stands_alone

DEFAULT_WEIGHT: Final = 10.0
"""What one occurrence of a hotword adds to a beam's score, in natural logarithms, if nothing else is said."""


@dataclass(frozen=True, slots=True, eq=False)
class HotwordTree:
    """The beginnings of hotwords, label by label, for a compiled loop.

    Attributes:
        nodes: as `LetterTree.nodes`.
        scores: (2, nodes), what an unfinished word earns with these letters, and what a whole one does.
        whole: (nodes,), whether the letters are a hotword.
    """

    nodes: Integers
    scores: npt.NDArray[np.float64]
    whole: npt.NDArray[np.bool_]


class Hotwords:
    """Plain strings of one or several words, with or without weights, and how they score; immutable.

    Each word of a hotword earns its weight where it stands as a whole word, and while it is being spelled the share of
    its letters read so far, as in pyctcdecode. Where several hotwords begin alike, the one that gives most counts: with
    equal weights the shortest. A hotword is spelled in the case that the alphabet has. One that cannot be spelled is
    left out as a whole and reported. Without an alphabet, hotwords are taken as they are. In an alphabet by character,
    those with characters of scripts without spaces are found anywhere in a text.

    Attributes:
        taken: the hotwords in force, as they were given.
        unspellable: the hotwords left out, each with the characters that the alphabet lacks.
        weights: the weight of each single word, in the alphabet's spelling.
        phrases: those that are found anywhere.
        uniform: the weight that all words share, or None.
    """

    __slots__ = ("_prefixes", "_tree", "phrases", "taken", "uniform", "unspellable", "weights")

    def __init__(self, hotwords: Mapping[str, float] | Iterable[str] | None, alphabet: Alphabet | None) -> None:
        asked = _as_weights(hotwords)
        recase = (lambda word: word) if alphabet is None else alphabet.recase
        spelled = {phrase: [recase(word) for word in phrase.split()] for phrase in asked}
        self.taken: Final = tuple(phrase for phrase, words in spelled.items() if None not in words)
        self.unspellable: Final[Mapping[str, str]] = {
            phrase: _lacking(phrase, alphabet) for phrase, words in spelled.items() if alphabet and None in words
        }
        found: dict[str, float] = {}
        for phrase in self.taken:
            for word in spelled[phrase]:
                if word is not None:
                    found[word] = max(found.get(word, asked[phrase]), asked[phrase], key=abs)
        by_character = alphabet is not None and alphabet.by_character
        anywhere = {word for word in found if by_character and any(map(stands_alone, word))}
        self.phrases: Final = Phrases({word: found[word] for word in anywhere})
        weights = {word: weight for word, weight in found.items() if word not in anywhere}
        self.weights: Final[Mapping[str, float]] = weights
        self.uniform: Final = next(iter(weights.values())) if len(set(weights.values())) == 1 else None
        self._prefixes: Final = _prefixes(weights)
        self._tree: tuple[Sequence[str], HotwordTree] | None = None

    @classmethod
    def of(cls, hotwords: Hotwords | Mapping[str, float] | Iterable[str] | None, alphabet: Alphabet) -> Hotwords:
        """Hotwords in any form; those made already stay as they are."""
        return hotwords if isinstance(hotwords, Hotwords) else cls(hotwords, alphabet)

    def __bool__(self) -> bool:
        return bool(self.weights) or bool(self.phrases)

    def partial(self, part: str) -> float | None:
        """What the letters of an unfinished word earn; None where no hotword begins with them."""
        found = self._prefixes.get(part)
        return None if found is None else found[0] * len(part) / found[1]

    def tree(self, labels: Sequence[str]) -> HotwordTree:
        """The single words as a tree of labels, none of which begins with another one."""
        if self._tree is None or self._tree[0] is not labels:
            letters = LetterTree(labels, self.weights)
            partial = [self.partial(text) or 0.0 for text in letters.texts]
            earned = [self.weights.get(text, 0.0) for text in letters.texts]
            whole = np.array([text in self.weights for text in letters.texts])
            self._tree = labels, HotwordTree(letters.nodes, np.array([partial, earned]), whole)
        return self._tree[1]


def _as_weights(hotwords: Mapping[str, float] | Iterable[str] | None) -> dict[str, float]:
    if isinstance(hotwords, str):
        raise OptionError(f"hotwords are {hotwords!r}; they must be a list of strings or a mapping to weights")
    pairs = hotwords.items() if isinstance(hotwords, Mapping) else ((word, DEFAULT_WEIGHT) for word in hotwords or ())
    weights = {}
    for phrase, weight in pairs:
        if not isinstance(phrase, str):
            raise OptionError(f"a hotword is {phrase!r}; it must be a string")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise OptionError(f"the weight of hotword {phrase!r} is {weight!r}; it must be a finite number")
        if phrase.strip():
            weights[phrase.strip()] = float(weight)
    return weights


def _lacking(phrase: str, alphabet: Alphabet) -> str:
    words = [word for word in phrase.split() if alphabet.recase(word) is None]
    forms = (min((alphabet.missing(form) for form in (word, word.upper(), word.lower())), key=len) for word in words)
    return "".join(dict.fromkeys("".join(forms)))


def _prefixes(weights: Mapping[str, float]) -> dict[str, tuple[float, int]]:
    """For each beginning of a word the weight and the length of the word that gives most for it."""
    best: dict[str, tuple[float, int]] = {}
    for word, weight in sorted(weights.items(), key=lambda item: abs(item[1]) / len(item[0]), reverse=True):
        for end in range(1, len(word) + 1):
            best.setdefault(word[:end], (weight, len(word)))
    return best
