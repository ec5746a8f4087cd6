"""Wyoming, as Home Assistant speaks it, as a codec of one transcription; a connection has one after the other.

States, and what each event of the client does in them:

| state     | describe, ping | transcribe | audio-start      | audio-chunk       | audio-stop       | others  |
|-----------|----------------|------------|------------------|-------------------|------------------|---------|
| waiting   | answered       | remembered | opens, listening | opens, recognized | empty transcript | nothing |
| listening | answered       | nothing    | nothing          | recognized        | flush, finishing | nothing |
| finishing | everything waits for the next transcription                                                     |

While it is listening, words are told as soon as they are settled (`transcript-start`, `transcript-chunk`); in the end
come `transcript`, with everything, and `transcript-stop`. Failures are an `error` and the end of the connection.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from streaming_asr.events import DetectedLanguage, Event, Final, Partial
from streaming_asr_server.adapter.interface import (
    HOTWORD_WEIGHT,
    Action,
    AudioFormat,
    CodecFailure,
    EndStream,
    OpenStream,
    Outgoing,
    PushAudio,
    close_with,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.wyoming.events import (
    EventReader,
    FramingError,
    Program,
    WireEvent,
    bare_language,
    encode,
)

DONE: typing.Final = 1000
"""The code with which a transcription hangs up that went well: the connection goes on with the next one."""

TERM_WEIGHT: typing.Final = HOTWORD_WEIGHT / 2
"""Terms count less than names (wyoming 1.10.2, `asr.py`)."""

_MAXIMUM_TERMS: typing.Final = 500
_CLOSE_CODES: typing.Final = {
    "audio": 1007,
    "request": 1008,
    "idle": 1001,
    "limit": 1008,
    "shutdown": 1012,
    "server": 1011,
}
_RATES: typing.Final = (8_000, 192_000)


class WyomingCodec:
    """One transcription; see `ForeignCodec` for how it is driven. Its messages are bytes, cut anywhere.

    Args:
        program: what `describe` is answered with.
        reader: holds what was received and not yet read, from one transcription of a connection to the next.
    """

    def __init__(self, program: Program, reader: EventReader) -> None:
        self._program: typing.Final = program
        self._reader: typing.Final = reader
        self._request: Mapping[str, Any] = {}
        self._audio: AudioFormat | None = None
        self._said = ""
        """What was told already; everything else goes on from it."""
        self._finals: list[str] = []
        self._detected: DetectedLanguage | None = None
        self._started = False
        self.finishing = False
        """No more of what the client says is read."""

    def greeting(self) -> Sequence[Outgoing]:
        """The server only ever answers."""
        return []

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """See the table of the module."""
        self._reader.push(raw if isinstance(raw, bytes) else raw.encode())
        actions: list[Action] = []
        try:
            while not self.finishing and (event := self._reader.next()) is not None:
                actions += self._understood(event)
        except FramingError as error:
            actions += self.refuse("bad_event", str(error), code=1007)
        return actions

    def _understood(self, event: WireEvent) -> Sequence[Action]:
        match event.type:
            case "describe":
                return [Send(self._program.info())]
            case "ping":
                text = event.data.get("text")
                return [Send(encode("pong", text=text if isinstance(text, str) else None))]
            case "transcribe" if self._audio is None:
                self._request = event.data
                return []
            case "audio-start" if self._audio is None:
                return self._open(event.data)
            case "audio-chunk":
                return self._chunk(event)
            case "audio-stop":
                return self._stop()
            case _:
                return []

    def _open(self, data: Mapping[str, Any]) -> Sequence[Action]:
        rate, channels = data.get("rate"), data.get("channels")
        lowest, highest = _RATES
        if type(rate) is not int or not lowest <= rate <= highest:
            return self.refuse("bad_audio", f"rate is {rate!r:.40}; it must be from {lowest} to {highest}")
        if type(channels) is not int or not 1 <= channels <= 8:
            return self.refuse("bad_audio", f"channels is {channels!r:.40}; it must be from 1 to 8")
        self._audio = AudioFormat("linear16", rate, channels)
        model, language = self._text("name"), self._text("language")
        return [OpenStream(audio=self._audio, hotwords=self._hotwords(), model=model, language=language)]

    def _chunk(self, event: WireEvent) -> Sequence[Action]:
        """Each chunk says its format; only its width may change."""
        actions = [] if self._audio is not None else list(self._open(event.data))
        if self.finishing or self._audio is None:
            return actions
        width, given = event.data.get("width"), (event.data.get("rate"), event.data.get("channels"))
        if given != (self._audio.sample_rate, self._audio.channels):
            wanted = f"({self._audio.sample_rate}, {self._audio.channels})"
            return self.refuse("bad_audio", f"rate and channels are {given!r:.60}; the audio began with {wanted}")
        if type(width) is not int or not 1 <= width <= 4:
            return self.refuse("bad_audio", f"width is {width!r:.40}; it must be from 1 to 4 bytes")
        return [*actions, PushAudio(to_linear16(event.payload, width))]

    def _stop(self) -> Sequence[Action]:
        self.finishing = True
        return [EndStream()] if self._audio is not None else [*self._transcript(), Close(DONE)]

    def refuse(self, name: str, message: str, code: int = 1008) -> Sequence[Outgoing]:
        """An `error` of this name, and the end of the connection."""
        self.finishing = True
        return [Send(encode("error", text=message, code=name)), close_with(code, message)]

    def _text(self, name: str) -> str | None:
        """A field of `transcribe`."""
        value = self._request.get(name)
        return value if isinstance(value, str) and value else None

    def _hotwords(self) -> dict[str, float]:
        """Names come first where there are too many."""
        weights = dict.fromkeys(_texts(self._request.get("transcript_names")), HOTWORD_WEIGHT)
        for term in _texts(self._request.get("transcript_terms")):
            weights.setdefault(term, TERM_WEIGHT)
        return dict(islice(weights.items(), _MAXIMUM_TERMS))

    def channels_known(self, channels: int) -> None:
        """Channels are always mixed."""

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Tell what has been settled: text that was told is never taken back."""
        match event:
            case Partial() if event.readable.committed:
                return self._send_news(" ".join((*self._finals, event.readable.committed)))
            case Final():
                self._finals.append(event.readable.text)
                self._detected = event.language or self._detected
                return self._send_news(" ".join(self._finals))
            case _:
                return []

    def _send_news(self, text: str) -> list[Outgoing]:
        news = text[len(self._said) :] if text.startswith(self._said) else ""
        if not news:
            return []
        self._said = text
        return [*self._begin(), Send(encode("transcript-chunk", text=news))]

    def _begin(self) -> list[Outgoing]:
        begun, self._started = self._started, True
        return [] if begun else [Send(encode("transcript-start", language=self._spoken()))]

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """Audio is not acknowledged."""
        return []

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """Never asked for."""
        return []

    def finished(self, position: float) -> Sequence[Outgoing]:
        """Everything, and the end of this transcription."""
        return [*self._transcript(), Close(DONE)]

    def _transcript(self) -> list[Outgoing]:
        transcript = encode("transcript", text=" ".join(self._finals), language=self._spoken())
        return [*self._begin(), Send(transcript), Send(encode("transcript-stop"))]

    def _spoken(self) -> str | None:
        if self._detected is not None:
            return bare_language(self._detected.code)
        asked = self._text("language")
        return bare_language(asked) if asked else next(iter(self._program.languages(self._text("name"))), None)

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """An idle connection is closed without a word, anything else with an `error`."""
        if failure.kind == "idle" and self._audio is None:
            return [Close(_CLOSE_CODES["idle"])]
        return self.refuse(failure.kind, failure.message, _CLOSE_CODES[failure.kind])


def to_linear16(payload: bytes, width: int) -> bytes:
    """Little-endian samples of 1 to 4 bytes as two bytes each; those of one byte are unsigned, as in WAV files."""
    if width == 2:
        return payload
    samples = np.frombuffer(payload[: len(payload) - len(payload) % width], np.uint8).reshape(-1, width)
    halves = samples[:, -2:] if width > 2 else np.concatenate([np.zeros_like(samples), samples ^ 0x80], axis=1)
    return bytes(halves.tobytes())


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    return [text for entry in value if isinstance(entry, str) and (text := entry.strip())]
