"""How much is served at once, and to whom."""

from __future__ import annotations

from contextlib import suppress

import pytest
from streaming_asr_server.access.admission import Admission, Readiness, Refusal
from streaming_asr_server.access.authentication import ANYONE, Principal
from streaming_asr_server.access.ledger.memory import MemoryLedger

from streaming_asr.protocol import ProtocolError

pytestmark = pytest.mark.anyio

NOON = 12 * 3_600


class Now:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.seconds = float(NOON)

    def __call__(self) -> float:
        return self.seconds


def admission(now: Now | None = None, *, streams: int = 2) -> Admission:
    ready = Admission(maximum_streams=streams, ledger=MemoryLedger(), now=now or Now())
    ready.readiness = Readiness.READY
    return ready


async def refusal(ready: Admission, principal: Principal = ANYONE) -> tuple[int, str, int | None]:
    with pytest.raises(Refusal) as refused:
        async with ready.stream(principal):
            pass
    return refused.value.status, refused.value.code, refused.value.retry_after


async def test_a_server_that_starts_or_drains_takes_no_streams() -> None:
    ready = Admission(maximum_streams=2, ledger=MemoryLedger(), now=Now())
    assert (ready.status, await refusal(ready)) == ("starting", (503, "starting", 5))
    ready.readiness = Readiness.DRAINING
    assert (ready.status, await refusal(ready)) == ("draining", (503, "draining", 5))


async def test_only_so_many_streams_run_at_once_and_a_place_is_free_again_after_a_fault() -> None:
    ready = admission(streams=1)
    with suppress(KeyError):
        async with ready.stream(ANYONE):
            assert (ready.full, ready.status) == (True, "full")
            assert await refusal(ready) == (503, "overloaded", 5)
            raise KeyError
    assert (ready.full, ready.status, ready.streams) == (False, "ready", 0)


async def test_a_key_has_its_own_number_of_streams() -> None:
    ready, limited = admission(), Principal(name="limited", streams=1)
    async with ready.stream(limited):
        assert await refusal(ready, limited) == (429, "too_many_streams", 5)
        async with ready.stream(ANYONE):
            assert ready.streams == 2


async def test_the_minutes_of_a_key_end_its_stream_and_come_back_at_midnight() -> None:
    now = Now()
    ready, limited = admission(now), Principal(name="limited", minutes=1)
    ready.count(limited, 59)
    with pytest.raises(ProtocolError) as used_up:
        ready.count(limited, 2)
    assert used_up.value.code == "minutes_used_up"
    assert await refusal(ready, limited) == (429, "minutes_used_up", 86_400 - NOON)
    now.seconds = 86_400 + 1
    async with ready.stream(limited):
        ready.count(limited, 30)
