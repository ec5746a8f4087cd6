from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.augment import (
    AugmentOptions,
    Surroundings,
    add_noise,
    augment,
    change_speed,
    companded,
    holes,
    normalized,
    trimmed,
)


def tone(hertz: float, seconds: float = 1.0) -> Samples:
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.asarray(0.3 * np.sin(2 * np.pi * hertz * time), dtype=np.float32)


def strongest(samples: Samples) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * SAMPLE_RATE / len(samples))


def test_no_augmentation_leaves_the_recording_alone() -> None:
    samples = tone(440)
    assert np.array_equal(augment(samples, AugmentOptions.none(), Surroundings(), np.random.default_rng(0)), samples)


def test_faster_is_shorter_and_higher() -> None:
    faster = change_speed(tone(400), 1.1)
    assert len(faster) == pytest.approx(SAMPLE_RATE / 1.1, abs=50)
    assert strongest(faster) == pytest.approx(440, abs=5)


def test_the_telephone_passes_its_band_only() -> None:
    options = replace(AugmentOptions.none(), telephone_share=1.0)
    generator = np.random.default_rng(0)

    def level(hertz: float) -> float:
        return float(np.std(augment(tone(hertz), options, Surroundings(), generator)))

    assert level(1000) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    assert max(level(60), level(5000)) < 0.02


@pytest.mark.parametrize("decibel", [0.0, 10.0])
def test_noise_is_added_at_the_ratio_that_is_asked_for(decibel: float) -> None:
    samples, noise = tone(440), np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    added = add_noise(samples, noise, decibel) - samples
    assert 10 * np.log10(np.mean(samples**2) / np.mean(added**2)) == pytest.approx(decibel, abs=0.1)


def test_companding_errs_by_a_few_percent_of_each_sample() -> None:
    samples = tone(440)
    loud = np.abs(samples) > 0.05
    np.testing.assert_allclose(companded(samples)[loud], samples[loud], rtol=0.04)


def test_a_room_starts_at_its_peak_and_has_unit_energy() -> None:
    response = np.concatenate([np.zeros(100), [1.0, 0.5], np.zeros(100)]).astype(np.float32)
    assert trimmed(response)[0] == pytest.approx(1 / np.sqrt(1.25))
    assert np.sum(trimmed(response) ** 2) == pytest.approx(1.0)


def test_the_same_generator_gives_the_same_version() -> None:
    around = Surroundings([tone(100)], [tone(50, 0.1)])
    one, other = (augment(tone(440), AugmentOptions(), around, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, other)


def test_normalized_audio_has_no_mean_and_unit_variance() -> None:
    samples = normalized(tone(440) + np.float32(0.2))
    assert float(samples.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(samples.std()) == pytest.approx(1.0, abs=1e-3)


def test_holes_take_whole_bands_out_and_leave_the_rest() -> None:
    frequencies = np.linspace(0.0, 8000.0, 2001)
    for seed in range(20):
        gains = holes(frequencies, np.random.default_rng(seed))
        assert set(np.unique(gains)) <= {np.float32(0.03), np.float32(1.0)}
        assert np.count_nonzero(np.diff(gains)) <= 4
        mel = np.log1p(frequencies / 700.0)
        assert (np.gradient(mel)[gains < 1].sum()) <= 0.41 * mel[-1]
