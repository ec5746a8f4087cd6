"""From rows of log-probabilities to the few tokens that a search must look at, a whole chunk at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import FloatArray
from streaming_asr.errors import OptionError

LOWEST_PROB: Final = 1e-15
"""Lower probabilities count as this one, as in pyctcdecode."""

LOWEST_LOG_PROB: Final = math.log(LOWEST_PROB)


BusyFrame: TypeAlias = tuple[int, list[int], list[float]]
"""A frame with more to say than blank: its index, its candidate tokens and their scores."""


@dataclass(frozen=True, slots=True)
class FrameScan:
    """A chunk seen by the search: `busy` frames, and for every frame the score of its most probable token."""

    busy: list[BusyFrame]
    best: list[float]


def check_log_probs(log_probs: FloatArray, vocabulary: int) -> FloatArray:
    """The array itself, shape (frames, vocabulary), in float32 or float64; raises OptionError for anything else."""
    array = np.asarray(log_probs)
    if array.ndim != 2 or array.shape[1] != vocabulary:
        raise OptionError(f"log-probabilities have shape {array.shape}; (frames, {vocabulary}) is needed")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    if np.isnan(array).any():
        raise OptionError("log-probabilities contain NaN; every value must be a natural logarithm, at most 0")
    return array


def clip_log_probs(log_probs: FloatArray) -> FloatArray:
    """(frames, vocabulary) -> the same shape, between `LOWEST_LOG_PROB` and 0, in the precision of the input."""
    clipped: FloatArray = np.clip(log_probs, log_probs.dtype.type(LOWEST_LOG_PROB), 0)
    return clipped


def scan_frames(log_probs: FloatArray, token_min_logp: float, is_blank: npt.NDArray[np.bool_]) -> FrameScan:
    """Find the busy frames of clipped log-probabilities, shape (frames, vocabulary), and their candidate tokens.

    Candidates are the tokens of at least `token_min_logp`, and the most probable one. A frame is busy unless blank is
    its only candidate. `is_blank`, shape (vocabulary,), tells blank from other tokens.
    """
    if not len(log_probs):
        return FrameScan([], [])
    winners = log_probs.argmax(axis=1)
    best = log_probs.max(axis=1).tolist()
    likely = log_probs >= log_probs.dtype.type(token_min_logp)
    counts = np.count_nonzero(likely, axis=1)
    indices = np.flatnonzero((counts > 1) | ~is_blank[winners])
    rows, columns = np.nonzero(likely[indices])
    tokens, scores = columns.tolist(), log_probs[indices[rows], columns].tolist()
    busy = []
    begin = 0
    for index, winner, count in zip(indices.tolist(), winners[indices].tolist(), counts[indices].tolist(), strict=True):
        if count:
            busy.append(_in_order(index, winner, tokens[begin : begin + count], scores[begin : begin + count]))
        else:
            busy.append((index, [winner], [best[index]]))
        begin += count
    return FrameScan(busy, best)


def _in_order(index: int, winner: int, tokens: list[int], scores: list[float]) -> BusyFrame:
    # Scores of equal texts are added up, and ties are broken, in the order in which pyctcdecode walks its set.
    order = list(set(tokens) | {winner})
    if order == tokens:
        return index, tokens, scores
    score_of = dict(zip(tokens, scores, strict=True))
    return index, order, [score_of[token] for token in order]
