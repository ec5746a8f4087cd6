"""Sessions without sockets: what is acknowledged when, what is remembered, what ends one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.sessions.registry import SessionRegistry
from streaming_asr_server.sessions.session import Outcome, ServerSession, SessionRules
from streaming_asr_server.sessions.watchdog import Watchdog

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Event, Final, Partial, SpeechEnded
from streaming_asr.protocol import Audio, Finish, ProtocolError, Resume, Start
from tests.server.speaking import pcm, until

pytestmark = pytest.mark.anyio


class Meter:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def audio(self, seconds: float) -> None: ...

    def event(self, event: Event) -> None: ...

    def error(self, error: ProtocolError) -> None:
        self.errors.append(error.code)


class Listener:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def notify(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    async def room(self) -> None: ...


@asynccontextmanager
async def sessions(
    recognition: ScriptedRecognition | None = None, *, resume_seconds: float = 30, waiting: int = 2
) -> AsyncIterator[SessionRegistry]:
    store = SessionRegistry(
        recognition or ScriptedRecognition(),
        rules=SessionRules(),
        resume_seconds=resume_seconds,
        maximum_waiting=waiting,
    )
    try:
        yield store
    finally:
        await store.close()


async def heard(session: ServerSession, *pieces: bytes) -> Listener:
    """Give a session audio and the end of it, and wait until it has said everything."""
    listener = Listener()
    session.attach(listener)
    for piece in pieces:
        await session.take(Audio(piece))
    await session.take(Finish())
    await until(lambda: any(isinstance(outcome.cause, Finish) for outcome in listener.outcomes))
    return listener


async def test_a_final_acknowledges_the_audio_of_its_words_and_never_more_than_was_heard() -> None:
    async with sessions() as store:
        session = store.open(Start(), owner="a", meter=Meter()).session
        listener = await heard(session, pcm(17, 18, 0, 0, 0, 0, 19))
    acknowledged = {
        item.event.text: item.acknowledged
        for outcome in listener.outcomes
        for item in outcome.events
        if isinstance(item.event, Final)
    }
    assert 2 * 1_600 <= acknowledged["w17 w18"] <= 6 * 1_600
    assert acknowledged["w19"] == 7 * 1_600


async def test_two_finals_in_one_answer_do_not_acknowledge_each_others_words() -> None:
    """One who has only the first final may go on with a server that knows nothing: the second must come again."""
    async with sessions() as store:
        session = store.open(Start(), owner="a", meter=Meter()).session
        listener = await heard(session, pcm(17, 0, 0, 0, 0))
        ends = [item for outcome in listener.outcomes for item in outcome.events if isinstance(item.event, Final)]
        assert len(ends) == 1
        both = session._with_positions([final(0, 0.0, 0.1), final(1, 0.3, 0.4)])
    assert [item.acknowledged for item in both] == [SAMPLE_RATE * 2 // 10, session.acknowledged]


def final(utterance: int, start: float, end: float) -> Final:
    return Final(utterance, "w", (), start, end, 1.0, (), "silence", 0.0)


async def test_what_was_missed_is_told_again_without_partials() -> None:
    async with sessions() as store:
        session = store.open(Start(), owner="a", meter=Meter()).session
        await heard(session, pcm(17, 0, 0, 0, 18, 0, 0, 0, 19))
        missed = [item.event for item in session.missed(1)]
        assert {event.utterance for event in missed} == {1, 2}
        assert not any(isinstance(event, Partial) for event in missed)


async def test_one_who_missed_more_than_is_remembered_starts_over_at_its_acknowledgement() -> None:
    async with sessions() as store:
        session = store.open(Start(), owner="a", meter=Meter()).session
        await heard(session, pcm(*[17, 0, 0, 0] * 200))
        store.keep(session) if session.detach(session._listener) else None  # type: ignore[arg-type]
        resume = Resume(session=session.id, acknowledged=3_200, utterance=3)
        opened = store.open(Start(resume=resume), owner="a", meter=Meter())
    assert (opened.resumed, opened.first_sample, opened.missed) == ("position", 3_200, ())


async def test_only_so_many_sessions_wait_and_the_oldest_has_to_go() -> None:
    async with sessions(waiting=2) as store:
        opened = [store.open(Start(), owner="a", meter=Meter()).session for _ in range(3)]
        for session in opened:
            store.keep(session)
        assert len(store) == 2
        await until(lambda: not opened[0].alive)
        assert opened[1].alive


async def test_lag_counts_what_waits_before_the_recognizer() -> None:
    recognition = ScriptedRecognition(delay=0.05)
    async with sessions(recognition) as store:
        session = store.open(Start(), owner="a", meter=Meter()).session
        listener = await heard(session, *[pcm(17) * 10] * 3)
    partials = [item.event for outcome in listener.outcomes for item in outcome.events]
    assert max(event.lag for event in partials) > 1.5
    assert partials[-1].lag < 1
    assert isinstance(partials[-1], SpeechEnded)


async def test_a_fault_while_nobody_listens_is_counted() -> None:
    meter = Meter()
    async with sessions() as store:
        session = store.open(Start(encoding="float32"), owner="a", meter=meter).session
        await session.take(Audio(b"\xff" * 400))
        await until(lambda: not session.alive)
    assert meter.errors == ["bad_audio"]


def test_the_watchdog_barks_when_audio_never_becomes_words() -> None:
    watchdog, start = Watchdog(slack_seconds=30), Start(endpoint={"maximum_length_ms": 10_000})
    watchdog.check(start, decoded=40 * SAMPLE_RATE, acknowledged=0)
    with pytest.raises(ProtocolError, match="41 s of audio were heard") as barked:
        watchdog.check(start, decoded=41 * SAMPLE_RATE, acknowledged=0)
    assert barked.value.code == "stalled"


async def test_closing_waits_for_the_workers() -> None:
    async with sessions() as store:
        session = store.open(Start(), owner="a", meter=Meter()).session
        await asyncio.sleep(0)
    assert session._worker.done()
