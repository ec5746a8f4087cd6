"""FLAC streams and packets, cut into frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from streaming_asr.audio.demuxing import ByteFeed, EndOfBytesError, Parser, flac_track
from streaming_asr.errors import AudioError

_LONGEST_FRAME_HEADER: Final = 16


def demux_flac(feed: ByteFeed) -> Parser:
    """A FLAC stream: metadata blocks, the first of which describes the audio, then frames. Source: RFC 9639."""
    yield from feed.skip(4)
    setup, last = b"", False
    while not last:
        head = yield from feed.take(4)
        last, kind, length = bool(head[0] & 0x80), head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if kind == 0:
            setup = yield from feed.take(length)
        else:
            yield from feed.skip(length)
    yield flac_track("FLAC", setup)
    yield from _frames(feed)


def frames_of(packet: bytes) -> Iterator[bytes]:
    """The frames of one packet: there should be one, but FFmpeg decodes as many at once as there are.

    Raises:
        AudioError: the packet does not begin with a frame.
    """
    feed = ByteFeed()
    feed.push(packet)
    feed.end()
    try:
        for frame in _frames(feed):
            assert isinstance(frame, bytes), "all bytes of the packet are there"
            yield frame
    except EndOfBytesError:
        return


def _frames(feed: ByteFeed) -> Parser:
    """Frames, each known to end where a sound header stands behind it.

    That header has the successor's number, or all before it has a frame's checksum: a frame's own samples can look
    like a header.
    """
    following: int | None = None
    at = checked = checksum = 0
    try:
        while True:
            at = yield from feed.find(b"\xff", at, _LONGEST_FRAME_HEADER)
            header = _frame_header(feed.after(at, _LONGEST_FRAME_HEADER))
            if following is None and (at or header is None):
                raise AudioError("the FLAC stream is damaged: no frame begins behind its header")
            if header is not None and following not in (None, header[0]):
                checksum, checked = _crc16(feed.after(checked, at - checked), checksum), at
            if header is not None and (following in (None, header[0]) or checksum == 0):
                if at:
                    yield (yield from feed.take(at))
                following, at, checked, checksum = header[1], 0, 0, 0
            at += 1
    except EndOfBytesError:
        if following is not None:
            yield feed.rest()
        raise


def _frame_header(data: bytes) -> tuple[int, int] | None:
    """A frame's number and that of the frame behind it, None if this is no header. Source: RFC 9639, section 9.1.

    Frames are counted where all are of one length, else their samples are.
    """
    if len(data) < 6 or data[0] != 0xFF or data[1] & 0xFE != 0xF8:
        return None
    size = max(1, 8 - (data[4] ^ 0xFF).bit_length())
    block, rate = data[2] >> 4, data[2] & 15
    extra = 4 + size
    at = extra + {6: 1, 7: 2}.get(block, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if size > 7 or at >= len(data) or _crc8(data[:at]) != data[at]:
        return None
    number = data[4] & (0x7F if size == 1 else 0xFF >> size + 1)
    for byte in data[5:extra]:
        number = number << 6 | byte & 0x3F
    return number, number + (_block_size(block, data[extra:at]) if data[1] & 1 else 1)


def _block_size(code: int, extra: bytes) -> int:
    """Samples in a frame, from its code or the bytes that the code refers to. Source: RFC 9639, section 9.1.1."""
    match code:
        case 1:
            return 192
        case 6:
            return extra[0] + 1
        case 7:
            return int.from_bytes(extra[:2], "big") + 1
        case _:
            return 144 << code if code < 6 else 1 << code


def _crc8(data: bytes) -> int:
    """The checksum of a frame's header: polynomial x^8 + x^2 + x + 1, from 0."""
    remainder = 0
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x107 if remainder & 0x80 else 0)) & 0xFF
    return remainder


@cache
def _crc16_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        remainder = byte << 8
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x18005 if remainder & 0x8000 else 0)) & 0xFFFF
        table.append(remainder)
    return tuple(table)


def _crc16(data: bytes, remainder: int) -> int:
    """The checksum of a frame: polynomial x^16 + x^15 + x^2 + 1, from 0; 0 over a frame with its checksum."""
    table = _crc16_table()
    for byte in data:
        remainder = (remainder << 8 & 0xFF00) ^ table[remainder >> 8 ^ byte]
    return remainder
