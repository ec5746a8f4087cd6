"""What words sound like, by espeak-ng: a second thing for a network to learn, half-way up.

The letters of English hide its sounds; a middle layer that has to name the sounds learns them from fewer hours, and
the layers above learn to spell (Krishna et al. 2018, hierarchical multitask CTC). Only training knows of phones.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_STRESS: Final = re.compile(r"[',%=|_:;-]|\([a-z-]+\)")
_WORDS_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class Phones:
    """The phones of every word of some transcripts; row 0 is the blank, row 1 the end of a word."""

    names: tuple[str, ...]
    rows: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, transcripts: Iterable[str], voice: str = "en-us") -> Phones:
        """The phones of the words in normalized transcripts; RuntimeError without espeak-ng."""
        words = sorted({word for transcript in transcripts for word in transcript.split()})
        spoken = {word: tuple(phones) for word, phones in zip(words, pronounce(words, voice), strict=True)}
        names = ("", "|", *sorted({phone for phones in spoken.values() for phone in phones}))
        place = {name: row for row, name in enumerate(names)}
        return cls(names, {word: tuple(place[phone] for phone in phones) for word, phones in spoken.items()})

    def encode(self, transcript: str) -> list[int]:
        """The rows of a transcript, words apart."""
        rows: list[int] = []
        for word in transcript.split():
            rows += ([1] if rows else []) + list(self.rows[word])
        return rows


def pronounce(words: list[str], voice: str) -> list[list[str]]:
    """The phones of each word, without stress and length."""
    spoken: list[list[str]] = []
    for start in range(0, len(words), _WORDS_AT_ONCE):
        some = words[start : start + _WORDS_AT_ONCE]
        command = ["espeak-ng", "-q", "-x", "--sep= ", "-v", voice]
        try:
            lines = subprocess.run(
                command, input="\n\n".join(word.lower() for word in some), capture_output=True, text=True, check=True
            ).stdout.splitlines()
        except FileNotFoundError as error:
            raise RuntimeError("phones need the command espeak-ng (Debian: apt install espeak-ng)") from error
        found = [[phone for phone in map(_plain, line.split()) if phone] for line in lines if line.strip()]
        if len(found) != len(some):
            raise RuntimeError(f"espeak-ng gave {len(found)} lines for {len(some)} words ({some[0]} to {some[-1]})")
        spoken += found
    return spoken


def _plain(phone: str) -> str:
    return _STRESS.sub("", phone)
