"""From the bytes of a client to what is recognized: samples at 16 kHz, channel by channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np

from streaming_asr.audio.encodings import BYTES_PER_SAMPLE, HEADER_BYTES, container_name
from streaming_asr.audio.input import LONGEST_PIECE, AudioInput, InputEncoding
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import AudioError, MissingExtraError, StreamClosedError

MAXIMUM_CHANNELS: Final = 8

_RAW_PIECE_SECONDS: Final = 0.5
_CODED_PIECE_BYTES: Final = 4 * 1024

T = TypeVar("T")

ChannelSamples: TypeAlias = Mapping[int, Samples]
"""Samples at 16 kHz by channel, each of shape (samples,)."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the audio messages of a client hold.

    Attributes:
        encoding: raw interleaved samples; `opus`: one bare packet in each message; `container`: Ogg, WebM, FLAC, WAV,
            MP3 and more, told apart by their heads.
        sample_rate: in Hz. It means nothing for Opus and containers, which say it themselves.
        channels: interleaved channels; they mean nothing for a container.
        separate: one recognition per channel instead of their mean; events then carry the channel's number.
        detect: a container is taken too where raw samples were declared.
    """

    encoding: InputEncoding = "linear16"
    sample_rate: int = SAMPLE_RATE
    channels: int = 1
    separate: bool = False
    detect: bool = False

    @property
    def sample_bytes(self) -> int:
        """Of one raw sample; 0 for a coded stream."""
        return 0 if self.encoding == "opus" or self.encoding == "container" else BYTES_PER_SAMPLE[self.encoding]

    @property
    def frame_bytes(self) -> int:
        """Of one raw sample of every channel; 0 for a coded stream."""
        return self.channels * self.sample_bytes

    @property
    def bytes_per_second(self) -> float | None:
        """Of raw samples; None for a coded stream."""
        return float(self.sample_rate * self.frame_bytes) or None

    @property
    def piece_bytes(self) -> int | None:
        """How many bytes are decoded before other work gets its turn, in whole frames; None for whole messages."""
        if self.encoding == "opus":
            return None
        if self.encoding == "container":
            return _CODED_PIECE_BYTES
        return round(_RAW_PIECE_SECONDS * self.sample_rate) * self.frame_bytes


_DECODING: Final = ThreadPoolExecutor(1, "audio decoding")
"""One thread for coded audio of all sessions: more would take the interpreter from the event loop, and streams that
decode to very much audio would get as many turns as there are of them."""


class AudioDecoder:
    """Decodes the audio of one session in small steps; what may take long is done on a thread.

    Pieces hold all channels, or the one that is named with them. Coroutines are awaited one after the other.

    Raises:
        OptionError: the format cannot be.
        MissingExtraError: a package that decodes it is not installed.
    """

    def __init__(self, audio: AudioFormat) -> None:
        self._audio: Final = audio
        self._mixed: Final = _Source(audio, audio.channels, separate=audio.separate)
        self._named: dict[int, _Source] = {}

    @property
    def channels(self) -> int | None:
        """How many channels are recognized each for itself; None as long as the audio has not said it."""
        if self._named:
            return self._audio.channels
        channels = self._mixed.input.channels
        return None if channels is None else min(channels, MAXIMUM_CHANNELS)

    def bytes_before(self, samples: int) -> int:
        """Bytes that must come, at least, before so many samples of a channel come out.

        0 where nobody can say: of coded streams, and of floats, which may be refused.
        """
        sources = [*self._named.values()] or [self._mixed]
        if self._audio.encoding == "float32" or not all(source.cheap for source in sources):
            return 0
        missing = samples - 1 - max(source.input.held for source in sources)
        frames = missing * self._audio.sample_rate // SAMPLE_RATE - 1  # a part of one may have come
        return max(0, frames) * (self._audio.frame_bytes if not self._named else self._audio.sample_bytes)

    async def decode(self, piece: bytes, channel: int | None = None) -> AsyncGenerator[ChannelSamples, None]:
        """What a piece completes, less than a second at a time. Raises AudioError."""
        source = self._mixed if channel is None else self._source_of(channel)
        try:
            if source.cheap:
                yield self._by_channel(source.input.push(piece), channel)
                return
            steps = _Steps(source.steps(piece))
            while (samples := await _on_thread(steps.next)) is not None:
                yield self._by_channel(samples, channel)
        except StreamClosedError as error:
            raise AudioError("the audio cannot be decoded any more") from error

    def flush(self) -> ChannelSamples:
        """What is held back, without an end, so that no word from before is missing."""
        if self._named:
            return {number: source.input.flush() for number, source in self._named.items()}
        return self._by_channel(self._mixed.input.flush(), None)

    async def finish(self) -> ChannelSamples:
        """The rest. Raises AudioError."""
        if self._named:
            return {number: source.input.finish() for number, source in self._named.items()}
        return self._by_channel(await _on_thread(self._mixed.input.finish), None)

    def _source_of(self, channel: int) -> _Source:
        if channel not in self._named:
            self._named[channel] = _Source(self._audio, 1, separate=False)
        return self._named[channel]

    def _by_channel(self, samples: Samples, channel: int | None) -> ChannelSamples:
        if channel is not None:
            return {channel: samples}
        if not self._audio.separate:
            return {0: samples}
        return {number: samples[:, number].copy() for number in range(min(samples.shape[1], MAXIMUM_CHANNELS))}


def load_codecs() -> None:
    """Import what decodes coded audio, as far as it is installed: the first stream of its kind would hold up others."""
    with suppress(MissingExtraError):
        AudioInput(encoding="opus")
    with suppress(MissingExtraError):
        AudioInput(sample_rate=2 * SAMPLE_RATE)


class _Source:
    """One input, and whether decoding its pieces takes less than handing them to a thread: raw samples do."""

    def __init__(self, audio: AudioFormat, channels: int, *, separate: bool) -> None:
        self.input: Final = AudioInput(
            encoding=audio.encoding,
            sample_rate=audio.sample_rate,
            channels=channels,
            separate=separate,
            detect=audio.detect,
        )
        self._raw: Final = audio.bytes_per_second is not None
        self._head = b""
        self._head_bytes: Final = HEADER_BYTES if audio.detect else 0

    @property
    def cheap(self) -> bool:
        return self._raw and len(self._head) >= self._head_bytes and container_name(self._head) is None

    def steps(self, piece: bytes) -> Iterator[Samples]:
        """The samples of a piece, little by little; its first bytes tell a container from raw samples."""
        self._head += piece[: self._head_bytes - len(self._head)]
        return self.input.pieces(piece)


async def _on_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_DECODING, work)


class _Steps:
    """The samples of a piece, half a second or little more at a time; an error comes behind what came before it."""

    def __init__(self, pieces: Iterator[Samples]) -> None:
        self._pieces: Final = pieces
        self._failure: AudioError | None = None

    def next(self) -> Samples | None:
        """The next half second, or what the bytes hold of it; None behind the last. Raises AudioError."""
        if self._failure is not None:
            raise self._failure
        taken: list[Samples] = []
        length = 0
        try:
            for samples in self._pieces:
                taken.append(samples)
                length += len(samples)
                if length >= LONGEST_PIECE:
                    break
        except AudioError as error:
            if not length:
                raise
            self._failure = error
        return np.concatenate([samples for samples in taken if len(samples)]) if length else None
