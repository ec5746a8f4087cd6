"""What words sound like, by espeak-ng: `python -m training.phones LEXICON FOLDER...` for the words of some corpora.

The letters of English hide its sounds. A middle layer that has to name the sounds learns them from fewer hours, and the
layers above learn to spell (Krishna et al. 2018, hierarchical multitask CTC). Only training knows of phones.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from training.corpus import Corpus

_MARKS: Final = re.compile(r"[',%=|_:;-]|\([a-z-]+\)")
"""Stress, length and pauses, which are not told apart."""


@dataclass(frozen=True, slots=True)
class Phones:
    """The phones of some words; row 0 is the blank, row 1 stands between words."""

    names: tuple[str, ...]
    rows: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, lexicon: Mapping[str, tuple[str, ...]]) -> Phones:
        """The rows of the phones of a lexicon."""
        names = ("", "|", *sorted({phone for phones in lexicon.values() for phone in phones}))
        place = {name: row for row, name in enumerate(names)}
        return cls(names, {word: tuple(place[phone] for phone in phones) for word, phones in lexicon.items()})

    @classmethod
    def read(cls, path: Path) -> Phones:
        """The rows of the lexicon in a file."""
        lines = path.read_text(encoding="utf-8").splitlines()
        return cls.of({word: tuple(spoken.split()) for word, spoken in (line.split("\t") for line in lines)})

    def encode(self, transcript: str) -> list[int]:
        """The rows of a transcript; ValueError for a word that the lexicon does not have."""
        rows: list[int] = []
        for word in transcript.split():
            if word not in self.rows:
                raise ValueError(f"{word} is not in the lexicon; make it anew with training.phones")
            rows += ([1] if rows else []) + list(self.rows[word])
        return rows


def pronounce(words: Iterable[str], voice: str = "en-us") -> dict[str, tuple[str, ...]]:
    """The phones of each word, without stress and length; RuntimeError without espeak-ng."""
    wanted = sorted(set(words))
    command = ["espeak-ng", "-q", "-x", "--sep= ", "-v", voice]
    text = "\n\n".join(word.lower() for word in wanted)
    try:
        said = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError as error:
        raise RuntimeError("phones need the command espeak-ng (Debian: apt install espeak-ng)") from error
    marks = (line.split() for line in said.splitlines() if line.strip())
    spoken = [tuple(phone for phone in (_MARKS.sub("", mark) for mark in line) if phone) for line in marks]
    if len(spoken) != len(wanted):
        raise RuntimeError(f"espeak-ng said {len(spoken)} of {len(wanted)} words")
    return dict(zip(wanted, spoken, strict=True))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lexicon", type=Path, help="the file to write: a word, a tab, its phones, line by line")
    parser.add_argument("folders", type=Path, nargs="+", help="corpora of training.prepare and training.synthesize")
    parser.add_argument("--voice", default="en-us", help="a voice of espeak-ng, which is also its language")
    options = parser.parse_args()
    utterances = [utterance for folder in options.folders for utterance in Corpus.open(folder).utterances]
    lexicon = pronounce((word for one in utterances for word in one.transcript.split()), options.voice)
    lines = (f"{word}\t{' '.join(phones)}\n" for word, phones in lexicon.items())
    options.lexicon.write_text("".join(lines), encoding="utf-8")
    Console().print(f"{len(lexicon)} words, {len(Phones.of(lexicon).names) - 2} phones in {options.lexicon}")


if __name__ == "__main__":
    main()
