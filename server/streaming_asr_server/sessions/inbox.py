"""What a client has sent and was not yet decoded: bounded in seconds of audio, in bytes and in messages."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from streaming_asr.protocol import Update
from streaming_asr_server.sessions.decoding import AudioFormat
from streaming_asr_server.sessions.messages import EndStream, EndUtterance

MAXIMUM_MESSAGES: Final = 256
MAXIMUM_CODED_BYTES: Final = 256 * 1024
"""Of a coded stream, whose seconds are an estimate from what it took so far."""


@dataclass(frozen=True, slots=True)
class AudioPiece:
    """A part of a client's audio, of the size that is decoded at once; with it, so many messages are complete."""

    data: bytes
    channel: int | None = None
    completes: int = 1


Item: TypeAlias = AudioPiece | EndUtterance | EndStream | Update


class Inbox:
    """A queue from one connection's reader to one session's worker; audio waits in it as it came.

    `room` waits while `maximum_seconds` of audio, or `MAXIMUM_CODED_BYTES` of a coded stream, or `MAXIMUM_MESSAGES`
    messages wait: that stops the reader, the socket, and in the end the client. `get` joins neighbouring audio up to
    the size of a piece, where messages may be joined; audio alone waits in any case until there are `wanted_bytes`.
    """

    def __init__(self, audio: AudioFormat, *, maximum_seconds: float) -> None:
        self.bytes = 0
        self.wanted_bytes = 0
        self._rate = audio.bytes_per_second
        self._piece_bytes: Final = audio.piece_bytes or 0
        self._maximum_seconds: Final = maximum_seconds
        self._maximum_bytes: Final = MAXIMUM_CODED_BYTES if self._rate is None else maximum_seconds * self._rate
        self._decoded_bytes = 0
        self._decoded_seconds = 0.0
        self._items: deque[Item] = deque()
        self._others = 0
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def seconds(self) -> float:
        """Audio that waits: exact for raw samples; else at the rate of what was decoded so far."""
        if self._rate is not None:
            return self.bytes / self._rate
        return self.bytes * self._decoded_seconds / self._decoded_bytes if self._decoded_bytes else 0.0

    @property
    def full(self) -> bool:
        """Whether the next message has to wait."""
        if self.bytes >= self._maximum_bytes or len(self._items) >= MAXIMUM_MESSAGES:
            return True
        return self._rate is None and self.seconds >= self._maximum_seconds

    def note_decoded(self, *, size: int = 0, seconds: float = 0.0) -> None:
        """So many more bytes of a coded stream went to the decoder; so many seconds came out of it."""
        self._decoded_bytes += size
        self._decoded_seconds += seconds

    async def room(self) -> None:
        """Wait until there is room. Cancelling it changes nothing."""
        while self.full:
            self._left.clear()
            await self._left.wait()

    def put(self, item: Item) -> None:
        """Add an item at once, room or not."""
        self._items.append(item)
        if isinstance(item, AudioPiece):
            self.bytes += len(item.data)
        else:
            self._others += 1
        if self.ripe:
            self._arrived.set()

    async def get(self) -> Item:
        """The next item. Cancelling it takes nothing out."""
        while not self.ripe:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._items.popleft()
        if isinstance(item, AudioPiece):
            item = self._joined(item)
        else:
            self._others -= 1
        self._left.set()
        return item

    @property
    def ripe(self) -> bool:
        """Whether the next item is to be dealt with: it is more than a little audio that can wait."""
        return bool(self._items) and (self._others > 0 or self.bytes >= self.wanted_bytes or self.full)

    def _joined(self, first: AudioPiece) -> AudioPiece:
        pieces, size, completes = [first.data], len(first.data), first.completes
        while self._items and isinstance(following := self._items[0], AudioPiece):
            if size + len(following.data) > self._piece_bytes or following.channel != first.channel:
                break
            self._items.popleft()
            pieces.append(following.data)
            size += len(following.data)
            completes += following.completes
        self.bytes -= size
        return AudioPiece(b"".join(pieces), first.channel, completes)
