"""What the server has said and the application has not yet read: partials give way to newer ones, all else waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from streaming_asr.events import Event, Partial


class EventQueue:
    """At most `maximum` events and the newest partial; `put` waits while it is full, so the socket is not read."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum = maximum
        self._events: deque[Event] = deque()
        self._ended = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, events: Iterable[Event]) -> None:
        """Add events. Cancelled while it waits, it has added some of them and not the others."""
        for event in events:
            while len(self._events) >= self._maximum:
                self._room.clear()
                await self._room.wait()
            if isinstance(event, Partial) and self._events and isinstance(self._events[-1], Partial):
                self._events.pop()
            self._events.append(event)
            self._changed.set()

    def end(self, error: BaseException | None = None) -> None:
        """No more events; `error` is raised by `get` once the others were read. Only the first call counts."""
        if not self._ended:
            self._ended, self._error = True, error
            self._changed.set()

    async def get(self) -> Event | None:
        """The next event, None at the end. Cancelling it takes nothing out."""
        while not self._events and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._events:
            self._room.set()
            return self._events.popleft()
        if self._error is not None:
            raise self._error
        return None
