"""Opens on speech and closes after it, so that silence is never encoded and no word is clipped."""

from __future__ import annotations

import math
import sys
from collections import deque
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from streaming_asr.audio.detectors import (
    FRAME_MILLISECONDS,
    SILERO_FRAME_SAMPLES,
    NoiseRobustDetector,
    SileroDetector,
    SpeechDetector,
    WebRtcDetector,
    judge_of,
)
from streaming_asr.audio.samples import Samples, milliseconds_to_samples
from streaming_asr.errors import OptionError, StreamClosedError

SHORTEST_PRE_ROLL_MS: Final = 300

Detector: TypeAlias = Literal["webrtc", "silero"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """When the gate opens and closes.

    Attributes:
        enabled: False lets everything through: all audio is speech.
        detector: what tells speech from noise: "webrtc" with tests of level and pitch, or "silero", a small network
            (the extra `silero`).
        aggressiveness: of "webrtc", 0 (calls much speech) to 3 (calls little speech).
        frame_ms: length of the frames that "webrtc" judges, 10, 20 or 30; those of "silero" are 32 ms long.
        window_ms: the gate opens if in the last so many milliseconds ...
        start_share: ... this share of frames is speech, over 0 to 1.
        hangover_ms: it closes after so many milliseconds without speech.
        pre_roll_ms: audio before the first speech frame that belongs to the speech, 300 or more.
        level_margin_db: decibels by which speech rises over the background, for "webrtc".
        minimum_level_dbfs: what is quieter is never speech.
        needs_voice: whether speech must have a pitch now and then, for "webrtc"; switch it off for whispering.
        speech_probability: from which on a frame is speech to "silero", over 0 and under 1.

    Raises:
        OptionError: a value is out of range.
    """

    enabled: bool = True
    detector: Detector = "webrtc"
    aggressiveness: int = 2
    frame_ms: int = 20
    window_ms: int = 300
    start_share: float = 0.4
    hangover_ms: int = 800
    pre_roll_ms: int = 400
    level_margin_db: float = 6.0
    minimum_level_dbfs: float = -60.0
    needs_voice: bool = True
    speech_probability: float = 0.5

    def __post_init__(self) -> None:
        _require(self.detector in get_args(Detector), "detector", self.detector, "'webrtc' or 'silero'")
        _require(self.aggressiveness in range(4), "aggressiveness", self.aggressiveness, "0, 1, 2 or 3")
        _require(self.frame_ms in FRAME_MILLISECONDS, "frame_ms", self.frame_ms, "10, 20 or 30")
        _require(self.frame_ms <= self.window_ms <= 5000, "window_ms", self.window_ms, f"from {self.frame_ms} to 5000")
        _require(0 < self.start_share <= 1, "start_share", self.start_share, "over 0 and at most 1")
        _require(self.frame_ms <= self.hangover_ms <= 60_000, "hangover_ms", self.hangover_ms, "from a frame to 60000")
        _require(
            SHORTEST_PRE_ROLL_MS <= self.pre_roll_ms <= 10_000,
            "pre_roll_ms",
            self.pre_roll_ms,
            f"from {SHORTEST_PRE_ROLL_MS} to 10000, or first words would be clipped",
        )
        _require(0 <= self.level_margin_db <= 60, "level_margin_db", self.level_margin_db, "from 0 to 60")
        _require(-120 <= self.minimum_level_dbfs <= 0, "minimum_level_dbfs", self.minimum_level_dbfs, "from -120 to 0")
        _require(0 < self.speech_probability < 1, "speech_probability", self.speech_probability, "over 0 and under 1")

    @property
    def lookback_samples(self) -> int:
        """How far `Opened.position` may lie before `Gate.position`; a ring buffer must hold at least this much."""
        frame = max(milliseconds_to_samples(self.frame_ms), SILERO_FRAME_SAMPLES)
        return milliseconds_to_samples(self.window_ms + self.pre_roll_ms) + frame


def _require(holds: bool, name: str, value: float | str, right: str) -> None:
    if not holds:
        raise OptionError(f"{name} is {value!r}; it must be {right}")


@dataclass(frozen=True, slots=True)
class Opened:
    """Speech began; `position` is its first sample, pre-roll included, never before the last `Closed.position`."""

    position: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Speech ended; `position` is the sample behind its last one, hangover included."""

    position: int


GateEvent: TypeAlias = Opened | Closed


def detector_for(options: GateOptions) -> SpeechDetector:
    """The detector that the options describe, for one stream."""
    if options.detector == "silero":
        return SileroDetector(options.speech_probability)
    return NoiseRobustDetector(
        WebRtcDetector(options.aggressiveness, options.frame_ms),
        level_margin_db=options.level_margin_db,
        minimum_level_dbfs=options.minimum_level_dbfs,
        needs_voice=options.needs_voice,
    )


class Gate:
    """Decides frame by frame, with hysteresis, which samples of a stream are speech.

    All positions are absolute samples at 16 kHz. Between an `Opened` and the `Closed` after it, every sample is speech;
    while the gate is open, everything up to `position` is.

    Args:
        options: when to open and close.
        detector: judges the frames; None makes the one that the options describe.

    Raises:
        MissingExtraError: no detector was given and the package of the one in the options is not installed.
    """

    def __init__(self, options: GateOptions | None = None, detector: SpeechDetector | None = None) -> None:
        self.options: Final = options or GateOptions()
        self._detector: Final = (detector or detector_for(self.options)) if self.options.enabled else None
        self.frame: Final = self._detector.frame_samples if self._detector else 1
        """Samples in a frame of the detector."""
        self.decided: list[tuple[int, int]] = []
        """Position and silence behind each frame that the last push decided."""
        self._judge: Final = judge_of(self._detector) if self._detector else lambda frames: []
        frames = max(1, milliseconds_to_samples(self.options.window_ms) // self.frame)
        self._needed: Final = math.ceil(self.options.start_share * frames)
        self._hangover = milliseconds_to_samples(self.options.hangover_ms)
        self._pre_roll: Final = milliseconds_to_samples(self.options.pre_roll_ms)
        self._window: Final = deque[bool](maxlen=frames)
        self._pending: Samples = np.empty(0, np.float32)
        self._position = 0
        self._last_closed = 0
        self._silence = 0
        self._open = False
        self._finished = False

    @property
    def position(self) -> int:
        """Samples decided so far."""
        return self._position

    @property
    def open(self) -> bool:
        """Whether the sample at `position` would be speech."""
        return self._open

    @property
    def silence(self) -> int:
        """Samples decided since the last frame that held speech; since the start, if none has."""
        return self._silence

    @property
    def patience(self) -> int:
        """Samples that must come, at least, before the gate can open or close."""
        if self._detector is None:
            return sys.maxsize if self._open else 0
        if self._open:
            decisive = max(self.frame, self._hangover - self._silence)
        else:
            decisive = (self._needed - sum(self._window)) * self.frame
        return decisive - len(self._pending)

    def push(self, samples: Samples) -> list[GateEvent]:
        """Take in samples, shape (samples,); returns what was decided on the frames that are complete.

        Raises:
            StreamClosedError: the gate was finished.
        """
        if self._finished:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        self.decided = []
        if self._detector is None:
            return self._let_through(len(samples))
        waiting = np.concatenate([self._pending, samples]) if len(self._pending) else samples
        whole = len(waiting) - len(waiting) % self.frame
        self._pending = waiting[whole:].copy()
        if not whole:
            return []
        frames = waiting[:whole].reshape(-1, self.frame)
        return [event for is_speech in self._judge(frames) for event in self._decide(is_speech)]

    def finish(self) -> list[GateEvent]:
        """End the input; an open gate closes behind the last sample, the unfinished frame included."""
        if self._finished:
            return []
        self._finished = True
        self._position += len(self._pending)
        self._silence += len(self._pending)
        self._pending = self._pending[:0]
        return [self._close()] if self._open else []

    def set_hangover(self, milliseconds: int) -> None:
        """Wait so long in silence from here on, instead of what the options say."""
        self._hangover = milliseconds_to_samples(replace(self.options, hangover_ms=milliseconds).hangover_ms)

    def _let_through(self, count: int) -> list[GateEvent]:
        events: list[GateEvent] = []
        if count and not self._open:
            self._open = True
            events.append(Opened(self._position))
        self._position += count
        return events

    def _decide(self, is_speech: bool) -> list[GateEvent]:
        self._position += self.frame
        self._silence = 0 if is_speech else self._silence + self.frame
        self.decided.append((self._position, self._silence))
        if self._open:
            return [self._close()] if self._silence >= self._hangover else []
        self._window.append(is_speech)
        return [self._start()] if sum(self._window) >= self._needed else []

    def _start(self) -> Opened:
        since_first = len(self._window) - self._window.index(True)
        self._open = True
        self._window.clear()
        return Opened(max(self._last_closed, self._position - since_first * self.frame - self._pre_roll))

    def _close(self) -> Closed:
        self._open = False
        self._last_closed = self._position
        return Closed(self._position)
