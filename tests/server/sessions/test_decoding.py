"""Any declared audio to 16 kHz: formats, cuts, channels, nothing held back at a flush, and in small steps."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.sessions.decoding import MAXIMUM_CHANNELS, AudioDecoder, AudioFormat

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import AudioError

pytestmark = pytest.mark.anyio

TONE = (np.sin(np.arange(8_000) * 0.05) * 0.5).astype(np.float32)


def linear16(samples: Samples) -> bytes:
    return (samples * 32_767).astype("<i2").tobytes()


async def decoded(decoder: AudioDecoder, data: bytes, size: int, channel: int | None = None) -> dict[int, Samples]:
    """All samples by channel, the data being pushed in pieces of a size."""
    steps: list[Mapping[int, Samples]] = []
    for start in range(0, len(data), size):
        steps += [step async for step in decoder.decode(data[start : start + size], channel)]
    steps.append(await decoder.finish())
    channels = {number for step in steps for number in step}
    nothing = np.zeros(0, np.float32)
    return {number: np.concatenate([step.get(number, nothing) for step in steps]) for number in sorted(channels)}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5_000), st.sampled_from([8_000, 16_000, 24_000]), st.booleans())
async def test_cutting_does_not_matter(size: int, rate: int, separate: bool) -> None:
    audio = AudioFormat("linear16", rate, 2, separate, detect=True)
    data = linear16(np.stack([TONE, -TONE / 2], axis=1))
    whole = await decoded(AudioDecoder(audio), data, len(data))
    cut = await decoded(AudioDecoder(audio), data, size)
    assert whole.keys() == cut.keys() == ({0, 1} if separate else {0})
    for channel, samples in whole.items():
        np.testing.assert_array_equal(cut[channel], samples)


async def test_channels_are_mixed_unless_they_are_separate() -> None:
    data = linear16(np.stack([TONE, TONE / 2], axis=1))
    mixed = await decoded(AudioDecoder(AudioFormat(channels=2)), data, len(data))
    apart = await decoded(AudioDecoder(AudioFormat(channels=2, separate=True)), data, len(data))
    np.testing.assert_allclose(mixed[0], 0.75 * TONE, atol=1e-3)
    np.testing.assert_allclose(apart[0], 2 * apart[1], atol=1e-3)


async def test_a_channel_that_comes_by_itself_keeps_its_number() -> None:
    decoder = AudioDecoder(AudioFormat("linear16", channels=2, separate=True))
    assert list(await decoded(decoder, linear16(TONE), 100, channel=1)) == [1]
    assert decoder.channels == 2


async def test_nothing_is_held_back_after_a_flush() -> None:
    decoder = AudioDecoder(AudioFormat("linear16", 8_000))
    steps = [step async for step in decoder.decode(linear16(TONE))]
    flushed = sum(len(step[0]) for step in steps) + len(decoder.flush()[0])
    assert flushed == 2 * len(TONE)
    assert len((await decoder.finish())[0]) == 0


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
async def test_a_file_is_decoded_whether_it_was_declared_or_not(kind: str, subtype: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.stack([TONE, TONE / 2], axis=1), 8_000, format=kind, subtype=subtype)
    for declared in (AudioFormat("container", separate=True), AudioFormat(separate=True, detect=True)):
        decoder = AudioDecoder(declared)
        channels = await decoded(decoder, file.getvalue(), 777)
        assert decoder.channels == 2
        expected = soxr.resample(TONE, 8_000, SAMPLE_RATE)
        assert abs(len(channels[0]) - len(expected)) < 500, "Vorbis pads its end"
        np.testing.assert_allclose(np.std(channels[0]), 2 * np.std(channels[1]), rtol=0.05)


async def test_the_channels_of_a_file_are_unknown_until_it_says_them() -> None:
    assert AudioDecoder(AudioFormat("container", separate=True)).channels is None
    assert AudioDecoder(AudioFormat("container")).channels == 1


async def test_more_channels_than_are_recognized_are_left_out() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.stack([TONE] * 10, axis=1), 16_000, format="WAV")
    decoder = AudioDecoder(AudioFormat("container", separate=True))
    assert len(await decoded(decoder, file.getvalue(), 10_000)) == MAXIMUM_CHANNELS == decoder.channels


async def test_a_small_file_of_much_silence_comes_in_small_steps() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(60 * SAMPLE_RATE, np.int16), SAMPLE_RATE, format="FLAC")
    assert len(file.getvalue()) < 64 * 1024
    steps = [step async for step in AudioDecoder(AudioFormat("container")).decode(file.getvalue())]
    assert max(len(step[0]) for step in steps) < SAMPLE_RATE
    assert sum(len(step[0]) for step in steps) > 50 * SAMPLE_RATE


@pytest.mark.parametrize(
    ("encoding", "data"), [("container", b"no file"), ("opus", b"\xff\xfe\xff\x7f"), ("float32", b"\xff" * 8)]
)
async def test_what_is_not_the_declared_audio_is_refused(
    encoding: Literal["container", "opus", "float32"], data: bytes
) -> None:
    with pytest.raises(AudioError):
        await decoded(AudioDecoder(AudioFormat(encoding)), data * 100, 400)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"\x1a\x45\xdf\xa3", b"ID3\x04"]))
async def test_whatever_bytes_come_the_answer_is_samples_or_a_clear_error(data: bytes, head: bytes) -> None:
    for audio in (AudioFormat("container", separate=True), AudioFormat(detect=True), AudioFormat("opus")):
        try:
            channels = await decoded(AudioDecoder(audio), head + data, 64)
        except AudioError:
            continue
        assert all(np.isfinite(samples).all() for samples in channels.values())


@pytest.mark.parametrize("size", [700, 4_096, 1 << 20])
async def test_what_came_before_a_sample_that_is_none_is_heard_however_it_comes(size: int) -> None:
    samples = np.concatenate([TONE, np.array([np.nan], np.float32), TONE])
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    data, decoder, heard = content.getvalue(), AudioDecoder(AudioFormat("container")), list[Samples]()

    async def push_all() -> None:
        for start in range(0, len(data), size):
            async for step in decoder.decode(data[start : start + size]):
                heard.append(step[0])

    with pytest.raises(AudioError, match="frame 8000 is not a finite number"):
        await push_all()
    np.testing.assert_array_equal(np.concatenate(heard), TONE)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]),
    encoding=st.sampled_from(["linear16", "mulaw"]),
    channels=st.integers(1, 2),
    named=st.booleans(),
    came=st.integers(0, 30_000),
    wanted=st.integers(0, 12_000),
)
async def test_fewer_bytes_than_it_says_never_make_so_many_samples(
    rate: int, encoding: Literal["linear16", "mulaw"], channels: int, named: bool, came: int, wanted: int
) -> None:
    decoder = AudioDecoder(AudioFormat(encoding, rate, channels, separate=named))
    channel = 0 if named else None
    async for _ in decoder.decode(bytes(came), channel):
        pass
    more = decoder.bytes_before(wanted)
    parts = [part async for part in decoder.decode(bytes(more), channel)]
    assert sum(len(part.get(0, ())) for part in parts) < max(wanted, 1)
    assert more >= (wanted - 2_100) * rate // SAMPLE_RATE - 2, "it says more than nothing"


async def test_of_coded_audio_and_of_floats_nobody_can_say() -> None:
    for encoding in ("opus", "container", "float32"):
        assert AudioDecoder(AudioFormat(encoding)).bytes_before(10_000) == 0
    detecting = AudioDecoder(AudioFormat(detect=True))
    assert detecting.bytes_before(10_000) == 0, "it may be a container"
    async for _ in detecting.decode(bytes(64)):
        pass
    assert detecting.bytes_before(10_000) > 0
