"""Seconds of audio by key and day, counted here at once and in the ledger a moment later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from streaming_asr_server.access.ledger.interface import Ledger

SECONDS_PER_DAY: Final = 86_400
_ROUNDING: Final = 1e-6


class Usage:
    """What keys have used in a day; counting never waits for the ledger, and loses nothing when that is away."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Final = ledger
        self._waiting: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._on_the_way: dict[tuple[int, str], float] = {}
        self._known: dict[int, dict[str, float]] = {}

    def count(self, day: int, key: str, seconds: float) -> None:
        """So much more was used."""
        self._waiting[day][key] = self._waiting[day].get(key, 0.0) + seconds

    def used(self, day: int, key: str) -> float:
        """What is known here to be used, in seconds: by all workers up to the last `settle`, here up to now."""
        known = self._known.get(day, {}).get(key, 0.0)
        return known + self._on_the_way.get((day, key), 0.0) + self._waiting[day].get(key, 0.0)

    async def settle(self, day: int, *keys: str) -> None:
        """Bring what was counted into the ledger, and ask it for the sums; of `keys` too, if nothing was counted.

        Raises LedgerError; then, or when it is cancelled, what was counted waits for the next time.
        """
        for key in keys:
            self.count(day, key, 0.0)
        for past in [other for other in self._known if other < day]:
            del self._known[past]
        for counted in list(self._waiting):
            if sums := self._waiting.pop(counted):
                await self._send(counted, sums)

    async def _send(self, day: int, sums: Mapping[str, float]) -> None:
        for key, seconds in sums.items():
            self._move(day, key, seconds)
        try:
            known = await self._ledger.add_seconds(day, sums)
        except BaseException:
            for key, seconds in sums.items():
                self.count(day, key, seconds)
            raise
        else:
            self._known.setdefault(day, {}).update(known)
        finally:
            for key, seconds in sums.items():
                self._move(day, key, -seconds)

    def _move(self, day: int, key: str, seconds: float) -> None:
        """So much more is on the way to the ledger; what has arrived is not kept."""
        moved = self._on_the_way.pop((day, key), 0.0) + seconds
        if moved > _ROUNDING:
            self._on_the_way[day, key] = moved
