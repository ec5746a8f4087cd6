"""Which beams can matter in a frame: the others are left out before anything is made of them.

After a frame, a reading far below the best one is dropped. How low a reading will be is bounded before it is
made: the total of its beam, the score of the token, and what a language model can give at most. All beams that come to
the same reading are taken or left together, so that what is kept has every part of its probability.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import neg
from typing import Final

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.language_model import WordLimits
from streaming_asr.decoding.word_histories import Hypothesis, Prefix, WordHistory, WordHistoryTree

_ROUNDING: Final = 1e-6


def choose(
    tree: WordHistoryTree,
    alphabet: Alphabet,
    beams: Sequence[Hypothesis],
    totals: Sequence[float],
    frame: Sequence[tuple[int, float]],
    prune: float,
) -> Choice | None:
    """The choice for a frame of tokens with their scores; None where all beams are to be taken.

    `prune` is how far below the best a reading may be, a negative number.
    """
    tokens = [token for token, _ in frame]
    if tree.limits is None or len(beams) < 2 or len(set(tokens)) < max(2, len(tokens)) or alphabet.by_character:
        return None
    if any(map(alphabet.closes.__getitem__, tokens)):
        # Behind such a token, what begins a word depends on the beams before.
        return None
    first: dict[Prefix, int] = {}
    later: list[tuple[int, int]] = []
    for place, beam in enumerate(beams):
        best = first.setdefault(beam[1], place)
        if best != place:
            later.append((best, place))
    # So many beams at most share a prefix, and beams of two prefixes at most come to one reading.
    alike = 2 if len({best for best, _ in later}) == len(later) else len(later) + 1
    floor = prune + max(_grown(tree, alphabet, beams[0], totals[0], token, score) for token, score in frame)
    least = floor - math.log(2 * alike) - _ROUNDING
    return Choice(tree, alphabet, beams, totals, tree.limits, first, later, least)


def _grown(
    tree: WordHistoryTree, alphabet: Alphabet, beam: Hypothesis, total: float, token: int, score: float
) -> float:
    """The total of a beam with one more token, before equal readings are added."""
    logit, (history, part), last, *_ = beam
    if token in (alphabet.blank, last):
        return total + score
    if alphabet.opens[token]:
        history, part = tree.completed((history, part)), alphabet.pieces[token]
    else:
        part += alphabet.labels[token]
    return logit + score + history.extra_score + tree.part_scores[part]


@dataclass(frozen=True, slots=True)
class Choice:
    """The beams of one frame, best first, `totals` (what they are ordered by), and the least total worth making.

    Attributes:
        first: for each prefix its best beam's place.
        later: places of beams that share their prefix with a better one, rising, each behind the best one's place.
        least: a reading all of whose beams stay below this will be dropped.
    """

    tree: WordHistoryTree
    alphabet: Alphabet
    beams: Sequence[Hypothesis]
    totals: Sequence[float]
    limits: WordLimits
    first: dict[Prefix, int]
    later: Sequence[tuple[int, int]]
    least: float

    def by_blank(self, score: float) -> Sequence[Hypothesis]:
        """The beams to extend by blank."""
        return self._taken(self._better(score), ())

    def by_letters(self, token: int, score: float) -> Sequence[Hypothesis]:
        """The beams to extend by a token that goes on with a word, or repeats the last token."""
        better = self._better(score)
        if better == len(self.beams):
            return self.beams
        more: list[int] = []
        shorter = -len(self.alphabet.labels[token])
        for place, (_, (history, part), last, *_) in enumerate(self.beams):
            if last != token:
                continue
            # What this beam stays, the beams without the token become.
            best = self.first.get((history, part[:shorter]))
            if best is None or (place < better) == (best < better):
                continue
            if best < better:
                more.append(place)
            else:
                more += [best, *(other for first, other in self.later if first == best)]
        return self._taken(better, more)

    def by_opening(self, token: int, score: float) -> Sequence[Hypothesis]:
        """The beams to extend by a token that ends the word before it."""
        wanted = self.least - score
        known, unknown = self.limits.known, self.limits.unknown
        parts, existing = self.tree.part_scores, self.tree.existing
        best: dict[WordHistory | Prefix, float] = {}
        keys: list[WordHistory | Prefix] = []
        for (_, prefix, last, *_), total in zip(self.beams, self.totals, strict=True):
            history, part = prefix
            if last == token or not part:
                key: WordHistory | Prefix = history
            else:
                key = existing(prefix) or prefix
                earned = parts[part]
                total += known if earned == 0.0 else unknown - earned
            keys.append(key)
            if total > best.get(key, -math.inf):
                best[key] = total
        return [beam for beam, key in zip(self.beams, keys, strict=True) if best[key] >= wanted]

    def _better(self, score: float) -> int:
        """How many beams stay at or above the least total with a token of this score."""
        return bisect_right(self.totals, score - self.least, key=neg)

    def _taken(self, better: int, more: Sequence[int]) -> Sequence[Hypothesis]:
        """The first `better` beams, those that share a prefix with one of them, and more, in their order."""
        if better == len(self.beams):
            return self.beams
        places = [place for best, place in self.later if best < better <= place]
        if more:
            places = sorted({*places, *(place for place in more if place >= better)})
        return [*self.beams[:better], *(self.beams[place] for place in places)]
