"""Vosk's messages: those of the client read into types, those of the server built as JSON."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from streaming_asr.events import Alternative, Final, Word
from streaming_asr_server.adapter.interface import PushAudio

MAXIMUM_PHRASES: typing.Final = 500
MAXIMUM_ALTERNATIVES: typing.Final = 10
LOWEST_RATE: typing.Final = 8_000
HIGHEST_RATE: typing.Final = 192_000


@dataclass(frozen=True, slots=True)
class Configure:
    """What a client wants; None is what was so before."""

    sample_rate: int | None = None
    phrases: tuple[str, ...] | None = None
    words: bool | None = None
    alternatives: int | None = None


@dataclass(frozen=True, slots=True)
class Eof:
    """No more audio follows."""


@dataclass(frozen=True, slots=True)
class Reset:
    """End the utterance; audio goes on."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A text that is none of these; `problem` says why."""

    problem: str


ClientMessage: TypeAlias = Configure | Eof | Reset | Unreadable


def read(raw: str | bytes) -> PushAudio | ClientMessage:
    """One frame of the client: binary is audio, text a JSON object with `config`, `eof` or `reset`.

    JSON that is none of these wants nothing; what is not JSON cannot be meant for this server.
    """
    if isinstance(raw, bytes):
        return PushAudio(raw)
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return Unreadable("the text is not JSON")
    match fields:
        case {"config": dict(wanted)}:
            return _configure(wanted)
        case {"eof": _}:
            return Eof()
        case {"reset": _}:
            return Reset()
        case _:
            return Configure()


def _configure(wanted: dict[str, Any]) -> Configure | Unreadable:
    """What cannot be read as the option that it is, is as if it had not been said; only a rate is too important."""
    rate = None
    if "sample_rate" in wanted:
        rate = _integer(wanted["sample_rate"])
        if rate is None or not LOWEST_RATE <= rate <= HIGHEST_RATE:
            said = repr(wanted["sample_rate"])[:40]
            return Unreadable(f"sample_rate is {said}; it must be from {LOWEST_RATE} to {HIGHEST_RATE}")
    alternatives = _integer(wanted.get("max_alternatives"))
    return Configure(
        sample_rate=rate,
        phrases=_phrases(wanted.get("phrase_list")),
        words=None if wanted.get("words") is None else bool(wanted["words"]),
        alternatives=None if alternatives is None else min(max(alternatives, 0), MAXIMUM_ALTERNATIVES),
    )


def _integer(value: object) -> int | None:
    """A JSON number or a text of one: clients write rates as 16000, 16000.000000 and "16000"."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return round(number) if math.isfinite(number) else None


def _phrases(value: object) -> tuple[str, ...] | None:
    """Phrases without Vosk's `[unk]`, which stands for all words that are not listed."""
    if not isinstance(value, list):
        return None
    phrases = (phrase.strip() for phrase in value if isinstance(phrase, str))
    return tuple(dict.fromkeys(phrase for phrase in phrases if phrase and phrase != "[unk]"))[:MAXIMUM_PHRASES]


@dataclass(frozen=True, slots=True)
class Form:
    """How finals are written: with their words, and with so many alternatives (0 is the plain form)."""

    words: bool = True
    alternatives: int = 0


def partial(text: str) -> str:
    """What is understood of the utterance so far."""
    return _json({"partial": text})


def final(finals: Sequence[Final], form: Form) -> str:
    """One result, of one utterance or of several that have only one reply, or of none."""
    if form.alternatives:
        return _json(
            {"alternatives": [_alternative(entry, form) for entry in _alternatives(finals, form.alternatives)]}
        )
    words = [word for utterance in finals for word in utterance.words]
    result = {"result": [{"conf": _rounded(word.confidence), **_word(word)} for word in words]}
    return _json({**(result if form.words and words else {}), "text": " ".join(event.text for event in finals)})


def _alternatives(finals: Sequence[Final], most: int) -> Sequence[Alternative]:
    """Those of one utterance; of several, their best, one behind the other."""
    if len(finals) == 1:
        return finals[0].alternatives[:most]
    best = [event.alternatives[0] for event in finals if event.alternatives]
    words = tuple(word for entry in best for word in entry.words)
    score = sum(entry.score for entry in best) if best else 1.0
    return [Alternative(" ".join(entry.text for entry in best), score, words)]


def _alternative(entry: Alternative, form: Form) -> dict[str, Any]:
    words = {"result": [_word(word) for word in entry.words]} if form.words and entry.words else {}
    return {"confidence": _rounded(entry.score), **words, "text": entry.text}


def _word(word: Word) -> dict[str, Any]:
    return {"end": _rounded(word.end), "start": _rounded(word.start), "word": word.text}


def _rounded(value: float) -> float:
    return round(value, 6)


def _json(fields: dict[str, Any]) -> str:
    """Spread over lines as Vosk does: there are clients that search the text instead of parsing it."""
    return json.dumps(fields, ensure_ascii=False, indent=2, separators=(",", " : "), allow_nan=False)
