"""What others notice of clients whose few bytes decode to very much audio: delay, stalls and memory of the server."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PROBE_SECONDS = 0.01
BEAT_SECONDS = 0.005


class Server(Protocol):
    """The server under attack."""

    @property
    def url(self) -> str: ...

    @property
    def wyoming_port(self) -> int: ...

    def memory(self) -> float:
        """Resident, in MiB."""


def watched(application: Starlette) -> Starlette:
    """The application with `/stalls`: how long its loop stood still, again and again, since it was last asked."""
    stalls: list[float] = []
    beating: list[asyncio.Task[None]] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            stalls.append(max(0.0, time.perf_counter() - began - BEAT_SECONDS))

    async def tell(request: Request) -> JSONResponse:
        if not beating:
            beating.append(asyncio.create_task(beat()))
        told = list(stalls)
        stalls.clear()
        return JSONResponse(told)

    application.router.routes.insert(0, Route("/stalls", tell))
    return application


@dataclass(frozen=True, slots=True)
class Measured:
    """What the others saw: lags in seconds, times in which the server answered `/healthz`, its most memory in MiB.

    `stalls` are those of the server's loop, as it saw them itself.
    """

    lags: list[float]
    answers: list[float]
    stalls: list[float]
    memory: float

    @property
    def line(self) -> str:
        lag, answer = (1000 * float(np.percentile(values, 99)) for values in (self.lags, self.answers))
        stall = 1000 * max(self.stalls)
        return f"lag p99 {lag:.0f} ms, answer p99 {answer:.0f} ms, longest stall {stall:.0f} ms, {self.memory:.0f} MiB"


async def watch(server: Server, ended: asyncio.Event) -> tuple[list[float], list[float], float]:
    """How fast the loop answers a small request, again and again, its stalls, and the most memory."""
    answers, memory, address = [], server.memory(), server.url.replace("ws", "http", 1)
    async with httpx.AsyncClient() as http:
        await http.get(f"{address}/stalls")
        while not ended.is_set():
            began = time.perf_counter()
            await http.get(f"{address}/healthz")
            answers.append(time.perf_counter() - began)
            memory = max(memory, server.memory())
            await asyncio.sleep(PROBE_SECONDS)
        stalls: list[float] = (await http.get(f"{address}/stalls")).json()
    return answers, stalls, memory


async def measured(server: Server, others: Callable[[], Awaitable[list[float]]]) -> Measured:
    ended = asyncio.Event()
    watching = asyncio.create_task(watch(server, ended))
    lags = await others()
    ended.set()
    return Measured(lags, *await watching)


@asynccontextmanager
async def attackers(server: Server, dense_seconds: float) -> AsyncIterator[None]:
    """One client per protocol in a process of their own, so that they hold up the server alone."""
    arguments = ("-m", "benchmarks.dense_audio", server.url, str(server.wyoming_port), str(dense_seconds))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None, "it is a pipe"
    print((await process.stdout.readline()).decode().rstrip(), flush=True)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def measure_isolation(
    server: Server, others: Callable[[], Awaitable[list[float]]], *, dense_seconds: float
) -> None:
    """The others alone, then while one client per protocol sends such a message, again and again."""
    before = await measured(server, others)
    print(f"others alone:     {before.line}", flush=True)
    async with attackers(server, dense_seconds):
        during = await measured(server, others)
    print(f"beside attackers: {during.line}", flush=True)
    print(f"memory grew by {during.memory - before.memory:+.0f} MiB\n", flush=True)
