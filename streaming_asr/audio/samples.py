"""The one audio format inside the library: 16 kHz, mono, float32 in [-1, 1]."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

SAMPLE_RATE: Final = 16_000
"""Samples per second inside the library; every source is resampled to it."""

Samples: TypeAlias = npt.NDArray[np.float32]
"""Mono audio at `SAMPLE_RATE`, shape (samples,), full scale is 1.0."""

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]


def milliseconds_to_samples(milliseconds: float) -> int:
    """The number of samples at `SAMPLE_RATE` nearest to a duration in milliseconds."""
    return round(milliseconds * SAMPLE_RATE / 1000)


def seconds(samples: int) -> float:
    """A position or duration in samples at `SAMPLE_RATE`, in seconds."""
    return samples / SAMPLE_RATE
