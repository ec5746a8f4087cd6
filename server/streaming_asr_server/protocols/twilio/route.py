"""Twilio's `/v1/twilio`, and `/v1/twilio/{sid}/events` for those who want to read what is said in a call."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import ANYONE, Principal, presented_key
from streaming_asr_server.adapter.adapter import Bridge
from streaming_asr_server.connection import outbox as outboxes
from streaming_asr_server.connection.serving import caller, check_origin, refusal_response, serve_codec, serve_websocket
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
    """What Twilio connects to; an ASGI application, for it has to see to the end of the connection itself."""

    def __init__(self, service: Service, subscribers: Subscribers, webhook: Webhook | None) -> None:
        self._service: Final = service
        self._subscribers: Final = subscribers
        self._webhook: Final = webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, _stopping(receive), send)
        await serve_websocket(self._service, websocket, self._serve, authenticate=authenticate)

    async def _serve(self, websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        codec = TwilioCodec(self._tell)
        rules = self._service.pump_rules
        try:
            return await serve_codec(self._service, websocket, principal, Bridge(codec), rules=rules)
        finally:
            codec.lost()

    def _tell(self, call: Call, message: Mapping[str, Any]) -> None:
        self._subscribers.tell((call.stream_sid, call.call_sid), message)
        if self._webhook is not None and message["type"] not in _NOT_FOR_WEBHOOKS:
            self._webhook.offer(message)


def authenticate(service: Service, connection: HTTPConnection) -> Principal:
    """By Twilio's signature if the server has its token, else as everybody. Raises Refusal."""
    token = service.settings.twilio_auth_token
    if not token:
        return caller(service, connection)
    url = service.settings.twilio_url or f"wss://{connection.headers.get('host', '')}{connection.scope['path']}"
    try:
        signed = is_signed(token, spellings(url), connection.headers.get(HEADER))
    except ValueError as error:
        raise Refusal(400, "bad_host", f"{url!r:.200} is not an address") from error
    if not signed:
        raise Refusal(403, "bad_signature", f"X-Twilio-Signature is not that of {url!r:.200}; see twilio_url")
    return PRINCIPAL


def authenticate_subscriber(service: Service, connection: HTTPConnection) -> Principal:
    """By an API key; on a server without keys by Twilio's token, if it has that. Raises Refusal."""
    token = service.settings.twilio_auth_token
    if service.keys is not None or not token:
        return caller(service, connection)
    presented = presented_key(connection.headers, connection.query_params, connection.scope.get("subprotocols", ()))
    if not hmac.compare_digest((presented or "").encode(), token.encode()):
        raise Refusal(401, "unauthorized", "an API key is needed, or Twilio's token where the server has no keys")
    return ANYONE


async def serve_subscriber(service: Service, subscribers: Subscribers, websocket: WebSocket) -> None:
    """`/v1/twilio/{sid}/events`: everything about the stream or call of this name, also if it is yet to come."""
    name = websocket.path_params["sid"]
    try:
        check_origin(service, websocket)
        authenticate_subscriber(service, websocket)
        with subscribers.listening(name) as outbox:
            await websocket.accept()
            await _pass_on(service, subscribers, name, outbox, websocket)
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        if "websocket.http.response" in websocket.scope.get("extensions", {}):
            await websocket.send_denial_response(refusal_response(refusal))
        else:
            await websocket.close()


async def _pass_on(
    service: Service, subscribers: Subscribers, name: str, outbox: outboxes.Outbox, websocket: WebSocket
) -> None:
    """Send until the call has ended or the subscriber has gone. Cancelled, it lets go of both."""
    tasks = [
        asyncio.create_task(_read_out(websocket)),
        asyncio.create_task(_write(outbox, websocket, service.settings.write_seconds)),
        asyncio.create_task(_await_call(subscribers, name, outbox, service.settings.idle_seconds)),
    ]
    try:
        done, _ = await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_out(websocket: WebSocket) -> None:
    """A subscriber has nothing to say; its close is waited for."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _write(outbox: outboxes.Outbox, websocket: WebSocket, seconds: float) -> None:
    """Send what there is to send; one who does not read in time is left alone."""
    with suppress(WebSocketDisconnect, TimeoutError):
        while isinstance(message := await outbox.get(), outboxes.Send):
            async with asyncio.timeout(seconds):
                await websocket.send_text(str(message.data))
        await websocket.close(message.code, message.reason)


async def _await_call(subscribers: Subscribers, name: str, outbox: outboxes.Outbox, seconds: float) -> None:
    """Nobody waits for ever for a call that does not come."""
    await asyncio.sleep(seconds)
    if not subscribers.live(name):
        outbox.put([outboxes.HangUp(4404, f"no call of this name came within {seconds:g} s")])


def _stopping(receive: Receive) -> Receive:
    """Messages; a connection that ends without a `stop` is given one, for what was said last is still wanted."""
    gone = False

    async def stopping() -> Message:
        nonlocal gone
        if gone:
            await asyncio.Event().wait()
        message = await receive()
        if message["type"] != "websocket.disconnect":
            return message
        gone = True
        return {"type": "websocket.receive", "text": _STOP}

    return stopping
