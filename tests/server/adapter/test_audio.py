"""Any declared audio to 16 kHz mono: formats, cuts, channels, and nothing held back at a flush."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.adapter.audio import Ears, Heard, joined
from streaming_asr_server.adapter.interface import AudioFormat

from streaming_asr.audio.samples import Samples
from streaming_asr.errors import AudioError

TONE = (np.sin(np.arange(8_000) * 0.05) * 0.5).astype(np.float32)


def linear16(samples: Samples) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


def hear(ears: Ears, data: bytes, size: int) -> Heard:
    pieces = [ears.push(data[start : start + size]) for start in range(0, len(data), size)]
    return joined([*pieces, ears.finish()])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5_000), st.sampled_from([8_000, 16_000, 24_000]), st.booleans())
def test_cutting_does_not_matter(size: int, rate: int, separate: bool) -> None:
    audio = AudioFormat("linear16", rate, 2, separate)
    data = linear16(np.stack([TONE, -TONE / 2], axis=1).reshape(-1))
    whole, cut = hear(Ears(audio), data, len(data)), hear(Ears(audio), data, size)
    assert list(whole) == list(cut) == ([0, 1] if separate else [0])
    for channel, samples in whole.items():
        np.testing.assert_array_equal(samples, cut[channel])


def test_16_khz_passes_untouched_and_channels_are_mixed_or_apart() -> None:
    both = np.stack([TONE, np.zeros_like(TONE)], axis=1).reshape(-1).astype("<f4").tobytes()
    mixed = hear(Ears(AudioFormat("float32", 16_000, 2)), both, 100)
    apart = hear(Ears(AudioFormat("float32", 16_000, 2, separate=True)), both, 100)
    np.testing.assert_allclose(mixed[0], TONE / 2, atol=1e-7)
    np.testing.assert_array_equal(apart[0], TONE)
    assert not apart[1].any()


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
def test_a_flush_gives_all_that_was_heard(rate: int) -> None:
    ears = Ears(AudioFormat("linear16", rate))
    before = ears.push(linear16(TONE))
    after = joined([before, ears.flush()])
    assert len(before[0]) < len(after[0]) == round(len(TONE) * 16_000 / rate)
    again = joined([ears.push(linear16(TONE)), ears.finish()])
    assert len(again[0]) == len(after[0]), "the next piece begins with a fresh filter"
    wanted = soxr.resample(TONE, rate, 16_000)
    np.testing.assert_allclose(after[0], wanted, atol=2e-3)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("declared", ["container", "linear16"])
@pytest.mark.parametrize("separate", [False, True])
def test_files_say_themselves_what_they_are(
    kind: str, declared: Literal["container", "linear16"], separate: bool
) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.stack([TONE, -TONE], axis=1), 16_000, format=kind, subtype="PCM_16")
    ears = Ears(AudioFormat(declared, separate=separate))
    assert ears.channels is None
    heard = hear(ears, file.getvalue(), 3)
    assert ears.channels == (2 if separate else 1)
    wanted = {0: TONE, 1: -TONE} if separate else {0: TONE * 0}
    assert list(heard) == list(wanted)
    for channel, samples in wanted.items():
        np.testing.assert_allclose(heard[channel], samples, atol=1e-4)


def test_channels_in_messages_of_their_own() -> None:
    ears = Ears(AudioFormat("mulaw", 8_000, 2, separate=True))
    first, second = ears.push(b"\xff" * 800, 1), ears.push(b"\x80" * 800, 0)
    rest = ears.finish()
    assert (list(first), list(second), ears.channels) == ([1], [0], 2)
    heard = joined([first, second, rest])
    assert [len(heard[channel]) for channel in (0, 1)] == [1_600, 1_600]
    assert abs(heard[0]).mean() > 0.5 > 0.01 > abs(heard[1]).mean()


@pytest.mark.parametrize(
    ("audio", "piece"),
    [
        (AudioFormat("float32"), np.full(4, np.nan, "<f4").tobytes()),
        (AudioFormat("container"), b"this is no audio"),
        (AudioFormat("opus", 48_000), b"\xff" * 30),
        (AudioFormat("opus", 48_000), bytes(70_000)),
    ],
)
def test_what_is_not_as_declared_is_refused(audio: AudioFormat, piece: bytes) -> None:
    with pytest.raises(AudioError):
        Ears(audio).push(piece)


def test_a_stream_without_audio_ends_well() -> None:
    for audio in (AudioFormat("linear16"), AudioFormat("container"), AudioFormat("opus", 48_000)):
        assert all(not len(samples) for samples in Ears(audio).finish().values())
