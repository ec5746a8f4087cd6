"""Subscribers of calls: messages about a call go to any number of websockets up to a bound."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.outbox import Close, Outbox, Send

MAXIMUM_PER_CALL: Final = 16
_REMEMBERED: Final = 256
"""Messages about a call, without partials, for one who comes late."""

_SLOW: Final = Close(4408, "slow_reader")


@dataclass(slots=True)
class _Topic:
    """The subscribers of one call; `live` counts its streams."""

    outboxes: set[Outbox] = field(default_factory=set)
    remembered: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    live: int = 0


class Subscribers:
    """All of a server, by the names of streams and calls."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum = maximum
        self._topics: dict[str, _Topic] = {}

    def __len__(self) -> int:
        return sum(len(topic.outboxes) for topic in self._topics.values())

    def live(self, name: str) -> bool:
        """Whether a stream of this name runs."""
        return name in self._topics and self._topics[name].live > 0

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
        outbox.put(Send(text) for text in topic.remembered)
        try:
            yield outbox
        finally:
            topic.outboxes.discard(outbox)
            self._forget(name, topic)

    def publish(self, names: tuple[str, ...], message: Mapping[str, Any]) -> None:
        """A message about a stream, to all subscribers of one of its names."""
        text = json.dumps(message, allow_nan=False)
        for name in dict.fromkeys(names):
            topic = self._topics.setdefault(name, _Topic())
            self._publish(topic, text, message)
            self._forget(name, topic)

    def _publish(self, topic: _Topic, text: str, message: Mapping[str, Any]) -> None:
        partial = message["type"] == "partial"
        topic.live += message["type"] == "call_started"
        topic.live -= message["type"] == "call_ended"
        if not partial:
            topic.remembered.append(text)
        for outbox in topic.outboxes:
            outbox.put([Send(text, replaces=message["track"] if partial else None)])
            if outbox.overfull:
                outbox.put([_SLOW])
            elif message["type"] == "call_ended" and topic.live == 0:
                outbox.put([Close(1000)])

    def _forget(self, name: str, topic: _Topic) -> None:
        if not topic.outboxes and topic.live <= 0 and self._topics.get(name) is topic:
            del self._topics[name]
