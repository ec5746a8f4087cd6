"""Ctrl-C as a wish, not an accident: the audio ends there, and everything heard until then is still recognized."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Self, TypeVar

Item = TypeVar("Item")


class Interruption:
    """While it is entered, the first Ctrl-C only ends what `until_asked` iterates; the second one is an exception.

    A plain KeyboardInterrupt could strike inside `push` and take events along that nobody has seen yet.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def until_asked(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items until Ctrl-C; waiting for an item is interrupted at once, handling one is not."""
        source = iter(items)
        while not self.asked:
            try:
                self._waiting = True
                item = next(source)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._waiting = False
            yield item

    def _handle(self, signal_number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        if again or self._waiting:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)
