"""A recognizer without a model, for tests of clients and servers: its words tell which audio came, and where.

Audio is taken in blocks of 100 ms. A block is silent below -40 dB; a loud one is the word `w` and its mean amplitude in
1/1000, so `tone_words([17, 5])` is recognized as "w17 w5". Three silent blocks end an utterance, or the maximum length.
"""

from __future__ import annotations

import asyncio
import typing
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType

import numpy as np

from streaming_asr.audio.samples import SAMPLE_RATE, Samples, seconds
from streaming_asr.errors import OptionError, StreamClosedError
from streaming_asr.events import Alternative, EndReason, Event, Final, Partial, SpeechEnded, SpeechStarted, Word
from streaming_asr.protocol import EndpointRules, Start, Update
from streaming_asr.text import FormatOptions
from streaming_asr_server.recognition.interface import Load

BLOCK: typing.Final = SAMPLE_RATE // 10
_SILENCE: typing.Final = 0.01
_ENDING_BLOCKS: typing.Final = 3
_DEFAULT_RULES: typing.Final[EndpointRules] = MappingProxyType(
    {"trailing_silence_ms": 300.0, "no_words_ms": None, "maximum_length_ms": 20_000.0}
)


def tone_words(numbers: Iterable[int], *, sample_rate: int = SAMPLE_RATE) -> Samples:
    """Audio that is recognized as a word `w{number}` per 100 ms; 0 is silence, 11 to 900 words. Shape (samples,)."""
    levels = np.array([number / 1000 for number in numbers], np.float32)
    samples = np.repeat(levels, sample_rate // 10)
    samples[::2] *= -1
    return samples


class ScriptedStream:
    """One stream of the scripted recognizer; `delay` is waited for at every push, as a model would take its time."""

    def __init__(self, start: Start, first_sample: int, first_utterance: int, delay: Callable[[], float]) -> None:
        self._start = start
        self._delay = delay
        self._pending: Samples = np.zeros(0, np.float32)
        self._position = first_sample
        self._utterance = first_utterance
        self._words: list[Word] = []
        self._origin = first_sample
        self._silent = 0
        self.endpoint: EndpointRules = {**_DEFAULT_RULES, **start.endpoint}
        self.finished = False
        self.unspellable: Sequence[str] = tuple(word for word in start.hotwords if not word.isalpha())
        self.closed = False

    @property
    def acknowledged(self) -> int:
        return self._origin if self._words else self._position

    @property
    def patience(self) -> int:
        return BLOCK - self._position % BLOCK - len(self._pending)

    async def push(self, samples: Samples) -> list[Event]:
        await asyncio.sleep(self._delay())
        if self.finished:
            raise StreamClosedError("the stream was finished")
        return self._recognize(samples)

    async def finalize(self) -> list[Event]:
        return self._end("finalize")

    async def finish(self) -> list[Event]:
        await asyncio.sleep(self._delay())
        self.finished = True
        return self._end("finish")

    async def update(self, update: Update) -> None:
        if update.hotwords is not None:
            self.unspellable = tuple(word for word in update.hotwords if not word.isalpha())
        self.endpoint = {**self.endpoint, **(update.endpoint or {})}

    def close(self) -> None:
        self.closed = True

    def _recognize(self, samples: Samples) -> list[Event]:
        self._pending = np.concatenate([self._pending, samples])
        events: list[Event] = []
        while len(self._pending) >= (size := BLOCK - self._position % BLOCK):
            block, self._pending = self._pending[:size], self._pending[size:]
            events += self._block(float(np.abs(block).mean()))
            self._position += size
        return events

    def _block(self, level: float) -> list[Event]:
        if level < _SILENCE:
            self._silent += 1
            return self._end("silence") if self._silent == _ENDING_BLOCKS else []
        self._silent, start = 0, self._position
        events: list[Event] = []
        if not self._words:
            self._origin = start
            events.append(SpeechStarted(self._utterance, seconds(start), 0.0))
        self._words.append(Word(f"w{round(level * 1000)}", seconds(start), seconds(start + BLOCK), 1.0))
        if self._start.partials:
            events.append(self._partial())
        if len(self._words) * 100 >= float(self.endpoint["maximum_length_ms"] or 0):
            events += self._end("maximum_length")
        return events

    def _partial(self) -> Partial:
        words = tuple(self._words)
        texts = [word.text for word in words]
        committed, tail = " ".join(texts[:-1]), texts[-1]
        return Partial(self._utterance, committed, tail, words, words[0].start, words[-1].end, seconds(BLOCK))

    def _end(self, reason: EndReason) -> list[Event]:
        if not self._words:
            return []
        words, number = tuple(self._words), self._utterance
        text = " ".join(word.text for word in words)
        self._words, self._utterance = [], number + 1
        best = Alternative(text, 0.0, words)
        return [
            Final(number, text, words, words[0].start, words[-1].end, 1.0, (best,), reason, seconds(BLOCK)),
            SpeechEnded(number, words[-1].end, reason, seconds(BLOCK)),
        ]


class ScriptedRecognition:
    """Opens scripted streams; `delay` is the time in seconds that each piece of audio takes."""

    name = "scripted"
    load = Load()

    def __init__(self, *, delay: float = 0.0, language: str = "en") -> None:
        self.delay = delay
        self.streams: list[ScriptedStream] = []
        self.languages: typing.Final[tuple[str, ...]] = (language,)

    async def warm_up(self) -> None:
        await asyncio.sleep(0)

    async def prepare(self, language: str | None) -> None:
        """Nothing is loaded for a language that is there."""
        if language not in (None, "auto", *self.languages):
            raise OptionError(f"language is {language!r}; this model knows {', '.join(self.languages)}")

    def open(
        self,
        start: Start,
        *,
        formatted: FormatOptions | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> ScriptedStream:
        if start.language not in (None, "auto", *self.languages):
            raise OptionError(f"language is {start.language!r}; this model knows {', '.join(self.languages)}")
        stream = ScriptedStream(start, first_sample, first_utterance, lambda: self.delay)
        self.streams.append(stream)
        return stream

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
