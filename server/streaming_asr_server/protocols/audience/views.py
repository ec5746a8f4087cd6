"""All views at one worker. Every worker has its own copy, to which the same happenings are applied; no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

from streaming_asr.events import Event
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.outbox import Outbox
from streaming_asr_server.protocols.audience.happenings import (
    Ended,
    Happening,
    Known,
    Made,
    Over,
    Quiet,
    Said,
    Showing,
    Tentative,
    happening_of,
)
from streaming_asr_server.protocols.audience.view import View

_VIEWS_KEPT: Final = 100
_MOMENT: Final = 1e-6


def view_name(secret: str) -> str:
    """The name of the view that belongs to a secret: who knows the name can read, but not write."""
    return sha256(secret.encode()).hexdigest()[:32]


class Shown:
    """A session of this worker that is shown in a view: its `Spectator`.

    `stream` is a name that stays the same when the stream goes on in another session: what that says again is known.
    """

    def __init__(self, views: Views, view: View, session: str, stream: str) -> None:
        self._views: Final = views
        self._view: Final = view
        self._session: Final = session
        self._stream: Final = stream

    def event(self, event: Event) -> None:
        """Something was said."""
        happening = happening_of(event, self._view.name, self._stream, self._views.now())
        if happening is not None:
            self._happen(happening)

    def ended(self) -> None:
        """The session is over, or is shown elsewhere."""
        self._happen(Over(self._view.name, self._session))

    def _happen(self, happening: Happening) -> None:
        """A view that was ended shows nothing, also if there is a new one of its name."""
        if self._views.holds(self._view):
            self._views.happen(happening)


class Views:
    """The views at one worker.

    What happens here is applied by `happen`, which gives it to `tell` for the others; what happens there, by `told`.
    In whatever order the happenings of several workers arrive, each has every line once, and numbers them for itself.

    Args:
        maximum_readers: of this worker.
        now: the time of day in seconds, the same for all workers.
        index: that of this worker.
    """

    def __init__(
        self,
        *,
        maximum_readers: int,
        now: Callable[[], float],
        index: int = 0,
        tell: Callable[[Happening], None] = lambda happening: None,
    ) -> None:
        self.now: Final = now
        self._maximum_readers = maximum_readers
        self._index = index
        self._tell = tell
        self._views: OrderedDict[str, View] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()

    @property
    def readers(self) -> int:
        """Who reads here, in all views."""
        return sum(len(view.outboxes) for view in self._views.values())

    def readers_of(self, name: str) -> int:
        """Who reads this view here."""
        return len(self._views[name].outboxes) if name in self._views else 0

    def make(self, secret: str) -> View:
        """The view of a secret; one that nobody uses gives way to it if there are too many.

        Raises:
            Refusal: all views are in use.
        """
        name = view_name(secret)
        # Later than the end of the one before, whatever the clock says.
        view = self._make(name, max(self.now(), self._ended.get(name, 0.0) + _MOMENT))
        self._tell(Made(name, view.made))
        return view

    def find(self, name: str) -> View:
        """A view by its name. Raises Refusal."""
        if name not in self._views:
            raise Refusal(404, "no_such_view", "there is no view of this name, or its speaker has not begun")
        return self._views[name]

    def holds(self, view: View) -> bool:
        """Whether this is still the view of its name."""
        return self._views.get(view.name) is view

    def end(self, secret: str) -> None:
        """Forget a view; who reads it is sent away."""
        name = view_name(secret)
        made = self._views[name].made if name in self._views else 0.0
        self.happen(Ended(name, max(self.now(), made)))

    def show(self, view: View, session: str, stream: str, language: str | None = None) -> Shown:
        """What a session of this worker tells its events to, to be shown."""
        self.happen(Showing(view.name, session, stream, language, view.made))
        return Shown(self, view, session, stream)

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

    def happen(self, happening: Happening) -> None:
        """Something happens at this worker; what is known already is not told again."""
        if self._apply(happening, self._index):
            self._tell(happening)

    def told(self, origin: int, happening: Happening) -> None:
        """Something happened at another worker."""
        self._apply(happening, origin)

    def known(self) -> Iterable[Happening]:
        """What a worker needs to be told that has just begun to listen."""
        yield from (Ended(name, at) for name, at in self._ended.items())
        for view in self._views.values():
            yield from view.known()
            for session, (origin, stream) in view.shown.items():
                if origin == self._index:
                    yield Showing(view.name, session, stream, view.language, view.made)

    def gone(self, origin: int) -> None:
        """A worker has gone, and with it the sessions that it showed."""
        for view in self._views.values():
            sessions = [session for session, (other, _) in view.shown.items() if other == origin]
            if sessions:
                view.hide(sessions)

    def _apply(self, happening: Happening, origin: int) -> bool:
        """Whether it was news."""
        match happening:
            case Made() | Showing() | Known():
                return self._apply_to_wanted(happening, origin)
            case Ended():
                return self._end(happening)
        view = self._views.get(happening.view)
        if view is None:
            return False
        match happening:
            case Tentative():
                return view.partial(happening)
            case Said() if origin == self._index:
                return view.final(happening)
            case Said():
                view.learn_final(happening)
            case Quiet():
                view.quiet()
            case Over():
                view.hide([happening.session])
        return True

    def _apply_to_wanted(self, happening: Made | Showing | Known, origin: int) -> bool:
        """Something about a view that is made if it is not here; not if it was ended since, or there is no room."""
        if happening.at <= self._ended.get(happening.view, float("-inf")):
            return False
        try:
            view = self._make(happening.view, happening.at)
        except Refusal:
            return False
        match happening:
            case Showing():
                view.show(happening, origin)
            case Known():
                view.learn(happening)
        return True

    def _make(self, name: str, at: float) -> View:
        """Raises Refusal."""
        if name not in self._views:
            self._make_room()
            self._views[name] = View(name, made=at)
        self._views.move_to_end(name)
        return self._views[name]

    def _end(self, ended: Ended) -> bool:
        self._ended[ended.view] = max(ended.at, self._ended.pop(ended.view, ended.at))
        while len(self._ended) > _VIEWS_KEPT:
            self._ended.popitem(last=False)
        view = self._views.get(ended.view)
        if view is not None and view.made <= ended.at:
            del self._views[ended.view]
            view.end()
        return True

    def _make_room(self) -> None:
        if len(self._views) < _VIEWS_KEPT:
            return
        unused = next((name for name, view in self._views.items() if not view.in_use), None)
        if unused is None:
            raise Refusal(503, "overloaded", f"all {_VIEWS_KEPT} views are in use", 5)
        del self._views[unused]
