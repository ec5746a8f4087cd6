"""Which of several languages an utterance is in: its first seconds are decoded in each, and the best one goes on.

The score of a language is the mean log-probability per frame of the best label, blank included: a network that knows
what it hears is sure of its labels, and of where there are none (parallel recognition; Zissman 1996, section III.D). A
language in which nothing was said yet is behind every other. The confidence of the winner is the softmax over the
scores, each times the number of independent frames: neighbouring frames hear the same sound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streaming_asr.decoding import Search
from streaming_asr.events import DetectedLanguage
from streaming_asr.model import EncoderStream
from streaming_asr.text import Formatter
from streaming_asr.utterance import Utterance

DETECTION_MS: Final = 2_400
"""So much of an utterance is decoded in all candidates; a shorter one is decided at its end."""

MAXIMUM_CANDIDATES: Final = 8
"""The most languages that one utterance is decoded in."""

_INDEPENDENT_MS: Final = 80
"""About the length of a speech sound: frames that are nearer to each other are one observation."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoding:
    """How the utterances of a session are decoded in one language.

    `language` is its code, if it is known. `special` are columns of the vocabulary that are never text; `formatter`
    formats the words for those who read, and knows by their sense when a turn ends; None does neither.
    """

    language: str | None
    open_encoder: Callable[[], EncoderStream]
    open_search: Callable[[], Search]
    special: Sequence[int] = ()
    formatter: Formatter | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An utterance as one language hears it."""

    decoding: Decoding
    utterance: Utterance

    @property
    def score(self) -> tuple[bool, float]:
        """Whether anything was said, and the mean log-probability per frame."""
        return bool(self.utterance.hypothesis.words), self.utterance.certainty


@dataclass(frozen=True, slots=True)
class Decision:
    """The candidate that goes on, and what is told of it."""

    winner: Candidate
    detected: DetectedLanguage | None


def decide(candidates: Sequence[Candidate], *, frame_ms: float) -> Decision:
    """The best candidate; of equal ones the first."""
    winner = max(candidates, key=lambda candidate: candidate.score)
    language = winner.decoding.language
    if language is None:
        return Decision(winner, None)
    observations = winner.utterance.stabilizer.frames * frame_ms / _INDEPENDENT_MS
    rivals = [candidate for candidate in candidates if candidate.score[0] == winner.score[0]]
    best = winner.score[1]
    odds = sum(math.exp((rival.score[1] - best) * observations) for rival in rivals)
    return Decision(winner, DetectedLanguage(language, 1.0 / odds))
