"""How sure the model was of a word, from the frames on which it was said.

The measure is the Tsallis entropy of each frame's distribution with exponent 1/3, mapped exponentially to [0, 1]:
A. Laptev, B. Ginsburg, "Fast Entropy-Based Methods of Word-Level Confidence Estimation for End-to-End Automatic Speech
Recognition", SLT 2022, and the default of NeMo. CTC models are overconfident, so the greatest probability is nearly 1
for right and wrong words alike; a small exponent lets the mass on the rivals count, and tells them apart better.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from streaming_asr.audio import FloatArray
from streaming_asr.decoding.search import BeamWord

_EXPONENT: Final = 1 / 3


def frame_confidence(log_probs: FloatArray) -> FloatArray:
    """(frames, vocabulary) natural logarithms of probabilities -> (frames,) in [0, 1].

    1.0 where one token has all the probability, 0.0 where all tokens are alike.
    """
    tokens = log_probs.shape[-1]
    if tokens < 2:
        return np.ones(log_probs.shape[0])
    powers = np.exp(np.asarray(log_probs, dtype=np.float64) * _EXPONENT).sum(axis=-1)
    lowest = math.exp((1 - tokens ** (1 - _EXPONENT)) / (1 - _EXPONENT))
    confidence: FloatArray = (np.exp((1 - powers) / (1 - _EXPONENT)) - lowest) / (1 - lowest)
    return np.clip(confidence, 0.0, 1.0)


def spoken_frames(log_probs: FloatArray, blank: int) -> npt.NDArray[np.bool_]:
    """(frames, vocabulary) -> (frames,): whether some token is more probable than blank."""
    spoken: npt.NDArray[np.bool_] = log_probs.argmax(axis=-1) != blank
    return spoken


def word_confidence(word: BeamWord, confidence: FloatArray, spoken: npt.NDArray[np.bool_], first: int = 0) -> float:
    """Mean confidence, in [0, 1], of a word's frames that are not blank; of all its frames where all are.

    `confidence` and `spoken`, shape (frames,), begin with frame number `first`. Blank frames say nothing of a word and
    are nearly certain always, so they would only hide doubt. Without any of its frames a word has 0.0.
    """
    frames = slice(max(0, word.start_frame - first), max(0, word.end_frame - first))
    chosen = confidence[frames][spoken[frames]]
    chosen = chosen if len(chosen) else confidence[frames]
    return float(chosen.mean()) if len(chosen) else 0.0
