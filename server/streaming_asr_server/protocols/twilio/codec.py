"""Twilio's media streams as a codec. Nothing is sent to Twilio: what is understood goes to the subscribers.

States of the connection, and what each message of Twilio does in them:

| state     | connected, mark, others | start             | media      | dtmf    | stop                 | unreadable  |
|-----------|-------------------------|-------------------|------------|---------|----------------------|-------------|
| waiting   | nothing                 | opens, streaming  | dropped    | dropped | close, 1000          | close, 1007 |
| streaming | nothing                 | nothing           | recognized | told    | flush, told, closing | close, 1007 |
| closing   | everything is dropped; after the flush comes the close, with 1000                                   |

Every call that was told to have started is told to have ended, once.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed, Word
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    EndStream,
    OpenStream,
    Outgoing,
    PushAudio,
    close_with,
)
from streaming_asr_server.connection.outbox import Close
from streaming_asr_server.protocols.twilio import messages
from streaming_asr_server.protocols.twilio.clock import TrackClock
from streaming_asr_server.protocols.twilio.messages import Call, Digit, Media, Message, Other, Stop, Unreadable

Notify: TypeAlias = Callable[[Call, Mapping[str, Any]], None]
"""Takes a message about a call for its subscribers; must not wait."""

_CLOSE_CODES: typing.Final = {
    "audio": 1007,
    "request": 1008,
    "idle": 1001,
    "limit": 1008,
    "shutdown": 1012,
    "server": 1011,
}


class TwilioCodec:
    """One media stream; see `ForeignCodec` for how it is driven. `notify` takes everything that was understood."""

    def __init__(self, notify: Notify) -> None:
        self._notify: typing.Final = notify
        self._call: Call | None = None
        self._clocks: dict[str, TrackClock] = {}
        self._position = 0.0
        self._closing = False
        self._over = False

    def greeting(self) -> Sequence[Outgoing]:
        """Twilio expects nothing."""
        return []

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """See the table of the module."""
        return [] if self._closing else self._understood(messages.read(raw))

    def _understood(self, message: Message) -> Sequence[Action]:
        match message:
            case Call():
                return self._start(message)
            case Media():
                return self._media(message)
            case Digit() if self._call is not None:
                self._notify(self._call, messages.pressed(self._call, message))
                return []
            case Stop():
                self._closing = True
                return [Close(1000)] if self._call is None else [EndStream()]
            case Unreadable(problem=problem):
                self._closing = True
                self._end("request", problem)
                return [close_with(1007, problem)]
            case Digit() | Other():
                return []

    def _start(self, call: Call) -> Sequence[Action]:
        if self._call is not None:
            return []
        self._call = call
        self._clocks = {track: TrackClock(call.encoding, call.sample_rate) for track in call.tracks}
        self._notify(call, messages.started(call))
        return [
            OpenStream(
                audio=call.audio,
                hotwords=call.hotwords,
                model=call.model,
                language=call.language,
                partials=call.partials,
            )
        ]

    def _media(self, media: Media) -> Sequence[Action]:
        """A track that was not announced has no channel."""
        if self._call is None or media.track not in self._clocks or not media.data:
            return []
        silence = self._clocks[media.track].before(media.data, media.timestamp)
        return [PushAudio(silence + media.data, self._call.tracks.index(media.track))]

    def channels_known(self, channels: int) -> None:
        """The tracks are known from the start."""

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Sent to the subscribers, with the times of the stream."""
        call = self._call
        assert call is not None, "an event came before the start"
        track = call.tracks[channel]
        self._notify(call, messages.happened(call, track, at_time(event, self._clocks[track].time)))
        return []

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """Audio is not acknowledged."""
        self._position = position
        return []

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """Never asked for."""
        return []

    def finished(self, position: float) -> Sequence[Outgoing]:
        """All was told."""
        self._position = position
        self._end("stop")
        return [Close(1000)]

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """The reason goes to the subscribers; Twilio sees the close."""
        self._closing = True
        self._end(failure.kind, failure.message)
        return [close_with(_CLOSE_CODES[failure.kind], failure.message)]

    def lost(self) -> None:
        """The connection has ended, in whatever way."""
        self._end("lost", "the connection ended before everything was recognized")

    def _end(self, reason: str, message: str = "") -> None:
        if self._call is not None and not self._over:
            self._over = True
            self._notify(self._call, messages.ended(self._call, reason, message, self._position))


def at_time(event: Event, time: Callable[[float], float]) -> Event:
    """The event with all its times on another clock."""

    def moved(words: Sequence[Word]) -> tuple[Word, ...]:
        return tuple(replace(word, start=time(word.start), end=time(word.end)) for word in words)

    match event:
        case SpeechStarted() | SpeechEnded() | TurnEnding() | TurnResumed():
            return replace(event, time=time(event.time))
        case Partial() | Final():
            formatted = event.formatted and replace(event.formatted, words=moved(event.formatted.words))
            start, end = time(event.start), time(event.end)
            return replace(event, words=moved(event.words), formatted=formatted, start=start, end=end)
