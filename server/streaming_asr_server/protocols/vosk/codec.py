"""Vosk's websocket server as a codec: every binary message has exactly one reply, in order.

States of the connection, and what each message of the client does in them:

| state   | config                                 | audio                      | reset         | eof            |
|---------|----------------------------------------|----------------------------|---------------|----------------|
| fresh   | all of it                              | opens, recognized, 1 reply | opens, 1 reply| opens, closing |
| open    | all but rate and count of alternatives | recognized, 1 reply        | flush, 1 reply| flush, closing |
| closing | dropped                                | dropped                    | dropped       | dropped        |

Other JSON is dropped, text that is not JSON and a rate that cannot be end the connection with 1007.
The reply to audio is a final if an utterance has ended since the last reply, else the partial; a second final waits for
the next reply. The reply to `reset` and to `eof` holds everything that has not been told. After that of `eof` comes the
close, with 1000.
"""

from __future__ import annotations

import typing
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from streaming_asr.events import Event, Final, Partial
from streaming_asr_server.adapter.interface import (
    HOTWORD_WEIGHT,
    Action,
    AudioFormat,
    CodecFailure,
    EndStream,
    EndUtterance,
    OpenStream,
    Outgoing,
    PushAudio,
    UpdateHotwords,
    close_with,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.vosk import messages
from streaming_asr_server.protocols.vosk.messages import ClientMessage, Configure, Eof, Form, Reset, Unreadable

_CLOSE_CODES: typing.Final = {
    "audio": 1007,
    "request": 1008,
    "idle": 1001,
    "limit": 1008,
    "shutdown": 1012,
    "server": 1011,
}


@dataclass(frozen=True, slots=True)
class VoskDefaults:
    """What the original takes from its environment: `VOSK_SAMPLE_RATE`, `VOSK_SHOW_WORDS`, `VOSK_ALTERNATIVES`.

    `model` is the name of the server's model that the address stands for.
    """

    sample_rate: int = 8_000
    words: bool = True
    alternatives: int = 0
    model: str | None = None


class VoskCodec:
    """One connection of a Vosk client; see `ForeignCodec` for how it is driven."""

    def __init__(self, defaults: VoskDefaults | None = None) -> None:
        chosen = defaults or VoskDefaults()
        self._rate = chosen.sample_rate
        self._form = Form(chosen.words, chosen.alternatives)
        self._model = chosen.model
        self._phrases: tuple[str, ...] = ()
        self._open = False
        self._closing = False
        self._partial = ""
        self._finals: deque[Final] = deque()
        """Those that were not told yet; more than one only if one piece of audio ended several utterances."""

    def greeting(self) -> Sequence[Outgoing]:
        """The server only ever answers."""
        return []

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """See the table of the module."""
        return [] if self._closing else self._understood(messages.read(raw))

    def _understood(self, message: PushAudio | ClientMessage) -> Sequence[Action]:
        match message:
            case PushAudio():
                return [*self._opening(), message]
            case Reset():
                return [*self._opening(), EndUtterance()]
            case Eof():
                self._closing = True
                return [*self._opening(), EndStream()]
            case Configure():
                return self._configure(message)
            case Unreadable(problem=problem):
                self._closing = True
                return [close_with(1007, problem)]

    def _opening(self) -> Sequence[Action]:
        """Recognition begins as late as the original's, so that a `config` before it counts."""
        if self._open:
            return []
        self._open = True
        audio = AudioFormat("linear16", self._rate)
        alternatives = max(1, self._form.alternatives)
        return [
            OpenStream(
                audio=audio,
                hotwords=self._hotwords(),
                model=self._model,
                alternatives=alternatives,
                formatted=False,
                prompt=True,
            )
        ]

    def _configure(self, wanted: Configure) -> Sequence[Action]:
        words = self._form.words if wanted.words is None else wanted.words
        alternatives = self._form.alternatives if wanted.alternatives is None else wanted.alternatives
        self._form = Form(words, alternatives)
        self._phrases = self._phrases if wanted.phrases is None else wanted.phrases
        if self._open:
            return [] if wanted.phrases is None else [UpdateHotwords(self._hotwords())]
        self._rate = self._rate if wanted.sample_rate is None else wanted.sample_rate
        return []

    def _hotwords(self) -> dict[str, float]:
        return dict.fromkeys(self._phrases, HOTWORD_WEIGHT)

    def channels_known(self, channels: int) -> None:
        """Vosk knows one channel only."""

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Kept for the next reply."""
        match event:
            case Partial(text=text):
                self._partial = text
            case Final():
                self._finals.append(event)
                self._partial = ""
        return []

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """One reply each."""
        return [self._reply() for _ in range(pieces)]

    def _reply(self) -> Send:
        if self._finals:
            return Send(messages.final([self._finals.popleft()], self._form))
        return Send(messages.partial(self._partial))

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """The answer to `reset`."""
        return [self._everything()]

    def finished(self, position: float) -> Sequence[Outgoing]:
        """The answer to `eof`, and the end."""
        return [self._everything(), Close(1000)]

    def _everything(self) -> Send:
        finals = list(self._finals)
        self._finals.clear()
        self._partial = ""
        return Send(messages.final(finals, self._form))

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """Vosk has no message for it: the close says why."""
        self._closing = True
        return [close_with(_CLOSE_CODES[failure.kind], failure.message)]
