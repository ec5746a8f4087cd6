"""The ASGI application: routes, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streaming_asr.protocol import PATH
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.serving import caller, check_origin, refusal_response, serve_native
from streaming_asr_server.metrics import CONTENT_TYPE
from streaming_asr_server.pages import CaptionPage, web_folder
from streaming_asr_server.protocols import compatible
from streaming_asr_server.protocols.more_protocols import MoreProtocols
from streaming_asr_server.protocols.openai.transcriptions import transcribe
from streaming_asr_server.service import Service


def create_application(
    service: Service, *, web: Path | None = None, more_routes: Sequence[BaseRoute] = ()
) -> Starlette:
    """The server as an ASGI application; it loads the recognizer when it starts up.

    `more_routes` are other protocols; `web` is the folder of the caption page, by default the one that is installed.
    """

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            async with more.running():
                yield
        finally:
            await service.stop()

    more = MoreProtocols(service)
    routes: list[BaseRoute] = [
        WebSocketRoute(PATH, _websocket(partial(serve_native, service))),
        Route("/v1/tokens", _http(partial(issue_token, service)), methods=["POST"]),
        Route("/v1/audio/transcriptions", _http(partial(transcribe, service)), methods=["POST"]),
        Route("/healthz", _http(health)),
        Route("/readyz", _http(partial(readiness, service))),
        Route("/metrics", _http(partial(show_metrics, service))),
        *compatible.routes(service),
        *more.routes(),
        *more_routes,
        Mount("/", CaptionPage(web or web_folder())),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def issue_token(service: Service, request: Request) -> Response:
    """`POST /v1/tokens`: a browser token for the owner of an API key; a token does not buy another token."""
    try:
        check_origin(service, request)
        principal = caller(service, request, tokens=False)
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        return refusal_response(refusal)
    body = {"token": service.tokens.issue(principal), "expires_in": service.tokens.lifetime}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def health(request: Request) -> Response:
    """`/healthz`: the event loop runs."""
    return PlainTextResponse("ok\n")


async def readiness(service: Service, request: Request) -> Response:
    """`/readyz`: whether a new stream would be taken."""
    status = service.admission.status
    if status == "ready":
        return JSONResponse({"status": status})
    return JSONResponse({"status": status}, status_code=503, headers={"Retry-After": "5"})


async def show_metrics(service: Service, request: Request) -> Response:
    """`/metrics`, for Prometheus."""
    return Response(service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _http(handle: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A handler as Starlette wants it: partial objects would be taken for ASGI applications."""

    async def endpoint(request: Request) -> Response:
        return await handle(request)

    return endpoint


def _websocket(handle: Callable[[WebSocket], Awaitable[None]]) -> Callable[[WebSocket], Awaitable[None]]:
    async def endpoint(websocket: WebSocket) -> None:
        await handle(websocket)

    return endpoint
