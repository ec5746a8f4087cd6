"""The workers of one server talk to each other: over Unix sockets in the folder that they share."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from streaming_asr_server.peers import Channel
from streaming_asr_server.workers.link import LINE_BYTES, WAITING_BYTES, Link, encode

logger = logging.getLogger(__name__)

_INTRODUCTION_SECONDS: Final = 2.0
_LONGEST_ADDRESS: Final = 100
"""Systems take about so many bytes for the address of a Unix socket."""

_MOST_WORKERS: Final = 9999
_OPEN_FILES: Final = Path("/proc/self/fd")


class Bus:
    """The `Peers` of one of several workers.

    Each worker listens at an address of its own, and has a link to each other one. `waiting_bytes` may wait for a peer.
    """

    def __init__(self, folder: Path, *, index: int, workers: int, waiting_bytes: int = WAITING_BYTES) -> None:
        self._folder: Final = folder
        self._index: Final = index
        self._others: Final = [other for other in range(workers) if other != index]
        self._waiting_bytes: Final = waiting_bytes
        self._channels: dict[str, Channel] = {}
        self._links: dict[int, Link] = {}
        self._heard: dict[int, asyncio.StreamWriter] = {}
        self._introduced: dict[int, asyncio.Event] = {}
        self._hearing: set[asyncio.Task[None]] = set()

    @property
    def index(self) -> int:
        return self._index

    def join(self, name: str, channel: Channel) -> None:
        self._channels[name] = channel

    def tell(self, name: str, message: Any) -> None:
        if not self._links:
            return
        line = encode({"to": name, "message": message})
        for link in self._links.values():
            link.tell(line)

    async def ask(self, name: str, question: Any) -> list[Any]:
        answers = await asyncio.gather(*(link.ask(name, question) for link in self._links.values()))
        return [answer for answer in answers if answer is not None]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises OSError if there cannot be a socket in the folder."""
        with _short(self._folder) as folder:
            self._introduced = {other: asyncio.Event() for other in self._others}
            server = await asyncio.start_unix_server(self._accept, sock=self._listen(folder), limit=LINE_BYTES)
            self._links = {
                other: Link(_address(folder, other), self._known, waiting_bytes=self._waiting_bytes)
                for other in self._others
            }
            tasks = [asyncio.create_task(link.run(), name="link") for link in self._links.values()]
            try:
                await self._meet()
                yield
            finally:
                self._links = {}
                server.close()
                await _end({*tasks, *self._hearing})

    def _listen(self, folder: str) -> socket.socket:
        """For this user alone, also where the folder were open to others."""
        address = _address(folder, self._index)
        with suppress(FileNotFoundError):
            os.unlink(address)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(address)
            os.chmod(address, 0o600)
        except OSError:
            listener.close()
            raise
        return listener

    async def _meet(self) -> None:
        """Wait until the peers that are there have said what they know; not for long."""

        async def meet(other: int, link: Link) -> None:
            if await link.tried():
                await self._introduced[other].wait()

        with suppress(TimeoutError):
            async with asyncio.timeout(_INTRODUCTION_SECONDS):
                await asyncio.gather(*(meet(other, link) for other, link in self._links.items()))

    def _known(self) -> Iterator[Mapping[str, Any]]:
        """What is said at the begin of a connection to a peer."""
        yield {"hello": self._index}
        for name, channel in self._channels.items():
            for message in channel.known():
                yield {"to": name, "message": message}
        yield {"introduced": True}

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A peer has connected; hear it to its end."""
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this in a task"
        self._hearing.add(task)
        task.add_done_callback(self._hearing.discard)
        with suppress(OSError, ValueError, KeyError, asyncio.CancelledError):
            origin = json.loads(await reader.readline())["hello"]
            self._lose(origin)
            self._heard[origin] = writer
            self._links[origin].wake()
            await self._hear(origin, reader, writer)
        for origin, heard in list(self._heard.items()):
            if heard is writer:
                self._lose(origin)
        writer.transport.abort()

    async def _hear(self, origin: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Raises OSError, ValueError for a line that is too long."""
        while (line := await reader.readline()) and self._heard.get(origin) is writer:
            message = json.loads(line)
            if "introduced" in message:
                self._introduced[origin].set()
                continue
            try:
                self._take(origin, message, writer)
            except Exception:
                logger.exception("what another worker says cannot be understood", extra={"peer": origin})

    def _take(self, origin: int, message: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        channel = self._channels[message["to"]]
        if "ask" in message:
            writer.write(encode({"answer": message["ask"], "message": channel.asked(message["message"])}))
        else:
            channel.told(origin, message["message"])

    def _lose(self, origin: int) -> None:
        """A peer is not heard any more, if it was."""
        writer = self._heard.pop(origin, None)
        if writer is None:
            return
        writer.transport.abort()
        for channel in self._channels.values():
            channel.gone(origin)


def _address(folder: str, index: int) -> str:
    return f"{folder}/peer-{index}"


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The name of a folder, or where that is too long for a socket in it, one that is good within this process."""
    if len(os.fsencode(_address(str(folder), _MOST_WORKERS))) <= _LONGEST_ADDRESS or not _OPEN_FILES.exists():
        yield str(folder)
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str(_OPEN_FILES / str(opened))
    finally:
        os.close(opened)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
