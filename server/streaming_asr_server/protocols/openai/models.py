"""`GET /v1/models` and `GET /v1/models/NAME`: clients ask which models there are before they use one."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.serving import caller, check_origin
from streaming_asr_server.protocols.openai.route import denial
from streaming_asr_server.service import Service


async def list_models(service: Service, created: int, request: Request) -> Response:
    """The models of this server."""
    try:
        models = await _models(service, created, request)
    except Refusal as refusal:
        return denial(refusal)
    return JSONResponse({"object": "list", "data": list(models.values())})


async def show_model(service: Service, created: int, request: Request) -> Response:
    """One model of this server, by its name."""
    wanted = request.path_params["name"]
    try:
        models = await _models(service, created, request)
        if wanted not in models:
            there = ", ".join(map(repr, models))
            raise Refusal(404, "model_not_found", f"there is no model {wanted!r:.100}; there is {there}")
    except Refusal as refusal:
        return denial(refusal)
    return JSONResponse(models[wanted])


async def _models(service: Service, created: int, request: Request) -> dict[str, dict[str, Any]]:
    """By name. Raises Refusal."""
    check_origin(service, request)
    await caller(service, request)
    service.check_loaded()
    more = {"object": "model", "created": created, "owned_by": "streaming-asr"}
    return {name: {"id": name, **more} for name in service.models.names}
