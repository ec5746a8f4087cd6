"""What a second worker brings, and what it costs.

    python -m benchmarks.workers [--workers 1 2] [--streams 8] [--seconds 60] [--model NAME]

For each number of workers a server is started, each worker with one thread. So many streams send the embedded
recording, over and over, as fast as it is taken: `audio s / s` is the audio that all of them together have had
recognized in a second, `times one` compares it with the first row; `cores` are those that the server's processes kept
busy, `audio s / CPU s` is what a second of one core gave: where it stays, another worker costs nothing. `PSS` is the
memory of the server with all its processes, in MiB, where a page that several of them share counts in parts: before the
first stream, and under load. A machine that does something else meanwhile, or has fewer free cores than workers, shows
less, and so do few streams: the kernel deals them out by chance.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from websockets.asyncio.client import connect

from benchmarks.machine import print_machine
from benchmarks.serving import free_port
from benchmarks.soak import samples_of
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.command_line.demo import RECORDING

_PACKET = SAMPLE_RATE // 2
"""Half a second: what clients and sockets cost is not the question here."""


@dataclass(frozen=True, slots=True)
class Result:
    """Audio seconds per second, and MiB."""

    workers: int
    rate: float
    cores: float
    idle_memory: float
    memory: float


@dataclass(frozen=True, slots=True)
class Server:
    """A server whose workers are all ready."""

    pid: int
    port: int

    def memory(self) -> float:
        """Proportional set size of all its processes, in MiB."""
        return sum(map(proportional_set_size, tree(self.pid)))

    def cpu_seconds(self) -> float:
        """What all its processes have used."""
        return sum(map(cpu_seconds, tree(self.pid)))


def tree(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in task.joinpath("children").read_text("ascii").split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """Of user and system together; 0 for one that has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional_set_size(pid: int) -> float:
    """In MiB; 0 for one that has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@asynccontextmanager
async def serving(workers: int, options: argparse.Namespace, folder: Path) -> AsyncIterator[Server]:
    """Start a server and wait until every worker is ready."""
    port, log = free_port(), folder / f"log-{workers}"
    arguments = ["serve", "--port", str(port), "--workers", str(workers), "--threads", "1", "--max-streams", "512"]
    arguments += ["--ledger", str(folder / "ledger"), *(["--model", options.model] if options.model else [])]
    command = [sys.executable, "-m", "streaming_asr.command_line", *arguments]
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=errors)
    try:
        while log.read_text().count('"message": "ready"') < workers:
            if process.returncode is not None:
                raise SystemExit(log.read_text())
            await asyncio.sleep(0.1)
        yield Server(process.pid, port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def speak(server: Server, audio: bytes) -> None:
    """Send one stream and wait for its end."""
    async with connect(f"ws://127.0.0.1:{server.port}/v1/stream", compression=None, ping_timeout=None) as websocket:
        await websocket.send('{"type": "start", "sample_rate": 16000, "encoding": "linear16", "partials": false}')

        async def send() -> None:
            for start in range(0, len(audio), 2 * _PACKET):
                await websocket.send(audio[start : start + 2 * _PACKET])
            await websocket.send('{"type": "finish"}')

        sending = asyncio.create_task(send())
        async for _ in websocket:
            pass
        await sending


async def measure(workers: int, options: argparse.Namespace, audio: bytes, folder: Path) -> Result:
    async with serving(workers, options, folder) as server:
        await asyncio.gather(*(speak(server, audio[: 4 * SAMPLE_RATE]) for _ in range(2 * workers)))
        idle = server.memory()
        began, used = time.perf_counter(), server.cpu_seconds()
        speaking = asyncio.gather(*(speak(server, audio) for _ in range(options.streams)))
        await asyncio.sleep(0.5)
        memory = server.memory()
        await speaking
        passed = time.perf_counter() - began
        rate, cores = options.streams * options.seconds / passed, (server.cpu_seconds() - used) / passed
        async with httpx.AsyncClient() as client:
            page = (await client.get(f"http://127.0.0.1:{server.port}/metrics")).text
        assert "streaming_asr_audio_seconds_total" in page, "the metrics are not those of this server"
    return Result(workers, rate, cores, idle, memory)


async def main(options: argparse.Namespace) -> None:
    samples = np.resize(samples_of(RECORDING), options.seconds * SAMPLE_RATE)
    audio = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    print_machine()
    print("workers  audio s / s  times one  cores  audio s / CPU s  PSS idle       PSS")
    first: Result | None = None
    with tempfile.TemporaryDirectory() as folder:
        for workers in options.workers:
            result = await measure(workers, options, audio, Path(folder))
            first = first or result
            times = result.rate / first.rate
            cost = f"{result.cores:>6.2f} {result.rate / result.cores:>16.1f}"
            memory = f"{result.idle_memory:>9.0f} {result.memory:>9.0f}"
            print(f"{workers:>7} {result.rate:>12.1f} {times:>10.2f} {cost} {memory}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--model", default=None)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    asyncio.run(main(parser.parse_args()))
