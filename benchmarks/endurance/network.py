"""A network that breaks each connection after as many bytes as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class CuttingNetwork:
    """Forwards TCP to a port of this machine; `budget()` gives the bytes from a client until its connection breaks."""

    def __init__(self, port: int, budget: Callable[[], int]) -> None:
        self.cuts = 0
        self.own_port = 0
        self._port = port
        self._budget = budget

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.own_port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to its end."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        there = asyncio.create_task(self._forward(reader, far_writer, self._budget()))
        back = asyncio.create_task(self._forward(far_reader, writer, None))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            self.cuts += there.done() and there.result()
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            writer.transport.abort()
            far_writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> bool:
        """Forward until an end closes, or the budget is used up, which is True."""
        try:
            while data := await reader.read(65_536):
                if budget is not None:
                    data = data[:budget]
                    budget -= len(data)
                writer.write(data)
                await writer.drain()
                if budget == 0:
                    return True
        except OSError:
            pass
        return False


@asynccontextmanager
async def cutting_network(port: int, budget: Callable[[], int]) -> AsyncIterator[CuttingNetwork]:
    """Listen until the context ends."""
    network = CuttingNetwork(port, budget)
    listener = await asyncio.start_server(network.serve, "127.0.0.1", 0)
    network.own_port = listener.sockets[0].getsockname()[1]
    try:
        yield network
    finally:
        listener.close()
