"""Vosk's websocket server: a path of the main port, and a port of its own on which any path will do."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal
from streaming_asr_server.adapter.adapter import ProtocolAdapter
from streaming_asr_server.connection.serving import accept, connection_rules, serve_transport, serve_websocket
from streaming_asr_server.protocols.vosk.codec import VoskCodec, VoskDefaults
from streaming_asr_server.running import PortServer, uvicorn_config
from streaming_asr_server.service import Service

logger = logging.getLogger(__name__)


async def serve_vosk(service: Service, websocket: WebSocket, *, model: str | None = None) -> None:
    """One connection, with the model of its port, else with the one that its path names.

    The original asks for no key; a server with keys takes one in a header or as `?token=`.
    """

    async def serve(websocket: WebSocket, principal: Principal) -> ProtocolError | None:
        settings = service.settings
        service.check_loaded()
        chosen = model or _model_of_path(service, websocket)
        # The original waits for ever; pings find out who has gone, and the length of a stream bounds the rest.
        patience = settings.stream_seconds
        rules = replace(connection_rules(settings), start_seconds=patience, idle_seconds=patience)
        codec = ProtocolAdapter(VoskCodec(VoskDefaults(settings.vosk_sample_rate, model=chosen)))
        transport = await accept(service, websocket)
        return await serve_transport(service, transport, principal, codec, rules=rules)

    await serve_websocket(service, websocket, serve)


def _model_of_path(service: Service, websocket: WebSocket) -> str:
    """The model of `/v1/vosk/NAME`, or of `/NAME` on a port of Vosk's; where there is only one, any path is it.

    Raises Refusal.
    """
    name = websocket.path_params.get("name", "").strip("/")
    if not name or len(service.models) == 1:
        return service.models.default.name
    try:
        return service.models.find(name).name
    except OptionError as error:
        raise Refusal(404, "not_found", str(error)) from error


@asynccontextmanager
async def vosk_port(service: Service, host: str, port: int, model: str | None = None) -> AsyncIterator[int]:
    """Listen on a port of its own until the context ends; gives the port. Raises OSError if it is taken.

    `model` is the only one of that port; without it the path may name one.
    """
    ports = service.ports
    listeners = [] if ports is not None else [socket.create_server((host, port), family=_family(host))]
    bound = int(listeners[0].getsockname()[1]) if listeners else port

    async def endpoint(websocket: WebSocket) -> None:
        await serve_vosk(service, websocket, model=model)

    application = Starlette(routes=[WebSocketRoute("/{name:path}", endpoint)])
    config = uvicorn_config(application, replace(service.settings, host=host, port=port))
    server = PortServer(config, ports)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=listeners)
    ticking = asyncio.create_task(server.main_loop(), name="vosk port")
    logger.info("vosk", extra={"host": host, "port": bound, "model": model})
    try:
        yield bound
    finally:
        server.should_exit = True
        await asyncio.gather(ticking, return_exceptions=True)
        await server.shutdown(sockets=listeners)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
