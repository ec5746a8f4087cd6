"""What is said where raw audio was declared wrongly."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.command_line.hints import SoundCheck, hint
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.events import Final, Word

WORD = Word("perhaps", 0.0, 1.0, 0.2)
DOUBTFUL = Final(0, "perhaps", (WORD,), 0.0, 1.0, 0.2, (), "finish", 0.0)


@pytest.fixture(scope="module")
def speech() -> Samples:
    samples, _ = soundfile.read(RECORDING, dtype="float32", stop=10 * SAMPLE_RATE)
    return np.asarray(samples, np.float32)


def advice(samples: Samples, beginning: bytes = b"", *finals: Final, raw: RawAudioOptions | None = None) -> str:
    sound = SoundCheck()
    for piece in np.array_split(samples, 100):
        sound.push(piece[:, None], len(piece) / SAMPLE_RATE)
    return hint(sound, finals, raw or RawAudioOptions(), beginning) or ""


def integers(samples: Samples) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


def slowed(samples: Samples, times: int) -> Samples:
    """As if the rate were declared so many times too low."""
    places = np.arange(times * len(samples)) / times
    return np.asarray(np.interp(places, np.arange(len(samples)), samples), np.float32)


@pytest.mark.parametrize("finals", [(), (DOUBTFUL,)])
def test_floats_that_were_read_as_integers_are_recognized(speech: Samples, finals: tuple[Final, ...]) -> None:
    data = speech.astype("<f4").tobytes()
    misread = np.asarray(np.frombuffer(data, "<i2") / 32_768, np.float32)
    assert "its bytes look like float32 rather than linear16; try --encoding float32" in advice(misread, data, *finals)


def test_integers_are_not_taken_for_floats(speech: Samples) -> None:
    for loudness in (0.01, 1.0, 3.0):
        samples: Samples = np.asarray(np.clip(speech * loudness, -1, 1), np.float32)
        assert "float32" not in advice(samples, integers(samples))


def test_a_rate_that_was_declared_too_low_is_recognized(speech: Samples) -> None:
    assert "is the rate higher than 16000 Hz, like 48000? Say so by --sample-rate" in advice(slowed(speech, 3), b"")


def test_a_voice_at_its_own_rate_is_not_called_deep(speech: Samples) -> None:
    said = advice(speech, integers(speech), raw=RawAudioOptions(channels=2))
    assert "is it really linear16 at 16000 Hz with 2 channels?" in said


def test_noise_has_no_pitch() -> None:
    sound = SoundCheck()
    assert sound.pitch_hz() is None
    noise = np.random.default_rng(0).normal(0.0, 0.1, (SAMPLE_RATE, 1)).astype(np.float32)
    sound.push(noise, 1.0)
    assert sound.pitch_hz() is None
