"""Answers for addresses and methods that are not there, in the shape of the interface that the caller expects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, WebSocketRoute
from starlette.websockets import WebSocket

from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.serving import Deny, send_denial

DenialFor: TypeAlias = Callable[[str], Deny]
"""How the interface that a path belongs to writes a refusal."""

_PREFIXES: Final = ("/v1", "/v2")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def unknown_routes(known: Sequence[BaseRoute], denial_for: DenialFor) -> list[BaseRoute]:
    """Routes to stand behind the known ones; other paths than those of interfaces are left to the pages."""

    async def http(request: Request) -> Response:
        refusal, headers = _refusal(known, request, request.method)
        response = denial_for(request.url.path)(refusal)
        response.headers.update(headers)
        return response

    async def websocket(websocket: WebSocket) -> None:
        refusal = Refusal(404, "not_found", f"there is no websocket at {websocket.url.path!r:.200}")
        await send_denial(websocket, denial_for(websocket.url.path)(refusal))

    interfaces = [Route(f"{prefix}/{{rest:path}}", http, methods=list(_METHODS)) for prefix in _PREFIXES]
    return [*interfaces, WebSocketRoute("/{rest:path}", websocket)]


def _refusal(known: Sequence[BaseRoute], connection: HTTPConnection, method: str) -> tuple[Refusal, dict[str, str]]:
    path = connection.url.path
    allowed = {name for route in known for name in _methods(route, connection)}
    if allowed:
        shown = ", ".join(sorted(allowed))
        return Refusal(405, "method_not_allowed", f"{path!r:.200} takes {shown}, not {method}"), {"Allow": shown}
    if any(_is_websocket(route, connection) for route in known):
        return Refusal(426, "upgrade_required", f"{path!r:.200} is a websocket"), {"Upgrade": "websocket"}
    return Refusal(404, "not_found", f"there is nothing at {path!r:.200}"), {}


def _methods(route: BaseRoute, connection: HTTPConnection) -> set[str]:
    """The methods of a route that has this path."""
    if not isinstance(route, Route) or route.matches(dict(connection.scope))[0] is Match.NONE:
        return set()
    return route.methods or set()


def _is_websocket(route: BaseRoute, connection: HTTPConnection) -> bool:
    scope = {**connection.scope, "type": "websocket"}
    return isinstance(route, WebSocketRoute) and route.matches(scope)[0] is not Match.NONE
