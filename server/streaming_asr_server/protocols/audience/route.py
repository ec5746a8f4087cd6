"""`/v1/views`: makes and ends views; `/v1/views/{view}`: reads one."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.websockets import WebSocket

from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.endpoints import http_route, websocket_route
from streaming_asr_server.connection.forwarding import forward
from streaming_asr_server.connection.serving import caller, check_origin, refusal_response, send_denial
from streaming_asr_server.connection.transport import WebSocketTransport
from streaming_asr_server.protocols.audience.views import View, Views, view_name
from streaming_asr_server.service import Service

_BODY_BYTES: Final = 4096
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{22,100}")
_NAMES: Final = ("secret", "session", "stream")


class AudienceEndpoint:
    """Views of one service."""

    def __init__(self, service: Service) -> None:
        self._service: Final = service
        self._views: Final = Views(maximum_readers=service.settings.max_viewers, now=service.now)
        service.metrics.watch(service.metrics.viewers, lambda: self._views.readers)

    def routes(self) -> list[BaseRoute]:
        return [
            http_route("/v1/views", self.show, "POST"),
            http_route("/v1/views", self.end, "DELETE"),
            http_route("/v1/views/{view}", self.look),
            websocket_route("/v1/views/{view}", self.read),
        ]

    async def show(self, request: Request) -> Response:
        """Make a view, and show a session in it if one is named."""
        try:
            owner = await self._owner(request)
            fields = await _fields(request)
            view = self._views.make(fields["secret"])
            if "session" in fields:
                self._show_session(view, fields, owner)
        except Refusal as refusal:
            return self._refused(refusal)
        body = {"view": view_name(fields["secret"]), "watching": len(view.outboxes)}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def end(self, request: Request) -> Response:
        """End a view."""
        try:
            await self._owner(request)
            self._views.end((await _fields(request))["secret"])
        except Refusal as refusal:
            return self._refused(refusal)
        return Response(status_code=204)

    async def look(self, request: Request) -> Response:
        """Whether there is such a view, whether somebody speaks in it, and how many read."""
        try:
            view = self._views.find(request.path_params["view"])
        except Refusal as refusal:
            return self._refused(refusal)
        body = {"live": view.live, "watching": len(view.outboxes)}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def read(self, websocket: WebSocket) -> None:
        """The websocket of one who reads; its name is all that is asked for."""
        query = websocket.query_params
        after = query.get("after", "-1")
        position = int(after) if re.fullmatch(r"\d{1,9}", after) else -1
        try:
            check_origin(self._service, websocket)
            view = websocket.path_params["view"]
            with self._views.reading(view, after=position, epoch=query.get("epoch", "")) as outbox:
                transport = await WebSocketTransport.accept(websocket)
                await forward(outbox, transport, self._service.settings.write_seconds)
        except Refusal as refusal:
            await send_denial(websocket, self._refused(refusal))

    async def _owner(self, request: Request) -> str:
        check_origin(self._service, request)
        return (await caller(self._service, request)).name

    def _show_session(self, view: View, fields: dict[str, str], owner: str) -> None:
        session = self._service.sessions.find(fields["session"], owner=owner)
        if session is None:
            raise Refusal(404, "no_such_session", "there is no session of this name that this key has opened")
        if session.id not in view.shown:
            view.language = session.options.language or self._service.settings.language
            session.show_to(self._views.show(view, session.id, fields.get("stream", session.id)))

    def _refused(self, refusal: Refusal) -> Response:
        self._service.metrics.refused.labels(refusal.code).inc()
        return refusal_response(refusal)


async def _fields(request: Request) -> dict[str, str]:
    """The members of the body. Raises Refusal."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_BYTES:
            raise Refusal(413, "too_big", f"the body is over {_BODY_BYTES} bytes")
    try:
        fields = json.loads(body)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Refusal(400, "bad_message", f"the body is not JSON: {error}") from error
    return _checked(fields)


def _checked(fields: Any) -> dict[str, str]:
    if not isinstance(fields, dict) or not all(name in _NAMES and isinstance(fields[name], str) for name in fields):
        raise Refusal(400, "bad_message", f"the body must be an object of texts with the members {', '.join(_NAMES)}")
    if not _SECRET.fullmatch(fields.get("secret", "")):
        raise Refusal(400, "bad_option", "secret must be 22 to 100 letters, digits, '-' and '_', made at random")
    if len(fields.get("stream", "")) > 100:
        raise Refusal(400, "bad_option", "stream must be 100 characters at most")
    return fields
