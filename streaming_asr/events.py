"""The events of a stream: one frozen class per kind.

All times are seconds on the audio clock of the stream: 0.0 is the first sample that was pushed.
`lag` is the audio, in seconds, that had been received but not yet decoded when the event was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streaming_asr.scripts import joined_texts

EndReason: TypeAlias = Literal["silence", "no_words", "maximum_length", "finalize", "finish"]
"""Why an utterance ended: the endpoint rule, or the caller's own `finalize()` or `finish()`."""

Turn: TypeAlias = Literal["fixed", "adaptive"]
"""Whether silence ends an utterance after a fixed time, or as the sense of its words says."""


@dataclass(frozen=True, slots=True)
class Word:
    """One recognized word with its times and a confidence in [0, 1].

    In scripts without spaces a word is a character, or a piece of the model; `joined` says that it follows the word
    before it without a space.
    """

    text: str
    start: float
    end: float
    confidence: float
    joined: bool = False


def text_of(words: Iterable[Word]) -> str:
    """Words as a text."""
    return joined_texts((word.text, word.joined) for word in words)


@dataclass(frozen=True, slots=True)
class Formatted:
    """Words as one reads them, with marks, capitals and figures: `committed` never changes again, `tail` may.

    `words` are the words of both; a figure is one word that lasts as long as all the words it stands for. `joined`:
    the tail follows without a space.
    """

    committed: str
    tail: str
    words: tuple[Word, ...]
    joined: bool = False

    @property
    def text(self) -> str:
        """Committed text and tail, as one would show them."""
        return _together(self.committed, self.tail, self.joined)


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """The language that an utterance was found to be in, of those that it was decoded in; see `detection`.

    `code` is a BCP 47 tag, `confidence` in [0, 1].
    """

    code: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """One entry of the n-best list; `score` is a natural logarithm, comparable within one final only."""

    text: str
    score: float
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech was found; `time` is where it began, before the detector was sure."""

    utterance: int
    time: float
    lag: float


@dataclass(frozen=True, slots=True)
class Partial:
    """The utterance so far: `committed` never changes again, `tail` may; `words` are the words of both.

    `formatted` is the same with marks, capitals and figures, if a text model is there. `joined`: the tail follows
    without a space, as in scripts that have none. `language` is told where the stream leaves it open.
    """

    utterance: int
    committed: str
    tail: str
    words: tuple[Word, ...]
    start: float
    end: float
    lag: float
    formatted: Formatted | None = None
    joined: bool = False
    language: DetectedLanguage | None = None

    @property
    def text(self) -> str:
        """Committed text and tail, as one would show them."""
        return _together(self.committed, self.tail, self.joined)

    @property
    def readable(self) -> Formatted:
        """What to show to those who read: formatted, or the raw words if nothing formats them."""
        return self.formatted or Formatted(self.committed, self.tail, self.words, self.joined)


@dataclass(frozen=True, slots=True)
class Final:
    """The utterance as it stays; its text begins with everything that was committed.

    `confidence` is the mean of the words' confidences; `alternatives` are best first, the first is this final itself.
    `formatted` is the same with marks, capitals and figures, if a text model is there; it begins with everything that
    was committed of it. `language` is told where the stream leaves it open.
    """

    utterance: int
    text: str
    words: tuple[Word, ...]
    start: float
    end: float
    confidence: float
    alternatives: tuple[Alternative, ...]
    reason: EndReason
    lag: float
    formatted: Formatted | None = None
    language: DetectedLanguage | None = None

    @property
    def readable(self) -> Formatted:
        """What to show to those who read: formatted, or the raw words if nothing formats them."""
        return self.formatted or Formatted(self.text, "", self.words)


@dataclass(frozen=True, slots=True)
class TurnEnding:
    """The utterance is probably over: its sentence is complete and silence has begun at `time`.

    Told with `turn="adaptive"` only, before one is sure: an agent may begin to think. Then comes either the final, or
    `TurnResumed` if the speaker goes on. `completeness` is the probability that the sentence is complete.
    """

    utterance: int
    text: str
    time: float
    completeness: float
    lag: float
    formatted: Formatted | None = None


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """The speaker goes on at `time`: the last `TurnEnding` of the utterance does not hold any more."""

    utterance: int
    time: float
    lag: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is over; `time` is where its speech ended."""

    utterance: int
    time: float
    reason: EndReason
    lag: float


Event: TypeAlias = SpeechStarted | Partial | TurnEnding | TurnResumed | Final | SpeechEnded


def _together(committed: str, tail: str, joined: bool) -> str:
    return committed + tail if joined or not committed or not tail else f"{committed} {tail}"
