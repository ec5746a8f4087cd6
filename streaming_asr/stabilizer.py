"""Beams in, two texts out: `committed`, which never changes again, and the tail behind it, which may.

A word is committed as soon as all live beams agree on it: beams only ever grow, so no later frame can revise it.
Where they disagree, the best beam decides as soon as the others have little enough of the probability, and the others
are dropped. How little is enough rises with the age of the word, from nothing to all at the agreement delay, so that
the lag of the committed text is bounded. The tail, and what share of the probability each beam has, are read from a
fork of the search that has seen the lookahead too; those provisional frames never reach the search itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Beam, BeamWord, Search, frame_confidence, spoken_frames, text_of, word_confidence

_PATIENCE: Final = 4
"""The power of a word's age, over the agreement delay, that is the share of probability which may deny the word.

Of 277 recordings of unheard speakers, replayed with the embedded model and a delay of 1 s, half the words stood after
1.14 s with the power 3, 1.19 s with 4, 1.28 s with 6, and 1.53 s where other beams could deny them up to the delay
however improbable they were. Words wrong were 34.8, 34.7, 34.6 and 34.7 %, the mean of six kinds of speech.
"""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an utterance says so far: the best beam's `words`, of which the first `committed` stand.

    `unfinished` says that the last word may still grow.
    """

    words: tuple[BeamWord, ...]
    committed: int
    unfinished: bool = False

    @property
    def committed_text(self) -> str:
        return text_of(self.words[: self.committed])

    @property
    def tail_text(self) -> str:
        return text_of(self.words[self.committed :])

    @property
    def joined(self) -> bool:
        """Whether the tail follows the committed text without a space."""
        return 0 < self.committed < len(self.words) and self.words[self.committed].joined


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What frames say of the words on them: how sure each is, and whether it is not blank, both (frames,)."""

    confidence: FloatArray
    spoken: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, log_probs: FloatArray, blank: int) -> Self:
        return cls(frame_confidence(log_probs, blank), spoken_frames(log_probs, blank))

    def __add__(self, more: Self) -> Self:
        both = np.concatenate([self.confidence, more.confidence]), np.concatenate([self.spoken, more.spoken])
        return replace(self, confidence=both[0], spoken=both[1])


class Stabilizer:
    """One utterance's search and what of its words stands.

    `agreement_delay` is in frames: a word of the best beam that ended so long ago is committed even if other beams
    disagree, and an earlier one if they are improbable; None waits until they agree. `held` are words that stand when
    the utterance is decoded anew after a fault; they stay, whatever the search says this time.
    """

    def __init__(self, search: Search, *, agreement_delay: int | None, held: Sequence[BeamWord] = ()) -> None:
        self.search = search
        self._delay = agreement_delay
        self._committed = tuple(held)
        self._evidence = _Evidence.of(np.zeros((0, 2)), 0)
        self._provisional = self._evidence

    @property
    def frames(self) -> int:
        """Frames pushed so far."""
        return self.search.frames

    @property
    def committed(self) -> tuple[BeamWord, ...]:
        """The words that stand."""
        return self._committed

    def best(self) -> Beam:
        """The best beam as it stands, without the lookahead."""
        return self._with_standing(self.search.beams(1)[0])

    def push(self, log_probs: FloatArray, lookahead: FloatArray) -> Hypothesis:
        """Decode frames, both (frames, vocabulary) in natural logarithms; `lookahead` affects the tail only."""
        self.search.push(log_probs)
        blank = self.search.alphabet.blank
        self._evidence += _Evidence.of(log_probs, blank)
        self._provisional = self._evidence + _Evidence.of(lookahead, blank)
        provisional = self.search
        if len(lookahead):
            provisional = self.search.fork()
            provisional.push(lookahead)
        self._commit(provisional)
        best = provisional.beams(1)[0]
        words = self._standing(best.words)
        return Hypothesis(words, len(self._committed), best.unfinished and len(words) > len(self._committed))

    def finish(self, limit: int) -> list[Beam]:
        """The finished beams, best first, at most `limit`; all begin with the committed words."""
        return [self._with_standing(beam) for beam in self.search.finish(limit)]

    def word_confidence(self, word: BeamWord) -> float:
        """Confidence in a word of the last hypothesis, in [0, 1]: see `decoding.confidence`."""
        return word_confidence(word, self._provisional.confidence, self._provisional.spoken)

    def _commit(self, provisional: Search) -> None:
        """Extend the committed words by what all beams agree on, or by what the best one says with little doubt."""
        agreed = self.search.agreed()
        if len(agreed) > len(self._committed):
            self._committed = self._standing(agreed)
        if self._delay is None:
            return
        due = (*agreed, *self._credible(provisional, len(agreed), self._delay))
        if len(due) <= len(self._committed):
            return
        words = [word.text for word in due]
        held = self.search.holdable(words, len(agreed))
        if held > len(self._committed):
            self.search.hold(words[:held])
            self._committed = self._standing(due[:held])

    def _credible(self, provisional: Search, skip: int, delay: int) -> tuple[BeamWord, ...]:
        """The complete words of the best beam, behind the first `skip`, that others deny with little probability."""
        best = provisional.beams(1, skip)[0]
        complete = best.words[: len(best.words) - best.unfinished]
        for place, (word, doubt) in enumerate(zip(complete, provisional.doubts(skip), strict=True)):
            age = max(0, self.frames - word.end_frame)
            if age < delay and doubt > (age / delay) ** _PATIENCE:
                return complete[:place]
        return complete

    def _standing(self, words: Sequence[BeamWord]) -> tuple[BeamWord, ...]:
        """These words, with the committed ones in front as they were when they were committed."""
        rest = words[len(self._committed) :]
        if not self._committed or not rest or rest[0].start_frame >= self._committed[-1].end_frame:
            return (*self._committed, *rest)
        # The best beam is another one by now, and may have read the letters behind earlier.
        border = self._committed[-1].end_frame
        return (*self._committed, *(_not_before(word, border) for word in rest))

    def _with_standing(self, beam: Beam) -> Beam:
        words = self._standing(beam.words)
        return replace(beam, text=text_of(words), words=words)


def _not_before(word: BeamWord, frame: int) -> BeamWord:
    return replace(word, start_frame=max(word.start_frame, frame), end_frame=max(word.end_frame, frame))
