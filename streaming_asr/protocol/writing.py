"""Messages to JSON text; `docs/protocol.schema.json` describes the same objects."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from streaming_asr.events import (
    DetectedLanguage,
    Final,
    Formatted,
    Partial,
    SpeechEnded,
    SpeechStarted,
    TurnEnding,
    TurnResumed,
    Word,
)
from streaming_asr.protocol.messages import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    Caution,
    ClientMessage,
    Failure,
    Finalize,
    Finish,
    Finished,
    Hotwords,
    KeepAlive,
    ServerMessage,
    Start,
    Started,
    Update,
)

KINDS: typing.Final[Mapping[type, str]] = MappingProxyType(
    {
        Start: "start",
        Audio: "audio",
        Update: "update",
        Finalize: "finalize",
        Finish: "finish",
        KeepAlive: "keepalive",
        Started: "started",
        SpeechStarted: "speech_started",
        Partial: "partial",
        TurnEnding: "turn_ending",
        TurnResumed: "turn_resumed",
        AcknowledgedFinal: "final",
        SpeechEnded: "speech_ended",
        Acknowledged: "acknowledged",
        Caution: "warning",
        Failure: "error",
        Finished: "finished",
    }
)
"""What each class is called in the transition table and, but for audio, in the field `type`."""


def kind_of(message: ClientMessage | ServerMessage) -> str:
    """The name of a message's kind."""
    return KINDS[type(message)]


def encode(message: ClientMessage | ServerMessage) -> str | bytes:
    """A message as it goes into the websocket: audio as bytes, all others as JSON text."""
    if isinstance(message, Audio):
        return message.data
    fields = {"type": kind_of(message), **_fields(message)}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _fields(message: ClientMessage | ServerMessage) -> dict[str, Any]:
    match message:
        case Start():
            return _start_fields(message)
        case Update():
            return _update_fields(message)
        case Started():
            return _started_fields(message)
        case SpeechStarted(utterance, time, lag):
            return {"utterance": utterance, "time": _exact(time), "lag": _exact(lag)}
        case Partial():
            return _partial_fields(message)
        case TurnEnding():
            return _turn_ending_fields(message)
        case TurnResumed(utterance, time, lag):
            return {"utterance": utterance, "time": _exact(time), "lag": _exact(lag)}
        case AcknowledgedFinal(final, acknowledged):
            return {**_final_fields(final), "acknowledged": acknowledged}
        case SpeechEnded(utterance, time, reason, lag):
            return {"utterance": utterance, "time": _exact(time), "reason": reason, "lag": _exact(lag)}
        case Acknowledged(samples):
            return {"samples": samples}
        case Caution(code, text):
            return {"code": code, "message": text}
        case Failure(code, fault, text, resumable):
            return {"code": code, "fault": fault, "message": text, "resumable": resumable}
        case Finished(samples, duration):
            return {"samples": samples, "duration": _exact(duration)}
        case _:
            return {}


def _start_fields(start: Start) -> dict[str, Any]:
    resume = start.resume
    fields: dict[str, Any] = {
        "encoding": start.encoding,
        "sample_rate": start.sample_rate,
        "channels": start.channels,
        "model": start.model,
        "language": start.language,
        "hotwords": _hotwords(start.hotwords),
        "endpoint": dict(start.endpoint),
        "partials": start.partials,
        "partial_interval_ms": start.partial_interval_ms,
        "word_times": start.word_times,
        "alternatives": start.alternatives,
        "stability": start.stability,
        "formatted": start.formatted,
    }
    if resume is not None:
        fields["resume"] = {
            "session": resume.session,
            "acknowledged": resume.acknowledged,
            "utterance": resume.utterance,
        }
    return fields


def _update_fields(update: Update) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if update.hotwords is not None:
        fields["hotwords"] = _hotwords(update.hotwords)
    if update.endpoint is not None:
        fields["endpoint"] = dict(update.endpoint)
    return fields


def _started_fields(started: Started) -> dict[str, Any]:
    return {
        "session": started.session,
        "model": started.model,
        "sample_rate": started.options.sample_rate,
        "first_sample": started.first_sample,
        "resumed": started.resumed,
        "options": _start_fields(started.options),
        "unspellable": list(started.unspellable),
        "limits": {
            "idle_seconds": started.limits.idle_seconds,
            "resume_seconds": started.limits.resume_seconds,
            "stream_seconds": started.limits.stream_seconds,
            "message_bytes": started.limits.message_bytes,
        },
    }


def _hotwords(hotwords: Hotwords) -> dict[str, float] | list[str]:
    return list(hotwords) if isinstance(hotwords, tuple) else dict(hotwords)


def _exact(seconds: float) -> float:
    """Seven decimals: every position on the 16 kHz clock survives the way there and back unchanged."""
    return round(seconds, 7)


def _partial_fields(partial: Partial) -> dict[str, Any]:
    return {
        "utterance": partial.utterance,
        "committed": partial.committed,
        "tail": partial.tail,
        "start": _exact(partial.start),
        "end": _exact(partial.end),
        "lag": _exact(partial.lag),
        **_joined_field(partial.joined),
        **_language_field(partial.language),
        **_words_field(partial.words),
        **_formatted_field(partial.formatted),
    }


def _turn_ending_fields(ending: TurnEnding) -> dict[str, Any]:
    return {
        "utterance": ending.utterance,
        "text": ending.text,
        "time": _exact(ending.time),
        "completeness": _exact(ending.completeness),
        "lag": _exact(ending.lag),
        **_formatted_field(ending.formatted),
    }


def _final_fields(final: Final) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "utterance": final.utterance,
        "text": final.text,
        "start": _exact(final.start),
        "end": _exact(final.end),
        "confidence": _exact(final.confidence),
        "reason": final.reason,
        "lag": _exact(final.lag),
        **_language_field(final.language),
        **_words_field(final.words),
        **_formatted_field(final.formatted),
    }
    if final.alternatives:
        fields["alternatives"] = [
            {"text": entry.text, "score": _exact(entry.score), **_words_field(entry.words)}
            for entry in final.alternatives
        ]
    return fields


def _language_field(language: DetectedLanguage | None) -> dict[str, Any]:
    if language is None:
        return {}
    return {"language": {"code": language.code, "confidence": _exact(language.confidence)}}


def _formatted_field(formatted: Formatted | None) -> dict[str, Any]:
    if formatted is None:
        return {}
    texts = {"committed": formatted.committed, "tail": formatted.tail, **_joined_field(formatted.joined)}
    return {"formatted": {**texts, **_words_field(formatted.words)}}


def _joined_field(joined: bool) -> dict[str, bool]:
    return {"joined": True} if joined else {}


def _words_field(words: tuple[Word, ...]) -> dict[str, Any]:
    if not words:
        return {}
    return {
        "words": [
            {
                "text": word.text,
                "start": _exact(word.start),
                "end": _exact(word.end),
                "confidence": _exact(word.confidence),
                **_joined_field(word.joined),
            }
            for word in words
        ]
    }
