"""Fast senders are held back, slow readers lose partials first and then the connection, never a final."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from streaming_asr_client import ClientOptions, connect
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.sessions.inbox import MAXIMUM_MESSAGES
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import connect as open_websocket

from streaming_asr.events import Final, Partial
from tests.server.speaking import FAST, Raw, counted, events_of, finals, raw, until

pytestmark = pytest.mark.anyio


TEN_MINUTES = 2 * 16_000 * 600
"""Bytes of audio."""


async def sent_until_held_back(client: Raw) -> int:
    """Bytes that a client could send before it had to wait for more than half a second."""
    for sent in range(0, TEN_MINUTES, 1 << 18):
        try:
            await asyncio.wait_for(client.send(bytes(1 << 18)), 0.5)
        except TimeoutError:
            return sent
    return TEN_MINUTES


async def test_a_fast_sender_is_really_held_back_by_the_socket() -> None:
    """Ten minutes of audio pushed as fast as the socket takes it: most of it has to stay at the sender."""
    recognition = ScriptedRecognition(delay=3_600)
    settings = Settings(inbox_seconds=2, stall_seconds=7_200)
    async with local_server(lambda: recognition, settings) as server, AsyncExitStack() as stack:
        server.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client = await stack.enter_async_context(raw(server.url))
        await client.send({"type": "start"})
        sent = await sent_until_held_back(client)
        (session,) = server.service.sessions
        held = session.received * 2
        assert held <= 2 * 32_000 + 2 * 16_000, "the inbox, a piece more, and the one that is being decoded"
        assert sent < TEN_MINUTES / 2, "the rest of it is in the sockets' buffers"
        assert client.websocket.transport.get_write_buffer_size() > 0
        client.websocket.transport.abort()


async def test_a_held_sender_does_no_harm_to_others() -> None:
    recognition = ScriptedRecognition()
    async with local_server(lambda: recognition, Settings(inbox_seconds=1)) as server, raw(server.url) as client:
        await client.send({"type": "start"})
        flood = asyncio.create_task(flooding(client))
        assert finals(await events_of(server.url, tone_words([17, 18]))) == [(0, "w17 w18", 0.0, 0.2)]
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)


async def flooding(client: Raw) -> None:
    while True:
        await client.send(bytes(100_000))
        await asyncio.sleep(0)


async def test_a_flood_of_commands_is_held_back_too() -> None:
    recognition = ScriptedRecognition(delay=3_600)
    async with local_server(lambda: recognition, Settings(stall_seconds=7_200)) as server, raw(server.url) as client:
        await client.send({"type": "start"}, bytes(3_200))
        await client.receive("started")
        for _ in range(2_000):
            await client.send({"type": "finalize"})
        (session,) = server.service.sessions
        await until(lambda: session.queued_messages >= MAXIMUM_MESSAGES)
        await asyncio.sleep(0.2)
        assert session.queued_messages <= MAXIMUM_MESSAGES + 1


async def slow_client(server: LocalServer) -> tuple[Raw, socket.socket]:
    """A client with small buffers that does not read, and its socket."""
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    server.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    bare.setblocking(False)
    await asyncio.get_running_loop().sock_connect(bare, ("127.0.0.1", server.port))
    websocket = await open_websocket(
        f"{server.url}/v1/stream", sock=bare, compression=None, max_queue=1, ping_interval=None, close_timeout=0.1
    )
    return Raw(websocket), bare


async def test_a_slow_reader_is_closed_with_a_reason_and_finds_every_final_when_it_comes_back() -> None:
    """A client that reads nothing while many utterances end; then it does what the protocol says."""
    blocks = [number for word in range(1_000) for number in (11 + word % 800, 0, 0, 0)]
    audio = (tone_words(blocks) * 32767).astype("<i2").tobytes()
    server_settings = Settings(write_seconds=0.5)
    async with local_server(ScriptedRecognition, server_settings) as server:
        client, bare = await slow_client(server)
        await client.send({"type": "start", "word_times": True})

        async def send() -> None:
            for start in range(0, len(audio), 64_000):
                await client.send(audio[start : start + 64_000])

        sending = asyncio.create_task(send())
        # A session stands still when its client has too much to read: its audio waits then.
        await until(lambda: server.service.sessions.queued_seconds > 1)
        await until(lambda: not any(task.get_name() == "connection reader" for task in asyncio.all_tasks()))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        # Through small buffers the rest would take longer than the server waits for its close to be read.
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
        heard, code = await client.receive_all()
        told = [message for message in heard if message["type"] == "final"]
        assert (heard[-1]["code"], heard[-1]["resumable"], code) == ("slow_reader", True, 4408)
        assert counted(server, "errors", code="slow_reader", fault="client") == 1
        acknowledged = max((message["acknowledged"] for message in told), default=0)
        session = heard[0]["session"]
        resume = {"session": session, "acknowledged": acknowledged, "utterance": len(told)}
        async with raw(server.url) as again:
            await again.send({"type": "start", "resume": resume})
            first = (await again.receive("started"))["first_sample"]
            rest = asyncio.create_task(again.receive_all())
            for start in range(2 * first, len(audio), 64_000):
                await again.send(audio[start : start + 64_000])
            await again.send({"type": "finish"})
            told += [message for message in (await rest)[0] if message["type"] == "final"]
    assert [message["text"] for message in told] == [f"w{number}" for number in blocks if number]


async def test_a_client_that_does_not_read_its_events_still_gets_all_finals() -> None:
    audio = tone_words([number for word in range(50) for number in (11 + word, 0, 0, 0)])
    async with (
        local_server(ScriptedRecognition) as server,
        connect(server.url, sample_rate=16_000, client=FAST) as stream,
    ):
        await stream.send(audio)
        await stream.finish()
        await until(lambda: stream.finished is not None)
        events = [event async for event in stream]
    assert [event.text for event in events if isinstance(event, Final)] == [f"w{11 + word}" for word in range(50)]
    assert sum(isinstance(event, Partial) for event in events) <= 50


async def test_a_client_that_is_held_back_is_not_taken_for_dead() -> None:
    """Pings and pongs wait behind megabytes of audio; both ends know that the other one is there all the same."""
    recognition = ScriptedRecognition(delay=0.02)
    client = ClientOptions(ping_seconds=0.5, held_seconds=3_600)
    blocks = [11 + number % 800 if number % 5 else 0 for number in range(400)]
    async with (
        local_server(lambda: recognition, Settings(ping_seconds=0.5, inbox_seconds=1)) as server,
        connect(server.url, client=client, sample_rate=96_000, partials=False) as stream,
    ):
        await stream.send(abs(tone_words(blocks, sample_rate=96_000)))
        await stream.finish()
        events = [event async for event in stream]
        assert stream.started is not None
        assert stream.started.resumed == "no"
    assert sum(len(event.words) for event in events if isinstance(event, Final)) >= 320
