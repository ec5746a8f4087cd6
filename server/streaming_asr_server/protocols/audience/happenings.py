"""What happens to views: small messages that every worker applies to its own copy of them."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from streaming_asr.events import Event, Final, Formatted, Partial, SpeechEnded

Fields: TypeAlias = Mapping[str, Any]
"""The members of a message for those who read."""


@dataclass(frozen=True, slots=True)
class Made:
    """A view is wanted, and is made where it is not there; `at` is the time of day."""

    view: str
    at: float


@dataclass(frozen=True, slots=True)
class Showing:
    """A session of the worker that tells this is shown from now on."""

    view: str
    session: str
    stream: str
    language: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Tentative:
    """A partial."""

    view: str
    stream: str
    utterance: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Said:
    """A final, or the same from the lines of a view."""

    view: str
    stream: str
    utterance: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Quiet:
    """What was in progress is over."""

    view: str


@dataclass(frozen=True, slots=True)
class Over:
    """A session is not shown any more."""

    view: str
    session: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A view was ended at this time of day."""

    view: str
    at: float


@dataclass(frozen=True, slots=True)
class Known:
    """What a worker knows of a view, or a part of its lines; `said` has the last utterance of each stream."""

    view: str
    at: float
    language: str | None
    lines: Sequence[Sequence[Any]] = field(default=())
    """Of each line the stream, the utterance, and the fields."""
    said: Mapping[str, int] = field(default_factory=dict)


Happening: TypeAlias = Made | Showing | Tentative | Said | Quiet | Over | Ended | Known

_KINDS: typing.Final = {kind.__name__: kind for kind in typing.get_args(Happening)}


def to_json(happening: Happening) -> dict[str, Any]:
    """As it goes to other workers."""
    members = {each.name: getattr(happening, each.name) for each in fields(happening)}
    return {"kind": type(happening).__name__, **members}


def from_json(message: Mapping[str, Any]) -> Happening:
    """As it comes from another worker."""
    members = dict(message)
    happening: Happening = _KINDS[members.pop("kind")](**members)
    return happening


def happening_of(event: Event, view: str, stream: str, now: float) -> Happening | None:
    """What an event of a stream is for a view."""
    match event:
        case Partial():
            return Tentative(view, stream, event.utterance, _partial(event))
        case Final():
            return Said(view, stream, event.utterance, {**_final(event), "at": round(now, 1)})
        case SpeechEnded():
            return Quiet(view)
        case _:
            return None


def _partial(event: Partial) -> Fields:
    texts = {"type": "partial", "committed": event.committed, "tail": event.tail, **_joined(event.joined)}
    return {**texts, "start": event.start, "end": event.end, **_formatted(event.formatted)}


def _final(event: Final) -> Fields:
    members = {"type": "final", "text": event.text, "start": event.start, "end": event.end}
    return {**members, **_formatted(event.formatted)}


def _formatted(formatted: Formatted | None) -> Fields:
    if formatted is None:
        return {}
    texts = {"committed": formatted.committed, "tail": formatted.tail, **_joined(formatted.joined)}
    return {"formatted": texts}


def _joined(joined: bool) -> Mapping[str, bool]:
    return {"joined": True} if joined else {}
