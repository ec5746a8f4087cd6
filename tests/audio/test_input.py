"""AudioInput: decode, downmix and resample, whatever the packets."""

from __future__ import annotations

import io
import wave
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.encodings import ENCODINGS, Encoding
from streaming_asr.audio.input import LONGEST_PIECE, AudioInput
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


def test_each_channel_can_be_heard_for_itself() -> None:
    assert AudioInput(channels=2, separate=True).push(stereo()).tolist() == stereo().tolist()


@pytest.mark.parametrize("channel", [-1, 2])
def test_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    with pytest.raises(OptionError, match=f"channel is {channel}; it must be"):
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


def test_pieces_are_small_and_together_what_a_push_gives() -> None:
    data = np.random.default_rng(0).integers(-3000, 3000, 40_000, np.int16).tobytes()
    pieces = list(AudioInput(encoding="linear16", sample_rate=8000).pieces(data))
    assert max(map(len, pieces)) <= LONGEST_PIECE
    assert np.array_equal(np.concatenate(pieces), AudioInput(encoding="linear16", sample_rate=8000).push(data))


def test_a_flush_gives_every_sample_that_came_in() -> None:
    machine = AudioInput(sample_rate=48_000)
    heard = len(machine.push(np.zeros(48_000, np.float32))) + len(machine.flush())
    assert heard == 16_000
    assert len(machine.push(np.zeros(48_000, np.float32))) + len(machine.finish()) == 16_000


def test_a_container_where_samples_were_declared_is_read_if_asked() -> None:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(4 * 8000))
    machine = AudioInput(encoding="mulaw", detect=True, separate=True)
    assert machine.channels is None
    heard = [machine.push(content.getvalue()[:3]), machine.push(content.getvalue()[3:]), machine.finish()]
    assert machine.channels == 2
    assert sum(map(len, heard)) == 16_000


def test_samples_are_heard_as_declared_where_no_container_begins() -> None:
    machine = AudioInput(encoding="linear16", detect=True)
    assert machine.push(b"\0\x40").tolist() == []
    assert machine.finish().tolist() == [0.5]


@pytest.mark.parametrize("separate", [False, True])
def test_packets_of_opus_are_heard_and_a_bad_one_is_told(separate: bool) -> None:
    av = pytest.importorskip("av")
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "flt"
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 960), np.float32), format="flt", layout="stereo")
    frame.sample_rate = 48_000
    packets = [bytes(packet) for _ in range(10) for packet in encoder.encode(frame)]
    machine = AudioInput(encoding="opus", channels=2, separate=separate)
    heard = [machine.push(packet) for packet in packets]
    with pytest.raises(AudioError, match="61441 bytes; 61440 is the most"):
        machine.push(bytes(61_441))
    assert sum(map(len, heard)) + len(machine.finish()) == len(packets) * 320
