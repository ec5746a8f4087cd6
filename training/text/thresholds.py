"""Chooses by how much each mark is preferred: `python -m training.text.thresholds FOLDER prepared/text`.

The most probable mark is not the best one to set: where several are likely a little, none of them ever wins. What is
added to the logits is chosen for the best F1 on the part `dev`, by mark and look ahead, and written into the model's
configuration. Without look ahead nothing is added: there the pause behind the last word decides, which the text has
not. The probabilities, which turns follow, stay what they are.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from streaming_asr.text.model import BIASES, CASES, CONFIG_FILE, MARKS
from training.text.evaluate import Judge, from_array
from training.text.labels import LOWER, NONE, STOP, UNKNOWN
from training.text.prepare import QUERIES

Reals = npt.NDArray[np.float64]

STEPS: Final = np.round(np.arange(-0.6, 1.65, 0.15), 2)
"""What may be added to a logit."""

ROUNDS: Final = 2
SHORTEST: Final = 500
LONGEST: Final = 15_000
"""Words of a collection that are looked at: with fewer it does not count."""


@dataclass(frozen=True, slots=True)
class Text:
    """A collection: logits (words, marks + cases) for one look ahead, and the labels."""

    logits: Reals
    marks: npt.NDArray[np.int64]
    cases: npt.NDArray[np.int64]


def mark_f1(texts: Sequence[Text], biases: Reals) -> float:
    """The mean F1 of all marks but none, over the collections."""
    scores = []
    for text in texts:
        known = text.marks != UNKNOWN
        found = (text.logits[:, : len(MARKS)] + biases[: len(MARKS)]).argmax(-1)[known]
        scores += [_f1(found == mark, text.marks[known] == mark) for mark in range(1, len(MARKS))]
    return _mean(scores)


def capital_f1(texts: Sequence[Text], biases: Reals) -> float:
    """The mean F1 of capitals over the collections, those of the sentences' first words among them."""
    scores = []
    for text in texts:
        weighed = text.logits + biases
        opens = np.append(True, weighed[:-1, : len(MARKS)].argmax(-1) >= STOP)
        found = opens | (weighed[:, len(MARKS) :].argmax(-1) != LOWER)
        known = text.marks != UNKNOWN
        scores.append(_f1(found[known], text.cases[known] != LOWER))
    return _mean(scores)


def _f1(found: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> float | None:
    """F1 of places found among those that are there; None where there is none."""
    return 2 * float((found & there).sum()) / float(found.sum() + there.sum()) if there.any() else None


def _mean(scores: Sequence[float | None]) -> float:
    known = [score for score in scores if score is not None]
    return sum(known) / max(1, len(known))


def choose(texts: Sequence[Text]) -> Reals:
    """What is to be added to the logits of marks and cases for one look ahead: the best, one after the other."""
    biases = np.zeros(len(MARKS) + len(CASES))
    for _ in range(ROUNDS):
        for mark in range(NONE + 1, len(MARKS)):
            _best(biases, [mark], lambda tried: mark_f1(texts, tried))
    _best(biases, list(range(len(MARKS) + 1, len(biases))), lambda tried: capital_f1(texts, tried))
    return biases


def _best(biases: Reals, places: Sequence[int], worth: Callable[[Reals], float]) -> None:
    """Set some of the biases to the value that is worth most; the nearest to zero of equals."""
    values = sorted(STEPS, key=abs)
    worths = []
    for value in values:
        biases[places] = value
        worths.append(worth(biases))
    biases[places] = values[int(np.argmax(worths))]


def read_texts(judge: Judge, prepared: Path) -> list[list[Text]]:
    """For each look ahead the collections of the part `dev` that have marks and cases."""
    types = json.loads((prepared / "types.json").read_text(encoding="utf-8"))["types"]
    texts: list[list[Text]] = [[] for _ in range(judge.lookaheads)]
    for path in sorted(prepared.glob("dev-*.npy")):
        rows = np.load(path)[:LONGEST]
        if path.stem.split("-", 1)[1] in QUERIES or len(rows) < SHORTEST:
            continue
        logits = judge.logits([word.word for word in from_array(rows, types)])
        for ahead, one in enumerate(logits):
            texts[ahead].append(Text(one.astype(np.float64), rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)))
    return texts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("prepared", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    texts = read_texts(Judge(options.folder), options.prepared)
    biases = [np.zeros(len(MARKS) + len(CASES)), *(choose(one) for one in texts[1:])]
    for ahead, (chosen, here) in enumerate(zip(biases, texts, strict=True)):
        before, behind = mark_f1(here, np.zeros_like(chosen)), mark_f1(here, chosen)
        print(f"look ahead {ahead}: {chosen.round(2).tolist()}, mean F1 of marks {before:.3f} -> {behind:.3f}")
    path = options.folder / CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    config[BIASES] = [[round(float(value), 2) for value in one] for one in biases]
    path.write_text(json.dumps(config, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
