"""Deepgram's live transcription (`/v1/listen`) as a codec.

States of the connection, and what each message of the client does in them:

| state   | audio      | Finalize              | Configure          | KeepAlive | CloseStream    | other text |
|---------|------------|-----------------------|--------------------|-----------|----------------|------------|
| open    | recognized | flushed, answered     | applied, answered  | nothing   | flush, closing | `Error`    |
| closing | dropped    | dropped               | dropped            | dropped   | dropped        | dropped    |

An empty binary message behind audio is a `CloseStream`: clients exist that end in this way; before audio it is nothing.
After the flush comes the `Metadata`, then the close, with 1000. `IDLE_SECONDS` without any message end the connection
with 1011, other faults with what `_CLOSE_CODES` says.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Sequence
from dataclasses import dataclass

from streaming_asr.events import (
    Alternative,
    DetectedLanguage,
    Event,
    Final,
    Partial,
    SpeechEnded,
    SpeechStarted,
    TurnEnding,
    TurnResumed,
    Word,
)
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    EndStream,
    EndUtterance,
    Outgoing,
    PushAudio,
    UpdateHotwords,
    close_with,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.deepgram import messages
from streaming_asr_server.protocols.deepgram.messages import (
    ClientMessage,
    CloseStream,
    Configure,
    FinalizeRequest,
    KeepAlive,
    Request,
    Span,
    Unreadable,
)
from streaming_asr_server.protocols.deepgram.options import MAXIMUM_TERMS, Listen

IDLE_SECONDS: typing.Final = 10.0
IDLE_REASON: typing.Final = (
    "Deepgram did not receive audio data or a text message within the timeout window. See https://dpgr.am/net0001"
)
_SERVER_FAULT: typing.Final = "NET-0000: the server could not go on"
_CLOSE_CODES: typing.Final = {"audio": 1008, "request": 1008, "limit": 1008, "shutdown": 1012, "server": 1011}


@dataclass(slots=True)
class _Channel:
    """What is known of one channel; times in seconds of audio."""

    number: int
    end: float = 0.0
    """Everything before this is final."""
    utterance: int = -1
    """The last utterance whose final was sent."""
    flushed: bool = False
    """A result marked `from_finalize` was sent for the `Finalize` under way."""
    speech_start: float | None = None
    """Where the speech began that is under way."""
    has_words: bool = False
    """Words of it were heard."""
    last_word_end: float | None = None
    """The end of the last final word, while its `UtteranceEnd` is still owed."""


class DeepgramCodec:
    """One connection of a Deepgram client; see `ForeignCodec` for how it is driven."""

    def __init__(self, listen: Listen, request: Request) -> None:
        self._listen: typing.Final = listen
        self._request: typing.Final = request
        known = listen.audio.channels if listen.audio.separate and listen.audio.encoding != "container" else 1
        self._channels: list[_Channel] = [_Channel(number) for number in range(known)]
        self._hash: typing.Final = hashlib.sha256()
        self._open = False
        self._has_audio = False
        self._closing = False

    def greeting(self) -> Sequence[Outgoing]:
        """Deepgram says nothing until there is something to say."""
        return []

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """See the table of the module. Recognition begins with the first message that is understood."""
        if self._closing:
            return []
        actions = self._understood(messages.read(raw))
        if self._open or not actions or isinstance(actions[0], Send):
            return actions
        self._open = True
        return [self._listen.open(), *actions]

    def _understood(self, message: PushAudio | ClientMessage) -> Sequence[Action]:
        match message:
            case PushAudio(data=b""):
                return self._close() if self._has_audio else []
            case PushAudio(data=data):
                self._has_audio = True
                self._hash.update(data)
                return [message]
            case KeepAlive():
                return []
            case FinalizeRequest(channel=channel):
                return self._finalize(channel)
            case CloseStream():
                return self._close()
            case Configure(keyterms=keyterms):
                return self._configure(keyterms)
            case Unreadable(text=text, problem=problem):
                return [Send(messages.error("SchemaError", problem, text))]

    def _close(self) -> Sequence[Action]:
        self._closing = True
        return [EndStream()]

    def _finalize(self, channel: int | None) -> Sequence[Action]:
        if channel is not None and channel >= len(self._channels):
            problem = f"Finalize names channel {channel}; there are {len(self._channels)}, counted from 0"
            return [Send(messages.error("SchemaError", problem))]
        return [EndUtterance(channel)]

    def _configure(self, keyterms: tuple[str, ...] | None) -> Sequence[Action]:
        if keyterms is None:
            return [Send(messages.configured(self._request, None))]
        if len(keyterms) > MAXIMUM_TERMS:
            description = f"{len(keyterms)} keyterms were sent; at most {MAXIMUM_TERMS} are taken"
            code = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"
            return [Send(messages.not_configured(self._request, code, description))]
        hotwords = self._listen.hotwords(keyterms)
        return [UpdateHotwords(hotwords), Send(messages.configured(self._request, keyterms))]

    def channels_known(self, channels: int) -> None:
        """See `ForeignCodec.separated`."""
        self._channels = [_Channel(number) for number in range(channels)]

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Recognition said something about one channel."""
        state = self._channels[channel]
        match event:
            case SpeechStarted(time=time):
                state.speech_start = time
                started = messages.speech_started(channel, len(self._channels), time)
                return [Send(started)] if self._listen.vad_events else []
            case Partial():
                return self._partial(state, event)
            case Final():
                return self._final(state, event)
            case SpeechEnded():
                return self._speech_ended(state, event)
            case TurnEnding() | TurnResumed():
                return []

    def _partial(self, state: _Channel, partial: Partial) -> Sequence[Outgoing]:
        state.has_words = bool(partial.words)
        actions = self._gap_before(state, partial.words)
        if self._listen.interim and partial.text:
            said = Alternative(partial.readable.text, 0.0, partial.readable.words)
            span = self._span(state, partial.start, partial.end)
            text = messages.results(self._request, span, [said], is_final=False, language=partial.language)
            actions.append(Send(text, replaces=state.number))
        return actions

    def _final(self, state: _Channel, final: Final) -> Sequence[Outgoing]:
        actions = self._gap_before(state, final.words)
        best = Alternative(final.readable.text, 0.0, final.readable.words)
        said = [best, *final.alternatives[1 : self._listen.alternatives]]
        actions.append(self._settle(state, said, final.start, final.end, final.reason, final.language))
        state.utterance, state.has_words = final.utterance, False
        if final.words:
            state.last_word_end = final.words[-1].end
        return actions

    def _speech_ended(self, state: _Channel, ended: SpeechEnded) -> Sequence[Outgoing]:
        """Speech in which no word was found still ends: a client that was told of its start waits for that."""
        start, state.speech_start = state.speech_start, None
        if state.utterance == ended.utterance:
            return []
        state.utterance, state.has_words = ended.utterance, False
        return [self._settle(state, [], ended.time if start is None else start, ended.time, ended.reason)]

    def _settle(
        self,
        state: _Channel,
        said: Sequence[Alternative],
        start: float,
        end: float,
        reason: str,
        language: DetectedLanguage | None = None,
    ) -> Outgoing:
        """A result that stays; `speech_final` unless the utterance was only too long, or the client wants none."""
        from_finalize = reason == "finalize"
        text = messages.results(
            self._request,
            self._span(state, start, end),
            said,
            is_final=True,
            speech_final=self._listen.endpoints and reason != "maximum_length",
            from_finalize=from_finalize,
            language=language,
        )
        state.end = max(state.end, end)
        state.flushed = state.flushed or from_finalize
        return Send(text)

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """Silence goes on: `UtteranceEnd` may have become due."""
        return [action for state in self._channels for action in self._gap_until(state, position)]

    def _gap_until(self, state: _Channel, position: float) -> Sequence[Outgoing]:
        if state.has_words:
            return []
        return self._gap(state, position if state.speech_start is None else state.speech_start)

    def _gap_before(self, state: _Channel, words: Sequence[Word]) -> list[Outgoing]:
        return self._gap(state, words[0].start) if words else []

    def _gap(self, state: _Channel, until: float) -> list[Outgoing]:
        """The `UtteranceEnd` of the last final word, if nothing was said from its end `until` there."""
        asked_ms, last = self._listen.utterance_end_ms, state.last_word_end
        if asked_ms is None or last is None or until - last < asked_ms / 1000:
            return []
        state.last_word_end = None
        return [Send(messages.utterance_end(state.number, len(self._channels), last))]

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """Every `Finalize` is answered, with an empty result if nothing was left to say."""
        unanswered = [state for state in self._asked(channel) if not state.flushed]
        answers = [self._settle(state, [], state.end, max(position, state.end), "finalize") for state in unanswered]
        for state in self._asked(channel):
            state.flushed = False
        return answers

    def finished(self, position: float) -> Sequence[Outgoing]:
        """The summary, and the end."""
        digest, channels = self._hash.hexdigest(), len(self._channels)
        text = messages.metadata(self._request, sha256=digest, duration=position, channels=channels)
        return [Send(text), Close(1000)]

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """Every failure ends the connection, with a code that says whose fault it is."""
        self._closing = True
        if failure.kind == "idle":
            return [Close(1011, IDLE_REASON)]
        told = {"audio": f"DATA-0000: {failure.message}", "server": _SERVER_FAULT}
        reason = told.get(failure.kind, failure.message)
        return [Send(messages.error(failure.kind, reason)), close_with(_CLOSE_CODES[failure.kind], reason)]

    def _asked(self, channel: int | None) -> Sequence[_Channel]:
        return self._channels if channel is None else [self._channels[channel]]

    def _span(self, state: _Channel, start: float, end: float) -> Span:
        """Results of a channel never overlap: none starts before the end of the last final one."""
        return Span(state.number, len(self._channels), max(start, state.end), end)
