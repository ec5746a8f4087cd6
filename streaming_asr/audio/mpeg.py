"""MP3 and AAC streams, which are frames one behind the other, cut into these frames.

FFmpeg's own parser of MP3 sets the decoder's sample rate as it looks at bytes, before the frame that they belong to is
decoded: behind damage, what comes out depends on how the bytes came.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from streaming_asr.audio.demuxing import PIECE_BYTES, ByteFeed, EndOfBytesError, Parser, Skipped, Track, Wait

HEADER_BYTES: Final = 7
"""So many bytes tell how long a frame is."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """How long a frame is, with its header, and what it belongs to."""

    length: int
    track: Track


ReadHeader: TypeAlias = Callable[[bytes], FrameHeader | None]

_FIRST_KBITS: Final[Mapping[int, tuple[int, ...]]] = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
"""Bit rates of MPEG-1 by layer."""
_LOW_KBITS: Final[Mapping[int, tuple[int, ...]]] = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of MPEG-2 and 2.5, whose sample rates are a half and a quarter."""
_RATES: Final = (44_100, 48_000, 32_000)
_ADTS_RATES: Final = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)


def mp3_header(data: bytes) -> FrameHeader | None:
    """The header of a frame of layer I, II or III, None if none begins here. Source: ISO/IEC 11172-3, 2.4.1.3."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer, bits, rate = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3), data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    first = version == 3
    hertz = _RATES[rate] >> (0 if first else 1 if version == 2 else 2)
    kbits = (_FIRST_KBITS if first else _LOW_KBITS)[layer][bits - 1]
    padding = data[2] >> 1 & 1
    if layer == 1:
        length = (12_000 * kbits // hertz + padding) * 4
    else:
        length = (144_000 if first or layer == 2 else 72_000) * kbits // hertz + padding
    return FrameHeader(length, Track("MP3", f"mp{layer}", hertz))


def adts_header(data: bytes) -> FrameHeader | None:
    """The header of an ADTS frame of AAC, None if none begins here. Source: ISO/IEC 13818-7, 6.2."""
    if len(data) < HEADER_BYTES or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return None
    rate, length = data[2] >> 2 & 15, (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    if rate >= len(_ADTS_RATES) or length <= HEADER_BYTES:
        return None
    return FrameHeader(length, Track("AAC (ADTS)", "aac", _ADTS_RATES[rate]))


def demux_frames(feed: ByteFeed, header_of: ReadHeader) -> Parser:
    """Frames, and a track in front of the first one and wherever the sample rate changes; tags are passed over.

    A frame that follows another of its track is taken as it comes. The first one, one of another track and one behind
    damage must have a frame of its own track behind it: a frame's content can look like a header.
    """
    track: Track | None = None
    while True:
        yield from skip_tags(feed)
        header = yield from _next_header(feed, header_of, track)
        if header.track != track:
            track = header.track
            yield track
        try:
            yield (yield from feed.take(header.length))
        except EndOfBytesError:
            # The decoder counts it as damaged, or makes something of it.
            yield feed.rest()
            raise


def _next_header(
    feed: ByteFeed, header_of: ReadHeader, track: Track | None
) -> Generator[Skipped | None, None, FrameHeader]:
    """The header of the next frame, which the feed is brought to."""
    passed = 0
    try:
        while True:
            header = header_of((yield from feed.peek(HEADER_BYTES)))
            if header is not None and passed == 0 and header.track == track:
                return header
            if header is not None and (yield from _is_followed(feed, header, header_of)):
                break
            there = feed.after(0, PIECE_BYTES)
            step = there.find(b"\xff", 1) if b"\xff" in there[1:] else len(there)
            yield from feed.skip(step)
            passed += step
    except EndOfBytesError:
        if passed:
            yield Skipped(passed + len(feed.rest()))
        raise
    if passed:
        yield Skipped(passed)
    return header


def _is_followed(feed: ByteFeed, header: FrameHeader, header_of: ReadHeader) -> Generator[None, None, bool]:
    """Whether a frame has another of its track behind it, or is the last bytes there are."""
    try:
        behind = (yield from feed.peek(header.length + HEADER_BYTES))[header.length :]
    except EndOfBytesError:
        return len(feed.after(0, header.length)) == header.length
    following = header_of(behind)
    return following is not None and following.track == header.track


_TAG_BYTES: Final = 128


def skip_tags(feed: ByteFeed) -> Wait:
    """Pass over names and pictures in front of the audio, and between recordings that were put together.

    The length of an ID3v2 tag is four times seven bits. Source: id3.org, ID3v2.4.0, section 3.1.
    """
    while (start := (yield from feed.peek(3))) in (b"ID3", b"TAG"):
        if start == b"TAG":
            yield from feed.skip(_TAG_BYTES)
            continue
        head = yield from feed.take(10)
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        yield from feed.skip(length + (10 if head[5] & 0x10 else 0))
