"""One model of a server: loaded when it is wanted, used by streams, let go when it has been idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Sequence
from typing import Final, Literal, TypeAlias

from streaming_asr.errors import OptionError, StreamingAsrError
from streaming_asr.protocol import ProtocolError, Start
from streaming_asr.text import FormatOptions
from streaming_asr_server.models.counting import LoadedModel
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.interface import Load, RecognitionStream

logger = logging.getLogger(__name__)

State: TypeAlias = Literal["waiting", "loading", "ready", "failed"]
"""`waiting`: not in memory, loaded when a stream asks for it. `failed`: the last attempt to load it failed."""

_UNNAMED: Final = "model"
_RETRY_SECONDS: Final = 10.0
"""So long a model that could not be loaded is refused without a new attempt."""


class Model:
    """One model, as its source describes it; its methods are called on the event loop.

    Of the `only` one of a server, an error of its first load is not logged: it ends the server, which tells it.
    """

    def __init__(self, source: ModelSource, *, only: bool = False) -> None:
        self.source: Final = source
        self._ends_server = only and source.at_start
        self.failure: BaseException | None = None
        self._loaded: LoadedModel | None = None
        self._retired: list[LoadedModel] = []
        self._loading: asyncio.Task[LoadedModel] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._failed_at = float("-inf")
        self._reloading: Final = asyncio.Lock()
        self._fingerprint: Hashable = None

    @property
    def name(self) -> str:
        """What clients call it."""
        if self.source.name is not None:
            return self.source.name
        return self._loaded.recognition.name if self._loaded else _UNNAMED

    @property
    def state(self) -> State:
        """Where it stands."""
        if self._loaded is not None:
            return "ready"
        if self._loading is not None:
            return "loading"
        return "waiting" if self.failure is None else "failed"

    @property
    def languages(self) -> Sequence[str]:
        """BCP 47 tags of what streams may name, as far as it is known."""
        return self._loaded.recognition.languages if self._loaded else self.source.languages

    @property
    def streams(self) -> int:
        """Streams that are open, also those on a model that was replaced."""
        self._retired = [one for one in self._retired if one.streams]
        return sum(one.streams for one in self._all())

    @property
    def load(self) -> Load:
        """What its recognizer has done."""
        return self._loaded.recognition.load if self._loaded else Load()

    async def ready(self, *, warm_up: bool = False) -> LoadedModel:
        """Load it if it is not loaded; who asks at once waits for the same. Raises what went wrong."""
        if self._loaded is not None:
            return self._loaded
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(warm_up=warm_up), name=f"load {self.name}")
        return await asyncio.shield(self._loading)

    async def prepare(self, start: Start) -> None:
        """Load what a stream needs that starts so: the model, and the language that it names.

        `open` must follow without anything awaited in between. Raises OptionError, ProtocolError.
        """
        limit = self.source.max_streams
        if limit is not None and self.streams >= limit:
            raise ProtocolError("overloaded", f"all {limit} streams of the model {self.name!r} are in use")
        while True:
            loaded = await self._loaded_for_client()
            await loaded.recognition.prepare(start.language)
            if not loaded.retired:
                return

    def open(
        self,
        start: Start,
        *,
        formatted: FormatOptions | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> RecognitionStream:
        """A new stream of a model that was prepared. Raises OptionError."""
        if self._loaded is None:
            raise OptionError(f"the model {self.name!r} is not loaded")
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        return self._loaded.open(start, formatted=formatted, first_sample=first_sample, first_utterance=first_utterance)

    async def hear_silence(self) -> None:
        """Wait until it has heard a bit of silence, if it is in memory. Raises what went wrong."""
        if self._loaded is not None:
            await self._loaded.hear_silence()

    async def changed(self) -> bool:
        """Whether its files are others than when it was loaded."""
        if self._loaded is None:
            return self.failure is not None
        return await asyncio.to_thread(self.source.fingerprint) != self._fingerprint

    async def reload(self) -> None:
        """Load it anew: new streams go to the new one, and those that are open end on the old one.

        One that is not in memory is loaded when it is next asked for. Raises what went wrong; then the old one stays.
        """
        async with self._reloading:
            self._failed_at = float("-inf")
            if self._loaded is None:
                return
            fresh = await self._load_another(warm_up=True)
            before, self._loaded, self.failure = self._loaded, fresh, None
            if before is not None:
                self._retire(before)
            self._start_idle_timer()

    async def close(self) -> None:
        """End it with all its streams."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for one in self._all():
            await one.close()
        self._loaded = None

    def _all(self) -> list[LoadedModel]:
        return [*self._retired, *([self._loaded] if self._loaded else [])]

    async def _loaded_for_client(self) -> LoadedModel:
        """The loaded model. Raises OptionError, in words for a client, if it cannot be loaded."""
        just_failed = asyncio.get_running_loop().time() - self._failed_at < _RETRY_SECONDS
        try:
            if self._loaded is None and just_failed and self.failure is not None:
                raise self.failure
            return await self.ready()
        except Exception as error:
            raise OptionError(f"the model {self.name!r} cannot be loaded; the server's log says why") from error

    async def _load(self, *, warm_up: bool) -> LoadedModel:
        try:
            loaded = self._loaded = await self._load_another(warm_up=warm_up)
        except Exception as error:
            self.failure, self._failed_at = error, asyncio.get_running_loop().time()
            raise
        finally:
            self._loading = None
        self.failure = None
        self._start_idle_timer()
        return loaded

    async def _load_another(self, *, warm_up: bool) -> LoadedModel:
        """Load the model, beside one that may be in use. Raises what went wrong."""
        try:
            # Taken first: a change while it is being loaded is a change.
            fingerprint = await asyncio.to_thread(self.source.fingerprint)
            recognition = await asyncio.to_thread(self.source.load)
            if warm_up:
                await recognition.warm_up()
        except StreamingAsrError as error:
            if self._ends_server:
                raise
            logger.error("a model cannot be loaded", extra={"model": self.name, "reason": str(error)})
            raise
        except Exception:
            logger.exception("the recognizer cannot be loaded", extra={"model": self.name})
            raise
        self._fingerprint, self._ends_server = fingerprint, False
        logger.info("model loaded", extra={"model": self.source.name or recognition.name})
        return LoadedModel(recognition, self._start_idle_timer)

    def _start_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self.source.unload_seconds is not None:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(self.source.unload_seconds, self._unload_if_idle)

    def _unload_if_idle(self) -> None:
        if self._loaded is not None and not self._loaded.streams:
            logger.info("model unloaded", extra={"model": self.name})
            self._retire(self._loaded)
            self._loaded = None

    def _retire(self, loaded: LoadedModel) -> None:
        self._retired.append(loaded)
        loaded.retire()
