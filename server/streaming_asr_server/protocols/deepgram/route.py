"""Deepgram's `/v1/listen` and `/v2/listen`: who may connect, what they asked for, and how they are refused."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeAlias

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ProtocolError, Start
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal, presented_key
from streaming_asr_server.adapter.adapter import ProtocolAdapter
from streaming_asr_server.adapter.choosing import chosen_model
from streaming_asr_server.adapter.interface import ForeignCodec
from streaming_asr_server.connection.serving import accept, connection_rules, serve_transport, serve_websocket
from streaming_asr_server.protocols.deepgram.codec import IDLE_SECONDS, DeepgramCodec
from streaming_asr_server.protocols.deepgram.flux_codec import FluxCodec
from streaming_asr_server.protocols.deepgram.flux_options import parse_flux
from streaming_asr_server.protocols.deepgram.messages import Request
from streaming_asr_server.protocols.deepgram.options import OWN_MODELS, UnusableQueryError, parse
from streaming_asr_server.service import Service

_MakeCodec: TypeAlias = Callable[[Service, WebSocket, str], Awaitable[tuple[ForeignCodec, Request, Sequence[str]]]]
"""A codec for what a query asks for, the request as answers repeat it, and the names of what changed nothing."""

_SCHEMES: Final = ("token", "bearer")
_LONGEST_HEADER: Final = 500
FLUX_IDLE_SECONDS: Final = 60.0
"""Patience of `/v2/listen`, which has no `KeepAlive`."""


async def serve_deepgram(service: Service, websocket: WebSocket) -> None:
    """`/v1/listen`: parameters are checked and a place is taken before the upgrade, so that a refusal is HTTP."""
    await _serve(service, websocket, _live, IDLE_SECONDS)


async def serve_flux(service: Service, websocket: WebSocket) -> None:
    """`/v2/listen`: the same with turns."""
    await _serve(service, websocket, _flux, FLUX_IDLE_SECONDS)


async def _serve(service: Service, websocket: WebSocket, make: _MakeCodec, idle_seconds: float) -> None:
    request_id = str(uuid.uuid4())

    async def serve(websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        service.check_loaded()
        codec, request, ignored = await make(service, websocket, request_id)
        scheme, _ = _offered(websocket.scope.get("subprotocols", ()))
        transport = await accept(service, websocket, subprotocol=scheme, headers=_headers(request, ignored))
        rules = replace(connection_rules(service.settings), start_seconds=idle_seconds, idle_seconds=idle_seconds)
        return await serve_transport(
            service, transport, principal, ProtocolAdapter(codec), rules=rules, greeting=codec.greeting()
        )

    def deny(refusal: Refusal) -> Response:
        return denial(refusal, request_id)

    await serve_websocket(service, websocket, serve, authenticate=authenticate, deny=deny)


async def authenticate(service: Service, connection: HTTPConnection) -> Principal:
    """By `Authorization: Token KEY` or `Bearer KEY`, or by the subprotocols `token, KEY`. Raises Refusal."""
    _, key = _offered(connection.scope.get("subprotocols", ()))
    return await service.authenticate(key or presented_key(connection.headers, connection.query_params))


def denial(refusal: Refusal, request_id: str) -> Response:
    """A refusal as Deepgram's clients expect it: the reason in `dg-error`."""
    message = str(refusal).encode("latin-1", "replace").decode("latin-1")[:_LONGEST_HEADER]
    headers = {"dg-error": message, "dg-request-id": request_id}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Token"
    body = {"err_code": refusal.code.upper(), "err_msg": str(refusal), "request_id": request_id}
    return JSONResponse(body, status_code=refusal.status, headers=headers)


async def _live(service: Service, websocket: WebSocket, request_id: str) -> tuple[ForeignCodec, Request, Sequence[str]]:
    """Raises Refusal."""
    try:
        listen = parse(websocket.query_params.multi_items())
    except UnusableQueryError as error:
        raise Refusal(400, "bad_request", str(error)) from error
    start = await prepare(service, listen.model, Start(language=listen.language))
    request = describe(service, request_id, start.model or "")
    return DeepgramCodec(replace(listen, model=start.model), request), request, listen.ignored


async def _flux(service: Service, websocket: WebSocket, request_id: str) -> tuple[ForeignCodec, Request, Sequence[str]]:
    """As `_live`; without a text model turns end after a fixed silence."""
    try:
        listen = parse_flux(websocket.query_params.multi_items())
    except UnusableQueryError as error:
        raise Refusal(400, "bad_request", str(error)) from error
    start = await prepare(service, listen.model, Start())
    listen = replace(listen, model=start.model, adaptive=service.follows_sense(None, start.model))
    request = describe(service, request_id, start.model or "")
    return FluxCodec(listen, request_id), request, listen.ignored


async def prepare(service: Service, model: str | None, start: Start) -> Start:
    """Load what a stream needs, with a model as the client names it; gives the start with its name. Raises Refusal."""
    try:
        chosen = chosen_model(service, OWN_MODELS, model, start.language)
        return await service.models.prepare(replace(start, model=chosen))
    except OptionError as error:
        raise Refusal(400, "bad_request", str(error)) from error
    except ProtocolError as error:
        raise Refusal(503, error.code, str(error), 5) from error


def describe(service: Service, request_id: str, model: str) -> Request:
    """What answers repeat about their request."""
    created = datetime.fromtimestamp(service.now(), UTC).isoformat(timespec="milliseconds")
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, f"streaming-asr:{model}"))
    return Request(request_id, created.replace("+00:00", "Z"), model, identifier)


def _headers(request: Request, unused: Sequence[str]) -> dict[str, str]:
    """Of the upgrade: what Deepgram says there, and which parameters changed nothing."""
    headers = {
        "dg-request-id": request.request_id,
        "dg-model-name": request.model_name.encode("latin-1", "replace").decode("latin-1"),
        "dg-model-uuid": request.model_uuid,
    }
    ignored = ",".join(name for name in unused if name.isascii() and name.isidentifier())
    return {**headers, "x-ignored-parameters": ignored[:_LONGEST_HEADER]} if ignored else headers


def _offered(subprotocols: Sequence[str]) -> tuple[str | None, str | None]:
    """The scheme and the key that a browser offers as two subprotocols; only the scheme is answered."""
    if len(subprotocols) >= 2 and subprotocols[0].lower() in _SCHEMES:
        return subprotocols[0], subprotocols[1]
    return None, None
