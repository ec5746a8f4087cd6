"""What carries messages between one client and the server: a websocket, or whatever a protocol brings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming_asr.errors import StreamingAsrError
from streaming_asr_server.offers import Offer, Offers


class TransportClosedError(StreamingAsrError):
    """The other end has gone; nothing can be sent any more."""


class Transport(Protocol):
    """An open connection of messages. One task receives, one sends."""

    async def receive(self, offer: Offer | None = None) -> str | bytes | None:
        """The next message; None when the other end has gone. Cancelling it loses no message.

        While it waits, what comes may be offered: what is taken then wakes no task.
        """

    async def send(self, data: str | bytes) -> None:
        """Send a message; waits while the client does not read. Raises TransportClosedError."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, behind everything that was sent. Raises TransportClosedError."""


class WebSocketTransport:
    """An accepted websocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket: Final = websocket
        self._offers: Final[Offers] = websocket.scope.get("extensions", {}).get(Offers.KEY) or Offers()

    @classmethod
    async def accept(
        cls, websocket: WebSocket, *, subprotocol: str | None = None, headers: Mapping[str, str] | None = None
    ) -> WebSocketTransport:
        """Complete the upgrade of a websocket."""
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
        await websocket.accept(subprotocol, pairs)
        return cls(websocket)

    async def receive(self, offer: Offer | None = None) -> str | bytes | None:
        self._offers.offer = offer
        try:
            message = await self._websocket.receive()
        finally:
            self._offers.offer = None
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def send(self, data: str | bytes) -> None:
        try:
            if isinstance(data, str):
                await self._websocket.send_text(data)
            else:
                await self._websocket.send_bytes(data)
        except WebSocketDisconnect as error:
            raise TransportClosedError("the client has gone") from error

    async def close(self, code: int, reason: str) -> None:
        try:
            await self._websocket.close(code, reason)
        except WebSocketDisconnect as error:
            raise TransportClosedError("the client has gone") from error
