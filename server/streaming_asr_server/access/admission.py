"""How much is served at once, and to whom: decided before a connection is upgraded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Final

from streaming_asr.errors import StreamingAsrError
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.authentication import Principal
from streaming_asr_server.access.ledger.interface import Ledger, LedgerError
from streaming_asr_server.access.usage import SECONDS_PER_DAY, Usage

logger = logging.getLogger(__name__)


class Readiness(Enum):
    """Whether new streams are taken."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Refusal(StreamingAsrError):  # noqa: N818 - an answer, not a fault
    """An answer in HTTP instead of a stream; `retry_after` is in seconds."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status: Final = status
        self.code: Final = code
        self.retry_after: Final = retry_after


class Admission:
    """Counts streams and minutes, here and in the ledger; `now` is the time in seconds since the epoch.

    `maximum_streams` is what this worker can carry; the limits of a key hold over all workers.
    """

    def __init__(self, *, maximum_streams: int, ledger: Ledger, now: Callable[[], float]) -> None:
        self.readiness = Readiness.STARTING
        self.streams = 0
        self._maximum_streams = maximum_streams
        self._ledger = ledger
        self._now = now
        self._held: Counter[str] = Counter()
        self._usage = Usage(ledger)

    @property
    def full(self) -> bool:
        """Whether one more stream would be too many."""
        return self.streams >= self._maximum_streams

    @property
    def room(self) -> int:
        """So many more streams can be taken."""
        return self._maximum_streams - self.streams

    @property
    def status(self) -> str:
        """For `/readyz`."""
        return "full" if self.readiness is Readiness.READY and self.full else self.readiness.value

    @property
    def held(self) -> Mapping[str, int]:
        """Streams of this worker by key."""
        return dict(self._held)

    @asynccontextmanager
    async def stream(self, principal: Principal) -> AsyncIterator[None]:
        """Hold a place for one stream.

        Raises:
            Refusal: there is none, or nobody knows whether this key may have it.
        """
        self._check_room()
        # Taken at once: nobody else gets the place while the ledger is asked.
        self.streams += 1
        self._held[principal.name] += 1
        try:
            await self._check_limits(principal)
            yield
        finally:
            self.streams -= 1
            self._held[principal.name] -= 1
            self._held += Counter()
            await self._tell(principal)

    def count(self, principal: Principal, seconds: float) -> None:
        """So much audio was decoded.

        Raises:
            ProtocolError: "minutes_used_up".
        """
        self._usage.count(self._day, principal.name, seconds)
        if self._used_up(principal):
            raise ProtocolError("minutes_used_up", f"the {principal.minutes:g} minutes of this key are used up")

    async def settle(self) -> None:
        """Bring the seconds that were counted into the ledger. Raises LedgerError; they are kept then."""
        await self._usage.settle(self._day)

    def _check_room(self) -> None:
        if self.readiness is not Readiness.READY:
            raise Refusal(503, self.readiness.value, f"the server is {self.readiness.value}", 5)
        if self.full:
            raise Refusal(503, "overloaded", f"all {self._maximum_streams} streams are in use", 5)

    async def _check_limits(self, principal: Principal) -> None:
        """Ask the ledger what is limited; a key without limits is served without it."""
        name, allowed = principal.name, True
        try:
            if principal.streams is not None:
                allowed = await self._ledger.hold(name, self._held[name], limit=principal.streams)
            if principal.minutes is not None:
                await self._usage.settle(self._day, name)
        except LedgerError as error:
            logger.warning("a stream was refused: the ledger cannot be reached", extra={"reason": str(error)})
            text = "the limits of this key cannot be looked up at the moment"
            raise Refusal(503, "ledger_unavailable", text, 5) from error
        if not allowed:
            raise Refusal(429, "too_many_streams", f"this key may have {principal.streams} streams at once", 5)
        if self._used_up(principal):
            left = SECONDS_PER_DAY - int(self._now()) % SECONDS_PER_DAY
            raise Refusal(429, "minutes_used_up", f"the {principal.minutes:g} minutes of this key are used up", left)

    async def _tell(self, principal: Principal) -> None:
        """What cannot be told now is told by the next renewal."""
        if principal.streams is None:
            return
        with suppress(LedgerError):
            await self._ledger.hold(principal.name, self._held[principal.name])

    @property
    def _day(self) -> int:
        return int(self._now()) // SECONDS_PER_DAY

    def _used_up(self, principal: Principal) -> bool:
        minutes = principal.minutes
        return minutes is not None and self._usage.used(self._day, principal.name) >= minutes * 60
