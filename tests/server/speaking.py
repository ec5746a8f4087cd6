"""Clients for tests: one that listens to the end, and one that says whatever the test wants."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from streaming_asr_client import Backoff, ClientOptions, connect
from streaming_asr_server.local import LocalServer
from streaming_asr_server.recognition.scripted import tone_words
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from streaming_asr.audio.samples import Samples
from streaming_asr.events import Event, Final

FAST = ClientOptions(backoff=Backoff(first=0.002, longest=0.02, give_up_seconds=20))


async def events_of(
    url: str,
    audio: Samples,
    *,
    packets: random.Random | None = None,
    pause: float = 0.0,
    client: ClientOptions = FAST,
    **options: Any,
) -> list[Event]:
    """All events of a stream of this audio, sent in packets of random size, or of 100 ms."""
    async with connect(url, **{"sample_rate": 16_000, "client": client, **options}) as stream:

        async def send() -> None:
            start = 0
            while start < len(audio):
                size = packets.randint(1, 6_000) if packets else 1_600
                await stream.send(audio[start : start + size])
                start += size
                await asyncio.sleep(pause)
            await stream.finish()

        sending = asyncio.create_task(send())
        events = [event async for event in stream]
        await sending
    return events


def finals(events: list[Event]) -> list[tuple[int, str, float, float]]:
    """Number, text and times of every final."""
    return [(event.utterance, event.text, event.start, event.end) for event in events if isinstance(event, Final)]


def sentences(rng: random.Random) -> list[int]:
    """Blocks for `tone_words`: a few utterances with silence around them."""
    blocks: list[int] = []
    for _ in range(rng.randint(2, 5)):
        blocks += [0] * rng.randint(0, 6) + [rng.randint(11, 900) for _ in range(rng.randint(1, 8))]
    return blocks


async def until(condition: Callable[[], bool], *, patience: float = 10) -> None:
    """Wait until something is so, so many seconds at most."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - a test watches from outside
            await asyncio.sleep(0.01)


def pcm(*numbers: int) -> bytes:
    """`tone_words` as linear16."""
    return (tone_words(numbers) * 32767).astype("<i2").tobytes()


class Raw:
    """A websocket that says anything and reads messages as they are."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket

    async def send(self, *messages: dict[str, Any] | bytes | str) -> None:
        for message in messages:
            await self.websocket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self, *kinds: str) -> dict[str, Any]:
        """The next message, or the next of one of these kinds."""
        while True:
            message: dict[str, Any] = json.loads(await asyncio.wait_for(self.websocket.recv(), 10))
            if not kinds or message["type"] in kinds:
                return message

    async def receive_all(self) -> tuple[list[dict[str, Any]], int | None]:
        """All messages up to the close, and its code."""
        messages = []
        try:
            while True:
                messages.append(await self.receive())
        except ConnectionClosed as closed:
            return messages, closed.rcvd.code if closed.rcvd else None


@asynccontextmanager
async def raw(url: str, **options: Any) -> AsyncIterator[Raw]:
    """A bare connection to `/v1/stream`."""
    async with open_websocket(f"{url}/v1/stream", compression=None, close_timeout=1, **options) as websocket:
        yield Raw(websocket)


def counted(server: LocalServer, name: str, **labels: str) -> float:
    """A counter of a server; 0 if nothing was counted."""
    return server.service.metrics.registry.get_sample_value(f"streaming_asr_{name}_total", labels) or 0.0
