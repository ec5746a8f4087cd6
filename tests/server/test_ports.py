"""Sockets that several take connections from."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from streaming_asr_server.ports import SharedPorts, listen

from tests.server.speaking import until

pytestmark = pytest.mark.anyio


class Sharers:
    """So many that accept from one socket; each leaves a connection to others for as long as its patience says."""

    def __init__(self, patience: tuple[float, ...]) -> None:
        self.listeners = listen("127.0.0.1", 0)
        self.taken: Counter[int] = Counter()
        self.transports: list[asyncio.BaseTransport] = []
        self.ports = [self._accepting(index, seconds) for index, seconds in enumerate(patience)]

    def _accepting(self, index: int, patience: float) -> SharedPorts:
        sharers = self

        class Taken(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sharers.taken[index] += 1
                sharers.transports.append(transport)

        # As other processes have them: the same socket under another number.
        mine = [listener.dup() for listener in self.listeners[:1]]
        self.listeners += mine
        ports = SharedPorts({1: mine}, index=index, patience=lambda: patience)
        ports.accept(1, Taken)
        return ports

    async def connect(self, times: int) -> list[socket.socket]:
        """Clients, each after the one before was taken."""
        clients = []
        for _ in range(times):
            before = self.taken.total()
            client = socket.socket()
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, self.listeners[0].getsockname())
            clients.append(client)
            await until(lambda before=before: self.taken.total() > before)  # type: ignore[misc]
        return clients


@asynccontextmanager
async def sharing(*patience: float) -> AsyncIterator[Sharers]:
    sharers = Sharers(patience)
    try:
        yield sharers
    finally:
        for ports in sharers.ports:
            await ports.stop(1)
        for transport in sharers.transports:
            transport.close()
        for listener in sharers.listeners:
            listener.close()
        await asyncio.sleep(0)


async def test_who_has_least_to_do_takes_all() -> None:
    async with sharing(5.0, 0.0, 5.0) as sharers:
        clients = await sharers.connect(6)
        assert sharers.taken == {1: 6}
        assert [ports.connections for ports in sharers.ports] == [0, 6, 0]
        for client in clients:
            client.close()
        await until(lambda: sharers.ports[1].connections == 0)


async def test_nobody_is_waited_for_who_takes_nothing() -> None:
    async with sharing(0.05, 0.0) as sharers:
        await sharers.ports[1].stop(1)
        clients = await sharers.connect(3)
        assert sharers.taken == {0: 3}
        for client in clients:
            client.close()
