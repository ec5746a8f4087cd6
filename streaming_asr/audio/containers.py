"""Audio in containers that arrive in pieces, as browsers and telephony services send it: bytes in, samples out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from streaming_asr.audio.demuxing import (
    ByteFeed,
    Emit,
    EndOfBytesError,
    Parser,
    Track,
    demux_flac,
    demux_ogg,
    demux_wav,
    pass_on,
)
from streaming_asr.audio.encodings import INT16_FULL_SCALE, Encoding, Frames, PcmBytes
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.matroska import demux_matroska
from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.errors import AudioError, MissingExtraError, OptionError, StreamClosedError

MOST_CODED_CHANNELS: Final = 7
"""PyAV looks for a frame's planes up to a null pointer, which FFmpeg does not put behind eight or more of them."""

KNOWN_CONTAINERS: Final = "WAV, Ogg (Opus, Vorbis, FLAC), WebM, FLAC, MP3 or AAC (ADTS)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLimits:
    """What a sender may ask for, against streams made to decode into far more than was sent.

    Attributes:
        free_seconds: seconds of audio that may always be decoded.
        bytes_per_second: for every further second, so many bytes must have come; digital silence in FLAC takes some
            60 at 16 kHz, speech in any codec takes hundreds.
        header_bytes: bytes that may come before the first audio.
        damaged_packets: packets in a row that may fail to decode.
        channels: channels that a stream may have; compressed ones never more than `MOST_CODED_CHANNELS`.

    Raises:
        OptionError: a value is less than 1.
    """

    free_seconds: int = 120
    bytes_per_second: int = 40
    header_bytes: int = 16 << 20
    damaged_packets: int = 100
    channels: int = 64

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be at least 1")


class ContainerDecoder:
    """Turns a stream of WAV, Ogg, WebM, FLAC, MP3 or AAC into mono float32 at 16 kHz, as its bytes come in.

    No thread and no waiting: what can be decoded from the bytes so far is given at once. Output does not depend on how
    the bytes were cut. Memory holds the unfinished packet only; a push of n bytes gives at most what `limits` let n
    bytes be, so push big files in pieces. Padding that an encoder added at the very end is not taken off.

    Args:
        channel: the one channel to hear, from 0; None for the mean of all.
        limits: what a stream may ask for.

    Raises:
        MissingExtraError: PyAV is needed (for all but WAV) and not installed; raised when the stream begins.
    """

    def __init__(self, *, channel: int | None = None, limits: ContainerLimits | None = None) -> None:
        self.track: Track | None = None
        self._limits: Final = limits or ContainerLimits()
        self._channel: Final = channel
        self._feed: Final = ByteFeed()
        self._parser: Final = _demux(self._feed, self._take)
        self._codec: _Codec | None = None
        self._output: list[Samples] = []
        self._damaged_before = 0
        self._received = 0
        self._produced = 0
        self._closed = False
        self._parsed = False

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded and were left out."""
        return self._damaged_before + (self._codec.damaged if self._codec else 0)

    def push(self, data: PcmBytes) -> Samples:
        """Take in bytes; returns the audio that they complete, shape (samples,).

        Raises:
            AudioError: the stream is no container known here, is damaged beyond repair, or exceeds the limits. The
                decoder is closed then.
            StreamClosedError: the decoder was finished or closed.
        """
        if self._closed:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        self._received += len(data)
        if not self._parsed:
            self._feed.push(bytes(data))
            self._drive()
        if self._produced == 0 and self._received > self._limits.header_bytes:
            self._refuse(f"no audio came in {self._received} bytes; at most {self._limits.header_bytes} may be headers")
        return self._collected()

    def finish(self) -> Samples:
        """End the input; returns the rest, shape (samples,). A packet that was cut off is left out.

        Raises:
            AudioError: bytes came, but the first audio did not.
        """
        if self._closed:
            return np.empty(0, np.float32)
        self._feed.end()
        self._drive()
        if self.track is None and self._received:
            self._refuse(f"the stream ended after {self._received} bytes, before its first audio")
        self._give(self._codec.finish() if self._codec else None)
        self.close()
        return self._collected()

    def close(self) -> None:
        """Free the decoder; what it still holds is lost."""
        self._closed = True
        self._damaged_before, self._codec = self.damaged_packets, None
        self._parser.close()

    def _drive(self) -> None:
        """Let the parser run until it has no bytes left; it calls `_take` with what it finds."""
        try:
            next(self._parser)
        except (StopIteration, EndOfBytesError):
            self._parsed = True
        except (AudioError, MissingExtraError):
            self.close()
            raise

    def _take(self, found: Track | bytes) -> None:
        if isinstance(found, Track):
            self._give(self._codec.finish() if self._codec else None)
            self._damaged_before, self.track = self.damaged_packets, found
            self._codec = _open_codec(found, self._channel, self._limits.channels)
        elif self._codec is not None:
            for packet in self._codec.packets(found):
                self._give(self._codec.decode(packet))
            if self._codec.damaged_in_a_row > self._limits.damaged_packets:
                raise AudioError(
                    f"{self._codec.damaged_in_a_row} packets in a row cannot be decoded; send the stream whole"
                )

    def _give(self, samples: Samples | None) -> None:
        if samples is None or not len(samples):
            return
        self._produced += len(samples)
        allowed = self._limits.free_seconds + self._received / self._limits.bytes_per_second
        if seconds(self._produced) > allowed:
            raise AudioError(
                f"{self._received} bytes hold over {allowed:.0f} s of audio; a second must take at least "
                f"{self._limits.bytes_per_second} bytes"
            )
        self._output.append(samples)

    def _collected(self) -> Samples:
        collected = _joined(self._output)
        self._output.clear()
        return collected

    def _refuse(self, sentence: str) -> None:
        self.close()
        raise AudioError(sentence)


def _demux(feed: ByteFeed, emit: Emit) -> Parser:
    """Find out what the stream is and emit its track, then its pieces."""
    yield from _skip_id3(feed)
    start = yield from feed.peek(4)
    match start:
        case b"RIFF" | b"RF64":
            yield from demux_wav(feed, emit)
        case b"OggS":
            yield from demux_ogg(feed, emit)
        case b"\x1a\x45\xdf\xa3":
            yield from demux_matroska(feed, emit)
        case b"fLaC":
            yield from demux_flac(feed, emit)
        case _ if start[0] == 0xFF and start[1] & 0xF6 == 0xF0:
            yield from pass_on(feed, emit, Track("AAC (ADTS)", "aac", framed=False))
        case _ if start[0] == 0xFF and start[1] & 0xE0 == 0xE0:
            yield from pass_on(feed, emit, Track("MP3", "mp3", framed=False))
        case _:
            raise AudioError(f"the stream begins with {start!r}; it must be {KNOWN_CONTAINERS}")


def _skip_id3(feed: ByteFeed) -> Parser:
    """Pass over a tag; its length is four times seven bits. Source: id3.org, ID3v2.4.0, section 3.1."""
    if (yield from feed.peek(3)) != b"ID3":
        return
    head = yield from feed.take(10)
    length = 0
    for byte in head[6:]:
        length = length << 7 | byte & 0x7F
    yield from feed.skip(length + (10 if head[5] & 0x10 else 0))


class _Codec(Protocol):
    damaged: int
    damaged_in_a_row: int

    def packets(self, piece: bytes) -> list[Any]: ...
    def decode(self, packet: Any) -> Samples: ...
    def finish(self) -> Samples: ...


_RAW: Final[Mapping[str, Encoding]] = {
    "pcm_s16le": "linear16",
    "pcm_f32le": "float32",
    "pcm_mulaw": "mulaw",
    "pcm_alaw": "alaw",
}


def _open_codec(track: Track, channel: int | None, most_channels: int) -> _Codec:
    if track.channels > most_channels:
        raise AudioError(f"the stream has {track.channels} channels; at most {most_channels} are taken")
    return _PcmCodec(track, channel) if track.codec.startswith("pcm_") else _AvCodec(track, channel, most_channels)


def _open_input(encoding: Encoding | None, sample_rate: int, channels: int, channel: int | None) -> AudioInput:
    try:
        return AudioInput(encoding=encoding, sample_rate=sample_rate, channels=channels, channel=channel)
    except OptionError as error:
        raise AudioError(f"the stream's audio cannot be used: {error}") from error


class _PcmCodec:
    """Samples as they are; what `PcmDecoder` does not read is brought to float32 first."""

    def __init__(self, track: Track, channel: int | None) -> None:
        self.damaged = self.damaged_in_a_row = 0
        self._wide: Final = _WIDE.get(track.codec)
        self._input: Final = _open_input(_RAW.get(track.codec, "float32"), track.sample_rate, track.channels, channel)
        self._pending = b""

    def packets(self, piece: bytes) -> list[bytes]:
        return [piece]

    def decode(self, packet: bytes) -> Samples:
        if self._wide is None:
            return self._input.push(packet)
        data = self._pending + packet
        whole = len(data) - len(data) % self._wide
        self._pending = data[whole:]
        return self._input.push(_narrowed(data[:whole], self._wide).tobytes())

    def finish(self) -> Samples:
        return self._input.finish()


_WIDE: Final[Mapping[str, int]] = {"pcm_u8": 1, "pcm_s24le": 3, "pcm_s32le": 4, "pcm_f64le": 8}
"""Bytes of the samples that are brought to float32 here."""


def _narrowed(data: bytes, size: int) -> Samples:
    """Little-endian samples of 1 (unsigned), 3, 4 (signed) or 8 bytes (float) as float32, shape (samples,)."""
    match size:
        case 1:
            return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
        case 3:
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return _full_scale(padded.reshape(-1).view("<i4"))
        case 4:
            return _full_scale(np.frombuffer(data, "<i4"))
        case _:
            return np.frombuffer(data, "<f8").astype(np.float32)


def _full_scale(integers: np.ndarray[Any, np.dtype[np.int32]]) -> Samples:
    return (integers / 2.0**31).astype(np.float32)


class _AvCodec:
    """A codec of FFmpeg's, without any of its files and streams around it."""

    def __init__(self, track: Track, channel: int | None, most_channels: int) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingExtraError(f"{track.codec} audio", "recognizer") from error
        self.damaged = self.damaged_in_a_row = 0
        self._av: Final[Any] = av
        self._framed: Final = track.framed
        self._codec: Final[Any] = av.CodecContext.create(track.codec, "r")
        self._codec.thread_count = 1
        if track.setup:
            self._codec.extradata = track.setup
        self._channel: Final = channel
        self._most_channels: Final = min(most_channels, MOST_CODED_CHANNELS)
        self._input: AudioInput | None = None

    def packets(self, piece: bytes) -> list[Any]:
        return [self._av.Packet(piece)] if self._framed else list(self._codec.parse(piece))

    def decode(self, packet: Any) -> Samples:
        try:
            frames = self._codec.decode(packet)
        except self._av.error.EOFError:
            return np.empty(0, np.float32)
        except self._av.error.FFmpegError:
            self.damaged += 1
            self.damaged_in_a_row += 1
            return np.empty(0, np.float32)
        self.damaged_in_a_row = 0
        return _joined([self._heard(frame) for frame in frames])

    def finish(self) -> Samples:
        last = [] if self._framed else [self.decode(packet) for packet in self._codec.parse(None)]
        rest = [self._input.finish()] if self._input else []
        return _joined([*last, self.decode(None), *rest])

    def _heard(self, frame: Any) -> Samples:
        channels = frame.layout.nb_channels
        if channels > self._most_channels:
            raise AudioError(f"the stream has {channels} channels; at most {self._most_channels} can be decoded")
        # Damaged packets decode into anything; it must not end the stream as raw audio of that kind would.
        frames = np.clip(np.nan_to_num(_as_frames(frame)), -1.0, 1.0)
        before = np.empty(0, np.float32)
        if self._input is None or (self._input.sample_rate, self._input.channels) != (
            frame.sample_rate,
            frames.shape[1],
        ):
            before = self._input.finish() if self._input else before
            self._input = _open_input(None, frame.sample_rate, frames.shape[1], self._channel)
        return _joined([before, self._input.push(frames)])


def _as_frames(frame: Any) -> Frames:
    """A frame of FFmpeg's, planar or packed, as float32 of shape (frames, channels)."""
    channels = frame.layout.nb_channels
    array = frame.to_ndarray()
    table = array.T if frame.format.is_planar else array.reshape(-1, channels)
    match table.dtype:
        case np.int16:
            return np.asarray(table, np.float32) / np.float32(INT16_FULL_SCALE)
        case np.int32:
            return _full_scale(table)
        case _:
            return np.asarray(table, np.float32)


def _joined(pieces: list[Samples]) -> Samples:
    joined: Samples = np.concatenate([np.empty(0, np.float32), *pieces])
    return joined
