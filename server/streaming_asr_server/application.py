"""The ASGI application: routes, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute

from streaming_asr.errors import OptionError
from streaming_asr.protocol import PATH
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.endpoints import http_route, websocket_route
from streaming_asr_server.connection.serving import caller, check_origin, refusal_response, serve_native
from streaming_asr_server.connection.unknown import unknown_routes
from streaming_asr_server.metrics import CONTENT_TYPE
from streaming_asr_server.models.model import Model
from streaming_asr_server.pages import pages
from streaming_asr_server.protocols.routes import Protocols, denial_for
from streaming_asr_server.running import reloading_on_hangup
from streaming_asr_server.service import Service


def create_application(service: Service, *, web: Path | None = None) -> Starlette:
    """The server as an ASGI application; it loads the recognizer when it starts up.

    `web` is the folder of the caption page, by default the one that is installed.
    """

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with service.peers.running():
            service.start()
            try:
                async with protocols.running():
                    with reloading_on_hangup(service):
                        yield
            finally:
                await service.stop()

    protocols = Protocols(service)
    routes: list[BaseRoute] = [
        websocket_route(PATH, partial(serve_native, service)),
        http_route("/v1/tokens", partial(issue_token, service), "POST"),
        http_route("/v1/models/{name:path}/reload", partial(reload_model, service), "POST"),
        http_route("/healthz", health),
        http_route("/readyz", partial(readiness, service)),
        http_route("/v1/info", partial(show_info, service)),
        http_route("/metrics", partial(show_metrics, service)),
        *protocols.routes(),
    ]
    routes += [
        *unknown_routes(tuple(routes), denial_for),
        *pages(web),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=_cross_origin(service.settings.allow_origin))


def _cross_origin(origins: Sequence[str]) -> list[Middleware]:
    """Lets pages of other origins read answers in HTTP, where these may connect at all."""
    if not origins:
        return []
    headers, methods = ["Authorization", "Content-Type", "X-API-Key"], ["GET", "POST", "DELETE"]
    return [Middleware(CORSMiddleware, allow_origins=origins, allow_methods=methods, allow_headers=headers)]


async def issue_token(service: Service, request: Request) -> Response:
    """`POST /v1/tokens`: a browser token for the owner of an API key; a token does not buy another token."""
    try:
        check_origin(service, request)
        principal = await caller(service, request, tokens=False)
        token = await service.asked(service.tokens.issue(principal))
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        return refusal_response(refusal)
    body = {"token": token, "expires_in": service.tokens.lifetime}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def reload_model(service: Service, request: Request) -> Response:
    """`POST /v1/models/NAME/reload`: load a model anew, for the owner of a key that may."""
    try:
        check_origin(service, request)
        principal = await caller(service, request, tokens=False)
        if not principal.reload:
            raise Refusal(403, "forbidden", "this takes a key with reload = true; else send the server SIGHUP")
        if service.settings.workers > 1:
            raise Refusal(409, "one_of_several", "this would reach one worker alone; send the server SIGHUP")
        if service.settings.cluster:
            raise Refusal(409, "one_of_several", "this would reach one copy alone; name another folder and deploy anew")
        service.check_loaded()
        model = await _reloaded(service, request.path_params["name"])
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        return refusal_response(refusal)
    return JSONResponse({"model": model.name, "state": model.state})


async def _reloaded(service: Service, name: str) -> Model:
    """Raises Refusal."""
    try:
        model = service.models.find(name)
    except OptionError as error:
        raise Refusal(404, "not_found", str(error)) from error
    try:
        await model.reload()
    except Exception as error:
        message = f"the model {model.name!r} cannot be loaded and goes on as it was; the server's log says why"
        raise Refusal(500, "reload_failed", message) from error
    return model


async def health(request: Request) -> Response:
    """`/healthz`: the event loop runs."""
    return PlainTextResponse("ok\n")


async def readiness(service: Service, request: Request) -> Response:
    """`/readyz`: whether a new stream would be taken."""
    status = service.status
    body = {"status": status, "models": {model.name: model.state for model in service.models}}
    if status == "ready":
        return JSONResponse(body)
    return JSONResponse(body, status_code=503, headers={"Retry-After": "5"})


async def show_info(service: Service, request: Request) -> Response:
    """`/v1/info`: the models, the first of which is that of streams that name none, and the languages of each."""
    try:
        service.check_loaded()
    except Refusal as refusal:
        return refusal_response(refusal)
    models = [{"name": model.name, "languages": list(model.languages)} for model in service.models]
    return JSONResponse({"model": models[0]["name"], "languages": models[0]["languages"], "models": models})


async def show_metrics(service: Service, request: Request) -> Response:
    """`/metrics`, for Prometheus."""
    return Response(service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
