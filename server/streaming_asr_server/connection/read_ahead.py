"""Bounds what waits in front of the application where the server before it does not hold a fast sender back."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming_asr.protocol import ProtocolError


class ReadAhead:
    """An ASGI application whose websockets are read at once, whether the application asks for a message or not.

    uvicorn stops reading a socket whose messages wait. Ray Serve's proxy does not: it takes whatever comes, and what
    the application has not asked for would grow without a bound that anybody knows. Here it is counted. What waits may
    have `maximum_bytes`, one message `message_bytes`; what comes over that is read and forgotten, and behind what waits
    the application's `receive` raises ProtocolError "too_fast" or "too_big".
    """

    def __init__(self, application: ASGIApp, *, maximum_bytes: int, message_bytes: int) -> None:
        self._application: Final = application
        self._maximum_bytes: Final = maximum_bytes
        self._message_bytes: Final = message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._application(scope, receive, send)
            return
        waiting = Waiting(self._maximum_bytes, self._message_bytes)
        reading = asyncio.create_task(waiting.fill(receive), name="read ahead")
        try:
            await self._application(scope, waiting.get, send)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class Waiting:
    """Messages of one websocket that the application has not asked for yet."""

    def __init__(self, maximum_bytes: int, message_bytes: int) -> None:
        self.bytes = 0
        self._maximum_bytes: Final = maximum_bytes
        self._message_bytes: Final = message_bytes
        self._messages: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._error: Exception | None = None
        self._disconnect: Message | None = None

    async def fill(self, receive: Receive) -> None:
        """Read to the end of the connection. Cancelling it loses nothing."""
        try:
            while self._disconnect is None:
                message = await receive()
                if self._error is None:
                    self._put(message)
                elif message["type"] == "websocket.disconnect":
                    return
        except Exception as error:  # noqa: BLE001 - it belongs to the application, which waits for a message
            self._fail(error)

    async def get(self) -> Message:
        """The next message; the disconnect again and again. Cancelling it takes nothing out.

        Raises:
            ProtocolError: more came than may wait.
        """
        while not self._messages:
            if self._error is not None:
                raise self._error
            if self._disconnect is not None:
                return self._disconnect
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self.bytes -= _size(message)
        return message

    def _put(self, message: Message) -> None:
        size = _size(message)
        self.bytes += size
        if size > self._message_bytes:
            text = f"a message has {size} bytes; at most {self._message_bytes} are taken"
            self._fail(ProtocolError("too_big", text))
        elif self.bytes > self._maximum_bytes:
            text = f"more than {self._maximum_bytes} bytes wait to be decoded; nothing holds a sender back here, so "
            self._fail(ProtocolError("too_fast", text + "send at the pace of the finals, or in real time"))
        elif message["type"] == "websocket.disconnect":
            self._disconnect = message
        else:
            self._messages.append(message)
        self._arrived.set()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._arrived.set()


def _size(message: Message) -> int:
    """Bytes of a message; of text, its characters, which are no fewer than a quarter of its bytes."""
    return len(message.get("bytes") or message.get("text") or b"")
