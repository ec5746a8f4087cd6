"""What Ray Serve's proxy does to a stream, and what happens to people who speak while copies of the server change.

    python -m benchmarks.cluster [--streams 20] [--seconds 15]        delay, CPU, large messages, fast senders
    python -m benchmarks.cluster --drill [--streams 20] [--model]     copies are killed, added, drained, replaced

Needs the extra `cluster`. Ray runs on this machine. The recognizer has no model but with `--model`, so what is measured
is the way through it: each packet of 100 ms has a word, whose partial comes back. Beside it, a server of one process on
uvicorn in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from streaming_asr_client import connect
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from benchmarks.cluster_drill import MODEL, PACKET, SLOW, SLOW_SECONDS, Cluster, cluster, drill, said, undisturbed
from benchmarks.machine import print_machine
from benchmarks.serving import free_port, server_process
from benchmarks.soak import samples_of
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.events import Partial

SIZES = (3_200, 65_536, 262_144, 1_048_576)
FLOOD = 64 << 20


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds and resident MiB of some processes."""

    cpu: float
    memory: float


def usage(processes: Sequence[int]) -> Usage:
    """What these processes have used."""
    ticks = pages = 0
    for process in processes:
        folder = Path(f"/proc/{process}")
        ticks += sum(map(int, folder.joinpath("stat").read_text("ascii").rpartition(")")[2].split()[11:13]))
        pages += int(folder.joinpath("statm").read_text("ascii").split()[1])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


async def delays(url: str, seconds: float) -> list[float]:
    """From each packet of a live stream to its partial, in seconds."""
    sent: list[float] = []
    found: list[float] = []
    packet = tone_words([17])
    async with connect(url, sample_rate=16_000) as stream:

        async def speak() -> None:
            began = time.monotonic()
            for number in range(1, round(seconds * 10) + 1):
                await asyncio.sleep(max(0.0, began + number / 10 - time.monotonic()))
                sent.append(time.monotonic())
                await stream.send(packet)
            await stream.finish()

        speaking = asyncio.create_task(speak())
        async for event in stream:
            if isinstance(event, Partial):
                found.append(time.monotonic() - sent[round(event.end * 10) - 1])
        await speaking
    return found[10:]


async def measure_delay(
    name: str, url: str, processes: Callable[[], Sequence[int]], options: argparse.Namespace
) -> None:
    for streams in (1, options.streams):
        before = usage(processes())
        many = await asyncio.gather(*(delays(url, options.seconds) for _ in range(streams)))
        cpu = (usage(processes()).cpu - before.cpu) / (streams * options.seconds)
        p50, p95, p99 = np.percentile(np.concatenate(many), (50, 95, 99)) * 1000
        print(
            f"{name:9} {streams:3} streams  {p50:8.1f} {p95:8.1f} {p99:8.1f} ms   {cpu:.4f} CPU s per audio s",
            flush=True,
        )


async def measure_sizes(name: str, url: str) -> None:
    """Seconds that one message of silence takes until its stream has finished."""
    for size in SIZES:
        took = []
        for _ in range(5):
            async with open_websocket(f"{url}/v1/stream", compression=None, max_size=None) as client:
                await client.send(json.dumps({"type": "start"}))
                await client.recv()
                began = time.monotonic()
                await client.send(bytes(size))
                await client.send(json.dumps({"type": "finish"}))
                with suppress(ConnectionClosed):
                    while True:
                        await client.recv()
                took.append(time.monotonic() - began)
        print(f"{name:9} {size:8} bytes  {np.median(took) * 1000:8.1f} ms", flush=True)


async def measure_flood(name: str, url: str, processes: Callable[[], Sequence[int]]) -> None:
    """How much of a sender that does not wait is taken, in ten seconds; and what that does to memory."""
    before, sent, ended = usage(processes()).memory, 0, "held back"
    async with open_websocket(f"{url}/v1/stream", compression=None, ping_interval=None, close_timeout=1) as client:
        await client.send(json.dumps({"type": "start"}))
        # Who reads nothing would not see the close.
        reading = asyncio.create_task(_read_all(client))
        deadline, most = time.monotonic() + 10, before
        with suppress(TimeoutError):
            try:
                while sent < FLOOD and time.monotonic() < deadline:
                    await asyncio.wait_for(client.send(bytes(1 << 18)), 1)
                    sent += 1 << 18
                    most = max(most, usage(processes()).memory)
                ended = "taken"
                await asyncio.wait_for(client.wait_closed(), 20)
                ended = f"closed with {client.close_code}"
            except ConnectionClosed as error:
                ended = f"closed with {error.rcvd.code if error.rcvd else None}"
        client.transport.abort()
        await reading
    print(f"{name:9} {sent / 2**20:6.1f} MiB, then {ended:18} memory {most - before:+7.1f} MiB", flush=True)


async def _read_all(client: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await client.recv()


async def measure_proxy(options: argparse.Namespace) -> None:
    """All figures of a server on uvicorn and of one behind Ray's proxy."""
    plain = argparse.Namespace(threads=1, model=None, scripted=True, device=None, precision=None)
    slow = partial(ScriptedRecognition, delay=SLOW_SECONDS)
    async with server_process(plain) as server:
        print("from packet to partial         p50      p95      p99")
        await measure_delay("uvicorn", server.url, lambda: [server.process.pid], options)
        await measure_sizes("uvicorn", server.url)
    async with local_server(slow, Settings()) as local:
        await measure_flood("uvicorn", local.url, lambda: [os.getpid()])
    with cluster(free_port()) as running:
        running.deploy(1)
        await running.until(lambda states: states == {"RUNNING": 1})

        def processes() -> Sequence[int]:
            return [*running.processes("ServeReplica:"), *running.processes("ProxyActor")]

        await measure_delay("Ray", running.url, processes, options)
        await measure_sizes("Ray", running.url)
        for limit in (8 << 20, 1 << 30):
            await flood_through(running, limit, processes)


async def flood_through(running: Cluster, limit: int, processes: Callable[[], Sequence[int]]) -> None:
    running.import_path = SLOW
    await running.replace(1, ahead_bytes=limit)
    await measure_flood(f"Ray {limit >> 20} MiB", running.url, processes)


def embedded_speech(seed: int) -> Samples:
    """The embedded recording over and over, from another place in it for each."""
    recording = samples_of(RECORDING)
    start = seed * 5 * SAMPLE_RATE % len(recording)
    return np.tile(np.concatenate([recording[start:], recording[:start]]), 20)


def embedded() -> Recognition:
    from streaming_asr_server.loading import load_model

    return load_model(Settings().served()[0], threads=1)


async def show_drill(options: argparse.Namespace) -> int:
    """Run the drill; the number of streams whose transcript is another than the undisturbed one."""
    with cluster(free_port(), MODEL) if options.model else cluster(free_port()) as running:
        if options.model:
            outcome = await drill(running, options.streams, embedded_speech)
        else:
            outcome = await drill(running, options.streams)
    for at, step in outcome.steps:
        print(f"{at:6.1f} s  {step}")
    load = embedded if options.model else ScriptedRecognition
    wrong = 0
    for person in outcome.speakers:
        if person.finals != (expected := await undisturbed(said(person), load)):
            wrong += 1
            first = next((pair for pair in zip(person.finals, expected, strict=False) if pair[0] != pair[1]), None)
            print(f"stream {person.seed}: {len(person.finals)} finals of {len(expected)}; first difference {first}")
    seconds = sum(len(person.audio) for person in outcome.speakers) * PACKET / SAMPLE_RATE
    words = sum(len(text.split()) for person in outcome.speakers for _, text, _, _ in person.finals)
    print(f"\n{options.streams} streams, {seconds / 60:.1f} minutes of audio, {words} words")
    print(f"ended by servers for: {dict(outcome.reasons)}")
    print(f"transcripts that are not the undisturbed ones: {wrong} (must be 0)")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--drill", action="store_true")
    parser.add_argument("--model", action="store_true", help="the drill with the embedded model; few streams then")
    options = parser.parse_args(arguments)
    print_machine()
    if options.drill:
        return min(1, asyncio.run(show_drill(options)))
    asyncio.run(measure_proxy(options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
