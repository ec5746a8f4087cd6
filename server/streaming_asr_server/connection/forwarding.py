"""The way from an outbox to one who only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from streaming_asr_server.connection.outbox import Outbox, Send
from streaming_asr_server.connection.transport import Transport, TransportClosedError


async def forward(outbox: Outbox, transport: Transport, seconds: float, *others: Coroutine[Any, Any, None]) -> None:
    """Send what there is to send, until the outbox closes or the reader has gone or does not read in `seconds`.

    `others` run meanwhile. Cancelled, it lets go of everything.
    """
    ends = [asyncio.create_task(_until_gone(transport)), asyncio.create_task(_write(outbox, transport, seconds))]
    tasks = [*ends, *(asyncio.create_task(other) for other in others)]
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until_gone(transport: Transport) -> None:
    """Wait for the end of a reader's connection; its messages mean nothing."""
    while await transport.receive() is not None:
        pass


async def _write(outbox: Outbox, transport: Transport, seconds: float) -> None:
    """Send what there is to send, until the reader has gone or a message is not read in time."""
    with suppress(TransportClosedError, TimeoutError):
        while isinstance(message := await outbox.get(), Send):
            async with asyncio.timeout(seconds):
                await transport.send(message.data)
        await transport.close(message.code, message.reason)
