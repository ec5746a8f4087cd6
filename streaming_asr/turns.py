"""Whether somebody has finished speaking: how long a silence must be follows the sense of the words before it.

A sentence that is complete needs a short silence to end the utterance, one that is not a long one. Long before it is
over, an utterance that is probably complete is told as ending; if the speaker goes on, that is taken back.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from streaming_asr.audio.samples import milliseconds_to_samples
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.stabilizer import Hypothesis
from streaming_asr.text import Formatter
from streaming_asr.utterance import Utterance

TurnChange: TypeAlias = Literal["ending", "resumed"]

JUDGED_SILENCE: Final = 0.2
"""Seconds of silence behind the words with which they are judged, however long it lasts.

A longer one makes the end of a sentence more probable, but where it should be waited for it must not be an argument.
"""

_UNLIKELY: Final = 0.45
"""Completeness up to which the longest silence is waited for."""

_SURE: Final = 0.55
"""Completeness from which on the shortest silence is enough; `benchmarks.turns` chose both, on written words."""

_ENDING: Final = 0.5
"""Completeness from which on an utterance is told as ending."""

_ENDED: Final = milliseconds_to_samples(100)
_RESUMED: Final = milliseconds_to_samples(100)
"""So much silence begins an ending, and so much speech takes it back: single frames are often misjudged."""

_MISJUDGED: Final = milliseconds_to_samples(60)
"""Sound behind the last word that the gate may have taken for speech."""


def required_silence_ms(options: EndpointOptions, completeness: float | None) -> float:
    """The silence that ends an utterance whose words are complete with a probability; None is not known yet."""
    shortest, longest = options.shortest_silence_ms, options.longest_silence_ms
    if completeness is None:
        return longest
    share = min(1.0, max(0.0, (completeness - _UNLIKELY) / (_SURE - _UNLIKELY)))
    return longest - share * (longest - shortest)


class TurnWatch:
    """Follows the silence in one stream's utterances; `formatter` knows how complete their words are."""

    def __init__(self, options: EndpointOptions, formatter: Formatter) -> None:
        self._options = options
        self._formatter = formatter
        self._start: int | None = None
        self._ending = False
        self._speech = 0
        self._judged: Hypothesis | None = None
        self.completeness: float | None = None
        """The probability that the words are a complete sentence; None as long as not all of them are known."""

    @property
    def required_ms(self) -> float:
        """The silence that ends the utterance, as things stand."""
        return required_silence_ms(self._options, self.completeness)

    def patience(self, silence: int) -> int:
        """Samples that must come, at least, before it can tell anything or ask for a shorter silence than now.

        `silence` is the one that lasts now, in samples; words do not change without a step of the encoder.
        """
        shortest = milliseconds_to_samples(self._options.shortest_silence_ms)
        return 0 if self._ending else max(0, min(_ENDED, shortest) - silence)

    def look(self, utterance: Utterance, *, position: int, silence: int) -> None:
        """Judge the words of an utterance up to a position of the audio, in samples, that was silent for so many."""
        if utterance.start != self._start:
            self._start, self._ending, self._speech = utterance.start, False, 0
        if not silence or utterance.seen < position - silence - _MISJUDGED:
            self.completeness, self._judged = None, None
            return
        if self._judged is not utterance.hypothesis:
            self._judged = utterance.hypothesis
            words = utterance.words(utterance.hypothesis.words)
            self.completeness = self._formatter.completeness(words, JUDGED_SILENCE)

    def frame(self, utterance: Utterance, *, size: int, position: int, silence: int) -> TurnChange | None:
        """After a frame of `size` samples: whether the turn seems to end with it, or goes on after all."""
        self.look(utterance, position=position, silence=silence)
        self._speech = 0 if silence else self._speech + size
        if self._ending and self._speech >= _RESUMED:
            self._ending = False
            return "resumed"
        complete = self.completeness is not None and self.completeness >= _ENDING
        if not self._ending and complete and silence >= _ENDED:
            self._ending = True
            return "ending"
        return None
