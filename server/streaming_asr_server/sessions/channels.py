"""One client's audio on its way to recognition: decoded once, then one stream per channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Final, TypeAlias

from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.events import Event
from streaming_asr.protocol import EndpointRules, Start, Update
from streaming_asr_server.recognition.interface import RecognitionStream
from streaming_asr_server.sessions.decoding import AudioDecoder, AudioFormat, ChannelSamples
from streaming_asr_server.sessions.watchdog import Watchdog

ChannelEvents: TypeAlias = Sequence[tuple[int, Sequence[Event]]]
"""Events by the number of their channel."""


class _Channel:
    """The stream of one channel, and up to which sample (at 16 kHz) it has taken audio."""

    def __init__(self, number: int, stream: RecognitionStream, position: int) -> None:
        self.number: Final = number
        self.stream: Final = stream
        self.position = position

    async def push(self, samples: Samples) -> tuple[int, Sequence[Event]]:
        events = await self.stream.push(samples)
        self.position += len(samples)
        return self.number, events

    async def finalize(self) -> tuple[int, Sequence[Event]]:
        return self.number, await self.stream.finalize()

    async def finish(self) -> tuple[int, Sequence[Event]]:
        return self.number, await self.stream.finish()


class ChannelStreams:
    """The decoder and the streams of one session.

    Args:
        open_stream: opens the stream of one more channel. Raises OptionError.
        position: where the audio begins, in samples at 16 kHz.

    Coroutines are awaited one after the other. Raises OptionError if the audio cannot be taken.
    """

    def __init__(self, audio: AudioFormat, open_stream: Callable[[], RecognitionStream], *, position: int = 0) -> None:
        self._decoder: Final = AudioDecoder(audio)
        self._open_stream: Final = open_stream
        self._start: Final = position
        self._channels = [_Channel(0, open_stream(), position)]
        self._unmetered = 0

    @property
    def count(self) -> int | None:
        """How many channels are recognized each for itself; None as long as the audio has not said it."""
        return self._decoder.channels

    @property
    def position(self) -> int:
        """All audio before this sample, at 16 kHz, was recognized."""
        return max(channel.position for channel in self._channels)

    @property
    def acknowledged(self) -> int:
        """The sample at 16 kHz before which all speech is in finals that were returned."""
        return min(channel.stream.acknowledged for channel in self._channels)

    @property
    def unspellable(self) -> tuple[str, ...]:
        return tuple(self._channels[0].stream.unspellable)

    @property
    def endpoint(self) -> EndpointRules:
        return self._channels[0].stream.endpoint

    @property
    def patience_bytes(self) -> int:
        """Bytes that must come, at least, before anything can come of them: until then they may as well wait."""
        return self._decoder.bytes_before(min(channel.stream.patience for channel in self._channels))

    def unmetered_seconds(self) -> float:
        """Audio of all channels together that was recognized since the last call."""
        samples, self._unmetered = self._unmetered, 0
        return seconds(samples)

    def decode(self, piece: bytes, channel: int | None) -> AsyncGenerator[ChannelSamples, None]:
        """What a piece completes, less than a second at a time, each to be recognized. Raises AudioError."""
        return self._decoder.decode(piece, channel)

    async def recognize(self, samples: ChannelSamples) -> ChannelEvents:
        """Give each channel its samples, all at once."""
        self._open_missing(samples)
        parts = [(number, part) for number, part in samples.items() if len(part)]
        self._unmetered += sum(len(part) for _, part in parts)
        pushes = [self._channels[number].push(part) for number, part in parts]
        # Most streams have one channel, which needs no task of its own.
        return [await pushes[0]] if len(pushes) == 1 else await asyncio.gather(*pushes)

    async def end_utterance(self, channel: int | None) -> ChannelEvents:
        """End the utterance of one channel, or of all, with all audio so far."""
        rest = await self.recognize(self._decoder.flush())
        asked = [one for one in self._channels if channel in (None, one.number)]
        return [*rest, *await asyncio.gather(*(one.finalize() for one in asked))]

    async def end_audio(self) -> ChannelEvents:
        """Recognize what the decoder holds back at the end. Raises AudioError."""
        return await self.recognize(await self._decoder.finish())

    async def finish(self) -> ChannelEvents:
        """End all streams."""
        return await asyncio.gather(*(channel.finish() for channel in self._channels))

    async def update(self, update: Update) -> None:
        """Change hotwords or endpoint rules of all streams. Raises OptionError."""
        for channel in self._channels:
            await channel.stream.update(update)

    def check(self, watchdog: Watchdog, start: Start) -> None:
        """Raises ProtocolError if one of the streams stands still."""
        for channel in self._channels:
            watchdog.check(start, decoded=channel.position, acknowledged=channel.stream.acknowledged)

    def close(self) -> None:
        """Let go of the streams."""
        for channel in self._channels:
            channel.stream.close()

    def _open_missing(self, numbers: Iterable[int]) -> None:
        """A stream for each channel that the audio turns out to have."""
        wanted = max([self._decoder.channels or 1, *(number + 1 for number in numbers)])
        for number in range(len(self._channels), wanted):
            self._channels.append(_Channel(number, self._open_stream(), self._start))
