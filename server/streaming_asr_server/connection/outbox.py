"""What is to be sent and the client has not yet read: bounded; partials give way, finals never."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

MAXIMUM_MESSAGES: Final = 256


@dataclass(frozen=True, slots=True)
class Send:
    """A message for the client; of two that wait with the same `replaces` key, only the newer is sent."""

    data: str | bytes
    replaces: Hashable | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Close the websocket, once everything before has been sent."""

    code: int = 1000
    reason: str = ""


Outgoing: TypeAlias = Send | Close


class Outbox:
    """A queue from sessions to one connection's writer; putting never waits."""

    def __init__(self, *, maximum_messages: int = MAXIMUM_MESSAGES) -> None:
        self._maximum = maximum_messages
        self._waiting: deque[Outgoing] = deque()
        self._changed = asyncio.Event()
        self._left = asyncio.Event()
        self._ended = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def overfull(self) -> bool:
        """Whether more waits than should: the client does not read."""
        return len(self._waiting) > self._maximum

    def put(self, messages: Iterable[Outgoing]) -> None:
        """Add messages; after a Close, no more are taken."""
        for message in messages:
            if self._ended:
                return
            if isinstance(message, Send) and message.replaces is not None:
                self._drop(message.replaces)
            self._waiting.append(message)
            if isinstance(message, Close):
                self.close()
        self._changed.set()

    async def room(self) -> None:
        """Wait until it is not overfull, or takes nothing any more. Cancelling it changes nothing."""
        while self.overfull and not self._ended:
            self._left.clear()
            await self._left.wait()

    def clear(self) -> None:
        """Forget all that waits."""
        self._waiting.clear()
        self._left.set()

    def close(self) -> None:
        """Take nothing any more; who waits for room need not wait."""
        self._ended = True
        self._left.set()

    async def get(self) -> Outgoing:
        """The next message. Cancelling it takes nothing out."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        self._left.set()
        return self._waiting.popleft()

    def _drop(self, key: Hashable) -> None:
        self._waiting = deque(
            message for message in self._waiting if not (isinstance(message, Send) and message.replaces == key)
        )
