"""Workers that talk to each other, over real sockets: in order, again after a restart, and never held up."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from streaming_asr_server.peers import Alone
from streaming_asr_server.workers.bus import Bus

pytestmark = pytest.mark.anyio


class Notes:
    """A channel that keeps what it is told; `facts` is what it knows."""

    def __init__(self, *facts: Any) -> None:
        self.facts = list(facts)
        self.heard: list[tuple[int, Any]] = []
        self.lost: list[int] = []
        self._changed = asyncio.Event()

    def told(self, origin: int, message: Any) -> None:
        if message == "nonsense":
            raise ValueError("it means nothing")
        self.heard.append((origin, message))
        self._changed.set()

    def asked(self, question: Any) -> Any:
        return self.facts[0] if self.facts else None

    def known(self) -> Iterable[Any]:
        return self.facts

    def gone(self, origin: int) -> None:
        self.lost.append(origin)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Worker:
    """A bus with one channel."""

    def __init__(self, folder: Path, index: int, workers: int, *facts: Any, **options: Any) -> None:
        self.notes = Notes(*facts)
        self.bus = Bus(folder, index=index, workers=workers, **options)
        self.bus.join("notes", self.notes)

    def tell(self, *messages: Any) -> None:
        for message in messages:
            self.bus.tell("notes", message)


@asynccontextmanager
async def running(folder: Path, *facts: Any) -> AsyncIterator[list[Worker]]:
    """A worker for each fact, all of which have heard what the others know."""
    workers = [Worker(folder, index, len(facts), fact) for index, fact in enumerate(facts)]
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker.bus.running())
        for worker in workers:
            await worker.notes.until(lambda worker=worker: len(worker.notes.heard) == len(facts) - 1)  # type: ignore[misc]
        yield workers


async def test_everybody_is_told_what_the_others_know_and_then_everything_in_order(tmp_path: Path) -> None:
    async with running(tmp_path, "a", "b", "c") as workers:
        for number in range(1_000):
            for worker in workers:
                worker.tell(number)
        for index, worker in enumerate(workers):
            await worker.notes.until(lambda worker=worker: len(worker.notes.heard) == 2 * 1_001)  # type: ignore[misc]
            for other in {0, 1, 2} - {index}:
                told = [message for origin, message in worker.notes.heard if origin == other]
                assert told == ["abc"[other], *range(1_000)]


async def test_one_who_comes_later_knows_what_is_known_when_it_begins(tmp_path: Path) -> None:
    first, second = Worker(tmp_path, 0, 2, *range(500)), Worker(tmp_path, 1, 2)
    async with first.bus.running(), second.bus.running():
        assert [message for _, message in second.notes.heard] == list(range(500))


async def test_peers_answer_and_those_that_are_not_there_do_not(tmp_path: Path) -> None:
    async with running(tmp_path, "a", "b") as (first, second):
        assert await first.bus.ask("notes", "who?") == ["b"]
        second.notes.facts.clear()
        assert await first.bus.ask("notes", "who?") == []
    alone = Worker(tmp_path, 0, 3)
    async with alone.bus.running():
        assert await alone.bus.ask("notes", "who?") == []


async def test_a_question_comes_behind_what_was_told_before(tmp_path: Path) -> None:
    async with running(tmp_path, "a", "b") as (first, second):
        first.tell(1, 2, 3)
        await first.bus.ask("notes", "who?")
        assert second.notes.heard[-3:] == [(0, 1), (0, 2), (0, 3)]


async def test_one_that_has_gone_is_missed_and_one_that_is_back_hears_everything(tmp_path: Path) -> None:
    first, second = Worker(tmp_path, 0, 3, "a"), Worker(tmp_path, 1, 3, "b")
    third, again = Worker(tmp_path, 2, 3, "c"), Worker(tmp_path, 2, 3, "new")
    stay = (first.notes, second.notes)
    async with first.bus.running(), second.bus.running():
        async with third.bus.running():
            for notes in stay:
                await notes.until(lambda notes=notes: (2, "c") in notes.heard)  # type: ignore[misc]
        for notes in stay:
            await notes.until(lambda notes=notes: notes.lost == [2])  # type: ignore[misc]
        async with again.bus.running():
            assert sorted(again.notes.heard) == [(0, "a"), (1, "b")]
            for notes in stay:
                await notes.until(lambda notes=notes: (2, "new") in notes.heard)  # type: ignore[misc]
            first.tell("after")
            second.tell("after")
            await again.notes.until(lambda: {(0, "after"), (1, "after")} <= set(again.notes.heard))


async def test_a_message_that_means_nothing_harms_no_other(tmp_path: Path) -> None:
    async with running(tmp_path, "a", "b") as (first, second):
        first.tell("nonsense", "sense")
        await second.notes.until(lambda: (0, "sense") in second.notes.heard)
        assert second.notes.lost == []


@asynccontextmanager
async def played(folder: Path, index: int) -> AsyncIterator[asyncio.Queue[Any]]:
    """A peer that the test plays: the connections that come to it, as pairs of reader and writer."""
    connections: asyncio.Queue[Any] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        connections.put_nowait((reader, writer))

    async with await asyncio.start_unix_server(accept, folder / f"peer-{index}", limit=1 << 11):
        try:
            yield connections
        finally:
            for writer in writers:
                writer.transport.abort()


async def test_one_who_does_not_read_is_let_go_and_told_anew_what_is_known(tmp_path: Path) -> None:
    worker = Worker(tmp_path, 0, 2, "fact", waiting_bytes=1 << 16)
    async with played(tmp_path, 1) as connections, asyncio.timeout(30), worker.bus.running():
        reader, _ = await connections.get()
        assert [json.loads(await reader.readline()) for _ in range(3)] == told("fact")
        while connections.empty():
            worker.tell("x" * 1_000)
            await asyncio.sleep(0)
        worker.notes.facts.append("more")
        reader, _ = await connections.get()
        assert [json.loads(await reader.readline()) for _ in range(3)][:2] == told("fact")[:2]
        worker.tell("after")
        while json.loads(await reader.readline()).get("message") != "after":
            pass


def told(*facts: str) -> list[Any]:
    return [{"hello": 0}, *({"to": "notes", "message": fact} for fact in facts), {"introduced": True}]


async def test_one_who_does_not_answer_in_time_has_no_answer(tmp_path: Path) -> None:
    worker = Worker(tmp_path, 0, 2)
    async with played(tmp_path, 1) as connections, worker.bus.running():
        await connections.get()
        async with asyncio.timeout(10):
            assert await worker.bus.ask("notes", "who?") == []


@pytest.mark.parametrize("broken", [b"", b"nonsense\n", b'{"hello": 1}\n{"to": "no', b'{"hello": 7}\n'])
async def test_half_a_message_at_the_end_is_none(tmp_path: Path, broken: bytes) -> None:
    worker = Worker(tmp_path, 0, 2, "fact")
    async with worker.bus.running():
        _, writer = await asyncio.open_unix_connection(tmp_path / "peer-0")
        writer.write(broken)
        writer.close()
        await writer.wait_closed()
        second = Worker(tmp_path, 1, 2, "other")
        async with second.bus.running():
            await worker.notes.until(lambda: worker.notes.heard == [(1, "other")])


async def test_sockets_are_for_the_owner_alone(tmp_path: Path) -> None:
    async with Worker(tmp_path, 0, 2).bus.running():
        assert stat.S_IMODE(os.stat(tmp_path / "peer-0").st_mode) == 0o600


async def test_the_name_of_the_folder_may_be_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    async with running(folder, "a", "b") as (first, second):
        first.tell("hello")
        await second.notes.until(lambda: (0, "hello") in second.notes.heard)


async def test_one_alone_has_nobody_to_talk_to() -> None:
    alone = Alone()
    alone.join("notes", Notes())
    async with alone.running():
        alone.tell("notes", "hello")
        assert await alone.ask("notes", "who?") == []
