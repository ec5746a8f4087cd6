"""One connection over a transport in memory: what ends it, in which order, and what becomes of its session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from streaming_asr_server.connection.connection import Connection, ConnectionRules
from streaming_asr_server.connection.native import NativeCodec
from streaming_asr_server.connection.transport import TransportClosedError
from streaming_asr_server.offers import Offer
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.sessions.messages import OpenSession
from streaming_asr_server.sessions.registry import Opened, SessionRegistry
from streaming_asr_server.sessions.session import SessionRules

from streaming_asr.protocol import Limits, ProtocolError
from tests.server.sessions.meters import IdleMeter
from tests.server.speaking import pcm, until

pytestmark = pytest.mark.anyio

START = '{"type": "start"}'


@dataclass
class MemoryTransport:
    """Both ends of a connection: the test puts messages in and sees what was sent."""

    incoming: asyncio.Queue[str | bytes | None] = field(default_factory=asyncio.Queue)
    sent: list[dict[str, Any]] = field(default_factory=list)
    closed: int | None = None
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False

    def __post_init__(self) -> None:
        self.reading.set()

    def say(self, *messages: str | bytes | None) -> None:
        for message in messages:
            self.incoming.put_nowait(message)

    async def receive(self, offer: Offer | None = None) -> str | bytes | None:
        return await self.incoming.get()

    async def send(self, data: str | bytes) -> None:
        await self.reading.wait()
        if self.gone:
            raise TransportClosedError("gone")
        self.sent.append(json.loads(data))

    async def close(self, code: int, reason: str) -> None:
        await self.reading.wait()
        self.closed = code

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.sent if message["type"] != "acknowledged"]


@dataclass
class Running:
    """A connection that runs, with the registry of its session."""

    transport: MemoryTransport
    connection: Connection
    sessions: SessionRegistry
    ended: asyncio.Task[ProtocolError | None]

    async def error(self) -> ProtocolError | None:
        return await asyncio.wait_for(self.ended, 5)


@asynccontextmanager
async def running(
    recognition: ScriptedRecognition | None = None, *, transport: MemoryTransport | None = None, **rules: float
) -> AsyncIterator[Running]:
    sessions = SessionRegistry(recognition or ScriptedRecognition(), rules=SessionRules())
    transport = transport or MemoryTransport()

    async def open_session(wanted: OpenSession) -> Opened:
        return sessions.open(wanted, owner="a", meter=IdleMeter())

    codec = NativeCodec(limits=Limits())
    connection = Connection(
        transport, codec, sessions=sessions, open_session=open_session, rules=ConnectionRules(**rules)
    )
    ended = asyncio.create_task(connection.run())
    try:
        yield Running(transport, connection, sessions, ended)
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
        await sessions.close()


async def test_a_finished_stream_is_closed_and_its_session_forgotten() -> None:
    async with running() as run:
        run.transport.say(START, pcm(17), '{"type": "finish"}')
        assert await run.error() is None
        assert run.transport.closed == 1000
        assert run.transport.kinds()[0] == "started"
        assert run.transport.kinds()[-1] == "finished"
        assert len(run.sessions) == 0


async def test_the_session_of_a_lost_connection_is_kept() -> None:
    async with running() as run:
        run.transport.say(START, pcm(17), None)
        assert await run.error() is None
        assert len(run.sessions) == 1
        assert run.transport.closed is None


async def test_a_client_that_went_while_something_was_sent_is_no_error() -> None:
    async with running() as run:
        run.transport.gone = True
        run.transport.say(START)
        assert await run.error() is None
        assert len(run.sessions) == 1


@pytest.mark.parametrize(
    ("messages", "code", "close"),
    [
        ((pcm(17),), "out_of_order", 4400),
        ((START, START), "out_of_order", 4400),
        (("nonsense",), "bad_message", 4400),
        (('{"type": "start", "sample_rate": 1}',), "bad_option", 4400),
    ],
)
async def test_a_wrong_message_ends_in_an_error_and_a_close(messages: tuple[str], code: str, close: int) -> None:
    async with running() as run:
        run.transport.say(*messages)
        error = await run.error()
        assert error is not None
        assert (error.code, run.transport.sent[-1]["code"]) == (code, code)
        assert run.transport.closed == close
        assert len(run.sessions) == 0


async def test_the_first_failure_counts_and_what_waits_is_sent_before_it() -> None:
    async with running() as run:
        run.transport.say(START, pcm(17, 0, 0, 0))
        await until(lambda: "speech_ended" in run.transport.kinds())
        run.connection.fail(ProtocolError("going_away", "first"))
        run.connection.fail(ProtocolError("internal", "second"))
        error = await run.error()
        assert error is not None
        assert (error.code, run.transport.sent[-1]["message"]) == ("going_away", "first")
        assert len(run.sessions) == 1, "it can be resumed"


async def test_a_client_without_a_first_message_and_one_without_a_next_are_told_apart() -> None:
    async with running(start_seconds=0.05) as run:
        error = await run.error()
        assert error is not None
        assert error.code == "start_timeout"
    async with running(idle_seconds=0.05) as run:
        run.transport.say(START)
        error = await run.error()
        assert error is not None
        assert error.code == "idle"


async def test_a_client_that_does_not_read_is_closed_and_can_resume() -> None:
    async with running(write_seconds=0.05, closing_seconds=0.05) as run:
        run.transport.reading.clear()
        run.transport.say(START)
        error = await run.error()
        assert error is not None
        assert error.code == "slow_reader"
        assert len(run.sessions) == 1


async def test_a_cancelled_connection_lets_go_of_its_session() -> None:
    async with running() as run:
        run.transport.say(START)
        await until(lambda: len(run.sessions) == 1)
        run.ended.cancel()
        await asyncio.gather(run.ended, return_exceptions=True)
        (session,) = run.sessions
        assert session.alive


@dataclass
class OfferingTransport(MemoryTransport):
    """Offers what is said while the connection waits for it, as the server's websockets do."""

    offer: Offer | None = None
    taken: int = 0

    def say(self, *messages: str | bytes | None) -> None:
        for message in messages:
            if message is not None and self.offer is not None and self.incoming.empty() and self.offer(message):
                self.taken += 1
            else:
                self.incoming.put_nowait(message)

    async def receive(self, offer: Offer | None = None) -> str | bytes | None:
        self.offer = offer
        try:
            return await self.incoming.get()
        finally:
            self.offer = None


async def test_messages_taken_on_the_spot_keep_their_order_among_the_others() -> None:
    big = pcm(*[number for word in range(17, 29) for number in (word, word + 1, 0, 0, 0)])
    async with running(transport=OfferingTransport()) as run:
        transport = run.transport
        assert isinstance(transport, OfferingTransport)
        transport.say(START)
        await until(lambda: transport.offer is not None and bool(transport.sent))
        transport.say(pcm(17), pcm(18), big, pcm(19), pcm(20))
        await until(lambda: transport.incoming.empty() and transport.offer is not None)
        transport.say(pcm(21), '{"type": "finalize"}', pcm(22), '{"type": "finish"}')
        assert await run.error() is None
        assert transport.taken == 2 + 4, "the big one is left to the reader, and what came before it was done"
        texts = [message["text"] for message in transport.sent if message["type"] == "final"]
        assert texts == ["w17 w18 w17 w18", *(f"w{n} w{n + 1}" for n in range(18, 29)), "w19 w20 w21", "w22"]


async def test_a_wrong_message_that_is_taken_on_the_spot_ends_the_connection_too() -> None:
    async with running(transport=OfferingTransport()) as run:
        transport = run.transport
        assert isinstance(transport, OfferingTransport)
        transport.say(START)
        await until(lambda: transport.offer is not None and bool(transport.sent))
        transport.say("nonsense", pcm(17))
        error = await run.error()
        assert error is not None
        assert (error.code, transport.closed, transport.taken) == ("bad_message", 4400, 1)


async def test_what_is_taken_on_the_spot_keeps_a_connection_alive() -> None:
    async with running(transport=OfferingTransport(), idle_seconds=0.3) as run:
        transport = run.transport
        assert isinstance(transport, OfferingTransport)
        transport.say(START)
        await until(lambda: transport.offer is not None and bool(transport.sent))
        for _ in range(8):
            transport.say(pcm(17))
            await asyncio.sleep(0.1)
        assert transport.taken == 8
        assert not run.ended.done()
        error = await run.error()
        assert error is not None
        assert error.code == "idle"


class BrokenTransport(MemoryTransport):
    """A socket that gives up by itself."""

    tries = 0

    async def receive(self, offer: Offer | None = None) -> str | bytes | None:
        self.tries += 1
        raise TimeoutError("the peer does not answer")


async def test_a_socket_that_times_out_by_itself_is_not_asked_again_and_again() -> None:
    async with running(transport=BrokenTransport(), start_seconds=60) as run:
        error = await run.error()
        assert error is not None
        assert error.code == "start_timeout"
        assert isinstance(run.transport, BrokenTransport)
        assert run.transport.tries == 1
