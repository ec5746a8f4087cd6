"""Subscribers of calls: messages about a call go to any number of websockets up to a bound, at every worker."""

from __future__ import annotations

import itertools
import json
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.outbox import Close, Outbox, Send

MAXIMUM_PER_CALL: Final = 16
_REMEMBERED: Final = 256
"""Messages about a call, without partials, for one who comes late."""

_SLOW: Final = Close(4408, "slow_reader")
_GONE: Final = Close(1011, "the worker that heard this call has gone")

Number: TypeAlias = tuple[str, int]
"""Of a message: the life of a worker, and how many it had published before."""


@dataclass(frozen=True, slots=True)
class Published:
    """A message about a stream that one of the workers has, for the subscribers of one of its names."""

    names: Sequence[str]
    number: Number
    message: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.message["type"])


@dataclass(slots=True)
class _Topic:
    """The subscribers of one call at this worker; `live` counts its streams at each worker.

    `heard` has the number of the last message of each worker's life: what comes again is known.
    """

    outboxes: set[Outbox] = field(default_factory=set)
    remembered: deque[Published] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    live: Counter[int] = field(default_factory=Counter)
    heard: dict[str, int] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        return self.live.total() > 0

    def publish(self, origin: int, published: Published) -> None:
        """A message of this worker's: its stream begins, goes on or ends."""
        self.live[origin] += published.kind == "call_started"
        self.live[origin] -= published.kind == "call_ended"
        self.deliver(published)
        if published.kind == "call_ended" and not self.is_live:
            self.close(Close(1000))

    def deliver(self, published: Published) -> None:
        """Remember a message and give it to the subscribers, if it is new."""
        life, number = published.number
        if number <= self.heard.get(life, -1):
            return
        self.heard[life] = number
        partial = published.kind == "partial"
        if not partial:
            self.remembered.append(published)
        send = _send(published, replaces=published.message["track"] if partial else None)
        for outbox in self.outboxes:
            outbox.put([send])
            if outbox.overfull:
                outbox.put([_SLOW])

    def close(self, close: Close) -> None:
        """Send the subscribers away."""
        for outbox in self.outboxes:
            outbox.put([close])


class Subscribers:
    """All at one worker, by the names of streams and calls.

    What is published here goes to `tell` for the other workers; what is published there comes by `told`.
    """

    def __init__(
        self, *, maximum: int, index: int = 0, tell: Callable[[Mapping[str, Any]], None] = lambda message: None
    ) -> None:
        self._maximum = maximum
        self._index = index
        self._tell = tell
        self._life = secrets.token_urlsafe(6)
        self._numbers = itertools.count()
        self._topics: dict[str, _Topic] = {}

    def __len__(self) -> int:
        return sum(len(topic.outboxes) for topic in self._topics.values())

    def live(self, name: str) -> bool:
        """Whether a stream of this name runs, at any worker."""
        return name in self._topics and self._topics[name].is_live

    @contextmanager
    def subscribe(self, name: str) -> Iterator[Outbox]:
        """An outbox with everything about a call, from its start if that is not too long ago.

        Raises:
            Refusal: there are too many subscribers.
        """
        topic = self._topics.get(name, _Topic())
        if len(topic.outboxes) >= MAXIMUM_PER_CALL or len(self) >= self._maximum:
            raise Refusal(503, "overloaded", "there are too many subscribers of calls already", 5)
        self._topics[name] = topic
        outbox = Outbox()
        topic.outboxes.add(outbox)
        outbox.put(map(_send, topic.remembered))
        try:
            yield outbox
        finally:
            topic.outboxes.discard(outbox)
            self._forget(name, topic)

    def publish(self, names: tuple[str, ...], message: Mapping[str, Any]) -> None:
        """A message about a stream of this worker, to all subscribers of one of its names."""
        published = Published(tuple(dict.fromkeys(names)), (self._life, next(self._numbers)), message)
        self._publish(self._index, published)
        self._tell({"published": _members(published)})

    def told(self, origin: int, message: Any) -> None:
        """What another worker has published, or has known when this one began to listen."""
        match message:
            case {"published": members}:
                self._publish(origin, _published(members))
            case {"topic": name, "live": int(live), "remembered": remembered}:
                topic = self._topics.setdefault(name, _Topic())
                topic.live[origin] = live
                for members in remembered:
                    topic.deliver(_published(members))

    def asked(self, question: Any) -> None:
        """Nothing is asked."""

    def known(self) -> Iterable[Any]:
        """The calls that have streams at this worker, and what was said in them."""
        for name, topic in self._topics.items():
            if live := topic.live[self._index]:
                yield {"topic": name, "live": live, "remembered": []}
                for published in topic.remembered:
                    yield {"topic": name, "live": live, "remembered": [_members(published)]}

    def gone(self, origin: int) -> None:
        """A worker has gone, and with it its streams."""
        for name, topic in list(self._topics.items()):
            if topic.live.pop(origin, 0) and not topic.is_live:
                topic.close(_GONE)
                self._forget(name, topic)

    def _publish(self, origin: int, published: Published) -> None:
        for name in published.names:
            topic = self._topics.setdefault(name, _Topic())
            topic.publish(origin, published)
            self._forget(name, topic)

    def _forget(self, name: str, topic: _Topic) -> None:
        if not topic.outboxes and not topic.is_live and self._topics.get(name) is topic:
            del self._topics[name]


def _send(published: Published, replaces: str | None = None) -> Send:
    return Send(json.dumps(published.message, allow_nan=False), replaces=replaces)


def _members(published: Published) -> Mapping[str, Any]:
    return {"names": published.names, "number": published.number, "message": published.message}


def _published(members: Mapping[str, Any]) -> Published:
    life, number = members["number"]
    return Published(tuple(members["names"]), (life, number), members["message"])
