"""OpenAI Realtime messages in transcription: those of the client read into types, those of the server built as JSON."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from streaming_asr_server.adapter.interface import PushAudio

MAXIMUM_APPEND_BYTES: Final = 15 * 1024 * 1024
"""The most audio in one append, decoded."""

Dialect: TypeAlias = Literal["ga", "beta"]
ErrorType: TypeAlias = Literal["invalid_request_error", "server_error"]


@dataclass(frozen=True, slots=True)
class UpdateSession:
    """Change what the fields name; `dialect` is that of the message, which also shapes the answer."""

    fields: Mapping[str, Any]
    dialect: Dialect
    event_id: str | None


@dataclass(frozen=True, slots=True)
class Commit:
    """The audio so far is one item; transcribe it."""

    event_id: str | None


@dataclass(frozen=True, slots=True)
class Clear:
    """Forget the audio that was not committed."""

    event_id: str | None


@dataclass(frozen=True, slots=True)
class Invalid:
    """A message that cannot be obeyed, and why."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Problem:
    """The content of an `error` event."""

    message: str
    code: str | None = None
    param: str | None = None
    event_id: str | None = None
    type: ErrorType = "invalid_request_error"


ClientMessage: TypeAlias = UpdateSession | Commit | Clear | Invalid

_CONVERSATION: Final = ("conversation.", "response.", "output_audio_buffer.")


def read(raw: str | bytes) -> PushAudio | ClientMessage:
    """One event of the client; text and binary frames are read alike."""
    try:
        fields = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Invalid(Problem("The message is not JSON.", code="invalid_json"))
    if not isinstance(fields, dict):
        return Invalid(Problem(f"The message is a JSON {type(fields).__name__}; it must be an object."))
    event_id = fields.get("event_id")
    return _event(fields, event_id if isinstance(event_id, str) else None)


def _event(fields: Mapping[str, Any], event_id: str | None) -> PushAudio | ClientMessage:
    match fields.get("type"):
        case "input_audio_buffer.append":
            return _append(fields.get("audio"), event_id)
        case "input_audio_buffer.commit":
            return Commit(event_id)
        case "input_audio_buffer.clear":
            return Clear(event_id)
        case "session.update":
            return _update(fields.get("session"), "ga", event_id)
        case "transcription_session.update":
            return _update(fields.get("session"), "beta", event_id)
        case str(kind) if kind.startswith(_CONVERSATION):
            message = f"{kind} is not available: this session transcribes and does not answer."
            return Invalid(Problem(message, code="invalid_value", param="type", event_id=event_id))
        case kind:
            message = f"The event type {kind!r} is not known."
            return Invalid(Problem(message, code="invalid_value", param="type", event_id=event_id))


def _append(audio: object, event_id: str | None) -> PushAudio | Invalid:
    if not isinstance(audio, str):
        message = "input_audio_buffer.append needs 'audio', a base64 string."
        return Invalid(Problem(message, "missing_required_parameter", "audio", event_id))
    try:
        data = base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        return Invalid(Problem("'audio' is not valid base64.", "invalid_value", "audio", event_id))
    if len(data) > MAXIMUM_APPEND_BYTES:
        message = f"'audio' holds {len(data)} bytes; at most {MAXIMUM_APPEND_BYTES} are taken at once."
        return Invalid(Problem(message, "invalid_value", "audio", event_id))
    return PushAudio(data)


def _update(session: object, dialect: Dialect, event_id: str | None) -> UpdateSession | Invalid:
    if not isinstance(session, dict):
        message = f"session is {session!r}; it must be an object."
        return Invalid(Problem(message, "invalid_type", "session", event_id))
    return UpdateSession(session, dialect, event_id)


@dataclass(slots=True)
class EventNumbers:
    """Names for events, unique within a session."""

    session_id: str
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"event_{self.session_id.removeprefix('sess_')}_{self.count}"


@dataclass(frozen=True, slots=True)
class LogProbability:
    """One word of a transcript with the logarithm of its confidence."""

    token: str
    logprob: float

    def json(self) -> dict[str, Any]:
        return {"token": self.token, "logprob": self.logprob, "bytes": list(self.token.encode())}


class Messages:
    """Builds the server's events; each has a name of its own."""

    def __init__(self, session_id: str) -> None:
        self._numbers: Final = EventNumbers(session_id)

    def session(self, what: Literal["created", "updated"], session: Mapping[str, Any], dialect: Dialect) -> str:
        """The session as it now is, in the words of a dialect."""
        prefix = "session" if dialect == "ga" else "transcription_session"
        return self._event(f"{prefix}.{what}", session=dict(session))

    def speech_started(self, item_id: str, milliseconds: int) -> str:
        return self._event("input_audio_buffer.speech_started", audio_start_ms=milliseconds, item_id=item_id)

    def speech_stopped(self, item_id: str, milliseconds: int) -> str:
        return self._event("input_audio_buffer.speech_stopped", audio_end_ms=milliseconds, item_id=item_id)

    def committed(self, item_id: str, previous_item_id: str | None) -> str:
        return self._event("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous_item_id)

    def cleared(self) -> str:
        return self._event("input_audio_buffer.cleared")

    def item(self, item_id: str, previous_item_id: str | None, dialect: Dialect) -> list[str]:
        """The events by which an item joins the conversation."""
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        kinds = ("added", "done") if dialect == "ga" else ("created",)
        return [
            self._event(f"conversation.item.{kind}", previous_item_id=previous_item_id, item=item) for kind in kinds
        ]

    def delta(self, item_id: str, text: str, logprobs: Sequence[LogProbability] | None) -> str:
        return self._transcription("delta", item_id, delta=text, logprobs=_logprobs(logprobs))

    def completed(self, item_id: str, text: str, seconds: float, logprobs: Sequence[LogProbability] | None) -> str:
        usage = {"type": "duration", "seconds": round(seconds, 3)}
        return self._transcription("completed", item_id, transcript=text, usage=usage, logprobs=_logprobs(logprobs))

    def failed(self, item_id: str, problem: Problem) -> str:
        """The item is there, its transcript is not."""
        error = {"type": problem.type, "code": problem.code, "message": problem.message, "param": problem.param}
        return self._transcription("failed", item_id, error=error)

    def error(self, problem: Problem) -> str:
        """A request failed; the session goes on."""
        error = {
            "type": problem.type,
            "code": problem.code,
            "message": problem.message,
            "param": problem.param,
            "event_id": problem.event_id,
        }
        return self._event("error", error=error)

    def _transcription(self, kind: str, item_id: str, **fields: object) -> str:
        name = f"conversation.item.input_audio_transcription.{kind}"
        return self._event(name, item_id=item_id, content_index=0, **fields)

    def _event(self, kind: str, **fields: object) -> str:
        event = {"type": kind, "event_id": self._numbers.name(), **fields}
        return json.dumps(event, separators=(",", ":"))


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are not JSON, and must not come back in an answer."""
    raise ValueError(name)


def _logprobs(words: Sequence[LogProbability] | None) -> list[dict[str, Any]] | None:
    return None if words is None else [word.json() for word in words]
