"""Subscribers of calls at several workers, with the messages carried by hand: everything once, and an end."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.connection.outbox import Close, Outbox, Send
from streaming_asr_server.protocols.twilio.subscribers import Subscribers


class Worker:
    """The subscribers of one worker; what it tells waits for each other one."""

    def __init__(self, index: int, number: int) -> None:
        self.ways: dict[int, deque[str]] = {other: deque() for other in range(number) if other != index}
        self.subscribers = Subscribers(maximum=100, index=index, tell=self._tell)

    def _tell(self, message: Mapping[str, Any]) -> None:
        for way in self.ways.values():
            way.append(json.dumps(message))

    def say(self, kind: str, text: str = "", stream: str = "MZ1") -> None:
        message = {"type": kind, "text": text, "track": "inbound"}
        self.subscribers.publish((stream, "CA1"), message)


class Workers:
    """Workers and the ways between them."""

    def __init__(self, number: int = 2) -> None:
        self.workers = [Worker(index, number) for index in range(number)]

    def __getitem__(self, index: int) -> Worker:
        return self.workers[index]

    def carry(self, origin: int, to: int, most: int | None = None) -> None:
        way = self[origin].ways[to]
        for _ in range(len(way) if most is None else min(most, len(way))):
            self[to].subscribers.told(origin, json.loads(way.popleft()))

    def settle(self) -> None:
        for origin, to in itertools.permutations(range(len(self.workers)), 2):
            self.carry(origin, to)

    def restart(self, index: int) -> None:
        """A worker dies when it has been heard, and another one takes its place."""
        for other in self[index].ways:
            self.carry(index, other)
        self.workers[index] = Worker(index, len(self.workers))
        for other, worker in enumerate(self.workers):
            if other != index:
                worker.subscribers.gone(index)
                worker.ways[index] = deque(map(json.dumps, worker.subscribers.known()))


def drained(outbox: Outbox) -> list[Any]:
    """Kind and text of the messages, and the code of the close."""

    async def drain() -> list[Any]:
        return [await outbox.get() for _ in range(len(outbox))]

    return [told(message) for message in asyncio.run(drain())]


def told(message: Send | Close) -> Any:
    if isinstance(message, Close):
        return message.code
    members = json.loads(message.data)
    return members["type"], members["text"]


def test_subscribers_at_every_worker_hear_the_whole_call() -> None:
    workers = Workers(3)
    with (
        workers[1].subscribers.subscribe("CA1") as early,
        workers[2].subscribers.subscribe("MZ1") as of_the_stream,
    ):
        workers[0].say("call_started")
        workers[0].say("dtmf", "7")
        workers[0].say("dtmf", "7")
        workers.settle()
        with workers[2].subscribers.subscribe("CA1") as late:
            workers[0].say("partial", "w")
            workers[0].say("final", "word")
            workers[0].say("call_ended")
            workers.settle()
            whole = [("call_started", ""), ("dtmf", "7"), ("dtmf", "7")]
            whole += [("partial", "w"), ("final", "word"), ("call_ended", "")]
            for outbox in (early, of_the_stream, late):
                assert drained(outbox) == [*whole, 1000]
    assert not any(worker.subscribers.live("CA1") for worker in workers.workers)


def test_a_call_is_over_when_its_last_stream_is_at_whichever_worker() -> None:
    workers = Workers(3)
    with workers[2].subscribers.subscribe("CA1") as outbox:
        workers[0].say("call_started", stream="MZ1")
        workers[1].say("call_started", stream="MZ2")
        workers.settle()
        workers[0].say("call_ended", stream="MZ1")
        workers.settle()
        assert drained(outbox)[-1] == ("call_ended", "")
        assert workers[2].subscribers.live("CA1")
        workers[1].say("call_ended", stream="MZ2")
        workers.settle()
        assert drained(outbox) == [("call_ended", ""), 1000]


def test_a_call_whose_worker_has_gone_ends_for_those_who_listen_elsewhere() -> None:
    workers = Workers(3)
    workers[0].say("call_started", stream="MZ1")
    workers[1].say("call_started", stream="MZ2")
    workers.settle()
    with (
        workers[2].subscribers.subscribe("CA1") as of_the_call,
        workers[2].subscribers.subscribe("MZ1") as of_the_stream,
    ):
        workers.restart(0)
        assert drained(of_the_stream)[-1] == 1011
        assert 1011 not in drained(of_the_call)
        workers.restart(1)
        assert drained(of_the_call) == [1011]
    assert not workers[2].subscribers.live("CA1")


def test_a_worker_that_was_started_again_knows_what_was_said() -> None:
    workers = Workers(3)
    workers[0].say("call_started")
    workers[0].say("final", "one")
    workers.settle()
    workers.restart(1)
    with workers[1].subscribers.subscribe("CA1") as outbox:
        workers[0].say("final", "two")
        workers.settle()
        assert drained(outbox) == [("call_started", ""), ("final", "one"), ("final", "two")]
        assert workers[1].subscribers.live("MZ1")
        workers[0].say("call_ended")
        workers.settle()
        assert drained(outbox) == [("call_ended", ""), 1000]


STEPS = st.lists(st.tuples(st.sampled_from(["say", "carry", "restart"]), st.integers(0, 2), st.integers(0, 2)))


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_however_messages_are_carried_each_subscriber_has_each_once(steps: list[tuple[str, int, int]]) -> None:
    """Of two streams of one call, whose workers live; the third one comes and goes."""
    workers, said = Workers(3), Counter[int]()
    for origin in (0, 1):
        workers[origin].say("call_started", stream=f"MZ{origin}")
    for kind, one, other in steps:
        if kind == "say" and one < 2:
            workers[one].say("final", f"{one} {said[one]}", stream=f"MZ{one}")
            said[one] += 1
        elif kind == "carry" and one != other:
            workers.carry(one, other, 2)
        elif kind == "restart":
            workers.restart(2)
    workers.settle()
    for worker in workers.workers:
        with worker.subscribers.subscribe("CA1") as outbox:
            texts = [text for kind, text in drained(outbox) if kind == "final"]
        for origin in (0, 1):
            of_one = [text for text in texts if text.startswith(f"{origin} ")]
            assert of_one == [f"{origin} {number}" for number in range(said[origin])]
