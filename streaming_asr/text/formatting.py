"""Words as one reads them: with marks, capitals and figures, while they come.

The words of an utterance that stand are formatted as soon as they are so many words behind as the model looks ahead,
and no figure can take them up any more; what was formatted then stands too. The words behind are formatted anew each
time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from streaming_asr.errors import OptionError
from streaming_asr.events import Formatted, Word, text_of
from streaming_asr.text import english_numbers
from streaming_asr.text.features import pause_class
from streaming_asr.text.model import Judgement, Mark, Reading, State, TextModel

_LONGEST_RUN: Final = 24
"""Words of a figure at most; a longer row of number words is divided."""

_LONGEST_PAUSE: Final = 0.75
"""Seconds; what is longer counts as this long. Longer pauses are those of people who think, as training has them."""

_SENTENCE_ENDS: Final = (".", "?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatOptions:
    """What is done to words for those who read: `punctuate` sets marks and capitals, `numbers` writes figures.

    `lookahead`: words that are waited for before a mark stands; more than the model can use is too many.
    """

    punctuate: bool = True
    numbers: bool = True
    lookahead: int = 2

    def __post_init__(self) -> None:
        # Without any, the last mark would stand before the pause behind it is known.
        if not 1 <= self.lookahead <= 10:
            raise OptionError(f"lookahead is {self.lookahead}; it must be from 1 to 10 words")


class NumberRules(Protocol):
    """How a language says its numbers; `english_numbers` is one."""

    @property
    def OPENING(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def CONTINUING(self) -> frozenset[str]: ...  # noqa: N802

    def find_figures(self, words: Sequence[str], before: str = "") -> list[english_numbers.Figure]: ...


_NUMBER_RULES: Final[Mapping[str, NumberRules]] = {"en": english_numbers}


@dataclass(frozen=True, slots=True)
class _Judged:
    """A word with what the model says of it; the word itself `stands`, and its mark and case are `decided` for good."""

    text: str
    mark: Mark
    judgement: Judgement | None
    stands: bool
    decided: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """Words up to before `last` as one word to be read; `decided` if it stands."""

    word: Word
    last: int
    mark: Mark
    decided: bool


class _Read:
    """A word as it was read and judged, so that neither is done again while nothing that it looks at changes."""

    __slots__ = ("_asked", "_judgement", "pause", "reading", "text")

    def __init__(self, text: str, pause: int, reading: Reading) -> None:
        self.text: Final = text
        self.pause: Final = pause
        self.reading: Final = reading
        self._asked: tuple[_Read | None, int] | None = None
        self._judgement: Judgement | None = None

    def judge(self, model: TextModel, later: _Read | None, number: int) -> Judgement:
        """With the word that was read `number` words later, or without one with the class `number` of pause behind."""
        if self._judgement is None or self._asked != (later, number):
            self._asked = (later, number)
            self._judgement = (
                model.judge(self.reading, pause=number)
                if later is None
                else model.judge(self.reading, later.reading, number)
            )
        return self._judgement


class Formatter:
    """Formats the utterances of one stream, one after the other; `spellings` come before those of the model."""

    def __init__(self, model: TextModel, options: FormatOptions, *, spellings: Mapping[str, str] | None = None) -> None:
        self._model = model
        self._options = options
        self.spellings: Mapping[str, str] = spellings or {}
        self._rules = _NUMBER_RULES.get(model.language) if options.numbers else None
        self._lookahead = min(options.lookahead, model.lookahead) if options.punctuate else 0
        self._state: State = model.initial_state
        self._opens = True
        self._before = ""
        self._end: float | None = None
        self._done: list[Word] = []
        self._fixed = 0
        self._read: list[_Read] = []
        self._reads = options.punctuate
        self._last: Reading | None = None
        """At the last word that stands."""

    def show(self, words: Sequence[Word], committed: int) -> Formatted:
        """The words of an utterance that goes on, of which the first `committed` stand."""
        pieces = self._pieces(words, committed, silence=None, over=False)
        standing = 0
        while standing < len(pieces) and pieces[standing].decided:
            standing += 1
        tail = [piece.word for piece in pieces[standing:]]
        self._stand(words, pieces[:standing])
        return Formatted(
            text_of(self._done), text_of(tail), (*self._done, *tail), bool(self._done and tail) and tail[0].joined
        )

    def finish(self, words: Sequence[Word], silence: float | None) -> Formatted:
        """The words of an utterance that is over, behind which it was silent for so many seconds, if that is known."""
        self._stand(words, self._pieces(words, len(words), silence, over=True))
        formatted = Formatted(text_of(self._done), "", tuple(self._done))
        self._done, self._fixed, self._last = [], 0, None
        return formatted

    def completeness(self, words: Sequence[Word], silence: float | None) -> float:
        """The probability that a sentence is complete with the last word, behind which it was silent for so long."""
        self._reads = True
        fresh = self._readings(words)
        reading = fresh[-1].reading if fresh else self._last
        return 0.0 if reading is None else self._model.judge(reading, pause=_pause(silence)).completeness

    def _stand(self, words: Sequence[Word], pieces: Sequence[_Piece]) -> None:
        """Let pieces stand, and forget what was read for them but the state behind."""
        if not pieces:
            return
        last = pieces[-1].last
        if self._reads:
            self._last = self._readings(words)[last - self._fixed - 1].reading
            self._state = self._last.state
            del self._read[: last - self._fixed]
        self._opens = pieces[-1].mark in _SENTENCE_ENDS
        self._before, self._end = words[last - 1].text.lower(), words[last - 1].end
        self._fixed = last
        self._done += [piece.word for piece in pieces]

    # What the model says.

    def _readings(self, words: Sequence[Word]) -> list[_Read]:
        """Each word that does not stand yet as it was read; only what is new or changed is read."""
        state, end = self._state, self._end
        read: list[_Read] = []
        known = True
        for place, word in enumerate(words[self._fixed :]):
            text, pause = word.text.lower(), _pause(None if end is None else word.start - end)
            old = self._read[place] if known and place < len(self._read) else None
            known = old is not None and (old.text, old.pause) == (text, pause)
            read.append(old if old is not None and known else _Read(text, pause, self._model.read(state, text, pause)))
            state, end = read[-1].reading.state, word.end
        self._read = read
        return read

    def _judged(self, words: Sequence[Word], committed: int, silence: float | None, over: bool) -> list[_Judged]:
        if not self._options.punctuate:
            return [
                _Judged(word.text, "", None, stands := over or place < committed, stands)
                for place, word in enumerate(words[self._fixed :], start=self._fixed)
            ]
        read = self._readings(words)
        judged = []
        for place, word in enumerate(read):
            ahead = min(self._lookahead, len(read) - 1 - place)
            behind = read[place + 1].pause if place + 1 < len(read) else _pause(silence)
            judgement = word.judge(self._model, read[place + ahead] if ahead else None, ahead or behind)
            stands, decided = (over or self._fixed + last < committed for last in (place, place + self._lookahead))
            judged.append(_Judged(word.text, judgement.mark, judgement, stands, decided))
        return judged

    # From words to pieces.

    def _pieces(self, words: Sequence[Word], committed: int, silence: float | None, over: bool) -> list[_Piece]:
        judged = self._judged(words, committed, silence, over)
        pieces: list[_Piece] = []
        opens, at = self._opens, 0
        while at < len(judged):
            stop, closed = self._run(judged, at, over)
            figures = self._figures(judged, at, stop)
            while at < stop:
                figure = figures.get(at)
                last = at + 1 if figure is None else at + figure.last - figure.first
                text = self._spelled(judged[at], opens) if figure is None else figure.text
                mark = judged[last - 1].mark
                decided = closed and all(word.decided for word in judged[at:last])
                spoken = words[self._fixed + at : self._fixed + last]
                pieces.append(_Piece(_joined(spoken, _with_mark(text, mark)), self._fixed + last, mark, decided))
                opens, at = mark in _SENTENCE_ENDS, last
        return pieces

    def _run(self, judged: Sequence[_Judged], at: int, over: bool) -> tuple[int, bool]:
        """Where the row of number words that begins at a place ends, or one word; and whether it can grow no more."""
        if self._rules is None or judged[at].text.lower() not in self._rules.OPENING:
            return at + 1, True
        stop = at + 1
        while stop < len(judged) and stop - at < _LONGEST_RUN and not judged[stop - 1].mark:
            if judged[stop].text.lower() not in self._rules.CONTINUING:
                break
            stop += 1
        ended = (
            over
            or stop - at == _LONGEST_RUN
            or (judged[stop - 1].mark != "" and judged[stop - 1].decided)
            or (judged[stop - 1].mark == "" and stop < len(judged) and judged[stop].stands)
        )
        # A mark that may yet appear inside would divide the row.
        return stop, ended and all(word.decided for word in judged[at : stop - 1])

    def _figures(self, judged: Sequence[_Judged], at: int, stop: int) -> dict[int, english_numbers.Figure]:
        """The figures in a row of words, by the places where they begin."""
        if self._rules is None or judged[at].text.lower() not in self._rules.OPENING:
            return {}
        names = [word.text.lower() for word in judged[at:stop]]
        before = judged[at - 1].text if at else self._before
        return {at + figure.first: figure for figure in self._rules.find_figures(names, before)}

    def _spelled(self, word: _Judged, opens: bool) -> str:
        if word.judgement is None:
            return word.text
        own = self.spellings.get(word.text)
        if own is not None:
            return own
        case = word.judgement.case
        if case == "capitals":
            return word.text.upper()
        if case == "lower" and not opens:
            return word.text
        learnt = self._model.spellings.get(word.text) if case == "capital" else None
        return learnt or word.text[:1].upper() + word.text[1:]


def _pause(seconds: float | None) -> int:
    """The class of a pause as the model is asked."""
    return pause_class(None if seconds is None else min(max(0.0, seconds), _LONGEST_PAUSE))


def _with_mark(text: str, mark: Mark) -> str:
    return text if mark == "." and text.endswith(".") else text + mark


def _joined(words: Sequence[Word], text: str) -> Word:
    """Words as one: from the beginning of the first to the end of the last, with the mean of their confidences."""
    if len(words) == 1:
        return Word(text, words[0].start, words[0].end, words[0].confidence)
    confidence = sum(word.confidence for word in words) / len(words)
    return Word(text, words[0].start, words[-1].end, confidence, words[0].joined)
