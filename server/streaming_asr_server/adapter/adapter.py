"""Runs a foreign codec on a connection: its actions become messages to the session, outcomes become its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from streaming_asr.endpointing import EndpointOptions
from streaming_asr.protocol import EndpointRules, ErrorCode, ProtocolError, Start, Update
from streaming_asr.text import FormatOptions
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    ForeignCodec,
    OpenStream,
    Outgoing,
    UpdateHotwords,
    UpdateSilence,
    UpdateTurns,
)
from streaming_asr_server.connection.connection import Instruction, ToClient, ToSession
from streaming_asr_server.sessions.inbox import AudioPiece
from streaming_asr_server.sessions.messages import EndStream, EndUtterance, OpenSession, PushAudio
from streaming_asr_server.sessions.outcomes import Outcome
from streaming_asr_server.sessions.registry import Opened

USUAL_SILENCE_MS: Final = EndpointOptions().trailing_silence_ms
"""The library's own rule, for a client that goes back to it."""

FailureKind: TypeAlias = Literal["audio", "request", "idle", "limit", "shutdown", "server"]

_FAILURES: Final[Mapping[ErrorCode, FailureKind]] = {
    "bad_message": "request",
    "bad_option": "request",
    "bad_audio": "audio",
    "out_of_order": "request",
    "too_big": "request",
    "too_fast": "limit",
    "start_timeout": "idle",
    "idle": "idle",
    "slow_reader": "limit",
    "superseded": "server",
    "too_long": "limit",
    "minutes_used_up": "limit",
    "overloaded": "limit",
    "internal": "server",
    "stalled": "server",
    "going_away": "shutdown",
}


class ProtocolAdapter:
    """Makes a `ForeignCodec` a codec of a connection. A session does everything in the order in which it was asked."""

    resumable: Final = False

    def __init__(self, codec: ForeignCodec) -> None:
        self._codec: Final = codec
        self._separate = False

    def receive(self, data: str | bytes) -> Sequence[Instruction]:
        """What a message of the client means for the session."""
        return [self._instruction(action) for action in self._codec.receive(data)]

    def opened(self, opened: Opened) -> Sequence[Outgoing]:
        """No foreign protocol tells it."""
        return []

    def outcome(self, outcome: Outcome) -> Sequence[Outgoing]:
        """The events, then the answer to what was asked for."""
        if self._separate and outcome.channels is not None:
            self._separate = False
            self._codec.channels_known(outcome.channels)
        messages = [message for item in outcome.events for message in self._codec.event(item.channel, item.event)]
        if outcome.rejected is not None:
            messages += self._codec.failed(CodecFailure("audio", outcome.rejected))
        return [*messages, *self._answer(outcome)]

    def failed(self, error: ProtocolError) -> Sequence[Outgoing]:
        """The end, in the words of the codec."""
        return self._codec.failed(CodecFailure(_FAILURES[error.code], str(error)))

    def _answer(self, outcome: Outcome) -> Sequence[Outgoing]:
        match outcome.cause:
            case AudioPiece() if outcome.messages and outcome.rejected is None:
                return self._codec.audio_recognized(outcome.messages, outcome.position)
            case EndUtterance(channel=channel):
                return self._codec.utterance_ended(channel, outcome.position)
            case EndStream() if outcome.rejected is None:
                return self._codec.finished(outcome.position)
        return []

    def _instruction(self, action: Action) -> Instruction:
        match action:
            case OpenStream():
                self._separate = action.audio.separate
                return ToSession(_session(action))
            case PushAudio() | EndUtterance() | EndStream():
                return ToSession(action)
            case UpdateHotwords(hotwords=hotwords):
                return ToSession(Update(hotwords=hotwords))
            case UpdateSilence(silence_ms=silence):
                return ToSession(Update(endpoint={"turn": "fixed", "trailing_silence_ms": silence or USUAL_SILENCE_MS}))
            case UpdateTurns(turns=turns):
                return ToSession(Update(endpoint=turns.rule()))
            case message:
                return ToClient((message,))


def _session(wanted: OpenStream) -> OpenSession:
    start = Start(
        model=wanted.model,
        language=wanted.language,
        hotwords=dict(wanted.hotwords),
        endpoint=_endpoint(wanted),
        partials=wanted.partials,
        alternatives=wanted.alternatives,
        formatted=wanted.formatted is not False,
    )
    # Clients exist that declare raw samples and send a file.
    raw = wanted.audio.bytes_per_second is not None
    formatted = wanted.formatted if isinstance(wanted.formatted, FormatOptions) else None
    return OpenSession(start, replace(wanted.audio, detect=raw), formatted, wanted.prompt)


def _endpoint(wanted: OpenStream) -> EndpointRules:
    if wanted.turns is not None:
        return wanted.turns.rule()
    return {} if wanted.silence_ms is None else {"trailing_silence_ms": wanted.silence_ms}
