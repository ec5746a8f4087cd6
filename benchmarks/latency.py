"""What chunk and lookahead do to delay, stability and cost, with the embedded model and its recording.

    python -m benchmarks.latency [--picture docs/images/latency.svg]

Delays are those of a live listener, on a machine with a core to spare: the position on the audio clock, and the CPU
time that the steps up to there took. Word error rates stand in the card of the model
(`streaming_asr/embedded/english/README.md`), where `benchmarks.accuracy` measured them; the picture shows both.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import torch

from benchmarks.charts import Chart, Line, drawing
from benchmarks.machine import print_machine
from streaming_asr import Latency, Recognizer
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.bench import PIECE_MS, Run, replay, warm_up
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.command_line.measures import Measures, Percentiles, measure

CARD: Final = Path(__file__).parents[1] / "streaming_asr" / "embedded" / "english" / "README.md"

SETTINGS: Final[Mapping[str, Latency]] = {
    "320": Latency(chunk_ms=320, lookahead_ms=0),
    "640": Latency(chunk_ms=640, lookahead_ms=0),
    "640+320": Latency(chunk_ms=640, lookahead_ms=320),
    "1280+1280": Latency(chunk_ms=1280, lookahead_ms=1280),
}
"""Chunk and lookahead in milliseconds."""

_ROW: Final = re.compile(
    r"^\| (?P<way>offline|[\d+]+ ms), (?P<search>greedy|beam\+LM) \|.*\| (?P<mean>[\d.]+) \| [\d.]+ \|$", re.M
)


def run(recognizer: Recognizer, latency: Latency) -> Run:
    """The bundled recording with this latency, warmed up."""
    with FileSource(RECORDING, piece_ms=PIECE_MS) as source:
        pieces, rate, channels = list(source), source.sample_rate, source.channels
    warm_up(recognizer.stream(sample_rate=rate, channels=channels, latency=latency), pieces, sample_rate=rate)
    stream = recognizer.stream(sample_rate=rate, channels=channels, latency=latency)
    return replay(stream, pieces, sample_rate=rate, now=time.process_time)


def error_rates(card: str) -> Mapping[tuple[str, str], float]:
    """Mean word error rates in percent of a model card's table, by way ("640+320") and search ("greedy")."""
    return {(row["way"].removesuffix(" ms"), row["search"]): float(row["mean"]) for row in _ROW.finditer(card)}


def charts(measured: Mapping[str, Measures], rates: Mapping[tuple[str, str], float]) -> Sequence[Chart]:
    """Delays by setting, and error rates by setting and offline."""
    ways = ["320", "640", "640+320", "offline"]
    delays = [
        Line("word stands, p95", [found.commit.p95 if found.commit else None for found in measured.values()]),
        Line("word stands, median", [median(found.commit) for found in measured.values()]),
        Line("first word, median", [median(found.first_word) for found in measured.values()]),
        Line("final, median", [median(found.final) for found in measured.values()]),
    ]
    errors = [
        Line(name, [rates.get((way, search)) for way in ways])
        for name, search in (("greedy", "greedy"), ("with language model", "beam+LM"))
    ]
    return [
        Chart("Delay in seconds by chunk + lookahead in ms", list(measured), delays, 5.0),
        Chart("Word errors in % by chunk + lookahead in ms", ways, errors, 100.0),
    ]


def median(delays: Percentiles | None) -> float | None:
    """The median of some delays, if there were any."""
    return delays.p50 if delays else None


def main() -> None:
    """Print one line for each setting; draw the picture where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="SVG file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    measured = {}
    print("                first word    word stands (p50, p95)    final    unstable words    CPU s per s")
    with Recognizer.load() as recognizer:
        for name, latency in SETTINGS.items():
            done = run(recognizer, latency)
            found = measured[name] = measure(done.arrivals)
            first, stands, final = found.first_word, found.commit, found.final
            if first and stands and final:
                print(
                    f"{name:12}{first.p50:12.2f} s{stands.p50:13.2f} s {stands.p95:6.2f} s{final.p50:11.2f} s"
                    f"{found.unstable_words or 0:15.2f}{done.cpu / done.audio:17.3f}",
                    flush=True,
                )
    if arguments.picture:
        arguments.picture.write_text(drawing(charts(measured, error_rates(CARD.read_text("utf-8")))), "utf-8")


if __name__ == "__main__":
    main()
