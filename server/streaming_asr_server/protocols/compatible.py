"""The routes of the wire protocols that other clients already speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streaming_asr_server.protocols.deepgram.route import serve_deepgram
from streaming_asr_server.protocols.openai.client_secrets import ClientSecrets
from streaming_asr_server.protocols.openai.route import (
    create_client_secret,
    create_transcription_session,
    serve_realtime,
)
from streaming_asr_server.service import Service


def routes(service: Service) -> list[BaseRoute]:
    """All of them, for `create_application(more_routes=...)`."""
    secrets = ClientSecrets(lambda: service.now())
    return [
        WebSocketRoute("/v1/listen", _websocket(partial(serve_deepgram, service))),
        WebSocketRoute("/v1/realtime", _websocket(partial(serve_realtime, service, secrets))),
        Route("/v1/realtime/client_secrets", _http(partial(create_client_secret, service, secrets)), methods=["POST"]),
        Route(
            "/v1/realtime/transcription_sessions",
            _http(partial(create_transcription_session, service, secrets)),
            methods=["POST"],
        ),
    ]


def _websocket(serve: Callable[[WebSocket], Awaitable[None]]) -> Callable[[WebSocket], Awaitable[None]]:
    """A handler as Starlette wants it: partial objects would be taken for ASGI applications."""

    async def endpoint(websocket: WebSocket) -> None:
        await serve(websocket)

    return endpoint


def _http(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handle(request)

    return endpoint
