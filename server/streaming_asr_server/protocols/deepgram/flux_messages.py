"""Flux's messages: those of the client read into types, those of the server as JSON with their sequence numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from streaming_asr.events import Word
from streaming_asr_server.adapter.interface import PushAudio
from streaming_asr_server.protocols.deepgram.messages import CloseStream, Unreadable, read_object

TurnEvent: TypeAlias = Literal["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]
Trigger: TypeAlias = Literal["model", "manual", "timeout"]

_KINDS: Final = "CloseStream, Configure or ForceEndTurn"


@dataclass(frozen=True, slots=True)
class ForceEndTurn:
    """The turn under way ends here."""


@dataclass(frozen=True, slots=True)
class ConfigureFlux:
    """New thresholds by name, and new keyterms or None to keep those there are."""

    thresholds: Mapping[str, object] = field(default_factory=dict)
    keyterms: tuple[str, ...] | None = None


FluxMessage: TypeAlias = CloseStream | ConfigureFlux | ForceEndTurn | Unreadable


def read(raw: str | bytes) -> PushAudio | FluxMessage:
    """One frame of the client: binary is audio, text is a JSON object with a `type`."""
    if isinstance(raw, bytes):
        return PushAudio(raw)
    fields = read_object(raw)
    if isinstance(fields, Unreadable):
        return fields
    match kind := fields.get("type"):
        case "CloseStream":
            return CloseStream()
        case "ForceEndTurn":
            return ForceEndTurn()
        case "Configure":
            return _configure(raw, fields)
        case _:
            return Unreadable(raw, f"the type is {kind!r}; it must be {_KINDS}")


def _configure(raw: str, fields: Mapping[str, Any]) -> ConfigureFlux | Unreadable:
    thresholds, keyterms = fields.get("thresholds") or {}, fields.get("keyterms")
    if not isinstance(thresholds, dict):
        return Unreadable(raw, "thresholds must be an object")
    if keyterms is None:
        return ConfigureFlux(thresholds)
    listed = [keyterms] if isinstance(keyterms, str) else keyterms
    if not isinstance(listed, list) or not all(isinstance(term, str) for term in listed):
        return Unreadable(raw, "keyterms must be a list of strings, or null")
    return ConfigureFlux(thresholds, tuple(dict.fromkeys(term.strip() for term in listed if term.strip())))


@dataclass(frozen=True, slots=True)
class TurnState:
    """A turn as a `TurnInfo` shows it; times are seconds of audio since the stream was opened."""

    index: int
    start: float
    end: float
    transcript: str
    words: Sequence[Word]
    confidence: float
    """That nothing more is said in this turn."""


class Writer:
    """Writes the messages of one connection; each has the number behind that of the one before."""

    def __init__(self, request_id: str) -> None:
        self._request_id: Final = request_id
        self._sequence = 0

    def connected(self) -> str:
        """The first message."""
        return self._json("Connected", {"request_id": self._request_id})

    def turn(self, event: TurnEvent, state: TurnState, trigger: Trigger | None = None) -> str:
        """Something about the turn under way; `trigger` says what ended it."""
        fields = {
            "request_id": self._request_id,
            "event": event,
            "turn_index": state.index,
            "audio_window_start": round(state.start, 3),
            "audio_window_end": round(state.end, 3),
            "transcript": state.transcript,
            "words": [_word(word) for word in state.words],
            "end_of_turn_confidence": round(state.confidence, 4),
        }
        return self._json("TurnInfo", fields if trigger is None else {**fields, "trigger": trigger})

    def configured(self, thresholds: Mapping[str, float], keyterms: Sequence[str]) -> str:
        """A `Configure` was done; this is what is in force."""
        fields = {"request_id": self._request_id, "thresholds": dict(thresholds), "keyterms": list(keyterms)}
        return self._json("ConfigureSuccess", fields)

    def not_configured(self, code: str, description: str) -> str:
        """A `Configure` could not be done; nothing has changed."""
        fields = {"request_id": self._request_id, "code": code, "description": description}
        return self._json("ConfigureFailure", fields)

    def warning(self, code: str, description: str) -> str:
        """A message had no effect; the stream goes on."""
        return self._json("Warning", {"code": code, "description": description})

    def error(self, code: str, description: str) -> str:
        """What ended the stream; the close follows."""
        return self._json("Error", {"code": code, "description": description})

    def _json(self, kind: str, fields: Mapping[str, Any]) -> str:
        text = json.dumps({"type": kind, "sequence_id": self._sequence, **fields}, separators=(",", ":"))
        self._sequence += 1
        return text


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "confidence": round(word.confidence, 4),
        "start": round(word.start, 3),
        "end": round(word.end, 3),
    }
