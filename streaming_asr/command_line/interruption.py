"""Ctrl-C and its like end the audio, not the work: everything heard until then is still recognized."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

Item = TypeVar("Item")

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Ctrl-C, `kill` and service managers, a terminal that was closed."""


class Interruption:
    """While it is entered, the first signal only ends what `until_asked` iterates; the second one is an exception.

    A plain KeyboardInterrupt could strike inside `push` and take events along that nobody has seen yet.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None
        """128 and the number of the signal, as shells have it; None unless there was one."""
        self._waiting = False
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self.exit_code is not None

    def until_asked(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items until the signal; waiting for an item is interrupted at once, handling one is not."""
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
        again, self.exit_code = self.asked, 128 + signal_number
        if again or self._waiting:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
