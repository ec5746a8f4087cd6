"""Written sentences as the words that a recognizer gives, each with its mark and its case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

Mark: TypeAlias = Literal[0, 1, 2, 3]
"""Behind a word: nothing, a comma, a full stop, a question mark."""

NONE: Final = 0
COMMA: Final = 1
STOP: Final = 2
QUESTION: Final = 3
UNKNOWN: Final = -1
"""A label that the source does not tell; nothing is learnt or measured there."""

LOWER: Final = 0
CAPITAL: Final = 1
CAPITALS: Final = 2

_SIGNS: Final = re.compile(r"[0-9&%$@#+=/\\<>*_^~\[\]{}|]")
_INITIALS: Final = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_QUOTES: Final = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": "--", "–": "--"})
_TOKEN: Final = re.compile(r"[A-Za-z](?:[A-Za-z']*[A-Za-z])?|\.{2,}|--+|(?<=\s)-(?=\s)|[.,;:!?]")
_TITLES: Final = frozenset({"mr", "mrs", "ms", "dr", "st", "messrs", "jr", "sr", "prof", "rev", "hon", "capt", "col"})
_QUESTION_WORDS: Final = frozenset(
    "what what's who who's whose which where where's when when's why why's how how's is are am was were do does did"  # noqa: SIM905
    " can could will would shall should may have has had isn't aren't don't doesn't didn't can't".split()
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One word: as it is recognized, as it is written, the mark behind it, and its case; `UNKNOWN` where not told."""

    word: str
    written: str
    mark: int
    case: int


def read_line(line: str, *, query: bool = False) -> list[Labelled]:
    """The words of one line, or none if it cannot be read as speech or its writer does not care for marks and case.

    With `query` the line is a question or command of lower case without marks: only its last mark is told, and that
    by its first word.
    """
    text = line.translate(_QUOTES)
    if _SIGNS.search(text) or _INITIALS.search(text) or not text.isascii():
        return []
    words = list(_words(text))
    if query:
        return _as_query(words)
    if not words or not _is_careful(words):
        return []
    if words[-1].mark == NONE:
        words[-1] = replace(words[-1], mark=UNKNOWN)
    return _open_sentences(words)


def _words(text: str) -> Iterator[Labelled]:
    """The words with the marks right behind them; a title keeps its point as a part of its spelling."""
    word: Labelled | None = None
    for token in _TOKEN.findall(text):
        if token[0].isalpha():
            if word is not None:
                yield word
            word = Labelled(token.lower(), token, NONE, _case(token))
        elif word is not None:
            word = _marked(word, token)
    if word is not None:
        yield word


def _marked(word: Labelled, token: str) -> Labelled:
    if token == "." and word.mark == NONE and (word.word in _TITLES or (len(word.word) == 1 and word.case)):
        return replace(word, written=f"{word.written}.")
    mark = QUESTION if token == "?" else STOP if token[0] in ".!" else COMMA
    return replace(word, mark=max(word.mark, mark))


def _case(written: str) -> int:
    if written.islower():
        return LOWER
    return CAPITALS if written.isupper() and len(written) > 1 else CAPITAL


def _is_careful(words: list[Labelled]) -> bool:
    """Whether a line begins with a capital, writes "I" as one, and is no heading in capitals."""
    shouted = sum(word.case == CAPITALS for word in words)
    small = any(word.written == "i" or word.written.startswith("i'") for word in words)
    return words[0].case != LOWER and not small and 2 * shouted <= len(words)


def _open_sentences(words: list[Labelled]) -> list[Labelled]:
    """Sentence ends agree with the capitals behind them; the first word's own capital is not told.

    What goes on in lower case behind a full stop or an exclamation ("Stop! he cried.") is no new sentence.
    """
    opened, first = [], True
    for word, behind in zip(words, [*words[1:], None], strict=True):
        if behind is not None and behind.case == LOWER and word.mark == STOP:
            word = replace(word, mark=COMMA)
        opened.append(replace(word, case=UNKNOWN) if first and _is_plain(word) else word)
        first = word.mark in (STOP, QUESTION)
    return opened


def _is_plain(word: Labelled) -> bool:
    """Whether a word's capital may be its sentence's: not that of "I", of capitals, or of one inside the word."""
    own = word.word == "i" or word.word.startswith("i'") or word.case == CAPITALS
    return not (own or (word.written[1:] != word.written[1:].lower()))


def _as_query(words: list[Labelled]) -> list[Labelled]:
    if not words:
        return []
    end = QUESTION if words[0].word in _QUESTION_WORDS else STOP
    told = [replace(word, case=UNKNOWN, mark=NONE if word.mark == NONE else UNKNOWN) for word in words]
    return [*told[:-1], replace(told[-1], mark=end)]
