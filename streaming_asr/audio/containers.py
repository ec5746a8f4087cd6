"""Audio in containers that arrive in pieces, as browsers and telephony services send it: bytes in, frames out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streaming_asr.audio.aiff import demux_aiff
from streaming_asr.audio.codecs import Codec, open_codec
from streaming_asr.audio.demuxing import (
    ByteFeed,
    EndOfBytesError,
    Parser,
    Skipped,
    Track,
    demux_ogg,
    demux_wav,
)
from streaming_asr.audio.encodings import Block, PcmPiece
from streaming_asr.audio.flac import demux_flac
from streaming_asr.audio.matroska import demux_matroska
from streaming_asr.audio.mpeg import adts_header, demux_frames, mp3_header, skip_tags
from streaming_asr.errors import AudioError, MissingExtraError, OptionError, StreamClosedError

KNOWN_CONTAINERS: Final = "WAV, Ogg (Opus, Vorbis, FLAC), WebM, FLAC, MP3, AAC (ADTS) or AIFF"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLimits:
    """What a sender may ask for, against streams made to decode into far more than was sent.

    Attributes:
        longest_seconds: audio that a stream may hold; None for any amount.
        free_seconds: seconds of audio that may always be decoded from a container.
        bytes_per_second: for every further second, so many bytes must have come; digital silence in FLAC takes some
            60 at 16 kHz, speech in any codec takes hundreds.
        header_bytes: bytes that may come before the first audio.
        damaged_packets: packets in a row that may fail to decode.
        channels: channels that a stream may have; compressed ones never more than 7.

    Raises:
        OptionError: a value is less than 1.
    """

    longest_seconds: float | None = None
    free_seconds: int = 120
    bytes_per_second: int = 40
    header_bytes: int = 16 << 20
    damaged_packets: int = 100
    channels: int = 64

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name} is {value}; it must be at least 1")


class ContainerDecoder:
    """Turns a stream of WAV, Ogg, WebM, FLAC, MP3, AAC or AIFF into frames, as its bytes come in.

    No thread and no waiting: what can be decoded from the bytes so far is given at once. Output does not depend on how
    the bytes were cut. Memory holds the unfinished packet only. Padding that an encoder added at the very end is not
    taken off.

    Raises:
        MissingExtraError: PyAV is needed (for all but WAV) and not installed; raised when the stream begins.
    """

    whole: Final = False
    dropped_bytes: Final = 0

    def __init__(self, limits: AudioLimits) -> None:
        self.track: Track | None = None
        self._limits: Final = limits
        self._feed: Final = ByteFeed()
        self._parser: Final = _demux(self._feed)
        self._codec: Codec | None = None
        self._damaged_before = 0
        self._received = 0
        self._seconds = 0.0
        self._closed = False
        self._parsed = False

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded and were left out, and places where bytes were passed over."""
        return self._damaged_before + (self._codec.damaged if self._codec else 0)

    def push(self, piece: PcmPiece, /) -> Iterator[Block]:
        """Take in bytes; gives the audio that they complete, to be iterated to its end.

        Raises:
            AudioError: the stream is no container known here, is damaged beyond repair, or exceeds the limits. The
                decoder is closed then.
            StreamClosedError: the decoder was finished or closed.
        """
        if self._closed:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        if isinstance(piece, np.ndarray):
            raise AudioError("audio is an array; this stream takes the bytes of a container")
        self._received += len(piece)
        if not self._parsed:
            self._feed.push(bytes(piece))
            yield from self._blocks()
        if not self._seconds and self._received > self._limits.header_bytes:
            self._refuse(f"no audio came in {self._received} bytes; at most {self._limits.header_bytes} may be headers")

    def finish(self) -> Iterator[Block]:
        """End the input; gives the rest. A packet that was cut off is left out.

        Raises:
            AudioError: bytes came, but the first audio did not.
        """
        if self._closed:
            return
        self._feed.end()
        yield from self._blocks()
        if self.track is None and self._received:
            self._refuse(f"the stream ended after {self._received} bytes, before its first audio")
        yield from self._end_track()
        self.close()

    def close(self) -> None:
        """Free the decoder; what it still holds is lost."""
        self._closed = True
        self._damaged_before, self._codec = self.damaged_packets, None
        self._parser.close()

    def _blocks(self) -> Iterator[Block]:
        """What the parser finds until it has no bytes left."""
        try:
            for found in self._parser:
                if found is None:
                    return
                yield from self._take(found)
            self._parsed = True
        except EndOfBytesError:
            self._parsed = True
        except (AudioError, MissingExtraError):
            self.close()
            raise

    def _take(self, found: Track | bytes | Skipped) -> Iterator[Block]:
        if isinstance(found, Skipped):
            self._damaged_before += 1
        elif isinstance(found, Track):
            yield from self._end_track()
            self._damaged_before = self.damaged_packets
            self._codec = open_codec(found, self._limits.channels)
            self.track = found
        elif self._codec is not None:
            yield from self._counted(self._codec.decode(found))
            if self._codec.damaged_in_a_row > self._limits.damaged_packets:
                raise AudioError(
                    f"{self._codec.damaged_in_a_row} packets in a row cannot be decoded; send the stream whole"
                )

    def _end_track(self) -> Iterator[Block]:
        if self._codec is not None:
            yield from self._counted(self._codec.finish())

    def _counted(self, blocks: Iterator[Block]) -> Iterator[Block]:
        for block in blocks:
            self._seconds += len(block.frames) / (block.sample_rate or 1)
            allowed = self._limits.free_seconds + self._feed.taken / self._limits.bytes_per_second
            if self._seconds > allowed:
                raise AudioError(
                    f"{self._feed.taken} bytes hold over {allowed:.0f} s of audio; a second must take at least "
                    f"{self._limits.bytes_per_second} bytes"
                )
            yield block

    def _refuse(self, sentence: str) -> None:
        self.close()
        raise AudioError(sentence)


def _demux(feed: ByteFeed) -> Parser:
    """Find out what the stream is and give its track, then its pieces."""
    yield from skip_tags(feed)
    start = yield from feed.peek(4)
    match start:
        case b"RIFF" | b"RF64" | b"RIFX":
            yield from demux_wav(feed)
        case b"FORM":
            yield from demux_aiff(feed)
        case b"OggS":
            yield from demux_ogg(feed)
        case b"\x1a\x45\xdf\xa3":
            yield from demux_matroska(feed)
        case b"fLaC":
            yield from demux_flac(feed)
        case _ if start[0] == 0xFF and start[1] & 0xF6 == 0xF0:
            yield from demux_frames(feed, adts_header)
        case _ if start[0] == 0xFF and start[1] & 0xE0 == 0xE0:
            yield from demux_frames(feed, mp3_header)
        case _:
            raise AudioError(f"the stream begins with {start!r}; it must be {KNOWN_CONTAINERS}")
