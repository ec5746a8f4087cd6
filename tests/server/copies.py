"""Copies of the server in Ray that tell which of them answers; Ray imports this module by its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streaming_asr_server.cluster import Replica, bound
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import read_settings

HEADER: Final = "x-copy"
NAMED: Final = "tests.server.copies:named"
_ANSWERS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class NamedRecognition(ScriptedRecognition):
    """The scripted recognizer; streams are told the process of their copy as its name."""

    def __init__(self) -> None:
        super().__init__()
        self.name = str(os.getpid())


class NamedReplica(Replica):
    """A copy that puts its process into a header of each answer, refusals too."""

    def __serve_build_asgi_app__(self) -> ASGIApp:
        application = super().__serve_build_asgi_app__()

        async def naming(scope: Scope, receive: Receive, send: Send) -> None:
            async def sign(message: Message) -> None:
                if message["type"] in _ANSWERS:
                    name = (HEADER.encode(), str(os.getpid()).encode())
                    message = {**message, "headers": [*message.get("headers", ()), name]}
                await send(message)

            await application(scope, receive, sign)

        return naming


def named(arguments: Mapping[str, Any]) -> Any:
    """For Ray: the server with a recognizer that has no model, in copies that tell which they are."""
    return bound(read_settings(arguments, environment={}), NamedRecognition, replica=NamedReplica)
