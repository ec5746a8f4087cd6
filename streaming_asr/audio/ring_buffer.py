"""The latest audio under its absolute positions."""

from __future__ import annotations

from typing import Final

import numpy as np

from streaming_asr.audio.samples import Samples
from streaming_asr.errors import OptionError, OverwrittenError


class RingBuffer:
    """Keeps the last `capacity` samples of a stream; the first sample ever appended has position 0.

    Memory is fixed: 4 bytes a sample.

    Raises:
        OptionError: the capacity is less than 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise OptionError(f"the capacity is {capacity} samples; it must be at least 1")
        self.capacity: Final = capacity
        self._samples: Final[Samples] = np.zeros(capacity, np.float32)
        self._end = 0

    @property
    def start(self) -> int:
        """Position of the oldest sample that is still there."""
        return max(0, self._end - self.capacity)

    @property
    def end(self) -> int:
        """Position behind the newest sample: the number of samples ever appended."""
        return self._end

    def append(self, samples: Samples) -> None:
        """Add samples, shape (samples,), over the oldest ones."""
        kept = samples[-self.capacity :]
        at = (self._end + len(samples) - len(kept)) % self.capacity
        head = min(len(kept), self.capacity - at)
        self._samples[at : at + head] = kept[:head]
        self._samples[: len(kept) - head] = kept[head:]
        self._end += len(samples)

    def read(self, start: int, stop: int) -> Samples:
        """A copy of the samples from position `start` up to, not including, `stop`, shape (stop - start,).

        Raises:
            OverwrittenError: `start` lies before the oldest sample.
            ValueError: `stop` lies before `start`, or behind the newest sample.
        """
        if not 0 <= start <= stop <= self._end:
            raise ValueError(f"samples {start} to {stop} were asked for; there are {self.start} to {self._end}")
        if start < self.start:
            raise OverwrittenError(
                f"samples {start} to {stop} were asked for; those before {self.start} have been overwritten "
                f"(capacity {self.capacity})"
            )
        at, count = start % self.capacity, stop - start
        head = min(count, self.capacity - at)
        if head == count:
            return self._samples[at : at + count].copy()
        return np.concatenate([self._samples[at : at + head], self._samples[: count - head]])
