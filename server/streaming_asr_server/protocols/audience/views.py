"""The views of a server: lines that were said, who reads them, and the streams that are shown; no I/O."""

from __future__ import annotations

import json
import secrets
import typing
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from streaming_asr.events import Event, Final, Formatted, Partial, SpeechEnded, SpeechStarted
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.outbox import Close, Outbox, Send

LINES_KEPT: typing.Final = 2_000
"""Lines of a view that a late comer gets: about three hours of speech."""

_VIEWS_KEPT: typing.Final = 100
_STREAMS_KEPT: typing.Final = 64
_LINES_PER_MESSAGE: typing.Final = 100

_SLOW: typing.Final = Close(4408, "slow_reader")
_OVER: typing.Final = Close(1000, "the view has ended")


def view_name(secret: str) -> str:
    """The name of the view that belongs to a secret: who knows the name can read, but not write."""
    return sha256(secret.encode()).hexdigest()[:32]


@dataclass(slots=True)
class View:
    """One view; `epoch` tells its lives apart, `said` has the last utterance of each stream that was shown.

    `shown` are the sessions that are shown now.
    """

    epoch: str = field(default_factory=lambda: secrets.token_urlsafe(6))
    language: str | None = None
    shown: set[str] = field(default_factory=set)
    outboxes: set[Outbox] = field(default_factory=set)
    said: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _lines: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
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
        lines = [line for line in self._lines if line["line"] > after]
        starts = range(0, len(lines), _LINES_PER_MESSAGE)
        parts = [lines[start : start + _LINES_PER_MESSAGE] for start in starts]
        return [Send(json.dumps({"type": "lines", "lines": part}, allow_nan=False)) for part in parts]

    def add(self, message: dict[str, Any]) -> None:
        """Number a line, keep it and tell it."""
        line = {**message, "line": self._next}
        self._next += 1
        self._lines.append(line)
        self.tell(Send(json.dumps(line, allow_nan=False)))

    def tell(self, message: Send) -> None:
        """Tell all readers; one who does not read is left, and gets what it missed when it comes back."""
        for outbox in self.outboxes:
            outbox.put([message])
            if outbox.overfull:
                outbox.clear()
                outbox.put([_SLOW])

    def end(self) -> None:
        """Send all readers away."""
        for outbox in self.outboxes:
            outbox.put([_OVER])


class Shown:
    """A session that is shown in a view: its `Spectator`.

    `stream` is a name that stays the same when the stream goes on in another session: what that says again is known.
    """

    def __init__(self, view: View, session: str, stream: str, now: Callable[[], float]) -> None:
        self._view = view
        self._session = session
        self._stream = stream
        self._now = now
        view.shown.add(session)
        view.said.setdefault(stream, -1)
        view.said.move_to_end(stream)
        while len(view.said) > _STREAMS_KEPT:
            view.said.popitem(last=False)
        view.tell(view.state())

    def event(self, event: Event) -> None:
        """Something was said."""
        if event.utterance <= self._view.said.get(self._stream, -1) and not isinstance(event, SpeechEnded):
            return
        match event:
            case Partial():
                self._view.tell(Send(json.dumps(_partial(event), allow_nan=False), replaces=self._stream))
            case Final():
                self._view.said[self._stream] = event.utterance
                self._view.add({**_final(event), "at": round(self._now(), 1)})
            case SpeechEnded():
                self._view.tell(Send(json.dumps({"type": "speech_ended"})))
            case SpeechStarted():
                pass

    def ended(self) -> None:
        """The session is over, or is shown elsewhere."""
        self._view.shown.discard(self._session)
        self._view.tell(self._view.state())


class Views:
    """All views of a server; `now` is the time of day in seconds."""

    def __init__(self, *, maximum_readers: int, now: Callable[[], float]) -> None:
        self._maximum_readers = maximum_readers
        self._now = now
        self._views: OrderedDict[str, View] = OrderedDict()

    @property
    def readers(self) -> int:
        """Who reads, in all views."""
        return sum(len(view.outboxes) for view in self._views.values())

    def make(self, secret: str) -> View:
        """The view of a secret; one that nobody uses gives way to it if there are too many.

        Raises:
            Refusal: all views are in use.
        """
        name = view_name(secret)
        if name not in self._views:
            self._make_room()
            self._views[name] = View()
        self._views.move_to_end(name)
        return self._views[name]

    def find(self, name: str) -> View:
        """A view by its name. Raises Refusal."""
        if name not in self._views:
            raise Refusal(404, "no_such_view", "there is no view of this name, or its speaker has not begun")
        return self._views[name]

    def end(self, secret: str) -> None:
        """Forget a view; who reads it is sent away."""
        view = self._views.pop(view_name(secret), None)
        if view is not None:
            view.end()

    def show(self, view: View, session: str, stream: str) -> Shown:
        """What a session tells its events to, to be shown."""
        return Shown(view, session, stream, self._now)

    @contextmanager
    def reading(self, name: str, *, after: int, epoch: str) -> Iterator[Outbox]:
        """An outbox with the lines behind `after` (all of them, in another epoch), and with what comes.

        Raises:
            Refusal: there is no such view, or too many read.
        """
        view = self.find(name)
        if self.readers >= self._maximum_readers:
            raise Refusal(503, "overloaded", f"all {self._maximum_readers} places for readers are taken", 5)
        outbox = Outbox()
        outbox.put([view.state(), *view.backlog(after if epoch == view.epoch else -1)])
        view.outboxes.add(outbox)
        try:
            yield outbox
        finally:
            view.outboxes.discard(outbox)

    def _make_room(self) -> None:
        if len(self._views) < _VIEWS_KEPT:
            return
        unused = next((name for name, view in self._views.items() if not view.in_use), None)
        if unused is None:
            raise Refusal(503, "overloaded", f"all {_VIEWS_KEPT} views are in use", 5)
        del self._views[unused]


def _partial(event: Partial) -> dict[str, Any]:
    texts = {"type": "partial", "committed": event.committed, "tail": event.tail, **_joined(event.joined)}
    return {**texts, "start": event.start, "end": event.end, **_formatted(event.formatted)}


def _final(event: Final) -> dict[str, Any]:
    fields = {"type": "final", "text": event.text, "start": event.start, "end": event.end}
    return {**fields, **_formatted(event.formatted)}


def _formatted(formatted: Formatted | None) -> dict[str, Any]:
    if formatted is None:
        return {}
    texts = {"committed": formatted.committed, "tail": formatted.tail, **_joined(formatted.joined)}
    return {"formatted": texts}


def _joined(joined: bool) -> dict[str, bool]:
    return {"joined": True} if joined else {}
