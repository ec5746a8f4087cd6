"""When a worker that has died is started again, and when that is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 30.0
LIVED_SECONDS: Final = 30.0
"""A worker that was ready for so long has died of something else than how it was started."""

MOST_IN_A_ROW: Final = 5


@dataclass(slots=True)
class Restarts:
    """Deaths of one worker in a row, each soon after it was started."""

    in_a_row: int = 0

    def delay(self, *, ready_seconds: float) -> float:
        """The worker died after it had been ready for so long: seconds until it is started again."""
        self.in_a_row = 1 if ready_seconds >= LIVED_SECONDS else self.in_a_row + 1
        return min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** (self.in_a_row - 1))

    @property
    def hopeless(self) -> bool:
        """Whether it died at once too often."""
        return self.in_a_row >= MOST_IN_A_ROW
