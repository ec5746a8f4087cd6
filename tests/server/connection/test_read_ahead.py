"""What a server in front of the application does not hold back is bounded behind it."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send
from streaming_asr_server.connection.read_ahead import ReadAhead

from streaming_asr.protocol import ProtocolError
from tests.server.speaking import until

pytestmark = pytest.mark.anyio

DISCONNECT: Message = {"type": "websocket.disconnect", "code": 1005}


def audio(size: int) -> Message:
    return {"type": "websocket.receive", "bytes": bytes(size)}


class Client:
    """One who has said all of this already, and then says nothing."""

    def __init__(self, *messages: Message) -> None:
        self.left = list(messages)

    async def receive(self) -> Message:
        while not self.left:  # noqa: ASYNC110 - more is said from outside
            await asyncio.sleep(0.001)
        return self.left.pop(0)

    async def send(self, message: Message) -> None:
        raise AssertionError(f"nothing is sent here, but {message}")


async def taken_by(client: Client, take: int, *, maximum_bytes: int = 100, message_bytes: int = 60) -> list[Message]:
    """So many messages, taken by an application that waits until the client has said everything it may."""
    taken: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await until(lambda: not client.left or taken != [])
        await asyncio.sleep(0.01)
        for _ in range(take):
            taken.append(await receive())

    limited = ReadAhead(application, maximum_bytes=maximum_bytes, message_bytes=message_bytes)
    await limited({"type": "websocket"}, client.receive, client.send)
    return taken


async def test_messages_come_in_order_and_the_disconnect_again_and_again() -> None:
    messages = [audio(10), audio(20), DISCONNECT]
    assert await taken_by(Client(*messages), 4) == [*messages, DISCONNECT]


async def test_what_came_before_the_bound_is_taken_then_the_sender_is_told_and_the_rest_is_forgotten() -> None:
    client = Client(audio(50), audio(50), audio(1), audio(50), audio(50))
    with pytest.raises(ProtocolError, match="more than 100 bytes wait") as problem:
        await taken_by(client, 3)
    assert (problem.value.code, problem.value.kind.resumable) == ("too_fast", True)
    assert client.left == [], "nothing waits before the application"
    assert len(await taken_by(Client(audio(50), audio(50)), 2)) == 2


async def test_what_was_taken_makes_room() -> None:
    client = Client(audio(50))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(20):
            assert len((await receive())["bytes"]) == 50
            client.left.append(audio(50))

    await ReadAhead(application, maximum_bytes=60, message_bytes=60)({"type": "websocket"}, client.receive, client.send)


async def test_one_message_has_a_bound_of_its_own() -> None:
    with pytest.raises(ProtocolError, match="61 bytes; at most 60"):
        await taken_by(Client(audio(61)), 1)


async def test_http_is_none_of_its_business() -> None:
    seen: list[Receive] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(receive)

    client = Client()
    await ReadAhead(application, maximum_bytes=1, message_bytes=1)({"type": "http"}, client.receive, client.send)
    assert seen == [client.receive]


async def test_nothing_runs_on_when_the_application_has_ended() -> None:
    before = asyncio.all_tasks()
    assert await taken_by(Client(audio(1)), 1) == [audio(1)]
    assert asyncio.all_tasks() == before
