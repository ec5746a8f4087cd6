"""Sentences of books for the language model: `python -m training.sentences BOOKS TARGET.txt --held-out prepared/real`.

BOOKS is a folder of plain texts (.txt) or of TEI (.xml, its paragraphs). One sentence per line, each once, those that
hold digits or signs left out. A book that holds three or more recordings of the part `dev` is left out whole.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from rich.console import Console

from training.corpus import Corpus
from training.transcripts import is_spellable, normalize

FEWEST_WORDS: Final = 2
MOST_WORDS: Final = 80
HELD_OUT_WORDS: Final = 5
"""Shorter recordings may stand in any book."""
HELD_OUT_SENTENCES: Final = 3

_TITLE: Final = re.compile(
    r"\b(?:M(?:r|rs|s|me|lle|essrs)|Dr|St|Rev|Hon|Prof|Esq|Vol|Capt|Col|Gen|Lieut|Lt|Sergt|[A-HJ-Z])\.$"
)
_END: Final = re.compile(r"""(?<=[.?!])(["'\u2019\u201d)\]]*)\s+(?=["'\u2018\u201c(\[]*[A-Z])""")
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_TEI: Final = "{http://www.tei-c.org/ns/1.0}"


def paragraphs(path: Path) -> Iterator[str]:
    """The paragraphs of a book, each on one line. Raises ValueError if it is no TEI that can be read."""
    if path.suffix == ".xml":
        try:
            found = ElementTree.parse(path).iterfind(f".//{_TEI}text//{_TEI}p")
        except ElementTree.ParseError as error:
            raise ValueError(f"{path} is not XML: {error}") from error
        pieces: Iterable[str] = ("".join(one.itertext()) for one in found)
    else:
        pieces = _PARAGRAPH.split(path.read_text(encoding="utf-8", errors="replace"))
    return (" ".join(piece.split()) for piece in pieces)


def split(paragraph: str) -> list[str]:
    """Its sentences; a title before a name, or an initial, ends none."""
    sentences, begin = list[str](), 0
    for end in _END.finditer(paragraph):
        if _TITLE.search(paragraph, begin, end.start()):
            continue
        sentences.append(paragraph[begin : end.end()].strip())
        begin = end.end()
    return [*sentences, paragraph[begin:]]


def usable(sentence: str) -> bool:
    """Whether a language model should count it."""
    return is_spellable(sentence) and FEWEST_WORDS <= len(normalize(sentence).split()) <= MOST_WORDS


class HeldOut:
    """Normalized sentences that no book should hold; those of less than `HELD_OUT_WORDS` words may stand anywhere."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._begins = defaultdict[str, set[str]](set)
        for sentence in sentences:
            words = sentence.split()
            if len(words) >= HELD_OUT_WORDS:
                self._begins[" ".join(words[:HELD_OUT_WORDS])].add(sentence)

    def within(self, text: str) -> int:
        """How many of them a normalized text holds."""
        words, found = text.split(), set[str]()
        for start in range(len(words) - HELD_OUT_WORDS + 1):
            for sentence in self._begins.get(" ".join(words[start : start + HELD_OUT_WORDS]), ()):
                if words[start : start + len(sentence.split())] == sentence.split():
                    found.add(sentence)
        return len(found)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("books", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--held-out", type=Path, help="a folder of training.prepare")
    parser.add_argument("--without", default="^$", help="a regular expression for names of books that are left out")
    options = parser.parse_args()
    dev = Corpus.open(options.held_out).part("dev").utterances if options.held_out else []
    held_out = HeldOut(one.transcript for one in dev)
    console, sentences = Console(), dict[str, None]()
    for path in sorted(options.books.rglob("*")):
        if path.suffix not in (".txt", ".xml") or re.search(options.without, path.name):
            continue
        text = list(paragraphs(path))
        if (found := held_out.within(normalize(" ".join(text)))) >= HELD_OUT_SENTENCES:
            console.print(f"{path.name} is left out: it holds {found} recordings of the part dev")
            continue
        sentences.update(dict.fromkeys(one for paragraph in text for one in split(paragraph) if usable(one)))
    options.target.write_text("".join(f"{sentence}\n" for sentence in sentences), encoding="utf-8")
    words = sum(len(sentence.split()) for sentence in sentences)
    console.print(f"{len(sentences)} sentences, {words} words in {options.target}")


if __name__ == "__main__":
    main()
