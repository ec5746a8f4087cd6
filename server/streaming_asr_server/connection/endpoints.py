"""Routes for handlers that are partial objects or methods; Starlette would take those for ASGI applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


def http_route(path: str, handle: Callable[[Request], Awaitable[Response]], method: str = "GET") -> Route:
    """A route of HTTP with one method."""

    async def endpoint(request: Request) -> Response:
        return await handle(request)

    return Route(path, endpoint, methods=[method])


def websocket_route(path: str, serve: Callable[[WebSocket], Awaitable[None]]) -> WebSocketRoute:
    """A route of websockets."""

    async def endpoint(websocket: WebSocket) -> None:
        await serve(websocket)

    return WebSocketRoute(path, endpoint)
