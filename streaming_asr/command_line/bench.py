"""`streaming-asr bench`: how fast, how late and how large the recognizer is on this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.table import Table

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.inputs import check_input
from streaming_asr.command_line.measures import Arrival, Measures, Percentiles, measure
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognizers import open_recognizer
from streaming_asr.events import Event
from streaming_asr.recognition import SpeechStream

PIECE_MS: Final = 50
"""Length of the packets, as a microphone gives them."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: audio and work in seconds, and every event with the time at which it would have arrived live."""

    audio: float
    wall: float
    cpu: float
    arrivals: tuple[Arrival, ...]

    @property
    def real_time_factor(self) -> float:
        """Wall time per second of audio: below 1 keeps up."""
        return self.wall / self.audio


def replay(
    stream: SpeechStream,
    pieces: Iterable[Frames],
    *,
    sample_rate: int,
    now: Callable[[], float] = time.perf_counter,
    cpu: Callable[[], float] = time.process_time,
) -> Run:
    """Push pieces as fast as they are taken, and compute when each event would have come in real time.

    A piece is there when its last sample has been spoken; work on it begins then, or when the work before it is done.
    So a minute of audio needs no minute, and a machine that is too slow shows the lag that would pile up.
    """
    audio, free, wall, cpu_before = 0.0, 0.0, 0.0, cpu()
    arrivals: list[Arrival] = []

    def work(step: Callable[[], list[Event]]) -> None:
        nonlocal free, wall
        began = now()
        events = step()
        took = now() - began
        wall += took
        free = max(free, audio) + took
        arrivals.extend(Arrival(free, event) for event in events)

    for piece in pieces:
        audio += len(piece) / sample_rate
        work(lambda piece=piece: stream.push(piece))  # type: ignore[misc]
    work(stream.finish)
    return Run(audio, wall, cpu() - cpu_before, tuple(arrivals))


def bench(
    file: Annotated[Path, typer.Argument(help="Recording to measure with; speech, the longer the better.")],
    model: ModelOptions,
    recognition: RecognitionOptions,
    output_format: Annotated[
        Literal["text", "json"], typer.Option("--format", help="A table, or one object.")
    ] = "text",
) -> None:
    """Measure speed, latency and memory with a recording.

    The file goes through one stream in packets of 50 ms. Latencies are what a live listener would see: computed from
    the time that each packet took, without waiting for real time.

    Example:  streaming-asr bench talk.wav --precision int8
    """
    check_input(str(file))
    before = resident_mib()
    began = time.perf_counter()
    with open_recognizer(model, recognition) as configured:
        loaded = time.perf_counter() - began
        with FileSource(file, piece_ms=PIECE_MS) as source:
            pieces, rate, channels = list(source), source.sample_rate, source.channels
        warm_up(configured.stream(sample_rate=rate, channels=channels), pieces, sample_rate=rate)
        run = replay(configured.stream(sample_rate=rate, channels=channels), pieces, sample_rate=rate)
    measures = measure(run.arrivals)
    report = {
        "file": str(file),
        "load_seconds": loaded,
        "audio_seconds": run.audio,
        "real_time_factor": run.real_time_factor,
        "cpu_seconds_per_audio_second": run.cpu / run.audio,
        "memory_mib_before": before,
        "memory_mib_peak": peak_mib(),
        **dataclasses.asdict(measures),
    }
    if output_format == "json":
        print(json.dumps(json.loads(json.dumps(report), parse_float=lambda digits: round(float(digits), 4))))
    else:
        Console(highlight=False).print(table(run, measures, loaded=loaded))


def warm_up(stream: SpeechStream, pieces: Sequence[Frames], *, sample_rate: int, seconds: float = 5.0) -> None:
    """Run the beginning once: the first steps of a model choose its kernels and are slower than all others."""
    length = 0.0
    for piece in pieces:
        stream.push(piece)
        length += len(piece) / sample_rate
        if length > seconds:
            break
    stream.finish()


def table(run: Run, measures: Measures, *, loaded: float) -> Table:
    """The figures for people."""
    figures = Table.grid(padding=(0, 2, 0, 0))
    figures.add_column(justify="right", style="cyan")
    figures.add_column()
    for name, value in _rows(run, measures, loaded):
        figures.add_row(name, value)
    return figures


def _rows(run: Run, measures: Measures, loaded: float) -> Iterator[tuple[str, str]]:
    yield "audio", f"{run.audio:.1f} s, {measures.final_words} words in {measures.finals} utterances"
    yield "loading", f"{loaded:.2f} s"
    factor = run.real_time_factor
    yield "real-time factor", f"{factor:.3f} ({1 / factor:.1f} times faster than real time)"
    yield "CPU time", f"{run.cpu / run.audio:.3f} s per second of audio"
    yield "peak memory", f"{peak_mib():.0f} MiB"
    yield "first word", _delay(measures.first_word, "after speech began")
    yield "word stands", _delay(measures.commit, "after it was said")
    yield "final", _delay(measures.final, "after the last word")
    if measures.unstable_words is not None:
        yield "revised words", f"{measures.unstable_words:.2f} per word of the transcript, while not yet standing"


def _delay(delays: Percentiles | None, what: str) -> str:
    return "never" if delays is None else f"{delays.p50:.2f} s {what} (p50), {delays.p95:.2f} s (p95)"


def peak_mib() -> float:
    """The most memory that this process has held in RAM, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def resident_mib() -> float:
    """Memory of this process at this moment as far as the system tells, in MiB; its peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_mib()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
