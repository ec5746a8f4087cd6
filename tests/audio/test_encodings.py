"""PcmDecoder: any cut of any encoding gives the same frames, and what is no raw audio is refused."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.encodings import (
    BYTES_PER_SAMPLE,
    ENCODINGS,
    Encoding,
    Frames,
    PcmDecoder,
    alaw_table,
    container_name,
    mulaw_table,
)
from streaming_asr.errors import AudioError, OptionError, StreamClosedError

encodings = st.sampled_from(ENCODINGS)


def decoded(pieces: Sequence[bytes], encoding: Encoding, channels: int) -> Frames:
    decoder = PcmDecoder(encoding, channels)
    return np.concatenate([*(decoder.push(piece) for piece in pieces), decoder.finish()])


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    ends = np.cumsum([0, *sizes]).tolist()
    return [*(data[start:stop] for start, stop in pairwise(ends)), data[ends[-1] :]]


def encoded(encoding: Encoding, samples: int, seed: int) -> bytes:
    random = np.random.default_rng(seed)
    if encoding == "float32":
        return random.uniform(-1, 1, samples).astype("<f4").tobytes()
    return random.integers(0, 256, samples * BYTES_PER_SAMPLE[encoding], np.uint8).tobytes()


@settings(max_examples=50, deadline=None)
@given(encodings, st.integers(1, 5), st.integers(0, 60), st.integers(0, 99), st.lists(st.integers(0, 13), max_size=30))
def test_any_cut_gives_what_one_push_gives(
    encoding: Encoding, channels: int, samples: int, seed: int, sizes: list[int]
) -> None:
    data = encoded(encoding, samples, seed)
    whole = decoded([data], encoding, channels)
    assert whole.shape == (samples // channels, channels)
    assert np.array_equal(decoded(cut(data, sizes), encoding, channels), whole)


@pytest.mark.parametrize(
    ("encoding", "data", "values"),
    [
        ("linear16", b"\x00\x80\xff\x7f\x00\x40", [-1.0, 32767 / 32768, 0.5]),
        ("float32", np.array([-1.0, 0.25], "<f4").tobytes(), [-1.0, 0.25]),
        ("mulaw", b"\x00\x80\x7f\xff\x8f", [-32124 / 32768, 32124 / 32768, 0.0, 0.0, 16764 / 32768]),
        ("alaw", b"\x2a\xaa\x55\xd5\x80", [-32256 / 32768, 32256 / 32768, -8 / 32768, 8 / 32768, 5504 / 32768]),
    ],
)
def test_encodings_have_the_values_of_their_standards(encoding: Encoding, data: bytes, values: list[float]) -> None:
    assert decoded([data], encoding, 1)[:, 0].tolist() == values


@pytest.mark.parametrize(("subtype", "table"), [("ULAW", mulaw_table()), ("ALAW", alaw_table())])
def test_companding_tables_agree_with_libsndfile(subtype: str, table: npt.NDArray[np.float32]) -> None:
    soundfile = pytest.importorskip("soundfile")
    codes = io.BytesIO(bytes(range(256)))
    values, _ = soundfile.read(codes, dtype="float32", format="RAW", subtype=subtype, samplerate=8000, channels=1)
    assert np.array_equal(values, table)


def test_a_frame_split_across_packets_is_put_together() -> None:
    decoder = PcmDecoder("linear16", 2)
    data = np.arange(8, dtype="<i2").reshape(4, 2)
    decoder.push(data[:2].tobytes())
    assert len(decoder.push(data[2:].tobytes()[:3])) == 0
    assert (decoder.push(data[2:].tobytes()[3:]) * 32768).tolist() == [[4, 5], [6, 7]]


def test_an_unfinished_last_frame_is_dropped_and_counted() -> None:
    decoder = PcmDecoder("linear16", 2)
    frames = decoder.push(b"\1\0\2\0" + b"\3\0\4")
    assert len(frames) == 1
    assert decoder.finish().shape == (0, 2)
    assert decoder.dropped_bytes == 3


def test_fewer_bytes_than_a_header_are_audio_at_finish() -> None:
    decoder = PcmDecoder("mulaw")
    assert len(decoder.push(b"Og")) == 0
    assert len(decoder.finish()) == 2


def test_arrays_are_taken_as_they_are() -> None:
    assert PcmDecoder().push(np.array([0.5, -0.5], np.float32)).tolist() == [[0.5], [-0.5]]
    assert PcmDecoder("mulaw").push(np.array([16384], np.int16)).tolist() == [[0.5]]
    assert PcmDecoder(channels=2).push(np.zeros((3, 2), np.int16)).shape == (3, 2)


def test_a_decoded_array_is_a_copy() -> None:
    source = np.zeros(2, np.float32)
    frames = PcmDecoder().push(source)
    source[:] = 1
    assert not frames.any()


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros(3, np.float64), "array of float64; it must be int16 or float32"),
        (np.zeros(3, np.int32), "array of int32"),
        (np.zeros((3, 2), np.int16), r"shape \(3, 2\); this stream takes \(samples,\)"),
        (np.zeros((2, 1, 3), np.int16), r"shape \(2, 1, 3\)"),
        (np.array([0, np.nan], np.float32), "frame 1 of this piece is not a finite number"),
        (np.array([np.inf], np.float32), "frame 0 of this piece is not a finite number"),
        (np.array([32000], np.float32), "reach 32000; full scale is 1.0"),
    ],
)
def test_wrong_arrays_are_refused_with_a_sentence(array: npt.NDArray[np.float32], sentence: str) -> None:
    with pytest.raises(AudioError, match=sentence):
        PcmDecoder().push(array)


def test_two_channels_need_two_columns() -> None:
    with pytest.raises(AudioError, match=r"shape \(4,\); this stream takes \(samples, 2\)"):
        PcmDecoder(channels=2).push(np.zeros(4, np.int16))


def test_something_else_than_audio_is_refused() -> None:
    with pytest.raises(AudioError, match="audio is list; it must be bytes or a numpy array"):
        PcmDecoder().push([0.0])  # type: ignore[arg-type]


def test_nan_bytes_are_refused_and_the_decoder_goes_on() -> None:
    decoder = PcmDecoder("float32")
    decoder.push(b"\0\0")
    with pytest.raises(AudioError, match="not a finite number"):
        decoder.push(b"\0\0" + np.array([np.nan], "<f4").tobytes())
    assert len(decoder.push(b"\0\0")) == 1


def test_bytes_need_a_declared_encoding() -> None:
    with pytest.raises(AudioError, match="no encoding was declared"):
        PcmDecoder().push(b"\0\0")


def test_an_array_does_not_fit_into_an_unfinished_frame() -> None:
    decoder = PcmDecoder("linear16")
    decoder.push(b"\0\0\0\0\0")
    with pytest.raises(AudioError, match="1 bytes of an unfinished frame wait"):
        decoder.push(np.zeros(1, np.int16))


HEADERS = [b"RIFF\x24\0\0\0WAVE", b"fLaC\0\0\0\x22", b"OggS\0\2", b"\x1a\x45\xdf\xa3\x9f", b"ID3\x04\0\0", b"FORM\0\0"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("cut_at", [0, 1, 3])
def test_a_container_in_raw_audio_is_named(encoding: Encoding, header: bytes, cut_at: int) -> None:
    decoder = PcmDecoder(encoding)
    assert len(decoder.push(header[:cut_at])) == 0
    with pytest.raises(AudioError, match=f"it is {container_name(header)}, but raw {encoding} was declared"):
        decoder.push(header[cut_at:])


def test_a_header_inside_the_audio_is_audio() -> None:
    decoder = PcmDecoder("mulaw")
    decoder.push(b"\xff\xff\xff\xff")
    assert len(decoder.push(b"RIFF")) == 4


@pytest.mark.parametrize(("encoding", "channels"), [("opus", 1), ("linear16", 0), ("linear16", 257)])
def test_bad_options_are_refused(encoding: Encoding, channels: int) -> None:
    with pytest.raises(OptionError, match="it must be"):
        PcmDecoder(encoding, channels)


def test_no_audio_after_the_end() -> None:
    decoder = PcmDecoder("mulaw")
    decoder.finish()
    assert len(decoder.finish()) == 0
    with pytest.raises(StreamClosedError):
        decoder.push(b"\0")


def test_the_module_needs_numpy_alone() -> None:
    heavy = "torch, soxr, soundfile, av, webrtcvad, sounddevice"
    program = (
        "import sys, streaming_asr.audio.encodings; "
        f"sys.exit(any(module in sys.modules for module in '{heavy}'.split(', ')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
