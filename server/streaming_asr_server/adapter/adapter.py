"""Runs a foreign codec on a connection: its channels become streams, and its answers keep their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from streaming_asr import protocol as native
from streaming_asr.audio.samples import SAMPLE_RATE, Samples, seconds
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import AudioError
from streaming_asr.protocol import ErrorCode, ProtocolError, Start
from streaming_asr_server.adapter.audio import Ears, Heard
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    EndStream,
    EndUtterance,
    ForeignCodec,
    OpenStream,
    Outgoing,
    PushAudio,
    UpdateHotwords,
    UpdateSilence,
)
from streaming_asr_server.connection.connection import Instruction, ToClient, ToStream
from streaming_asr_server.sessions.registry import Opened
from streaming_asr_server.sessions.session import Outcome

USUAL_SILENCE_MS: Final = EndpointOptions().trailing_silence_ms
"""The library's own rule, for a client that goes back to it."""

_FAILURES: Final[Mapping[ErrorCode, Literal["audio", "request", "idle", "limit", "shutdown", "server"]]] = {
    "bad_message": "request",
    "bad_option": "request",
    "bad_audio": "audio",
    "out_of_order": "request",
    "too_big": "request",
    "start_timeout": "idle",
    "idle": "idle",
    "slow_reader": "limit",
    "superseded": "server",
    "too_long": "limit",
    "minutes_used_up": "limit",
    "internal": "server",
    "stalled": "server",
    "going_away": "shutdown",
}


@dataclass(slots=True)
class _PendingAnswer:
    """An answer that the codec gets once each stream in `marks` has decoded so many samples."""

    kind: Literal["taken", "finalized", "finished"]
    marks: Mapping[int, int]
    pieces: int = 0
    channel: int | None = None
    unanswered: set[int] = field(default_factory=set)
    """Streams that have not done the flush."""


class ProtocolAdapter:
    """Makes a `ForeignCodec` a codec of a connection.

    The codec's audio is decoded here, to 16 kHz mono, and each channel that is recognized for itself is a stream.
    """

    resumable: Final = False

    def __init__(self, codec: ForeignCodec) -> None:
        self._codec: Final = codec
        self._ears: Ears | None = None
        self._start: Start | None = None
        self._separate = False
        self._sent: dict[int, int] = {}
        """Samples given to each stream that is open."""
        self._decoded: dict[int, int] = {}
        self._pending: deque[_PendingAnswer] = deque()

    def receive(self, data: str | bytes) -> Sequence[Instruction]:
        """What a message of the client means for the streams."""
        instructions: list[Instruction] = []
        for action in self._codec.receive(data):
            instructions += self._execute(action)
        told = tuple(self._due_answers())
        return [*instructions, ToClient(told)] if told else instructions

    def opened(self, stream: int, opened: Opened) -> Sequence[Outgoing]:
        """No foreign protocol tells it."""
        return []

    def outcome(self, stream: int, outcome: Outcome) -> Sequence[Outgoing]:
        """The events of one message to one stream, then what the codec waited for."""
        messages = [message for item in outcome.events for message in self._codec.event(stream, item.event)]
        self._decoded[stream] = outcome.samples
        if isinstance(outcome.cause, native.Finalize | native.Finish):
            self._answer(stream)
        return [*messages, *self._due_answers()]

    def failed(self, error: ProtocolError) -> Sequence[Outgoing]:
        """The end, in the words of the codec."""
        return self._codec.failed(CodecFailure(_FAILURES[error.code], str(error)))

    def _execute(self, action: Action) -> Sequence[Instruction]:
        match action:
            case OpenStream():
                return self._open(action)
            case PushAudio():
                return self._audio(action)
            case EndUtterance(channel=channel):
                return self._flush("finalized", native.Finalize(), channel)
            case EndStream():
                return self._flush("finished", native.Finish())
            case UpdateHotwords(hotwords=hotwords):
                return self._update(native.Update(hotwords=hotwords))
            case UpdateSilence(silence_ms=silence):
                return self._update(native.Update(endpoint={"trailing_silence_ms": silence or USUAL_SILENCE_MS}))
            case message:
                return [ToClient((message,))]

    def _open(self, wanted: OpenStream) -> Sequence[Instruction]:
        self._ears = Ears(wanted.audio)
        self._separate = wanted.audio.separate
        self._start = Start(
            encoding="float32",
            sample_rate=SAMPLE_RATE,
            language=wanted.language,
            hotwords=dict(wanted.hotwords),
            endpoint={} if wanted.silence_ms is None else {"trailing_silence_ms": wanted.silence_ms},
            partials=wanted.partials,
            alternatives=wanted.alternatives,
        )
        return self._open_streams()

    def _open_streams(self) -> Sequence[Instruction]:
        """One stream per channel, as soon as it is known how many there are."""
        ears, start = self._opened()
        if self._sent or ears.channels is None:
            return []
        if self._separate:
            self._codec.separated(ears.channels)
        self._sent = dict.fromkeys(range(ears.channels), 0)
        return [ToStream(start, number) for number in self._sent]

    def _audio(self, audio: PushAudio) -> Sequence[Instruction]:
        ears, _ = self._opened()
        try:
            heard = ears.push(audio.data, audio.channel)
        except AudioError as error:
            return [ToClient(tuple(self._codec.failed(CodecFailure("audio", str(error)))))]
        instructions = [*self._open_streams(), *self._to_streams(heard)]
        last = self._pending[-1] if self._pending else None
        if last is not None and last.kind == "taken" and last.marks == self._sent:
            last.pieces += 1
        else:
            self._pending.append(_PendingAnswer("taken", dict(self._sent), pieces=1))
        return instructions

    def _flush(
        self,
        kind: Literal["finalized", "finished"],
        message: native.Finalize | native.Finish,
        channel: int | None = None,
    ) -> Sequence[Instruction]:
        """Give the streams what the ears hold back, then flush those that were asked for."""
        ears, _ = self._opened()
        try:
            heard = ears.flush() if kind == "finalized" else ears.finish()
        except AudioError as error:
            return [ToClient(tuple(self._codec.failed(CodecFailure("audio", str(error)))))]
        instructions = [*self._open_streams(), *self._to_streams(heard)]
        asked = set(self._sent) if channel is None else {channel} & set(self._sent)
        self._pending.append(_PendingAnswer(kind, dict(self._sent), channel=channel, unanswered=asked))
        return [*instructions, *(ToStream(message, number) for number in sorted(asked))]

    def _update(self, update: native.Update) -> Sequence[Instruction]:
        _, start = self._opened()
        if update.hotwords is not None:
            self._start = replace(start, hotwords=update.hotwords)
        if update.endpoint is not None:
            self._start = replace(start, endpoint={**start.endpoint, **update.endpoint})
        return [ToStream(update, number) for number in self._sent]

    def _to_streams(self, heard: Heard) -> Sequence[Instruction]:
        return [
            ToStream(self._counted(number, samples), number)
            for number, samples in heard.items()
            if len(samples) and number in self._sent
        ]

    def _counted(self, number: int, samples: Samples) -> native.Audio:
        self._sent[number] += len(samples)
        return native.Audio(samples.tobytes())

    def _answer(self, stream: int) -> None:
        """A stream has done a flush: the oldest one that still waits for it."""
        for answer in self._pending:
            if stream in answer.unanswered:
                answer.unanswered.discard(stream)
                return

    def _due_answers(self) -> list[Outgoing]:
        """Tell the codec what is done, in the order in which it was asked for."""
        messages: list[Outgoing] = []
        while self._pending and self._done(self._pending[0]):
            answer = self._pending.popleft()
            position = seconds(max(self._decoded.values(), default=0))
            match answer.kind:
                case "taken":
                    messages += self._codec.taken(answer.pieces, position)
                case "finalized":
                    messages += self._codec.finalized(answer.channel, position)
                case "finished":
                    messages += self._codec.finished(position)
        return messages

    def _done(self, answer: _PendingAnswer) -> bool:
        decoded = all(self._decoded.get(stream, 0) >= mark for stream, mark in answer.marks.items())
        return decoded and not answer.unanswered

    def _opened(self) -> tuple[Ears, Start]:
        assert self._ears is not None, "the codec did not open a stream before it used one"
        assert self._start is not None, "the codec did not open a stream before it used one"
        return self._ears, self._start
