"""How a live transcript feels with the embedded model: stability and delays of a real-time run.

    python -m benchmarks.recognizer [--model NAME] [--audio FILE --reference FILE] [--fast]

The recording is played at the pace of speech, so it takes as long as it lasts; `--fast` replays it instead and computes
when everything would have come. Figures: see `streaming_asr.command_line.measures`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jiwer

from benchmarks.machine import print_machine
from streaming_asr import Final, Latency, Recognizer
from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.sources import FileSource, Source, paced
from streaming_asr.command_line.bench import Run, replay, warm_up
from streaming_asr.command_line.demo import RECORDING, REFERENCE
from streaming_asr.command_line.measures import Arrival, Percentiles, measure
from streaming_asr.recognition import SpeechStream


def live(stream: SpeechStream, source: Source) -> Run:
    """Push a source at the pace of speech; events have the times at which they really came."""
    arrivals: list[Arrival] = []
    audio_seconds, wall = 0.0, 0.0
    cpu, began = time.process_time(), time.monotonic()

    def pieces() -> Iterator[Frames | None]:
        yield from paced(source)
        yield None

    for piece in pieces():
        before = time.monotonic()
        events = stream.finish() if piece is None else stream.push(piece)
        after = time.monotonic()
        wall += after - before
        audio_seconds += 0.0 if piece is None else len(piece) / source.sample_rate
        arrivals += [Arrival(after - began, event) for event in events]
    return Run(audio_seconds, wall, time.process_time() - cpu, tuple(arrivals))


def word_error_rate(run: Run, reference: str) -> float:
    """Word errors of all finals against a text, case and punctuation aside."""
    said = " ".join(arrival.event.text for arrival in run.arrivals if isinstance(arrival.event, Final))
    return float(jiwer.wer(plain(reference), plain(said)))


def plain(text: str) -> str:
    """Lower-case words without punctuation."""
    letters = "".join(letter if letter.isalnum() or letter in "' " else " " for letter in text.lower())
    return " ".join(letters.split())


def report(run: Run, reference: str) -> None:
    """Print the figures of a run."""
    measures = measure(run.arrivals)
    print(f"audio                       {run.audio:.1f} s, {measures.final_words} words, {measures.finals} finals")
    print(f"word error rate             {word_error_rate(run, reference):.1%}")
    print(f"work / audio                {run.real_time_factor:.3f} wall, {run.cpu / run.audio:.3f} CPU")
    print(f"committed words revised     {measures.committed_revisions}")
    print(f"unstable partial words      {_share(measures.unstable_words)} of final words")
    print(f"  not counting growth       {_share(measures.unstable_words_but_growing)}")
    print(f"edit overhead               {_share(measures.edit_overhead)}")
    print(f"start of speech to a word   {_delays(measures.first_word)}")
    print(f"end of word to commit       {_delays(measures.commit)}")
    print(f"end of speech to final      {_delays(measures.final)}")


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.2f}"


def _delays(delays: Percentiles | None) -> str:
    if delays is None:
        return "none"
    return f"p50 {delays.p50:.2f} s, p95 {delays.p95:.2f} s, max {delays.maximum:.2f} s ({delays.count})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--audio", type=Path, default=RECORDING)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--chunk", type=float, help="milliseconds")
    parser.add_argument("--lookahead", type=float, help="milliseconds")
    parser.add_argument("--fast", action="store_true", help="replay instead of playing in real time")
    options = parser.parse_args(arguments)
    print_machine()
    latency = Latency(chunk_ms=options.chunk, lookahead_ms=options.lookahead)
    with Recognizer.load(options.model) as recognizer, FileSource(options.audio, piece_ms=50) as source:
        rate, channels = source.sample_rate, source.channels
        with FileSource(options.audio) as beginning:
            warm_up(recognizer.stream(sample_rate=rate, channels=channels), list(beginning), sample_rate=rate)
        stream = recognizer.stream(sample_rate=rate, channels=channels, latency=latency)
        run = replay(stream, source, sample_rate=rate) if options.fast else live(stream, source)
    report(run, options.reference.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
