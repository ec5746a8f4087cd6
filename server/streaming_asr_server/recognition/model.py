"""The real recognizer behind the server's interface: futures of the inference thread, awaited by the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from streaming_asr.audio.gate import GateOptions
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.checkpoints.tags import language_tag
from streaming_asr.decoding import DEFAULT_WEIGHT
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import CheckpointError, OptionError
from streaming_asr.events import Event
from streaming_asr.languages import AUTO
from streaming_asr.protocol import EndpointRules, Hotwords, Stability, Start, Update
from streaming_asr.recognizer import Recognizer, Stream
from streaming_asr.text import FormatOptions
from streaming_asr_server.recognition.interface import Load

logger = logging.getLogger(__name__)

AGREEMENT_DELAY_MS: Final[Mapping[Stability, float | None]] = MappingProxyType(
    {"low": 600.0, "medium": 1_000.0, "high": None}
)
"""How long beams may disagree on a word, at most, before the best one decides; None waits until all agree."""

_WARM_UP_SECONDS: Final = 3
_WARM_UP_STREAMS: Final = (1, 2, 4, 8)


class ModelStream:
    """One stream of a `Recognizer`; `own_hotwords` are those of the model, beside which a client has its own."""

    def __init__(self, stream: Stream, rules: Mapping[str, Any], own_hotwords: Mapping[str, float]) -> None:
        self._stream = stream
        self._rules = dict(rules)
        self._own_hotwords = own_hotwords

    @property
    def acknowledged(self) -> int:
        return self._stream.acknowledged

    @property
    def patience(self) -> int:
        return self._stream.patience

    @property
    def unspellable(self) -> Sequence[str]:
        return tuple(word for word in self._stream.hotwords.unspellable if word not in self._own_hotwords)

    @property
    def endpoint(self) -> EndpointRules:
        return asdict(EndpointOptions(**self._rules))

    async def push(self, samples: Samples) -> list[Event]:
        begun = self._stream.begin(samples)
        return await _results(begun) if isinstance(begun, tuple) else begun

    async def finalize(self) -> list[Event]:
        return await _results([self._stream.submit_finalize()])

    async def finish(self) -> list[Event]:
        return await _results([self._stream.submit_finish()])

    async def update(self, update: Update) -> None:
        if update.hotwords is not None:
            await asyncio.to_thread(self._stream.set_hotwords, _hotwords(update.hotwords, self._own_hotwords))
        if update.endpoint is not None:
            self._rules |= update.endpoint
            await asyncio.to_thread(self._stream.set_endpoint, EndpointOptions(**self._rules))

    def close(self) -> None:
        """Nothing holds on to a stream but its jobs, and those end."""


class ModelRecognition:
    """A loaded recognizer; `options` go into every stream, and so do `hotwords`, beside the client's own."""

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        name: str,
        options: Mapping[str, Any] | None = None,
        hotwords: Mapping[str, float] | None = None,
    ) -> None:
        self.name: Final = name
        self.recognizer: Final = recognizer
        self._options = dict(options or {})
        self._hotwords = dict(hotwords or {})

    @property
    def languages(self) -> Sequence[str]:
        """BCP 47 tags of what streams may name; none if the model does not say."""
        return tuple(dict.fromkeys(language_tag(code) or code for code in self.recognizer.languages.codes))

    @property
    def load(self) -> Load:
        engine = self.recognizer.engine
        return Load(waiting=engine.waiting, steps=engine.load.steps, chunks=engine.load.chunks)

    async def warm_up(self) -> None:
        """Run some seconds through batches of several sizes, ungated, so that all kernels are chosen and built."""
        silence: Samples = np.zeros(SAMPLE_RATE * _WARM_UP_SECONDS, np.float32)
        for streams in _WARM_UP_STREAMS:
            await asyncio.gather(*(self._warm_up_stream(silence) for _ in range(streams)))

    async def prepare(self, language: str | None) -> None:
        """Load a language on a thread, if it is not held. Raises OptionError."""
        if language == AUTO:
            return  # found out among those that are loaded
        try:
            await asyncio.to_thread(self.recognizer.languages.get, language)
        except CheckpointError as error:
            logger.error("a language cannot be loaded", extra={"model": self.name, "reason": str(error)})
            raise OptionError(f"the language {language!r} cannot be loaded; the server's log says why") from error

    async def _warm_up_stream(self, silence: Samples) -> None:
        options = {**self._options, "gate": GateOptions(enabled=False)}
        stream = self.recognizer.stream(sample_rate=SAMPLE_RATE, **options)
        await _results([*stream.submit(silence), stream.submit_finish()])

    def open(
        self,
        start: Start,
        *,
        formatted: FormatOptions | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> ModelStream:
        stream = self.recognizer.stream(
            sample_rate=SAMPLE_RATE,
            language=start.language,
            hotwords=_hotwords(start.hotwords, self._hotwords),
            endpoint=EndpointOptions(**_rules(start.endpoint)),
            agreement_delay_ms=AGREEMENT_DELAY_MS[start.stability],
            partials=start.partials,
            partial_interval_ms=start.partial_interval_ms,
            alternatives=start.alternatives,
            formatted=start.formatted and (formatted or True),
            first_sample=first_sample,
            first_utterance=first_utterance,
            **self._options,
        )
        return ModelStream(stream, _rules(start.endpoint), self._hotwords)

    def close(self) -> None:
        self.recognizer.close()


def _rules(endpoint: EndpointRules) -> dict[str, Any]:
    return dict(endpoint)


def _hotwords(hotwords: Hotwords, own: Mapping[str, float]) -> dict[str, float]:
    """A client's hotwords and those of the model; where both name a word, the client's weight counts."""
    asked = dict.fromkeys(hotwords, DEFAULT_WEIGHT) if isinstance(hotwords, tuple) else hotwords
    return {**own, **asked}


async def _results(futures: Sequence[Future[list[Event]]]) -> list[Event]:
    """All events, in order. Cancellation drops the jobs that have not begun."""
    if all(future.done() for future in futures):
        return [event for future in futures for event in future.result()]
    waiting = [asyncio.wrap_future(future) for future in futures]
    if len(waiting) == 1:
        return await waiting[0]
    return [event for events in await asyncio.gather(*waiting) for event in events]
