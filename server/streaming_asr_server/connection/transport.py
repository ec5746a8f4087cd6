"""What carries messages between one client and the server: a websocket, or whatever a protocol brings of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming_asr.errors import StreamingAsrError


class TransportClosedError(StreamingAsrError):
    """The other end has gone; nothing can be sent any more."""


class Transport(Protocol):
    """An open connection of messages. One task receives, one sends."""

    async def receive(self) -> str | bytes | None:
        """The next message; None when the other end has gone. Cancelling it loses no message."""

    async def send(self, data: str | bytes) -> None:
        """Send a message; waits while the client does not read. Raises TransportClosedError."""

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, behind everything that was sent. Raises TransportClosedError."""


class WebSocketTransport:
    """An accepted websocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket: Final = websocket

    @classmethod
    async def accept(
        cls, websocket: WebSocket, *, subprotocol: str | None = None, headers: Mapping[str, str] | None = None
    ) -> WebSocketTransport:
        """Complete the upgrade of a websocket."""
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
        await websocket.accept(subprotocol, pairs)
        return cls(websocket)

    async def receive(self) -> str | bytes | None:
        message = await self._websocket.receive()
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
