"""Word n-gram language models: what a search asks of one, and n-grams as one, read by ourselves or by KenLM.

Scores are natural logarithms and follow pyctcdecode 0.5.0: alpha times the model's score plus beta for each word, an
offset for each unknown one.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

import numpy as np

from streaming_asr.decoding.letters import Integers, Letters
from streaming_asr.decoding.ngrams import END, Ngrams
from streaming_asr.errors import CheckpointError, MissingExtraError, OptionError

Case: TypeAlias = Literal["as is", "lower", "upper"]
"""How the alphabet's words are turned into the words of a language model."""

_NATURAL: Final = 1.0 / math.log10(math.e)
_USUAL_LENGTH: Final = 6
"""Unknown beginnings of words longer than this lose more, by their length, as in pyctcdecode."""

_PARTIAL_SCORES: Final = 65_536
"""Scores of unfinished words that a model remembers for all its searches; when there are more, all are forgotten."""

_SAMPLE: Final = 5_000


@dataclass(frozen=True, slots=True)
class WordLimits:
    """The most that a language model can give.

    `known`: to a word whose letters scored 0 before; `unknown`: to any other. Letters of an unfinished word never score
    more than 0, nor more than those before them.
    """

    known: float = 0.0
    unknown: float = 0.0


class LanguageModel(Protocol):
    """What a search asks of a language model; its states are opaque values that are never changed in place.

    One that has the attribute `limits`, as `WordLimits`, is asked about less, and gives the same beams faster.
    """

    def start(self) -> Any:
        """The state before the first word."""

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """The score of a word behind a state, and the state behind the word."""

    def score_last(self, state: Any, word: str) -> float:
        """The score of a word, which may be "", and the end of the sentence behind it."""

    def score_partial(self, part: str) -> float:
        """The score of the letters of an unfinished word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModelOptions:
    """`alpha` weighs the model, `beta` is given for each word, `unk_score_offset` for each unknown one.

    `score_boundary`: whether the beginning and the end of the sentence count. `empty_is_unknown`: whether a sentence
    that ends with a delimiter, as silence does too, ends with an unknown word as in pyctcdecode; with it a letter that
    nobody said costs less than to say nothing.
    """

    alpha: float = 0.5
    beta: float = 1.5
    unk_score_offset: float = -10.0
    score_boundary: bool = True
    empty_is_unknown: bool = True

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "unk_score_offset"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise OptionError(f"{name} of the language model is {value!r}; it must be a finite number")
        for name in ("score_boundary", "empty_is_unknown"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise OptionError(f"{name} of the language model is {value!r}; it must be a bool")


class Vocabulary:
    """The words that a language model knows, for whole words and for beginnings of words; immutable."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset(words)
        # A sorted list answers for beginnings too, in a tenth of the memory of a trie.
        self._sorted = sorted(self._words)

    def __len__(self) -> int:
        return len(self._words)

    def __contains__(self, word: str) -> bool:
        return word in self._words

    @property
    def words(self) -> list[str]:
        """The words in alphabetical order."""
        return self._sorted

    def begins(self, part: str) -> bool:
        """Whether some word begins with these letters."""
        place = bisect.bisect_left(self._sorted, part)
        return place < len(self._sorted) and self._sorted[place].startswith(part)

    def sample(self) -> list[str]:
        """Some thousands of the words, from all over the alphabet."""
        return self._sorted[:: max(1, len(self._sorted) // _SAMPLE)]


class NgramLanguageModel:
    """N-grams with the vocabulary that their words are checked against.

    Args:
        ngrams: the probabilities: `Ngrams`, or a KenLM model as `KenNgrams`.
        unigrams: the known words, in the model's case; None if they cannot be told, which decodes worse.
        options: weights.
        case: how the words of the alphabet are turned into the model's.
        file: where the n-grams were read from; None if that is not known.
    """

    def __init__(
        self,
        ngrams: Ngrams | KenNgrams,
        unigrams: Iterable[str] | None,
        options: LanguageModelOptions | None = None,
        case: Case = "as is",
        file: Path | None = None,
    ) -> None:
        self.options: Final = options or LanguageModelOptions()
        self.case: Final = case
        self.vocabulary: Final = None if unigrams is None else Vocabulary(word for word in unigrams if word in ngrams)
        self.file: Final = file
        self.ngrams = ngrams
        self._partial: dict[str, float] = {}
        self.limits: Final = self._find_limits()

    def _find_limits(self) -> WordLimits | None:
        """The most that words can score; None where letters that go on can score more than those before them."""
        alpha, offset = self.options.alpha, self.options.unk_score_offset
        # A capital sigma is written in two ways in lower case, and which of them tells only the next letter.
        sigma = self.case == "lower" and (self.vocabulary is None or any("σ" in word for word in self.vocabulary.words))
        if alpha < 0 or offset > 0 or sigma:
            return None
        # Without words in the vocabulary all letters score as if they were unknown, and words do not.
        highest = self.ngrams.highest
        unknown = highest + offset if self.vocabulary else highest
        return WordLimits(self._weighted(highest), self._weighted(unknown))

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        return self.ngrams.order

    @cached_property
    def knows_all(self) -> bool:
        """Whether the known words are those of the n-grams."""
        known = None if self.vocabulary is None else self.vocabulary.words
        return isinstance(self.ngrams, Ngrams) and known == sorted(self.ngrams.words)

    @cached_property
    def letters(self) -> tuple[Letters, Integers]:
        """The known words in alphabetical order, letter by letter, and their numbers in the n-grams; -1 without."""
        words = [] if self.vocabulary is None else self.vocabulary.words
        number = self.ngrams.number if isinstance(self.ngrams, Ngrams) else lambda word: -1
        return Letters.of(words), np.array(list(map(number, words)), np.int32)

    def with_options(self, options: LanguageModelOptions) -> NgramLanguageModel:
        """The same n-grams and words with other weights."""
        words = None if self.vocabulary is None else self.vocabulary.words
        return NgramLanguageModel(self.ngrams, words, options, self.case, self.file)

    def start(self) -> Any:
        """The state before the first word: the beginning of a sentence, or no context at all."""
        return self.ngrams.start(boundary=self.options.score_boundary)

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """The weighted score of a word behind a state, and the state behind the word."""
        score, behind = self._log10(state, word)
        return self._weighted(score), behind

    def score_last(self, state: Any, word: str) -> float:
        """The weighted score of a word, which may be "", and the end of the sentence."""
        nothing = not word and not self.options.empty_is_unknown
        score, behind = (0.0, state) if nothing else self._log10(state, word)
        if self.options.score_boundary:
            score += self.ngrams.score(behind, END)[0]
        return self.options.alpha * score * _NATURAL if nothing else self._weighted(score)

    def score_partial(self, part: str) -> float:
        """0 for letters that some known word begins with, else the unknown word's offset, more for long ones."""
        score = self._partial.get(part)
        if score is None:
            if len(self._partial) >= _PARTIAL_SCORES:
                self._partial.clear()
            score = self._partial[part] = self._score_partial(part)
        return score

    def _score_partial(self, part: str) -> float:
        if self.vocabulary is not None and self.vocabulary.begins(self.cased(part)):
            return 0.0
        offset = self.options.unk_score_offset
        return offset * len(part) / _USUAL_LENGTH if len(part) > _USUAL_LENGTH else offset

    def _log10(self, state: Any, word: str) -> tuple[float, Any]:
        word = self.cased(word)
        score, behind = self.ngrams.score(state, word)
        known = word in (self.vocabulary or self.ngrams)
        return (score if known else score + self.options.unk_score_offset), behind

    def _weighted(self, score: float) -> float:
        return self.options.alpha * score * _NATURAL + self.options.beta

    def cased(self, word: str) -> str:
        """A word of the alphabet as the model writes it."""
        return _recased(word, self.case)


class KenNgrams:
    """A `kenlm.Model` as n-grams."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._new_state = _kenlm().State

    @classmethod
    def read(cls, path: Path) -> Self:
        """The model in an ARPA file or a binary; MissingExtraError without kenlm, CheckpointError where it is none."""
        kenlm = _kenlm()
        config = kenlm.Config()
        config.show_progress = False
        config.arpa_complain = kenlm.ARPALoadComplain.NONE
        try:
            return cls(kenlm.Model(str(path), config))
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"{path} is not a language model that KenLM can read: {error}") from error

    highest: Final = 0.0
    """The logarithm of the greatest probability."""

    def __contains__(self, word: str) -> bool:
        return word in self._model

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        order: int = self._model.order
        return order

    def start(self, *, boundary: bool) -> Any:
        """The state at the beginning of a sentence, or with no context at all."""
        state = self._new_state()
        (self._model.BeginSentenceWrite if boundary else self._model.NullContextWrite)(state)
        return state

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """The logarithm to base 10 of a word's probability behind a state, and the state behind the word."""
        behind = self._new_state()
        return self._model.BaseScore(state, word, behind), behind


def kenlm_installed() -> bool:
    """Whether KenLM can be asked."""
    try:
        _kenlm()
    except MissingExtraError:
        return False
    return True


def _kenlm() -> Any:
    try:
        import kenlm
    except ImportError as error:
        raise MissingExtraError("a language model in KenLM's binary format", "lm") from error
    return kenlm


def _recased(word: str, case: Case) -> str:
    if case == "lower":
        return word.lower()
    return word.upper() if case == "upper" else word
