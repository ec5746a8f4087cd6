"""Running statistics of a stream: the level of its audio, and what the group norm of the first layer measures.

An offline model normalizes by the mean and variance of the whole utterance. A stream knows only the audio so far,
so it keeps running moments and updates them at the borders of its chunks and nowhere else: whatever was computed keeps
the statistics it was computed with, and how the audio was cut into packets does not matter.

The group norm needs mean and variance of every output channel of the first convolution. Both follow exactly from the
mean and the covariance of the raw frames that the convolution multiplies: for weights w, mean w·m and variance w'Cw.
No pass over the (much larger) outputs is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.errors import OptionError

Doubles = npt.NDArray[np.float64]

VARIANCE_FLOOR: Final = 1e-7
"""Added to the variance of the waveform, as the feature extractors of the checkpoints do."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """How a stream's statistics follow its audio.

    Cumulative (the default): every sample since the start of the stream counts alike, so a stream converges to what the
    offline model computes, and there is nothing to tune. With `freeze_after` (samples), statistics are cumulative up to
    the chunk in which that many samples were measured. From then on they follow slowly, with `time_constant` (samples)
    as the time in which the past fades to 1/e: for streams of minutes whose level drifts. On 150 recorded
    sentences the choice made no measurable difference (word errors of a small model at 640 ms chunks and 320 ms
    lookahead: 77.8 % cumulative, 77.9 % frozen after 1 s, 76.6 % offline).
    """

    freeze_after: int | None = None
    time_constant: int = 30 * SAMPLE_RATE

    def __post_init__(self) -> None:
        if self.freeze_after is not None and self.freeze_after < 1:
            raise OptionError(f"freeze_after is {self.freeze_after} samples, it has to be at least 1, or None")
        if self.time_constant < 1:
            raise OptionError(f"time_constant is {self.time_constant} samples, it has to be at least 1")

    @classmethod
    def cumulative(cls) -> Normalization:
        """Every sample since the start of the stream counts alike."""
        return cls()

    @classmethod
    def frozen(cls, after_ms: float = 1000.0, time_constant_ms: float = 30_000.0) -> Normalization:
        """Cumulative for the first `after_ms` milliseconds, then slow."""
        return cls(round(after_ms * SAMPLE_RATE / 1000), round(time_constant_ms * SAMPLE_RATE / 1000))

    def share(self, measured: int, new: int) -> float | None:
        """The weight of `new` samples against the `measured` ones before them; None if every sample counts alike."""
        if self.freeze_after is None or measured < self.freeze_after:
            return None
        return -math.expm1(-new / self.time_constant)


@dataclass(frozen=True, slots=True)
class Moments:
    """How many vectors were seen, their mean (values,) and covariance (values, values), in double precision."""

    count: int
    mean: Doubles
    covariance: Doubles

    @classmethod
    def of(cls, vectors: npt.NDArray[np.floating[Any]]) -> Moments:
        """The moments of vectors (count, values); count is at least 1."""
        doubles = vectors.astype(np.float64)
        mean = doubles.mean(axis=0)
        doubles -= mean
        # Without BLAS, whose other threads would wait for more, at full speed, some 20 ms after each step.
        return cls(len(doubles), mean, np.einsum("ti,tj->ij", doubles, doubles) / len(doubles))

    def merged(self, new: Moments, share: float | None) -> Moments:
        """The moments of both, `new` with the weight `share`, or with one per vector (Chan, Golub and LeVeque 1983)."""
        count = self.count + new.count
        share = new.count / count if share is None else share
        step = new.mean - self.mean
        spread = share * (1 - share) * np.outer(step, step)
        covariance = (1 - share) * self.covariance + share * new.covariance + spread
        return Moments(count, self.mean + share * step, covariance)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a stream has measured so far: the moments of its samples and of the first layer's frames."""

    samples: Moments
    frames: Moments | None
    """None where the network has no group norm."""

    @property
    def measured(self) -> int:
        """Samples that were measured."""
        return self.samples.count

    @property
    def mean(self) -> float:
        """The mean of the samples."""
        return float(self.samples.mean[0])

    @property
    def deviation(self) -> float:
        """What the samples are divided by."""
        return math.sqrt(float(self.samples.covariance[0, 0]) + VARIANCE_FLOOR)


def updated(before: Statistics | None, new: Statistics, normalization: Normalization) -> Statistics:
    """The statistics of a stream after one more chunk, whose own are `new`."""
    if before is None:
        return new
    share = normalization.share(before.measured, new.measured)
    frames = None
    if before.frames is not None and new.frames is not None:
        frames = before.frames.merged(new.frames, share)
    return Statistics(before.samples.merged(new.samples, share), frames)
