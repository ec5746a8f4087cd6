"""OpenAI's `/v1/realtime`, and the REST routes that sell short-lived secrets for it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal, presented_key
from streaming_asr_server.adapter.adapter import ProtocolAdapter
from streaming_asr_server.adapter.choosing import chosen_model
from streaming_asr_server.connection.serving import (
    accept,
    check_origin,
    connection_rules,
    serve_transport,
    serve_websocket,
)
from streaming_asr_server.protocols.openai.client_secrets import (
    LONGEST_SECONDS,
    SHORTEST_SECONDS,
    USUAL_SECONDS,
    ClientSecrets,
    Grant,
)
from streaming_asr_server.protocols.openai.codec import OpenAICodec
from streaming_asr_server.protocols.openai.messages import Dialect
from streaming_asr_server.protocols.openai.session_settings import InvalidSettingError, SessionSettings
from streaming_asr_server.service import Service

_KEY_SUBPROTOCOLS: Final = ("openai-insecure-api-key.", "realtime-token.")
_SUBPROTOCOL: Final = "realtime"
OWN_MODELS: Final = ("gpt-", "whisper-")
"""How the names of OpenAI's own models begin."""

_BETA: Final = "realtime=v1"
_BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
_MAXIMUM_BODY: Final = 64 * 1024
_CODES: Final = {"unauthorized": "invalid_api_key", "too_many_streams": "rate_limit_exceeded"}
_TYPES: Final = {400: "invalid_request_error", 401: "invalid_request_error", 403: "invalid_request_error"}


async def serve_realtime(service: Service, client_secrets: ClientSecrets, websocket: WebSocket) -> None:
    """`/v1/realtime`: a transcription session, in the dialect that the client's headers ask for."""
    offered: Sequence[str] = websocket.scope.get("subprotocols", ())
    grant: Grant | None = None

    async def serve(websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        lifetime = service.settings.stream_seconds
        service.check_loaded()
        codec = OpenAICodec(
            SessionSettings.default(service.models.default.name) if grant is None else grant.settings,
            dialect(websocket),
            session_id=f"sess_{secrets.token_hex(12)}",
            expires_at=int(service.now() + lifetime),
            follows_sense=service.follows_sense,
            choose=partial(chosen_model, service, OWN_MODELS),
        )
        subprotocol = _SUBPROTOCOL if _SUBPROTOCOL in offered else None
        transport = await accept(service, websocket, subprotocol=subprotocol)
        rules = replace(connection_rules(service.settings), start_seconds=lifetime, idle_seconds=lifetime)
        greeting = codec.greeting()
        return await serve_transport(
            service, transport, principal, ProtocolAdapter(codec), rules=rules, greeting=greeting
        )

    async def authenticate(service: Service, connection: HTTPConnection) -> Principal:
        nonlocal grant
        key = _presented(connection)
        grant = None if key is None else await service.asked(client_secrets.find(key))
        return await service.authenticate(key) if grant is None else grant.principal

    await serve_websocket(service, websocket, serve, authenticate=authenticate, deny=denial)


async def create_client_secret(service: Service, client_secrets: ClientSecrets, request: Request) -> Response:
    """`POST /v1/realtime/client_secrets` (GA)."""
    try:
        principal = await _buyer(service, request)
        body = await _body(request)
        settings = _told(service, _object(body.get("session"), "session"))
        seconds = _lifetime(_object(body.get("expires_after"), "expires_after").get("seconds"))
        issued = client_secrets.issue(principal, settings, seconds=seconds)
        secret, expires_at = await service.asked(issued)
    except Refusal as refusal:
        return _refused(service, refusal)
    session = settings.json("ga", session_id=f"sess_{secrets.token_hex(12)}", expires_at=0)
    return _fresh({"value": secret, "expires_at": expires_at, "session": session})


async def create_transcription_session(service: Service, client_secrets: ClientSecrets, request: Request) -> Response:
    """`POST /v1/realtime/transcription_sessions` (beta): the settings stand at the top of the body."""
    try:
        principal = await _buyer(service, request)
        body = await _body(request)
        settings = _told(service, body)
        wanted = _object(body.get("client_secret"), "client_secret")
        seconds = _lifetime(_object(wanted.get("expires_at"), "client_secret.expires_at").get("seconds"))
        issued = client_secrets.issue(principal, settings, seconds=seconds)
        secret, expires_at = await service.asked(issued)
    except Refusal as refusal:
        return _refused(service, refusal)
    session = settings.json("beta", session_id=f"sess_{secrets.token_hex(12)}", expires_at=0)
    return _fresh({**session, "client_secret": {"value": secret, "expires_at": expires_at}})


def dialect(connection: HTTPConnection) -> Dialect:
    """Beta for those who say so in a header or, in a browser, as a subprotocol."""
    announced = _BETA in connection.headers.get("openai-beta", "")
    return "beta" if announced or _BETA_SUBPROTOCOL in connection.scope.get("subprotocols", ()) else "ga"


def denial(refusal: Refusal) -> Response:
    """A refusal as OpenAI's clients expect it."""
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    error = {
        "message": str(refusal),
        "type": _TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "rate_limit_error"),
        "code": _CODES.get(refusal.code, refusal.code),
        "param": None,
    }
    return JSONResponse({"error": error}, status_code=refusal.status, headers=headers)


def _presented(connection: HTTPConnection) -> str | None:
    """The key in `Authorization`, `X-API-Key`, `api-key`, a browser's subprotocol, or the query."""
    for offered in connection.scope.get("subprotocols", ()):
        for prefix in _KEY_SUBPROTOCOLS:
            if offered.startswith(prefix):
                return str(offered.removeprefix(prefix))
    headers, query = connection.headers, connection.query_params
    return presented_key(headers, query) or query.get("api_key")


async def _buyer(service: Service, request: Request) -> Principal:
    """Whose key buys a secret; secrets and tokens do not buy others. Raises Refusal."""
    check_origin(service, request)
    return await service.authenticate(_presented(request), tokens=False)


async def _body(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request, empty if there is none. Raises Refusal."""
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > _MAXIMUM_BODY:
            raise Refusal(413, "too_big", f"the body is over {_MAXIMUM_BODY} bytes")
    try:
        return _object(json.loads(received or b"{}"), "the body")
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "invalid_json", "the body is not JSON") from error


def _told(service: Service, session: Mapping[str, Any]) -> SessionSettings:
    service.check_loaded()
    try:
        settings = SessionSettings.default(service.models.default.name).updated(session)
        chosen_model(service, OWN_MODELS, settings.model, settings.language)
        return settings
    except (InvalidSettingError, OptionError) as error:
        raise Refusal(400, "invalid_value", str(error)) from error


def _object(value: object, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(400, "invalid_type", f"{name} must be an object")
    return value


def _lifetime(seconds: object) -> int:
    if seconds is None:
        return USUAL_SECONDS
    if type(seconds) is not int or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        message = f"seconds is {seconds!r}; it must be from {SHORTEST_SECONDS} to {LONGEST_SECONDS}"
        raise Refusal(400, "invalid_value", message)
    return seconds


def _refused(service: Service, refusal: Refusal) -> Response:
    service.metrics.refused.labels(refusal.code).inc()
    return denial(refusal)


def _fresh(body: Mapping[str, Any]) -> Response:
    return JSONResponse(body, headers={"Cache-Control": "no-store"})
