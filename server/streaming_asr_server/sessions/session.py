"""Sessions outlive connections: the stream, what waits for it, and what its client may have missed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, Protocol

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.errors import AudioError, OptionError
from streaming_asr.events import Event, Partial
from streaming_asr.events import Final as FinalEvent
from streaming_asr.protocol import (
    Audio,
    ClientMessage,
    Clock,
    EndpointRules,
    Finalize,
    Finish,
    ProtocolError,
    Start,
    Update,
    updated,
)
from streaming_asr_server.recognition.interface import RecognitionStream
from streaming_asr_server.sessions.inbox import Inbox
from streaming_asr_server.sessions.watchdog import Watchdog

logger = logging.getLogger(__name__)

_HISTORY_LENGTH: Final = 256
"""Events that are kept for a client that comes back; one that missed more starts over at its acknowledgement."""

_PIECE_SECONDS: Final = 0.5
"""The most audio that is decoded at once, so that other streams get their turn."""


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event, and the sample (at the client's rate) before which no audio is needed by one who has the event."""

    event: Event
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one message of the client: its events, or an error that ends the session.

    `acknowledged` and `samples` (all that was decoded so far) are at the client's own rate.
    """

    cause: ClientMessage
    events: tuple[SessionEvent, ...]
    acknowledged: int
    samples: int
    error: ProtocolError | None = None


class Listener(Protocol):
    """Who is told what came of a session's messages: one connection at a time."""

    def notify(self, outcome: Outcome) -> None:
        """Take in an outcome; must not raise."""

    async def room(self) -> None:
        """Wait until more can be told: that is what stops a session whose client does not read."""


class Meter(Protocol):
    """Counts what a session does: for metrics, and for the minutes of a key."""

    def audio(self, seconds: float) -> None:
        """So much audio was decoded. Raises ProtocolError "minutes_used_up"."""

    def event(self, event: Event) -> None: ...

    def error(self, error: ProtocolError) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """`inbox_seconds` of audio may wait; a stream may be `stream_seconds` long."""

    inbox_seconds: float = 5.0
    stream_seconds: float = 14_400.0
    watchdog: Watchdog = field(default_factory=Watchdog)


class ServerSession:
    """One stream with its worker task; connections come and go.

    `first_sample` and `first_utterance` say where it goes on if another server began it.
    """

    def __init__(
        self,
        stream: RecognitionStream,
        start: Start,
        *,
        owner: str,
        meter: Meter,
        rules: SessionRules,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> None:
        self.id: Final = secrets.token_urlsafe(16)
        self.owner: Final = owner
        self.options = replace(start, resume=None)
        self.received = first_sample
        self.acknowledged = first_sample
        self.alive = True
        self._decoded = first_sample
        self._finished = False
        self._stream = stream
        self._meter = meter
        self._rules = rules
        self._clock = Clock(start.sample_rate)
        self._listener: Listener | None = None
        self._history: deque[SessionEvent] = deque(maxlen=_HISTORY_LENGTH)
        self._first_history = first_utterance
        rate = start.sample_rate * start.frame_bytes
        self._rate_bytes = rate
        self._piece_bytes = round(_PIECE_SECONDS * start.sample_rate) * start.frame_bytes
        self._inbox = Inbox(maximum_bytes=round(rules.inbox_seconds * rate), piece_bytes=self._piece_bytes)
        self._worker = asyncio.create_task(self._work(), name=f"session {self.id}")

    @property
    def queued_seconds(self) -> float:
        """Audio that waits for the recognizer."""
        return self._inbox.bytes / self._rate_bytes

    @property
    def unspellable(self) -> tuple[str, ...]:
        return tuple(self._stream.unspellable)

    @property
    def endpoint(self) -> EndpointRules:
        """The endpoint rules in force, with those that nobody chose."""
        return self._stream.endpoint

    async def take(self, message: ClientMessage) -> None:
        """Take in a message: audio in whole frames, `Update`, `Finalize`, `Finish`; waits while too much waits.

        Cancelled, it has taken what `received` counts.
        """
        if not isinstance(message, Audio):
            await self._inbox.room()
            self._inbox.put(message)
            return
        for start in range(0, len(message.data), self._piece_bytes):
            piece = message.data[start : start + self._piece_bytes]
            await self._inbox.room()
            self.received += len(piece) // self.options.frame_bytes
            self._inbox.put(Audio(piece))

    def remembers(self, utterance: int) -> bool:
        """Whether everything from this utterance on can be told again."""
        return self.alive and utterance >= self._first_history

    def same_audio(self, start: Start) -> bool:
        """Whether this start declares the audio that the session hears."""
        mine = self.options
        return (mine.encoding, mine.sample_rate, mine.channels) == (start.encoding, start.sample_rate, start.channels)

    def missed(self, utterance: int) -> tuple[SessionEvent, ...]:
        """What a client that has the end of every utterance before this one may have missed, without partials."""
        return tuple(item for item in self._history if item.event.utterance >= utterance)

    def attach(self, listener: Listener) -> None:
        """From now on tell this listener; the one before is told that it was superseded."""
        previous, self._listener = self._listener, listener
        if previous is not None:
            error = ProtocolError("superseded", "the session goes on over another connection")
            previous.notify(Outcome(Start(), (), self.acknowledged, self._decoded, error))

    def detach(self, listener: Listener) -> bool:
        """Stop telling this listener; False if it had been superseded already."""
        if self._listener is not listener:
            return False
        self._listener = None
        return True

    async def close(self) -> None:
        """End the worker and let go of the stream."""
        self.alive = False
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self._stream.close()

    async def _work(self) -> None:
        while self.alive:
            message = await self._inbox.get()
            for outcome in await self._outcomes(message):
                self._notify(outcome)
            if self._listener is not None:
                await self._listener.room()

    async def _outcomes(self, message: ClientMessage) -> list[Outcome]:
        """Do what a message asks; an error ends the session, but what it has to say first is said."""
        try:
            async with asyncio.timeout(self._rules.watchdog.answer_seconds):
                events = await self._do(message)
            outcomes = [self._outcome(message, events)]
            return outcomes + await self._reached_limit(message)
        except ProtocolError as error:
            return [self._ended(message, error)]
        except AudioError as error:
            return [self._ended(message, ProtocolError("bad_audio", str(error)))]
        except OptionError as error:
            return [self._ended(message, ProtocolError("bad_option", str(error)))]
        except TimeoutError:
            waited = self._rules.watchdog.answer_seconds
            return [self._ended(message, ProtocolError("stalled", f"the recognizer gave no answer for {waited:g} s"))]
        except Exception:
            logger.exception("a stream failed", extra={"session": self.id})
            return [self._ended(message, ProtocolError("internal", "the recognizer failed"))]

    async def _do(self, message: ClientMessage) -> list[Event]:
        match message:
            case Audio(data=data):
                events = await self._stream.push(data)
                self._decoded += len(data) // self.options.frame_bytes
                return events
            case Finalize():
                return await self._stream.finalize()
            case Finish():
                return [] if self._finished_before() else await self._stream.finish()
            case Update():
                await self._stream.update(message)
                self.options = updated(self.options, message)
        return []

    def _finished_before(self) -> bool:
        """Whether the stream was finished already, by a `finish` whose answer was lost with its connection."""
        before, self._finished = self._finished, True
        return before

    async def _reached_limit(self, message: ClientMessage) -> list[Outcome]:
        """At the end of the stream's length or the key's minutes, finish it, then say why."""
        if not isinstance(message, Audio):
            return []
        try:
            self._meter.audio(len(message.data) / self._rate_bytes)
            self._check_length()
        except ProtocolError as error:
            last = self._outcome(message, await self._stream.finish())
            return [last, self._ended(message, error)]
        decoded = self._decoded * SAMPLE_RATE // self.options.sample_rate
        self._rules.watchdog.check(self.options, decoded=decoded, acknowledged=self._stream.acknowledged)
        return []

    def _check_length(self) -> None:
        length = self._decoded / self.options.sample_rate
        if length > self._rules.stream_seconds:
            raise ProtocolError(
                "too_long", f"the stream is {length:.0f} s long; {self._rules.stream_seconds:g} s is the most"
            )

    def _outcome(self, cause: ClientMessage, events: list[Event]) -> Outcome:
        acknowledged = self._clock.to_client(self._stream.acknowledged)
        self.acknowledged = max(self.acknowledged, min(acknowledged, self._decoded))
        items = tuple(self._with_positions(events))
        for item in items:
            self._meter.event(item.event)
            if not isinstance(item.event, Partial):
                self._remember(item)
        return Outcome(cause, items, self.acknowledged, self._decoded)

    def _with_positions(self, events: list[Event]) -> list[SessionEvent]:
        """Every event with the audio that it settles; only what a final says of that is ever sent."""
        queued = self.queued_seconds
        finals = [event for event in events if isinstance(event, FinalEvent)]
        # Two finals in one answer are rare; one who has only the first may go on between their words.
        gaps = {this.utterance: (this.end + following.start) / 2 for this, following in pairwise(finals)}
        items = []
        for event in events:
            settled = self.acknowledged
            if isinstance(event, FinalEvent) and event.utterance in gaps:
                settled = min(settled, self._clock.to_client(int(gaps[event.utterance] * SAMPLE_RATE)))
            items.append(SessionEvent(replace(event, lag=event.lag + queued), settled))
        return items

    def _remember(self, item: SessionEvent) -> None:
        if len(self._history) == _HISTORY_LENGTH:
            self._first_history = self._history[0].event.utterance + 1
        self._history.append(item)

    def _ended(self, cause: ClientMessage, error: ProtocolError) -> Outcome:
        self.alive = False
        if self._listener is None:
            self._meter.error(error)
        return Outcome(cause, (), self.acknowledged, self._decoded, error)

    def _notify(self, outcome: Outcome) -> None:
        if self._listener is not None:
            self._listener.notify(outcome)
