"""`/v1/views`: makes and ends views; `/v1/views/{view}`: reads one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
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
from streaming_asr_server.protocols.audience.happenings import from_json, to_json
from streaming_asr_server.protocols.audience.view import View
from streaming_asr_server.protocols.audience.views import Views
from streaming_asr_server.service import Service

_BODY_BYTES: Final = 4096
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{22,100}")
_NAMES: Final = ("secret", "session", "stream")
_CHANNEL: Final = "audience"


class AudienceEndpoint:
    """Views of one service; with several workers, all of them have all views."""

    def __init__(self, service: Service) -> None:
        self._service: Final = service
        self._views: Final = Views(
            maximum_readers=service.settings.max_viewers,
            now=service.now,
            index=service.peers.index,
            tell=lambda happening: service.peers.tell(_CHANNEL, to_json(happening)),
        )
        service.peers.join(_CHANNEL, self)
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
                await self._show_session(view, fields, owner)
        except Refusal as refusal:
            return self._refused(refusal)
        body = {"view": view.name, "watching": await self._watching(view)}
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
        body = {"live": view.live, "watching": await self._watching(view)}
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

    def told(self, origin: int, message: Any) -> None:
        self._views.told(origin, from_json(message))

    def asked(self, question: Any) -> Any:
        """A session that shall be shown: whether it is here. The name of a view: who reads it here."""
        match question:
            case {"show": wanted}:
                return self._shows(wanted)
            case {"watching": name}:
                return self._views.readers_of(name)

    def known(self) -> Iterable[Any]:
        return map(to_json, self._views.known())

    def gone(self, origin: int) -> None:
        self._views.gone(origin)

    async def _owner(self, request: Request) -> str:
        check_origin(self._service, request)
        return (await caller(self._service, request)).name

    async def _show_session(self, view: View, fields: dict[str, str], owner: str) -> None:
        """By the worker that has it. Raises Refusal if none has."""
        session = fields["session"]
        wanted = {"view": view.name, "session": session, "stream": fields.get("stream", session), "owner": owner}
        if self._shows(wanted) or any(await self._service.peers.ask(_CHANNEL, {"show": wanted})):
            return
        self._service.check_loaded()
        raise Refusal(404, "no_such_session", "there is no session of this name that this key has opened")

    def _shows(self, wanted: Mapping[str, str]) -> bool:
        """Show a session if this worker has it."""
        try:
            view = self._views.find(wanted["view"])
            session = self._service.sessions.find(wanted["session"], owner=wanted["owner"])
        except Refusal:
            return False
        if session is None:
            return False
        if session.id not in view.shown:
            language = session.options.language or self._service.settings.language
            session.show_to(self._views.show(view, session.id, wanted["stream"], language))
        return True

    async def _watching(self, view: View) -> int:
        """Who reads, at all workers."""
        elsewhere: list[int] = await self._service.peers.ask(_CHANNEL, {"watching": view.name})
        return len(view.outboxes) + sum(elsewhere)

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
