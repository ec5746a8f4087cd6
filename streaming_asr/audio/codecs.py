"""The packets of a track into frames: FFmpeg's codecs, and samples that need none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np

from streaming_asr.audio.demuxing import Track
from streaming_asr.audio.encodings import (
    INT16_FULL_SCALE,
    Block,
    Encoding,
    Frames,
    PcmDecoder,
    PcmPiece,
    bad_frame,
    what_is_bad,
)
from streaming_asr.audio.flac import frames_of
from streaming_asr.audio.resampling import HIGHEST_RATE, LOWEST_RATE
from streaming_asr.audio.samples import Samples
from streaming_asr.errors import AudioError, MissingExtraError, OptionError

_OPUS_RATE: Final = 48_000

MOST_CODED_CHANNELS: Final = 7
"""PyAV looks for a frame's planes up to a null pointer, which FFmpeg does not put behind eight or more of them."""

_LONGEST_PACKETS: Final[Mapping[str, int]] = {"aac": 8_192, "mp3": 4_096, "opus": 61_440}
"""Bytes that one packet can have, rounded up: an ADTS frame, an MP3 frame without a fixed rate, 48 Opus frames
(RFC 6716, section 3.2). A longer packet is many frames, which FFmpeg would decode all at once."""


class Codec(Protocol):
    """Pieces of a track in, blocks of bounded length out. `damaged` counts packets that could not be decoded."""

    damaged: int
    damaged_in_a_row: int

    def decode(self, piece: bytes, /) -> Iterator[Block]: ...
    def finish(self) -> Iterator[Block]: ...


def open_codec(track: Track, most_channels: int) -> Codec:
    """The decoder for a track.

    Raises:
        AudioError: it has more channels than are taken.
        MissingExtraError: PyAV is needed and not installed.
    """
    if track.channels > most_channels:
        raise AudioError(f"the stream has {track.channels} channels; at most {most_channels} are taken")
    return _open_pcm(track) if track.codec.startswith("pcm_") else AvCodec(track, most_channels)


def _open_pcm(track: Track) -> PcmCodec:
    if not track.channels or not LOWEST_RATE <= track.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"the stream has {track.channels} channels at {track.sample_rate} Hz; it must have at least 1, and be from "
            f"{LOWEST_RATE} to {HIGHEST_RATE} Hz"
        )
    return PcmCodec(track)


_RAW: Final[Mapping[str, Encoding]] = {
    "pcm_s16le": "linear16",
    "pcm_f32le": "float32",
    "pcm_mulaw": "mulaw",
    "pcm_alaw": "alaw",
}


class PcmCodec:
    """Samples as they are; what `PcmDecoder` does not read is brought to float32 first."""

    def __init__(self, track: Track) -> None:
        self.damaged = self.damaged_in_a_row = 0
        name = track.codec.removesuffix("be") + "le" if track.codec.endswith("be") else track.codec
        self._swapped: Final = _SAMPLE_BYTES[name] if name != track.codec else 0
        self._name: Final = name
        self._wide: Final = _WIDE.get(name)
        self._rate: Final = track.sample_rate
        self._decoder: Final = PcmDecoder(_RAW.get(name, "float32"), track.channels, checked=False)
        self._pending = b""
        self._frames = 0

    def decode(self, piece: bytes, /) -> Iterator[Block]:
        """The frames that the bytes complete, up to one that is no audio; raises AudioError there."""
        data = self._pending + piece
        whole = len(data) - len(data) % (self._wide or self._swapped or 1)
        data, self._pending = data[:whole], data[whole:]
        if self._swapped:
            data = np.frombuffer(data, np.uint8).reshape(-1, self._swapped)[:, ::-1].tobytes()
        samples = data if self._wide is None else _narrowed(data, self._name).tobytes()
        yield from self._checked(self._decoder.push(samples))

    def finish(self) -> Iterator[Block]:
        """What was held back."""
        yield from self._checked(self._decoder.finish())

    def _checked(self, frames: Frames) -> Iterator[Block]:
        bad = bad_frame(frames)
        yield Block(frames[:bad], self._rate)
        if bad is not None:
            raise AudioError(what_is_bad(frames[bad : bad + 1], f"frame {self._frames + bad}"))
        self._frames += len(frames)


_WIDE: Final[Mapping[str, int]] = {"pcm_u8": 1, "pcm_s8": 1, "pcm_s24le": 3, "pcm_s32le": 4, "pcm_f64le": 8}
"""Bytes of the samples that are brought to float32 here."""
_SAMPLE_BYTES: Final[Mapping[str, int]] = {"pcm_s16le": 2, "pcm_f32le": 4, **_WIDE}
"""Of the samples whose bytes can come in the other order."""


def _narrowed(data: bytes, name: str) -> Samples:
    """Samples of one of the codecs above as float32, shape (samples,)."""
    match name:
        case "pcm_u8":
            return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
        case "pcm_s8":
            return np.frombuffer(data, np.int8).astype(np.float32) / np.float32(128)
        case "pcm_s24le":
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return _full_scale(padded.reshape(-1).view("<i4"))
        case "pcm_s32le":
            return _full_scale(np.frombuffer(data, "<i4"))
        case _:
            # What float32 cannot hold becomes infinite, and is refused with its frame.
            with np.errstate(over="ignore", invalid="ignore"):
                return np.frombuffer(data, "<f8").astype(np.float32)


def _full_scale(integers: np.ndarray[Any, np.dtype[np.int32]]) -> Samples:
    return (integers / 2.0**31).astype(np.float32)


class AvCodec:
    """A codec of FFmpeg's, without any of its files and streams around it."""

    def __init__(self, track: Track, most_channels: int) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingExtraError(f"{track.codec} audio", "recognizer") from error
        self.damaged = self.damaged_in_a_row = 0
        self._av: Final[Any] = av
        self._track: Final = track
        self._longest: Final = _LONGEST_PACKETS.get(track.codec)
        self._codec: Final[Any] = _codec_context(av, track.codec)
        if track.codec in ("mp1", "mp2", "mp3"):
            # Their decoders learn the rate with the first frame, but need it before.
            self._codec.sample_rate = track.sample_rate
        if track.setup:
            self._codec.extradata = track.setup
        self._most_channels: Final = min(most_channels, MOST_CODED_CHANNELS)

    def decode(self, piece: bytes, /) -> Iterator[Block]:
        """The frames that are ready; a packet that cannot be decoded is left out and counted."""
        for packet in self._packets(piece):
            yield from self._decoded(packet)

    def finish(self) -> Iterator[Block]:
        """What the codec holds back."""
        yield from self._decoded(None)

    def _packets(self, piece: bytes) -> Iterator[Any]:
        if self._longest is not None and len(piece) > self._longest:
            self._count_damage()
            return
        try:
            for packet in frames_of(piece) if self._track.codec == "flac" else [piece]:
                yield _packet(self._av, packet)
        except AudioError:
            self._count_damage()

    def _decoded(self, packet: Any) -> Iterator[Block]:
        try:
            frames = self._codec.decode(packet)
        except self._av.error.EOFError:
            return
        except self._av.error.FFmpegError:
            self._count_damage()
            return
        self.damaged_in_a_row = 0
        for frame in frames:
            channels = frame.layout.nb_channels
            if channels > self._most_channels:
                raise AudioError(f"the stream has {channels} channels; at most {self._most_channels} can be decoded")
            # Damaged packets decode into anything; it must not end the stream as raw audio of that kind would.
            yield Block(np.clip(np.nan_to_num(as_frames(frame)), -1.0, 1.0), frame.sample_rate)

    def _count_damage(self) -> None:
        self.damaged += 1
        self.damaged_in_a_row += 1


def _codec_context(av: Any, codec: str) -> Any:
    context = av.CodecContext.create(codec, "r")
    context.thread_count = 1
    # Without checksums, damaged FLAC frames become noise.
    context.options = {"err_detect": "crccheck+explode"} if codec == "flac" else {}
    return context


def _packet(av: Any, data: bytes | bytearray | memoryview) -> Any:
    """A packet with zeros behind it, which a decoder may read where its bytes are damaged.

    Behind the bytes that PyAV is given for a packet lies whatever memory holds, which the samples then hang on. Source:
    FFmpeg, `AV_INPUT_BUFFER_PADDING_SIZE`.
    """
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


class OpusPackets:
    """Bare Opus packets, one in each piece, decoded at 48 kHz. Source: RFC 6716."""

    whole: Final = True
    track: Final = None
    dropped_bytes: Final = 0
    damaged_packets: Final = 0

    def __init__(self, channels: int) -> None:
        if not 1 <= channels <= 2:
            raise OptionError(f"channels is {channels}; Opus packets hold 1 or 2")
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("Opus", "recognizer") from error
        self._av: Final[Any] = av
        self._codec: Final[Any] = _codec_context(av, "opus")
        self._codec.sample_rate = _OPUS_RATE
        self._codec.layout = "mono" if channels == 1 else "stereo"

    def push(self, piece: PcmPiece, /) -> Iterator[Block]:
        """The audio of one packet; raises AudioError if it is none, and the next packet can be pushed all the same."""
        if isinstance(piece, np.ndarray):
            raise AudioError("audio is an array; this stream takes Opus packets")
        if len(piece) > _LONGEST_PACKETS["opus"]:
            raise AudioError(f"an Opus packet has {len(piece)} bytes; {_LONGEST_PACKETS['opus']} is the most")
        try:
            frames = self._codec.decode(_packet(self._av, piece))
        except self._av.error.FFmpegError as error:
            raise AudioError(f"a message of {len(piece)} bytes is not an Opus packet") from error
        for frame in frames:
            yield Block(as_frames(frame), _OPUS_RATE)

    def finish(self) -> Iterator[Block]:
        """Nothing: every packet was decoded when it came."""
        return iter(())


def as_frames(frame: Any) -> Frames:
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
