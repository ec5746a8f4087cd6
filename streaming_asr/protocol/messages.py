"""What the two ends of a stream say to each other: one frozen class per kind of message.

Sample counts are samples per channel at the client's own rate, on the clock of the whole stream: 0 is the first sample
of the first connection. What a recognizer says travels as the library's own events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from streaming_asr.audio.encodings import BYTES_PER_SAMPLE, Encoding
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Final, Partial, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed
from streaming_asr.protocol.faults import ErrorCode, Fault

Hotwords: TypeAlias = Mapping[str, float] | tuple[str, ...]
"""Words with their weights, or words with the usual weight."""

EndpointRules: TypeAlias = Mapping[str, float | str | None]
"""Fields of `EndpointOptions` by their names; a rule that is not there is the server's."""

Stability: TypeAlias = Literal["low", "medium", "high"]
Resumed: TypeAlias = Literal["no", "session", "position"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Where a client stands: it has the end of every utterance before `utterance`, and audio from `acknowledged` on."""

    session: str
    acknowledged: int
    utterance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first message: what the audio is, and what is wanted of it."""

    encoding: Encoding = "linear16"
    sample_rate: int = SAMPLE_RATE
    channels: int = 1
    model: str | None = None
    language: str | None = None
    hotwords: Hotwords = field(default_factory=dict)
    endpoint: EndpointRules = field(default_factory=dict)
    partials: bool = True
    partial_interval_ms: int = 0
    word_times: bool = True
    alternatives: int = 1
    stability: Stability = "medium"
    formatted: bool = True
    resume: Resume | None = None

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.channels * BYTES_PER_SAMPLE[self.encoding]


@dataclass(frozen=True, slots=True)
class Audio:
    """Bytes of the declared encoding."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """New hotwords or endpoint rules from here on; None leaves them as they are."""

    hotwords: Hotwords | None = None
    endpoint: EndpointRules | None = None


@dataclass(frozen=True, slots=True)
class Finalize:
    """End the utterance here; the stream stays open."""


@dataclass(frozen=True, slots=True)
class Finish:
    """No more audio: flush everything."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """No audio now, but the client is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server puts up with."""

    idle_seconds: float = 60.0
    resume_seconds: float = 30.0
    stream_seconds: float = 14_400.0
    message_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The answer to `Start`; `first_sample` is the first one that the server has not got."""

    session: str
    model: str
    first_sample: int
    resumed: Resumed
    options: Start
    unspellable: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class AcknowledgedFinal:
    """A final, and the sample before which no audio need be sent again: one message, so that one never comes alone."""

    final: Final
    acknowledged: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Audio before this sample need never be sent again."""

    samples: int


@dataclass(frozen=True, slots=True)
class Caution:
    """Something is not as the client may think; the stream goes on."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The stream ends here, for this reason; if it is resumable, a new connection may go on with it."""

    code: ErrorCode
    fault: Fault
    message: str
    resumable: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """All audio was taken and all events were sent."""

    samples: int
    duration: float


ClientMessage: TypeAlias = Start | Audio | Update | Finalize | Finish | KeepAlive
ServerMessage: TypeAlias = (
    Started
    | SpeechStarted
    | Partial
    | TurnEnding
    | TurnResumed
    | AcknowledgedFinal
    | SpeechEnded
    | Acknowledged
    | Caution
    | Failure
    | Finished
)
