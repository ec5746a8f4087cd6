"""The same views at several workers, with the happenings carried by hand: every line once, wherever one reads."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from streaming_asr_server.connection.outbox import Close, Outbox, Send
from streaming_asr_server.protocols.audience.happenings import Happening, from_json, to_json
from streaming_asr_server.protocols.audience.views import Shown, Views, view_name

from streaming_asr.events import Event, Final, Formatted, Partial, SpeechEnded

SECRET = "a-secret-of-twenty-two-letters"
VIEW = view_name(SECRET)


class Replica:
    """The views of one worker; what it tells waits for each other one until it is carried there."""

    def __init__(self, workers: Workers, index: int) -> None:
        self.index = index
        self.ways: dict[int, deque[str]] = {other: deque() for other in range(workers.number) if other != index}
        self.views = Views(maximum_readers=10, now=workers.now, index=index, tell=self._tell)

    def _tell(self, happening: Happening) -> None:
        for way in self.ways.values():
            way.append(json.dumps(to_json(happening)))

    def show(self, session: str, stream: str = "talk", language: str | None = None) -> Shown:
        return self.views.show(self.views.make(SECRET), session, stream, language)


class Workers:
    """Workers and the ways between them; the clock goes on with each look at it."""

    def __init__(self, number: int = 2) -> None:
        self.number = number
        self._clock = itertools.count(1_000)
        self.replicas = [Replica(self, index) for index in range(number)]

    def now(self) -> float:
        return float(next(self._clock))

    def __getitem__(self, index: int) -> Replica:
        return self.replicas[index]

    def carry(self, origin: int, to: int, most: int | None = None) -> None:
        """Some of what waits, or all of it."""
        way = self[origin].ways[to]
        for _ in range(len(way) if most is None else min(most, len(way))):
            self[to].views.told(origin, from_json(json.loads(way.popleft())))

    def settle(self) -> None:
        """Carry everything."""
        for origin, to in itertools.permutations(range(self.number), 2):
            self.carry(origin, to)

    def restart(self, index: int) -> None:
        """A worker dies, when what it has told has been heard, and another one takes its place."""
        for other in self[index].ways:
            self.carry(index, other)
        self.replicas[index] = Replica(self, index)
        for replica in self.replicas:
            if replica.index != index:
                replica.views.gone(index)
                replica.ways[index] = deque(json.dumps(to_json(each)) for each in replica.views.known())

    def lines(self, index: int) -> list[tuple[int, str]]:
        """What one who comes now reads."""
        with self[index].views.reading(VIEW, after=-1, epoch="") as outbox:
            messages = [message for message in drained(outbox) if isinstance(message, dict)]
        found = [line for message in messages for line in message.get("lines", [])]
        return [(line["line"], line["text"]) for line in found]

    def live(self, index: int) -> bool:
        return self[index].views.find(VIEW).live


def drained(outbox: Outbox) -> list[Any]:
    """The messages as dictionaries, and the close as it is."""

    async def drain() -> list[Any]:
        return [await outbox.get() for _ in range(len(outbox))]

    messages = asyncio.run(drain())
    return [json.loads(message.data) if isinstance(message, Send) else message for message in messages]


def a_final(utterance: int, text: str | None = None) -> Final:
    formatted = Formatted("", "", ()) if utterance % 2 else None
    name = text or f"line {utterance}"
    return Final(utterance, name, (), 0.0, 1.0, 1.0, (), "silence", 0.0, formatted=formatted)


def a_partial(utterance: int) -> Partial:
    return Partial(utterance, "", f"line {utterance}", (), 0.0, 1.0, 0.0)


def texts(*utterances: int) -> list[tuple[int, str]]:
    return [(number, f"line {utterance}") for number, utterance in enumerate(utterances)]


def test_readers_at_all_workers_get_the_same_messages() -> None:
    workers = Workers(3)
    shown = workers[0].show("session", language="en")
    workers.settle()
    reading = [replica.views.reading(VIEW, after=-1, epoch="") for replica in workers.replicas]
    events: list[Event] = [a_partial(0), a_final(0), SpeechEnded(0, 1.0, "silence", 0.0), a_partial(1), a_final(1)]
    with ExitStack() as stack:
        outboxes = [stack.enter_context(each) for each in reading]
        for event in events:
            shown.event(event)
        shown.event(a_partial(2))
        shown.ended()
        workers.settle()
        heard = [drained(outbox) for outbox in outboxes]
    for messages in heard:
        epochs = {message.pop("epoch") for message in messages if message["type"] == "view"}
        assert len(epochs) == 1
    assert heard[1] == heard[2] == heard[0]
    kinds = [message["type"] for message in heard[0]]
    assert kinds == ["view", "final", "speech_ended", "final", "partial", "view"], "newer partials replace older ones"
    assert (heard[0][0]["live"], heard[0][0]["language"], heard[0][-1]["live"]) == (True, "en", False)


def test_a_stream_that_goes_on_elsewhere_says_nothing_twice() -> None:
    workers = Workers()
    first = workers[0].show("one")
    for utterance in range(3):
        first.event(a_final(utterance))
    workers.settle()
    second = workers[1].show("two")
    for utterance in (1, 2, 3):
        second.event(a_partial(utterance))
        second.event(a_final(utterance, f"line {utterance}"))
    workers.settle()
    assert workers.lines(0) == workers.lines(1) == texts(0, 1, 2, 3)


def test_the_sessions_of_a_worker_that_has_gone_are_over_and_a_new_one_knows_the_lines() -> None:
    workers = Workers(3)
    shown = workers[0].show("session")
    for utterance in range(250):
        shown.event(a_final(utterance))
    workers.settle()
    assert [workers.live(index) for index in range(3)] == [True, True, True]
    workers.restart(0)
    assert [workers.live(index) for index in (1, 2)] == [False, False]
    workers.settle()
    assert workers.lines(0) == texts(*range(250))
    assert not workers.live(0)
    again = workers[0].show("again")
    again.event(a_final(249))
    again.event(a_final(250))
    workers.settle()
    assert [workers.lines(index) for index in range(3)] == [texts(*range(251))] * 3


def test_a_stream_that_goes_on_before_the_old_lines_are_known_has_them_in_order_in_another_epoch() -> None:
    workers = Workers()
    shown = workers[0].show("session")
    for utterance in range(3):
        shown.event(a_final(utterance))
    workers.settle()
    workers.restart(1)
    workers[1].show("again").event(a_final(3))
    epoch = workers[1].views.find(VIEW).epoch
    with workers[1].views.reading(VIEW, after=-1, epoch="") as early:
        workers.settle()
        assert isinstance(close := drained(early)[-1], Close)
        assert close.code == 1012
    assert workers[1].views.find(VIEW).epoch != epoch
    assert workers.lines(0) == workers.lines(1) == texts(0, 1, 2, 3)


def test_a_view_that_was_ended_does_not_come_back_with_what_a_worker_still_knows() -> None:
    workers = Workers(3)
    workers[0].show("session").event(a_final(0))
    workers.settle()
    workers[0].views.end(SECRET)
    workers.carry(0, 1)
    # The third one has not heard of the end yet, when it is connected anew.
    for happening in workers[2].views.known():
        workers[1].views.told(2, happening)
    with pytest.raises(Exception, match="no view of this name"):
        workers[1].views.find(VIEW)
    for happening in workers[1].views.known():
        workers[2].views.told(1, happening)
    with pytest.raises(Exception, match="no view of this name"):
        workers[2].views.find(VIEW)


def test_a_view_that_is_made_again_begins_anew_everywhere() -> None:
    workers = Workers()
    old = workers[0].show("session")
    old.event(a_final(0))
    workers.settle()
    workers[1].views.end(SECRET)
    workers[1].views.make(SECRET)
    workers.settle()
    old.event(a_final(1))
    workers[0].show("session").event(a_final(5))
    old.ended()
    workers.settle()
    assert workers.lines(0) == workers.lines(1) == texts(5)
    assert workers.live(1)


def test_views_made_and_ended_at_one_moment_are_told_apart() -> None:
    views = Views(maximum_readers=1, now=lambda: 1.0)
    for _ in range(3):
        views.show(views.make(SECRET), "session", "stream").event(a_final(0))
        assert len(views.find(VIEW).backlog(-1)) == 1
        views.end(SECRET)
        with pytest.raises(Exception, match="no view of this name"):
            views.find(VIEW)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("move"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("carry"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("restart"), st.integers(0, 2), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
@example([("move", 1, 0), ("say", 2, 0), ("move", 2, 1), ("move", 0, 2)])
def test_wherever_a_stream_goes_on_every_replica_has_every_line_once_in_order(
    steps: list[tuple[str, int, int]],
) -> None:
    """The stream goes on from what is acknowledged, a few utterances back; workers die after they were heard."""
    workers, sessions = Workers(3), itertools.count()
    where, said = 0, 0
    shown = workers[0].show("first")
    for kind, one, other in steps:
        if kind == "say":
            for _ in range(one):
                shown.event(a_final(said))
                said += 1
        elif kind == "move" or (kind == "restart" and one == where):
            if kind == "restart":
                workers.restart(one)
            else:
                where = one
            shown = workers[where].show(f"session {next(sessions)}")
            for utterance in range(max(0, said - other), said):
                shown.event(a_final(utterance))
        elif kind == "carry" and one != other:
            workers.carry(one, other, 2)
        elif kind == "restart":
            workers.restart(one)
    workers.settle()
    for index in range(3):
        assert workers.lines(index) == texts(*range(said))
