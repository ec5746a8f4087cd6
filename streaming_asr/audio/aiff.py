"""AIFF files with samples that are not coded, as recorders write them, also those that were killed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streaming_asr.audio.demuxing import ByteFeed, Parser, Track, chunk_audio
from streaming_asr.errors import AudioError

_CHUNKS: Final = (b"COMM", b"MARK", b"INST", b"COMT", b"NAME", b"AUTH", b"ANNO", b"(c) ", b"ID3 ", b"APPL", b"FORM")
"""What can stand behind the audio."""
_SAMPLES: Final[Mapping[int, str]] = {1: "pcm_s8", 2: "pcm_s16be", 3: "pcm_s24be", 4: "pcm_s32be"}
"""By bytes per sample."""
_COMPRESSIONS: Final[Mapping[bytes, str]] = {
    b"raw ": "pcm_u8",
    b"fl32": "pcm_f32be",
    b"FL32": "pcm_f32be",
    b"fl64": "pcm_f64be",
    b"FL64": "pcm_f64be",
    b"ulaw": "pcm_mulaw",
    b"ULAW": "pcm_mulaw",
    b"alaw": "pcm_alaw",
    b"ALAW": "pcm_alaw",
}
_BIG: Final = (b"", b"NONE", b"twos", b"in24", b"in32")
_LONGEST_LENGTH: Final = 0x7FFF_0000
"""A live writer cannot know the length: it states 0, or about the largest number it has."""


def demux_aiff(feed: ByteFeed) -> Parser:
    """An AIFF or AIFF-C file, whatever its lengths say. Source: Apple, Audio Interchange File Format 1.3."""
    track: Track | None = None
    end = _form_end(feed, (yield from feed.take(12)))
    while True:
        head = yield from feed.take(8)
        kind, length = head[:4], int.from_bytes(head[4:], "big")
        match kind:
            case b"FORM":
                end = _form_end(feed, head + (yield from feed.take(4)))
                continue
            case b"COMM":
                track = _track((yield from feed.take(length)))
            case b"SSND":
                if track is None:
                    raise AudioError("the AIFF file has audio before it says which; 'COMM' must come before 'SSND'")
                offset = int.from_bytes((yield from feed.take(8))[:4], "big")
                yield from feed.skip(offset)
                length = length - 8 - offset if 8 + offset < length < _LONGEST_LENGTH else 0
                yield from chunk_audio(feed, track, length, end, _CHUNKS)
                continue
            case _:
                yield from feed.skip(length)
        yield from feed.skip(length % 2)


def _form_end(feed: ByteFeed, head: bytes) -> int:
    """Where the file ends as it says itself, in bytes of the stream, whose header was taken just now."""
    if head[8:] not in (b"AIFF", b"AIFC"):
        raise AudioError(f"the IFF file is of the kind {head[8:]!r}; it must be b'AIFF'")
    return feed.taken - 4 + int.from_bytes(head[4:8], "big")


def _track(head: bytes) -> Track:
    if len(head) < 18:
        raise AudioError(f"the 'COMM' chunk of the AIFF file has {len(head)} bytes; it must have at least 18")
    channels, bits, compression = int.from_bytes(head[:2], "big"), int.from_bytes(head[6:8], "big"), head[18:22]
    size = -(-bits // 8)
    if compression in _BIG:
        codec = _SAMPLES.get(size)
    elif compression == b"sowt":
        codec = _SAMPLES.get(size, "").replace("be", "le") or None
    else:
        codec = _COMPRESSIONS.get(compression)
    if codec is None:
        raise AudioError(
            f"the AIFF file has samples of {bits} bits, {compression!r}; it must be PCM, float, mu-law or A-law"
        )
    size = 1 if compression.lower() in (b"ulaw", b"alaw") else size
    rate = _extended(head[8:18])
    return Track("AIFF", codec, rate, channels, bytes_per_second=rate * channels * size)


def _extended(data: bytes) -> int:
    """A number of 80 bits: 15 of exponent, 64 of mantissa; 0 for what is no rate."""
    exponent, mantissa = int.from_bytes(data[:2], "big") - 16_383, int.from_bytes(data[2:], "big")
    return mantissa >> 63 - exponent if 0 <= exponent < 31 else 0
