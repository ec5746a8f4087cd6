"""What a connection hands to a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from streaming_asr.protocol import Start, Update
from streaming_asr.text import FormatOptions
from streaming_asr_server.sessions.decoding import AudioFormat


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Open or resume a session.

    `audio` None is what `start` declares, else it says what the audio really is. `formatted` says how words are
    formatted where `start` wants that; None is the usual way. With `prompt` every message of audio is dealt with when
    it comes, for clients that are told something of it although nothing was said.
    """

    start: Start
    audio: AudioFormat | None = None
    formatted: FormatOptions | None = None
    prompt: bool = False


@dataclass(frozen=True, slots=True)
class PushAudio:
    """A piece of audio as it came; `channel` where a protocol sends each channel in messages of its own."""

    data: bytes
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class EndUtterance:
    """End the utterance now, of one channel or of all; the session stays open."""

    channel: int | None = None


@dataclass(frozen=True, slots=True)
class EndStream:
    """No more audio follows: recognize everything that came."""


SessionMessage: TypeAlias = PushAudio | EndUtterance | EndStream | Update
