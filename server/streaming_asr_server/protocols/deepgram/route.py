"""Deepgram's `/v1/listen`: who may connect, what they asked for, and how they are refused."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ProtocolError, Start
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal, presented_key
from streaming_asr_server.adapter.adapter import ProtocolAdapter
from streaming_asr_server.connection.serving import accept, connection_rules, serve_transport, serve_websocket
from streaming_asr_server.protocols.deepgram.codec import IDLE_SECONDS, DeepgramCodec
from streaming_asr_server.protocols.deepgram.messages import Request
from streaming_asr_server.protocols.deepgram.options import Listen, UnusableQueryError, parse
from streaming_asr_server.service import Service

_SCHEMES: Final = ("token", "bearer")
_LONGEST_HEADER: Final = 500


async def serve_deepgram(service: Service, websocket: WebSocket) -> None:
    """`/v1/listen`: parameters are checked and a place is taken before the upgrade, so that a refusal is HTTP."""
    request_id = str(uuid.uuid4())

    async def serve(websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        listen = _listen(service, websocket)
        request = describe(service, request_id)
        scheme, _ = _offered(websocket.scope.get("subprotocols", ()))
        transport = await accept(service, websocket, subprotocol=scheme, headers=_headers(request, listen))
        rules = replace(connection_rules(service.settings), start_seconds=IDLE_SECONDS, idle_seconds=IDLE_SECONDS)
        codec = ProtocolAdapter(DeepgramCodec(listen, request))
        return await serve_transport(service, transport, principal, codec, rules=rules)

    def deny(refusal: Refusal) -> Response:
        return denial(refusal, request_id)

    await serve_websocket(service, websocket, serve, authenticate=authenticate, deny=deny)


def authenticate(service: Service, connection: HTTPConnection) -> Principal:
    """By `Authorization: Token KEY` or `Bearer KEY`, or by the subprotocols `token, KEY`. Raises Refusal."""
    _, key = _offered(connection.scope.get("subprotocols", ()))
    return service.authenticate(key or presented_key(connection.headers, connection.query_params))


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


def _listen(service: Service, websocket: WebSocket) -> Listen:
    """What the query asks for. Raises Refusal."""
    try:
        listen = parse(websocket.query_params.multi_items())
        service.recognition.open(Start(language=listen.language)).close()
    except (UnusableQueryError, OptionError) as error:
        raise Refusal(400, "bad_request", str(error)) from error
    return listen


def describe(service: Service, request_id: str) -> Request:
    """What answers repeat about their request. Raises Refusal while the model is being loaded."""
    created = datetime.fromtimestamp(service.now(), UTC).isoformat(timespec="milliseconds")
    name = service.recognition.name
    model = str(uuid.uuid5(uuid.NAMESPACE_URL, f"streaming-asr:{name}"))
    return Request(request_id, created.replace("+00:00", "Z"), name, model)


def _headers(request: Request, listen: Listen) -> dict[str, str]:
    """Of the upgrade: what Deepgram says there, and which parameters changed nothing."""
    headers = {
        "dg-request-id": request.request_id,
        "dg-model-name": request.model_name.encode("latin-1", "replace").decode("latin-1"),
        "dg-model-uuid": request.model_uuid,
    }
    ignored = ",".join(name for name in listen.ignored if name.isascii() and name.isidentifier())
    return {**headers, "x-ignored-parameters": ignored[:_LONGEST_HEADER]} if ignored else headers


def _offered(subprotocols: Sequence[str]) -> tuple[str | None, str | None]:
    """The scheme and the key that a browser offers as two subprotocols; only the scheme is answered."""
    if len(subprotocols) >= 2 and subprotocols[0].lower() in _SCHEMES:
        return subprotocols[0], subprotocols[1]
    return None, None
