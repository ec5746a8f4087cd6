"""A network between client and server that can be bad: it cuts packets anywhere, drops connections, goes dead."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class BadNetwork:
    """Forwards TCP to `port()` in pieces of random size.

    `budget()` gives the bytes from the client after which a connection breaks, or None; `break_all` breaks those that
    are open; while `alive` is not set, nothing is forwarded and nothing is closed: the other end hears nothing.
    """

    def __init__(self, port: Callable[[], int], *, seed: int, budget: Callable[[], int | None] = lambda: None) -> None:
        self.connections = 0
        self.alive = asyncio.Event()
        self.alive.set()
        self.own_port = 0
        self._port = port
        self._random = random.Random(seed)
        self._budget = budget
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.own_port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port())
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        ways = {
            asyncio.create_task(self._forward(reader, far_writer, self._budget())),
            asyncio.create_task(self._forward(far_reader, writer, None)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, far_writer):
                each.transport.abort()
                self._writers.discard(each)

    def break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
        while budget is None or budget > 0:
            try:
                data = await reader.read(self._random.randint(1, 20_000))
            except OSError:
                return
            if not data:
                return
            await self.alive.wait()
            if budget is not None:
                data, budget = data[:budget], budget - len(data)
            writer.write(data)


@asynccontextmanager
async def bad_network(
    port: Callable[[], int], *, seed: int, budget: Callable[[], int | None] = lambda: None
) -> AsyncIterator[BadNetwork]:
    network = BadNetwork(port, seed=seed, budget=budget)
    listener = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    network.own_port = listener.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        listener.close()
        network.break_all()
        await asyncio.sleep(0.01)
