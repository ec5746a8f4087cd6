"""The complete words that beams have read, each sequence kept once and shared by all beams that have it.

A `History` is a sequence of complete words: the last one, and a parent for those before it. Histories are interned: two
beams have read the same words if they hold the same object, and whatever scores the words by themselves (language
model, hotwords) is computed once, when the object is made. Those that no beam needs any more are swept out after every
few thousand new ones, so memory follows the live beams.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from functools import reduce
from typing import Any, Final, TypeAlias

from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.language_model import LanguageModel

_NEW_BETWEEN_SWEEPS: Final = 1024
"""Histories that are made before those without beams are swept out."""

_PART_SCORES: Final = 16_384
"""Scores of unfinished words that are kept; when there are more, all are forgotten."""


class History:
    """Complete words: `parent`'s and one more."""

    __slots__ = ("bonus", "depth", "hits", "hot", "hot_before", "jump", "parent", "spoken", "state", "word")

    def __init__(self, parent: History | None, word: str, depth: int, state: Any) -> None:
        self.parent: Final = parent
        self.word: Final = word
        self.depth: Final = depth
        """How many words there are."""
        self.jump: Final = _jump(parent)
        """An ancestor further up: what makes `ancestor` and `shared_history` logarithmic in the number of words."""
        self.state = state
        """What the language model remembers of the words."""
        self.spoken = 0.0
        """What the language model gives for the words."""
        self.hot = 0.0
        """What hotwords give for the words."""
        self.hits = 0
        """Hotwords among the words since hotwords were last changed."""
        self.hot_before = 0.0
        """What hotwords gave for the words until then."""
        self.bonus = 0.0
        """What language model and hotwords give together."""


Text: TypeAlias = tuple[History, str]
"""What a beam has read: complete words, and the letters of the unfinished word behind them."""


Spans: TypeAlias = "tuple[Spans, int, int] | None"
"""Frames of the complete words, last word outermost: (those before it, start, end)."""

Reading: TypeAlias = tuple[float, Text, int, Spans, int, int]
"""A beam: logit score, text, the last frame's token, frames of the complete words, start and end of the unfinished one.

The start of an unfinished word without letters is -1.
"""


class HistoryTree:
    """The live histories under one language model and one set of hotwords.

    Args:
        language_model: scores words; None for none.
        hotwords: score words too.
        start: the language model's state before the first word; None for its own.
        trunk: words that an earlier tree has read, to grow on; what they earned stays. Then `start` does not count.
    """

    def __init__(
        self,
        language_model: LanguageModel | None,
        hotwords: Hotwords,
        *,
        start: Any = None,
        trunk: History | None = None,
    ) -> None:
        self.hotwords: Final = hotwords
        self.plain: Final = language_model is None and not hotwords and (trunk is None or not trunk.bonus)
        """Whether nothing but the acoustic score counts."""
        self._language_model = language_model
        self._part_scores: Final = _PartScores(language_model, hotwords)
        self._closed: dict[Text, History] = {}
        self._sweep_at = _NEW_BETWEEN_SWEEPS
        self.root: Final = self._root(start) if trunk is None else _regrown(trunk)

    def _root(self, start: Any) -> History:
        if self._language_model is None:
            return History(None, "", 0, None)
        return History(None, "", 0, self._language_model.start() if start is None else start)

    @property
    def size(self) -> int:
        """How many histories are kept."""
        return len(self._closed)

    def fork(self) -> HistoryTree:
        """A tree for beams that go their own way; what was read so far is shared."""
        return copy(self)

    def closed(self, text: Text) -> History:
        """The history whose last word is the text's unfinished word; the text's own if there is none."""
        if not text[1]:
            return text[0]
        history = self._closed.get(text)
        if history is None:
            history = self._closed[text] = self._grow(*text)
        return history

    def known(self, text: Text) -> History | None:
        """The history that `closed` gives, if there is such a one already."""
        return self._closed.get(text) if text[1] else text[0]

    def _grow(self, parent: History, word: str) -> History:
        history = History(parent, word, parent.depth + 1, None)
        if self.plain:
            return history
        weight = self.hotwords.weights.get(word)
        history.hits = parent.hits + (weight is not None)
        history.hot_before = parent.hot_before
        if self.hotwords.uniform is not None:
            # A product rather than a sum, to round as pyctcdecode does.
            history.hot = history.hot_before + self.hotwords.uniform * history.hits
        else:
            history.hot = parent.hot + (weight or 0.0)
        if self._language_model is not None:
            score, history.state = self._language_model.score(parent.state, word)
            history.spoken = parent.spoken + score
        history.bonus = history.spoken + history.hot
        return history

    def sweep(self, live: set[History]) -> None:
        """Now and then, let go of all histories that these need not be told apart from."""
        if len(self._closed) < self._sweep_at:
            return
        trunk = shared_history(live)
        # A new dictionary, since forks may still use the old one.
        self._closed = {}
        for history in live:
            node = history
            while node is not trunk and node.parent is not None and (node.parent, node.word) not in self._closed:
                self._closed[node.parent, node.word] = node
                node = node.parent
        # Beams may disagree for long; doubling keeps the cost of sweeps in proportion to what was made in between.
        self._sweep_at = max(2 * len(self._closed), _NEW_BETWEEN_SWEEPS)

    def totals(self, beams: list[Reading]) -> list[float]:
        """What beams are ordered by: logit score and bonuses, in pyctcdecode's order of additions."""
        if self.plain:
            return [beam[0] for beam in beams]
        parts = self._part_scores
        if self._language_model is None:
            return [logit + text[0].bonus + parts[text[1]] for logit, text, _, _, _, _ in beams]
        return [logit + (text[0].bonus + parts[text[1]]) for logit, text, _, _, _, _ in beams]

    def final_totals(self, beams: list[Reading]) -> list[float]:
        """What beams are ordered by at the end of their sentence."""
        return [beam[0] + self._final_bonus(beam[1]) for beam in beams]

    def _final_bonus(self, text: Text) -> float:
        hot = self.closed(text).hot
        if self._language_model is None:
            return hot
        history, word = text
        return (history.spoken + self._language_model.score_last(history.state, word)) + hot


class _PartScores(dict[str, float]):
    """The score of the letters of an unfinished word, remembered up to a number of words."""

    def __init__(self, language_model: LanguageModel | None, hotwords: Hotwords) -> None:
        super().__init__({"": 0.0})
        self._language_model = language_model
        self._hotwords = hotwords

    def __missing__(self, part: str) -> float:
        score = self._hotwords.partial(part)
        if score is None:
            score = 0.0 if self._language_model is None else self._language_model.score_partial(part)
        if len(self) >= _PART_SCORES:
            self.clear()
            self[""] = 0.0
        self[part] = score
        return score


def _regrown(trunk: History) -> History:
    """The same words for another tree, with what they earned, where hotwords are counted from 0 again."""
    root = History(trunk.parent, trunk.word, trunk.depth, trunk.state)
    root.spoken, root.bonus = trunk.spoken, trunk.bonus
    root.hot_before = root.hot = trunk.hot
    return root


def words_of(history: History, skip: int) -> list[str]:
    """The words of a history behind its first `skip`."""
    words = []
    node: History | None = history
    while node is not None and node.depth > skip:
        words.append(node.word)
        node = node.parent
    return words[::-1]


def ancestor(history: History, depth: int) -> History | None:
    """The history of the first `depth` words; None if there are fewer."""
    node = history
    while node.depth > depth:
        far = node.jump is not None and node.jump.depth >= depth
        node = _known(node.jump if far else node.parent)
    return node if node.depth == depth else None


def shared_history(histories: Iterable[History]) -> History:
    """The longest history with which all of these, of one tree, begin."""
    return reduce(_shared_by_two, histories)


def _shared_by_two(one: History, other: History) -> History:
    depth = min(one.depth, other.depth)
    left, right = _known(ancestor(one, depth)), _known(ancestor(other, depth))
    while left is not right:
        # Where a node's jump leads depends on its depth alone, so both sides stay level.
        far = left.jump is not right.jump
        left, right = _known(left.jump if far else left.parent), _known(right.jump if far else right.parent)
    return left


def _jump(parent: History | None) -> History | None:
    """Where a child of this history jumps: jumps of doubling length (E. Myers, Inf. Proc. Letters 17, 1983)."""
    if parent is None or parent.jump is None or parent.jump.jump is None:
        return parent
    even = parent.depth - parent.jump.depth == parent.jump.depth - parent.jump.jump.depth
    return parent.jump.jump if even else parent


def _known(history: History | None) -> History:
    assert history is not None, "histories of one tree have a common root"
    return history
