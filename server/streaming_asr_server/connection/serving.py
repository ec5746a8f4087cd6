"""From a request for a websocket to its connection: origin, key, a free place, the upgrade, then its codec."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal, chosen_subprotocol, origin_allowed, presented_key
from streaming_asr_server.connection.connection import Codec, Connection, ConnectionRules
from streaming_asr_server.connection.native import NativeCodec
from streaming_asr_server.connection.outbox import Outgoing
from streaming_asr_server.connection.transport import Transport, WebSocketTransport
from streaming_asr_server.service import Service
from streaming_asr_server.sessions.messages import OpenSession
from streaming_asr_server.sessions.registry import Opened
from streaming_asr_server.settings import Settings

logger = logging.getLogger(__name__)

Serve: TypeAlias = Callable[[WebSocket, Principal], Awaitable[ProtocolError | None]]
"""Accepts a websocket and serves it to its end; returns the error that ended it, if one did."""

Deny: TypeAlias = Callable[[Refusal], Response]
"""How a protocol writes a refusal before the upgrade."""


def refusal_response(refusal: Refusal) -> Response:
    """A refusal as JSON, with `Retry-After` where waiting helps."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = {"error": {"code": refusal.code, "message": str(refusal)}}
    return JSONResponse(body, status_code=refusal.status, headers=headers)


def check_origin(service: Service, connection: HTTPConnection) -> None:
    """Raises Refusal if a page of this origin may not connect."""
    if not origin_allowed(connection.headers, service.settings.allow_origin):
        raise Refusal(403, "forbidden_origin", f"the origin {connection.headers.get('origin')!r:.100} is not allowed")


async def caller(service: Service, connection: HTTPConnection, *, tokens: bool = True) -> Principal:
    """Who calls. Raises Refusal."""
    subprotocols = connection.scope.get("subprotocols", ())
    key = presented_key(connection.headers, connection.query_params, subprotocols)
    return await service.authenticate(key, tokens=tokens)


async def serve_websocket(
    service: Service,
    websocket: WebSocket,
    serve: Serve,
    *,
    authenticate: Callable[[Service, HTTPConnection], Awaitable[Principal]] = caller,
    deny: Deny = refusal_response,
) -> None:
    """Let a websocket in, or refuse it in HTTP before the upgrade; `serve` has to accept it.

    Cancelling it frees the place.
    """
    try:
        check_origin(service, websocket)
        principal = await authenticate(service, websocket)
        async with service.admission.stream(principal):
            error = await serve(websocket, principal)
            _log_end(websocket, principal, error)
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        await send_denial(websocket, deny(refusal))


async def accept(
    service: Service,
    websocket: WebSocket,
    *,
    subprotocol: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> WebSocketTransport:
    """Complete the upgrade, if the model is loaded. Raises Refusal."""
    service.check_loaded()
    return await WebSocketTransport.accept(websocket, subprotocol=subprotocol, headers=headers)


async def serve_transport(
    service: Service,
    transport: Transport,
    principal: Principal,
    codec: Codec,
    *,
    rules: ConnectionRules | None = None,
    greeting: Sequence[Outgoing] = (),
    warning: Callable[[], Sequence[Outgoing]] = tuple,
    admit: Callable[[], Awaitable[None]] | None = None,
) -> ProtocolError | None:
    """Send the greeting and run a connection to its end; `rules` None are the server's own.

    `warning` is what to say when the server is about to stop; `admit` is awaited before the session is opened.
    Returns the error that ended the connection, if one did.
    """
    meter, sessions = service.meter(principal), service.sessions

    async def open_session(wanted: OpenSession) -> Opened:
        if admit is not None:
            await admit()
        prepared = replace(wanted, start=await service.models.prepare(wanted.start))
        opened = sessions.open(prepared, owner=principal.name, meter=meter)
        service.metrics.opened.labels(opened.resumed).inc()
        return opened

    rules = rules or connection_rules(service.settings)
    connection = Connection(transport, codec, sessions=sessions, open_session=open_session, rules=rules)
    connection.outbox.put(greeting)

    def warn() -> None:
        connection.outbox.put(warning())

    service.connections.add(connection.fail)
    service.to_warn.add(warn)
    try:
        error = await connection.run()
    finally:
        service.connections.discard(connection.fail)
        service.to_warn.discard(warn)
    if error is not None:
        meter.error(error)
    return error


def connection_rules(settings: Settings) -> ConnectionRules:
    """The timeouts that the options ask for."""
    return ConnectionRules(
        start_seconds=settings.start_seconds,
        idle_seconds=settings.idle_seconds,
        write_seconds=settings.write_seconds,
    )


async def serve_native(service: Service, websocket: WebSocket) -> None:
    """`/v1/stream`."""

    async def serve(websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        codec = NativeCodec(limits=service.limits)
        subprotocol = chosen_subprotocol(websocket.scope.get("subprotocols", ()))
        transport = await accept(service, websocket, subprotocol=subprotocol)
        return await serve_transport(service, transport, principal, codec, warning=codec.draining)

    await serve_websocket(service, websocket, serve)


async def send_denial(websocket: WebSocket, response: Response) -> None:
    """Answer in HTTP where the server can, else refuse without a reason."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(response)
    else:
        await websocket.close()


def _log_end(websocket: WebSocket, principal: Principal, error: ProtocolError | None) -> None:
    extra = {"path": websocket.url.path, "key": principal.name}
    if error is None:
        logger.info("connection ended", extra=extra)
    else:
        logger.warning("connection failed", extra={**extra, "code": error.code, "reason": str(error)})
