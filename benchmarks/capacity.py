"""How many streams a core, a GPU and a machine carry, from parts that were measured one by one.

    python -m benchmarks.capacity [--overhead 0.009] [--speech 1.0] [--fill 0.53] [--callers 10000 1000000]
    python -m benchmarks.capacity --steps [--device cuda] [--precision bfloat16] [--sizes base large]

The first prints the tables of docs/capacity.md; every part of them may be given as it was measured elsewhere. The
second measures the one part that only a device can tell: seconds of a step by the number of streams in it, with random
weights.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.encoder import checkpoint
from benchmarks.machine import print_machine
from benchmarks.sizes import SIZES, untrained
from streaming_asr.latency import OFFLINE_MODEL_LATENCY
from streaming_asr.model import Encoder

ENCODER: Final[Mapping[str, float]] = {"embedded": 0.013, "base": 0.5, "large": 1.6, "1 billion": 4.1}
"""CPU seconds per second of speech, float32, AVX-512: the embedded model at 640 + 320 ms, else `benchmarks.sizes`."""

WEIGHTS: Final[Mapping[str, float]] = {"embedded": 0.049, "base": 0.38, "large": 1.26, "1 billion": 3.85}
"""GB, float32; half of it in bfloat16."""

SHAPES: Final[Mapping[str, tuple[int, int, int]]] = {
    "embedded": (6, 384, 168),
    "base": (12, 768, 520),
    "large": (24, 1024, 520),
    "1 billion": (48, 1280, 520),
}
"""Layers, their width, and frames of left context with the sink: 6.7 s of 40 ms, else 10.4 s of 20 ms."""

OVERHEAD: Final = 0.009
"""CPU seconds per second of audio beside the encoder, with the beam search, over websockets, 20 ms packets."""

FILL: Final = 0.53
"""Share of a core that may be used until the p95 delay passes 300 ms: 32 streams on two cores, encoder 0.016."""

PACKET_BYTES: Final = 640 + 8 + 52
"""20 ms of 16 kHz audio, the websocket's header with its mask, and the headers of TCP and IP."""

PACKETS_PER_SECOND: Final = 50
EVENT_BYTES_PER_SECOND: Final = 4 * 400
"""Partials of one who speaks, with their words and headers."""

BATCHES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a stream asks for. `speech` is the share of time in which somebody speaks: only that is encoded."""

    encoder: float
    overhead: float = OVERHEAD
    speech: float = 1.0
    fill: float = FILL

    @property
    def core_seconds(self) -> float:
        """CPU seconds of a stream per second."""
        return self.speech * self.encoder + self.overhead


def streams_per_core(load: Load) -> float:
    """Live streams that one core carries with the p95 delay below 300 ms; under 1 where one stream needs several."""
    return load.fill / load.core_seconds


def streams_per_device(step_seconds: float, batch: int, chunk_seconds: float, *, speech: float, fill: float) -> float:
    """Live streams whose chunks a GPU encodes, if a step of so many of them takes so long."""
    return fill * batch * chunk_seconds / (step_seconds * speech)


def cores_beside_device(streams: float, load: Load) -> int:
    """Cores for everything but the encoder of so many streams."""
    return math.ceil(streams * load.overhead / load.fill)


def cache_bytes(size: str, bytes_per_number: int = 4) -> int:
    """Keys and values of one stream while somebody speaks."""
    layers, width, frames = SHAPES[size]
    return 2 * layers * width * frames * bytes_per_number


def megabits(streams: float) -> tuple[float, float]:
    """Network to the server and from it, in Mbit/s."""
    return streams * PACKET_BYTES * PACKETS_PER_SECOND * 8e-6, streams * EVENT_BYTES_PER_SECOND * 8e-6


def fleet(callers: int, load: Load, cores_per_machine: int) -> tuple[int, int]:
    """Cores, and machines of so many cores, for so many callers at once; a tenth more, for machines that are away."""
    cores = math.ceil(1.1 * callers / streams_per_core(load))
    return cores, math.ceil(cores / cores_per_machine)


def tables(options: argparse.Namespace) -> Iterator[str]:
    """The tables of docs/capacity.md, line by line."""
    yield "| Model | CPU s per s | streams per core | streams on 16 cores | weights | cache of a stream |"
    yield "|---|---|---|---|---|---|"
    for size, encoder in ENCODER.items():
        load = Load(encoder=encoder, overhead=options.overhead, speech=options.speech, fill=options.fill)
        yield (
            f"| {size} | {load.core_seconds:.3f} | {streams_per_core(load):.1f} | "
            f"{int(16 * streams_per_core(load))} | {WEIGHTS[size]:g} GB | {cache_bytes(size) / 2**20:.0f} MiB |"
        )
    yield ""
    yield "| Callers at once | Model | cores | machines of 64 cores | Mbit/s in | Mbit/s out |"
    yield "|---|---|---|---|---|---|"
    for callers in options.callers:
        for size in ("embedded", "base", "large"):
            load = Load(encoder=ENCODER[size], overhead=options.overhead, speech=options.speech, fill=options.fill)
            cores, machines = fleet(callers, load, 64)
            inward, outward = megabits(callers)
            yield f"| {callers:,} | {size} | {cores:,} | {machines:,} | {inward:,.0f} | {outward:,.0f} |"
    yield ""
    yield "| Callers at once | cores beside GPUs |"
    yield "|---|---|"
    for callers in options.callers:
        load = Load(encoder=0.0, overhead=options.overhead, fill=options.fill)
        yield f"| {callers:,} | {cores_beside_device(callers, load):,} |"


def step_seconds(encoder: Encoder, batch: int, steps: int = 8) -> float:
    """Median seconds of a step of so many streams, all of which go on."""
    context = OFFLINE_MODEL_LATENCY.context(encoder.hop)
    samples = (np.random.default_rng(0).normal(size=encoder.hop * context.chunk * (steps + 6)) * 0.1).astype(np.float32)
    streams = [encoder.open(context) for _ in range(batch)]
    for number, stream in enumerate(streams):
        stream.feed(np.roll(samples, 1_000 * number))
    took = []
    while all(stream.due for stream in streams):
        began = time.perf_counter()
        encoder.step(streams)[-1].logits.cpu()  # waits for the device
        took.append(time.perf_counter() - began)
    return float(np.median(took[3:]))


def measure_steps(options: argparse.Namespace) -> None:
    """Seconds of a step by size and batch, and the streams that follow from it."""
    latency = OFFLINE_MODEL_LATENCY
    chunk_seconds = (latency.chunk_ms or 0) / 1000
    print(f"{options.device}, {options.precision}, chunk {latency.chunk_ms} ms + {latency.lookahead_ms} ms")
    for size in options.sizes:
        encoder = Encoder.from_checkpoint(
            checkpoint(untrained(SIZES[size])), device=options.device, precision=options.precision
        )
        for batch in options.batches:
            took = step_seconds(encoder, batch)
            carried = streams_per_device(took, batch, chunk_seconds, speech=options.speech, fill=options.fill)
            print(
                f"{size:10} {batch:4} streams  {1000 * took:8.1f} ms a step  carries {carried:8.0f} streams", flush=True
            )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overhead", type=float, default=OVERHEAD)
    parser.add_argument("--speech", type=float, default=1.0)
    parser.add_argument("--fill", type=float, default=FILL)
    parser.add_argument("--callers", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=["base", "large"])
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    options = parser.parse_args(arguments)
    if options.steps:
        print_machine()
        measure_steps(options)
    else:
        print(*tables(options), sep="\n")


if __name__ == "__main__":
    main()
