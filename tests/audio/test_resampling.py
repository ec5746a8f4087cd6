"""Resampler: state is carried, so that cuts leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.resampling import HIGHEST_RATE, LOWEST_RATE, Resampler
from streaming_asr.audio.samples import Samples
from streaming_asr.errors import OptionError, StreamClosedError

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000, 192000]


def resampled(samples: Samples, rate: int, sizes: list[int]) -> Samples:
    resampler = Resampler(rate)
    pieces = np.split(samples, np.minimum(np.cumsum(sizes, dtype=np.int64), len(samples)))
    return np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])


def tone(rate: int, frequency: float, duration: float) -> Samples:
    return np.asarray(np.sin(2 * np.pi * frequency * np.arange(round(rate * duration)) / rate), np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES) | st.integers(LOWEST_RATE, HIGHEST_RATE),
    st.integers(0, 20000),
    st.lists(st.integers(0, 3000), max_size=20),
)
def test_any_cut_gives_what_one_push_gives(rate: int, length: int, sizes: list[int]) -> None:
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    whole = resampled(samples, rate, [])
    assert np.array_equal(resampled(samples, rate, sizes), whole)
    assert abs(len(whole) - length * 16000 / rate) <= 1


def test_packets_of_one_sample_leave_no_trace() -> None:
    samples = tone(8000, 440, 0.3)
    assert np.array_equal(resampled(samples, 8000, [1] * len(samples)), resampled(samples, 8000, []))


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_pitch_level_and_place(rate: int) -> None:
    heard = resampled(tone(rate, 1000, 0.5), rate, [rate // 100] * 50)
    inner = slice(800, 7200)
    assert np.abs(heard[inner] - tone(16000, 1000, 0.5)[inner]).max() < 1e-3


def test_16_khz_passes_through_untouched() -> None:
    samples = tone(16000, 440, 0.01)
    assert np.array_equal(resampled(samples, 16000, [3, 50]), samples)


@pytest.mark.parametrize(("rate", "most"), [(8000, 0.13), (44100, 0.06), (48000, 0.06)])
def test_output_trails_input_by_no_more_than_documented(rate: int, most: float) -> None:
    resampler = Resampler(rate)
    heard, trail = 0, 0.0
    for second_hundredth in range(1, 101):
        heard += len(resampler.push(np.zeros(rate // 100, np.float32)))
        trail = max(trail, second_hundredth / 100 - heard / 16000)
    assert trail < most


@pytest.mark.parametrize("rate", [0, 7999, 192001])
def test_rates_out_of_range_are_refused(rate: int) -> None:
    with pytest.raises(OptionError, match=f"{rate} Hz; it must be from 8000 to 192000"):
        Resampler(rate)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_no_audio_after_the_end(rate: int) -> None:
    resampler = Resampler(rate)
    resampler.finish()
    assert len(resampler.finish()) == 0
    with pytest.raises(StreamClosedError):
        resampler.push(np.zeros(1, np.float32))
