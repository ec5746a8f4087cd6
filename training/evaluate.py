"""Greedy word error rates of a model folder: `python -m training.evaluate MODEL CORPUS [--noise FOLDER]`.

This is the quick judge of a run, with the masks of the training; `benchmarks/accuracy.py` measures the product.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from streaming_asr.model import Context
from training.augment import normalized
from training.checkpoints import read_start
from training.corpus import Corpus
from training.evaluation_sets import Example, evaluation_sets
from training.model import StreamingCtc
from training.transcripts import ENGLISH, Spelling


def recognize(
    model: StreamingCtc,
    examples: Sequence[Example],
    context: Context | None,
    *,
    spelling: Spelling = ENGLISH,
    rows: int = 8,
) -> list[str]:
    """Greedy transcripts, in the order of the examples; `rows` of them make a batch."""
    order = sorted(range(len(examples)), key=lambda index: len(examples[index].samples))
    texts = [""] * len(examples)
    for start in range(0, len(order), rows):
        members = order[start : start + rows]
        paths = _paths(model, [examples[index] for index in members], context)
        for index, path in zip(members, paths, strict=True):
            texts[index] = spelling.decode(path)
    return texts


def _paths(model: StreamingCtc, examples: Sequence[Example], context: Context | None) -> Iterator[list[int]]:
    longest = max(len(example.samples) for example in examples)
    audio = torch.zeros(len(examples), max(longest, model.shape.samples(1)))
    for row, example in enumerate(examples):
        audio[row, : len(example.samples)] = torch.from_numpy(normalized(example.samples))
    frames = [model.shape.frames(len(example.samples)) for example in examples]
    with torch.inference_mode():
        best = model(audio, torch.tensor(frames), context).argmax(-1)
    for row, count in enumerate(frames):
        yield best[row, :count].tolist()


def word_error_rate(examples: Sequence[Example], texts: Sequence[str]) -> float:
    """Substitutions, deletions and insertions per spoken word over all examples, whatever the case."""
    import jiwer

    spoken = [example.transcript.casefold() for example in examples]
    return float(jiwer.wer(spoken, [text.casefold() for text in texts]))


def letter_error_rate(examples: Sequence[Example], texts: Sequence[str]) -> float:
    """The same per spoken letter, spaces included."""
    import jiwer

    spoken = [example.transcript.casefold() for example in examples]
    return float(jiwer.cer(spoken, [text.casefold() for text in texts]))


def evaluate(
    model: StreamingCtc,
    sets: Mapping[str, Sequence[Example]],
    contexts: Mapping[str, Context | None],
    spelling: Spelling = ENGLISH,
    error_rate: Callable[[Sequence[Example], Sequence[str]], float] = word_error_rate,
) -> dict[str, dict[str, float]]:
    """Error rates by way of recognition, then by set; "all" is the mean over the sets."""
    table: dict[str, dict[str, float]] = {}
    for way, context in contexts.items():
        rates = {
            name: error_rate(examples, recognize(model, examples, context, spelling=spelling))
            for name, examples in sets.items()
        }
        table[way] = rates | {"all": float(np.mean(list(rates.values())))}
    return table


def ways(hop_ms: float, left_ms: float = 4000.0) -> dict[str, Context | None]:
    """Offline, 640+320 ms, 640 ms and 320 ms for frames of a given length."""

    def frames(milliseconds: float) -> int:
        return round(milliseconds / hop_ms)

    left = frames(left_ms)
    return {
        "offline": None,
        "640+320": Context(frames(640), frames(320), left),
        "640": Context(frames(640), 0, left),
        "320": Context(frames(320), 0, left),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path, help="a folder of training.prepare")
    parser.add_argument("--noise", type=Path, help="a folder of noises; its part dev is used")
    parser.add_argument("--part", default="dev", help="train: speakers that the model has heard")
    parser.add_argument("--limit", type=int, help="recordings per set")
    parser.add_argument("--ways", nargs="*", default=["offline", "640+320"])
    parser.add_argument("--letters", action="store_true", help="errors per letter instead of per word")
    parser.add_argument("--log", type=Path, help="a file that gets one line of JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = read_start(options.model)
    noise = Corpus.open(options.noise).part("dev") if options.noise else None
    noises = [noise.samples(one) for one in noise.utterances] if noise else []
    sets = evaluation_sets(Corpus.open(options.corpus).part(options.part), noises, options.limit)
    hop_ms = float(np.prod(start.model.shape.conv_stride)) / 16
    known = ways(hop_ms)
    rate = letter_error_rate if options.letters else word_error_rate
    table = evaluate(start.model.eval(), sets, {way: known[way] for way in options.ways}, start.spelling, rate)
    for way, rates in table.items():
        Console().print(way, {name: round(100 * rate, 1) for name, rate in rates.items()})
    if options.log:
        line = {"time": round(time.time()), "model": str(options.model), "cer" if options.letters else "wer": table}
        with options.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
