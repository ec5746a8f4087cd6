"""Sessions outlive connections: the streams, what waits for them, and what their client may have missed."""

from __future__ import annotations

import asyncio
import logging
import secrets
import typing
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from streaming_asr.audio.samples import SAMPLE_RATE, seconds
from streaming_asr.errors import AudioError, OptionError
from streaming_asr.events import Event, Final, Partial
from streaming_asr.protocol import Clock, EndpointRules, ProtocolError, Start, Update, updated
from streaming_asr_server.recognition.interface import RecognitionStream
from streaming_asr_server.sessions.channels import ChannelEvents, ChannelStreams
from streaming_asr_server.sessions.decoding import AudioFormat
from streaming_asr_server.sessions.inbox import AudioPiece, Inbox, Item
from streaming_asr_server.sessions.messages import EndStream, EndUtterance, OpenSession, PushAudio, SessionMessage
from streaming_asr_server.sessions.outcomes import Listener, Meter, Outcome, SessionEvent, Spectator
from streaming_asr_server.sessions.watchdog import Watchdog

logger = logging.getLogger(__name__)

_HISTORY_LENGTH: typing.Final = 256
"""Events that are kept for a client that comes back; one that missed more starts over at its acknowledgement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """`inbox_seconds` of audio may wait; a stream may be `stream_seconds` long."""

    inbox_seconds: float = 5.0
    stream_seconds: float = 14_400.0
    watchdog: Watchdog = field(default_factory=Watchdog)


class ServerSession:
    """One client's audio with its worker task; connections come and go.

    Args:
        open_stream: opens the stream of one more channel. Raises OptionError.
        wanted: what the client declared, and what it wants. Where it says what the audio really is, pieces that cannot
            be decoded are rejected; else they end the session.
        first_sample, first_utterance: where it goes on if another server began it.

    Raises:
        OptionError: the audio cannot be taken, or the options cannot work.
    """

    def __init__(
        self,
        open_stream: Callable[[Start], RecognitionStream],
        wanted: OpenSession,
        *,
        owner: str,
        meter: Meter,
        rules: SessionRules,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> None:
        start, audio = wanted.start, wanted.audio
        self.id: typing.Final = secrets.token_urlsafe(16)
        self.owner: typing.Final = owner
        self.options = replace(start, resume=None)
        self.received = first_sample
        self.acknowledged = first_sample
        self.alive = True
        self._audio: typing.Final = audio or AudioFormat(start.encoding, start.sample_rate, start.channels)
        self._piece_bytes: typing.Final = self._audio.piece_bytes
        self._frame_bytes: typing.Final = None if audio else start.frame_bytes
        self._clock = Clock(SAMPLE_RATE if audio else start.sample_rate)
        position = self._clock.from_client(first_sample) or 0
        self._streams = ChannelStreams(self._audio, lambda: open_stream(self.options), position=position)
        self._samples = first_sample
        self._finished = False
        self._prompt: typing.Final = wanted.prompt
        self._meter = meter
        self._rules = rules
        self._listener: Listener | None = None
        self._spectator: Spectator | None = None
        self._history: deque[SessionEvent] = deque(maxlen=_HISTORY_LENGTH)
        self._first_in_history = first_utterance
        self._inbox = Inbox(self._audio, maximum_seconds=rules.inbox_seconds)
        self._worker = asyncio.create_task(self._work(), name=f"session {self.id}")

    @property
    def queued_seconds(self) -> float:
        """Audio that waits for the recognizer; what is only gathered, since nothing can come of it yet, does not."""
        return self._inbox.seconds if self._inbox.ripe else 0.0

    @property
    def queued_messages(self) -> int:
        """Messages that wait for the recognizer; neighbouring audio will be joined."""
        return len(self._inbox)

    @property
    def unspellable(self) -> tuple[str, ...]:
        return self._streams.unspellable

    @property
    def endpoint(self) -> EndpointRules:
        """The endpoint rules in force, with those that nobody chose."""
        return self._streams.endpoint

    async def take(self, message: SessionMessage, *, listener: Listener | None = None) -> None:
        """Take in a message; waits while too much waits. Cancelled, it has taken what `received` counts.

        Of a `listener` that was superseded nothing is taken: the one that came after it was told what `received`
        counted then, and sends everything from there.
        """
        for piece in self._pieces(message):
            if self._inbox.full:
                await self._inbox.room()
            self._put(piece, listener)

    @property
    def has_room(self) -> bool:
        """Whether `take` would not have to wait."""
        return self.alive and not self._inbox.full

    def take_now(self, message: SessionMessage, *, listener: Listener) -> None:
        """As `take`, without waiting: for a small message, while there is room."""
        for piece in self._pieces(message):
            self._put(piece, listener)

    def _put(self, piece: Item, listener: Listener | None) -> None:
        if listener is not None and listener is not self._listener:
            return
        if isinstance(piece, AudioPiece) and self._frame_bytes is not None:
            self.received += len(piece.data) // self._frame_bytes
        self._inbox.put(piece)

    def _pieces(self, message: SessionMessage) -> Iterable[Item]:
        """Audio in pieces of the size that is decoded at once, the last of which completes it; else the message."""
        if not isinstance(message, PushAudio):
            return (message,)
        data, channel, size = message.data, message.channel, self._piece_bytes
        if size is None or len(data) <= size:
            return (AudioPiece(data, channel),)
        starts = range(0, len(data), size)
        return [AudioPiece(data[at : at + size], channel, completes=int(at + size >= len(data))) for at in starts]

    def remembers(self, utterance: int) -> bool:
        """Whether everything from this utterance on can be sent again."""
        return self.alive and utterance >= self._first_in_history

    def same_audio(self, start: Start) -> bool:
        """Whether this start declares the audio that the session takes."""
        mine = self.options
        return (mine.encoding, mine.sample_rate, mine.channels) == (start.encoding, start.sample_rate, start.channels)

    def missed(self, utterance: int) -> tuple[SessionEvent, ...]:
        """What a client that has the end of every utterance before this one may have missed, without partials."""
        return tuple(item for item in self._history if item.event.utterance >= utterance)

    def attach(self, listener: Listener) -> None:
        """From now on notify this listener; the one before learns that it was superseded."""
        previous, self._listener = self._listener, listener
        if previous is not None:
            error = ProtocolError("superseded", "the session goes on over another connection")
            previous.notify(self._outcome(EndStream(), error=error))

    def detach(self, listener: Listener) -> bool:
        """Stop notifying this listener; False if it had been superseded already."""
        if self._listener is not listener:
            return False
        self._listener = None
        return True

    def show_to(self, spectator: Spectator | None) -> None:
        """From now on this spectator sees what is said; first, what is still known of what was said before."""
        previous, self._spectator = self._spectator, spectator
        if previous is not None:
            previous.ended()
        if spectator is not None:
            for item in self._history:
                spectator.event(item.event)

    async def close(self) -> None:
        """End the worker and let go of the streams."""
        self.alive = False
        self.show_to(None)
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self._streams.close()

    async def _work(self) -> None:
        while self.alive:
            await self._deal_with(await self._inbox.get())
            if self._listener is not None:
                await self._listener.room()
            self._inbox.wanted_bytes = 0 if self._prompt else self._streams.patience_bytes

    async def _deal_with(self, item: Item) -> None:
        """Do what a message asks; an error ends the session, but what it has to say first is said."""
        try:
            async with asyncio.timeout(self._rules.watchdog.answer_seconds) as patience:
                await self._do(item, patience)
        except ProtocolError as error:
            self._end(item, error)
        except AudioError as error:
            self._end(item, ProtocolError("bad_audio", str(error)))
        except OptionError as error:
            self._end(item, ProtocolError("bad_option", str(error)))
        except TimeoutError:
            waited = self._rules.watchdog.answer_seconds
            self._end(item, ProtocolError("stalled", f"the recognizer gave no answer for {waited:g} s"))
        except Exception:
            logger.exception("a stream failed", extra={"session": self.id})
            self._end(item, ProtocolError("internal", "the recognizer failed"))

    async def _do(self, item: Item, patience: asyncio.Timeout) -> None:
        match item:
            case AudioPiece():
                await self._recognize(item, patience)
            case EndUtterance(channel=channel):
                self._tell(item, await self._streams.end_utterance(channel))
            case EndStream():
                await self._end_stream(item, patience)
            case Update():
                await self._streams.update(item)
                self.options = updated(self.options, item)
                self._tell(item)

    async def _recognize(self, piece: AudioPiece, patience: asyncio.Timeout) -> None:
        """Decode and recognize a piece, less than a second at a time; the last outcome completes its messages."""
        rejected = None
        self._inbox.note_decoded(size=len(piece.data))
        try:
            async with aclosing(self._streams.decode(piece.data, piece.channel)) as decoded:
                async for samples in decoded:
                    before = self._streams.position
                    events = await self._streams.recognize(samples)
                    self._inbox.note_decoded(seconds=seconds(self._streams.position - before))
                    self._count_samples(piece)
                    self._tell(piece, events)
                    self._answered(patience)
                    await self._check_limits(piece)
        except AudioError as error:
            if self._frame_bytes is not None:
                raise
            rejected = str(error)
        self._tell(piece, messages=piece.completes, rejected=rejected)

    def _answered(self, patience: asyncio.Timeout) -> None:
        """Count from here how long the next answer takes."""
        patience.reschedule(asyncio.get_running_loop().time() + self._rules.watchdog.answer_seconds)

    def _count_samples(self, piece: AudioPiece) -> None:
        """Raw samples of a resumable client are one step: all of them are decoded then."""
        if self._frame_bytes is not None:
            self._samples += len(piece.data) // self._frame_bytes

    async def _end_stream(self, item: EndStream, patience: asyncio.Timeout) -> None:
        """The end; a second one is for a client whose connection was lost before the answer, and finds it done."""
        if self._finished:
            self._tell(item)
            return
        rejected = None
        self._finished = True
        try:
            self._tell(AudioPiece(b""), await self._streams.end_audio())
        except AudioError as error:
            rejected = str(error)
        self._answered(patience)
        self._tell(item, await self._streams.finish(), rejected=rejected)

    async def _check_limits(self, piece: AudioPiece) -> None:
        """At the end of the stream's length or the key's minutes, finish it, then raise why."""
        try:
            self._meter.audio(self._streams.unmetered_seconds())
            self._check_length()
        except ProtocolError:
            self._tell(piece, await self._streams.finish())
            raise
        self._streams.check(self._rules.watchdog, self.options)

    def _check_length(self) -> None:
        length = seconds(self._streams.position)
        if length > self._rules.stream_seconds:
            raise ProtocolError(
                "too_long", f"the stream is {length:.0f} s long; {self._rules.stream_seconds:g} s is the most"
            )

    def _tell(self, cause: Item, events: ChannelEvents = (), **more: Any) -> None:
        """Tell the listener what came of a message; its events are counted and remembered."""
        acknowledged = self._clock.to_client(self._streams.acknowledged)
        if self._frame_bytes is None:
            self._samples = self._streams.position
        self.acknowledged = max(self.acknowledged, min(acknowledged, self._samples))
        items = [item for channel, of_channel in events for item in self._items(channel, of_channel)]
        for item in items:
            self._meter.event(item.event)
            if self._spectator is not None:
                self._spectator.event(item.event)
            if not isinstance(item.event, Partial):
                self._remember(item)
        self._notify(self._outcome(cause, events=tuple(items), **more))

    def _items(self, channel: int, events: Sequence[Event]) -> list[SessionEvent]:
        """Every event with the audio that it settles; only what a final says of that is ever sent."""
        queued = self._inbox.seconds
        finals = [event for event in events if isinstance(event, Final)]
        # Two finals in one answer are rare; one who has only the first may go on between their words.
        gaps = {this.utterance: (this.end + following.start) / 2 for this, following in pairwise(finals)}
        items = []
        for event in events:
            settled = self.acknowledged
            if isinstance(event, Final) and event.utterance in gaps:
                settled = min(settled, self._clock.to_client(int(gaps[event.utterance] * SAMPLE_RATE)))
            items.append(SessionEvent(replace(event, lag=event.lag + queued), settled, channel))
        return items

    def _remember(self, item: SessionEvent) -> None:
        if len(self._history) == _HISTORY_LENGTH:
            self._first_in_history = self._history[0].event.utterance + 1
        self._history.append(item)

    def _end(self, cause: Item, error: ProtocolError) -> None:
        self.alive = False
        if self._listener is None:
            self._meter.error(error)
        self._notify(self._outcome(cause, error=error))

    def _notify(self, outcome: Outcome) -> None:
        if self._listener is not None:
            self._listener.notify(outcome)

    def _outcome(self, cause: Item, **more: Any) -> Outcome:
        return Outcome(
            cause=cause,
            acknowledged=self.acknowledged,
            samples=self._samples,
            position=seconds(self._streams.position),
            channels=self._streams.count,
            **more,
        )
