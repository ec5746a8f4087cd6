"""What all homes of the ledger promise, and what each of them does when it cannot be used."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from streaming_asr_server.access.admission import Admission, Readiness, Refusal
from streaming_asr_server.access.authentication import ANYONE, BrowserTokens, Principal
from streaming_asr_server.access.ledger.interface import Ledger, LedgerError
from streaming_asr_server.access.ledger.memory import MemoryLedger
from streaming_asr_server.access.ledger.opening import open_ledger, process_name, usual_file
from streaming_asr_server.access.ledger.sqlite import SqliteLedger

from streaming_asr.errors import OptionError
from tests.server.redis_server import RedisServer, running_redis

pytestmark = pytest.mark.anyio

DAY = 20_000


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where several workers have their ledger."""
    if request.param == "sqlite":
        return str(tmp_path / "state" / "ledger.sqlite")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@asynccontextmanager
async def workers(home: str, *names: str) -> AsyncIterator[list[Ledger]]:
    ledgers = [open_ledger(home, worker=name) for name in names]
    try:
        yield ledgers
    finally:
        for ledger in ledgers:
            await ledger.close()


def admission(ledger: Ledger, *, now: Callable[[], float] = lambda: DAY * 86_400.0) -> Admission:
    ready = Admission(maximum_streams=50, ledger=ledger, now=now)
    ready.readiness = Readiness.READY
    return ready


async def test_a_key_has_its_number_of_streams_over_all_workers(home: str) -> None:
    news = Principal(name="news", streams=2)
    async with workers(home, "a", "b") as ledgers:
        first, second = map(admission, ledgers)
        async with first.stream(news), second.stream(news):
            for full in (first, second):
                with pytest.raises(Refusal) as refused:
                    async with full.stream(news):
                        pass
                assert (refused.value.status, refused.value.code) == (429, "too_many_streams")
        async with second.stream(news), second.stream(news):
            assert (first.streams, second.streams) == (0, 2)


async def test_processes_of_one_host_and_one_number_as_containers_are_count_for_themselves(home: str) -> None:
    async with workers(home, process_name(), process_name()) as (first, second):
        assert await first.hold("news", 1, limit=2)
        assert await second.hold("news", 1, limit=2)
        assert not await first.hold("news", 2, limit=2)


async def test_of_many_who_ask_at_once_no_more_are_let_in_than_may(home: str) -> None:
    async with workers(home, "a", "b") as ledgers:
        admissions, inside, most = [admission(ledger) for ledger in ledgers], 0, 0

        async def try_in(ready: Admission) -> bool:
            nonlocal inside, most
            try:
                async with ready.stream(Principal(name="news", streams=3)):
                    inside += 1
                    most = max(most, inside)
                    await asyncio.sleep(0.02)
                    inside -= 1
                    return True
            except Refusal:
                return False

        answers = await asyncio.gather(*(try_in(ready) for ready in admissions * 10))
        assert most <= 3
        assert any(answers)


async def test_the_minutes_of_a_key_are_used_up_for_all_workers(home: str) -> None:
    news = Principal(name="news", minutes=1)
    async with workers(home, "a", "b") as ledgers:
        first, second = map(admission, ledgers)
        first.count(news, 40)
        await first.settle()
        second.count(news, 15)
        await second.settle()
        first.count(news, 4.5)
        await first.settle()
        second.count(news, 0.5)
        with pytest.raises(Refusal) as refused:
            async with second.stream(news):
                pass
        assert refused.value.code == "minutes_used_up"
        assert await ledgers[0].add_seconds(DAY, {"news": 0.0, "other": 1.5}) == {
            "news": pytest.approx(60),
            "other": 1.5,
        }


async def test_a_token_of_one_worker_opens_one_connection_at_any(home: str) -> None:
    async with workers(home, "a", "b") as (first, second):
        token = await BrowserTokens(first).issue(ANYONE)
        both = await asyncio.gather(BrowserTokens(first).redeem(token), BrowserTokens(second).redeem(token))
        assert sorted(both, key=str) == sorted([ANYONE, None], key=str)
        await first.put_token("openai", "digest", "kept", seconds=60)
        assert [await second.find_token("openai", "digest", use_up=False) for _ in range(2)] == ["kept", "kept"]
        assert await second.find_token("browser", "digest", use_up=False) is None
        await first.put_token("browser", "brief", "gone", seconds=0.02)
        await asyncio.sleep(0.1)
        assert await second.find_token("browser", "brief", use_up=True) is None


async def test_the_oldest_token_gives_way(home: str) -> None:
    kept = 3
    if home.startswith("redis"):
        from streaming_asr_server.access.ledger.redis import RedisLedger

        ledger: Ledger = RedisLedger(home, worker="a", maximum_tokens=kept)
    else:
        ledger = SqliteLedger(Path(home), worker="a", maximum_tokens=kept)
    for number in range(6):
        await ledger.put_token("browser", str(number), "text", seconds=600)
    await ledger.put_token("openai", "other", "text", seconds=600)
    found = [await ledger.find_token("browser", str(number), use_up=False) for number in range(6)]
    assert found == [None, None, None, "text", "text", "text"]
    assert await ledger.find_token("openai", "other", use_up=False) == "text"
    await ledger.close()


async def test_a_session_that_goes_on_elsewhere_is_given_up_by_the_worker_that_had_it(home: str) -> None:
    async with workers(home, "a", "b") as (first, second):
        assert await first.renew({}, {"mine": "news", "other": "news"}) in ((), [])
        assert await second.find_session("mine", "news") == "a"
        assert await second.find_session("mine", "somebody else") is None
        await second.take_session("mine", "somebody else")
        assert list(await first.renew({}, {"mine": "news", "other": "news"})) == []
        await second.take_session("mine", "news")
        assert list(await first.renew({}, {"mine": "news", "other": "news"})) == ["mine"]
        await second.renew({}, {"new": "news"})
        assert list(await first.renew({}, {"other": "news"})) == []


async def test_a_session_is_taken_also_before_its_worker_has_told_of_it(home: str) -> None:
    async with workers(home, "a", "b") as (first, second):
        await second.take_session("mine", "news")
        assert list(await first.renew({}, {"mine": "news"})) == ["mine"]


async def test_a_dead_worker_holds_nothing(home: str) -> None:
    async with workers(home, "a", "b") as (first, second):
        assert await first.hold("news", 2, limit=2)
        assert not await second.hold("news", 1, limit=2)
        await second.forget("a")
        assert await second.hold("news", 2, limit=2)


async def test_a_worker_that_tells_all_it_holds_corrects_what_was_lost(home: str) -> None:
    async with workers(home, "a", "b") as (first, second):
        assert await first.hold("news", 2, limit=2)
        await first.renew({}, {})
        assert await second.hold("news", 2, limit=2)
        await first.renew({"news": 1}, {})
        assert not await second.hold("news", 2, limit=2)


async def test_workers_that_are_silent_hold_nothing_whatever_the_clock_does(tmp_path: Path) -> None:
    now = 1_000_000.0
    first, second = (SqliteLedger(tmp_path / "ledger", worker=name, now=lambda: now) for name in "ab")
    assert await first.hold("news", 1, limit=1)
    now += 9
    assert not await second.hold("news", 1, limit=1)
    now += 2
    assert await second.hold("news", 1, limit=1)
    now -= 86_400
    await first.renew({"news": 1}, {})
    await second.renew({}, {})
    assert not await second.hold("news", 1, limit=1)
    await first.renew({}, {})
    assert await second.hold("news", 1, limit=1)
    for ledger in (first, second):
        await ledger.close()


async def test_minutes_and_tokens_outlast_all_workers(tmp_path: Path) -> None:
    home = str(tmp_path / "ledger")
    async with workers(home, "a") as (ledger,):
        await ledger.add_seconds(DAY, {"news": 30.0})
        token = await BrowserTokens(ledger).issue(ANYONE)
    async with workers(home, "b") as (ledger,):
        assert await ledger.add_seconds(DAY, {"news": 1.0}) == {"news": 31.0}
        assert await BrowserTokens(ledger).redeem(token) == ANYONE
        await ledger.add_seconds(DAY + 2, {"news": 1.0})
        assert await ledger.add_seconds(DAY, {"news": 0.0}) == {"news": 0.0}, "old days are not kept"


async def test_nobody_waits_for_a_ledger_that_is_locked_but_who_needs_it(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    async with workers(str(file), "a") as (ledger,):
        ready, news = admission(ledger), Principal(name="news", streams=2, minutes=1)
        async with ready.stream(news):
            with locked(file):
                async with ready.stream(ANYONE):
                    ready.count(news, 30)
                with pytest.raises(Refusal) as refused:
                    async with ready.stream(news):
                        pass
                assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")
                with pytest.raises(LedgerError, match="locked"):
                    await ready.settle()
            await ready.settle()
            async with ready.stream(news):
                assert await ledger.add_seconds(DAY, {"news": 0.0}) == {"news": 30.0}


@contextmanager
def locked(file: Path) -> Iterator[None]:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_full_disk_is_an_error_that_passes(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    async with workers(str(file), "a") as (ledger,):
        ready = admission(ledger)
        ready.count(ANYONE, 30)
        written = max(entry.stat().st_size for entry in os.scandir(tmp_path))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (written, before[1]))
        try:
            with pytest.raises(LedgerError, match=r"full|disk I/O"):
                await ledger.put_token("browser", "digest", "x" * 100_000, seconds=60)
            async with ready.stream(ANYONE):
                assert ready.streams == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await ready.settle()
        assert await ledger.add_seconds(DAY, {"anyone": 0.0}) == {"anyone": 30.0}


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 100, None])
def test_what_is_no_ledger_is_refused_with_its_name(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ledger"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(OptionError, match=str(file)):
        open_ledger(str(file), worker="a")


def test_a_ledger_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(OptionError, match="format 99"):
        open_ledger(str(file), worker="a")


async def test_a_redis_that_goes_away_disturbs_nobody_and_is_used_when_it_is_back(redis_server: RedisServer) -> None:
    async with workers(redis_server.url, "a", "b") as (first, second):
        ready, news = admission(first), Principal(name="news", streams=1)
        async with ready.stream(news):
            redis_server.stop()
            with pytest.raises(LedgerError):
                await first.renew(ready.held, {})
            async with ready.stream(ANYONE):
                ready.count(ANYONE, 2)
            redis_server.start()
            await until_back(first)
            await first.renew(ready.held, {})
            await ready.settle()
            assert not await second.hold("news", 1, limit=1), "it has learned what is held"
            assert await second.add_seconds(DAY, {"anyone": 0.0}) == {"anyone": 2.0}


async def test_a_redis_that_is_silent_is_not_waited_for_by_one_after_the_other(redis_server: RedisServer) -> None:
    async with workers(redis_server.url, "a") as (ledger,):
        await ledger.hold("news", 1)
        redis_server.freeze(frozen=True)
        try:
            async with asyncio.timeout(30):
                answers = await asyncio.gather(*(ledger.hold("news", 1) for _ in range(50)), return_exceptions=True)
        finally:
            redis_server.freeze(frozen=False)
        assert all(isinstance(answer, LedgerError) for answer in answers)
        await until_back(ledger)
        assert await ledger.hold("news", 1)


async def until_back(ledger: Ledger) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await ledger.find_token("browser", "none", use_up=False)
            except LedgerError:
                await asyncio.sleep(0.05)
            else:
                return


def test_homes_are_known_by_how_they_are_written(tmp_path: Path) -> None:
    assert isinstance(open_ledger("memory", worker="a"), MemoryLedger)
    state = {"STATE_DIRECTORY": "/var/lib/asr:/other", "XDG_STATE_HOME": "/x", "HOME": "/home/a"}
    assert usual_file("::", 80, state).parent == Path("/var/lib/asr")
    assert usual_file("::", 80, {"XDG_STATE_HOME": "/x"}).parent == Path("/x/streaming-asr")
    assert usual_file("::", 80, state) != usual_file("::", 81, state)
