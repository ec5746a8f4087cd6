"""A loaded recognizer, which ends when it is to end and the last of its streams has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.events import Event
from streaming_asr.protocol import EndpointRules, Start, Update
from streaming_asr.text import FormatOptions
from streaming_asr_server.recognition.interface import Recognition, RecognitionStream


class CountedStream:
    """A stream that says when it was closed."""

    def __init__(self, stream: RecognitionStream, closed: Callable[[], None]) -> None:
        self._stream: Final = stream
        self._closed: Callable[[], None] | None = closed

    @property
    def acknowledged(self) -> int:
        return self._stream.acknowledged

    @property
    def patience(self) -> int:
        return self._stream.patience

    @property
    def unspellable(self) -> Sequence[str]:
        return self._stream.unspellable

    @property
    def endpoint(self) -> EndpointRules:
        return self._stream.endpoint

    async def push(self, samples: Samples) -> list[Event]:
        return await self._stream.push(samples)

    async def finalize(self) -> list[Event]:
        return await self._stream.finalize()

    async def finish(self) -> list[Event]:
        return await self._stream.finish()

    async def update(self, update: Update) -> None:
        await self._stream.update(update)

    def close(self) -> None:
        """Let go of everything; a second call does nothing."""
        closed, self._closed = self._closed, None
        if closed is not None:
            self._stream.close()
            closed()


class LoadedModel:
    """A recognizer with the number of its streams.

    `idle` is called when the last stream has gone. A retired one takes no new streams and is closed when it has none.
    """

    def __init__(self, recognition: Recognition, idle: Callable[[], None]) -> None:
        self.recognition: Final = recognition
        self.streams = 0
        self.retired = False
        self._idle = idle
        self._closing: asyncio.Task[None] | None = None

    def open(
        self,
        start: Start,
        *,
        formatted: FormatOptions | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> RecognitionStream:
        """A new stream. Raises OptionError."""
        stream = self.recognition.open(
            start, formatted=formatted, first_sample=first_sample, first_utterance=first_utterance
        )
        self.streams += 1
        return CountedStream(stream, self._stream_closed)

    async def hear_silence(self) -> None:
        """Wait until the recognizer has heard a tenth of a second of silence, to its end.

        That is no stream of anybody's: it takes no place and does not keep the recognizer in memory. The end matters:
        silence alone never reaches the thread that computes.
        """
        stream = self.recognition.open(Start())
        try:
            await stream.push(np.zeros(SAMPLE_RATE // 10, np.float32))
            await stream.finish()
        finally:
            stream.close()

    def retire(self) -> None:
        """End the recognizer as soon as it has no streams."""
        self.retired = True
        if not self.streams and self._closing is None:
            self._closing = asyncio.create_task(asyncio.to_thread(self.recognition.close), name="close a model")

    async def close(self) -> None:
        """End the recognizer now."""
        self.streams = 0
        self.retire()
        assert self._closing is not None, "a model without streams is closed"
        await self._closing

    def _stream_closed(self) -> None:
        self.streams -= 1
        if self.streams:
            return
        if self.retired:
            self.retire()
        else:
            self._idle()
