"""Twilio's messages read into types, and what is told about a call to those who listen to it."""

from __future__ import annotations

import base64
import binascii
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from streaming_asr import protocol as native
from streaming_asr.events import Event, Final
from streaming_asr_server.adapter.interface import HOTWORD_WEIGHT, AudioFormat

MAXIMUM_TRACKS: typing.Final = 2
MAXIMUM_HOTWORDS: typing.Final = 500

RawEncoding: TypeAlias = Literal["mulaw", "alaw", "linear16"]
_ENCODINGS: typing.Final[Mapping[str, RawEncoding]] = {
    "audio/x-mulaw": "mulaw",
    "audio/x-alaw": "alaw",
    "audio/x-l16": "linear16",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One stream of a call."""

    stream_sid: str
    call_sid: str
    tracks: tuple[str, ...]
    encoding: RawEncoding = "mulaw"
    sample_rate: int = 8_000
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def audio(self) -> AudioFormat:
        """Each track is a channel of its own."""
        return AudioFormat(self.encoding, self.sample_rate, len(self.tracks), separate=True)

    @property
    def model(self) -> str | None:
        return self.parameters.get("model") or None

    @property
    def language(self) -> str | None:
        return self.parameters.get("language") or None

    @property
    def partials(self) -> bool:
        return self.parameters.get("partials", "").lower() not in ("false", "0", "no")

    @property
    def hotwords(self) -> dict[str, float]:
        """From `word, two words, other:5`."""
        weights: dict[str, float] = {}
        for entry in self.parameters.get("hotwords", "").split(",")[:MAXIMUM_HOTWORDS]:
            word, _, weight = entry.partition(":")
            if word.strip():
                weights[word.strip()] = _weight(weight)
        return weights


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return HOTWORD_WEIGHT
    return weight if 0 < weight <= 100 else HOTWORD_WEIGHT


@dataclass(frozen=True, slots=True)
class Media:
    """Audio of one track; `timestamp` is where it begins, in milliseconds from the start of the stream."""

    track: str
    data: bytes
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Digit:
    """A key of the telephone was pressed."""

    track: str
    digit: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream is over."""


@dataclass(frozen=True, slots=True)
class Other:
    """`connected`, `mark`, and whatever may be added."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Not a message of Twilio; `problem` says why."""

    problem: str


Message: TypeAlias = Call | Media | Digit | Stop | Other | Unreadable


def read(raw: str | bytes) -> Message:
    """One frame: a JSON object with an `event`."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return Unreadable("the message is not JSON")
    match fields:
        case {"event": "start", "start": dict(start)}:
            return _call(fields, start)
        case {"event": "media", "media": {"payload": str(payload)} as media}:
            return _media(payload, media)
        case {"event": "dtmf", "dtmf": {"digit": str(digit), **more}}:
            return Digit(_text(more.get("track"), "inbound").removesuffix("_track"), digit[:1])
        case {"event": "stop"}:
            return Stop()
        case {"event": "start" | "media", **_more}:
            return Unreadable(f"the event {fields['event']!r} lacks what it is about")
        case {"event": str()}:
            return Other()
        case _:
            return Unreadable("the message must be a JSON object with an event")


def _call(fields: Mapping[str, Any], start: Mapping[str, Any]) -> Call | Unreadable:
    stream = _text(start.get("streamSid") or fields.get("streamSid"), "")
    media, tracks = start.get("mediaFormat"), start.get("tracks")
    wanted = media if isinstance(media, dict) else {}
    encoding, rate = wanted.get("encoding", "audio/x-mulaw"), wanted.get("sampleRate", 8_000)
    if not stream:
        return Unreadable("start has no streamSid")
    if not isinstance(encoding, str) or encoding not in _ENCODINGS:
        return Unreadable(f"the encoding is {encoding!r:.40}; it must be one of {', '.join(_ENCODINGS)}")
    if type(rate) is not int or not 8_000 <= rate <= 48_000:
        return Unreadable(f"the sampleRate is {rate!r:.40}; it must be from 8000 to 48000")
    names = [name for name in tracks if isinstance(name, str)] if isinstance(tracks, list) else []
    parameters = start.get("customParameters")
    return Call(
        stream,
        _text(start.get("callSid"), stream),
        tuple(dict.fromkeys(names))[:MAXIMUM_TRACKS] or ("inbound",),
        _ENCODINGS[encoding],
        rate,
        {str(name): str(value) for name, value in parameters.items()} if isinstance(parameters, dict) else {},
    )


def _media(payload: str, media: Mapping[str, Any]) -> Media | Unreadable:
    try:
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return Unreadable("the payload is not base64")
    stamp = media.get("timestamp")
    known = isinstance(stamp, str | int) and str(stamp).isascii() and str(stamp).isdigit() and len(str(stamp)) < 16
    return Media(_text(media.get("track"), "inbound"), data, int(str(stamp)) if known else None)


def _text(value: object, default: str) -> str:
    return value[:100] if isinstance(value, str) and value else default


def started(call: Call) -> dict[str, Any]:
    """The first message about a call."""
    return {**_told("call_started", call), "tracks": list(call.tracks), "parameters": dict(call.parameters)}


def happened(call: Call, track: str, event: Event) -> dict[str, Any]:
    """An event in the shape of the native protocol, and which track of which call it belongs to."""
    message = native.AcknowledgedFinal(event, 0) if isinstance(event, Final) else event
    fields: dict[str, Any] = json.loads(native.encode(message))
    fields.pop("acknowledged", None)
    fields.pop("alternatives", None)
    return {**fields, **_of(call), "track": track}


def pressed(call: Call, digit: Digit) -> dict[str, Any]:
    """A key of the telephone."""
    return {**_told("dtmf", call), "track": digit.track, "digit": digit.digit}


def ended(call: Call, reason: str, message: str, duration: float) -> dict[str, Any]:
    """The last message about a call; `reason` is `stop`, or what went wrong; the duration is in seconds of audio."""
    return {**_told("call_ended", call), "reason": reason, "message": message, "duration": round(duration, 7)}


def _told(kind: str, call: Call) -> dict[str, Any]:
    return {"type": kind, **_of(call)}


def _of(call: Call) -> dict[str, str]:
    return {"stream_sid": call.stream_sid, "call_sid": call.call_sid}
