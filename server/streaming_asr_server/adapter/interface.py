"""What a foreign wire protocol takes and gives: the seam between its codec and recognition, without I/O, clock, thread.

A codec is driven by `adapter.ProtocolAdapter`. Each message of the client is given to `receive`, in order of arrival.
The codec answers with actions, which are done in their order. Their results come in the same order: the events of some
audio, then `audio_recognized`; the events of a flush, then `utterance_ended`; and so on. Several actions may be under
way: an event that follows a message may still belong to audio from before it. Positions are seconds of audio since the
stream was opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias

from streaming_asr.decoding import DEFAULT_WEIGHT
from streaming_asr.events import Event
from streaming_asr.text import FormatOptions
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.sessions.decoding import AudioFormat
from streaming_asr_server.sessions.messages import EndStream, EndUtterance, PushAudio

__all__ = [
    "HOTWORD_WEIGHT",
    "Action",
    "AudioFormat",
    "CodecFailure",
    "EndStream",
    "EndUtterance",
    "ForeignCodec",
    "OpenStream",
    "Outgoing",
    "PushAudio",
    "Turns",
    "UpdateHotwords",
    "UpdateSilence",
    "UpdateTurns",
    "close_with",
]

HOTWORD_WEIGHT: Final = DEFAULT_WEIGHT
"""The weight of a hotword whose protocol has no weights."""

_LONGEST_REASON: Final = 123

# Actions: what is done for the codec, beside `PushAudio`, `EndUtterance`, `EndStream`, `Send` and `Close`.


@dataclass(frozen=True, slots=True)
class Turns:
    """The silence that ends an utterance follows its sense, between these two bounds in milliseconds."""

    shortest_ms: float
    longest_ms: float

    def rule(self) -> dict[str, float | str]:
        """As an endpoint rule of the native protocol."""
        return {"turn": "adaptive", "shortest_silence_ms": self.shortest_ms, "longest_silence_ms": self.longest_ms}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStream:
    """Begin recognition, once; it comes before everything else but `Send` and `Close`."""

    audio: AudioFormat
    hotwords: Mapping[str, float] = field(default_factory=dict)
    silence_ms: int | None = None
    """So much silence ends an utterance; None is the server's own rule."""
    turns: Turns | None = None
    """Instead, the silence follows the sense; it needs a text model."""
    model: str | None = None
    """The name of one of the server's models; None is the one that fits the language."""
    language: str | None = None
    alternatives: int = 1
    partials: bool = True
    formatted: FormatOptions | bool = True
    """Whether words come with marks, capitals and figures too, and with which of them."""
    prompt: bool = False
    """Whether `audio_recognized` is to be called for every message of audio, when it comes."""


@dataclass(frozen=True, slots=True)
class UpdateHotwords:
    """Replace the hotwords, from the next audio on."""

    hotwords: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class UpdateSilence:
    """From the next audio on, so much silence ends an utterance; None is the server's own rule."""

    silence_ms: int | None


@dataclass(frozen=True, slots=True)
class UpdateTurns:
    """From the next audio on, the silence that ends an utterance follows its sense between these bounds."""

    turns: Turns


def close_with(code: int, reason: str) -> Close:
    """A close whose reason has at most the 123 bytes that fit (RFC 6455, section 5.5)."""
    return Close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))


Action: TypeAlias = (
    OpenStream | PushAudio | EndUtterance | EndStream | UpdateHotwords | UpdateSilence | UpdateTurns | Send | Close
)
Outgoing: TypeAlias = Send | Close


@dataclass(frozen=True, slots=True)
class CodecFailure:
    """What went wrong.

    `audio`: it cannot be decoded, the stream goes on without that piece. All others end the connection: a `request`
    that cannot be met, nothing heard for too long (`idle`), another `limit`, a `shutdown`, a fault of the `server`.
    """

    kind: Literal["audio", "request", "idle", "limit", "shutdown", "server"]
    message: str


class ForeignCodec(Protocol):
    """One connection of one wire protocol, from its first message to its close."""

    def greeting(self) -> Sequence[Outgoing]:
        """What the server says first."""

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """The client said something; never raises for what a client can send."""

    def channels_known(self, channels: int) -> None:
        """So many channels are recognized each for itself; called before their events, if `AudioFormat.separate`."""

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Recognition said something; channel 0 unless channels are separate."""

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """So many more `PushAudio` actions were recognized; all their events were told."""

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """An `EndUtterance` is done."""

    def finished(self, position: float) -> Sequence[Outgoing]:
        """The `EndStream` is done."""

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """Something could not be done; ends with a `Close`, unless the failure is in the audio."""
