"""Measures the pauses behind words by their marks: `python -m training.text.pauses MANIFEST TARGET`.

Recordings whose transcripts have marks are recognized; the times between words that were recognized as written, as the
recognizer sees them, are what the text model will be given. TARGET receives quantiles in seconds for each mark.
"""

from __future__ import annotations

import argparse
import csv
import json
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from streaming_asr import SAMPLE_RATE, Final, Recognizer, Word
from streaming_asr.endpointing import EndpointOptions
from training.prepare import read_audio
from training.text.labels import COMMA, QUESTION, STOP, read_line

QUANTILES: typing.Final = 33
FEW: typing.Final = 20
"""A question mark with fewer pauses than this takes those of the full stop, a full stop those of the comma, longer."""

END_FACTOR: typing.Final = 1.5
END_OFFSET: typing.Final = 0.15
"""How much longer than behind a comma one pauses behind a sentence, where it was not measured: a guess."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording of the manifest and what is said in it as it is written."""

    path: Path
    transcript: str


def read_manifest(manifest: Path, collections: Sequence[str], part: str, limit: int) -> list[Recording]:
    """At most `limit` recordings, those with the most sentence ends inside first."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, dialect="excel-tab", quoting=csv.QUOTE_NONE) if row["part"] == part]
    chosen = [row for row in rows if row["path"].split("/")[0] in collections]
    chosen.sort(key=lambda row: -sum(one.mark >= STOP for one in read_line(row["transcript"])[:-1]))
    return [Recording(manifest.parent / row["path"], row["transcript"]) for row in chosen[:limit]]


def recognize(recognizer: Recognizer, path: Path) -> list[Word]:
    """The words of a recording with their times."""
    stream = recognizer.stream(
        sample_rate=SAMPLE_RATE, endpoint=EndpointOptions(trailing_silence_ms=None), partials=False
    )
    events = [*stream.push(read_audio(path)), *stream.finish()]
    return [word for event in events if isinstance(event, Final) for word in event.words]


def measure(words: Sequence[Word], transcript: str) -> Iterator[tuple[int, float]]:
    """Mark and pause behind each word that was recognized as written, as was the word behind it."""
    written = read_line(transcript)
    matcher = SequenceMatcher(None, [one.word for one in written], [word.text.lower() for word in words], False)
    for block in matcher.get_matching_blocks():
        for place in range(block.size - 1):
            before, behind = words[block.b + place], words[block.b + place + 1]
            yield written[block.a + place].mark, max(0.0, behind.start - before.end)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--collections", nargs="+", default=["en_ljspeech"])
    parser.add_argument("--limit", type=int, default=100, help="recordings at most")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: list[list[float]] = [[], [], [], []]
    recordings = read_manifest(options.manifest, options.collections, "train", options.limit)
    with Recognizer.load() as recognizer:
        for recording in track(recordings, description="pauses"):
            for mark, pause in measure(recognize(recognizer, recording.path), recording.transcript):
                if mark >= 0:
                    found[mark].append(pause)
    counts = [len(pauses) for pauses in found]
    if counts[STOP] < FEW:
        found[STOP] = [END_OFFSET + END_FACTOR * pause for pause in found[COMMA]]
    if counts[QUESTION] < FEW:
        found[QUESTION] = found[STOP]
    levels = np.linspace(0, 1, QUANTILES)
    quantiles = [[round(float(one), 3) for one in np.quantile(pauses, levels)] for pauses in found]
    measured = {"counts": counts, "quantiles": quantiles}
    options.target.parent.mkdir(parents=True, exist_ok=True)
    options.target.write_text(json.dumps(measured) + "\n", encoding="utf-8")
    print(f"{counts} pauses behind nothing, comma, full stop, question mark")


if __name__ == "__main__":
    main()
