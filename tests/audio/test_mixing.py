"""The mean of channels, and what is heard where they cancel each other out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.encodings import Block, Frames
from streaming_asr.audio.mixing import Mean, Mixer
from streaming_asr.errors import AudioError, OptionError

RATE = 16_000


def voice(seconds: float = 1.0) -> Frames:
    """A sound with pauses, shape (frames, 1)."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(np.sin(2 * np.pi * 200 * time) * (np.sin(2 * np.pi * 2 * time) > 0), np.float32)[:, None]


def level(samples: Frames) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_a_channel_turned_over_does_not_silence_the_other(gain: float) -> None:
    frames = np.concatenate([voice(), gain * voice()], axis=1)
    heard = Mean(2, RATE).push(frames)
    assert level(heard[RATE // 20 :]) > 0.9 * level(voice()[RATE // 20 :])


@pytest.mark.parametrize("other", [0.0, 0.5, 1.0])
def test_channels_that_do_not_cancel_are_mixed_to_their_mean(other: float) -> None:
    frames = np.concatenate([voice(), other * voice()], axis=1)
    assert np.allclose(Mean(2, RATE).push(frames), voice()[:, 0] * (1 + other) / 2)


def test_channels_without_anything_in_common_are_mixed() -> None:
    frames = np.random.default_rng(0).standard_normal((RATE, 6)).astype(np.float32) * 0.1
    assert np.allclose(Mean(6, RATE).push(frames), frames.mean(axis=1), atol=1e-6)


def test_a_mend_of_the_cable_is_noticed() -> None:
    broken, whole = np.concatenate([voice(), -voice()], axis=1), np.concatenate([voice(), voice()], axis=1)
    heard = Mean(2, RATE).push(np.concatenate([broken, whole, broken]))
    assert level(heard) > 0.8 * level(voice())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=10))
def test_any_cut_gives_what_one_push_gives(sizes: list[int]) -> None:
    frames = np.concatenate([voice(0.5), -voice(0.5)], axis=1)
    mean, ends = Mean(2, RATE), [0, *np.cumsum(sizes, dtype=np.int64).tolist(), len(frames)]
    pieces = [mean.push(frames[start:stop]) for start, stop in pairwise(ends)]
    assert np.array_equal(np.concatenate(pieces), Mean(2, RATE).push(frames))


def test_separate_channels_keep_their_number_whatever_comes() -> None:
    mixer = Mixer(separate=True)
    assert mixer.mixed(Block(np.ones((3, 2), np.float32), RATE)).shape == (3, 2)
    assert mixer.mixed(Block(np.ones((1, 1), np.float32), RATE)).tolist() == [[1.0, 0.0]]
    assert mixer.mixed(Block(np.ones((1, 3), np.float32), RATE)).tolist() == [[1.0, 1.0]]


def test_a_channel_that_a_stream_does_not_have_is_named() -> None:
    with pytest.raises(AudioError, match="channel is 2; it must be from 0 to 1"):
        Mixer(channel=2).mixed(Block(np.ones((3, 2), np.float32), RATE))
    with pytest.raises(OptionError, match="not for channels recognized separately"):
        Mixer(channel=0, separate=True)
