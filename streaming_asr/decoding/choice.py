"""Which beams can matter in a frame: the others are left out before anything is made of them.

After a frame, a reading far below the best one is dropped. How low a reading will be is bounded before it is
made: the total of its beam, the score of the token, and what a language model can give at most. All beams that come to
the same reading are taken or left together, so that what is kept has every part of its probability.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    best = [first.setdefault(beam[1], place) for place, beam in enumerate(beams)]
    # At most so many beams share a prefix, and beams of two prefixes at most come to one reading.
    alike = 1 if len(first) == len(beams) else max(Counter(best).values())
    floor = prune + max(_grown(tree, alphabet, beams[0], totals[0], token, score) for token, score in frame)
    least = floor - math.log(2 * alike) - _ROUNDING
    return Choice(tree, alphabet, beams, totals, tree.limits, first, best, least)


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
        first: for each prefix the place of its best beam.
        best: for each beam the place of the best one with the same prefix.
        least: a reading all of whose beams stay below this will be dropped.
    """

    tree: WordHistoryTree
    alphabet: Alphabet
    beams: Sequence[Hypothesis]
    totals: Sequence[float]
    limits: WordLimits
    first: Mapping[Prefix, int]
    best: Sequence[int]
    least: float

    def by_blank(self, score: float) -> Sequence[Hypothesis]:
        """The beams to extend by blank."""
        totals, wanted = self.totals, self.least - score
        if totals[-1] >= wanted:
            return self.beams
        return [beam for beam, best in zip(self.beams, self.best, strict=True) if totals[best] >= wanted]

    def by_letters(self, token: int, score: float) -> Sequence[Hypothesis]:
        """The beams to extend by a token that goes on with a word, or repeats the last token."""
        beams, first, wanted = self.beams, self.first, self.least - score
        label = self.alphabet.labels[token]
        shorter = -len(label)
        # What a beam stays that repeats the token, the beams without the token become: these are taken together.
        repeating = [prefix for _, prefix, last, *_ in beams if last == token]
        taken = {first.get((history, part[:shorter])) for history, part in repeating}
        taken.update(map(first.__getitem__, repeating))
        scores, plain = self.tree.part_scores, self.tree.plain
        for prefix, place in first.items():
            total = self.totals[place]
            if total < wanted or place in taken:
                continue
            part = prefix[1]
            if plain or total - scores[part] + scores[part + label] >= wanted:
                taken.add(place)
        return [beam for beam, best in zip(beams, self.best, strict=True) if best in taken]

    def by_opening(self, token: int, score: float) -> Sequence[Hypothesis]:
        """The beams to extend by a token that ends the word before it."""
        wanted = self.least - score
        known, unknown = self.limits.known, self.limits.unknown
        parts, existing = self.tree.part_scores, self.tree.existing
        best: dict[WordHistory | Prefix, float] = {}
        keys: list[WordHistory | Prefix] = []
        for (logit, prefix, last, *_), total in zip(self.beams, self.totals, strict=True):
            history, part = prefix
            key: WordHistory | Prefix = history
            if last != token and part:
                completed = existing(prefix)
                key = completed or prefix
                if completed is not None:
                    total = logit + completed.extra_score
                else:
                    earned = parts[part]
                    total += known if earned == 0.0 else unknown - earned
            keys.append(key)
            if total > best.get(key, -math.inf):
                best[key] = total
        return [beam for beam, key in zip(self.beams, keys, strict=True) if best[key] >= wanted]
