"""AudioInput with containers: files that arrive in pieces, cut anywhere, cut off, damaged or made to harm."""

from __future__ import annotations

import io
import re
import struct
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.containers import AudioLimits
from streaming_asr.audio.flac import frames_of
from streaming_asr.audio.input import LONGEST_PIECE, AudioInput
from streaming_asr.audio.mpeg import mp3_header
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import AudioError, OptionError, StreamClosedError

RATE = 48_000
SECONDS = 1.0

LIVE = {"live": "1"}
"""Makes FFmpeg write WebM as a browser's MediaRecorder does: without lengths."""
SHORT_PAGES = {"page_duration": "100000"}
"""Makes FFmpeg write Ogg in pages of 100 ms, not of a second."""

FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    "browser": ("webm", "libopus", LIVE),
    "webm": ("webm", "libopus", {}),
    "matroska-flac": ("matroska", "flac", {}),
    "matroska-pcm": ("matroska", "pcm_s16le", {}),
    "ogg-opus": ("ogg", "libopus", SHORT_PAGES),
    "ogg-flac": ("ogg", "flac", SHORT_PAGES),
    "flac": ("flac", "flac", {}),
    "mp3": ("mp3", "libmp3lame", {}),
    "adts": ("adts", "aac", {}),
    "wav-16": ("wav", "pcm_s16le", {}),
    "wav-24": ("wav", "pcm_s24le", {}),
    "wav-32": ("wav", "pcm_s32le", {}),
    "wav-8": ("wav", "pcm_u8", {}),
    "wav-float": ("wav", "pcm_f32le", {}),
    "wav-double": ("wav", "pcm_f64le", {}),
    "wav-mulaw": ("wav", "pcm_mulaw", {}),
    "wav-alaw": ("wav", "pcm_alaw", {}),
    "aiff-24": ("aiff", "pcm_s24be", {}),
    "aiff-double": ("aiff", "pcm_f64be", {}),
}
names = pytest.mark.parametrize("name", [*FORMATS, "ogg-vorbis"])


def sweep(rate: int) -> Samples:
    """A tone that rises, so that a shift in time cannot hide."""
    time = np.arange(round(rate * SECONDS)) / rate
    return np.asarray(0.3 * np.sin(2 * np.pi * (200 + 800 * time) * time), np.float32)


@cache
def made(name: str) -> bytes:
    """A file with the sweep in both of its channels."""
    stereo = np.stack([sweep(RATE)] * 2, axis=1)
    if name == "ogg-vorbis":
        soundfile = pytest.importorskip("soundfile")
        content = io.BytesIO()
        soundfile.write(content, stereo, RATE, format="OGG", subtype="VORBIS")
        return content.getvalue()
    av = pytest.importorskip("av")
    container_format, codec, options = FORMATS[name]
    content = io.BytesIO()
    with av.open(content, "w", format=container_format, options=options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "stereo"
        frame = av.AudioFrame.from_ndarray(stereo.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        sample_format = stream.codec_context.format
        for converted in av.AudioResampler(format=sample_format, layout="stereo", rate=RATE).resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return content.getvalue()


def decoded(data: bytes, sizes: list[int] | None = None) -> Samples:
    decoder = AudioInput(encoding="container")
    pieces, at = [], 0
    for size in sizes or []:
        pieces.append(decoder.push(data[at : at + size]))
        at += size
    return np.concatenate([*pieces, decoder.push(data[at:]), decoder.finish()])


@names
def test_a_file_gives_its_audio_in_its_place(name: str) -> None:
    heard = decoded(made(name))
    assert len(heard) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.07)
    # Encoders of MP3 and AAC put a run-in before the audio that only their whole files tell of.
    latest = 900 if name in ("mp3", "adts") else 2
    wanted = sweep(SAMPLE_RATE)[4000:12000]
    errors = [float(np.abs(heard[4000 + shift : 12000 + shift] - wanted).mean()) for shift in range(-2, latest)]
    assert min(errors) < 0.03


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*FORMATS, "ogg-vorbis"]), st.lists(st.integers(0, 2000), max_size=60))
def test_any_cut_gives_what_one_push_gives(name: str, sizes: list[int]) -> None:
    assert np.array_equal(decoded(made(name), sizes), decoded(made(name)))


@pytest.mark.parametrize("name", ["browser", "ogg-opus", "flac", "mp3", "wav-24"])
def test_byte_by_byte_gives_what_one_push_gives(name: str) -> None:
    start = made(name)[:12000]
    assert np.array_equal(decoded(start, [1] * len(start)), decoded(start))


@pytest.mark.parametrize(
    ("name", "most"), [("browser", 0.25), ("flac", 0.5), ("mp3", 0.25), ("wav-16", 0.2), ("ogg-flac", 0.4)]
)
def test_audio_is_given_as_its_bytes_arrive(name: str, most: float) -> None:
    """Paced evenly, the output trails the input by little; a third of the FLAC file is padding in its header."""
    data, decoder, heard, trail = made(name), AudioInput(encoding="container"), 0, 0.0
    for step in range(1, 101):
        heard += len(decoder.push(data[len(data) * (step - 1) // 100 : len(data) * step // 100]))
        trail = max(trail, step / 100 * SECONDS - heard / SAMPLE_RATE)
    assert trail < most


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "matroska-pcm"])
def test_what_came_before_a_cut_is_heard(name: str) -> None:
    data = made(name)
    heard = decoded(data[: len(data) * 3 // 4])
    assert 0.5 * SECONDS * SAMPLE_RATE <= len(heard) <= SECONDS * SAMPLE_RATE * 1.05


def test_two_recordings_behind_each_other_are_both_heard() -> None:
    for name in ("browser", "ogg-opus"):
        assert len(decoded(made(name) * 2)) == 2 * len(decoded(made(name)))


def test_one_channel_can_be_heard_alone() -> None:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setparams((2, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.array([[16384, 0]] * 10, "<i2").tobytes())
    decoder = AudioInput(encoding="container", channel=1)
    assert decoder.push(content.getvalue()).tolist() == [0.0] * 10


def live_wav(length: int, audio: bytes) -> bytes:
    """A 44-byte header with a length that may be wrong, and audio."""
    described = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 32000, 2, 16)
    return b"RIFF" + struct.pack("<I", length) + b"WAVEfmt " + described + b"data" + struct.pack("<I", length) + audio


@pytest.mark.parametrize("length", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 100])
def test_a_wav_header_written_before_the_recording_does_not_end_it(length: int) -> None:
    audio = np.arange(1000, dtype="<i2").tobytes()
    assert (decoded(live_wav(length, audio)) * 32768).tolist() == list(range(1000))


def test_chunks_behind_the_audio_of_a_wav_file_are_not_audio() -> None:
    audio = np.arange(100, dtype="<i2").tobytes()
    assert len(decoded(live_wav(200, audio) + b"LIST" + struct.pack("<I", 500) + bytes(500))) == 100


def test_a_long_flac_stream_is_divided_into_its_frames() -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = 0.1 * np.random.default_rng(0).standard_normal(40 * SAMPLE_RATE)
    samples[5 * SAMPLE_RATE : 35 * SAMPLE_RATE] = 0
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE, format="FLAC")
    heard = decoded(content.getvalue(), [777] * 300)
    assert np.abs(heard - samples).max() < 1e-4


def test_a_tag_before_the_audio_is_passed_over() -> None:
    tag = b"ID3\x04\0\0" + bytes([0, 0, 8, 0]) + b"\xff\xfb" * 512
    plain = made("mp3")[45:]
    assert plain[:2] == b"\xff\xfb"
    assert np.array_equal(decoded(tag + plain), decoded(plain))


@pytest.mark.parametrize("name", ["browser", "ogg-opus", "flac", "mp3", "adts", "wav-24", "matroska-flac", "ogg-flac"])
def test_damage_is_left_out_or_refused_and_nothing_else_happens(name: str) -> None:
    random = np.random.default_rng(len(name))
    for _ in range(15):
        data = np.frombuffer(made(name), np.uint8).copy()
        places = random.integers(0, random.choice([200, len(data)]), random.choice([1, 5, 50]))
        data[places] = random.integers(0, 256, len(places))
        try:
            heard = decoded(data.tobytes(), random.integers(1, 3000, 20).tolist())
        except AudioError:
            continue
        assert np.isfinite(heard).all()


def test_damaged_packets_are_counted() -> None:
    data = bytearray(made("adts"))
    data[3000:3400] = bytes(400)
    decoder = AudioInput(encoding="container")
    decoder.push(bytes(data))
    decoder.finish()
    assert decoder.damaged_packets > 0


@dataclass(frozen=True)
class Outcome:
    """What comes of a stream, however it ends."""

    samples: Samples
    damaged: int
    error: str

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Outcome) or (self.damaged, self.error) != (other.damaged, other.error):
            return False
        return np.array_equal(self.samples, other.samples)


def outcome(data: bytes, sizes: Sequence[int] = ()) -> Outcome:
    decoder, at, error = AudioInput(encoding="container"), 0, ""
    samples = [np.zeros(0, np.float32)]
    try:
        for size in [*sizes, len(data)]:
            samples.extend(decoder.pieces(data[at : at + size]))
            at += size
        samples.append(decoder.finish())
    except AudioError as refusal:
        error = str(refusal)
    return Outcome(np.concatenate(samples), decoder.damaged_packets, error)


def mp3_frames(data: bytes | bytearray) -> list[int]:
    """Where the frames begin, behind the tag."""
    at, places = 45, []
    while header := mp3_header(bytes(data[at:])):
        places.append(at)
        at += header.length
    return places


damages = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30)
cuts = st.lists(st.integers(1, 3000), max_size=40)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*FORMATS, "ogg-vorbis"]), damages, cuts)
def test_any_cut_of_a_damaged_stream_gives_the_same(
    name: str, damage: list[tuple[float, int]], sizes: list[int]
) -> None:
    data = bytearray(made(name))
    for place, value in damage:
        data[int(place * len(data))] = value
    assert outcome(bytes(data), sizes) == outcome(bytes(data))


@pytest.mark.parametrize(("name", "exponent"), [("aiff-double", 0), ("wav-double", 7)])
def test_a_number_too_large_for_float32_is_refused_behind_what_came_before(name: str, exponent: int) -> None:
    """The last but 500 frames of two channels; the exponent is the first byte of the number, or the last."""
    data = bytearray(made(name))
    data[len(data) - 500 * 2 * 8 + exponent] = 0x7E
    heard = outcome(bytes(data))
    assert heard.error == "frame 47500 is not a finite number; audio must be free of NaN and infinity"
    assert 15_600 < len(heard.samples) < 16_000 - 500 // 3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 38), st.integers(0, 3), st.integers(0, 255), cuts)
def test_any_cut_of_an_mp3_with_a_wrong_header_gives_the_same(
    frame: int, byte: int, value: int, sizes: list[int]
) -> None:
    """FFmpeg's parser lets a frame's sample rate hang on the bytes behind it, so that its length was another."""
    data = bytearray(made("mp3"))
    data[mp3_frames(data)[frame] + byte] = value
    assert outcome(bytes(data), sizes) == outcome(bytes(data))


def test_one_wrong_rate_in_an_mp3_costs_that_frame_only() -> None:
    data = bytearray(made("mp3"))
    data[mp3_frames(data)[20] + 2] ^= 4
    heard = outcome(bytes(data))
    assert heard.damaged == 1
    assert len(heard.samples) == len(decoded(made("mp3"))) - 1152 // 3


@pytest.mark.parametrize("name", ["ogg-opus", "browser", "adts"])
def test_damaged_packets_decode_to_the_same_each_time(name: str) -> None:
    """Decoders of FFmpeg's read on behind a packet that is damaged."""
    random = np.random.default_rng(3)
    for _ in range(20):
        data = np.frombuffer(made(name), np.uint8).copy()
        data[random.integers(300, len(data), 60)] = random.integers(0, 256, 60)
        assert outcome(data.tobytes()) == outcome(data.tobytes())


def test_layers_one_and_two_and_other_rates_are_cut_into_frames() -> None:
    av = pytest.importorskip("av")
    for rate, layer in [(48_000, 2), (22_050, 2), (32_000, 3), (16_000, 3)]:
        content = io.BytesIO()
        with av.open(content, "w", format="mp3" if layer == 3 else "mp2") as container:
            stream = container.add_stream("libmp3lame" if layer == 3 else "mp2", rate=rate, layout="mono")
            wanted = stream.codec_context.format
            frame = av.AudioFrame.from_ndarray(sweep(rate)[None], format="flt", layout="mono")
            frame.sample_rate = rate
            for converted in av.AudioResampler(format=wanted, layout="mono", rate=rate).resample(frame):
                container.mux(stream.encode(converted))
            container.mux(stream.encode(None))
        heard = outcome(content.getvalue())
        assert (heard.damaged, heard.error) == (0, "")
        assert len(heard.samples) / SAMPLE_RATE == pytest.approx(SECONDS, abs=0.15)


def test_mp3_files_one_behind_the_other_are_no_damage() -> None:
    one = made("mp3")
    heard = outcome(one + b"TAG" + bytes(125) + one)
    assert (heard.damaged, len(heard.samples)) == (0, 2 * len(decoded(one)))


def test_what_comes_before_a_number_that_is_none_is_the_same_for_any_cut() -> None:
    data = bytearray(made("wav-float"))
    data[-100_000:-99_996] = struct.pack("<f", float("nan"))
    whole = outcome(bytes(data))
    assert re.fullmatch(r"frame \d+ is not a finite number; .*", whole.error)
    assert outcome(bytes(data), [1000] * 300) == whole


@pytest.mark.parametrize("garbage", [b"\0" * 50, b"hello, this is no audio", b"\xff\x00\xff\x00"])
def test_what_is_no_container_is_named(garbage: bytes) -> None:
    with pytest.raises(AudioError, match=r"the stream begins with .*; it must be WAV, Ogg"):
        AudioInput(encoding="container").push(garbage)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"RIFF\0\0\0\0AVI ", "of the kind b'AVI '"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "audio before it says which"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f", "claims 2147483647 bytes"),
        (b"OggS" + bytes(22) + b"\1\3abc", "lacks its beginning"),
        (b"OggS\0\2" + bytes(20) + b"\1\3abcOggS" + bytes(22) + b"\1\3abc", "no audio that is known here"),
        (b"FORM\0\0\0\x008SVX", "of the kind b'8SVX'"),
        (b"FORM\0\0\0\0AIFFSSND\0\0\0\0", "audio before it says which"),
        (b"OggX", "the stream begins with b'OggX'"),
        (b"\x1a\x45\xdf\xa3\x80\x00", "an element begins with the byte 0x00"),
        (b"\x1a\x45\xdf\xa3\x80\xa3\x81\x81", "audio before it says which"),
        (b"\x1a\x45\xdf\xa3\x80\x16\x54\xae\x6b\x80", "no audio track"),
        (b"fLaC\x80\0\0\x04abcd", "in 4 bytes; it must be 34"),
    ],
)
def test_damaged_headers_are_explained(data: bytes, sentence: str) -> None:
    with pytest.raises(AudioError, match=sentence):
        AudioInput(encoding="container").push(data)


def test_a_stream_that_ends_before_its_audio_is_explained() -> None:
    decoder = AudioInput(encoding="container")
    decoder.push(b"RIFF")
    with pytest.raises(AudioError, match="ended after 4 bytes, before its first audio"):
        decoder.finish()


def test_no_bytes_are_no_error() -> None:
    assert len(AudioInput(encoding="container").finish()) == 0


def test_a_few_bytes_cannot_become_hours() -> None:
    soundfile = pytest.importorskip("soundfile")
    content = io.BytesIO()
    soundfile.write(content, np.zeros(600 * 8000, np.int16), 8000, format="FLAC")
    strict = AudioInput(encoding="container", limits=AudioLimits(free_seconds=10, bytes_per_second=1000))
    with pytest.raises(AudioError, match="a second must take at least 1000 bytes"):
        strict.push(content.getvalue())
    with pytest.raises(StreamClosedError):
        strict.push(b"")


def flac_frame(number: int, block: int = 65_535) -> bytes:
    """Digital silence: one channel of 16 bits at 16 kHz whose only subframe is the constant 0, in 18 bytes."""
    head = b"\xff\xf8\x75\x08" + chr(number).encode() + struct.pack(">H", block - 1)
    head += bytes([crc(head, 8, 0x07)])
    body = head + b"\0\0\0"
    return body + struct.pack(">H", crc(body, 16, 0x8005))


def crc(data: bytes, bits: int, polynomial: int) -> int:
    remainder, mask = 0, (1 << bits) - 1
    for byte in data:
        remainder ^= byte << bits - 8
        for _ in range(8):
            remainder = (remainder << 1 ^ (polynomial if remainder >> bits - 1 else 0)) & mask
    return remainder


def silent_flac(numbers: Sequence[int]) -> bytes:
    """A FLAC file of `flac_frame`s: over 3000 samples per byte."""
    info = struct.pack(">HH", 65_535, 65_535) + bytes(6) + (16_000 << 44 | 15 << 36).to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\0\0\x22" + info + b"".join(map(flac_frame, numbers))


@pytest.mark.parametrize("numbers", [range(1500), [7] * 1500], ids=["in order", "in no order"])
def test_what_was_packed_tightly_comes_out_little_by_little(numbers: Sequence[int]) -> None:
    pieces = AudioInput(encoding="container").pieces(silent_flac(numbers))
    assert max(len(next(pieces)) for _ in range(30)) == LONGEST_PIECE
    with pytest.raises(AudioError, match="a second must take at least 40 bytes"):
        exhaust(pieces, most=250 * SAMPLE_RATE)


def exhaust(pieces: Iterator[Samples], *, most: int) -> None:
    """Take all pieces, which must be small, and of so many samples in all."""
    heard = 0
    for piece in pieces:
        heard += len(piece)
        assert len(piece) <= LONGEST_PIECE
        assert heard <= most


def test_many_frames_in_one_packet_are_not_decoded_at_once() -> None:
    frames = [flac_frame(number % 5, 4096) for number in range(400)]
    packet = b"".join(frames)
    assert list(frames_of(packet)) == frames
    block = b"\xa3" + (0x4000 | len(packet) + 4).to_bytes(2, "big") + b"\x81\0\0\x80" + packet
    audio = AudioInput(encoding="container", limits=AudioLimits(longest_seconds=60))
    with pytest.raises(AudioError, match="longer than 60 s"):
        exhaust(audio.pieces(made("matroska-flac") + block), most=60 * SAMPLE_RATE)


def test_a_stream_holds_no_more_than_it_may() -> None:
    audio = AudioInput(encoding="linear16", limits=AudioLimits(longest_seconds=2))
    audio.push(bytes(2 * 2 * SAMPLE_RATE))
    with pytest.raises(AudioError, match="longer than 2 s; a stream may hold no more"):
        audio.push(bytes(2))


def test_headers_without_end_are_refused() -> None:
    decoder = AudioInput(encoding="container", limits=AudioLimits(header_bytes=1000))
    with pytest.raises(AudioError, match="no audio came in 2012 bytes; at most 1000 may be headers"):
        decoder.push(b"RIFF\0\0\0\0WAVE" + b"JUNK\xff\xff\xff\x7f" + bytes(1992))


def test_too_many_channels_are_refused() -> None:
    data = bytearray(live_wav(0, b""))
    data[22:24] = struct.pack("<H", 65)
    with pytest.raises(AudioError, match="65 channels; at most 64"):
        AudioInput(encoding="container").push(bytes(data))


def test_a_rate_out_of_range_is_refused() -> None:
    data = bytearray(live_wav(0, b""))
    data[24:28] = struct.pack("<I", 1000)
    with pytest.raises(AudioError, match=r"at 1000 Hz; it must .* from 8000"):
        AudioInput(encoding="container").push(bytes(data))


def test_eight_compressed_channels_are_refused_before_they_are_touched() -> None:
    av = pytest.importorskip("av")
    content = io.BytesIO()
    with av.open(content, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE)
        stream.layout = "7.1"
        frame = av.AudioFrame(format=stream.codec_context.format.name, layout="7.1", samples=4608)
        frame.sample_rate, frame.pts = RATE, 0
        for plane in frame.planes[:1]:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(AudioError, match="8 channels; at most 7"):
        decoded(content.getvalue())


def test_a_stream_that_never_decodes_is_given_up() -> None:
    data = made("browser")
    block = b"\xa3\x86\x81\0\0\0\xff\xff"
    decoder = AudioInput(encoding="container", limits=AudioLimits(damaged_packets=10))
    with pytest.raises(AudioError, match="11 packets in a row cannot be decoded"):
        decoder.push(data + block * 20)


@pytest.mark.parametrize("name", ["free_seconds", "bytes_per_second", "header_bytes", "damaged_packets", "channels"])
def test_limits_below_one_are_named(name: str) -> None:
    limits: dict[str, Any] = {name: 0}
    with pytest.raises(OptionError, match=f"{name} is 0; it must be at least 1"):
        AudioLimits(**limits)
