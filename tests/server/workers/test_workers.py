"""Several processes behind one port: what one promises, all of them keep together."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streaming_asr_client import Backoff, ClientOptions, ConnectionLostError, RefusedError, connect
from streaming_asr_server.access.authentication import hash_key
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from websockets.asyncio.client import connect as open_websocket

from streaming_asr.audio.samples import Samples
from streaming_asr.events import Event, Final
from streaming_asr.protocol import Start
from tests.server.proxy import BadNetwork, bad_network
from tests.server.speaking import events_of, finals, pcm, sentences
from tests.server.test_chaos import breaks, free_port, in_order
from tests.server.workers.servers import PATIENCE, WorkersServer, workers_server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

CUTS = int(os.environ.get("TEST_CUTS", "300"))
KILLS = int(os.environ.get("TEST_KILLS", "1"))
SECONDS = float(os.environ.get("TEST_CUTS_SECONDS", "120"))
"""The cuts and kills end after so long, however many there were."""

CLIENT = ClientOptions(backoff=Backoff(first=0.01, longest=0.2, give_up_seconds=PATIENCE))
NEWS = {"Authorization": "Bearer news-key"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkersServer]:
    folder = tmp_path_factory.mktemp("workers")
    keys = folder / "keys.toml"
    keys.write_text(
        f'[[keys]]\nname = "news"\nsha256 = "{hash_key("news-key")}"\nstreams = 3\n'
        f'[[keys]]\nname = "free"\nsha256 = "{hash_key("free-key")}"\n'
    )
    ports = {"vosk_port": free_port(), "wyoming_port": free_port()}
    with workers_server(folder, api_key_file=str(keys), **ports) as running:
        running.extra_ports = ports
        yield running


@asynccontextmanager
async def streams(server: WorkersServer, number: int, key: str) -> AsyncIterator[None]:
    """So many streams of a key, each of which has said a word, and is finished in the end."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(number):
            stream = await stack.enter_async_context(
                connect(server.url, sample_rate=16_000, api_key=key, client=CLIENT)
            )
            await stream.send(tone_words([17, 18]))
            await anext(aiter(stream))
            opened.append(stream)
        yield
        for stream in opened:
            await stream.finish()
            assert [event.text async for event in stream if isinstance(event, Final)] == ["w17 w18"]


def workers_that_served(server: WorkersServer) -> list[int]:
    return [entry["worker"] for entry in server.entries("connection ended")]


async def test_connections_are_spread_over_all_workers_and_counted_on_one_page(server: WorkersServer) -> None:
    before = await asyncio.to_thread(server.metric, "finals_total")
    served = len(workers_that_served(server))
    async with streams(server, 8, "free-key"):
        await until_metric(server, "streams", 8)
        assert await asyncio.to_thread(server.readiness) == (200, "ready")
    await until_metric(server, "streams", 0)
    assert await asyncio.to_thread(server.metric, "finals_total") == before + 8
    workers = workers_that_served(server)[served:]
    assert min(workers.count(worker) for worker in (0, 1)) >= 2, workers


async def until_metric(server: WorkersServer, name: str, value: float) -> None:
    async with asyncio.timeout(PATIENCE):
        while await asyncio.to_thread(server.metric, name) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_key_has_its_number_of_streams_over_all_workers(server: WorkersServer) -> None:
    async with streams(server, 3, "news-key"):
        for _ in range(6):
            with pytest.raises(RefusedError) as refused:
                async with connect(server.url, sample_rate=16_000, api_key="news-key", client=CLIENT):
                    pass
            assert refused.value.code == "too_many_streams"
    async with streams(server, 1, "news-key"):
        pass


async def test_a_token_of_one_worker_opens_one_stream_at_any_other(server: WorkersServer) -> None:
    for _ in range(8):
        request = urllib.request.Request(f"{server.http}/v1/tokens", headers=NEWS, method="POST")
        with await asyncio.to_thread(urllib.request.urlopen, request, timeout=30) as answer:
            token = json.loads(answer.read())["token"]
        async with open_websocket(f"{server.url}/v1/stream?token={token}") as websocket:
            await websocket.send('{"type": "start"}')
            assert json.loads(await websocket.recv())["type"] == "started"
        with suppress(Exception):
            async with open_websocket(f"{server.url}/v1/stream?token={token}"):
                raise AssertionError("the token was good twice")


async def test_the_other_ports_are_shared_too(server: WorkersServer) -> None:
    for _ in range(3):
        async with open_websocket(f"ws://127.0.0.1:{server.extra_ports['vosk_port']}/?token=free-key") as websocket:
            await websocket.send('{"config": {"sample_rate": 16000}}')
            await websocket.send(pcm(17, 18))
            await websocket.send('{"eof": 1}')
            said = [json.loads(message) async for message in websocket]
            assert said[-1]["text"] == "w17 w18"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.extra_ports["wyoming_port"])
        writer.write(b'{"type": "describe"}\n')
        assert json.loads(await reader.readline())["type"] == "info"
        writer.close()
        await writer.wait_closed()


async def test_what_a_killed_worker_held_is_free_and_another_takes_its_place(server: WorkersServer) -> None:
    ready = len(server.entries("ready"))
    async with streams(server, 3, "news-key"):
        for pid in server.pids().values():
            os.kill(pid, signal.SIGKILL)
            break
        await asyncio.to_thread(server.wait_ready, ready + 1)
    async with streams(server, 3, "news-key"):
        await until_metric(server, "streams", 3)
    assert await asyncio.to_thread(server.readiness) == (200, "ready")


async def expected(audio: Samples) -> list[tuple[int, str, float, float]]:
    """The finals of an undisturbed stream; the recognizer hears what the wire carries, 16 bits."""
    stream = ScriptedRecognition().open(Start())
    heard: Samples = (audio * 32767).astype(np.int16).astype(np.float32) / np.float32(32768)
    return finals([*await stream.push(heard), *await stream.finish()])


async def test_cuts_and_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    """Streams over connections that break at random points, while workers are killed: each is as if undisturbed."""
    drops, kills, seeds = 0, 0, itertools.count()
    loop = asyncio.get_running_loop()
    with workers_server(tmp_path, max_streams=64) as server:
        deadline = loop.time() + SECONDS

        async def speak(seed: int) -> None:
            nonlocal drops
            rng = random.Random(seed)
            audio = tone_words(sentences(rng))
            async with bad_network(lambda: server.port, seed=seed, budget=breaks(rng, len(audio))) as network:
                events = await spoken(network.url, audio, packets=rng, pause=0.0005, client=CLIENT)
                drops += cuts(network)
            assert finals(events) == await expected(audio), f"seed {seed}"
            assert in_order(events), f"seed {seed}"

        async def speak_on() -> None:
            while (drops < CUTS or kills < KILLS) and loop.time() < deadline:
                await speak(next(seeds))

        async def kill() -> None:
            nonlocal kills
            rng = random.Random(0)
            while True:
                await asyncio.sleep(rng.uniform(0.5, 2.0))
                if len(server.entries("ready")) == 2 + kills:
                    os.kill(server.pids()[rng.randrange(2)], signal.SIGKILL)
                    kills += 1

        killing = asyncio.create_task(kill())
        await asyncio.gather(*(speak_on() for _ in range(4)))
        killing.cancel()
        with suppress(asyncio.CancelledError):
            await killing
        resumed = {kind: server.metric(f'streams_opened_total{{resumed="{kind}"}}') for kind in ("session", "position")}
        assert server.process.poll() is None
    print(f"{drops} cuts, {kills} kills, {resumed}")
    assert kills > 0
    assert drops > CUTS / 10, "a machine that is slow makes fewer in this time"
    assert min(resumed.values()) > 0, "some go on with their session, some at another worker"


async def spoken(url: str, audio: Samples, **options: Any) -> list[Event]:
    """All events of a stream that is opened anew where its very first connection meets a worker that is killed."""
    while True:
        try:
            return await events_of(url, audio, **options)
        except ConnectionLostError as error:
            if "cannot be reached" not in str(error):
                raise


def cuts(network: BadNetwork) -> int:
    """Connections that broke."""
    return network.connections - 1


async def test_a_signal_lets_all_workers_drain_and_a_stream_that_is_open_ends_well(tmp_path: Path) -> None:
    with workers_server(tmp_path, grace_seconds=60) as server:
        async with connect(server.url, sample_rate=16_000, client=CLIENT) as stream:
            await stream.send(tone_words([17, 18]))
            await anext(aiter(stream))
            server.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.5)
            assert await asyncio.to_thread(server.readiness) == (200, "ready"), "it loads anew what has changed"
            server.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            status, text = await asyncio.to_thread(server.readiness)
            assert (status, text) == (503, "draining")
            await stream.send(tone_words([19]))
            await stream.finish()
            assert [event.text async for event in stream if isinstance(event, Final)] == ["w17 w18 w19"]
        output, _ = await asyncio.to_thread(server.process.communicate, timeout=PATIENCE)
        assert (server.process.returncode, output) == (-signal.SIGTERM, "announced\n")


async def test_a_supervisor_that_is_killed_takes_its_workers_with_it(tmp_path: Path) -> None:
    with workers_server(tmp_path, grace_seconds=1) as server:
        pids = server.pids().values()
        server.process.kill()
        server.process.wait()
        async with asyncio.timeout(PATIENCE):
            while any(alive(pid) for pid in pids):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refuse", "the model is not there"),
        ("die", "ended 5 times in a row right after its start"),
    ],
)
def test_workers_that_cannot_start_end_the_server_with_the_reason(tmp_path: Path, fault: str, reason: str) -> None:
    file = tmp_path / "fault"
    file.write_text(fault)
    server = WorkersServer(tmp_path, fault=file)
    output, _ = server.process.communicate(timeout=2 * PATIENCE)
    assert output.startswith("error: ")
    assert reason in output
    assert server.process.returncode == 2
    assert "announced" not in output


def test_what_cannot_work_is_told_before_a_worker_starts(tmp_path: Path) -> None:
    server = WorkersServer(tmp_path, ledger="memory")
    output, _ = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, output) == (
        2,
        "error: ledger is 'memory'; workers share no memory: it must be a file, or redis://HOST\n",
    )
    assert server.entries("worker started") == []
