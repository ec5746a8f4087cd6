"""What is said at one worker is read at any: views and the subscribers of calls, while workers are killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.server.protocols.twilio.test_twilio import STOP, call, hear_out, heard, play, start
from tests.server.speaking import Raw, pcm
from tests.server.test_chaos import free_port
from tests.server.workers.servers import PATIENCE, WorkersServer, workers_server

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

WORKERS = 3
READERS = 9
SECRET = "a-secret-of-twenty-two-letters"
UTTERANCES = [(17, 25), (30,), (41, 42, 43), (55,), (61, 62), (70,)]
LINES = [" ".join(f"w{word}" for word in words) for words in UTTERANCES]
AUDIO = [pcm(*words, 0, 0, 0) for words in UTTERANCES]
SAID = [300, 400, 0, 0, 0, 500, 0, 0, 0, 0, 0]


@pytest.fixture(scope="module")
def hook() -> int:
    """The port of the webhook."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, hook: int) -> Iterator[WorkersServer]:
    secret = {"webhook_url": f"http://127.0.0.1:{hook}/said", "webhook_secret": "s3cret"}
    with workers_server(tmp_path_factory.mktemp("everywhere"), workers=WORKERS, **secret) as running:
        yield running


def pid_of(server: WorkersServer, websocket: ClientConnection) -> int:
    """The process that has the other end of a connection."""
    ours = f"0100007F:{websocket.local_address[1]:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    inode = next(line[9] for line in lines if line[2] == ours and line[1].endswith(f":{server.port:04X}"))
    for pid in server.pids().values():
        with suppress(OSError):
            for file in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if os.readlink(file) == f"socket:[{inode}]":
                        return pid
    raise AssertionError("no worker has this connection")


async def kill(server: WorkersServer, pid: int) -> int:
    """And wait until another one has taken its place and takes connections; gives its pid."""
    ready = len(server.entries("ready"))
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(server.wait_ready, ready + 1)
    new = server.entries("worker started")[-1]["pid"]
    async with asyncio.timeout(PATIENCE):
        while True:
            async with open_websocket(f"{server.url}/v1/stream", close_timeout=1) as websocket:
                if pid_of(server, websocket) == new:
                    return int(new)


class Reader:
    """Reads a view as its protocol says: comes back when it is sent away, and begins anew in another epoch."""

    def __init__(self, server: WorkersServer, view: str) -> None:
        self.lines: list[tuple[int, str]] = []
        self.live: bool | None = None
        self.websocket: ClientConnection | None = None
        self._address = f"{server.url}/v1/views/{view}"
        self._epoch = ""
        self._changed = asyncio.Event()

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        task = asyncio.create_task(self._read())
        try:
            await self.until(live=None)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, *, live: bool | None, lines: int = 0) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.live is None or (live is not None and self.live != live) or len(self.lines) < lines:
                self._changed.clear()
                await self._changed.wait()

    async def _read(self) -> None:
        while True:
            after = f"?after={self.lines[-1][0]}&epoch={self._epoch}" if self.lines else ""
            with suppress(OSError, InvalidHandshake, ConnectionClosed):
                async with open_websocket(f"{self._address}{after}") as self.websocket:
                    async for message in self.websocket:
                        self._take(json.loads(message))
            await asyncio.sleep(0.1)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "view":
            self.live = message["live"]
            if message["epoch"] != self._epoch:
                self._epoch, self.lines = message["epoch"], []
        for line in [message] if message["type"] == "final" else message.get("lines", []):
            self.lines.append((line["line"], line["text"]))
        self._changed.set()


@asynccontextmanager
async def speaking(server: WorkersServer, **fields: Any) -> AsyncIterator[tuple[Raw, dict[str, Any]]]:
    """A stream, and what the server says at its start."""
    async with open_websocket(f"{server.url}/v1/stream", compression=None, close_timeout=1) as websocket:
        speaker = Raw(websocket)
        await speaker.send({"type": "start", **fields})
        yield speaker, await speaker.receive("started")


async def views(server: WorkersServer, method: str, **body: str) -> httpx.Response:
    """Over a connection of its own, to whichever worker."""
    async with httpx.AsyncClient(timeout=30) as http:
        return await http.request(method, f"{server.http}/v1/views", json={"secret": SECRET, **body})


async def show(server: WorkersServer, session: str) -> dict[str, Any]:
    """Any worker shows a session, however often it is asked to."""
    answers = [await views(server, "POST", session=session, stream="talk") for _ in range(2 * WORKERS)]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    answer: dict[str, Any] = answers[-1].json()
    return answer


async def test_an_audience_reads_every_line_once_at_whichever_worker_also_when_the_speakers_one_is_killed(
    server: WorkersServer,
) -> None:
    view = (await views(server, "POST")).json()["view"]
    async with AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(Reader(server, view).reading()) for _ in range(READERS)]
        async with speaking(server) as (speaker, started):
            session = started["session"]
            assert await show(server, session) == {"view": view, "watching": READERS}
            workers = {pid_of(server, reader.websocket) for reader in readers if reader.websocket}
            assert len(workers) > 1, "readers are at several workers"
            await speaker.send(*AUDIO[:3])
            acknowledged = [(await speaker.receive("final"))["acknowledged"] for _ in range(3)][-1]
            for reader in readers:
                await reader.until(live=True, lines=3)
                assert reader.lines == list(enumerate(LINES[:3]))
            new = await kill(server, pid_of(server, speaker.websocket))
        for reader in readers:
            await reader.until(live=False, lines=3)
        resume = {"session": session, "acknowledged": acknowledged, "utterance": 3}
        async with speaking(server, resume=resume) as (speaker, started):
            await show(server, started["session"])
            await speaker.send(b"".join(AUDIO)[2 * started["first_sample"] :], {"type": "finish"})
            await speaker.receive_all()
        late = [await stack.enter_async_context(Reader(server, view).reading()) for _ in range(READERS)]
        for reader in [*readers, *late]:
            await reader.until(live=False, lines=len(LINES))
            assert reader.lines == list(enumerate(LINES))
        assert new in {pid_of(server, reader.websocket) for reader in late if reader.websocket}
        address = f"{server.http}/v1/views/{view}"
        assert (await asyncio.to_thread(httpx.get, address)).json() == {"live": False, "watching": 2 * READERS}
    assert (await views(server, "DELETE")).status_code == 204
    for _ in range(2 * WORKERS):
        assert (await asyncio.to_thread(httpx.get, address)).status_code == 404


async def test_a_session_that_no_worker_has_is_not_shown(server: WorkersServer) -> None:
    answer = await views(server, "POST", session="nowhere")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_session")


@asynccontextmanager
async def webhook(port: int) -> AsyncIterator[list[dict[str, Any]]]:
    """What is posted there."""
    posted: list[dict[str, Any]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        posted.append(json.loads(await reader.readexactly(int(length[1]) if length else 0)))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield posted


async def test_subscribers_of_a_call_hear_it_at_whichever_worker_and_its_end_when_its_worker_is_killed(
    server: WorkersServer, hook: int
) -> None:
    async with AsyncExitStack() as stack:
        posted = await stack.enter_async_context(webhook(hook))

        async def subscribe() -> list[ClientConnection]:
            address = f"{server.url}/v1/twilio/CA1/events"
            return [await stack.enter_async_context(open_websocket(address)) for _ in range(READERS)]

        listeners = await subscribe()
        workers = [pid_of(server, listener) for listener in listeners]
        assert len(set(workers)) > 1
        async with open_websocket(f"{server.url}/v1/twilio") as twilio:
            await play(twilio, start(), *call(SAID))
            messages = [[await next_final(listener), await next_final(listener)] for listener in listeners]
            assert [heard(each) for each in messages] == [[[300, 400], [500]]] * READERS
            killed = pid_of(server, twilio)
            await kill(server, killed)
        for listener, worker in zip(listeners, workers, strict=True):
            rest = await hear_out(listener)
            assert heard(rest) == []
            assert listener.close_code == (1006 if worker == killed else 1011)
        again = await subscribe()
        assert len({pid_of(server, listener) for listener in again}) > 1
        async with open_websocket(f"{server.url}/v1/twilio") as twilio:
            await play(twilio, start(), *call(SAID), STOP)
            await hear_out(twilio)
        for listener in again:
            messages_of_one = await hear_out(listener)
            assert messages_of_one[0]["type"] == "call_started"
            assert heard(messages_of_one) == [[300, 400], [500]]
            assert (messages_of_one[-1]["type"], listener.close_code) == ("call_ended", 1000)
        async with asyncio.timeout(PATIENCE):
            while not posted or posted[-1]["type"] != "call_ended":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    kinds = [event["type"] for event in posted]
    assert kinds[-4:] == ["call_started", "final", "final", "call_ended"]
    assert kinds[:-4] in (["call_started"], ["call_started", "final"], ["call_started", "final", "final"])


async def next_final(listener: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while (message := json.loads(await listener.recv()))["type"] != "final":
            pass
    final: dict[str, Any] = message
    return final
