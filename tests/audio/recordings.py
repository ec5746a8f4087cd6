"""Recordings of tones, whole and with the faults that recordings in the field have."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.samples import SAMPLE_RATE, Samples

FIRST, SECOND = 440, 660
"""Hz of the tones that the two halves of a recording are."""


def tone(hertz: int, seconds: float, rate: int = SAMPLE_RATE) -> Samples:
    """A tone, shape (samples,)."""
    return np.asarray(0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), np.float32)


def spans(heard: Frames) -> list[tuple[int, float, float]]:
    """Each tone that is heard, with the seconds from where to where; exact to 0.05 s."""
    window = SAMPLE_RATE // 20
    found: list[tuple[int, float, float]] = []
    for index in range(len(heard) // window):
        spectrum = np.abs(np.fft.rfft(heard[index * window : (index + 1) * window, 0])) / window * 2
        hertz = int(spectrum.argmax()) * 20
        if spectrum.max() < 0.05 or hertz not in (FIRST, SECOND):
            continue
        if found and found[-1][0] == hertz and index * 0.05 - found[-1][2] < 0.12:
            found[-1] = (hertz, found[-1][1], (index + 1) * 0.05)
        else:
            found.append((hertz, index * 0.05, (index + 1) * 0.05))
    return found


def wav(
    samples: Samples,
    *,
    riff_size: int | None = None,
    data_size: int | None = None,
    before: bytes = b"",
    rate: int = SAMPLE_RATE,
) -> bytes:
    """A WAV file whose sizes may be wrong, with chunks in front of its audio."""
    data = (samples * 32767).astype("<i2").tobytes()
    size = len(data) if data_size is None else data_size
    described = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVEfmt " + described + before + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) if riff_size is None else riff_size) + body


def described_wav(kind: int, bits: int, data: bytes, *, frame_bytes: int = 0, more: bytes = b"") -> bytes:
    """A mono WAV file whose 'fmt ' chunk says what it is told to."""
    size = frame_bytes or bits // 8
    described = struct.pack("<HHIIHH", kind, 1, SAMPLE_RATE, SAMPLE_RATE * size, size, bits) + more
    body = b"WAVEfmt " + struct.pack("<I", len(described)) + described + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def integers(samples: Samples, bits: int, of: int) -> bytes:
    """Little-endian integers of `of` bits, of which the highest `bits` count."""
    values = np.asarray(samples.astype(np.float64) * (2**31 - 1), "<i4") & np.int32(-(1 << 32 - bits))
    return values.view(np.uint8).reshape(-1, 4)[:, 4 - of // 8 :].tobytes()


def coded(
    pieces: Sequence[Samples | float],
    container: str,
    codec: str,
    *,
    rate: int = 48_000,
    layout: str = "mono",
    video_seconds: float = 0,
    tracks: Sequence[tuple[str, bool]] = (("und", True),),
    options: dict[str, str] | None = None,
) -> bytes:
    """A file of pieces at `rate`; numbers among them are holes in the timeline, in seconds.

    `options` are FFmpeg's of the container. Of several tracks, (language, whether it is the default), each has the
    pieces that stand at its own number.
    """
    av = pytest.importorskip("av")
    content = io.BytesIO()
    with av.open(content, "w", format=container, options=options or {}) as file:
        packets: list[Any] = _video_packets(file, video_seconds) if video_seconds else []
        streams = [file.add_stream(codec, rate=rate, layout=layout) for _ in tracks]
        for stream, (language, default) in zip(streams, tracks, strict=True):
            stream.metadata["language"] = language
            stream.disposition = av.stream.Disposition.default if default else av.stream.Disposition(0)
        for number, stream in enumerate(streams):
            packets += _audio_packets(stream, pieces if len(tracks) == 1 else pieces[number : number + 1])
        for packet in sorted(packets, key=lambda packet: packet.pts * packet.time_base):
            file.mux(packet)
    return content.getvalue()


def _video_packets(file: Any, seconds: float) -> list[Any]:
    import av

    stream = file.add_stream("mpeg4", rate=5)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    packets: list[Any] = []
    for number in range(round(seconds * 5)):
        picture = av.VideoFrame(64, 64, "yuv420p")
        picture.pts, picture.time_base = number, Fraction(1, 5)
        packets += stream.encode(picture)
    return [*packets, *stream.encode(None)]


def _audio_packets(stream: Any, pieces: Sequence[Samples | float]) -> list[Any]:
    import av

    context = stream.codec_context
    step = 960 if context.name == "libopus" else 1024
    packets: list[Any] = []
    place = 0
    for piece in pieces:
        if not isinstance(piece, np.ndarray):
            place += round(piece * context.rate)
            continue
        for begin in range(0, len(piece), step):
            part = np.zeros(step, np.float32)
            part[: len(piece[begin : begin + step])] = piece[begin : begin + step]
            packed = np.repeat(part, context.layout.nb_channels)[None]
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=context.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = context.rate, place, Fraction(1, context.rate)
            place += step
            packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def index_first(movie: bytes) -> bytes:
    """An MP4 file with its index in front of its audio, as for streaming."""
    boxes, at = {}, 0
    while at < len(movie):
        size = int.from_bytes(movie[at : at + 4], "big")
        boxes[movie[at + 4 : at + 8]] = movie[at : at + size]
        at += size
    index = bytearray(boxes.pop(b"moov"))
    place = index.index(b"stco")
    for number in range(int.from_bytes(index[place + 8 : place + 12], "big")):
        field = slice(place + 12 + 4 * number, place + 16 + 4 * number)
        index[field] = (int.from_bytes(index[field], "big") + len(index)).to_bytes(4, "big")
    return boxes.pop(b"ftyp") + bytes(index) + b"".join(boxes.values())
