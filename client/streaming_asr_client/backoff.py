"""How long to wait between attempts to connect."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double from `first` to `longest` seconds, each shortened by a random part of up to one half.

    The random part keeps many clients of a restarted server from coming back all at once. After `give_up_seconds`
    without a connection the stream fails; None never gives up.
    """

    first: float = 0.1
    longest: float = 5.0
    give_up_seconds: float | None = 60.0
    random: Callable[[], float] = random.random

    def waits(self) -> Iterator[float]:
        """Seconds to wait before the next attempt, without end."""
        wait = self.first
        while True:
            yield wait * (1 - self.random() / 2)
            wait = min(wait * 2, self.longest)
