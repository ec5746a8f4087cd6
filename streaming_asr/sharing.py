"""Several recognizers on one processor: their engines step in turn, so that each step has all threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streaming_asr.engine import Steps
    from streaming_asr.model import Chunk, EncoderStream


class SharedProcessor:
    """Lets one encoder step at a time, in the order in which they asked.

    Engines that step at once would each use all threads, and keep each other waiting. In turn, of two busy recognizers
    each has every second step, whatever the number of their streams. It may be used from any thread.
    """

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._changed: Final = threading.Condition()

    def share(self, encoder: Steps) -> Steps:
        """The same encoder, whose steps wait for their turn."""
        return _SharedEncoder(encoder, self)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: self._waiting[0] is ticket)
        try:
            yield
        finally:
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()


class _SharedEncoder:
    """An encoder that steps in its turn."""

    def __init__(self, encoder: Steps, processor: SharedProcessor) -> None:
        self._encoder: Final = encoder
        self._processor: Final = processor

    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]:
        """One chunk of each stream."""
        with self._processor.turn():
            return self._encoder.step(streams)
