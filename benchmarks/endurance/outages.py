"""What a server stands on fails while people speak: the disk of the ledger is full, Redis is away, a clock jumps."""

from __future__ import annotations

import asyncio
import resource
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streaming_asr_client import RefusedError, connect
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.access.ledger.interface import Ledger
from streaming_asr_server.access.ledger.redis import RedisLedger
from streaming_asr_server.access.ledger.sqlite import SqliteLedger
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings

from benchmarks.endurance.speaking import PIECE, Tally, speak, words_and_pauses
from benchmarks.serving import free_port
from streaming_asr.audio.samples import SAMPLE_RATE

_STREAMS = 4
_KEY = "key"
_SPEED = 10
"""So many times faster than real time do people speak here."""


@dataclass(slots=True)
class Outage:
    """What was said during it, how often it came, and what new streams were told meanwhile."""

    tally: Tally = field(default_factory=Tally)
    times: int = 0
    refusals: set[str] = field(default_factory=set)
    after: str = ""
    """Whether a new stream was taken when all was over."""


class Clock:
    """The time of day, which can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def full_disk(seconds: float, seed: int) -> Outage:
    """The ledger in SQLite may not grow by a byte, again and again."""
    folder = Path(tempfile.mkdtemp(prefix="endurance-"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def trouble() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))

    async def end() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    try:
        return await _during(seconds, seed, SqliteLedger(folder / "ledger.sqlite", worker="one"), trouble, end)
    finally:
        await end()
        shutil.rmtree(folder)


async def redis_away(seconds: float, seed: int) -> Outage:
    """The ledger's Redis is killed, and started again, again and again."""
    port, running = free_port(), None

    async def start() -> None:
        nonlocal running
        options = ("--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1")
        running = await asyncio.create_subprocess_exec("redis-server", *options, stdout=asyncio.subprocess.DEVNULL)
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    async def kill() -> None:
        if running is not None and running.returncode is None:
            running.kill()
            await running.wait()

    await start()
    try:
        return await _during(seconds, seed, RedisLedger(f"redis://127.0.0.1:{port}", worker="one"), kill, start)
    finally:
        await kill()


async def jumping_clock(seconds: float, seed: int) -> Outage:
    """The time of day goes back a day, ahead a month, and back again."""
    clock = Clock()
    jumps = iter([-86_400.0, 30 * 86_400.0, 3_600.0, -3_600.0] * 1_000)

    async def jump() -> None:
        clock.ahead = next(jumps)

    return await _during(seconds, seed, None, jump, jump, clock)


async def _during(
    seconds: float,
    seed: int,
    ledger: Ledger | None,
    trouble: Callable[[], Awaitable[None]],
    end: Callable[[], Awaitable[None]],
    clock: Clock | None = None,
) -> Outage:
    """Let people speak while it comes and goes, for a third of a second to three seconds each."""
    outage, over = Outage(), asyncio.Event()
    async with _server(ledger, clock) as server:
        speaking = [
            asyncio.create_task(_speak(server, seed * 100 + number, outage, over)) for number in range(_STREAMS)
        ]
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            await asyncio.sleep(2)
            await trouble()
            outage.times += 1
            await _try(server, outage)
            await asyncio.sleep(1 + outage.times % 3)
            await end()
        over.set()
        await asyncio.gather(*speaking)
        await asyncio.sleep(3)
        outage.after = await _opened(server)
    return outage


@asynccontextmanager
async def _server(ledger: Ledger | None, clock: Clock | None) -> AsyncIterator[LocalServer]:
    keys = ApiKeys({hash_key(_KEY): Principal(name="one", streams=_STREAMS + 1, minutes=1e6)})
    settings = Settings(max_streams=64, stream_seconds=1e7)
    async with local_server(ScriptedRecognition, settings, keys=keys, ledger=ledger, now=clock or time.time) as server:
        yield server


async def _speak(server: LocalServer, seed: int, outage: Outage, over: asyncio.Event) -> None:
    audio, pace = words_and_pauses(seed), PIECE / SAMPLE_RATE / _SPEED
    reference = ScriptedRecognition()
    await speak(server.url, f"seed {seed}", audio, reference, outage.tally, over, seconds=1e9, pace=pace, api_key=_KEY)


async def _try(server: LocalServer, outage: Outage) -> None:
    """Ask for one stream more, and note what is said."""
    outage.refusals.add(await _opened(server))


async def _opened(server: LocalServer) -> str:
    try:
        async with asyncio.timeout(20), connect(server.url, sample_rate=16_000, api_key=_KEY) as stream:
            await stream.finish()
            async for _ in stream:
                pass
    except RefusedError as refused:
        return refused.code
    except TimeoutError:
        return "no answer within 20 s"
    return "taken"
