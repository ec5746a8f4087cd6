"""The codec of the native protocol, `/v1/stream`."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import replace

from streaming_asr.events import Event, Final, Partial
from streaming_asr.protocol import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    Finalize,
    Finish,
    Finished,
    Limits,
    ProtocolError,
    ServerEnd,
    ServerMessage,
    Start,
    Started,
    Update,
)
from streaming_asr.protocol.messages import Caution
from streaming_asr.protocol.states import State
from streaming_asr_server.connection.connection import ToSession
from streaming_asr_server.connection.outbox import Close, Outgoing, Send
from streaming_asr_server.sessions.messages import EndStream, EndUtterance, OpenSession, PushAudio
from streaming_asr_server.sessions.outcomes import Outcome, SessionEvent
from streaming_asr_server.sessions.registry import Opened

_ACKNOWLEDGEMENT_SECONDS: typing.Final = 1.0
"""So much audio, at least, between two acknowledgements that no final carries."""

_SIGN_OF_LIFE_SECONDS: typing.Final = 5.0
"""So much audio, at most, without an acknowledgement: pings wait behind audio, so the client must hear something."""


class NativeCodec:
    """One connection of the native protocol; `limits` are told to the client."""

    resumable: typing.Final = True

    def __init__(self, *, limits: Limits) -> None:
        self._end = ServerEnd(maximum_audio_bytes=limits.message_bytes)
        self._limits = limits
        self._options = Start()
        self._unspellable: tuple[str, ...] = ()
        self._opened: Opened | None = None
        self._acknowledged = 0
        self._told = 0

    def receive(self, data: str | bytes) -> Sequence[ToSession]:
        message = self._end.receive(data)
        match message:
            case Start():
                return [ToSession(OpenSession(message))]
            case Audio(data=audio):
                return [ToSession(PushAudio(audio))]
            case Finalize():
                return [ToSession(EndUtterance())]
            case Finish():
                return [ToSession(EndStream())]
            case Update():
                return [ToSession(message)]
        return []

    def opened(self, opened: Opened) -> Sequence[Outgoing]:
        session = opened.session
        self._opened, self._options, self._unspellable = opened, session.options, session.unspellable
        started = Started(
            session=session.id,
            model=session.options.model or "",
            first_sample=opened.first_sample,
            resumed=opened.resumed,
            options=replace(session.options, endpoint=session.endpoint),
            unspellable=session.unspellable,
            limits=self._limits,
        )
        return [self._send(started), *(self._event(item) for item in opened.missed)]

    def outcome(self, outcome: Outcome) -> Sequence[Outgoing]:
        messages = [self._event(item) for item in outcome.events]
        messages += self._acknowledgement(outcome)
        match outcome.cause:
            case EndStream():
                duration = outcome.samples / self._options.sample_rate
                return [*messages, self._send(Finished(outcome.samples, duration)), Close()]
            case Update():
                messages += self._caution()
        return messages

    def draining(self) -> Sequence[Outgoing]:
        """What to say when the server is about to stop."""
        if self._end.state not in (State.STREAMING, State.FINISHING):
            return []
        text = "the server is about to stop; the stream goes on until it does, then resume on another one or here"
        return [self._send(Caution("draining", text))]

    def failed(self, error: ProtocolError) -> Sequence[Outgoing]:
        text = self._end.fail(error)
        last = [] if text is None else [Send(text)]
        return [*last, Close(error.kind.close_code, error.code)]

    def _send(self, message: ServerMessage, replaces: int | None = None) -> Send:
        return Send(self._end.send(message), replaces)

    def _event(self, item: SessionEvent) -> Send:
        event = self._trimmed(item.event)
        match event:
            case Final():
                self._acknowledged = max(self._acknowledged, item.acknowledged)
                return self._send(AcknowledgedFinal(event, item.acknowledged))
            case Partial(utterance=utterance):
                return self._send(event, replaces=utterance)
        return self._send(event)

    def _trimmed(self, event: Event) -> Event:
        """Without the words and alternatives that were not asked for."""
        if isinstance(event, Final):
            asked = event.alternatives if self._options.alternatives > 1 else ()
            if not self._options.word_times:
                asked = tuple(replace(entry, words=()) for entry in asked)
            event = replace(event, alternatives=asked)
        if isinstance(event, Final | Partial) and not self._options.word_times:
            formatted = event.formatted and replace(event.formatted, words=())
            event = replace(event, words=(), formatted=formatted)
        return event

    def _acknowledgement(self, outcome: Outcome) -> list[Send]:
        """News of what is settled, or else, now and then, a sign that the audio is being dealt with."""
        rate = self._options.sample_rate
        news = outcome.acknowledged - self._acknowledged >= _ACKNOWLEDGEMENT_SECONDS * rate
        if not news and outcome.samples - self._told < _SIGN_OF_LIFE_SECONDS * rate:
            return []
        self._acknowledged, self._told = max(self._acknowledged, outcome.acknowledged), outcome.samples
        return [self._send(Acknowledged(self._acknowledged))]

    def _caution(self) -> list[Send]:
        """Say which new hotwords the model cannot spell."""
        assert self._opened is not None, "an outcome came without a session"
        before, self._unspellable = self._unspellable, self._opened.session.unspellable
        if not self._unspellable or self._unspellable == before:
            return []
        return [self._send(Caution("unspellable", f"the model cannot spell: {', '.join(self._unspellable)}"))]
