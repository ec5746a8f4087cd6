"""Whatever happens to the connection, the transcript is that of an undisturbed stream."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from streaming_asr_client import Backoff, ClientOptions, ConnectionLostError, RefusedError, connect
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings

from streaming_asr.events import Event, Final
from tests.server.proxy import bad_network
from tests.server.speaking import FAST, counted, events_of, finals, pcm, raw, sentences, until

pytestmark = pytest.mark.anyio

RUNS = 100
SCRIPT = Path(__file__).with_name("scripted_server.py")


def breaks(rng: random.Random, size: int) -> Callable[[], int | None]:
    """Bytes after which each connection breaks: the first does after its start, the last one holds."""
    budgets = [rng.randint(1_500, 2 * size + 3_000) for _ in range(rng.randint(1, 4))]
    return lambda: budgets.pop() if budgets else None


@pytest.mark.parametrize("resume_seconds", [30.0, 0.0], ids=["the session waits", "the session is gone"])
async def test_connections_dropped_at_random_points_lose_and_double_nothing(resume_seconds: float) -> None:
    settings = Settings(resume_seconds=resume_seconds, max_streams=64)
    drops = 0
    async with local_server(ScriptedRecognition, settings) as server:
        for seed in range(RUNS // 2):
            rng = random.Random(seed)
            audio = tone_words(sentences(rng))
            undisturbed = await events_of(server.url, audio)
            async with bad_network(lambda: server.port, seed=seed, budget=breaks(rng, len(audio))) as network:
                disturbed = await events_of(network.url, audio, packets=rng, pause=0.0005)
                drops += network.connections - 1
            assert finals(disturbed) == finals(undisturbed), f"seed {seed}"
            assert in_order(disturbed), f"seed {seed}"
        kinds = {kind: counted(server, "streams_opened", resumed=kind) for kind in ("session", "position")}
    assert drops > RUNS / 4
    assert kinds["session" if resume_seconds else "position"] > RUNS / 10
    assert kinds["position" if resume_seconds else "session"] == 0


def in_order(events: list[Event]) -> bool:
    """Every utterance begins once, ends once, has one final at most, and they do not overlap."""
    told = [(event.utterance, type(event).__name__) for event in events if type(event).__name__ != "Partial"]
    numbers = sorted({number for number, _ in told})
    return told == [(number, kind) for number in numbers for kind in ("SpeechStarted", "Final", "SpeechEnded")]


@asynccontextmanager
async def server_process(port: int, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(port), *arguments)
    try:
        await until_open(port)
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def until_open(port: int, context: ssl.SSLContext | None = None) -> None:
    """Wait until a server takes streams."""
    for _ in range(1_200):
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                return
        await asyncio.sleep(0.05)
    raise AssertionError("the server did not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_a_server_that_is_killed_and_started_again_loses_nothing() -> None:
    port, audio = free_port(), tone_words([0, 17, 18, 0, 0, 0, 0, 19, 20, 21, 0, 0, 0, 22])
    client = ClientOptions(backoff=Backoff(first=0.02, longest=0.2, give_up_seconds=60))
    events: list[Event] = []
    async with (
        server_process(port) as first,
        connect(f"ws://127.0.0.1:{port}", sample_rate=16_000, client=client) as stream,
    ):
        await stream.send(audio[:13_000])
        async for event in stream:
            events.append(event)
            if isinstance(event, Final):
                break
        first.send_signal(signal.SIGKILL)
        await first.wait()
        async with server_process(port):
            await stream.send(audio[13_000:])
            await stream.finish()
            events += [event async for event in stream]
            assert stream.started is not None
            assert stream.started.resumed == "position"
    assert finals(events) == [(0, "w17 w18", 0.1, 0.3), (1, "w19 w20 w21", 0.7, 1.0), (2, "w22", 1.3, 1.4)]


async def refusal(port: int) -> RefusedError:
    """How the server says no; a signal takes a moment until it does."""
    for _ in range(100):
        try:
            async with connect(f"ws://127.0.0.1:{port}", sample_rate=16_000, client=FAST):
                await asyncio.sleep(0.05)
        except RefusedError as refused:
            return refused
    raise AssertionError("the server took new streams all the time")


async def test_a_server_that_is_told_to_stop_lets_streams_finish_and_takes_no_new_ones() -> None:
    port = free_port()
    async with (
        server_process(port, "20") as process,
        connect(f"ws://127.0.0.1:{port}", sample_rate=16_000, client=FAST) as stream,
    ):
        await stream.send(tone_words([17, 18]))
        await anext(aiter(stream))
        process.send_signal(signal.SIGTERM)
        refused = await refusal(port)
        assert (refused.status, refused.code) == (503, "draining")
        assert refused.retry_after is not None
        await stream.send(tone_words([19]))
        await stream.finish()
        assert [event.text async for event in stream if isinstance(event, Final)] == ["w17 w18 w19"]
        assert await asyncio.wait_for(process.wait(), 10) == -signal.SIGTERM


async def test_a_stream_that_outlasts_the_grace_period_goes_on_elsewhere() -> None:
    port = free_port()
    client = ClientOptions(backoff=Backoff(first=0.02, longest=0.1, give_up_seconds=60))
    async with (
        server_process(port, "0.2") as process,
        connect(f"ws://127.0.0.1:{port}", sample_rate=16_000, client=client) as stream,
    ):
        await stream.send(tone_words([17, 18]))
        await anext(aiter(stream))
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)
        async with server_process(port):
            await stream.send(tone_words([19]))
            await stream.finish()
            assert [event.text async for event in stream if isinstance(event, Final)] == ["w17 w18 w19"]


async def test_a_half_open_connection_is_noticed_by_both_ends() -> None:
    client = ClientOptions(backoff=Backoff(first=0.02, longest=0.05), ping_seconds=0.2)
    settings = Settings(ping_seconds=0.2)
    async with (
        local_server(ScriptedRecognition, settings) as server,
        bad_network(lambda: server.port, seed=0) as network,
        connect(network.url, sample_rate=16_000, client=client) as stream,
    ):
        await stream.send(tone_words([17, 18]))
        await anext(aiter(stream))
        network.alive.clear()
        await stream.send(tone_words([19]))
        await until(lambda: network.connections > 1)
        await until(lambda: server.service.idle)
        network.alive.set()
        await stream.finish()
        assert [event.text async for event in stream if isinstance(event, Final)] == ["w17 w18 w19"]


async def test_the_old_connection_gives_way_when_its_session_goes_on_over_another() -> None:
    async with local_server(ScriptedRecognition) as server, raw(server.url) as first:
        await first.send({"type": "start"}, pcm(17, 18))
        session = (await first.receive("started"))["session"]
        await first.receive("partial")
        async with raw(server.url) as second:
            resume = {"session": session, "acknowledged": 0, "utterance": 0}
            await second.send({"type": "start", "resume": resume})
            started = await second.receive()
            assert (started["resumed"], started["first_sample"]) == ("session", 3_200)
            assert (await second.receive())["type"] == "speech_started"
            heard, closed = await first.receive_all()
            assert (heard[-1]["code"], closed) == ("superseded", 4409)
            await second.send(pcm(19), {"type": "finish"})
            messages, closed = await second.receive_all()
        assert [message["text"] for message in messages if message["type"] == "final"] == ["w17 w18 w19"]
        assert closed == 1000


async def test_nobody_else_can_go_on_with_a_session() -> None:
    keys = ApiKeys({hash_key(name): Principal(name=name) for name in ("ours", "theirs")})
    async with local_server(ScriptedRecognition, keys=keys) as server:
        ours, theirs = ({"additional_headers": {"Authorization": f"Bearer {name}"}} for name in ("ours", "theirs"))
        async with raw(server.url, **ours) as first:
            await first.send({"type": "start"}, pcm(17, 18))
            session = (await first.receive("started"))["session"]
        async with raw(server.url, **theirs) as second:
            await second.send({"type": "start", "resume": {"session": session, "acknowledged": 0, "utterance": 0}})
            assert (await second.receive())["resumed"] == "position"


async def test_a_session_that_nobody_comes_back_for_ends() -> None:
    settings = Settings(resume_seconds=0.2)
    async with local_server(ScriptedRecognition, settings) as server:
        async with raw(server.url) as client:
            await client.send({"type": "start"}, pcm(17))
            await client.receive("started")
            client.websocket.transport.abort()
        await until(lambda: server.service.idle)
        assert len(server.service.sessions) == 1
        await until(lambda: len(server.service.sessions) == 0)


async def test_nothing_stays_behind() -> None:
    """No task, no file handle, no session: whether streams end well, break, or are left."""
    async with local_server(ScriptedRecognition, Settings(resume_seconds=0)) as server:
        for round_ in range(2):
            for seed in range(15):
                rng = random.Random(seed)
                async with bad_network(lambda: server.port, seed=seed, budget=breaks(rng, 9_000)) as network:
                    with suppress(ConnectionLostError):
                        await events_of(network.url, tone_words(sentences(rng)), packets=rng)
                async with raw(server.url) as client:
                    await client.send({"type": "start"}, pcm(17), "nonsense" if seed % 2 else {"type": "finalize"})
                    client.websocket.transport.abort()
            await until(lambda: server.service.idle and len(server.service.sessions) == 0)
            await asyncio.sleep(0.1)
            left = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
            if round_ == 0:
                before = left
        assert left == before
        assert len(left_behind(server.service)) == 0


def left_behind(service: Service) -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("session", "websocket"))]
