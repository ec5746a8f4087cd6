"""How far a run is and what learning rate that means."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from training.configuration import RunOptions


@dataclass(frozen=True, slots=True)
class Schedule:
    """Progress from 0 to 1, by steps or by the clock; the learning rate ends at zero exactly then."""

    steps: int
    started: float
    ends: float
    clock: Callable[[], float] = time.time

    @classmethod
    def plan(cls, options: RunOptions, started: float) -> Schedule:
        """The schedule of a run that began at a time in seconds since 1970."""
        ends = started + 60 * options.minutes
        if options.until:
            hour, minute = (int(part) for part in options.until.split(":"))
            begin = datetime.fromtimestamp(started)
            end = begin.replace(hour=hour, minute=minute, second=0, microsecond=0)
            ends = (end if end > begin else end + timedelta(days=1)).timestamp()
        if not options.steps and ends <= started:
            raise ValueError("a run needs steps, minutes or until")
        return cls(options.steps, started, ends)

    @classmethod
    def of_minutes(cls, minutes: float) -> Schedule:
        """One that begins now."""
        now = time.time()
        return cls(0, now, now + 60 * minutes)

    def progress(self, step: int) -> float:
        """0 at the start, 1 when the run is over."""
        if self.steps:
            return min(step / self.steps, 1.0)
        return min(max((self.clock() - self.started) / (self.ends - self.started), 0.0), 1.0)

    def rate(self, step: int, peak: float, warmup: int) -> float:
        """Linear warm-up over the first steps, then a cosine down to zero."""
        return peak * min((step + 1) / max(warmup, 1), 1.0) * 0.5 * (1 + math.cos(math.pi * self.progress(step)))
