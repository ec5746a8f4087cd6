"""Beams in, two texts out: `committed`, which never changes again, and the tail behind it, which may.

A word is committed as soon as all live beams agree on it: beams only ever grow, so no later frame can revise it.
Where they do not agree for longer than the agreement delay, the best beam decides and the others are dropped, so that
the lag of the committed text is bounded. The tail is read from a fork of the search that has seen the lookahead too;
those provisional frames never reach the search itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Beam, BeamWord, Search, frame_confidence, spoken_frames, text_of, word_confidence


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What an utterance says so far: the best beam's `words`, of which the first `committed` stand."""

    words: tuple[BeamWord, ...]
    committed: int

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
    disagree; None waits until they agree. `held` are words that stand when the utterance is decoded anew after a
    fault; they stay, whatever the search says this time.
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
        self._commit()
        provisional = self.search
        if len(lookahead):
            provisional = self.search.fork()
            provisional.push(lookahead)
        return Hypothesis(self._standing(provisional.beams(1)[0].words), len(self._committed))

    def finish(self, limit: int) -> list[Beam]:
        """The finished beams, best first, at most `limit`; all begin with the committed words."""
        return [self._with_standing(beam) for beam in self.search.finish(limit)]

    def word_confidence(self, word: BeamWord) -> float:
        """Confidence in a word of the last hypothesis, in [0, 1]: see `decoding.confidence`."""
        return word_confidence(word, self._provisional.confidence, self._provisional.spoken)

    def _commit(self) -> None:
        """Extend the committed words by what all beams agree on, or by what the best beam has said long ago."""
        agreed = self.search.agreed()
        if len(agreed) > len(self._committed):
            self._committed = self._standing(agreed)
        if self._delay is None:
            return
        best = self.search.beams(1)[0].words
        due = [word for word in best[:-1] if word.end_frame <= self.frames - self._delay]
        if len(due) > len(self._committed):
            self.search.hold([word.text for word in due])
            self._committed = self._standing(due)

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
