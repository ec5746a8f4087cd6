"""Audio packets out of WAV, Ogg, WebM, FLAC, MP3, AAC and AIFF streams, from bytes that arrive in any pieces.

A parser is a generator that reads its bytes from a `ByteFeed`, yields what it finds, and yields None whenever the bytes
have run out: it reads like a parser of a file, needs no thread, and cannot tell where its input was cut. FFmpeg's own
demuxers want to pull their bytes, and to look at seconds of them, before they give the first packet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from streaming_asr.errors import AudioError

LONGEST_READ: Final = 1 << 20
"""Bytes; a header or packet that claims to be longer is refused."""

PIECE_BYTES: Final = 4096
"""The most bytes of audio that are handed on at once where the stream is not cut into packets."""


class EndOfBytesError(Exception):
    """The input ended where a parser wanted more."""


@dataclass(frozen=True, slots=True)
class Track:
    """What the following pieces are.

    Attributes:
        container: what the file is called.
        codec: FFmpeg's name of the codec.
        sample_rate: frames per second; 0 where the packets tell.
        channels: channels; 0 where the packets tell.
        setup: what FFmpeg calls extradata.
        seconds: length that the header states; None if it states none.
        bytes_per_second: of audio that is not coded; 0 for other.
    """

    container: str
    codec: str
    sample_rate: int = 0
    channels: int = 0
    setup: bytes = b""
    seconds: float | None = None
    bytes_per_second: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """Bytes of a damaged stream that were passed over."""

    count: int


Parser: TypeAlias = Generator[Track | bytes | Skipped | None, None, None]
"""Yields tracks and their pieces, and what was passed over; None where it wants more bytes."""
Wait: TypeAlias = Generator[None, None, None]


class ByteFeed:
    """Bytes between the one who has them and the parser that wants them."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ended = False
        self.taken = 0
        """Bytes that the parser has done with."""

    def push(self, data: bytes) -> None:
        """Add bytes."""
        self._bytes += data

    def end(self) -> None:
        """Say that no more bytes will come."""
        self._ended = True

    def peek(self, count: int) -> Generator[None, None, bytes]:
        """The next `count` bytes, which stay where they are; raises EndOfBytesError if there never will be so many."""
        if count > LONGEST_READ:
            raise AudioError(f"a part of the stream claims {count} bytes; at most {LONGEST_READ} are taken")
        while len(self._bytes) < count:
            if self._ended:
                raise EndOfBytesError
            yield
        return bytes(self._bytes[:count])

    def take(self, count: int) -> Generator[None, None, bytes]:
        """The next `count` bytes; raises EndOfBytesError if there never will be so many."""
        data = yield from self.peek(count)
        del self._bytes[:count]
        self.taken += count
        return data

    def some(self, most: int = PIECE_BYTES) -> Generator[None, None, bytes]:
        """What is there, at least one byte and at most `most`; raises EndOfBytesError if nothing ever will be."""
        yield from self.peek(1)
        return (yield from self.take(min(len(self._bytes), most, LONGEST_READ)))

    def find(self, mark: bytes, start: int, count: int) -> Generator[None, None, int]:
        """Where `mark` stands, from `start` on, with `count` bytes from there on unless the input ended.

        Raises:
            EndOfBytesError: there never will be one.
        """
        while True:
            at = self._bytes.find(mark, start)
            if at >= 0 and (self._ended or at + count <= len(self._bytes)):
                return at
            if self._ended:
                raise EndOfBytesError
            if len(self._bytes) > LONGEST_READ + count and at != 0:
                raise AudioError(f"the stream is damaged: a part of it has over {LONGEST_READ} bytes")
            start = at if at >= 0 else max(start, len(self._bytes) - len(mark) + 1)
            yield

    def after(self, start: int, most: int) -> bytes:
        """What is there from `start` on, at most `most` bytes, which stay where they are."""
        return bytes(self._bytes[start : start + most])

    def rest(self) -> bytes:
        """All that is there."""
        rest = bytes(self._bytes)
        self._bytes.clear()
        self.taken += len(rest)
        return rest

    def skip(self, count: int) -> Wait:
        """Pass over bytes without keeping them."""
        while count:
            count -= len((yield from self.some(count)))


def flac_track(container: str, stream_info: bytes) -> Track:
    """What the 34 bytes say that stand at the head of every FLAC stream. Source: RFC 9639, section 8.2."""
    if len(stream_info) != 34:
        raise AudioError(f"the FLAC header describes the stream in {len(stream_info)} bytes; it must be 34")
    rate_and_channels = int.from_bytes(stream_info[10:13], "big")
    channels = (rate_and_channels >> 1 & 7) + 1
    return Track(container, "flac", rate_and_channels >> 4, channels, stream_info)


_WAV_CODECS: Final[Mapping[tuple[int, int], str]] = {
    (1, 1): "pcm_u8",
    (1, 2): "pcm_s16",
    (1, 3): "pcm_s24",
    (1, 4): "pcm_s32",
    (3, 4): "pcm_f32",
    (3, 8): "pcm_f64",
    (6, 1): "pcm_alaw",
    (7, 1): "pcm_mulaw",
}
"""By format and bytes per sample; the names of wider samples go on with their byte order."""
_EXTENSIBLE: Final = 0xFFFE
_WAV_CHUNKS: Final = (
    b"fmt ",
    b"data",
    b"LIST",
    b"id3 ",
    b"ID3 ",
    b"bext",
    b"cue ",
    b"smpl",
    b"fact",
    b"JUNK",
    b"PEAK",
    b"iXML",
    b"_PMX",
    b"cart",
    b"inst",
    b"afsp",
    b"DISP",
    b"PAD ",
    b"RIFF",
)


def demux_wav(feed: ByteFeed) -> Parser:
    """A RIFF WAVE file, also one whose lengths are wrong because it was written while being recorded.

    Audio goes on behind the length that the header states, unless a chunk, or another file, begins there. All numbers
    of RIFX, and its samples, have their bytes in the other order.
    """
    track: Track | None = None
    head = yield from feed.take(12)
    order: ByteOrder = "big" if head[:4] == b"RIFX" else "little"
    end = _riff_end(feed, head, order)
    long_length = 0
    while True:
        chunk = yield from feed.take(8)
        kind, length = chunk[:4], int.from_bytes(chunk[4:], order)
        if kind == b"RIFF":
            end = _riff_end(feed, chunk + (yield from feed.take(4)), order)
            continue
        if kind == b"data":
            if track is None:
                raise AudioError("the WAV file has audio before it says which; a 'fmt ' chunk must come before 'data'")
            length = long_length if length == _UNKNOWN_LENGTH else length
            known = 0 < length < _LONGEST_LENGTH or length > _UNKNOWN_LENGTH
            yield from chunk_audio(feed, track, length if known else 0, end, _WAV_CHUNKS)
            long_length = 0
            continue
        if kind == b"fmt ":
            track = _wav_track((yield from feed.take(length)), order)
        elif kind == b"ds64":
            long_length = int.from_bytes((yield from feed.take(length))[8:16], "little")
        else:
            yield from feed.skip(length)
        yield from _skip_padding(feed, length)


def _skip_padding(feed: ByteFeed, length: int) -> Wait:
    """Behind a chunk of odd length there is a byte more, which some programs forget."""
    if length % 2 and (yield from feed.peek(4)) not in _WAV_CHUNKS:
        yield from feed.skip(1)


_UNKNOWN_LENGTH: Final = 0xFFFF_FFFF
"""What a header states whose true length stands in a chunk before, or nowhere."""
_LONGEST_LENGTH: Final = 0x7FFF_0000
"""A live writer cannot know the length: it states 0, or about the largest number it has."""


ByteOrder: TypeAlias = Literal["little", "big"]


def _riff_end(feed: ByteFeed, head: bytes, order: ByteOrder) -> int:
    """Where a file ends as it says itself, in bytes of the stream, whose header was taken just now."""
    if head[8:] != b"WAVE":
        raise AudioError(f"the RIFF file is of the kind {head[8:]!r}; it must be b'WAVE'")
    return feed.taken - 4 + int.from_bytes(head[4:8], order)


def chunk_audio(feed: ByteFeed, track: Track, length: int, end: int, chunks: Collection[bytes]) -> Parser:
    """The track and its audio, up to the chunk behind it, or to the end of the bytes.

    Args:
        length: bytes of audio as the header states it; 0 if that is not known.
        end: where the file ends as it says itself, in bytes of the stream.
        chunks: names of what can stand behind the audio.
    """
    yield replace(track, seconds=length / track.bytes_per_second) if length and track.bytes_per_second else track
    left = length
    while left:
        piece = yield from feed.some(min(left, PIECE_BYTES))
        left -= len(piece)
        yield piece
    if length and (yield from _chunk_follows(feed, length % 2, end, chunks)):
        return
    while True:
        yield (yield from feed.some())


def _chunk_follows(feed: ByteFeed, padding: int, end: int, chunks: Collection[bytes]) -> Generator[None, None, bool]:
    """Whether a chunk's name stands behind the audio; the padding in front of it is taken then.

    A name that is not known here counts where the file, as it says itself, does not end yet.
    """
    for skipped in (padding, 0) if padding else (0,):
        name = (yield from feed.peek(4 + skipped))[skipped:]
        if name in chunks or (feed.taken + skipped + 8 <= end and re.fullmatch(rb"[A-Za-z][ -~]{3}", name)):
            yield from feed.skip(skipped)
            return True
    return False


def _wav_track(head: bytes, order: ByteOrder) -> Track:
    """What a 'fmt ' chunk says; the oldest of them leave out how many bits of a sample count."""
    if len(head) < 14:
        raise AudioError(f"the 'fmt ' chunk of the WAV file has {len(head)} bytes; it must have at least 14")

    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(head[at : at + size], order)

    kind, channels, rate, frame_bytes, bits = number(0), number(2), number(4, 4), number(12), number(14)
    if kind == _EXTENSIBLE:
        kind = number(24) if len(head) >= 26 else 1
    # Samples of 20 bits fill 24, and some of 24 fill 32: bytes count, from the highest on.
    size = frame_bytes // channels if channels and frame_bytes * 8 >= bits * channels else -(-bits // 8)
    codec = _WAV_CODECS.get((kind, size))
    if codec is None:
        raise AudioError(f"the WAV file has format {kind} with {bits} bits; it must be PCM, float, mu-law or A-law")
    codec += order[0] + "e" if size > 1 else ""
    return Track("WAV", codec, rate, channels, bytes_per_second=rate * channels * size)


def demux_ogg(feed: ByteFeed) -> Parser:
    """An Ogg stream: the first audio stream in it, and those chained behind its end. Source: RFC 3533, section 6."""
    serial, unfinished, begun = b"", b"", False
    packets: _OggPackets | None = None
    while True:
        if (yield from feed.peek(4)) != b"OggS":
            place = yield from feed.find(b"OggS", 1, 4)
            yield from feed.skip(place)
            yield Skipped(place)
        head = yield from feed.take(27)
        lacing = yield from feed.take(head[26])
        body = yield from feed.take(sum(lacing))
        continued, begins, ends = (bool(head[5] & flag) for flag in (1, 2, 4))
        track = _ogg_track(body) if begins and not serial else None
        if track is not None:
            serial, packets, unfinished = head[14:18], _OggPackets(track), b""
        begun = begun or begins
        if packets is None and not begins:
            reason = (
                "has no audio that is known here; it must be Opus, Vorbis or FLAC" if begun else "lacks its beginning"
            )
            raise AudioError(f"the Ogg stream {reason}")
        if packets is not None and head[14:18] == serial:
            unfinished = yield from _ogg_page(lacing, body, unfinished if continued else b"", packets)
            serial = b"" if ends else serial


def _ogg_page(
    lacing: bytes, body: bytes, unfinished: bytes, packets: _OggPackets
) -> Generator[Track | bytes, None, bytes]:
    """Hand on the packets that end on a page; returns what has begun. A length of 255 says: it goes on."""
    at = 0
    for length in lacing:
        unfinished += body[at : at + length]
        at += length
        if length < 255:
            yield from packets.take(unfinished)
            unfinished = b""
    if len(unfinished) > LONGEST_READ:
        raise AudioError(f"an Ogg packet has over {LONGEST_READ} bytes; no audio packet is so long")
    return unfinished


def _ogg_track(first_packet: bytes) -> Track | None:
    """The track that an Ogg stream's first packet announces; None if it is not audio that is known here."""
    if first_packet.startswith(b"OpusHead") and len(first_packet) >= 19:
        return opus_track("Ogg", first_packet)
    if first_packet.startswith(b"\x01vorbis") and len(first_packet) >= 30:
        return Track("Ogg", "vorbis", int.from_bytes(first_packet[12:16], "little"), first_packet[11])
    if first_packet.startswith(b"\x7fFLAC") and len(first_packet) >= 51:
        return flac_track("Ogg", first_packet[17:51])
    return None


def opus_track(container: str, head: bytes) -> Track:
    """Opus always decodes at 48 kHz; FFmpeg takes the run-in off, whose length the head states (RFC 7845, 5.1)."""
    return Track(container, "opus", 48_000, head[9], head)


class _OggPackets:
    """Tells the header packets of an Ogg stream from its audio, and announces the track in front of the audio."""

    def __init__(self, track: Track) -> None:
        self._track: Final = track
        self._headers: list[bytes] = []
        self._in_audio = False

    def take(self, packet: bytes) -> Iterator[Track | bytes]:
        """Take in the next packet of the stream."""
        if not self._in_audio and self._is_header(packet):
            # FLAC's further headers are pictures and names, in any number.
            if self._track.codec != "flac":
                self._headers.append(packet)
            return
        if not self._in_audio:
            self._in_audio = True
            vorbis = self._track.codec == "vorbis"
            yield replace(self._track, setup=xiph_laced(self._headers)) if vorbis else self._track
        yield packet

    def _is_header(self, packet: bytes) -> bool:
        match self._track.codec:
            case "opus":
                return len(self._headers) < 2
            case "vorbis":
                return len(self._headers) < 3
            case _:
                # FLAC need not say how many headers there are, but only audio begins with a frame's sync code.
                return not packet.startswith(b"\xff")


def xiph_laced(packets: list[bytes]) -> bytes:
    """Packets in one: their number less one, the lengths of all but the last in bytes of up to 255, then themselves."""
    lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets[:-1])
    return bytes([len(packets) - 1]) + lengths + b"".join(packets)
