"""How soon a turn ends, and how often it is cut inside a sentence: the fixed rule beside the adaptive one.

    python -m benchmarks.turns ../shared/speech/manifest.tsv [--minutes 8] [--picture turns.svg]

Sentences of one speaker are joined with `--gap` seconds between them; each is a turn. They are recognized as a stream
in pieces of 20 ms. A turn is cut if more than one final comes of it. The delay is that of the audio: from the last
frame of the sentence that the voice detector calls speech to the frame with which its last final came; the time that
the computer takes is not in it.

`--words reference` judges the written words, aligned with the audio, in place of recognized ones, and applies the rules
to the pauses: what the sense could do for a recognizer that makes no errors and is never late. The delay counts from
the beginning of the first pause behind the last word.
"""

from __future__ import annotations

import argparse
import statistics
import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import print_machine
from benchmarks.turn_pauses import apply, read_pauses, separation
from benchmarks.turn_recordings import PIECE, Outcome, Recording, read_recordings
from streaming_asr import SAMPLE_RATE, EndpointOptions, Final, Latency, Recognizer, TurnEnding
from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.checkpoints.embedded import embedded_folder
from streaming_asr.recognizer import StreamOptions
from streaming_asr.text import load_text_model

FIXED_MS: typing.Final = (200, 300, 400, 500, 700, 1000, 1500)
ADAPTIVE_MS: typing.Final = ((200, 700), (250, 1000), (300, 1200), (400, 1500))


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


def on_reference_words(
    recordings: Sequence[Recording], text_model: str, chosen: Iterable[tuple[str, EndpointOptions]]
) -> list[Outcome]:
    """What the rules make of the pauses, with the words that are written."""
    model = load_text_model(text_model, checkpoint=embedded_folder(), language="en")
    if model is None:
        raise SystemExit(f"{text_model} is no text model")
    with Recognizer.load(text_model=None) as recognizer:
        turns = read_pauses(recognizer.encoder, model, recordings)
    for shortest in (200, 300, 500):
        pauses, auc = separation(turns, shortest)
        print(f"{pauses} pauses of {shortest} ms and more inside: AUC of completeness {auc:.3f}")
    return [apply(name, rule, turns) for name, rule in chosen]


def show(outcomes: Sequence[Outcome]) -> None:
    """The curve as a table."""
    table = Table("rule", "turns", "cut inside", "delay p50", "mean", "p90", "early ending p50")
    for one in outcomes:
        p90 = statistics.quantiles(one.delays, n=10)[-1] if len(one.delays) > 1 else one.median
        mean = statistics.mean(one.delays)
        early = f"{statistics.median(one.ending_delays):.2f} s" if one.ending_delays else ""
        row = (
            one.rule,
            str(one.turns),
            f"{one.cut_share:.1%}",
            f"{one.median:.2f} s",
            f"{mean:.2f} s",
            f"{p90:.2f} s",
            early,
        )
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
    for row, (kind, colour) in enumerate((("fixed", "#777"), ("adaptive", "#c33"))):
        name = f"{kind}, ms of silence" if kind == "fixed" else f"{kind}, shortest-longest"
        lines.append(
            f'<text x="{width - margin}" y="{margin + 16 * row}" text-anchor="end" fill="{colour}">{name}</text>'
        )
        points = [(place(one), one) for one in outcomes if one.rule.startswith(kind)]
        path = " ".join(f"{x:.1f},{y:.1f}" for (x, y), _ in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        for (x, y), one in points:
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
            where = f'x="{x + 5:.1f}" y="{y - 5:.1f}"' if kind == "fixed" else f'x="{x - 6:.1f}" y="{y + 11:.1f}"'
            anchor = "start" if kind == "fixed" else "end"
            label = one.rule.removeprefix(f"{kind} ").removesuffix(" ms").replace(" to ", "-")
            lines.append(f'<text {where} text-anchor="{anchor}" fill="{colour}">{label}</text>')
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
    parser.add_argument("--words", default="recognized", choices=("recognized", "reference"))
    parser.add_argument("--text-model", default="auto")
    parser.add_argument("--chunk", type=float, help="milliseconds; by default what suits the model")
    parser.add_argument("--picture", type=Path, help="an SVG file for the curve")
    options = parser.parse_args()
    torch.set_num_threads(1)
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
    chosen = rules(options.fixed, adaptive)
    if options.words == "reference":
        outcomes = on_reference_words(recordings, options.text_model, chosen)
    else:
        with Recognizer.load(text_model=options.text_model) as recognizer:
            latency = Latency(chunk_ms=options.chunk)
            outcomes = [
                measure(name, recognizer, {"endpoint": rule, "latency": latency}, recordings) for name, rule in chosen
            ]
    show(outcomes)
    if options.picture is not None:
        options.picture.write_text(picture(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
