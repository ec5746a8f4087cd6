"""Twilio's `/v1/twilio`, and `/v1/twilio/{sid}/events` for those who want to read what is said in a call."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import ANYONE, Principal, presented_key
from streaming_asr_server.adapter.adapter import ProtocolAdapter
from streaming_asr_server.connection.forwarding import forward
from streaming_asr_server.connection.outbox import Close, Outbox
from streaming_asr_server.connection.serving import (
    accept,
    caller,
    check_origin,
    refusal_response,
    send_denial,
    serve_transport,
    serve_websocket,
)
from streaming_asr_server.connection.transport import Transport, WebSocketTransport
from streaming_asr_server.offers import Offer
from streaming_asr_server.protocols.twilio.codec import TwilioCodec
from streaming_asr_server.protocols.twilio.messages import Call
from streaming_asr_server.protocols.twilio.signature import HEADER, is_signed, spellings
from streaming_asr_server.protocols.twilio.subscribers import Subscribers
from streaming_asr_server.protocols.twilio.webhooks import Webhook
from streaming_asr_server.service import Service

PRINCIPAL: Final = Principal(name="twilio")
"""Who calls with Twilio's signature."""

_STOP: Final = '{"event": "stop"}'
_NOT_FOR_WEBHOOKS: Final = ("partial", "speech_started", "speech_ended")


class TwilioEndpoint:
    """Serves what Twilio connects to."""

    def __init__(self, service: Service, subscribers: Subscribers, webhook: Webhook | None) -> None:
        self._service: Final = service
        self._subscribers: Final = subscribers
        self._webhook: Final = webhook

    async def serve(self, websocket: WebSocket) -> None:
        """`/v1/twilio`, to the end of the connection."""
        await serve_websocket(self._service, websocket, self._serve, authenticate=authenticate)

    async def _serve(self, websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        transport = StoppingTransport(await accept(self._service, websocket))
        codec = TwilioCodec(self._notify)
        try:
            return await serve_transport(self._service, transport, principal, ProtocolAdapter(codec))
        finally:
            codec.lost()

    def _notify(self, call: Call, message: Mapping[str, Any]) -> None:
        self._subscribers.publish((call.stream_sid, call.call_sid), message)
        if self._webhook is not None and message["type"] not in _NOT_FOR_WEBHOOKS:
            self._webhook.offer(message)


async def authenticate(service: Service, connection: HTTPConnection) -> Principal:
    """By Twilio's signature if the server has its token, else as everybody. Raises Refusal."""
    token = service.settings.twilio_auth_token
    if not token:
        return await caller(service, connection)
    url = service.settings.twilio_url or f"wss://{connection.headers.get('host', '')}{connection.scope['path']}"
    try:
        signed = is_signed(token, spellings(url), connection.headers.get(HEADER))
    except ValueError as error:
        raise Refusal(400, "bad_host", f"{url!r:.200} is not an address") from error
    if not signed:
        raise Refusal(403, "bad_signature", f"X-Twilio-Signature is not that of {url!r:.200}; see twilio_url")
    return PRINCIPAL


async def authenticate_subscriber(service: Service, connection: HTTPConnection) -> Principal:
    """By an API key; on a server without keys by Twilio's token, if it has that. Raises Refusal."""
    token = service.settings.twilio_auth_token
    if service.keys is not None or not token:
        return await caller(service, connection)
    presented = presented_key(connection.headers, connection.query_params, connection.scope.get("subprotocols", ()))
    if not hmac.compare_digest((presented or "").encode(), token.encode()):
        raise Refusal(401, "unauthorized", "an API key is needed, or Twilio's token where the server has no keys")
    return ANYONE


async def serve_subscriber(service: Service, subscribers: Subscribers, websocket: WebSocket) -> None:
    """`/v1/twilio/{sid}/events`: everything about the stream or call of this name, also if it is yet to come."""
    name = websocket.path_params["sid"]
    try:
        check_origin(service, websocket)
        await authenticate_subscriber(service, websocket)
        with subscribers.subscribe(name) as outbox:
            transport = await WebSocketTransport.accept(websocket)
            patience = _await_call(subscribers, name, outbox, service.settings.idle_seconds)
            await forward(outbox, transport, service.settings.write_seconds, patience)
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        await send_denial(websocket, refusal_response(refusal))


async def _await_call(subscribers: Subscribers, name: str, outbox: Outbox, seconds: float) -> None:
    """End a subscription to a call that does not begin in time."""
    await asyncio.sleep(seconds)
    if not subscribers.live(name):
        outbox.put([Close(4404, f"no call of this name came within {seconds:g} s")])


class StoppingTransport:
    """A transport that gives a `stop` where the connection ends without one, so that the last words are recognized."""

    def __init__(self, transport: Transport) -> None:
        self._transport: Final = transport
        self._gone = False

    async def receive(self, offer: Offer | None = None) -> str | bytes | None:
        """The next message; after the end of the connection one `stop`, then nothing for ever."""
        if self._gone:
            await asyncio.Event().wait()
        message = await self._transport.receive(offer)
        self._gone = message is None
        return _STOP if message is None else message

    async def send(self, data: str | bytes) -> None:
        await self._transport.send(data)

    async def close(self, code: int, reason: str) -> None:
        await self._transport.close(code, reason)
