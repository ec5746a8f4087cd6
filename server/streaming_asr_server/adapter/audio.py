"""From what a foreign client sends to what recognition hears: any declared audio to mono float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

from streaming_asr.audio.encodings import HEADER_BYTES, Frames, PcmDecoder, container_name
from streaming_asr.audio.encodings import Encoding as RawEncoding
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.mixing import downmix
from streaming_asr.audio.resampling import Resampler
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import AudioError, MissingExtraError
from streaming_asr_server.adapter.interface import AudioFormat

MAXIMUM_CHANNELS: Final = 8

_OPUS_RATE: Final = 48_000
_LONGEST_OPUS_PACKET: Final = 61_440
"""48 frames of 1275 bytes, with their heads: RFC 6716, section 3.2."""

Heard: TypeAlias = Mapping[int, Samples]
"""Samples at 16 kHz by channel, each of shape (samples,)."""


class Ear(Protocol):
    """Audio in one form, in any pieces, to samples by channel."""

    @property
    def channels(self) -> int | None:
        """How many channels are recognized each for itself; None as long as the audio has not said it."""

    def push(self, piece: bytes) -> Heard:
        """What is complete. Raises AudioError."""

    def flush(self) -> Heard:
        """What is held back, without ending anything, so that no word said before it is missing."""

    def finish(self) -> Heard:
        """The rest. Raises AudioError."""


class FrameEar:
    """Decoded frames at a known rate; at any other than 16 kHz each channel has its resampler."""

    def __init__(self, decoder: FrameDecoder, *, rate: int, channels: int, separate: bool) -> None:
        self.channels: Final = channels if separate else 1
        self._decoder: Final = decoder
        self._rate: Final = rate
        self._separate: Final = separate
        self._resamplers: list[Resampler] = self._fresh()

    def push(self, piece: bytes) -> Heard:
        return self._heard(self._decoder.push(piece))

    def flush(self) -> Heard:
        """At 16 kHz nothing is held back; else the filter ends here, and a fresh one goes on."""
        if self._rate == SAMPLE_RATE:
            return {}
        rests = {number: resampler.finish() for number, resampler in enumerate(self._resamplers)}
        self._resamplers = self._fresh()
        return rests

    def finish(self) -> Heard:
        return joined([self._heard(self._decoder.finish()), self.flush()])

    def _heard(self, frames: Frames) -> Heard:
        if not self._separate:
            return {0: self._resamplers[0].push(downmix(frames))}
        return {
            number: resampler.push(np.ascontiguousarray(frames[:, number]))
            for number, resampler in enumerate(self._resamplers)
        }

    def _fresh(self) -> list[Resampler]:
        return [Resampler(self._rate) for _ in range(self.channels)]


class FileEar:
    """A file in pieces; each channel that is recognized for itself has a decoder of its own."""

    def __init__(self, *, separate: bool) -> None:
        self.channels: int | None = None if separate else 1
        self._decoders = [AudioInput(encoding="container", channel=0 if separate else None)]
        self._head = b""

    def push(self, piece: bytes) -> Heard:
        if self.channels is not None:
            return self._heard(piece)
        self._head += piece
        first = self._decoders[0].push(piece)
        track = self._decoders[0].track
        if track is None:
            return {}
        self.channels = min(max(track.channels, 1), MAXIMUM_CHANNELS)
        others = [AudioInput(encoding="container", channel=number) for number in range(1, self.channels)]
        self._decoders += others
        head, self._head = self._head, b""
        return dict(enumerate([first, *(decoder.push(head) for decoder in others)]))

    def flush(self) -> Heard:
        """Decoders of files hold back a few milliseconds that cannot be had; they come with the next piece."""
        return {}

    def finish(self) -> Heard:
        return {number: decoder.finish() for number, decoder in enumerate(self._decoders)}

    def _heard(self, piece: bytes) -> Heard:
        return {number: decoder.push(piece) for number, decoder in enumerate(self._decoders)}


class RawEar:
    """Bare samples, as declared; or the file that a client sent although it declared them."""

    def __init__(self, audio: AudioFormat, encoding: RawEncoding) -> None:
        decoder = PcmDecoder(encoding, audio.channels)
        self._ear: Ear = FrameEar(decoder, rate=audio.sample_rate, channels=audio.channels, separate=audio.separate)
        self._separate: Final = audio.separate
        self._head: bytes | None = b""

    @property
    def channels(self) -> int | None:
        return self._ear.channels if self._head is None else None

    def push(self, piece: bytes) -> Heard:
        if self._head is None:
            return self._ear.push(piece)
        self._head += piece
        return self._decide() if len(self._head) >= HEADER_BYTES else {}

    def flush(self) -> Heard:
        return joined([self._decide(), self._ear.flush()])

    def finish(self) -> Heard:
        return joined([self._decide(), self._ear.finish()])

    def _decide(self) -> Heard:
        """Look at the first bytes, once, and hear them."""
        head, self._head = self._head, None
        if head is not None and container_name(head) is not None:
            self._ear = FileEar(separate=self._separate)
        return self._ear.push(head) if head else {}


class FrameDecoder(Protocol):
    """Bytes to frames of shape (frames, channels)."""

    def push(self, piece: bytes) -> Frames: ...

    def finish(self) -> Frames: ...


class OpusDecoder:
    """Bare Opus packets, one in each piece, decoded at 48 kHz. Source: RFC 6716."""

    def __init__(self, channels: int) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("Opus", "recognizer") from error
        self._av: Final[Any] = av
        self._channels: Final = channels
        self._decoder: Final[Any] = av.CodecContext.create("opus", "r")
        self._decoder.sample_rate = _OPUS_RATE
        self._decoder.layout = "mono" if channels == 1 else "stereo"

    def push(self, piece: bytes) -> Frames:
        if len(piece) > _LONGEST_OPUS_PACKET:
            raise AudioError(f"an Opus packet has {len(piece)} bytes; {_LONGEST_OPUS_PACKET} is the most")
        try:
            frames = self._decoder.decode(self._av.Packet(piece))
        except self._av.error.FFmpegError as error:
            raise AudioError(f"a message of {len(piece)} bytes is not an Opus packet") from error
        return np.concatenate([self.finish(), *(np.asarray(frame.to_ndarray().T, np.float32) for frame in frames)])

    def finish(self) -> Frames:
        return np.empty((0, self._channels), np.float32)


class Ears:
    """All the audio of one connection.

    Args:
        audio: what the client declared. For a container the channels are those of the file.

    Pieces are of all channels, or of the one that is named with them.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self._audio: Final = audio
        self._ears: dict[int | None, Ear] = {}

    @property
    def channels(self) -> int | None:
        """How many channels are recognized each for itself; None as long as the audio has not said it."""
        if None in self._ears:
            return self._ears[None].channels
        return self._audio.channels if self._ears else None

    def push(self, piece: bytes, channel: int | None = None) -> Heard:
        """Raises AudioError: the piece is not the audio that was declared."""
        if channel not in self._ears:
            self._ears[channel] = open_ear(self._audio, named=channel is not None)
        return _named(self._ears[channel].push(piece), channel)

    def flush(self) -> Heard:
        """What is held back, in all channels."""
        return joined(_named(ear.flush(), channel) for channel, ear in self._ears.items())

    def finish(self) -> Heard:
        """The rest. Raises AudioError."""
        return joined(_named(ear.finish(), channel) for channel, ear in self._ears.items())


def open_ear(audio: AudioFormat, *, named: bool = False) -> Ear:
    """The ear for declared audio; with `named`, for one channel of it that comes in messages of its own."""
    channels, separate = (1, False) if named else (audio.channels, audio.separate)
    match audio.encoding:
        case "container":
            return FileEar(separate=separate)
        case "opus":
            channels = min(channels, 2)
            return FrameEar(OpusDecoder(channels), rate=_OPUS_RATE, channels=channels, separate=separate)
        case encoding:
            return RawEar(AudioFormat(encoding, audio.sample_rate, channels, separate), encoding)


def joined(pieces: Iterable[Heard]) -> Heard:
    """Pieces behind each other, channel by channel."""
    together: dict[int, list[Samples]] = {}
    for piece in pieces:
        for channel, samples in piece.items():
            together.setdefault(channel, []).append(samples)
    return {channel: np.concatenate(samples) for channel, samples in together.items()}


def _named(heard: Heard, channel: int | None) -> Heard:
    """The one channel of these samples under the name that it came with."""
    return heard if channel is None else {channel: heard[0]} if heard else {}
