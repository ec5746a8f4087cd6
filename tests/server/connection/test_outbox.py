"""What waits for a client: partials give way, finals never, and nothing grows without somebody being told."""

from __future__ import annotations

import asyncio

import pytest
from streaming_asr_server.connection.outbox import Close, Outbox, Send

pytestmark = pytest.mark.anyio


async def test_partials_give_way_in_the_outbox_and_finals_do_not() -> None:
    outbox = Outbox(maximum_messages=3)
    outbox.put([Send("final 0"), Send("partial", 1), Send("newer partial", 1), Send("final 1"), Send("partial", 2)])
    assert outbox.overfull
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.put([Send("newest partial", 2), Close(), Send("too late")])
    said = [await outbox.get() for _ in range(5)]
    await waiting
    assert said == [Send("final 0"), Send("newer partial", 1), Send("final 1"), Send("newest partial", 2), Close()]


async def test_nobody_waits_for_room_in_an_outbox_that_was_closed_or_cleared() -> None:
    for end in (Outbox.close, Outbox.clear):
        outbox = Outbox(maximum_messages=1)
        outbox.put([Send("1"), Send("2")])
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(0)
        end(outbox)
        await asyncio.wait_for(waiting, 1)


async def test_a_cancelled_get_takes_nothing_out() -> None:
    outbox = Outbox()
    getting = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    getting.cancel()
    outbox.put([Send("1")])
    await asyncio.gather(getting, return_exceptions=True)
    assert (len(outbox), await outbox.get()) == (1, Send("1"))
