"""How many live streams a server carries, how fast it answers, and what an idle stream costs.

    python -m benchmarks.serving [--streams 1 2 4 8 …] [--seconds 15] [--soak-minutes 15] [--model NAME] [--threads 2]
    python -m benchmarks.serving --device cuda --precision bfloat16 --size base large    random weights: cost alone
    python -m benchmarks.serving --isolation [--others 31] [--scripted]     only what attackers do to others

The server is a process of its own; the clients, in this one, send the embedded recording in real time, 40 ms at a time,
each from another place in it. `lag` is what the server says with every partial: audio received but not yet decoded; it
is never less than the model's lookahead. `delay` is what load adds to it: lag less the median lag of a single stream.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from streaming_asr_client import StreamConnection, connect

from benchmarks.isolation import measure_isolation
from benchmarks.machine import print_machine
from benchmarks.random_checkpoint import SHAPES, random_checkpoint
from benchmarks.soak import samples_of
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.events import Final, Partial, SpeechStarted

PACKET = SAMPLE_RATE // 25
LIMIT = 0.3
"""Seconds of delay at p95 that live captions bear."""

PROGRAM = """
import os
from benchmarks.isolation import watched
from streaming_asr_server.application import create_application
from streaming_asr_server.loading import model_sources
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.running import freeze_loaded, run
from streaming_asr_server.service import Service
from streaming_asr_server.settings import read_settings
from streaming_asr_server.sessions.decoding import load_codecs
load_codecs()
settings = read_settings({}, environment=os.environ)
service = Service(settings, load=LOAD, announce=freeze_loaded)
run(watched(create_application(service)), service, settings)
"""
SERVER = PROGRAM.replace("LOAD", "model_sources(settings)")
SCRIPTED = PROGRAM.replace("LOAD", "ScriptedRecognition")
"""A server without a model: what is measured is everything else."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds that a process has used, and its resident memory in MiB."""

    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that is ready."""

    process: asyncio.subprocess.Process
    port: int
    wyoming_port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def memory(self) -> float:
        """Resident, in MiB."""
        return self.usage().memory

    def usage(self) -> Usage:
        folder = Path(f"/proc/{self.process.pid}")
        ticks = folder.joinpath("stat").read_text("ascii").rpartition(")")[2].split()[11:13]
        pages = int(folder.joinpath("statm").read_text("ascii").split()[1])
        page_mib = os.sysconf("SC_PAGE_SIZE") / 2**20
        return Usage(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), pages * page_mib)


@dataclass(slots=True)
class Report:
    """What the clients of one run have seen, in seconds."""

    lags: list[float] = field(default_factory=list)
    first_partials: list[float] = field(default_factory=list)
    finals: int = 0


@asynccontextmanager
async def server_process(options: argparse.Namespace) -> AsyncIterator[ServerProcess]:
    """Start a server and wait until it is warm."""
    port, wyoming_port = free_port(), free_port()
    environment = {"PORT": port, "MAX_STREAMS": 512, "THREADS": options.threads, "LOG_LEVEL": "error"}
    environment["WYOMING_PORT"] = wyoming_port
    chosen = {"MODEL": options.model, "DEVICE": options.device, "PRECISION": options.precision}
    environment |= {name: value for name, value in chosen.items() if value}
    settings = {f"STREAMING_ASR_{name}": str(value) for name, value in environment.items()}
    program = SCRIPTED if options.scripted else SERVER
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env={**os.environ, **settings})
    try:
        await until_ready(port)
        yield ServerProcess(process, port, wyoming_port)
    finally:
        process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_ready(port: int) -> None:
    async with httpx.AsyncClient() as http:
        for _ in range(1_200):
            try:
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise TimeoutError("the server was not ready within two minutes")


async def play(stream: StreamConnection, audio: Samples) -> None:
    """Send audio in real time."""
    began = time.monotonic()
    for start in range(0, len(audio), PACKET):
        due = began + min(start + PACKET, len(audio)) / SAMPLE_RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await stream.send(audio[start : start + PACKET])


async def live_stream(url: str, audio: Samples, report: Report) -> None:
    """One client that speaks in real time; tells how the server kept up."""
    async with connect(url, sample_rate=SAMPLE_RATE) as stream:

        async def speak() -> None:
            await play(stream, audio)
            await stream.finish()

        began, speaking = time.monotonic(), asyncio.create_task(speak())
        speech = None
        async for event in stream:
            match event:
                case SpeechStarted(time=at):
                    speech = began + at
                case Partial(lag=lag):
                    report.lags.append(lag)
                    if speech is not None:
                        report.first_partials.append(time.monotonic() - speech)
                    speech = None
                case Final():
                    report.finals += 1
        await speaking


async def live_streams(url: str, recording: Samples, streams: int, seconds: float) -> Report:
    """Many clients at once, each from another place in the recording, begun at different times."""
    report, length = Report(), round(seconds * SAMPLE_RATE)
    looped = np.tile(recording, 2 + length // len(recording))

    async def one(number: int) -> None:
        start = number * len(recording) // max(streams, 1)
        await asyncio.sleep(number / streams)
        await live_stream(url, looped[start : start + length], report)

    await asyncio.gather(*(one(number) for number in range(streams)))
    return report


async def single_stream_speed(url: str, recording: Samples) -> float:
    """Seconds of audio per second that one client gets through when it does not wait."""
    audio, began = np.tile(recording, 4), time.monotonic()
    async with connect(url, sample_rate=SAMPLE_RATE) as stream:
        for start in range(0, len(audio), SAMPLE_RATE):
            await stream.send(audio[start : start + SAMPLE_RATE])
        await stream.finish()
        async for _ in stream:
            pass
    return len(audio) / SAMPLE_RATE / (time.monotonic() - began)


async def waits_for_final(url: str, recording: Samples, *, forced: bool, times: int) -> list[float]:
    """From the end of speech to its final: after `finalize()`, or by the endpoint rules, in seconds.

    The speech is the recording up to its first utterance's last word, at other lengths each time; then comes silence.
    """
    words = await first_utterance(url, recording)
    waits = []
    for number in range(times):
        end = words[max(2, len(words) - 1 - number % 3)]
        silence = np.zeros(3 * SAMPLE_RATE, np.float32)
        waits.append(await wait_for_final(url, recording[: round(end * SAMPLE_RATE)], silence, forced=forced))
    return waits


async def first_utterance(url: str, recording: Samples) -> list[float]:
    """Where the words of the first utterance end, in seconds."""
    async with connect(url, sample_rate=SAMPLE_RATE) as stream:
        await stream.send(recording)
        await stream.finish()
        async for event in stream:
            if isinstance(event, Final) and len(event.words) > 2:
                return [word.end for word in event.words]
    raise ValueError("the recording has no utterance of three words")


async def wait_for_final(url: str, speech: Samples, silence: Samples, *, forced: bool) -> float:
    async with connect(url, sample_rate=SAMPLE_RATE) as stream:
        await play(stream, speech)
        ended = time.monotonic()
        pause = asyncio.create_task(stream.finalize() if forced else play(stream, silence))
        async for event in stream:
            if isinstance(event, Final):
                waited = time.monotonic() - ended
                pause.cancel()
                await asyncio.gather(pause, return_exceptions=True)
                return waited
    raise RuntimeError("the stream ended without a final")


async def idle_cost(server: ServerProcess, streams: int, seconds: float, *, silence: bool) -> str:
    """What streams cost that send silence, or nothing at all."""
    before = server.usage()
    connections = [connect(server.url, sample_rate=SAMPLE_RATE) for _ in range(streams)]
    opened = [await connection.__aenter__() for connection in connections]
    await asyncio.sleep(1)
    began, start = time.monotonic(), server.usage()
    if silence:
        quiet = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        await asyncio.gather(*(play(stream, quiet) for stream in opened))
    else:
        await asyncio.sleep(seconds)
    end, elapsed = server.usage(), time.monotonic() - began
    for connection in connections:
        await connection.__aexit__(None, None, None)
    cpu = (end.cpu - start.cpu) / elapsed / streams
    return f"{1000 * cpu:.2f} ms CPU per second, {(end.memory - before.memory) * 1024 / streams:.0f} KiB each"


def percentiles(values: Sequence[float]) -> str:
    """p50, p95 and p99 in milliseconds."""
    if not values:
        return "nothing measured"
    return ", ".join(f"p{share} {1000 * np.percentile(values, share):.0f} ms" for share in (50, 95, 99))


async def measure_load(server: ServerProcess, recording: Samples, options: argparse.Namespace) -> None:
    """Raise the number of live streams until the delay passes the limit."""
    alone = await single_stream_speed(server.url, recording)
    print(f"one stream, as fast as it goes: {alone:.1f} s of audio per second", flush=True)
    base, carried = 0.0, 0
    for streams in options.streams:
        before = server.usage()
        began = time.monotonic()
        report = await live_streams(server.url, recording, streams, options.seconds)
        cpu = (server.usage().cpu - before.cpu) / (time.monotonic() - began)
        base = base or float(np.median(report.lags))
        delays = [lag - base for lag in report.lags]
        print(
            f"{streams:4} live streams  lag {percentiles(report.lags)}  delay {percentiles(delays)}  "
            f"first partial {percentiles(report.first_partials)}  {report.finals} finals  {cpu:.2f} cores",
            flush=True,
        )
        if np.percentile(delays, 95) > LIMIT:
            break
        carried = streams
    print(
        f"carried within {1000 * LIMIT:.0f} ms at p95: {carried} streams, {carried / alone:.2f} of one stream's speed\n"
    )


async def measure_waits(server: ServerProcess, recording: Samples, options: argparse.Namespace) -> None:
    for name, forced in (("finalize()", True), ("endpoint rules", False)):
        waits = await waits_for_final(server.url, recording, forced=forced, times=options.times)
        print(f"end of speech to final, {name:15} {percentiles(waits)}  ({len(waits)} times)", flush=True)
    for name, silence in (("silence", True), ("nothing", False)):
        cost = await idle_cost(server, options.idle, options.seconds, silence=silence)
        print(f"a stream that sends {name}: {cost}  ({options.idle} streams)", flush=True)
    print()


async def measure_soak(server: ServerProcess, recording: Samples, options: argparse.Namespace) -> None:
    """Live streams that come and go, memory watched."""
    memory: list[float] = []
    for minute in range(options.soak_minutes):
        await live_streams(server.url, recording, options.soak_streams, 60)
        memory.append(server.usage().memory)
        print(f"minute {minute + 1:3}: {memory[-1]:.0f} MiB", flush=True)
    if len(memory) > 2:
        print(f"growth from minute 2 to the last: {memory[-1] - memory[1]:+.1f} MiB")


async def run_sizes(options: argparse.Namespace) -> None:
    """One after the other, a server for each size, with random weights."""
    for size in options.size:
        with tempfile.TemporaryDirectory() as folder:
            random_checkpoint(size, Path(folder))
            print(f"random weights of the size {size}", flush=True)
            await run(argparse.Namespace(**{**vars(options), "model": str(Path(folder) / size)}))


async def run(options: argparse.Namespace) -> None:
    recording = samples_of(RECORDING)
    async with server_process(options) as server:
        if options.isolation:

            async def others() -> list[float]:
                return (await live_streams(server.url, recording, options.others, options.seconds)).lags

            await measure_isolation(server, others, dense_seconds=options.dense_seconds)
            return
        await measure_load(server, recording, options)
        await measure_waits(server, recording, options)
        await measure_soak(server, recording, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128])
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--idle", type=int, default=32)
    parser.add_argument("--soak-minutes", type=int, default=0)
    parser.add_argument("--soak-streams", type=int, default=4)
    parser.add_argument("--isolation", action="store_true")
    parser.add_argument("--others", type=int, default=31)
    parser.add_argument("--dense-seconds", type=float, default=4_000)
    parser.add_argument("--scripted", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--device")
    parser.add_argument("--precision")
    parser.add_argument("--size", nargs="+", choices=list(SHAPES), default=[])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print_machine()
    asyncio.run(run_sizes(options) if options.size else run(options))


if __name__ == "__main__":
    main()
