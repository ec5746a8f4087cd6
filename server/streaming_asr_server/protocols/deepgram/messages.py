"""Deepgram's messages: those of the client read into types, those of the server built as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from streaming_asr.events import Alternative, DetectedLanguage, Word
from streaming_asr_server.adapter.interface import PushAudio


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The client is still there."""


@dataclass(frozen=True, slots=True)
class FinalizeRequest:
    """Flush what was received, of one channel or of all."""

    channel: int | None = None


@dataclass(frozen=True, slots=True)
class CloseStream:
    """No more audio follows."""


@dataclass(frozen=True, slots=True)
class Configure:
    """New keyterms, or None to keep those there are."""

    keyterms: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A text that is none of these; `problem` says why."""

    text: str
    problem: str


_LONGEST_CLOSE: Final = 64
_MARKS: Final = ".,?!"

ClientMessage: TypeAlias = KeepAlive | FinalizeRequest | CloseStream | Configure | Unreadable


def read(raw: str | bytes) -> PushAudio | ClientMessage:
    """One frame of the client: binary is audio, text is a JSON object with a `type`.

    Clients exist that send their `CloseStream` as binary.
    """
    if isinstance(raw, bytes):
        return _binary(raw)
    fields = read_object(raw)
    if isinstance(fields, Unreadable):
        return fields
    match kind := fields.get("type"):
        case "KeepAlive":
            return KeepAlive()
        case "Finalize":
            channel = fields.get("channel")
            return FinalizeRequest(channel if type(channel) is int and channel >= 0 else None)
        case "CloseStream":
            return CloseStream()
        case "Configure":
            return _configure(raw, fields.get("keyterms"))
        case _:
            return Unreadable(raw, f"the type is {kind!r}; it must be KeepAlive, Finalize, CloseStream or Configure")


def _binary(raw: bytes) -> PushAudio | CloseStream:
    if len(raw) <= _LONGEST_CLOSE and raw.lstrip().startswith(b"{"):
        try:
            fields = json.loads(raw)
        except ValueError:
            return PushAudio(raw)
        if isinstance(fields, dict) and fields.get("type") == "CloseStream":
            return CloseStream()
    return PushAudio(raw)


def read_object(raw: str) -> dict[str, Any] | Unreadable:
    """The fields of a text message; none where its JSON is no object."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return Unreadable(raw, "the text is not JSON")
    return fields if isinstance(fields, dict) else {}


def _configure(raw: str, keyterms: object) -> Configure | Unreadable:
    if keyterms is None:
        return Configure(None)
    if not isinstance(keyterms, list) or not all(isinstance(term, str) for term in keyterms):
        return Unreadable(raw, "keyterms must be a list of strings, or null")
    return Configure(tuple(dict.fromkeys(term.strip() for term in keyterms if term.strip())))


@dataclass(frozen=True, slots=True)
class Request:
    """What every message repeats about its connection."""

    request_id: str
    created: str
    """When the connection was opened: an ISO 8601 time in UTC."""
    model_name: str
    model_uuid: str
    model_version: str = "1"

    def model_info(self) -> dict[str, str]:
        """The model as Deepgram describes its own."""
        return {"name": self.model_name, "version": self.model_version, "arch": "wav2vec2"}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of audio of one channel, in seconds from the start of the stream."""

    channel: int
    channels: int
    start: float
    end: float


def results(
    request: Request,
    span: Span,
    alternatives: Sequence[Alternative],
    *,
    is_final: bool,
    speech_final: bool = False,
    from_finalize: bool = False,
    language: DetectedLanguage | None = None,
) -> str:
    """What was understood of a stretch of audio, and in which language if that was found out."""
    channel = {"alternatives": [alternative(one) for one in alternatives] or [alternative(None)]}
    return _json(
        {
            "type": "Results",
            "channel_index": [span.channel, span.channels],
            "duration": rounded(max(span.end - span.start, 0.0)),
            "start": rounded(span.start),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {**channel, **detected(language)},
            "metadata": {
                "request_id": request.request_id,
                "model_info": request.model_info(),
                "model_uuid": request.model_uuid,
            },
        }
    )


def detected(language: DetectedLanguage | None) -> dict[str, Any]:
    """The fields of a channel whose language was found out."""
    if language is None:
        return {}
    return {"detected_language": language.code, "language_confidence": rounded(language.confidence)}


def speech_started(channel: int, channels: int, timestamp: float) -> str:
    """Speech was found."""
    return _json({"type": "SpeechStarted", "channel": [channel, channels], "timestamp": rounded(timestamp)})


def utterance_end(channel: int, channels: int, last_word_end: float) -> str:
    """No word has followed for so long as the client asked to be told."""
    return _json({"type": "UtteranceEnd", "channel": [channel, channels], "last_word_end": rounded(last_word_end)})


def metadata(request: Request, *, sha256: str, duration: float, channels: int) -> str:
    """The summary at the end."""
    return _json(
        {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": request.request_id,
            "sha256": sha256,
            "created": request.created,
            "duration": rounded(duration),
            "channels": channels,
            "models": [request.model_uuid],
            "model_info": {request.model_uuid: request.model_info()},
        }
    )


def configured(request: Request, keyterms: Sequence[str] | None) -> str:
    """A `Configure` was done; keyterms only if it replaced them."""
    effective = {} if keyterms is None else {"keyterms": list(keyterms)}
    return _json({"type": "ConfigureSuccess", "request_id": request.request_id, **effective})


def not_configured(request: Request, code: str, description: str) -> str:
    """A `Configure` could not be done; nothing has changed."""
    return _json(
        {"type": "ConfigureFailure", "request_id": request.request_id, "code": code, "description": description}
    )


def error(variant: str, description: str, message: str = "") -> str:
    """Something was wrong; the connection goes on unless a close follows."""
    return _json({"type": "Error", "variant": variant, "description": description, "message": message})


def alternative(one: Alternative | None) -> dict[str, Any]:
    """One reading of a stretch of audio; None is nothing at all."""
    if one is None:
        return {"transcript": "", "confidence": 0.0, "words": []}
    words = [_word(word) for word in one.words]
    confidence = sum(word.confidence for word in one.words) / len(one.words) if one.words else 0.0
    return {"transcript": one.text, "confidence": round(confidence, 4), "words": words}


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": bare(word.text),
        "start": rounded(word.start),
        "end": rounded(word.end),
        "confidence": round(word.confidence, 4),
        "punctuated_word": word.text,
    }


def bare(text: str) -> str:
    """A word without its capitals and the marks around it."""
    return text.strip(_MARKS).lower() or text


def rounded(value: float) -> float:
    """Seconds to the millisecond."""
    return round(value, 3)


def _json(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"))
