"""What others notice of clients whose few bytes decode to very much audio: delay, stalls and memory of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import httpx
import numpy as np

from benchmarks.dense_audio import ATTACKS, attack_wyoming, dense_flac

PROBE_SECONDS = 0.01


class Server(Protocol):
    """The server under attack."""

    @property
    def url(self) -> str: ...

    def memory(self) -> float:
        """Resident, in MiB."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the others saw: lags in seconds, times in which the server answered `/healthz`, its most memory in MiB."""

    lags: list[float]
    answers: list[float]
    memory: float

    @property
    def line(self) -> str:
        lag, answer = (1000 * float(np.percentile(values, 99)) for values in (self.lags, self.answers))
        longest = 1000 * max(self.answers)
        return f"lag p99 {lag:.0f} ms, answer p99 {answer:.0f} ms, longest {longest:.0f} ms, {self.memory:.0f} MiB"


async def watch(server: Server, ended: asyncio.Event) -> tuple[list[float], float]:
    """How fast the loop answers a small request, again and again, and the most memory."""
    answers, memory = [], server.memory()
    async with httpx.AsyncClient() as http:
        while not ended.is_set():
            began = time.perf_counter()
            await http.get(f"{server.url.replace('ws', 'http', 1)}/healthz")
            answers.append(time.perf_counter() - began)
            memory = max(memory, server.memory())
            await asyncio.sleep(PROBE_SECONDS)
    return answers, memory


async def measured(server: Server, others: Callable[[], Awaitable[list[float]]]) -> Measured:
    ended = asyncio.Event()
    watching = asyncio.create_task(watch(server, ended))
    lags = await others()
    ended.set()
    return Measured(lags, *await watching)


async def again_and_again(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await attack()
        except OSError as error:
            print(f"an attack could not connect: {error}", flush=True)
        await asyncio.sleep(0.1)


async def measure_isolation(
    server: Server, wyoming_port: int, others: Callable[[], Awaitable[list[float]]], *, dense_seconds: float
) -> None:
    """The others alone, then while one client per protocol sends such a message, again and again."""
    flac = dense_flac(dense_seconds)
    print(f"the message: {len(flac)} bytes, {dense_seconds:.0f} s of audio", flush=True)
    before = await measured(server, others)
    print(f"others alone:     {before.line}", flush=True)
    attacks = [lambda attack=attack: attack(server.url, flac) for attack in ATTACKS.values()]
    tasks = [asyncio.create_task(again_and_again(attack)) for attack in attacks]
    tasks.append(asyncio.create_task(again_and_again(lambda: attack_wyoming(wyoming_port, flac))))
    during = await measured(server, others)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(f"beside attackers: {during.line}", flush=True)
    print(f"memory grew by {during.memory - before.memory:+.0f} MiB\n", flush=True)
