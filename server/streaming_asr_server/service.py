"""What the routes of one server share, and how it starts, drains and ends."""

from __future__ import annotations

import asyncio
import logging
import time
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streaming_asr.errors import OptionError
from streaming_asr.events import Event, Final, Partial
from streaming_asr.protocol import Limits, ProtocolError, Start
from streaming_asr_server.access.admission import Admission, Readiness, Refusal
from streaming_asr_server.access.authentication import ANYONE, ApiKeys, BrowserTokens, Principal
from streaming_asr_server.access.ledger.interface import Ledger, LedgerError
from streaming_asr_server.access.ledger.memory import MemoryLedger
from streaming_asr_server.metrics import Metrics
from streaming_asr_server.models.model import Model
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.models.table import Models
from streaming_asr_server.peers import Alone, Peers
from streaming_asr_server.ports import SharedPorts
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.sessions.bookkeeping import Bookkeeper
from streaming_asr_server.sessions.registry import SessionRegistry
from streaming_asr_server.sessions.session import SessionRules
from streaming_asr_server.sessions.watchdog import Watchdog
from streaming_asr_server.settings import Settings

logger = logging.getLogger(__name__)

_T = typing.TypeVar("_T")

_LOOK_AGAIN_SECONDS: typing.Final = 0.05


@dataclass(slots=True)
class KeyMeter:
    """Counts what a session does: for the metrics, and for the minutes of its key."""

    principal: Principal
    admission: Admission
    metrics: Metrics
    log_text: bool = False

    def audio(self, seconds: float) -> None:
        self.metrics.count_audio(seconds)
        self.admission.count(self.principal, seconds)

    def event(self, event: Event) -> None:
        if isinstance(event, Partial | Final):
            kind = "partial" if isinstance(event, Partial) else "final"
            self.metrics.lag.labels(kind).observe(event.lag)
        if isinstance(event, Final):
            self.metrics.finals.inc()
            self.metrics.words.inc(len(event.words))
            if self.log_text:
                logger.info("final", extra={"key": self.principal.name, "text": event.text})

    def error(self, error: ProtocolError) -> None:
        self.metrics.errors.labels(error.code, error.kind.fault).inc()


@dataclass(slots=True)
class Service:
    """One server: made with `settings` and a way to load its models, or its only one; started with `start`."""

    settings: Settings
    load: Callable[[], Recognition] | Sequence[ModelSource]
    keys: ApiKeys | None = None
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    announce: Callable[[], None] = lambda: None
    """Called once, when the server takes streams."""
    metrics: Metrics = field(default_factory=Metrics)
    failure: BaseException | None = None
    exit_requested: bool = False
    """The server shall end: the program that started it over standard streams has gone."""
    connections: set[Callable[[ProtocolError], None]] = field(default_factory=set)
    ledger: Ledger = field(default_factory=MemoryLedger)
    """What is shared with other workers; closed when the server stops."""
    ports: SharedPorts | None = None
    """Where this is one of several workers: the sockets that they share."""
    peers: Peers = field(default_factory=Alone)
    """The other workers, for what must be said at all of them at once."""
    readiness_of_all: Callable[[str], str] = lambda own: own
    """From what this worker says for `/readyz` to what the server says."""
    to_warn: set[Callable[[], None]] = field(default_factory=set)
    """Connections whose protocol has words for a server that is about to stop."""
    admission: Admission = field(init=False)
    tokens: BrowserTokens = field(init=False)
    models: Models = field(init=False)
    """Those that are there, loaded or not."""
    _sessions: SessionRegistry | None = None
    _starting: asyncio.Task[None] | None = None
    _reloading: set[asyncio.Task[None]] = field(default_factory=set)
    _bookkeeper: Bookkeeper = field(init=False)

    def __post_init__(self) -> None:
        maximum = self.settings.max_streams
        self.admission = Admission(maximum_streams=maximum, ledger=self.ledger, now=self.now)
        self.tokens = BrowserTokens(self.ledger, lifetime=self.settings.token_seconds)
        self._bookkeeper = Bookkeeper(self.ledger, self.admission, lambda: self._sessions)
        self.models = Models([ModelSource(load=self.load)] if callable(self.load) else self.load)
        self._watch_metrics()

    def follows_sense(self, language: str | None, model: str | None = None) -> bool:
        """Whether the silence that ends an utterance can follow its sense: there is a text model for the language."""
        try:
            self.models.open(Start(model=model, language=language, endpoint={"turn": "adaptive"})).close()
        except OptionError:
            return False
        return True

    @property
    def sessions(self) -> SessionRegistry:
        """All sessions. Raises Refusal while the models of the start are being loaded."""
        self.check_loaded()
        assert self._sessions is not None, "check_loaded let a missing registry pass"
        return self._sessions

    def check_loaded(self) -> None:
        """Raises Refusal while the models of the start are being loaded."""
        if self._sessions is None:
            raise Refusal(503, "starting", "the model is being loaded", 5)

    @property
    def status(self) -> str:
        """For `/readyz`: whether a new stream would be taken, by any worker."""
        return self.readiness_of_all(self.admission.status)

    @property
    def limits(self) -> Limits:
        """What clients are told."""
        return Limits(
            idle_seconds=self.settings.idle_seconds,
            resume_seconds=self.settings.resume_seconds,
            stream_seconds=self.settings.stream_seconds,
            message_bytes=self.settings.message_bytes,
        )

    def meter(self, principal: Principal) -> KeyMeter:
        """What counts for a session of this principal."""
        return KeyMeter(principal, self.admission, self.metrics, self.settings.log_text)

    async def authenticate(self, key: str | None, *, tokens: bool = True) -> Principal:
        """Whose key or browser token this is; a token is used up. Raises Refusal."""
        if self.keys is None:
            return ANYONE
        principal = None
        if key is not None:
            principal = self.keys.find(key)
            if principal is None and tokens:
                principal = await self.asked(self.tokens.redeem(key))
        if principal is None:
            raise Refusal(401, "unauthorized", "an API key or a fresh browser token is needed")
        return principal

    async def asked(self, answer: Awaitable[_T]) -> _T:
        """What the ledger answers. Raises Refusal if it cannot be reached."""
        try:
            return await answer
        except LedgerError as error:
            logger.warning("the ledger cannot be reached", extra={"reason": str(error)})
            text = "what this key or token is good for cannot be looked up at the moment"
            raise Refusal(503, "ledger_unavailable", text, 5) from error

    def start(self) -> None:
        """Begin to load and warm up; the server answers meanwhile that it is starting."""
        self._bookkeeper.start()
        self._starting = asyncio.create_task(self._prepare(), name="prepare")

    async def ready(self) -> None:
        """Wait for the end of `start`'s work. Raises what went wrong."""
        assert self._starting is not None, "ready() before start()"
        await asyncio.shield(self._starting)

    def reload_changed(self) -> None:
        """Begin to load those models anew whose files have changed; called by a signal, on the event loop."""
        task = asyncio.create_task(self.models.reload_changed(), name="reload")
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    def drain(self) -> None:
        """Take no new streams."""
        self.admission.readiness = Readiness.DRAINING

    def warn_connections(self) -> None:
        """Tell who can be told that the server is about to stop."""
        for warn in list(self.to_warn):
            warn()

    @property
    def streams(self) -> int:
        """Connections that are open."""
        return len(self.connections)

    @property
    def idle(self) -> bool:
        """Whether no connection is left."""
        return not self.connections

    async def until_idle(self) -> None:
        """Wait until no connection is left."""
        while self.connections:  # noqa: ASYNC110 - a server does this once in its life
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def close_connections(self) -> None:
        """End every connection with "going_away", so that its client resumes elsewhere."""
        for fail in list(self.connections):
            fail(ProtocolError("going_away", "the server stops; resume on another one, or here in a moment"))

    async def stop(self) -> None:
        """End everything that runs in the background."""
        self.drain()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._sessions is not None:
            await self._sessions.close()
        await self._bookkeeper.stop()
        for task in self._reloading:
            task.cancel()
        await asyncio.gather(*self._reloading, return_exceptions=True)
        await self.models.close()

    async def _prepare(self) -> None:
        try:
            await self.models.start()
        except Exception as error:
            # Whoever runs the server says it.
            self.failure = error
            raise
        self._sessions = SessionRegistry(
            self.models,
            rules=self._session_rules(),
            resume_seconds=self.settings.resume_seconds,
            maximum_waiting=self.settings.max_streams,
            taken=self._bookkeeper.take,
        )
        self.admission.readiness = Readiness.READY
        logger.info("ready", extra={"models": {model.name: model.state for model in self.models}})
        self.announce()

    def _session_rules(self) -> SessionRules:
        return SessionRules(
            inbox_seconds=self.settings.inbox_seconds,
            stream_seconds=self.settings.stream_seconds,
            watchdog=Watchdog(answer_seconds=self.settings.stall_seconds),
        )

    def _watch_metrics(self) -> None:
        began, metrics = self.clock(), self.metrics
        readings: Sequence[tuple[object, Callable[[], float]]] = (
            (metrics.streams, lambda: self.admission.streams),
            (metrics.sessions, lambda: len(self._sessions) if self._sessions else 0),
            (metrics.queued, lambda: self._sessions.queued_seconds if self._sessions else 0.0),
            (metrics.waiting, lambda: self.models.load.waiting),
            (metrics.steps, lambda: self.models.load.steps),
            (metrics.chunks, lambda: self.models.load.chunks),
            (metrics.realtime, lambda: metrics.decoded_seconds / max(self.clock() - began, 1e-9)),
        )
        for gauge, read in readings:
            metrics.watch(gauge, read)
        for model in self.models:
            if model.source.name is not None:
                metrics.watch_model(model.source.name, _readings(model))


def _readings(model: Model) -> Mapping[str, Callable[[], float]]:
    """What the metrics say of one model."""
    return {
        "ready": lambda: float(model.state == "ready"),
        "streams": lambda: model.streams,
        "languages": lambda: len(model.languages),
        "waiting": lambda: model.load.waiting,
        "steps": lambda: model.load.steps,
        "chunks": lambda: model.load.chunks,
    }
