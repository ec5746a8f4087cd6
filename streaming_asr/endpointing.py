"""When an utterance is over: nothing said, silence after words, or too long (then cut at the best pause).

The rules look at what was decoded, not at the clock, so they give the same cuts however the audio arrives.
Silence that the gate finds ends an utterance earlier still; these rules are for noise that the gate takes for speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from streaming_asr.errors import OptionError
from streaming_asr.events import Turn

if TYPE_CHECKING:  # the options are for client machines too, which have no decoder
    from streaming_asr.decoding import BeamWord

TURNS = get_args(Turn)
_SHORTEST_MAXIMUM_MS = 1_000

_SOFT_SHARE = 0.75
"""From this share of the maximum length on, ever shorter pauses are long enough to cut at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """When to end an utterance, all in milliseconds; None switches a rule off.

    `no_words_ms`: speech was detected, but no word decoded for so long.
    `trailing_silence_ms`: so long nothing after the last word; the gate closes after as much silence, and its own
    hangover counts only where this is None.
    `maximum_length_ms`: the longest utterance, a second or more; it is cut at its best pause.
    `turn`: "adaptive" lets the trailing silence follow the sense instead: `shortest_silence_ms` where a sentence is
    complete, `longest_silence_ms` where it is not, something between where it may be. It needs a text model.
    """

    no_words_ms: float | None = 4_000
    trailing_silence_ms: float | None = 700
    maximum_length_ms: float | None = 20_000
    turn: Turn = "fixed"
    shortest_silence_ms: float = 400
    longest_silence_ms: float = 1_500

    def __post_init__(self) -> None:
        for name in ("no_words_ms", "trailing_silence_ms", "maximum_length_ms"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise OptionError(f"{name} is {value}; it must be a positive number of milliseconds, or None")
        if self.turn not in TURNS:
            raise OptionError(f"turn is {self.turn!r}; it must be one of {', '.join(TURNS)}")
        if not 0 < self.shortest_silence_ms <= self.longest_silence_ms < float("inf"):
            raise OptionError(
                f"shortest_silence_ms is {self.shortest_silence_ms} and longest_silence_ms {self.longest_silence_ms};"
                " both must be positive, and the first not the longer one"
            )
        # Every cut costs a part of a chunk anew: utterances shorter than a chunk would be encoded many times over.
        if self.maximum_length_ms is not None and self.maximum_length_ms < _SHORTEST_MAXIMUM_MS:
            raise OptionError(
                f"maximum_length_ms is {self.maximum_length_ms}; it must be {_SHORTEST_MAXIMUM_MS} or more"
            )

    @property
    def longest_trailing_ms(self) -> float | None:
        """The longest silence that may be waited for after words; None for ever."""
        return self.longest_silence_ms if self.turn == "adaptive" else self.trailing_silence_ms


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An utterance ends before `frame` (counted from its own start), for `reason`."""

    frame: int
    reason: Literal["silence", "no_words", "maximum_length"]


class Endpointer:
    """Applies the endpoint rules of one stream to its best hypothesis; `frame_ms` is the encoder's frame length."""

    def __init__(self, options: EndpointOptions, *, frame_ms: float) -> None:
        self._frame_ms = frame_ms
        self._no_words = _frames(options.no_words_ms, frame_ms)
        self._trailing = _frames(options.longest_trailing_ms, frame_ms)
        self._maximum = _frames(options.maximum_length_ms, frame_ms)

    def decide(
        self, words: Sequence[BeamWord], *, frames: int, committed: int, trailing_ms: float | None = None
    ) -> Endpoint | None:
        """The end of an utterance of `frames` frames whose best hypothesis is `words`, or None while it goes on.

        `committed` is the number of words that stand; a cut never falls before their end. `trailing_ms` is the trailing
        silence that is enough for just these words; None leaves it to the options.
        """
        trailing = self._trailing if trailing_ms is None else _frames(trailing_ms, self._frame_ms)
        if not words:
            return Endpoint(frames, "no_words") if frames >= min(self._no_words, self._maximum) else None
        if frames - words[-1].end_frame >= trailing:
            return Endpoint(frames, "silence")
        if frames < self._maximum * _SOFT_SHARE:
            return None
        cut, pause = _best_pause(words[max(committed - 1, 0) :], frames)
        return Endpoint(cut, "maximum_length") if pause >= self._required_pause(frames) else None

    def _required_pause(self, frames: int) -> float:
        """Frames of pause that justify a cut: the trailing silence at first, nothing at the maximum length."""
        left = (self._maximum - frames) / (self._maximum * (1 - _SOFT_SHARE))
        return max(0.0, left) * min(self._trailing, self._maximum)


def _best_pause(words: Sequence[BeamWord], frames: int) -> tuple[int, int]:
    """The middle of the longest gap behind any of these words, and its length, both in frames."""
    starts = [word.start_frame for word in words[1:]] + [frames]
    pause, _, word, start = max(
        (start - word.end_frame, index, word, start)
        for index, (word, start) in enumerate(zip(words, starts, strict=True))
    )
    return (word.end_frame + start) // 2, pause


def _frames(milliseconds: float | None, frame_ms: float) -> float:
    return float("inf") if milliseconds is None else max(1.0, round(milliseconds / frame_ms))
