"""Any sample rate to 16 kHz, with the filter's state carried from piece to piece."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from streaming_asr.audio.samples import SAMPLE_RATE, FloatArray, Samples
from streaming_asr.errors import MissingExtraError, OptionError, StreamClosedError

LOWEST_RATE: Final = 8_000
HIGHEST_RATE: Final = 192_000


class _Filter(Protocol):
    def resample_chunk(self, x: FloatArray, last: bool = False) -> FloatArray: ...


class Resampler:
    """Resamples audio to 16 kHz; samples that are at 16 kHz already pass through untouched.

    The filter is soxr's "HQ". It looks ahead, so output trails input by about 40 ms at 44.1 and 48 kHz and by about
    115 ms at 8 kHz; `finish` gives the rest. In all, n samples become round(n * 16000 / rate). Output does not depend
    on how the input was cut, to the last bit: soxr's stream works in blocks of its own.

    Args:
        rate: samples per second of the input, 8000 to 192000.
        channels: columns of pieces of shape (samples, channels); None for pieces of shape (samples,).

    Raises:
        OptionError: the rate is out of range.
        MissingExtraError: resampling is needed and soxr is not installed.
    """

    def __init__(self, rate: int, channels: int | None = None) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise OptionError(f"the sample rate is {rate} Hz; it must be from {LOWEST_RATE} to {HIGHEST_RATE} Hz")
        self.rate: Final = rate
        self._nothing: Final = np.empty(0 if channels is None else (0, channels), np.float32)
        self._filter: Final = None if rate == SAMPLE_RATE else _open_filter(rate, channels or 1)
        self._finished = False
        self._came = self._gave = 0

    @property
    def held(self) -> int:
        """Samples at 16 kHz that are inside the filter, one more at most."""
        return 0 if self._filter is None else -(-self._came * SAMPLE_RATE // self.rate) - self._gave

    def push(self, samples: Samples) -> Samples:
        """Resample a piece at `rate`; returns what is ready at 16 kHz, in the same shape but for its length.

        Raises:
            StreamClosedError: the resampler was finished.
        """
        if self._finished:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        if self._filter is None or not len(samples):
            return samples
        ready = np.asarray(self._filter.resample_chunk(np.ascontiguousarray(samples)), np.float32)
        self._came, self._gave = self._came + len(samples), self._gave + len(ready)
        return ready

    def finish(self) -> Samples:
        """End the input; returns the samples still inside the filter."""
        if self._finished or self._filter is None:
            self._finished = True
            return self._nothing
        self._finished = True
        return np.asarray(self._filter.resample_chunk(self._nothing, last=True), np.float32)


def _open_filter(rate: int, channels: int) -> _Filter:
    try:
        import soxr
    except ImportError as error:
        raise MissingExtraError(f"audio at {rate} Hz", "recognizer") from error
    stream: _Filter = soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype="float32", quality="HQ")
    return stream
