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
    """The one model of this server, in a list."""
    try:
        model = await _model(service, created, request)
    except Refusal as refusal:
        return denial(refusal)
    return JSONResponse({"object": "list", "data": [model]})


async def show_model(service: Service, created: int, request: Request) -> Response:
    """The one model of this server, by its name."""
    try:
        model = await _model(service, created, request)
        if request.path_params["name"] != model["id"]:
            wanted = request.path_params["name"]
            raise Refusal(404, "model_not_found", f"there is no model {wanted!r:.100}; there is {model['id']!r}")
    except Refusal as refusal:
        return denial(refusal)
    return JSONResponse(model)


async def _model(service: Service, created: int, request: Request) -> dict[str, Any]:
    check_origin(service, request)
    await caller(service, request)
    return {"id": service.recognition.name, "object": "model", "created": created, "owned_by": "streaming-asr"}
