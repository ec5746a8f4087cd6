"""What was put into a session and is not used yet: audio and commands, in order."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

import numpy as np

from streaming_asr.audio.samples import Samples

Command: TypeAlias = Literal["finalize", "finish"]


class Waiting:
    """The input of one session; how many samples can decide nothing, the session says when it has used all."""

    def __init__(self) -> None:
        self._items: deque[Samples | Command] = deque()
        self._samples = 0
        self._decisive = 0

    @property
    def patience(self) -> int:
        """Samples that must still come, at least, before anything can come of them; 0 where it is time."""
        return max(0, self._decisive - self._samples)

    def push(self, samples: Samples) -> None:
        """Add audio, shape (samples,)."""
        if len(samples):
            self._samples += len(samples)
            self._items.append(samples)

    def command(self, command: Command) -> None:
        """Add a command, for which nothing waits."""
        self._items.append(command)
        self.hurry()

    def hurry(self) -> None:
        """Let nothing wait any longer."""
        self._decisive = 0

    def used_up(self, decisive: int) -> None:
        """All was used, and of so many more samples something can come, at least."""
        self._samples, self._decisive = 0, decisive

    def next(self) -> Samples | Command | None:
        """A command, or all audio before the next one as one piece; None when there is nothing."""
        if not self._items:
            return None
        first = self._items.popleft()
        if not isinstance(first, np.ndarray):
            return first
        pieces = [first]
        while self._items and isinstance(following := self._items[0], np.ndarray):
            pieces.append(following)
            self._items.popleft()
        return first if len(pieces) == 1 else np.concatenate(pieces)

    def put_back(self, samples: Samples) -> None:
        """Audio that was taken and not used is next again."""
        self._items.appendleft(samples)
