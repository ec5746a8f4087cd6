"""The client against a server that does what the test wants, made of the protocol's own server end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from streaming_asr_client import (
    Backoff,
    ClientOptions,
    ConnectionLostError,
    RefusedError,
    RemoteRecognizer,
    StreamFailedError,
    connect,
)
from streaming_asr_client.addresses import stream_address
from streaming_asr_client.connection import encoded
from streaming_asr_client.event_queue import EventQueue
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from streaming_asr.errors import AudioError, OptionError, StreamClosedError
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted
from streaming_asr.protocol import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    Failure,
    Finish,
    Finished,
    KeepAlive,
    Limits,
    ServerEnd,
    ServerMessage,
    Start,
    Started,
)

pytestmark = pytest.mark.anyio

FAST = ClientOptions(backoff=Backoff(first=0.001, longest=0.01, give_up_seconds=0.3))


class ServerSide:
    """The server's side of one connection."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.end = ServerEnd()

    async def receive(self) -> Any:
        data = await self.websocket.recv()
        return self.end.receive(data)

    async def send(self, *messages: ServerMessage) -> None:
        for message in messages:
            await self.websocket.send(self.end.send(message))

    async def receive_start(self, first_sample: int = 0, *, idle_seconds: float = 60) -> Start:
        start = await self.receive()
        assert isinstance(start, Start)
        await self.send(
            Started(
                session="s",
                model="m",
                first_sample=first_sample,
                resumed="position" if start.resume else "no",
                options=start,
                unspellable=(),
                limits=Limits(idle_seconds=idle_seconds),
            )
        )
        return start

    async def receive_all(self) -> bytes:
        """All audio up to `finish`."""
        received = b""
        while not isinstance(message := await self.receive(), Finish):
            received += message.data if isinstance(message, Audio) else b""
        return received


Behaviour = Callable[[ServerSide, int], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behaviour, refuse: Callable[[int], Response | None] = lambda _: None) -> AsyncIterator[str]:
    """A server; `behave` is told the number of the connection, `refuse` that of the attempt."""
    attempts, connections = iter(range(1_000)), iter(range(1_000))

    async def handle(websocket: ServerConnection) -> None:
        await behave(ServerSide(websocket), next(connections))

    def process(connection: ServerConnection, request: Request) -> Response | None:
        return refuse(next(attempts))

    running: Server
    async with serve(
        handle,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("streaming-asr.v1")],
        process_request=process,
    ) as running:
        yield f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"


async def finishing(side: ServerSide, number: int) -> None:
    await side.receive_start()
    received = await side.receive_all()
    await side.send(Finished(len(received) // 2, 1.0))


def final(utterance: int, text: str = "word") -> Final:
    return Final(utterance, text, (), 0.0, 1.0, 1.0, (), "silence", 0.0)


async def test_options_and_samples_arrive_as_they_were_given() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        start = await side.receive_start()
        assert (start.sample_rate, start.hotwords) == (48_000, {"Ada": 8.0})
        assert await side.receive_all() == bytes([0, 0x40, 0xFF, 0x7F, 1, 0])
        await side.send(Finished(3, 1.0))

    async with server(behave) as url, connect(url, sample_rate=48_000, hotwords={"Ada": 8.0}) as stream:
        await stream.send(np.array([0.5, 1.0], np.float32))
        await stream.send(np.array([1], np.int16))
        await stream.finish()
        assert [event async for event in stream] == []
        assert stream.finished == Finished(3, 1.0)


async def test_events_are_the_librarys_own() -> None:
    told: list[Event] = [
        SpeechStarted(0, 0.1, 0.2),
        Partial(0, "one", "two", (), 0.1, 0.5, 0.1),
        final(0, "one two"),
        SpeechEnded(0, 0.5, "silence", 0.0),
    ]

    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        await side.receive_all()
        await side.send(*(AcknowledgedFinal(event, 0) if isinstance(event, Final) else event for event in told))
        await side.send(Finished(0, 0.0))

    async with server(behave) as url, connect(url, sample_rate=16_000) as stream:
        await stream.finish()
        assert [event async for event in stream] == told


async def test_a_dropped_connection_is_taken_up_where_the_server_wants_it() -> None:
    received: list[Any] = []

    async def behave(side: ServerSide, number: int) -> None:
        if number == 0:
            await side.receive_start()
            await side.send(AcknowledgedFinal(final(0, "first"), 2))
            await side.receive()
            side.websocket.transport.abort()
            return
        start = await side.receive_start(first_sample=2)
        received.append(start.resume)
        received.append(await side.receive_all())
        await side.send(AcknowledgedFinal(final(1, "second"), 4), Finished(4, 1.0))

    async with server(behave) as url, connect(url, sample_rate=16_000, client=FAST) as stream:
        await stream.send(b"aabbccdd")
        await stream.finish()
        texts = [event.text async for event in stream if isinstance(event, Final)]
    assert texts == ["first", "second"]
    assert (received[0].session, received[0].acknowledged, received[0].utterance) == ("s", 2, 1)
    assert received[1] == b"ccdd"


async def test_a_server_that_cannot_be_reached_is_an_error_at_once() -> None:
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        async with connect("ws://127.0.0.1:1", sample_rate=16_000):
            pass


async def test_a_refusal_is_an_error_at_once_with_its_reason() -> None:
    body = b'{"error": {"code": "overloaded", "message": "all streams are in use"}}'

    def refuse(attempt: int) -> Response:
        response = Response(503, "Busy", Headers(), body)
        response.headers["Retry-After"] = "5"
        return response

    async with server(finishing, refuse) as url:
        with pytest.raises(RefusedError, match="all streams are in use") as refused:
            async with connect(url, sample_rate=16_000):
                pass
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, "overloaded", 5.0)
    assert refused.value.temporary


async def test_a_busy_server_is_asked_again_when_a_stream_was_dropped() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        if number == 0:
            side.websocket.transport.abort()
            return
        await side.receive_all()
        await side.send(Finished(0, 0.0))

    def refuse(attempt: int) -> Response | None:
        return Response(503, "Busy", Headers()) if attempt in (1, 2) else None

    async with server(behave, refuse) as url, connect(url, sample_rate=16_000, client=FAST) as stream:
        await stream.finish()
        assert [event async for event in stream] == []


@pytest.mark.parametrize(("status", "error"), [(503, ConnectionLostError), (401, RefusedError)])
async def test_patience_has_an_end(status: int, error: type[Exception]) -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        await side.send(SpeechStarted(0, 0.0, 0.0))
        side.websocket.transport.abort()

    def refuse(attempt: int) -> Response | None:
        return Response(status, HTTPStatus(status).phrase, Headers()) if attempt else None

    async with server(behave, refuse) as url, connect(url, sample_rate=16_000, client=FAST) as stream:
        with pytest.raises(error):
            assert [event async for event in stream] == [SpeechStarted(0, 0.0, 0.0)]
        with pytest.raises(StreamClosedError):
            await stream.send(b"12")


@pytest.mark.parametrize(("resumable", "connections"), [(True, 2), (False, 1)])
async def test_an_error_of_the_server_is_resumed_from_only_if_it_may_be(resumable: bool, connections: int) -> None:
    seen = []

    async def behave(side: ServerSide, number: int) -> None:
        seen.append(number)
        await side.receive_start()
        if number == 0:
            await side.send(Failure("internal", "server", "broken", resumable))
            await side.websocket.close(4500)
            return
        await side.receive_all()
        await side.send(Finished(0, 0.0))

    async with server(behave) as url, connect(url, sample_rate=16_000, client=FAST) as stream:
        await stream.finish()
        if resumable:
            assert [event async for event in stream] == []
        else:
            with pytest.raises(StreamFailedError, match="broken"):
                await anext(aiter(stream))
    assert len(seen) == connections


async def test_a_server_that_breaks_the_protocol_ends_the_stream() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive()
        await side.websocket.send('{"type": "finished", "samples": 0, "duration": 0}')
        await side.websocket.wait_closed()

    async with server(behave) as url, connect(url, sample_rate=16_000, client=FAST) as stream:
        with pytest.raises(Exception, match="may not send 'finished'"):
            await anext(aiter(stream))


async def test_sending_waits_while_too_much_is_not_acknowledged() -> None:
    acknowledge = asyncio.Event()

    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        for _ in range(10):
            if isinstance(await side.receive(), Audio):
                break
        await acknowledge.wait()
        await side.send(Acknowledged(32_000))
        await side.receive_all()
        await side.send(Finished(0, 0.0))

    client = ClientOptions(held_seconds=1)
    async with server(behave) as url, connect(url, sample_rate=16_000, client=client) as stream:
        await stream.send(bytes(64_000))
        waiting = asyncio.create_task(stream.send(bytes(2)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        acknowledge.set()
        await waiting
        await stream.finish()
        assert stream.acknowledged == 32_000


async def test_a_cancelled_send_has_sent_nothing() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        assert await side.receive_all() == bytes(64_000)
        await side.send(Finished(0, 0.0))

    client = ClientOptions(held_seconds=1)
    async with server(behave) as url, connect(url, sample_rate=16_000, client=client) as stream:
        await stream.send(bytes(64_000))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.send(b"12"), 0.05)
        await stream.finish()
        assert [event async for event in stream] == []


async def test_a_silent_client_says_that_it_is_there() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start(idle_seconds=0.1)
        assert await side.receive() == KeepAlive()
        assert await side.receive() == KeepAlive()
        await side.receive_all()
        await side.send(Finished(0, 0.0))

    async with server(behave) as url, connect(url, sample_rate=16_000) as stream:
        await asyncio.sleep(0.2)
        await stream.finish()
        assert [event async for event in stream] == []


async def test_leaving_early_closes_the_connection() -> None:
    closed = asyncio.Event()

    async def behave(side: ServerSide, number: int) -> None:
        await side.websocket.wait_closed()
        closed.set()

    async with server(behave) as url:
        async with connect(url, sample_rate=16_000) as stream:
            await stream.send(b"1234")
        await asyncio.wait_for(closed.wait(), 5)


async def test_after_finish_nothing_more_can_be_sent() -> None:
    async with server(finishing) as url, connect(url, sample_rate=16_000) as stream:
        await stream.finish()
        await stream.finish()
        for send in (stream.send(b"12"), stream.finalize(), stream.update(hotwords={})):
            with pytest.raises(StreamClosedError):
                await send


async def test_events_that_nobody_reads_give_way_to_newer_partials_only() -> None:
    queue = EventQueue(maximum=3)
    partials = [Partial(0, "", text, (), 0.0, 1.0, 0.0) for text in "abc"]
    await queue.put([SpeechStarted(0, 0.0, 0.0), *partials, final(0)])
    full = asyncio.create_task(queue.put([final(1)]))
    await asyncio.sleep(0)
    assert not full.done()
    queue_end = [await queue.get() for _ in range(3)]
    await full
    queue.end()
    assert queue_end == [SpeechStarted(0, 0.0, 0.0), partials[-1], final(0)]
    assert [await queue.get(), await queue.get()] == [final(1), None]


async def test_a_server_is_a_recognizer_without_asyncio() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        await side.send(SpeechStarted(0, 0.0, 0.0))
        await side.receive_all()
        await side.send(AcknowledgedFinal(final(0), 2), Finished(2, 1.0))

    def use(url: str) -> list[Event]:
        with RemoteRecognizer(url) as recognizer:
            stream = recognizer.stream(sample_rate=8_000, hotwords=["one"])
            events = stream.push(np.zeros(2, np.int16))
            events += stream.finalize()
            return events + stream.finish()

    async with server(behave) as url:
        assert await asyncio.to_thread(use, url) == [SpeechStarted(0, 0.0, 0.0), final(0)]


async def test_a_remote_stream_raises_what_went_wrong() -> None:
    async def behave(side: ServerSide, number: int) -> None:
        await side.receive_start()
        await side.send(Failure("bad_option", "client", "no such language", False))
        await side.websocket.close(4400)

    def use(url: str) -> None:
        with RemoteRecognizer(url) as recognizer:
            recognizer.stream(sample_rate=16_000).finish()

    async with server(behave) as url:
        with pytest.raises(StreamFailedError, match="no such language"):
            await asyncio.to_thread(use, url)


def test_what_only_a_local_recognizer_has_is_refused() -> None:
    with RemoteRecognizer("ws://127.0.0.1:1") as recognizer, pytest.raises(OptionError, match="latency"):
        recognizer.stream(sample_rate=16_000, latency=object())


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("ws://host:8765", "ws://host:8765/v1/stream"),
        ("https://host/", "wss://host/v1/stream"),
        ("http://host/asr/v1/stream?token=x", "ws://host/asr/v1/stream?token=x"),
    ],
)
def test_addresses_may_be_short(url: str, address: str) -> None:
    assert stream_address(url) == address


@pytest.mark.parametrize("url", ["host:8765", "ftp://host", "ws://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(OptionError, match="it must be like"):
        stream_address(url)


def test_arrays_become_the_declared_encoding() -> None:
    loud = np.array([2.0, -2.0], np.float32)
    assert encoded(loud, Start()) == b"\xff\x7f\x00\x80"
    assert encoded(np.array([0.5], np.float32), Start(encoding="float32")) == np.array([0.5], "<f4").tobytes()
    assert encoded(np.array([16_384], np.int16), Start(encoding="float32")) == np.array([0.5], "<f4").tobytes()
    assert encoded(np.zeros((3, 2), np.int16), Start(channels=2)) == bytes(12)
    for array, start in (
        (np.zeros(3), Start()),
        (np.zeros(3, np.int16), Start(encoding="mulaw")),
        (np.zeros((3, 2), np.int16), Start()),
        (np.zeros(3, np.int16), Start(channels=2)),
    ):
        with pytest.raises(AudioError):
            encoded(array, start)  # type: ignore[arg-type]


def test_waits_double_up_to_the_longest_and_are_never_quite_the_same() -> None:
    shortest = Backoff(first=1, longest=4, random=lambda: 1.0).waits()
    longest = Backoff(first=1, longest=4, random=lambda: 0.0).waits()
    assert [next(shortest) for _ in range(4)] == [0.5, 1, 2, 2]
    assert [next(longest) for _ in range(4)] == [1, 2, 4, 4]
