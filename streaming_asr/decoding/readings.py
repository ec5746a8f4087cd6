"""What is told of a hypothesis: its words with their frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from streaming_asr.decoding.search import Beam, BeamWord, text_of
from streaming_asr.decoding.word_histories import Hypothesis, WordFrames, WordHistory


def beam_words(history: WordHistory, frames: WordFrames, skip: int) -> list[BeamWord]:
    """The words of a history behind its first `skip`, with their frames."""
    words = []
    node: WordHistory | None = history
    while node is not None and node.depth > skip and frames is not None:
        words.append(BeamWord.read(node.word, frames[1], frames[2]))
        frames, node = frames[0], node.parent
    return words[::-1]


def denied(log_weights: Sequence[float], shared: Sequence[int], words: int) -> list[float]:
    """For each of so many words, what share of the weight readings have that share no more than the words before it.

    `log_weights` of the readings are natural logarithms, `shared` says how many words each shares.
    """
    weights = [math.exp(weight) for weight in log_weights]
    lost = [0.0] * (words + 1)
    for weight, depth in zip(weights, shared, strict=True):
        lost[depth] += weight
    total = sum(weights)
    return [weight / total for weight in accumulate(lost[:-1])]


def as_beam(
    beam: Hypothesis, logit_score: float, score: float, skip: int = 0, *, finished: bool = False, state: Any = None
) -> Beam:
    """A hypothesis as it is told, without its first `skip` words."""
    _, (history, part), _, frames, start, end = beam
    words = beam_words(history, frames, skip)
    if part and history.depth >= skip:
        words.append(BeamWord.read(part, start, end))
    text = text_of(words)
    return Beam(
        text, tuple(words), score, logit_score, unfinished=bool(part) and not finished, language_model_state=state
    )
