"""Which events a session makes of its utterances, and when: speech started, partials, finals, speech ended.

The reporter numbers the utterances, holds back words with too little evidence and a last word that is still being
said, and keeps partials as far apart as the options say. It decodes nothing: the session shows it each utterance after
every step and at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from streaming_asr import events
from streaming_asr.audio.samples import milliseconds_to_samples, seconds
from streaming_asr.events import (
    Alternative,
    DetectedLanguage,
    EndReason,
    Event,
    Formatted,
    Partial,
    SpeechEnded,
    SpeechStarted,
    TurnEnding,
    TurnResumed,
    Word,
    text_of,
)
from streaming_asr.scripts import stands_alone
from streaming_asr.stabilizer import Hypothesis
from streaming_asr.text import Formatter
from streaming_asr.utterance import Utterance

_STILL_SAID: Final = milliseconds_to_samples(40)
"""A word is still being said where less audio than this was heard behind its last letter: a frame or two."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """The last partial: committed text and tail, how many words they are, and how far the audio was decoded."""

    texts: tuple[str, str]
    words: int
    position: int


_NOTHING_SHOWN: Final = _Shown(("", ""), 0, -(10**18))


class Reporter:
    """Makes the events of one session.

    Args:
        partials: whether partials are made at all.
        partial_interval_ms: at least so much audio between two partials of an utterance.
        minimum_evidence: letters, each weighted by its word's squared confidence, without which no event is made.
        first_utterance: the number of the first utterance.
        formatter: sets marks, capitals and figures for readers; None leaves the words raw.
        formatted: whether events have what the formatter makes.
    """

    def __init__(
        self,
        *,
        partials: bool = True,
        partial_interval_ms: float = 0,
        minimum_evidence: float = 0.0,
        first_utterance: int = 0,
        formatter: Formatter | None = None,
        formatted: bool = True,
    ) -> None:
        self.received = 0
        """Samples that the session has received; the lag of an event is counted from here."""
        self._partials = partials
        self._interval = milliseconds_to_samples(partial_interval_ms)
        self._minimum_evidence = minimum_evidence
        self._number = first_utterance
        self.formatter = formatter
        """Sets marks, capitals and figures; another one where the language changes."""
        self._formatted = formatted
        self.language: DetectedLanguage | None = None
        """The language that the utterance was found to be in."""
        self._announced = False
        self._ending = False
        self._shown = _NOTHING_SHOWN
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """The events since the last call, in order."""
        events, self._events = self._events, []
        return events

    def speech_started(self, utterance: Utterance, time: float) -> None:
        """Report once per utterance that speech began, at `time` in seconds on the audio clock."""
        if not self._announced:
            self._events.append(SpeechStarted(self._number, time, self._lag(utterance)))
            self._announced = True

    def step(self, utterance: Utterance, *, speech: bool) -> None:
        """Report a partial after a step, if the hypothesis is new, its time has come, and there is evidence for it.

        `speech` is whether the gate has found speech in the utterance.
        """
        hypothesis = self._heard_out(utterance)
        texts = (hypothesis.committed_text, hypothesis.tail_text)
        waited = utterance.decoded - self._shown.position
        if not self._partials or texts == self._shown.texts or waited < self._interval:
            return
        words = utterance.words(hypothesis.words)
        # Twice the evidence: a partial may lose some of it later, and an utterance with a partial must get a final.
        if words and self._credible(words, speech, 2 * self._minimum_evidence):
            self.speech_started(utterance, words[0].start)
            start, end = words[0].start, words[-1].end
            formatted = self._format(words, hypothesis.committed)
            lag, joined = self._lag(utterance), hypothesis.joined
            self._events.append(Partial(self._number, *texts, words, start, end, lag, formatted, joined, self.language))
            self._shown = _Shown(texts, len(words), utterance.decoded)

    def turn_ending(self, utterance: Utterance, position: int, completeness: float) -> None:
        """Report that an utterance whose words are credible is probably over since a position."""
        hypothesis = utterance.hypothesis
        words = utterance.words(hypothesis.words)
        if not words or not self._credible(words, True, 2 * self._minimum_evidence):
            return
        self.speech_started(utterance, words[0].start)
        formatted = self._format(words, hypothesis.committed)
        text = text_of(words)
        time, lag = utterance.time(position), self._lag(utterance)
        self._events.append(TurnEnding(self._number, text, time, completeness, lag, formatted))
        self._ending = True

    def turn_resumed(self, utterance: Utterance, position: int) -> None:
        """Report that an utterance that was reported as ending goes on at a position."""
        if self._ending:
            self._events.append(TurnResumed(self._number, utterance.time(position), self._lag(utterance)))
            self._ending = False

    def utterance_ended(
        self,
        utterance: Utterance,
        reason: EndReason,
        alternatives: Sequence[Alternative],
        *,
        speech: bool,
        silence: float = 0.0,
    ) -> None:
        """Report the end of an utterance, unless its beginning was not reported and it has no credible words.

        `silence` are the seconds without speech, at least, that ended it.
        """
        credible = alternatives and self._credible(alternatives[0].words, speech, self._minimum_evidence)
        if credible:
            self.speech_started(utterance, alternatives[0].words[0].start)
            final = _final(self._number, reason, tuple(alternatives), self._lag(utterance))
            final = replace(final, language=self.language)
            if self.formatter is not None:
                silence = max(silence, utterance.time(utterance.decoded) - final.end)
                formatted = self.formatter.finish(final.words, silence)
                final = replace(final, formatted=formatted) if self._formatted else final
            self._events.append(final)
        if self._announced:
            ended = alternatives[0].words[-1].end if credible else utterance.time(utterance.decoded)
            self._events.append(SpeechEnded(self._number, ended, reason, self._lag(utterance)))
            self._number += 1
        self._announced, self._ending, self._shown = False, False, _NOTHING_SHOWN

    def _heard_out(self, utterance: Utterance) -> Hypothesis:
        """The hypothesis without a last word that is still being said and would be shown as a part of itself.

        Where the last partial had a word in its place already it stays: to take that away would be a change more.
        """
        hypothesis = utterance.hypothesis
        words = hypothesis.words
        if not hypothesis.unfinished or len(words) <= self._shown.words or stands_alone(words[-1].text[0]):
            return hypothesis
        heard_behind = utterance.seen - utterance.position(words[-1].end_frame)
        return hypothesis if heard_behind >= _STILL_SAID else replace(hypothesis, words=words[:-1], unfinished=False)

    def _format(self, words: Sequence[Word], committed: int) -> Formatted | None:
        """The words of an utterance that goes on, of which so many stand, for those who read."""
        return self.formatter.show(words, committed) if self.formatter and self._formatted else None

    def _credible(self, words: Sequence[Word], speech: bool, minimum: float) -> bool:
        """Whether words may be reported: there is speech and evidence enough, or some of them were reported before."""
        return self._shown is not _NOTHING_SHOWN or self._ending or (speech and evidence(words) >= minimum)

    def _lag(self, utterance: Utterance) -> float:
        """Audio received but not decoded, in seconds."""
        return seconds(self.received - utterance.decoded)


def evidence(words: Sequence[Word]) -> float:
    """How much there is to an utterance: its letters, each weighted by its word's squared confidence."""
    return sum(len(word.text) * word.confidence**2 for word in words)


def _final(utterance: int, reason: EndReason, alternatives: tuple[Alternative, ...], lag: float) -> events.Final:
    best = alternatives[0]
    confidence = sum(word.confidence for word in best.words) / len(best.words)
    start, end = best.words[0].start, best.words[-1].end
    return events.Final(utterance, best.text, best.words, start, end, confidence, alternatives, reason, lag)
