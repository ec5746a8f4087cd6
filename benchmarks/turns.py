"""How soon a turn ends, and how often it is cut inside a sentence: the fixed rule beside the adaptive one.

    python -m benchmarks.turns ../shared/speech/manifest.tsv [--minutes 8] [--picture turns.svg]

Sentences of one speaker are joined with `--gap` seconds between them; each is a turn. They are recognized as a stream
in pieces of 20 ms. A turn is cut if more than one final comes of it. The delay is that of the audio: from the last
frame of the sentence that the voice detector calls speech to the frame with which its last final came; the time that
the computer takes is not in it.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import print_machine
from streaming_asr import SAMPLE_RATE, EndpointOptions, Final, Latency, Recognizer, TurnEnding
from streaming_asr.audio.gate import GateOptions, detector_for
from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.recognizer import StreamOptions
from training.prepare import read_audio

PIECE: typing.Final = SAMPLE_RATE // 50
FIXED_MS: typing.Final = (200, 300, 400, 500, 700, 1000, 1500)
ADAPTIVE_MS: typing.Final = ((200, 700), (250, 1000), (300, 1200), (400, 1500))
USUAL_MS: typing.Final = 700


@dataclass(frozen=True, slots=True)
class Turn:
    """One sentence in a joined recording: where its audio begins and where its speech ends, in samples."""

    start: int
    speech_end: int


@dataclass(frozen=True, slots=True)
class Recording:
    """Sentences of one speaker, joined."""

    samples: Samples
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one rule made of all turns; delays in seconds."""

    rule: str
    turns: int
    cut: int
    delays: tuple[float, ...]
    ending_delays: tuple[float, ...] = ()

    @property
    def cut_share(self) -> float:
        """Turns that were cut inside their sentence."""
        return self.cut / self.turns

    @property
    def median(self) -> float:
        """The median delay of a turn's last final."""
        return statistics.median(self.delays)


def speech_end(samples: Samples) -> int:
    """The end of the last frame that the voice detector calls speech."""
    detector = detector_for(GateOptions())
    size = detector.frame_samples
    ends = [
        start + size for start in range(0, len(samples) - size + 1, size) if detector.is_speech(samples[start:][:size])
    ]
    return ends[-1] if ends else 0


def join(sentences: Iterable[Samples], gap: Samples) -> Recording:
    """Sentences one after the other, with a gap behind each; those without speech are left out."""
    pieces: list[Samples] = []
    turns, position = [], 0
    for samples in sentences:
        end = speech_end(samples)
        if end:
            turns.append(Turn(position, position + end))
            pieces += [samples[: end + PIECE], gap]
            position += len(samples[: end + PIECE]) + len(gap)
    return Recording(np.concatenate(pieces) if pieces else gap, tuple(turns))


def read_recordings(
    manifest: Path, collections: Sequence[str], *, part: str, minutes: float, sentences: int, gap: float
) -> list[Recording]:
    """Joined recordings of a part, up to so many minutes of sentences; at most so many in one."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file, dialect="excel-tab", quoting=csv.QUOTE_NONE)
            if row["part"] == part and row["path"].split("/")[0] in collections
        ]
    rows.sort(key=lambda row: row["speaker"])
    silence = (np.random.default_rng(1).normal(0, 1e-4, round(gap * SAMPLE_RATE))).astype(np.float32)
    recordings, left = [], minutes * 60
    for _, group in groupby(rows, key=lambda row: row["speaker"]):
        said = list(group)[:sentences]
        if left <= 0:
            break
        left -= sum(float(row["duration"]) for row in said)
        recordings.append(join((read_audio(manifest.parent / row["path"]) for row in said), silence))
    return [recording for recording in recordings if recording.turns]


def measure(name: str, recognizer: Recognizer, options: StreamOptions, recordings: Sequence[Recording]) -> Outcome:
    """Recognize all recordings with one endpoint rule."""
    cut, delays, endings, count = 0, [], [], 0
    for recording in track(recordings, description=name):
        finals, told = _told(recognizer, options, recording.samples)
        stops = [*(turn.start for turn in recording.turns[1:]), len(recording.samples)]
        for turn, stop in zip(recording.turns, stops, strict=True):
            mine = [came for came, end in finals if turn.start <= end * SAMPLE_RATE < stop]
            if not mine:
                continue
            count += 1
            cut += len(mine) > 1
            delays.append(seconds(mine[-1] - turn.speech_end))
            early = [came for came in told if turn.speech_end <= came <= mine[-1]]
            endings += [seconds(early[0] - turn.speech_end)] if early else []
    return Outcome(name, count, cut, tuple(delays), tuple(endings))


def _told(
    recognizer: Recognizer, options: StreamOptions, samples: Samples
) -> tuple[list[tuple[int, float]], list[int]]:
    """The finals, each as the sample with which it came and its last word's end in seconds; and those of endings."""
    stream = recognizer.stream(sample_rate=SAMPLE_RATE, **options)
    finals, endings = [], []
    for place in [*range(0, len(samples), PIECE), None]:
        events = stream.finish() if place is None else stream.push(samples[place : place + PIECE])
        came = len(samples) if place is None else place + PIECE
        finals += [(came, event.end) for event in events if isinstance(event, Final)]
        endings += [came for event in events if isinstance(event, TurnEnding)]
    return finals, endings


def rules(fixed: Sequence[int], adaptive: Sequence[tuple[int, int]]) -> Iterator[tuple[str, EndpointOptions]]:
    """The rules by their names."""
    for silence in fixed:
        yield f"fixed {silence} ms", EndpointOptions(trailing_silence_ms=silence)
    for shortest, longest in adaptive:
        options = EndpointOptions(turn="adaptive", shortest_silence_ms=shortest, longest_silence_ms=longest)
        yield f"adaptive {shortest} to {longest} ms", options


def show(outcomes: Sequence[Outcome]) -> None:
    """The curve as a table."""
    table = Table("rule", "turns", "cut inside", "delay p50", "p90", "early ending p50")
    for one in outcomes:
        p90 = statistics.quantiles(one.delays, n=10)[-1] if len(one.delays) > 1 else one.median
        early = f"{statistics.median(one.ending_delays):.2f} s" if one.ending_delays else ""
        row = (one.rule, str(one.turns), f"{one.cut_share:.1%}", f"{one.median:.2f} s", f"{p90:.2f} s", early)
        table.add_row(*row)
    Console(width=110).print(table)


def picture(outcomes: Sequence[Outcome]) -> str:
    """The curve as SVG: delay to the right, cuts upward."""
    width, height, margin = 560, 360, 48
    longest = max(one.median for one in outcomes) * 1.1
    most = max(max(one.cut_share for one in outcomes) * 1.1, 0.01)

    def place(one: Outcome) -> tuple[float, float]:
        return margin + one.median / longest * (width - 2 * margin), height - margin - one.cut_share / most * (
            height - 2 * margin
        )

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<path d="M{margin} {margin}V{height - margin}H{width - margin}" fill="none" stroke="#888"/>',
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">median delay, up to {longest:.2f} s</text>',
        f'<text x="{margin}" y="{margin - 16}">turns cut inside a sentence, up to {most:.0%}</text>',
    ]
    for kind, colour in (("fixed", "#777"), ("adaptive", "#c33")):
        points = [(place(one), one) for one in outcomes if one.rule.startswith(kind)]
        path = " ".join(f"{x:.1f},{y:.1f}" for (x, y), _ in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        for (x, y), one in points:
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            lines.append(f'<text x="{x + 5:.1f}" y="{y - 5:.1f}" fill="{colour}">{one.rule}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--collections", nargs="+", default=["en_commonvoice", "en_commonvoice_d13"])
    parser.add_argument("--part", default="dev", help="of the manifest")
    parser.add_argument("--minutes", type=float, default=8, help="of sentences, without the gaps")
    parser.add_argument("--sentences", type=int, default=6, help="of one speaker at most")
    parser.add_argument("--gap", type=float, default=2.5, help="seconds behind each sentence")
    parser.add_argument("--fixed", type=int, nargs="*", default=list(FIXED_MS))
    parser.add_argument("--adaptive", nargs="*", metavar="MS:MS", help="shortest and longest silence of each rule")
    parser.add_argument("--text-model", default="auto")
    parser.add_argument("--chunk", type=float, help="milliseconds; by default what suits the model")
    parser.add_argument("--picture", type=Path, help="an SVG file for the curve")
    options = parser.parse_args()
    print_machine()
    adaptive = (
        ADAPTIVE_MS
        if options.adaptive is None
        else [(int(low), int(high)) for low, _, high in (one.partition(":") for one in options.adaptive)]
    )
    recordings = read_recordings(
        options.manifest,
        options.collections,
        part=options.part,
        minutes=options.minutes,
        sentences=options.sentences,
        gap=options.gap,
    )
    with Recognizer.load(text_model=options.text_model) as recognizer:
        latency = Latency(chunk_ms=options.chunk)
        outcomes = [
            measure(name, recognizer, {"endpoint": rule, "latency": latency}, recordings)
            for name, rule in rules(options.fixed, adaptive)
        ]
    show(outcomes)
    if options.picture is not None:
        options.picture.write_text(picture(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
