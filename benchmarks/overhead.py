"""What a stream costs beside its encoder: CPU seconds per second of audio, in all and by part.

    python -m benchmarks.overhead [--streams 16] [--rounds 5] [--library] [--rates 16000 48000] [--packets 20 100]

The embedded model computes the demo recording once. Afterwards its steps are answered from memory, and the time that
this takes is left out: what remains is everything but the encoder. In the library one stream goes as fast as it can;
over websockets a server in a process of its own is sent so many streams in real time. The parts are measured in a run
of their own, since watching takes time too; "hand-over" is what no other part has: threads, tasks, queues.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soxr
from streaming_asr_client import connect

from benchmarks.machine import print_machine
from benchmarks.serving import free_port, until_ready
from benchmarks.soak import samples_of
from benchmarks.watches import Watches
from streaming_asr import Recognizer
from streaming_asr.audio.gate import Gate
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.resampling import Resampler
from streaming_asr.audio.ring_buffer import RingBuffer
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.decoding import BeamSearch, GreedySearch
from streaming_asr.events import Event
from streaming_asr.model import Chunk, EncoderStream
from streaming_asr.reporting import Reporter
from streaming_asr.session import Session
from streaming_asr.stabilizer import Stabilizer
from streaming_asr.text import Formatter
from streaming_asr.utterance import Utterance

Pcm = npt.NDArray[np.int16]

WIDTHS: Final[Mapping[str, int]] = {"beam 50, LM": 50, "greedy": 1}
PARTS: Final = (
    "decode",
    "resample",
    "gate",
    "buffers",
    "session",
    "scores",
    "search",
    "stabilizer",
    "events",
    "formatting",
    "protocol",
    "socket",
    "hand-over",
)


class RecordedSteps:
    """The steps of an encoder, each computed once and then answered from memory.

    An utterance is known by its first second of audio; `seconds` is the CPU time of all answers.
    """

    def __init__(self, encoder: Any) -> None:
        self.seconds = 0.0
        self._compute = encoder.step
        self._computed: dict[tuple[bytes, int], Chunk] = {}
        self._utterances: dict[EncoderStream, tuple[bytes, int]] = {}
        self._recorded = False
        encoder.step = self.step

    def close(self) -> None:
        """Compute nothing more."""
        self._recorded = True

    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]:
        """As `Encoder.step`."""
        began = time.thread_time()
        chunks = [self._answer(stream) for stream in streams]
        self.seconds += time.thread_time() - began
        return chunks

    def _answer(self, stream: EncoderStream) -> Chunk:
        name, number = self._utterances.get(stream) or (stream.samples(0, SAMPLE_RATE).tobytes(), 0)
        self._utterances[stream] = name, number + 1
        if self._recorded:
            chunk = self._computed[name, number]
            stream.advance(stream.job())
        else:
            [chunk] = self._compute([stream])
            self._computed[name, number] = chunk
        if stream.done:
            del self._utterances[stream]
        return chunk


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds per second of audio, the encoder left out; by part, where they were watched."""

    total: float
    parts: Mapping[str, float]


def recording_at(rate: int) -> Pcm:
    """The demo recording with two seconds of silence behind it, at a rate in Hz, shape (samples,)."""
    samples = np.concatenate([samples_of(RECORDING), np.zeros(2 * SAMPLE_RATE, np.float32)])
    samples = samples if rate == SAMPLE_RATE else soxr.resample(samples, SAMPLE_RATE, rate)
    return np.asarray(np.clip(samples * 32768, -32768, 32767), np.int16)


def packets_of(audio: Pcm, rate: int, packet_ms: int) -> list[bytes]:
    """Audio in packets of so many milliseconds."""
    size = rate * packet_ms // 1000
    return [audio[at : at + size].tobytes() for at in range(0, len(audio), size)]


def events_of(recognizer: Recognizer, packets: Sequence[bytes], rate: int, width: int) -> list[Event]:
    """What a stream of the library says."""
    stream = recognizer.stream(sample_rate=rate, encoding="linear16", beam_width=width)
    events = [event for packet in packets for event in stream.push(packet)]
    return events + stream.finish()


def record(recognizer: Recognizer, rates: Sequence[int], width: int) -> RecordedSteps:
    """Have the model compute what will be asked of it."""
    steps = RecordedSteps(recognizer.encoder)
    for rate in rates:
        events_of(recognizer, packets_of(recording_at(rate), rate, 100), rate, width)
    steps.close()
    return steps


def watch_library() -> Watches:
    """Watches on the parts of the library."""
    watches = Watches()
    watches.watch(AudioInput, "decode", "push", "finish")
    watches.watch(Resampler, "resample", "push", "finish")
    watches.watch(Gate, "gate", "push", "finish")
    watches.watch(RingBuffer, "buffers", "append", "read")
    watches.watch(EncoderStream, "buffers", "feed")
    watches.watch(Session, "session", "push", "advance", "take")
    watches.watch(Utterance, "scores", "take")
    for search in (BeamSearch, GreedySearch):
        watches.watch(search, "search", "push", "fork", "beams", "agreed", "hold", "finish")
    watches.watch(Stabilizer, "stabilizer", "push", "best", "finish", "word_confidence")
    watches.watch(Reporter, "events", "speech_started", "step", "utterance_ended", "events")
    watches.watch(Formatter, "formatting", "show", "finish", "completeness")
    return watches


def in_library(recognizer: Recognizer, steps: RecordedSteps, rate: int, packet_ms: int, width: int) -> float:
    """CPU seconds per second of audio of one stream."""
    audio = recording_at(rate)
    packets = packets_of(audio, rate, packet_ms)
    began, answered = time.process_time(), steps.seconds
    events_of(recognizer, packets, rate, width)
    return (time.process_time() - began - (steps.seconds - answered)) / (len(audio) / rate)


def measure_library(options: argparse.Namespace) -> None:
    """Print what one stream costs in the library: first all totals, then, under watches, the parts."""
    ways = [(rate, packet) for rate in options.rates for packet in options.packets]
    with ExitStack() as stack:
        loaded = {name: stack.enter_context(Recognizer.load()) for name in WIDTHS}
        recorded = {name: record(recognizer, options.rates, WIDTHS[name]) for name, recognizer in loaded.items()}
        for name, recognizer in loaded.items():
            for way in ways:
                rounds = [in_library(recognizer, recorded[name], *way, WIDTHS[name]) for _ in range(options.rounds)]
                print(f"library     {name:12} {_told(*way)}  {min(rounds):.4f}", flush=True)
        watches = watch_library() if options.parts else Watches()
        for name, recognizer in loaded.items() if options.parts else ():
            for way in ways:
                watches.seconds.clear()
                total = in_library(recognizer, recorded[name], *way, WIDTHS[name])
                audio_seconds = len(recording_at(way[0])) / way[0]
                parts = {part: seconds / audio_seconds for part, seconds in watches.seconds.items()}
                print_parts(f"library     {name:12} {_told(*way)}", parts, total)


def print_parts(what: str, parts: Mapping[str, float], total: float) -> None:
    """Print a line by part, in milliseconds per second of audio; what no part has is the hand-over."""
    told = {**parts, "hand-over": total - sum(parts.values())}
    print(f"{what}  " + ", ".join(f"{part} {1000 * told[part]:.2f}" for part in PARTS if part in told), flush=True)


def _told(rate: int, packet_ms: int) -> str:
    return f"{rate // 1000} kHz, {packet_ms:3} ms"


# Over websockets: a server in a process of its own, which answers on standard output what it has used.


def serve(port: int, rates: Sequence[int], width: int, *, watched: bool) -> None:
    """Serve until a signal comes; each line on standard input is answered by what was used since the start."""
    from streaming_asr_server.application import create_application
    from streaming_asr_server.connection.native import NativeCodec
    from streaming_asr_server.recognition.model import ModelRecognition
    from streaming_asr_server.running import FlowControlledWebSocket, run
    from streaming_asr_server.service import Service
    from streaming_asr_server.settings import read_settings

    class Recorded(ModelRecognition):
        async def warm_up(self) -> None:
            """The recording was the warm-up."""

    recognizer = Recognizer.load()
    steps = record(recognizer, rates, width)
    watches = Watches()
    if watched:
        watches = watch_library()
        watches.watch(NativeCodec, "protocol", "receive", "opened", "outcome")
        watches.watch(FlowControlledWebSocket, "socket", "data_received")

    def answer() -> None:
        for _ in sys.stdin:
            used = {"cpu": time.process_time(), "encoder": steps.seconds, "parts": dict(watches.seconds)}
            print(json.dumps(used), flush=True)

    threading.Thread(target=answer, daemon=True).start()
    settings = read_settings({}, environment={"STREAMING_ASR_PORT": str(port), "STREAMING_ASR_LOG_LEVEL": "error"})
    load = lambda: Recorded(recognizer, name="recorded", options={"beam_width": width})  # noqa: E731
    service = Service(settings, load=load)
    run(create_application(service), service, settings)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready."""

    process: asyncio.subprocess.Process
    url: str

    async def used(self) -> dict[str, Any]:
        """What it has used since its start."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()
        answer: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return answer

    async def cost(self, rate: int, packet_ms: int, streams: int) -> Cost:
        """CPU seconds per second of audio of so many streams in real time."""
        audio = recording_at(rate)
        packets = packets_of(audio, rate, packet_ms)
        before = await self.used()
        await asyncio.gather(*(self._speak(packets, rate, packet_ms, place / streams) for place in range(streams)))
        after = await self.used()
        audio_seconds = streams * len(audio) / rate
        encoder = after["encoder"] - before["encoder"]
        parts = {
            part: (seconds - before["parts"].get(part, 0.0)) / audio_seconds for part, seconds in after["parts"].items()
        }
        return Cost((after["cpu"] - before["cpu"] - encoder) / audio_seconds, parts)

    async def _speak(self, packets: Sequence[bytes], rate: int, packet_ms: int, delay: float) -> None:
        """One client in real time; it begins so many seconds later."""
        await asyncio.sleep(delay)
        async with connect(self.url, sample_rate=rate) as stream:

            async def send() -> None:
                began = time.monotonic()
                for number, packet in enumerate(packets, start=1):
                    await asyncio.sleep(began + number * packet_ms / 1000 - time.monotonic())
                    await stream.send(packet)
                await stream.finish()

            sending = asyncio.create_task(send())
            async for _ in stream:
                pass
            await sending


async def measure_websockets(options: argparse.Namespace) -> None:
    """Print what streams cost over websockets."""
    for name, width in WIDTHS.items():
        for watched in (False, True) if options.parts else (False,):
            server = await start(options, width, watched=watched)
            try:
                for rate in options.rates:
                    for packet in options.packets:
                        cost = await server.cost(rate, packet, options.streams)
                        what = f"websockets  {name:12} {_told(rate, packet)}"
                        if watched:
                            print_parts(what, cost.parts, cost.total)
                        else:
                            print(f"{what}  {cost.total:.4f}", flush=True)
            finally:
                server.process.kill()
                await server.process.wait()


async def start(options: argparse.Namespace, width: int, *, watched: bool) -> Server:
    """Start a server and wait until it takes streams."""
    port = free_port()
    arguments = ["--serve", str(port), "--width", str(width), "--rates", *(str(rate) for rate in options.rates)]
    arguments += ["--watched"] if watched else []
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    program = [sys.executable, "-m", "benchmarks.overhead", *arguments]
    process = await asyncio.create_subprocess_exec(*program, **pipes)  # type: ignore[arg-type]
    await until_ready(port)
    return Server(process, f"ws://127.0.0.1:{port}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="+", default=[16_000, 48_000], help="Hz")
    parser.add_argument("--packets", type=int, nargs="+", default=[20, 100], help="milliseconds")
    parser.add_argument("--streams", type=int, default=16, help="at once over websockets")
    parser.add_argument("--rounds", type=int, default=5, help="in the library; the cheapest counts")
    parser.add_argument("--library", action="store_true", help="only in the library")
    parser.add_argument("--no-parts", dest="parts", action="store_false", help="only in all")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--width", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--watched", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(options.serve, options.rates, options.width, watched=options.watched)
        return
    print_machine()
    print("CPU seconds per second of audio, the encoder left out; by part in milliseconds\n")
    measure_library(options)
    if not options.library:
        asyncio.run(measure_websockets(options))


if __name__ == "__main__":
    main()
