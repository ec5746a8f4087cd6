"""Judges a text model on words it never saw: `python -m training.text.evaluate FOLDER prepared/text`.

Precision, recall and F1 of each mark and of capitals, by collection and look ahead, beside a baseline that sets no
marks and writes only "I" with a capital. `--manifest` adds recordings of the part `dev`: once their written words,
once the words that the recognizer gives, without pauses and with them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streaming_asr import Recognizer, Word
from streaming_asr.text.features import pause_class, piece_rows
from streaming_asr.text.model import BIASES, CASES, CONFIG_FILE, MARKS, TextModel
from training.text.data import Lexicon, whole
from training.text.export import read_shipped
from training.text.labels import COMMA, LOWER, NONE, QUESTION, STOP, UNKNOWN, Labelled, read_line
from training.text.pauses import read_manifest, recognize
from training.text.prepare import QUERIES

PROSE: Final = ("novels_pd", "ljspeech_sentences")
TALK: Final = ("self_dialogue", "ami_meetings", "taskmaster")
SPOKEN: Final = ("en_commonvoice", "en_commonvoice_d13")
BETWEEN_RECORDINGS: Final = 1.0
"""Seconds that are taken for the pause between two recordings."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of one word: the mark behind it, and whether it is written with a capital."""

    mark: int
    capital: bool


@dataclass(frozen=True, slots=True)
class Score:
    """How often something was found rightly, wrongly, and not."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """Of what was found, how much was right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Of what was there, how much was found."""
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


class Judge:
    """A shipped model, asked for whole texts at once: the same weights in torch (a test holds the two together)."""

    def __init__(self, folder: Path) -> None:
        self._network = read_shipped(folder)
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        self._rows = {word: row for row, word in enumerate(config["words"], start=1)}
        self.lookaheads = self._network.shape.lookaheads
        self.biases = np.zeros((self.lookaheads, len(MARKS) + len(CASES))) + config.get(BIASES, 0)

    def logits(self, words: Sequence[str], pauses: Sequence[float | None] | None = None) -> npt.NDArray[np.float32]:
        """Logits (look aheads, words, marks + cases) of words that follow each other; `pauses` are those before each.

        Behind the last words it looks as far as there are words; the text ends there.
        """
        before = np.array([pause_class(one) for one in pauses or [None] * len(words)])
        going_on = np.append(before[1:], 0)
        types, places = np.unique(np.array(words), return_inverse=True)
        own = np.array([self._rows.get(word, 0) for word in types])
        pieces = tuple(np.array(piece_rows(word, self._network.shape.pieces)) for word in types)
        lexicon = Lexicon(tuple(types), own, pieces, np.zeros((0, 0), dtype=np.int64))
        rows = np.stack([places, np.zeros_like(places), np.zeros_like(places)], axis=1)
        batch = whole(rows, lexicon, before=before, going_on=going_on)
        with torch.inference_mode():
            vectors = self._network.embed(batch.words, batch.pieces, batch.offsets)[batch.places]
            found = [one[:, 0].numpy() for one in self._network(vectors, batch.pauses, batch.going_on)]
        ends = len(words) - 1
        return np.stack(
            [np.concatenate([one, *(found[ends - at][at:][:1] for at in range(len(one), len(words)))]) for one in found]
        )

    def tell(self, words: Sequence[str], pauses: Sequence[float | None] | None = None) -> list[list[Told]]:
        """For each look ahead what is said of words that follow each other; `pauses` are those before each word."""
        weighed = self.logits(words, pauses) + self.biases[:, None]
        return [told(one) for one in weighed]


def told(logits: npt.NDArray[np.floating]) -> list[Told]:
    """What is said of words with these logits, (words, marks + cases): a sentence begins with a capital."""
    marks, cases = logits[:, : len(MARKS)].argmax(-1), logits[:, len(MARKS) :].argmax(-1)
    opens = np.append(True, marks[:-1] >= STOP)
    return [Told(int(mark), bool(capital)) for mark, capital in zip(marks, opens | (cases != LOWER), strict=True)]


def written(words: Sequence[Labelled]) -> list[Told]:
    """What the source says; a case that it does not tell is the capital of a sentence's first word."""
    return [Told(one.mark, one.case != LOWER) for one in words]


def baseline(words: Sequence[str]) -> list[Told]:
    """No marks, and a capital for nothing but "I"."""
    return [Told(NONE, word == "i" or word.startswith("i'")) for word in words]


def score(found: Sequence[Told], right: Sequence[Told]) -> dict[str, Score]:
    """By the names of the marks, and "capital"; places that the source does not tell do not count."""
    pairs = [(one, other) for one, other in zip(found, right, strict=True) if other.mark != UNKNOWN]
    marks = {"comma": COMMA, "full stop": STOP, "question": QUESTION}
    scores = {
        name: _count([(one.mark == mark, other.mark == mark) for one, other in pairs]) for name, mark in marks.items()
    }
    ends = [(one.mark >= STOP, other.mark >= STOP) for one, other in pairs]
    return scores | {
        "sentence end": _count(ends),
        "capital": _count([(one.capital, other.capital) for one, other in pairs]),
    }


def _count(pairs: Sequence[tuple[bool, bool]]) -> Score:
    return Score(
        sum(found and there for found, there in pairs),
        sum(found and not there for found, there in pairs),
        sum(there and not found for found, there in pairs),
    )


def projected(found: Sequence[Told], heard: Sequence[str], said: Sequence[str]) -> list[Told]:
    """What was told of the words that were heard, on the words that were said; a word that was missed has no mark."""
    told = [Told(NONE, False)] * len(said)
    for kind, a, b, c, d in SequenceMatcher(None, said, heard, False).get_opcodes():
        if kind in ("equal", "replace"):
            for place, other in zip(range(a, b), range(c, d), strict=False):
                told[place] = found[other]
        if kind in ("insert", "replace") and a and d - c > b - a:
            last = max((found[place].mark for place in range(c + (b - a), d)), default=NONE)
            told[b - 1] = replace(told[b - 1], mark=max(told[b - 1].mark, last))
    return told


def from_array(rows: np.ndarray, types: Sequence[str]) -> list[Labelled]:
    """Words as `training.text.prepare` stores them; how they are written is not known."""
    return [Labelled(types[word], "", int(mark), int(case)) for word, mark, case in rows]


def heard_collections(manifest: Path, limit: int) -> Iterator[tuple[list[Labelled], list[Word]]]:
    """Recordings with marks: what is written, and what the recognizer hears."""
    recordings = read_manifest(manifest, SPOKEN, "dev", limit)
    with Recognizer.load() as recognizer:
        for recording in track(recordings, description="recognizing"):
            words = read_line(recording.transcript)
            if words and words[-1].mark >= STOP:
                yield words, recognize(recognizer, recording.path)


def spoken_scores(judge: Judge, manifest: Path, limit: int, ahead: int) -> dict[str, dict[str, Score]]:
    """The same sentences as written words and as recognized words, one after the other as one text."""
    pairs = list(heard_collections(manifest, limit))
    said = [word for words, _ in pairs for word in words]
    names = [word.word for word in said]
    heard = [word.text.lower() for _, words in pairs for word in words]
    pauses = [pause for _, words in pairs for pause in _pauses(words)]
    right = written(said)
    errors = sum(
        max(b - a, d - c)
        for kind, a, b, c, d in SequenceMatcher(None, names, heard, False).get_opcodes()
        if kind != "equal"
    )
    return {
        f"written words ({len(pairs)} sentences)": score(judge.tell(names)[ahead], right),
        f"recognized, {errors / len(names):.0%} errors": score(
            projected(judge.tell(heard)[ahead], heard, names), right
        ),
        "recognized, with pauses": score(projected(judge.tell(heard, pauses)[ahead], heard, names), right),
    }


def _pauses(words: Sequence[Word]) -> list[float]:
    gaps = [max(0.0, behind.start - before.end) for before, behind in pairwise(words)]
    return [BETWEEN_RECORDINGS, *gaps][: len(words)]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--part", default="test", choices=("dev", "test"))
    parser.add_argument("--words", type=int, default=40_000, help="of each collection at most")
    parser.add_argument("--manifest", type=Path, help="judge recognized words too")
    parser.add_argument("--recordings", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, judge = TextModel.load(options.folder), Judge(options.folder)
    types = json.loads((options.prepared / "types.json").read_text(encoding="utf-8"))["types"]
    table = Table("text", "look ahead", *("comma", "full stop", "question", "sentence end", "capital"))
    for path in sorted(options.prepared.glob(f"{options.part}-*.npy")):
        name = path.stem.split("-", 1)[1]
        rows = np.load(path)[: options.words]
        if name in QUERIES or len(rows) < 3000:
            continue
        words = from_array(rows, types)
        names, right = [one.word for one in words], written(words)
        _add(table, f"{name}, {len(rows)} words", "baseline", score(baseline(names), right))
        for ahead, found in enumerate(judge.tell(names)):
            _add(table, "", str(ahead), score(found, right))
    if options.manifest:
        for name, scores in spoken_scores(judge, options.manifest, options.recordings, 2).items():
            _add(table, name, "2", scores)
    console = Console(width=140)
    console.print(table)
    console.print(f"{_milliseconds(model, types):.3f} ms for a word with all look aheads, on one core")


def _add(table: Table, name: str, ahead: str, scores: dict[str, Score]) -> None:
    cells = [f"{one.precision:.2f} {one.recall:.2f} [bold]{one.f1:.2f}[/]" for one in scores.values()]
    table.add_row(name, ahead, *cells)


def _milliseconds(model: TextModel, types: Sequence[str]) -> float:
    words = [types[place] for place in range(0, 2000, 2)]
    began, state, last = time.process_time(), model.initial_state, None
    for word in words:
        reading = model.read(state, word, 1)
        for ahead in range(model.lookahead + 1):
            model.judge(last or reading, reading if ahead else None, ahead)
        state, last = reading.state, reading
    return (time.process_time() - began) / len(words) * 1000


if __name__ == "__main__":
    main()
