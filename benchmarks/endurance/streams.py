"""Hours of audio in several streams, over a network that cuts and to a server that is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings

from benchmarks.endurance.memory import resident, slope
from benchmarks.endurance.network import CuttingNetwork, cutting_network
from benchmarks.endurance.speaking import Tally, speak, words_and_pauses
from benchmarks.serving import SCRIPTED, SERVER, free_port, until_ready
from benchmarks.soak import endless, samples_of
from streaming_asr.audio.samples import Samples
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.errors import StreamingAsrError

_SAMPLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many streams of so many hours; a cut after `cut_seconds` of audio on average, a kill every `kill_seconds`."""

    streams: int
    hours: float
    minutes: float
    seed: int
    cut_seconds: float
    kill_seconds: float | None = None
    kills: int = 0
    model: bool = False


@dataclass(slots=True)
class Result:
    """What came of it; memory in MiB per hour of audio."""

    tally: Tally = field(default_factory=Tally)
    cuts: int = 0
    kills: int = 0
    server_slope: float = 0.0
    client_slope: float = 0.0
    server_memory: float = 0.0
    seconds: float = 0.0


class KillableServer:
    """A server process that begins again on the same port."""

    def __init__(self, *, model: bool) -> None:
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None
        self._program = SERVER if model else SCRIPTED

    async def start(self) -> None:
        """Start it, and wait until it takes streams."""
        options = {
            "PORT": self.port,
            "MAX_STREAMS": 64,
            "STREAM_SECONDS": 10_000_000,
            "LOG_LEVEL": "error",
            "THREADS": 1,
        }
        environment = {**os.environ, **{f"STREAMING_ASR_{name}": str(value) for name, value in options.items()}}
        self.process = await asyncio.create_subprocess_exec(sys.executable, "-c", self._program, env=environment)
        await until_ready(self.port)

    async def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()

    @property
    def pid(self) -> int:
        """Its process id; 0 if there is none."""
        return self.process.pid if self.process is not None else 0


async def run(plan: Plan) -> Result:
    """Carry out a plan; it ends with its hours, its minutes or its kills, whichever is first."""
    result, over = Result(), asyncio.Event()
    server, began = KillableServer(model=plan.model), time.monotonic()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.kill)
        await server.start()
        reference = _embedded() if plan.model else ScriptedRecognition()
        stack.callback(reference.close)
        networks = [
            await stack.enter_async_context(cutting_network(server.port, _budgets(plan, number)))
            for number in range(plan.streams)
        ]
        watching = [asyncio.create_task(_sample(server, result)), asyncio.create_task(_end(plan.minutes, over))]
        if plan.kill_seconds is not None:
            watching.append(asyncio.create_task(_kill(server, plan, result, over)))
        try:
            streams = enumerate(networks)
            await asyncio.gather(
                *(_speak(network, number, plan, reference, result.tally, over) for number, network in streams)
            )
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        result.cuts = sum(network.cuts for network in networks)
    result.seconds = time.monotonic() - began
    return result


def _budgets(plan: Plan, number: int) -> Callable[[], int]:
    """Bytes of 16 kHz audio between two cuts of one stream, exponentially distributed; not before it has started."""
    rng = random.Random(f"{plan.seed} {number}")
    return lambda: 2_000 + round(rng.expovariate(1 / (plan.cut_seconds * 32_000)))


async def _speak(
    network: CuttingNetwork, number: int, plan: Plan, reference: Recognition, tally: Tally, over: asyncio.Event
) -> None:
    seed = plan.seed * 1_000 + number
    audio = islice(_joined(endless(samples_of(RECORDING))), number * 20, None) if plan.model else words_and_pauses(seed)
    name = f"seed {seed}"
    try:
        await speak(network.url, name, audio, reference, tally, over, seconds=plan.hours * 3_600)
    except StreamingAsrError as error:
        tally.wrong.append(f"{name}: the stream ended, {error}")


def _joined(pieces: Iterator[Samples]) -> Iterator[Samples]:
    """Five pieces at a time."""
    while True:
        yield np.concatenate(list(islice(pieces, 5)))


def _embedded() -> Recognition:
    from streaming_asr_server.loading import load_model

    return load_model(Settings().served()[0], threads=1)


async def _end(minutes: float, over: asyncio.Event) -> None:
    await asyncio.sleep(minutes * 60)
    over.set()


async def _sample(server: KillableServer, result: Result) -> None:
    """Watch memory over hours of audio; of the server, since it was last started."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    process = server.pid
    while True:
        await asyncio.sleep(_SAMPLE_SECONDS)
        hours = result.tally.audio_seconds / 3_600
        ours.append((hours, resident(os.getpid())))
        if server.pid != process:
            process, theirs = server.pid, []
        if held := resident(process):
            theirs.append((hours, held))
            result.server_memory = held
        result.client_slope, result.server_slope = slope(ours), slope(theirs)


async def _kill(server: KillableServer, plan: Plan, result: Result, over: asyncio.Event) -> None:
    """Kill the server at random times, and start it again; the streams end after so many times."""
    assert plan.kill_seconds is not None, "nobody asked for kills"
    rng = random.Random(plan.seed)
    while result.kills < plan.kills:
        await asyncio.sleep(rng.uniform(0.2, 1.8) * plan.kill_seconds)
        await server.kill()
        result.kills += 1
        await server.start()
    over.set()
