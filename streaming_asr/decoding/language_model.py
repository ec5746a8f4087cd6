"""Word n-gram language models: what a search asks of one, and n-grams as one, read by ourselves or by KenLM.

Scores are natural logarithms and follow pyctcdecode 0.5.0: alpha times the model's score plus beta for each word, an
offset for each unknown one.
"""

from __future__ import annotations

import bisect
import json
import logging
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.arpa import is_arpa, read_arpa, read_arpa_words
from streaming_asr.decoding.ngrams import END, SUFFIX, Ngrams
from streaming_asr.errors import CheckpointError, MissingExtraError, OptionError

Case: TypeAlias = Literal["as is", "lower", "upper"]
"""How the alphabet's words are turned into the words of a language model."""

_NATURAL: Final = 1.0 / math.log10(math.e)
_USUAL_LENGTH: Final = 6
"""Unknown beginnings of words longer than this lose more, by their length, as in pyctcdecode."""

_PARTIAL_SCORES: Final = 65_536
"""Scores of unfinished words that a model remembers for all its searches; when there are more, all are forgotten."""

_SAMPLE: Final = 5_000
_MODEL_SUFFIXES: Final = (SUFFIX, ".arpa", ".bin", ".binary", ".klm")

_logger = logging.getLogger(__name__)


class LanguageModel(Protocol):
    """What a search asks of a language model; its states are opaque values that are never changed in place."""

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

    `score_boundary`: whether the beginning and the end of the sentence count.
    """

    alpha: float = 0.5
    beta: float = 1.5
    unk_score_offset: float = -10.0
    score_boundary: bool = True

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "unk_score_offset"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise OptionError(f"{name} of the language model is {value!r}; it must be a finite number")
        if not isinstance(self.score_boundary, bool):
            raise OptionError(f"score_boundary of the language model is {self.score_boundary!r}; it must be a bool")


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
    """

    def __init__(
        self,
        ngrams: Ngrams | KenNgrams,
        unigrams: Iterable[str] | None,
        options: LanguageModelOptions | None = None,
        case: Case = "as is",
    ) -> None:
        self.options: Final = options or LanguageModelOptions()
        self.case: Final = case
        self.vocabulary: Final = None if unigrams is None else Vocabulary(word for word in unigrams if word in ngrams)
        self._ngrams = ngrams
        self._partial: dict[str, float] = {}

    def start(self) -> Any:
        """The state before the first word: the beginning of a sentence, or no context at all."""
        return self._ngrams.start(boundary=self.options.score_boundary)

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """The weighted score of a word behind a state, and the state behind the word."""
        score, behind = self._log10(state, word)
        return self._weighted(score), behind

    def score_last(self, state: Any, word: str) -> float:
        """The weighted score of a word, which may be "", and the end of the sentence; "" counts as an unknown word."""
        score, behind = self._log10(state, word)
        if self.options.score_boundary:
            score += self._ngrams.score(behind, END)[0]
        return self._weighted(score)

    def score_partial(self, part: str) -> float:
        """0 for letters that some known word begins with, else the unknown word's offset, more for long ones."""
        score = self._partial.get(part)
        if score is None:
            if len(self._partial) >= _PARTIAL_SCORES:
                self._partial.clear()
            score = self._partial[part] = self._score_partial(part)
        return score

    def _score_partial(self, part: str) -> float:
        if self.vocabulary is not None and self.vocabulary.begins(self._cased(part)):
            return 0.0
        offset = self.options.unk_score_offset
        return offset * len(part) / _USUAL_LENGTH if len(part) > _USUAL_LENGTH else offset

    def _log10(self, state: Any, word: str) -> tuple[float, Any]:
        word = self._cased(word)
        score, behind = self._ngrams.score(state, word)
        known = word in (self.vocabulary or self._ngrams)
        return (score if known else score + self.options.unk_score_offset), behind

    def _weighted(self, score: float) -> float:
        return self.options.alpha * score * _NATURAL + self.options.beta

    def _cased(self, word: str) -> str:
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

    def __contains__(self, word: str) -> bool:
        return word in self._model

    def start(self, *, boundary: bool) -> Any:
        """The state at the beginning of a sentence, or with no context at all."""
        state = self._new_state()
        (self._model.BeginSentenceWrite if boundary else self._model.NullContextWrite)(state)
        return state

    def score(self, state: Any, word: str) -> tuple[float, Any]:
        """The logarithm to base 10 of a word's probability behind a state, and the state behind the word."""
        behind = self._new_state()
        return self._model.BaseScore(state, word, behind), behind


def load_language_model(
    path: str | Path,
    alphabet: Alphabet,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    unk_score_offset: float | None = None,
    score_boundary: bool | None = None,
    unigrams: str | Path | None = None,
    case: Case | Literal["auto"] = "auto",
) -> NgramLanguageModel:
    """Load a language model for an alphabet.

    `path` is a folder as `Wav2Vec2ProcessorWithLM` saves it, the `language_model` folder inside one, an ARPA file, a
    file of `Ngrams.save` or a KenLM binary. Only the last needs kenlm; where it is installed it reads ARPA files too,
    large ones faster. Known words come from `unigrams` (a text file, one word per line), the folder or the model; a
    KenLM binary alone cannot tell them. What is None is taken from the folder's attrs.json, else from pyctcdecode's
    defaults. If the alphabet has only capitals and the model's words have none (or the other way round), words are
    turned into the model's case and a log line says so; `case` says it outright.

    Raises MissingExtraError for a KenLM binary without kenlm, CheckpointError for files that are missing or unreadable.
    """
    files = _find(Path(path))
    given: dict[str, Any] = {
        "alpha": alpha,
        "beta": beta,
        "unk_score_offset": unk_score_offset,
        "score_boundary": score_boundary,
    }
    options = replace(files.options, **{name: value for name, value in given.items() if value is not None})
    ngrams = _read_ngrams(files.model)
    words = _read_words(files, None if unigrams is None else Path(unigrams), ngrams)
    if words is None:
        _logger.warning("%s does not list its words; give them as `unigrams`, or decoding is worse", files.model)
        return NgramLanguageModel(ngrams, None, options, "as is" if case == "auto" else case)
    vocabulary = Vocabulary(words)
    chosen = _choose_case(vocabulary, alphabet, files.model) if case == "auto" else case
    return NgramLanguageModel(ngrams, words, options, chosen)


@dataclass(frozen=True, slots=True)
class _Files:
    model: Path
    unigrams: Path | None
    options: LanguageModelOptions


def _read_ngrams(path: Path) -> Ngrams | KenNgrams:
    if path.suffix == SUFFIX:
        return Ngrams.read(path)
    try:
        return KenNgrams.read(path)
    except MissingExtraError:
        if not is_arpa(path):
            raise
        return read_arpa(path)


def _kenlm() -> Any:
    try:
        import kenlm
    except ImportError as error:
        raise MissingExtraError("a language model in KenLM's binary format", "lm") from error
    return kenlm


def _find(path: Path) -> _Files:
    if path.is_file():
        return _Files(path, None, LanguageModelOptions())
    folder = path / "language_model" if (path / "language_model").is_dir() else path
    if not folder.is_dir():
        kinds = "a folder, an ARPA file, an .npz file or a KenLM binary"
        raise CheckpointError(f"there is no language model at {path}; give {kinds}")
    models = sorted(file for file in folder.iterdir() if file.suffix in _MODEL_SUFFIXES)
    if len(models) != 1:
        found = ", ".join(file.name for file in models) or "none"
        raise CheckpointError(f"{folder} must hold one file {' or '.join(_MODEL_SUFFIXES)}; found: {found}")
    unigrams = folder / "unigrams.txt"
    return _Files(models[0], unigrams if unigrams.is_file() else None, _read_options(folder / "attrs.json"))


def _read_options(path: Path) -> LanguageModelOptions:
    if not path.is_file():
        return LanguageModelOptions()
    try:
        attributes = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(attributes, Mapping):
            raise ValueError("it must be an object")
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    known = ("alpha", "beta", "unk_score_offset", "score_boundary")
    return LanguageModelOptions(**{name: attributes[name] for name in known if attributes.get(name) is not None})


def _read_words(files: _Files, unigrams: Path | None, ngrams: Ngrams | KenNgrams) -> Collection[str] | None:
    listed = unigrams or files.unigrams
    if listed is not None:
        try:
            return set(listed.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"the words of the language model cannot be read from {listed}: {error}") from error
    if isinstance(ngrams, Ngrams):
        return ngrams.words
    return read_arpa_words(files.model) if is_arpa(files.model) else None


def _choose_case(vocabulary: Vocabulary, alphabet: Alphabet, path: Path) -> Case:
    """The case in which the alphabet can spell most of the model's words; says so where it is not the words' own."""
    sample = vocabulary.sample()
    spelled: dict[Case, int] = {"as is": sum(alphabet.spellable(word) for word in sample)}
    # The alphabet's capitals are reached from the model's small letters, so the search turns its words the other way.
    spelled["lower"] = sum(word == word.lower() and alphabet.spellable(word.upper()) for word in sample)
    spelled["upper"] = sum(word == word.upper() and alphabet.spellable(word.lower()) for word in sample)
    chosen = max(spelled, key=lambda case: spelled[case])
    if chosen != "as is":
        _logger.warning(
            "the words of %s are %s case and the alphabet is not: they are matched regardless", path, chosen
        )
    if 2 * spelled[chosen] < len(sample):
        share = 100 * spelled[chosen] // len(sample)
        _logger.warning("the alphabet can spell only %d %% of the words of %s; is it of this language?", share, path)
    return chosen


def _recased(word: str, case: Case) -> str:
    if case == "lower":
        return word.lower()
    return word.upper() if case == "upper" else word
