"""Many sessions on one thread: batches, order, faults that stay with their own stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial

import numpy as np
import pytest

from streaming_asr.audio.samples import Samples
from streaming_asr.decoding import Alphabet, GreedySearch
from streaming_asr.detection import Decoding
from streaming_asr.engine import Engine, Work
from streaming_asr.errors import StreamClosedError
from streaming_asr.events import Event, Final
from streaming_asr.model import Context
from streaming_asr.session import Session, SessionOptions
from tests.tones import HOP, LABELS, LoudDetector, ToneEncoder, silence, spoken

CONTEXT = Context(chunk=8, lookahead=4)


@pytest.fixture
def encoder() -> ToneEncoder:
    return ToneEncoder()


@pytest.fixture
def engine(encoder: ToneEncoder) -> Iterator[Engine]:
    engine = Engine(encoder, maximum_batch=4, maximum_jobs=8)
    yield engine
    engine.close()


def session_of(encoder: ToneEncoder) -> Session:
    return Session(
        SessionOptions(),
        hop=HOP,
        decodings=[Decoding(None, lambda: encoder.open(CONTEXT), lambda: GreedySearch(Alphabet(LABELS)))],
        detector=LoudDetector(),
    )


def push(engine: Engine, session: Session, samples: Samples) -> Future[list[Event]]:
    return engine.submit(session, lambda session: session.push(samples))


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


class Blocker:
    """Work that holds the engine until it is let go, so that what is submitted meanwhile meets in one batch."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, session: Session) -> None:
        assert self.go.wait(10)


def test_streams_that_are_due_together_are_stepped_together(engine: Engine, encoder: ToneEncoder) -> None:
    blocker = Blocker()
    engine.submit(session_of(encoder), blocker)
    words = ["abc", "bcd", "cde", "def", "efg", "fgh"]
    answers = [push(engine, session_of(encoder), np.concatenate([spoken(word), silence(60)])) for word in words]
    blocker.go.set()
    assert [texts(answer.result(10)) for answer in answers] == [[word] for word in words]
    assert engine.load.largest == max(encoder.batches) == 4
    assert engine.load.chunks == sum(encoder.batches)


def test_the_jobs_of_one_stream_keep_their_order(engine: Engine, encoder: ToneEncoder) -> None:
    session = session_of(encoder)
    answers = [push(engine, session, spoken(word)) for word in ("abc ", "de ", "fg ")]
    answers.append(engine.submit(session, Session.finish))
    assert texts([event for answer in answers for event in answer.result(10)]) == ["abc de fg"]


def test_a_packet_that_makes_no_chunk_due_is_done_by_the_calling_thread(engine: Engine, encoder: ToneEncoder) -> None:
    blocker, session = Blocker(), session_of(encoder)
    engine.submit(session_of(encoder), blocker)
    workers: list[threading.Thread] = []

    def work(session: Session) -> None:
        workers.append(threading.current_thread())
        session.push(silence(2))

    assert engine.submit(session, work, here=True).result(0) == []
    blocker.go.set()
    engine.submit(session, work).result(10)
    assert workers[0] is threading.current_thread() is not workers[1]


def test_packets_done_by_the_calling_thread_change_nothing(engine: Engine, encoder: ToneEncoder) -> None:
    audio = np.concatenate([spoken("abc de "), silence(60), spoken("fg ha"), silence(60)])

    def events(here: bool) -> list[Event]:
        session = session_of(encoder)
        packets = [audio[at : at + 2 * HOP] for at in range(0, len(audio), 2 * HOP)]
        works: list[Work] = [*(partial(Session.push, samples=packet) for packet in packets), Session.finish]
        return [event for work in works for event in engine.submit(session, work, here=here).result(10)]

    assert events(here=True) == events(here=False)


def test_what_the_calling_thread_cannot_do_is_told_by_the_answer(engine: Engine, encoder: ToneEncoder) -> None:
    session = session_of(encoder)
    engine.submit(session, Session.finish).result(10)
    with pytest.raises(StreamClosedError):
        engine.submit(session, partial(Session.push, samples=silence(1)), here=True).result(0)


def test_where_no_chunk_is_due_the_events_come_without_a_future(engine: Engine, encoder: ToneEncoder) -> None:
    blocker, session = Blocker(), session_of(encoder)
    engine.submit(session_of(encoder), blocker)
    assert engine.begin(session, partial(Session.push, samples=silence(2))) == []
    due = engine.begin(session, partial(Session.push, samples=spoken("abc de fg ")))
    waiting = engine.begin(session, Session.finish)
    blocker.go.set()
    assert isinstance(due, Future)
    assert isinstance(waiting, Future)
    assert texts([*due.result(10), *waiting.result(10)]) == ["abc de fg"]
    with pytest.raises(StreamClosedError):
        engine.begin(session, partial(Session.push, samples=silence(1)))


def test_a_chunk_under_way_cannot_be_cancelled(engine: Engine, encoder: ToneEncoder) -> None:
    blocker, session = Blocker(), session_of(encoder)
    engine.submit(session_of(encoder), blocker)
    answer = engine.submit(session, partial(Session.push, samples=spoken("abc de fg ")), here=True)
    assert not answer.cancel()
    blocker.go.set()
    answer.result(10)
    assert texts(engine.submit(session, Session.finish).result(10)) == ["abc de fg"]


def test_a_fault_of_the_model_is_replayed_and_nobody_notices(engine: Engine, encoder: ToneEncoder) -> None:
    sessions = [session_of(encoder) for _ in range(3)]
    for session in sessions:
        push(engine, session, spoken("abc de ")).result(10)
    encoder.faults = 1
    blocker = Blocker()
    engine.submit(session_of(encoder), blocker)
    answers = [push(engine, session, spoken("fg ha bc")) for session in sessions]
    blocker.go.set()
    events = [
        answer.result(10) + engine.submit(s, Session.finish).result(10)
        for s, answer in zip(sessions, answers, strict=True)
    ]
    assert [texts(told) for told in events] == [["abc de fg ha bc"]] * 3
    assert engine.load.faults == 1


def test_a_fault_that_stays_is_told_to_its_caller_and_the_engine_goes_on(engine: Engine, encoder: ToneEncoder) -> None:
    encoder.faults = 3
    with pytest.raises(RuntimeError, match="the accelerator has gone"):
        push(engine, session_of(encoder), spoken("abc de fg ha bc")).result(10)
    session = session_of(encoder)
    events = push(engine, session, spoken("abc")).result(10) + engine.submit(session, Session.finish).result(10)
    assert texts(events) == ["abc"]


def test_work_that_raises_fails_its_own_job_only(engine: Engine, encoder: ToneEncoder) -> None:
    def broken(session: Session) -> None:
        raise ValueError("not today")

    session = session_of(encoder)
    with pytest.raises(ValueError, match="not today"):
        engine.submit(session, broken).result(10)
    assert texts(push(engine, session, np.concatenate([spoken("abc"), silence(60)])).result(10)) == ["abc"]


def test_a_job_that_is_cancelled_before_it_starts_is_dropped(engine: Engine, encoder: ToneEncoder) -> None:
    blocker, session = Blocker(), session_of(encoder)
    engine.submit(session, blocker)
    dropped, kept = push(engine, session, spoken("abc")), push(engine, session, spoken("de"))
    assert dropped.cancel()
    blocker.go.set()
    assert texts(kept.result(10) + engine.submit(session, Session.finish).result(10)) == ["de"]


def test_too_many_jobs_of_one_stream_are_refused(engine: Engine, encoder: ToneEncoder) -> None:
    blocker, session = Blocker(), session_of(encoder)
    engine.submit(session, blocker)
    for _ in range(7):
        push(engine, session, spoken("a"))
    with pytest.raises(RuntimeError, match="8 jobs of this stream wait"):
        push(engine, session, spoken("a"))
    blocker.go.set()


def test_a_closed_engine_does_what_waits_and_takes_nothing_more(encoder: ToneEncoder) -> None:
    engine = Engine(encoder)
    session = session_of(encoder)
    answer = push(engine, session, np.concatenate([spoken("abc"), silence(60)]))
    engine.close()
    assert texts(answer.result(0)) == ["abc"]
    with pytest.raises(StreamClosedError):
        push(engine, session, spoken("a"))
