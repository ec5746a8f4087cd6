"""What a recognizer showed of a recording and when, whatever it is, and the figures that follow.

A picture is all text that a person sees at one moment: a part that the recognizer calls settled, and the tail behind
it. All figures come from pictures, so that recognizers with different interfaces are judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import jiwer

from training.transcripts import normalize


@dataclass(frozen=True, slots=True)
class Picture:
    """Text on the screen at `time`, in seconds since the first sample was spoken."""

    time: float
    settled: str
    tail: str

    @property
    def words(self) -> list[str]:
        """All words shown, in capitals without punctuation, so that formatting counts as no change."""
        return normalize(f"{self.settled} {self.tail}").split()


@dataclass(frozen=True, slots=True)
class Recording:
    """What is spoken: 16-bit samples at 16 kHz, its transcript, where speech begins and ends in seconds."""

    pcm: bytes
    transcript: str
    begins: float
    ends: float

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 32_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one recording. Delays are None where no word was shown.

    `first_word`: from the start of speech to the first picture with a word.
    `final`: from the end of speech to the last change of the picture.
    `unstable`: words that a later picture shows differently or not at all, a growing last word not counted.
    """

    said: str
    first_word: float | None
    final: float | None
    unstable: int


def outcome(recording: Recording, pictures: Sequence[Picture]) -> Outcome:
    """The figures of one recording from its pictures in their order."""
    shown = [picture for picture in pictures if picture.words]
    if not shown:
        return Outcome("", None, None, 0)
    steps = pairwise([Picture(0.0, "", ""), *pictures])
    changes = [after.time for before, after in steps if before.words != after.words]
    removed = sum(_removed(before.words, after.words) for before, after in pairwise(pictures))
    return Outcome(
        " ".join(pictures[-1].words),
        shown[0].time - recording.begins,
        max(0.0, changes[-1] - recording.ends),
        removed,
    )


def word_error_rate(recordings: Sequence[Recording], outcomes: Sequence[Outcome]) -> float:
    """Word errors over all words of the transcripts."""
    return float(jiwer.wer([one.transcript for one in recordings], [one.said for one in outcomes]))


def _removed(before: Sequence[str], after: Sequence[str]) -> int:
    shared = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), None)
    if shared is None:
        return max(0, len(before) - len(after))
    grew = len(before) == shared + 1 and after[shared].startswith(before[shared])
    return 0 if grew else len(before) - shared
