"""What a client has sent and the recognizer has not yet taken: bounded in audio and in messages."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from streaming_asr.protocol import Audio, ClientMessage

MAXIMUM_MESSAGES: Final = 256


class Inbox:
    """A queue from one connection's reader to one session's worker.

    `room` waits while `maximum_bytes` of audio or `MAXIMUM_MESSAGES` messages wait: that is what stops the reader, the
    socket, and in the end the client. `get` joins neighbouring audio up to `piece_bytes`.
    """

    def __init__(self, *, maximum_bytes: int, piece_bytes: int) -> None:
        self.bytes = 0
        self._maximum_bytes = maximum_bytes
        self._piece_bytes = piece_bytes
        self._messages: deque[ClientMessage] = deque()
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether the next message has to wait."""
        return self.bytes >= self._maximum_bytes or len(self._messages) >= MAXIMUM_MESSAGES

    async def room(self) -> None:
        """Wait until there is room. Cancelling it changes nothing."""
        while self.full:
            self._left.clear()
            await self._left.wait()

    def put(self, message: ClientMessage) -> None:
        """Add a message at once, room or not."""
        self._messages.append(message)
        if isinstance(message, Audio):
            self.bytes += len(message.data)
        self._arrived.set()

    async def get(self) -> ClientMessage:
        """The next message. Cancelling it takes nothing out."""
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        if isinstance(message, Audio):
            message = self._joined(message)
        self._left.set()
        return message

    def _joined(self, first: Audio) -> Audio:
        pieces, size = [first.data], len(first.data)
        while self._messages and isinstance(following := self._messages[0], Audio):
            if size + len(following.data) > self._piece_bytes:
                break
            self._messages.popleft()
            pieces.append(following.data)
            size += len(following.data)
        self.bytes -= size
        return Audio(b"".join(pieces))
