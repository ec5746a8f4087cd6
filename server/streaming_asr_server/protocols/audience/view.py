"""One view at one worker: lines that were said, who reads them, and the streams that are shown; no I/O."""

from __future__ import annotations

import json
import secrets
import typing
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streaming_asr_server.connection.outbox import Close, Outbox, Send
from streaming_asr_server.protocols.audience.happenings import Fields, Known, Said, Showing, Tentative

LINES_KEPT: typing.Final = 2_000
"""Lines of a view that a late comer gets: about three hours of speech."""

_STREAMS_KEPT: typing.Final = 64
_LINES_PER_MESSAGE: typing.Final = 100

_SLOW: typing.Final = Close(4408, "slow_reader")
_OVER: typing.Final = Close(1000, "the view has ended")
_REORDERED: typing.Final = Close(1012, "the view has lines that were not known here; come back for all of them")


@dataclass(frozen=True, slots=True)
class Line:
    """What was said, and in which utterance of which stream."""

    stream: str
    utterance: int
    fields: Fields

    @property
    def key(self) -> tuple[str, int]:
        return self.stream, self.utterance

    @property
    def at(self) -> float:
        """The time of day."""
        return float(self.fields.get("at", 0.0))


def _epoch() -> str:
    return secrets.token_urlsafe(6)


@dataclass(slots=True)
class View:
    """One view; `epoch` tells its lives at this worker apart, `made` is the time of day when it was wanted first.

    `shown` has the sessions that are shown now, each with its worker and its stream; `said` the last utterance of each
    stream that was shown.
    """

    name: str
    made: float = 0.0
    epoch: str = field(default_factory=_epoch)
    language: str | None = None
    shown: dict[str, tuple[int, str]] = field(default_factory=dict)
    outboxes: set[Outbox] = field(default_factory=set)
    said: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _lines: deque[Line] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    _next: int = 0

    @property
    def live(self) -> bool:
        """Whether somebody speaks."""
        return bool(self.shown)

    @property
    def in_use(self) -> bool:
        return self.live or bool(self.outboxes)

    def state(self) -> Send:
        """Whether somebody speaks."""
        message = {"type": "view", "epoch": self.epoch, "live": self.live, "language": self.language}
        return Send(json.dumps(message))

    def backlog(self, after: int) -> list[Send]:
        """The lines behind this one."""
        first = self._next - len(self._lines)
        lines = [_numbered(line, first + place) for place, line in enumerate(self._lines) if first + place > after]
        return [Send(json.dumps({"type": "lines", "lines": part}, allow_nan=False)) for part in _parts(lines)]

    def show(self, showing: Showing, origin: int) -> None:
        """A session is shown from now on."""
        self.language = showing.language
        self.shown[showing.session] = origin, showing.stream
        self._hear_of({showing.stream: -1})
        self.tell(self.state())

    def hide(self, sessions: Iterable[str]) -> None:
        """Sessions are not shown any more."""
        for session in sessions:
            self.shown.pop(session, None)
        self.tell(self.state())

    def partial(self, partial: Tentative) -> bool:
        """Tell it; False if its utterance has been said already."""
        if self._has(partial):
            return False
        self.tell(Send(json.dumps(partial.fields, allow_nan=False), replaces=partial.stream))
        return True

    def final(self, said: Said) -> bool:
        """Number it, keep it and tell it; False if it was said already."""
        if self._has(said):
            return False
        self.said[said.stream] = said.utterance
        self.add(Line(said.stream, said.utterance, said.fields))
        return True

    def learn_final(self, said: Said) -> None:
        """As `final`, from another worker: one that comes late, behind later ones of its stream, is no repetition."""
        if not self.final(said):
            self.learn(Known(self.name, self.made, None, [(said.stream, said.utterance, said.fields)]))

    def quiet(self) -> None:
        """What was in progress is over."""
        self.tell(Send(json.dumps({"type": "speech_ended"})))

    def add(self, line: Line) -> None:
        """A new line."""
        self._lines.append(line)
        self.tell(Send(json.dumps(_numbered(line, self._next), allow_nan=False)))
        self._next += 1

    def known(self) -> list[Known]:
        """All that is to be known of it, in parts."""
        lines = [(line.stream, line.utterance, line.fields) for line in self._lines]
        parts = [Known(self.name, self.made, self.language, part) for part in _parts(lines)]
        return [*parts, Known(self.name, self.made, self.language, said=dict(self.said))]

    def learn(self, known: Known) -> None:
        """Take what another worker knows. Lines that belong between those that are here begin another life."""
        self.language = self.language or known.language
        keys = {line.key for line in self._lines}
        new = [line for line in (Line(*each) for each in known.lines) if line.key not in keys]
        merged = _in_order([*self._lines, *new])[-LINES_KEPT:]
        behind = [line for line in merged if line.key not in keys]
        if merged[len(merged) - len(behind) :] == behind:
            for line in behind:
                self.add(line)
        else:
            self._begin_anew(merged)
        self._hear_of({line.stream: line.utterance for line in behind} | dict(known.said))

    def tell(self, message: Send) -> None:
        """Tell all readers; one who does not read is left, and gets what it missed when it comes back."""
        for outbox in self.outboxes:
            outbox.put([message])
            if outbox.overfull:
                outbox.clear()
                outbox.put([_SLOW])

    def end(self) -> None:
        """Send all readers away."""
        self._send_away(_OVER)

    def _has(self, message: Tentative | Said) -> bool:
        return message.utterance <= self.said.get(message.stream, -1)

    def _hear_of(self, said: dict[str, int]) -> None:
        """These streams have said so much at least; those that were heard of first are forgotten."""
        for stream, utterance in said.items():
            self.said[stream] = max(utterance, self.said.get(stream, -1))
            self.said.move_to_end(stream)
        while len(self.said) > _STREAMS_KEPT:
            self.said.popitem(last=False)

    def _begin_anew(self, lines: Sequence[Line]) -> None:
        self.epoch = _epoch()
        self._lines.clear()
        self._lines.extend(lines)
        self._next = len(lines)
        self._send_away(_REORDERED)

    def _send_away(self, close: Close) -> None:
        for outbox in self.outboxes:
            outbox.put([close])


def _in_order(lines: Iterable[Line]) -> list[Line]:
    """By the time of day, but those of a stream by utterance: what was said again late belongs before the rest."""
    times: dict[str, float] = {}
    timed = []
    for line in sorted(lines, key=lambda line: line.key, reverse=True):
        times[line.stream] = min(line.at, times.get(line.stream, line.at))
        timed.append((times[line.stream], line.key, line))
    return [line for _, _, line in sorted(timed, key=lambda each: each[:2])]


def _numbered(line: Line, number: int) -> Fields:
    return {**line.fields, "line": number}


_T = typing.TypeVar("_T")


def _parts(items: Sequence[_T]) -> list[Sequence[_T]]:
    return [items[start : start + _LINES_PER_MESSAGE] for start in range(0, len(items), _LINES_PER_MESSAGE)]
