"""The samples of a stream that its next steps still need."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import FloatArray

SMALLEST: Final = 4096


class SampleQueue:
    """Samples by their number in the stream; memory follows what is kept, not what has passed."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._buffer: FloatArray = np.zeros(SMALLEST, dtype)
        self._first = 0
        self._last = 0
        self.start = 0
        """The number of the first sample that is still there."""

    @property
    def stop(self) -> int:
        """The number of samples appended so far."""
        return self.start + self._last - self._first

    def append(self, samples: FloatArray) -> None:
        """Add samples (samples,) at the end."""
        if self._last + len(samples) > len(self._buffer):
            self._make_room(len(samples))
        self._buffer[self._last : self._last + len(samples)] = samples
        self._last += len(samples)

    def read(self, start: int, stop: int) -> FloatArray:
        """A view on samples [start, stop), as far as they have come, valid until the queue changes."""
        first = self._first + start - self.start
        return self._buffer[first : min(self._last, first + max(0, stop - start))]

    def discard(self, before: int) -> None:
        """Drop the samples before number `before`."""
        dropped = min(before, self.stop) - self.start
        if dropped > 0:
            self._first += dropped
            self.start += dropped
            if len(self._buffer) > 8 * max(SMALLEST, self._last - self._first):
                self._make_room(0)

    def _make_room(self, more: int) -> None:
        """Move what is kept to the front of a buffer of a few times its size, so that each sample moves seldom."""
        held = self._last - self._first
        size = len(self._buffer)
        if not held + more <= size <= 4 * max(SMALLEST, held + more):
            size = 2 * max(SMALLEST, held + more)
        buffer = np.zeros(size, self._buffer.dtype)
        buffer[:held] = self._buffer[self._first : self._last]
        self._buffer, self._first, self._last = buffer, 0, held
