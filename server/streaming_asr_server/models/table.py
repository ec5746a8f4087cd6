"""All models of one server, and which of them a client means."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from streaming_asr.checkpoints.tags import match_language
from streaming_asr.errors import OptionError
from streaming_asr.protocol import Start
from streaming_asr.text import FormatOptions
from streaming_asr_server.models.model import Model
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.interface import Load, RecognitionStream

AUTO: Final = "auto"
"""As in `streaming_asr.languages`, which needs torch: the language is found out."""

_SHOWN: Final = 12


class Models:
    """The models of one server; the first is that of clients who name neither model nor language."""

    def __init__(self, sources: Sequence[ModelSource]) -> None:
        self._models: Final = tuple(Model(source, only=len(sources) == 1) for source in sources)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def default(self) -> Model:
        """The model of clients who name none."""
        return self._models[0]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self)

    @property
    def load(self) -> Load:
        """What the recognizers have done, all together."""
        loads = [model.load for model in self]
        return Load(
            waiting=sum(load.waiting for load in loads),
            steps=sum(load.steps for load in loads),
            chunks=sum(load.chunks for load in loads),
        )

    async def start(self) -> None:
        """Load those that are to be loaded at the start; what one cannot do is no harm to the others.

        Raises what went wrong with the first one, if not one can be used.
        """
        for model in self:
            if model.source.at_start:
                try:
                    await model.ready(warm_up=True)
                except Exception:
                    if len(self) == 1:
                        raise
        failures = [model.failure for model in self if model.failure is not None]
        if len(failures) == len(self):
            raise failures[0]

    def find(self, name: str) -> Model:
        """The model of a name. Raises OptionError, with the list of what is there."""
        for model in self:
            if model.name.casefold() == name.casefold():
                return model
        raise OptionError(f"model is {name!r:.100}; it must be one of {', '.join(self.names)}")

    def choose(self, name: str | None, language: str | None) -> Model:
        """The model that a client means: the one it names, else the first one that has its language.

        Raises OptionError, with the list of what is there.
        """
        if name is not None:
            return self.find(name)
        if language is None or len(self) == 1:
            return self.default
        if language == AUTO:
            return next((model for model in self if len(model.languages) > 1), self.default)
        for model in self:
            if match_language(language, model.languages) is not None:
                return model
        raise OptionError(f"language is {language!r:.100}; it must be one of {self._listed_languages()}")

    async def prepare(self, start: Start) -> Start:
        """Load what a stream needs that starts so; gives the start with the name of its model.

        `open` must follow without anything awaited in between. Raises OptionError, ProtocolError.
        """
        model = self.choose(start.model, start.language)
        await model.prepare(start)
        return replace(start, model=model.name)

    def open(
        self,
        start: Start,
        *,
        formatted: FormatOptions | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> RecognitionStream:
        """A new stream, once it is prepared. Raises OptionError."""
        return self.choose(start.model, start.language).open(
            start, formatted=formatted, first_sample=first_sample, first_utterance=first_utterance
        )

    async def hear_silence(self) -> None:
        """Wait until all that are in memory have heard a bit of silence. Raises what went wrong with one."""
        await asyncio.gather(*(model.hear_silence() for model in self))

    async def reload_changed(self) -> None:
        """Load those anew whose files have changed; one that cannot be loaded goes on as it was, and is logged."""
        for model in self:
            if await model.changed():
                with suppress(Exception):
                    await model.reload()

    async def close(self) -> None:
        """End all of them."""
        for model in self:
            await model.close()

    def _listed_languages(self) -> str:
        entries = [f"{language} ({model.name})" for model in self for language in model.languages]
        more = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
        return ", ".join(entries[:_SHOWN]) + more
