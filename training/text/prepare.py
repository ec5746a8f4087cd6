"""Reads text and transcripts for the text model: `python -m training.text.prepare FOLDER --text … --manifest …`.

FOLDER receives `types.json`, every word that occurs, the most frequent first; `near.npy`, words that
may be heard for each; `spellings.json`, the words that are
written in a way of their own; and per part (`train`, `dev`, `test`) one array of the words with their labels. The last
lines of each file are held out, so that meetings, talks and books of the parts are not the same; so are sentences that
the other parts of the manifest hold as recordings.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rich.console import Console

from training.synthesize import read_text
from training.text.labels import CAPITAL, UNKNOWN, Labelled, read_line
from training.text.noise import neighbours

TEST_SHARE: Final = 0.025
DEV_SHARE: Final = 0.01
QUERIES: Final = ("clinc_queries", "nlu_home")
"""Files of questions and commands without marks."""

UNUSED: Final = ("clinc_wiki", "SOURCES")
"""Lower case without marks, and not speech."""

REPEATS: Final = {
    "self_dialogue": 2,
    "ami_meetings": 2,
    "taskmaster": 6,
    "common_voice_sentences": 2,
    "ljspeech_sentences": 2,
    "speech": 3,
}
"""Collections that are read more than once: modern talk weighs as much as novels, of which there are more."""

LONG_LINE: Final = 5
"""A line of so many words that is held out too is left out of the training."""


@dataclass(frozen=True, slots=True)
class Collection:
    """The readable lines of one source."""

    name: str
    lines: tuple[tuple[Labelled, ...], ...]

    def parts(self) -> dict[str, list[tuple[Labelled, ...]]]:
        """Its lines for training, for development and for the test, in the order of the source."""
        dev = round(len(self.lines) * (1 - TEST_SHARE - DEV_SHARE))
        test = round(len(self.lines) * (1 - TEST_SHARE))
        return {
            "train": list(self.lines[:dev]),
            "dev": list(self.lines[dev:test]),
            "test": list(self.lines[test:]),
        }


def read_collections(text: Path, manifest: Path | None) -> list[Collection]:
    """The text files of a folder and the transcripts of the training part, as they are."""
    files = sorted(path for path in text.iterdir() if path.name.endswith((".txt.xz", ".txt")))
    named = [(path.name.split(".")[0], path) for path in files]
    found = [
        Collection(name, _readable(read_text(path), query=name in QUERIES))
        for name, path in named
        if name not in UNUSED
    ]
    if manifest is not None:
        found.append(Collection("speech", _readable(_transcripts(manifest, "train"), query=False)))
    return found


def _readable(lines: Iterable[str], *, query: bool) -> tuple[tuple[Labelled, ...], ...]:
    read = (tuple(read_line(line, query=query)) for line in lines)
    return tuple(words for words in read if words)


def _transcripts(manifest: Path, *parts: str) -> Iterator[str]:
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, dialect="excel-tab", quoting=csv.QUOTE_NONE)
        yield from dict.fromkeys(row["transcript"] for row in rows if row["part"] in parts)


def without_held_out(
    lines: Iterable[tuple[Labelled, ...]], held_out: set[tuple[str, ...]]
) -> list[tuple[Labelled, ...]]:
    """The lines that are not held out elsewhere, short ones that anybody says apart."""
    return [line for line in lines if len(line) < LONG_LINE or tuple(one.word for one in line) not in held_out]


def spellings(words: Iterable[Labelled]) -> dict[str, str]:
    """How the words with a capital are written, where that is not one capital and small letters behind it."""
    counts: dict[str, Counter[str]] = {}
    for word in words:
        if word.case == CAPITAL:
            counts.setdefault(word.word, Counter())[word.written] += 1
    chosen = {}
    for name, written in counts.items():
        best, count = written.most_common(1)[0]
        if len(name) > 1 and best != name.capitalize() and count >= 3 and count >= 0.7 * written.total():
            chosen[name] = best
    return dict(sorted(chosen.items()))


def to_array(words: Sequence[Labelled], ids: dict[str, int]) -> npt.NDArray[np.int32]:
    """Words as (words, 3): type, mark, case."""
    return np.array([(ids[one.word], one.mark, one.case) for one in words], dtype=np.int32).reshape(-1, 3)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", type=Path, required=True, help="a folder of .txt or .txt.xz, one sentence per line")
    parser.add_argument("--manifest", type=Path, help="a manifest of speech with written transcripts")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    parts = {one.name: one.parts() for one in read_collections(options.text, options.manifest)}
    held = {tuple(one.word for one in line) for part in parts.values() for line in part["dev"] + part["test"]}
    if options.manifest is not None:
        recorded = _readable(_transcripts(options.manifest, "dev", "test"), query=False)
        held |= {tuple(one.word for one in line) for line in recorded}
    train = [
        word
        for name, part in parts.items()
        for _ in range(REPEATS.get(name, 1))
        for line in without_held_out(part["train"], held)
        for word in line
    ]
    others = [part[one] for part in parts.values() for one in ("dev", "test")]
    everything = [train, *([word for line in lines for word in line] for lines in others)]
    counts = Counter(word.word for words in everything for word in words)
    seen = Counter(word.word for word in train)
    types = sorted(counts, key=lambda word: (-seen[word], word))
    ids = {word: number for number, word in enumerate(types)}
    np.save(options.folder / "train.npy", to_array(train, ids))
    for name, part in parts.items():
        for one in ("dev", "test"):
            np.save(options.folder / f"{one}-{name}.npy", to_array([w for line in part[one] for w in line], ids))
    np.save(options.folder / "near.npy", neighbours(types, [seen[word] for word in types]))
    listed = {"types": types, "seen": [seen[word] for word in types]}
    (options.folder / "types.json").write_text(json.dumps(listed), encoding="utf-8")
    written = spellings(word for word in train if word.case != UNKNOWN)
    (options.folder / "spellings.json").write_text(json.dumps(written, indent=0), encoding="utf-8")
    sizes = {name: sum(len(line) for line in part["train"]) for name, part in parts.items()}
    Console().print(f"{len(train)} words to train on, {len(types)} types, {len(written)} spellings; {sizes}")


if __name__ == "__main__":
    main()
