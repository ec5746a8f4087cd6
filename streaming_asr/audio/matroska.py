"""Audio packets out of WebM and Matroska streams, as a browser's MediaRecorder sends them."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Final

from streaming_asr.audio.demuxing import ByteFeed, Parser, Track, flac_track, opus_track
from streaming_asr.errors import AudioError

# Element numbers. Source: RFC 9559, section 5.
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_TRACK: Final = 0xAE
_NUMBER: Final = 0xD7
_TYPE: Final = 0x83
_CODEC: Final = 0x86
_SETUP: Final = 0x63A2
_ENCODINGS: Final = 0x6D80
_AUDIO: Final = 0xE1
_RATE: Final = 0xB5
_CHANNELS: Final = 0x9F
_BITS: Final = 0x6264
_SIMPLE_BLOCK: Final = 0xA3
_BLOCK_GROUP: Final = 0xA0
_BLOCK: Final = 0xA1

_CONTAINERS: Final = frozenset({_SEGMENT, _CLUSTER, _BLOCK_GROUP})
"""Elements whose content is read as it comes; only these may leave their length open."""

_AUDIO_TYPE: Final = 2
_CODECS: Final[Mapping[str, str]] = {
    "A_OPUS": "opus",
    "A_VORBIS": "vorbis",
    "A_FLAC": "flac",
    "A_MPEG/L3": "mp3",
    "A_AAC": "aac",
}
_PCM: Final[Mapping[tuple[str, int], str]] = {
    ("A_PCM/INT/LIT", 16): "pcm_s16le",
    ("A_PCM/INT/LIT", 24): "pcm_s24le",
    ("A_PCM/INT/LIT", 32): "pcm_s32le",
    ("A_PCM/FLOAT/IEEE", 32): "pcm_f32le",
    ("A_PCM/FLOAT/IEEE", 64): "pcm_f64le",
}


def demux_matroska(feed: ByteFeed) -> Parser:
    """A WebM or Matroska stream: its first audio track, from clusters of known or open length.

    Packets follow each other without regard to their time stamps: a recorder that paused leaves no gap.
    """
    number: int | None = None
    while True:
        element = yield from _read_element(feed)
        length = yield from _read_length(feed)
        if element in _CONTAINERS:
            continue
        if length is None:
            raise AudioError(f"the WebM stream is damaged: element {element:#x} states no length")
        if element == _TRACKS:
            number, track = _first_audio((yield from feed.take(length)))
            yield track
        elif element in (_SIMPLE_BLOCK, _BLOCK):
            block = yield from feed.take(length)
            if number is None:
                raise AudioError("the WebM stream has audio before it says which; send it from its beginning")
            yield from block_packets(block, number)
        else:
            yield from feed.skip(length)


def _read_element(feed: ByteFeed) -> Generator[None, None, int]:
    """An element's number, whose marker bit belongs to it. Source: RFC 8794, section 5."""
    first = yield from feed.peek(1)
    size = 9 - first[0].bit_length()
    if size > 4:
        raise AudioError(f"the WebM stream is damaged: an element begins with the byte {first[0]:#04x}")
    return int.from_bytes((yield from feed.take(size)), "big")


def _read_length(feed: ByteFeed) -> Generator[None, None, int | None]:
    """An element's length, None if it is left open. Source: RFC 8794, sections 4 and 6."""
    first = yield from feed.peek(1)
    size = 9 - first[0].bit_length()
    if size > 8:
        raise AudioError("the WebM stream is damaged: a length begins with a zero byte")
    return _length((yield from feed.take(size)))


def _length(data: bytes) -> int | None:
    ones = (1 << 7 * len(data)) - 1
    length = int.from_bytes(data, "big") & ones
    return None if length == ones else length


def _children(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements inside an element that is there as a whole."""
    at = 0
    while at < len(data):
        size = 9 - data[at].bit_length()
        element = int.from_bytes(data[at : at + size], "big")
        at += size
        size = 9 - data[at].bit_length() if at < len(data) else 9
        length = _length(data[at : at + size]) if size < 9 else None
        at += size
        if length is None or at + length > len(data):
            raise AudioError(f"the WebM header is damaged in element {element:#x}")
        yield element, data[at : at + length]
        at += length


def _first_audio(tracks: bytes) -> tuple[int, Track]:
    """Number and description of the first audio track."""
    for element, entry in _children(tracks):
        fields = dict(_children(entry)) if element == _TRACK else {}
        if int.from_bytes(fields.get(_TYPE, b""), "big") == _AUDIO_TYPE:
            return int.from_bytes(fields.get(_NUMBER, b""), "big"), _track(fields)
    raise AudioError("the WebM stream has no audio track")


def _track(fields: Mapping[int, bytes]) -> Track:
    name = fields.get(_CODEC, b"").rstrip(b"\0").decode("ascii", "replace")
    if _ENCODINGS in fields:
        raise AudioError(f"the WebM stream's {name} track is compressed or encrypted once more; send it plainly")
    setup, audio = fields.get(_SETUP, b""), dict(_children(fields.get(_AUDIO, b"")))
    channels = int.from_bytes(audio.get(_CHANNELS, b"\1"), "big")
    pcm = _PCM.get((name, int.from_bytes(audio.get(_BITS, b""), "big")))
    match _CODECS.get(name, pcm):
        case None:
            known = ", ".join(dict.fromkeys([*_CODECS, *(codec for codec, _ in _PCM)]))
            raise AudioError(f"the WebM stream's audio is {name!r}; it must be one of {known}")
        case "opus" if len(setup) >= 19:
            return opus_track("WebM", setup)
        case "flac":
            # "fLaC" and a block's header stand before the description that every FLAC stream has.
            return flac_track("WebM", setup[8:42])
        case codec:
            return Track("WebM", codec, round(_real(audio.get(_RATE, b""))), channels, setup)


def _real(data: bytes) -> float:
    """A floating-point element of 4 or 8 bytes; 8000 Hz is what a missing rate means."""
    match len(data):
        case 4:
            return float(struct.unpack(">f", data)[0])
        case 8:
            return float(struct.unpack(">d", data)[0])
        case _:
            return 8000.0


def block_packets(block: bytes, number: int) -> list[bytes]:
    """The packets of a block, laced or not; none if it belongs to another track. Source: RFC 9559, section 10."""
    size = 9 - block[0].bit_length() if block else 9
    if len(block) < size + 3:
        raise AudioError(f"the WebM stream is damaged: a block has {len(block)} bytes")
    if _length(block[:size]) != number:
        return []
    lacing, content = block[size + 2] >> 1 & 3, block[size + 3 :]
    if lacing == 0:
        return [content]
    try:
        return _unlaced(content, lacing)
    except (IndexError, ValueError) as error:
        raise AudioError("the WebM stream is damaged: the packets of a block are longer than itself") from error


def _unlaced(content: bytes, lacing: int) -> list[bytes]:
    count, at = content[0] + 1, 1
    match lacing:
        case 1:
            lengths, at = _xiph_lengths(content, count, at)
        case 3:
            lengths, at = _ebml_lengths(content, count, at)
        case _:
            lengths = [(len(content) - at) // count] * (count - 1)
    ends = [*accumulate(lengths, initial=at), len(content)]
    if any(stop < start for start, stop in pairwise(ends)):
        raise ValueError(lengths)
    return [content[start:stop] for start, stop in pairwise(ends)]


def _xiph_lengths(content: bytes, count: int, at: int) -> tuple[list[int], int]:
    lengths = []
    for _ in range(count - 1):
        length = 0
        while content[at] == 255:
            length, at = length + 255, at + 1
        lengths.append(length + content[at])
        at += 1
    return lengths, at


def _ebml_lengths(content: bytes, count: int, at: int) -> tuple[list[int], int]:
    """The first length as such, each further one as its difference to the one before, with an offset for the sign."""
    lengths: list[int] = []
    for index in range(count - 1):
        size = 9 - content[at].bit_length()
        value = int.from_bytes(content[at : at + size], "big") & (1 << 7 * size) - 1
        lengths.append(value if index == 0 else lengths[-1] + value - ((1 << 7 * size - 1) - 1))
        at += size
    return lengths, at
