"""Who listens to which call: messages about it, to any number of websockets up to a bound."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.connection.outbox import HangUp, Outbox, Send

MAXIMUM_PER_CALL: Final = 16
_REMEMBERED: Final = 256
"""Messages about a call, without partials, for one who comes late."""

_SLOW: Final = HangUp(4408, "slow_reader")


@dataclass(slots=True)
class _Room:
    """Everyone who listens to one call; `live` counts its streams."""

    outboxes: set[Outbox] = field(default_factory=set)
    remembered: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    live: int = 0


class Subscribers:
    """All of a server, by the names of streams and calls."""

    def __init__(self, *, maximum: int) -> None:
        self._maximum = maximum
        self._rooms: dict[str, _Room] = {}

    def __len__(self) -> int:
        return sum(len(room.outboxes) for room in self._rooms.values())

    def live(self, name: str) -> bool:
        """Whether a stream of this name runs."""
        return name in self._rooms and self._rooms[name].live > 0

    @contextmanager
    def listening(self, name: str) -> Iterator[Outbox]:
        """An outbox with everything about a call, from its start if that is not too long ago.

        Raises:
            Refusal: too many listen.
        """
        room = self._rooms.get(name, _Room())
        if len(room.outboxes) >= MAXIMUM_PER_CALL or len(self) >= self._maximum:
            raise Refusal(503, "overloaded", "too many listen to calls already", 5)
        self._rooms[name] = room
        outbox = Outbox()
        room.outboxes.add(outbox)
        outbox.put(Send(text) for text in room.remembered)
        try:
            yield outbox
        finally:
            room.outboxes.discard(outbox)
            self._forget(name, room)

    def tell(self, names: tuple[str, ...], message: Mapping[str, Any]) -> None:
        """A message about a stream, to all who listen by one of its names."""
        text = json.dumps(message, allow_nan=False)
        for name in dict.fromkeys(names):
            room = self._rooms.setdefault(name, _Room())
            self._tell(room, text, message)
            self._forget(name, room)

    def _tell(self, room: _Room, text: str, message: Mapping[str, Any]) -> None:
        partial = message["type"] == "partial"
        room.live += message["type"] == "call_started"
        room.live -= message["type"] == "call_ended"
        if not partial:
            room.remembered.append(text)
        for outbox in room.outboxes:
            outbox.put([Send(text, replaces=message["track"] if partial else None)])
            if outbox.overfull:
                outbox.put([_SLOW])
            elif message["type"] == "call_ended" and room.live == 0:
                outbox.put([HangUp(1000)])

    def _forget(self, name: str, room: _Room) -> None:
        if not room.outboxes and room.live <= 0 and self._rooms.get(name) is room:
            del self._rooms[name]
