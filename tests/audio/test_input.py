"""AudioInput: decode, downmix and resample, whatever the packets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.encodings import ENCODINGS, Encoding
from streaming_asr.audio.input import AudioInput, split_channels
from streaming_asr.audio.samples import Samples
from streaming_asr.errors import AudioError, OptionError, StreamClosedError


def heard(data: bytes, sizes: list[int], encoding: Encoding, sample_rate: int, channels: int) -> Samples:
    machine = AudioInput(encoding=encoding, sample_rate=sample_rate, channels=channels)
    ends = [0, *np.cumsum(sizes, dtype=np.int64).tolist(), len(data)]
    pieces = [data[start:stop] for start, stop in pairwise(ends)]
    return np.concatenate([*(machine.push(piece) for piece in pieces), machine.finish()])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(ENCODINGS),
    st.sampled_from([8000, 16000, 44100, 48000]),
    st.integers(1, 7),
    st.integers(0, 4000),
    st.lists(st.integers(0, 700), max_size=20),
)
def test_any_cut_gives_what_one_push_gives(
    encoding: Encoding, sample_rate: int, channels: int, size: int, sizes: list[int]
) -> None:
    random = np.random.default_rng(size)
    data = random.integers(0, 256, size, np.uint8).tobytes()
    if encoding == "float32":
        data = random.uniform(-1, 1, size // 4).astype("<f4").tobytes()
    whole = heard(data, [], encoding, sample_rate, channels)
    assert np.array_equal(heard(data, sizes, encoding, sample_rate, channels), whole)


def stereo() -> npt.NDArray[np.float32]:
    return np.array([[0.5, 0.25], [-0.5, 0.0]], np.float32)


def test_channels_are_mixed_to_their_mean() -> None:
    assert AudioInput(channels=2).push(stereo()).tolist() == [0.375, -0.25]


def test_one_channel_can_be_heard_alone() -> None:
    assert AudioInput(channels=2, channel=1).push(stereo()).tolist() == [0.25, 0.0]


def test_split_channels_gives_one_stream_per_channel() -> None:
    heard_apart = [machine.push(stereo()).tolist() for machine in split_channels(channels=2)]
    assert heard_apart == [[0.5, -0.5], [0.25, 0.0]]


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    with pytest.raises(OptionError, match=f"channel is {channel}; it must be from 0 to 1"):
        AudioInput(channels=2, channel=channel)


def test_a_telephone_second_becomes_a_second() -> None:
    machine = AudioInput(encoding="mulaw", sample_rate=8000)
    packets = [machine.push(b"\xff" * 160) for _ in range(50)]
    assert sum(map(len, packets)) + len(machine.finish()) == 16000


def test_bytes_that_arrive_with_the_end_are_heard() -> None:
    machine = AudioInput(encoding="mulaw", sample_rate=8000)
    assert len(machine.push(b"\x80\x80")) == 0
    assert len(machine.finish()) == 4


def test_dropped_bytes_are_reported() -> None:
    machine = AudioInput(encoding="linear16")
    machine.push(b"\0" * 7)
    machine.finish()
    assert machine.dropped_bytes == 1


def test_a_container_is_refused_by_name() -> None:
    with pytest.raises(AudioError, match="it is a WAV file"):
        AudioInput(encoding="linear16").push(b"RIFF")


def test_no_audio_after_the_end() -> None:
    machine = AudioInput()
    machine.finish()
    assert len(machine.finish()) == 0
    with pytest.raises(StreamClosedError):
        machine.push(np.zeros(1, np.float32))
