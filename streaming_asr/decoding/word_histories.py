"""The complete words that beams have read, each sequence kept once and shared by all beams that have it.

A `WordHistory` is a sequence of complete words: the last one, and a parent for those before it. Histories are interned:
two beams have read the same words if they hold the same object, and whatever scores the words by themselves (language
model, hotwords) is computed once, when the object is made. Those that no beam needs any more are swept out after every
few thousand new ones, so memory follows the live beams.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from functools import reduce
from typing import Any, Final, TypeAlias

from streaming_asr.decoding.alphabet import unmarked
from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.language_model import LanguageModel, WordLimits
from streaming_asr.decoding.phrases import NOTHING

_NEW_BETWEEN_SWEEPS: Final = 1024
"""Histories that are made before those without beams are swept out."""

_PART_SCORES: Final = 16_384
"""Scores of unfinished words that are kept; when there are more, all are forgotten."""


class WordHistory:
    """Complete words: `parent`'s and one more."""

    __slots__ = (
        "depth",
        "earlier_hotword_score",
        "extra_score",
        "hotword_count",
        "hotword_score",
        "jump",
        "language_score",
        "last_words",
        "parent",
        "phrases",
        "state",
        "word",
    )

    def __init__(self, parent: WordHistory | None, word: str, depth: int, state: Any) -> None:
        self.parent: Final = parent
        self.word: Final = word
        self.depth: Final = depth
        """How many words there are."""
        self.jump: Final = _jump(parent)
        """An ancestor further up: what makes `ancestor` and `shared_history` logarithmic in the number of words."""
        self.state = state
        """The language model's context behind the words."""
        self.last_words: tuple[str, ...] = ()
        """The last of the words, as many as the tree counts."""
        self.language_score = 0.0
        """The language model's score of the words."""
        self.hotword_score = 0.0
        """The score of the hotwords among the words."""
        self.hotword_count = 0
        """Hotwords among the words since hotwords were last changed."""
        self.earlier_hotword_score = 0.0
        """The score of the hotwords among the words until then."""
        self.phrases = NOTHING
        """What the phrases among the words have earned since hotwords were last changed."""
        self.extra_score = 0.0
        """The scores of language model and hotwords together."""


Prefix: TypeAlias = tuple[WordHistory, str]
"""What a beam has read: complete words, and the letters of the unfinished word behind them."""

WordFrames: TypeAlias = "tuple[WordFrames, int, int] | None"
"""Frames of the complete words, last word outermost: (those before it, start, end)."""

Hypothesis: TypeAlias = tuple[float, Prefix, int, WordFrames, int, int]
"""A beam: logit score, prefix, the last frame's token, frames of the complete words, start and end of the unfinished
one.

The start of an unfinished word without letters is -1.
"""


class WordHistoryTree:
    """The live histories under one language model and one set of hotwords.

    Args:
        language_model: scores words; None for none.
        hotwords: score words too.
        start: the language model's state before the first word; None for its own.
        base: words that an earlier tree has read, to grow on; their scores stay. Then `start` does not count.
        last_words: how many words `WordHistory.last_words` has.
    """

    def __init__(
        self,
        language_model: LanguageModel | None,
        hotwords: Hotwords,
        *,
        start: Any = None,
        base: WordHistory | None = None,
        last_words: int = 0,
    ) -> None:
        self.hotwords: Final = hotwords
        self.plain: Final = language_model is None and not hotwords and (base is None or not base.extra_score)
        """Whether nothing but the acoustic score counts."""
        self.adds_in_turn: Final = language_model is None
        """Whether the scores of words and of letters are added one after the other, as pyctcdecode does."""
        self.limits: Final = None if hotwords else limits_of(language_model)
        """The most that scores beside the acoustic one can still become; None if that is not known."""
        self.part_scores: Final[Mapping[str, float]] = _PartScores(language_model, hotwords)
        """The scores of the letters of unfinished words."""
        self._language_model = language_model
        self._last_words = last_words
        self._completed: dict[Prefix, WordHistory] = {}
        self._sweep_at = _NEW_BETWEEN_SWEEPS
        self.root: Final = self._root(start) if base is None else _regrown(base)

    def _root(self, start: Any) -> WordHistory:
        if self._language_model is None:
            return WordHistory(None, "", 0, None)
        return WordHistory(None, "", 0, self._language_model.start() if start is None else start)

    @property
    def size(self) -> int:
        """How many histories are kept."""
        return len(self._completed)

    def fork(self) -> WordHistoryTree:
        """A tree for beams that go their own way; what was read so far is shared."""
        return copy(self)

    def completed(self, prefix: Prefix) -> WordHistory:
        """The history whose last word is the prefix's unfinished word; the prefix's own if there is none."""
        if not prefix[1]:
            return prefix[0]
        history = self._completed.get(prefix)
        if history is None:
            history = self._completed[prefix] = self._grow(*prefix)
        return history

    def existing(self, prefix: Prefix) -> WordHistory | None:
        """The history that `completed` gives, if there is such a one already."""
        return self._completed.get(prefix) if prefix[1] else prefix[0]

    def _grow(self, parent: WordHistory, word: str) -> WordHistory:
        history = WordHistory(parent, word, parent.depth + 1, None)
        if self._last_words:
            history.last_words = (*parent.last_words, word)[-self._last_words :]
        if self.plain:
            return history
        spoken = unmarked(word)
        weight = self.hotwords.weights.get(spoken)
        history.hotword_count = parent.hotword_count + (weight is not None)
        history.earlier_hotword_score = parent.earlier_hotword_score
        if self.hotwords.uniform is not None:
            # A product rather than a sum, to round as pyctcdecode does.
            history.hotword_score = history.earlier_hotword_score + self.hotwords.uniform * history.hotword_count
        else:
            history.hotword_score = parent.hotword_score + (weight or 0.0)
        if self._language_model is not None:
            score, history.state = self._language_model.score(parent.state, spoken)
            history.language_score = parent.language_score + score
        history.extra_score = history.language_score + history.hotword_score
        if self.hotwords.phrases:
            history.phrases = self.hotwords.phrases.after(parent.phrases, spoken)
            history.extra_score += history.phrases.score
        return history

    def sweep(self, live: set[WordHistory]) -> None:
        """Now and then, let go of all histories that these need not be told apart from."""
        if len(self._completed) < self._sweep_at:
            return
        base = shared_history(live)
        # A new dictionary, since forks may still use the old one.
        self._completed = {}
        for history in live:
            node = history
            while node is not base and node.parent is not None and (node.parent, node.word) not in self._completed:
                self._completed[node.parent, node.word] = node
                node = node.parent
        # Beams may disagree for long; doubling keeps the cost of sweeps in proportion to what was made in between.
        self._sweep_at = max(2 * len(self._completed), _NEW_BETWEEN_SWEEPS)

    def totals(self, beams: list[Hypothesis]) -> list[float]:
        """What beams are ordered by: logit score and bonuses, in pyctcdecode's order of additions."""
        if self.plain:
            return [beam[0] for beam in beams]
        parts = self.part_scores
        if self.hotwords.phrases:
            extra = self._extra_score
            return [logit + extra(prefix) for logit, prefix, _, _, _, _ in beams]
        if self._language_model is None:
            return [logit + prefix[0].extra_score + parts[prefix[1]] for logit, prefix, _, _, _, _ in beams]
        return [logit + (prefix[0].extra_score + parts[prefix[1]]) for logit, prefix, _, _, _, _ in beams]

    def _extra_score(self, prefix: Prefix) -> float:
        """Bonuses with those of phrases, which may go on into the unfinished word."""
        history, part = prefix
        gain = self.hotwords.phrases.gain(history.phrases, unmarked(part))
        return history.extra_score + self.part_scores[part] + gain

    def final_totals(self, beams: list[Hypothesis]) -> list[float]:
        """What beams are ordered by at the end of their sentence."""
        return [beam[0] + self._final_extra_score(beam[1]) for beam in beams]

    def final_state(self, prefix: Prefix) -> Any:
        """The language model's context behind the end of a sentence; None without a language model.

        As in pyctcdecode, a sentence that ends with a delimiter ends with an unknown word.
        """
        history, word = prefix
        if self._language_model is None or word:
            return self.completed(prefix).state
        return self._language_model.score(history.state, word)[1]

    def _final_extra_score(self, prefix: Prefix) -> float:
        completed = self.completed(prefix)
        hotword_score = completed.hotword_score + completed.phrases.earned
        if self._language_model is None:
            return hotword_score
        history, word = prefix
        return (history.language_score + self._language_model.score_last(history.state, unmarked(word))) + hotword_score


class _PartScores(dict[str, float]):
    """The score of the letters of an unfinished word, remembered up to a number of words."""

    def __init__(self, language_model: LanguageModel | None, hotwords: Hotwords) -> None:
        super().__init__({"": 0.0})
        self._language_model = language_model
        self._hotwords = hotwords if hotwords else None

    def __missing__(self, part: str) -> float:
        spoken = unmarked(part)
        score = None if self._hotwords is None else self._hotwords.partial(spoken)
        if score is None:
            score = 0.0 if self._language_model is None else self._language_model.score_partial(spoken)
        if len(self) >= _PART_SCORES:
            self.clear()
            self[""] = 0.0
        self[part] = score
        return score


def limits_of(language_model: LanguageModel | None) -> WordLimits | None:
    """The most that a language model can give; None if that is not known."""
    return WordLimits() if language_model is None else getattr(language_model, "limits", None)


def _regrown(base: WordHistory) -> WordHistory:
    """The same words for another tree, with what they earned, where hotwords are counted from 0 again."""
    root = WordHistory(base.parent, base.word, base.depth, base.state)
    root.last_words = base.last_words
    root.language_score = base.language_score
    root.extra_score = base.extra_score - base.phrases.promised
    root.earlier_hotword_score = root.hotword_score = base.hotword_score + base.phrases.earned
    return root


def words_of(history: WordHistory, skip: int) -> list[str]:
    """The words of a history behind its first `skip`."""
    words = []
    node: WordHistory | None = history
    while node is not None and node.depth > skip:
        words.append(node.word)
        node = node.parent
    return words[::-1]


def ancestor(history: WordHistory, depth: int) -> WordHistory | None:
    """The history of the first `depth` words; None if there are fewer."""
    node = history
    while node.depth > depth:
        far = node.jump is not None and node.jump.depth >= depth
        node = _required(node.jump if far else node.parent)
    return node if node.depth == depth else None


def shared_history(histories: Iterable[WordHistory]) -> WordHistory:
    """The longest history with which all of these, of one tree, begin."""
    return reduce(_shared_by_two, histories)


def _shared_by_two(one: WordHistory, other: WordHistory) -> WordHistory:
    depth = min(one.depth, other.depth)
    left, right = _required(ancestor(one, depth)), _required(ancestor(other, depth))
    while left is not right:
        # Where a node's jump leads depends on its depth alone, so both sides stay level.
        far = left.jump is not right.jump
        left, right = _required(left.jump if far else left.parent), _required(right.jump if far else right.parent)
    return left


def _jump(parent: WordHistory | None) -> WordHistory | None:
    """Where a child of this history jumps: jumps of doubling length (E. Myers, Inf. Proc. Letters 17, 1983)."""
    if parent is None or parent.jump is None or parent.jump.jump is None:
        return parent
    even = parent.depth - parent.jump.depth == parent.jump.depth - parent.jump.jump.depth
    return parent.jump.jump if even else parent


def _required(history: WordHistory | None) -> WordHistory:
    assert history is not None, "histories of one tree have a common root"
    return history
