"""The way from one worker to one of its peers: what is told and asked goes out, answers come back."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

logger = logging.getLogger(__name__)

LINE_BYTES: Final = 1 << 24
"""The longest message."""

WAITING_BYTES: Final = 8 << 20
"""A peer that has not read more than this is let go; it is told anew what is known when it is connected again."""

_AGAIN_SECONDS: Final = 0.5
_CONNECT_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 2.0


def encode(message: Mapping[str, Any]) -> bytes:
    """A message as a line."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class Link:
    """A connection to one peer, made again whenever it ends.

    `known` gives what a new connection begins with; what is told while that goes out comes after it.
    """

    def __init__(
        self, address: str, known: Callable[[], Iterable[Mapping[str, Any]]], *, waiting_bytes: int = WAITING_BYTES
    ) -> None:
        self._address: Final = address
        self._known: Final = known
        self._waiting_bytes: Final = waiting_bytes
        self._writer: asyncio.StreamWriter | None = None
        self._behind: deque[bytes] | None = None
        self._behind_bytes = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers: Final = itertools.count()
        self._wake: Final = asyncio.Event()
        self._tried: Final = asyncio.Event()

    def wake(self) -> None:
        """The peer is there: connect now, if there is no connection."""
        self._wake.set()

    async def tried(self) -> bool:
        """Wait for the end of the first attempt; whether there is a connection."""
        await self._tried.wait()
        return self._writer is not None

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            self._wake.clear()
            with suppress(OSError, TimeoutError, ValueError):
                await self._connect()
            self._tried.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._wake.wait()

    def tell(self, line: bytes) -> None:
        """Send without waiting; nothing happens while there is no connection."""
        writer = self._writer
        if writer is None:
            return
        if self._behind is None:
            writer.write(line)
        else:
            self._behind.append(line)
            self._behind_bytes += len(line)
        if self._behind_bytes + writer.transport.get_write_buffer_size() > self._waiting_bytes:
            logger.warning("another worker does not read what it is told and is let go", extra={"peer": self._address})
            self._let_go()

    async def ask(self, name: str, question: Any) -> Any:
        """The answer; None without a connection, or if it does not come in time."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self.tell(encode({"to": name, "ask": number, "message": question}))
            if self._writer is None:
                return None
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._answers[number]

    async def _connect(self) -> None:
        """One connection, to its end. Raises OSError, TimeoutError, ValueError for half a line."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_unix_connection(self._address, limit=LINE_BYTES)
        self._writer, self._behind, self._behind_bytes = writer, deque(), 0
        self._tried.set()
        try:
            await self._introduce(writer)
            async for line in reader:
                self._take(json.loads(line))
        finally:
            self._let_go()
            writer.transport.abort()

    async def _introduce(self, writer: asyncio.StreamWriter) -> None:
        """Say what is known, and then what was told meanwhile. Raises OSError."""
        for message in list(self._known()):
            writer.write(encode(message))
            await writer.drain()
        while self._behind:
            self._behind_bytes -= len(self._behind[0])
            writer.write(self._behind.popleft())
            await writer.drain()
        self._behind = None

    def _take(self, answer: Mapping[str, Any]) -> None:
        waiting = self._answers.get(answer["answer"])
        if waiting is not None and not waiting.done():
            waiting.set_result(answer["message"])

    def _let_go(self) -> None:
        if self._writer is None:
            return
        self._writer.transport.abort()
        self._writer, self._behind, self._behind_bytes = None, None, 0
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
