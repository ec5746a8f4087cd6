"""OpenAI's Realtime API, in transcription sessions, as a codec.

The audio between two commits is one item. An item begins with its first audio, or where speech begins if the server
decides; its transcript grows by deltas, of committed words only, so that a delta is never taken back. Then:

| turn detection | an item ends             | what is sent, in this order                                          |
|----------------|--------------------------|----------------------------------------------------------------------|
| server         | where its speech ends    | speech_started, delta..., speech_stopped, committed, item, completed |
| server         | at a commit in its midst | the same                                                             |
| null           | at a commit              | delta..., committed, item, completed                                 |

`clear` ends an item without a word. There is no end of the stream: the client closes when it has what it wants.
"""

from __future__ import annotations

import math
import typing
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from streaming_asr.errors import OptionError
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed, Word
from streaming_asr_server.adapter.choosing import ChooseModel
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    EndUtterance,
    Outgoing,
    PushAudio,
    UpdateHotwords,
    UpdateSilence,
    UpdateTurns,
    close_with,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.openai import messages
from streaming_asr_server.protocols.openai.messages import (
    Clear,
    Commit,
    Dialect,
    ErrorType,
    Invalid,
    LogProbability,
    Messages,
    Problem,
    UpdateSession,
)
from streaming_asr_server.protocols.openai.session_settings import InvalidSettingError, SessionSettings

MINIMUM_COMMIT_SECONDS: typing.Final = 0.1
_CODES: typing.Final = {
    "request": ("invalid_value", 1008),
    "idle": ("session_expired", 1008),
    "limit": ("session_expired", 1008),
    "shutdown": ("server_shutdown", 1012),
    "server": ("server_error", 1011),
}
"""The error's code and the close's, by kind of failure."""


@dataclass(slots=True)
class _Item:
    """The item under way; times in seconds of audio."""

    id: str
    start: float
    announced: bool = False
    """The client was told that its speech started, so its end of speech ends it."""
    finals: list[str] = field(default_factory=list)
    sent: str = ""
    """All deltas together."""
    words: list[Word] = field(default_factory=list)
    """The words of the finals, and how many words were sent."""
    sent_words: int = 0

    @property
    def text(self) -> str:
        return " ".join(self.finals)


@dataclass(slots=True)
class _Flush:
    """A commit or a clear whose flush is under way; `received` is all the audio, in seconds, that came before it."""

    kind: Literal["commit", "clear"]
    received: float
    ended_item: bool = False
    """The flush found speech under way, and its end was the item's."""


class OpenAICodec:
    """One connection of an OpenAI Realtime client; see `ForeignCodec` for how it is driven.

    Args:
        settings: what the session begins with.
        dialect: how the server speaks first; updates are answered in the dialect they come in.
        session_id: begins with `sess_`.
        expires_at: when the server will end the session, seconds since the epoch.
        follows_sense: whether there is a text model for a language, by which an utterance can end as its sense asks; of
            one of the server's models, by its name.
        choose: finds the server's model that is meant. It raises OptionError.
    """

    def __init__(
        self,
        settings: SessionSettings,
        dialect: Dialect,
        *,
        session_id: str,
        expires_at: int,
        follows_sense: Callable[[str | None, str | None], bool],
        choose: ChooseModel = lambda model, language: None,
    ) -> None:
        self._choose: typing.Final = choose
        self._settings = settings
        self._dialect = dialect
        self._session_id: typing.Final = session_id
        self._expires_at: typing.Final = expires_at
        self._knows_sense: typing.Final = follows_sense
        self._follows_sense = False
        self._messages: typing.Final = Messages(session_id)
        self._open = False
        self._received = 0.0
        self._requested = 0.0
        """Up to here a commit or a clear was asked for."""
        self._settled = 0.0
        """Up to here the audio belongs to items that were sent, or was cleared."""
        self._item: _Item | None = None
        self._items = 0
        self._previous: str | None = None
        self._flushes: deque[_Flush] = deque()

    def greeting(self) -> Sequence[Outgoing]:
        """The server speaks first."""
        return [self._session("created")]

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """One event of the client."""
        match messages.read(raw):
            case PushAudio() as audio:
                return self._append(audio)
            case UpdateSession() as update:
                return self._update(update)
            case Commit(event_id=event_id):
                return self._commit(event_id)
            case Clear():
                return self._clear()
            case Invalid(problem=problem):
                return [Send(self._messages.error(problem))]

    def _append(self, audio: PushAudio) -> Sequence[Action]:
        if not audio.data:
            return []
        self._received += self._settings.seconds(len(audio.data))
        if self._open:
            return [audio]
        try:
            model = self._choose(self._settings.model, self._settings.language)
        except OptionError as error:
            return self.failed(CodecFailure("request", str(error)))
        self._open = True
        self._follows_sense = self._knows_sense(self._settings.language, model)
        return [self._settings.open(model, follows_sense=self._follows_sense), audio]

    def _update(self, update: UpdateSession) -> Sequence[Action]:
        self._dialect = update.dialect
        before = self._settings
        try:
            settings = before.updated(update.fields)
            if self._open and settings.audio != before.audio:
                raise InvalidSettingError("The audio format cannot change once audio was appended.", "session.audio")
            self._check_model(settings)
        except InvalidSettingError as error:
            return [Send(self._messages.error(Problem(str(error), "invalid_value", error.param, update.event_id)))]
        self._settings = settings
        return [*self._changes(before), self._session("updated")]

    def _check_model(self, settings: SessionSettings) -> None:
        """Raises InvalidSettingError for a model or a language that is not there."""
        try:
            self._choose(settings.model, settings.language)
        except OptionError as error:
            raise InvalidSettingError(str(error), "session.audio.input.transcription.model") from error

    def _changes(self, before: SessionSettings) -> list[Action]:
        """What a running stream must be told."""
        changes: list[Action] = []
        if self._open and self._ending(self._settings) != self._ending(before):
            changes.append(self._ending(self._settings))
        if self._open and self._settings.hotwords() != before.hotwords():
            changes.append(UpdateHotwords(self._settings.hotwords()))
        return changes

    def _ending(self, settings: SessionSettings) -> UpdateTurns | UpdateSilence:
        """What ends an utterance by these settings."""
        turns = settings.turns if self._follows_sense else None
        return UpdateSilence(settings.silence_ms) if turns is None else UpdateTurns(turns)

    def _commit(self, event_id: str | None) -> Sequence[Action]:
        buffered = round(self._received - max(self._requested, self._settled), 6)
        if buffered < MINIMUM_COMMIT_SECONDS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio,"
                f" but buffer only has {max(buffered, 0.0) * 1000:.2f}ms of audio."
            )
            problem = Problem(message, "input_audio_buffer_commit_empty", event_id=event_id)
            return [Send(self._messages.error(problem))]
        return self._flush("commit")

    def _clear(self) -> Sequence[Action]:
        return self._flush("clear") if self._open else [Send(self._messages.cleared())]

    def _flush(self, kind: Literal["commit", "clear"]) -> Sequence[Action]:
        self._flushes.append(_Flush(kind, self._received))
        self._requested = self._received
        return [EndUtterance()]

    def channels_known(self, channels: int) -> None:
        """One channel only: this is never called."""

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Recognition said something; what belongs to audio that will be cleared is not passed on."""
        if self._flushes and self._flushes[0].kind == "clear":
            return []
        match event:
            case SpeechStarted(time=time):
                return self._speech_started(time)
            case Partial():
                item = self._current()
                said = event.readable
                return self._grow(item, _joined(item.text, said.committed), [*item.words, *said.words])
            case Final():
                return self._final(event)
            case SpeechEnded(time=time):
                return self._speech_ended(time)
            case TurnEnding() | TurnResumed():
                return []

    def _speech_started(self, time: float) -> Sequence[Outgoing]:
        if self._settings.turn_detection is None:
            return []
        item = self._current(time)
        if item.announced:
            return []
        item.announced = True
        return [Send(self._messages.speech_started(item.id, _milliseconds(time)))]

    def _final(self, final: Final) -> Sequence[Outgoing]:
        item = self._current()
        item.finals.append(final.readable.text)
        item.words.extend(final.readable.words)
        return self._grow(item, item.text, item.words)

    def _grow(self, item: _Item, text: str, words: Sequence[Word]) -> Sequence[Outgoing]:
        """The delta from what was sent to a text that begins with it."""
        delta = text.removeprefix(item.sent) if text.startswith(item.sent) else ""
        if not delta:
            return []
        count = len(text.split())
        fresh = words[item.sent_words : count]
        item.sent, item.sent_words = text, count
        return [Send(self._messages.delta(item.id, delta, self._logprobs(fresh)))]

    def _speech_ended(self, time: float) -> Sequence[Outgoing]:
        item = self._item
        if item is None or not item.announced:
            return []
        stopped = Send(self._messages.speech_stopped(item.id, _milliseconds(time)))
        if self._flushes:
            self._flushes[0].ended_item = True
        return [stopped, *self._complete(item, max(time, item.start))]

    def _complete(self, item: _Item, end: float) -> Sequence[Outgoing]:
        """Commit the item and give its transcript."""
        previous, self._previous = self._previous, item.id
        self._item, self._settled = None, end
        logprobs = self._logprobs(item.words)
        texts = [
            self._messages.committed(item.id, previous),
            *self._messages.item(item.id, previous, self._dialect),
            self._messages.completed(item.id, item.text, end - item.start, logprobs),
        ]
        return [Send(text) for text in texts]

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """Appends are not answered."""
        return []

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """The flush for a commit or a clear is done."""
        flush = self._flushes.popleft()
        if flush.kind == "commit" and not flush.ended_item:
            return self._complete(self._current(), flush.received)
        self._settled = flush.received
        if flush.kind == "commit":
            return []
        self._item = None
        return [Send(self._messages.cleared())]

    def finished(self, position: float) -> Sequence[Outgoing]:
        """Never asked for by this protocol."""
        return [Close(1000)]

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """Audio that cannot be decoded fails its item, or is an error; everything else is an error and the end."""
        if failure.kind == "audio":
            problem = Problem(failure.message, "invalid_audio", "audio")
            failed = self._item and self._messages.failed(self._item.id, problem)
            return [Send(failed or self._messages.error(problem))]
        code, close_code = _CODES[failure.kind]
        fault: ErrorType = "server_error" if failure.kind in ("shutdown", "server") else "invalid_request_error"
        problem = Problem(failure.message, code, type=fault)
        return [Send(self._messages.error(problem)), close_with(close_code, failure.message)]

    def _session(self, what: Literal["created", "updated"]) -> Send:
        told = self._settings.json(self._dialect, session_id=self._session_id, expires_at=self._expires_at)
        return Send(self._messages.session(what, told, self._dialect))

    def _current(self, start: float | None = None) -> _Item:
        """The item under way, or a new one."""
        if self._item is None:
            self._items += 1
            name = f"item_{self._session_id.removeprefix('sess_')}_{self._items}"
            self._item = _Item(name, self._settled if start is None else start)
        return self._item

    def _logprobs(self, words: Sequence[Word]) -> Sequence[LogProbability] | None:
        """Confidences as logarithms, if the client asked for them."""
        if not self._settings.logprobs:
            return None
        return [LogProbability(word.text, round(math.log(max(word.confidence, 1e-6)), 4)) for word in words]


def _joined(first: str, second: str) -> str:
    return f"{first} {second}" if first and second else first or second


def _milliseconds(time: float) -> int:
    return round(time * 1000)
