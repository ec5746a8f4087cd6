"""How much is served at once, and to whom: decided before a connection is upgraded."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

from streaming_asr.errors import StreamingAsrError
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.authentication import Principal

_DAY: Final = 86_400


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
    """Counts streams and minutes; `now` is the time in seconds since the epoch."""

    def __init__(self, *, maximum_streams: int, now: Callable[[], float]) -> None:
        self.readiness = Readiness.STARTING
        self.streams = 0
        self._maximum_streams = maximum_streams
        self._now = now
        self._per_key: Counter[str] = Counter()
        self._day = 0
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def full(self) -> bool:
        """Whether one more stream would be too many."""
        return self.streams >= self._maximum_streams

    @property
    def status(self) -> str:
        """For `/readyz`."""
        return "full" if self.readiness is Readiness.READY and self.full else self.readiness.value

    @contextmanager
    def stream(self, principal: Principal) -> Iterator[None]:
        """Hold a place for one stream.

        Raises:
            Refusal: there is none.
        """
        self._check(principal)
        self.streams += 1
        self._per_key[principal.name] += 1
        try:
            yield
        finally:
            self.streams -= 1
            self._per_key[principal.name] -= 1
            self._per_key += Counter()

    def count(self, principal: Principal, seconds: float) -> None:
        """So much audio was decoded.

        Raises:
            ProtocolError: "minutes_used_up".
        """
        self._seconds[principal.name] += seconds
        if self._used_up(principal):
            raise ProtocolError("minutes_used_up", f"the {principal.minutes:g} minutes of this key are used up")

    def _check(self, principal: Principal) -> None:
        if self.readiness is not Readiness.READY:
            raise Refusal(503, self.readiness.value, f"the server is {self.readiness.value}", 5)
        if self.full:
            raise Refusal(503, "overloaded", f"all {self._maximum_streams} streams are in use", 5)
        if principal.streams is not None and self._per_key[principal.name] >= principal.streams:
            raise Refusal(429, "too_many_streams", f"this key may have {principal.streams} streams at once", 5)
        if self._used_up(principal):
            left = _DAY - int(self._now()) % _DAY
            raise Refusal(429, "minutes_used_up", f"the {principal.minutes:g} minutes of this key are used up", left)

    def _used_up(self, principal: Principal) -> bool:
        day = int(self._now()) // _DAY
        if day != self._day:
            self._day, self._seconds = day, defaultdict(float)
        return principal.minutes is not None and self._seconds[principal.name] >= principal.minutes * 60
