"""Sessions without sockets: what is acknowledged when, what is remembered, what ends one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soundfile
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.sessions.decoding import AudioFormat
from streaming_asr_server.sessions.inbox import AudioPiece
from streaming_asr_server.sessions.messages import EndStream, OpenSession, PushAudio
from streaming_asr_server.sessions.outcomes import Outcome
from streaming_asr_server.sessions.registry import SessionRegistry
from streaming_asr_server.sessions.session import ServerSession, SessionRules
from streaming_asr_server.sessions.watchdog import Watchdog

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Final, Partial, SpeechEnded
from streaming_asr.protocol import Resume, Start
from tests.server.sessions.meters import IdleMeter
from tests.server.speaking import pcm, until

pytestmark = pytest.mark.anyio


class Listener:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def notify(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    async def room(self) -> None: ...


@asynccontextmanager
async def sessions(
    recognition: ScriptedRecognition | None = None,
    *,
    resume_seconds: float = 30,
    waiting: int = 2,
    rules: SessionRules | None = None,
) -> AsyncIterator[SessionRegistry]:
    store = SessionRegistry(
        recognition or ScriptedRecognition(),
        rules=rules or SessionRules(),
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
        await session.take(PushAudio(piece))
    await session.take(EndStream())
    await until(lambda: any(isinstance(outcome.cause, EndStream) for outcome in listener.outcomes))
    return listener


@pytest.mark.parametrize("prompt", [True, False])
async def test_packets_of_which_nothing_can_come_are_gathered(prompt: bool) -> None:
    audio = pcm(17, 18, 0, 0, 0, 0, 19)
    packets = [audio[start : start + 640] for start in range(0, len(audio), 640)]  # 20 ms each, 5 of them a block
    async with sessions() as store:
        session = store.open(OpenSession(Start(), prompt=prompt), owner="a", meter=IdleMeter()).session
        listener = Listener()
        session.attach(listener)
        for packet in packets:
            await session.take(PushAudio(packet))
            for _ in range(10):
                await asyncio.sleep(0)
            assert session.queued_seconds == 0, "what is gathered does not wait for the recognizer"
        await session.take(EndStream())
        await until(lambda: any(isinstance(outcome.cause, EndStream) for outcome in listener.outcomes))
    dealt_with = [outcome.messages for outcome in listener.outcomes if outcome.messages]
    assert sum(dealt_with) == len(packets)
    assert set(dealt_with) == ({1} if prompt else {1, 4, 5}), "the first one comes before it is known how many may wait"
    texts = [
        item.event.text for outcome in listener.outcomes for item in outcome.events if isinstance(item.event, Final)
    ]
    assert texts == ["w17 w18", "w19"]


def flac(seconds: float) -> bytes:
    """A recording of silence; any length of it is one piece of a few bytes, which is decoded in many steps."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(round(seconds * SAMPLE_RATE), np.int16), SAMPLE_RATE, format="FLAC")
    return file.getvalue()


async def test_a_recognizer_that_gives_no_answer_ends_the_session() -> None:
    rules = SessionRules(watchdog=Watchdog(answer_seconds=0.2))
    async with sessions(ScriptedRecognition(delay=60), rules=rules) as store:
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
        listener = Listener()
        session.attach(listener)
        await session.take(PushAudio(pcm(17, 18)))
        await until(lambda: not session.alive)
    assert [outcome.error.code for outcome in listener.outcomes if outcome.error] == ["stalled"]


async def test_every_step_of_a_piece_has_its_own_time_to_be_answered() -> None:
    rules = SessionRules(watchdog=Watchdog(answer_seconds=0.8))
    async with sessions(ScriptedRecognition(delay=0.2), rules=rules) as store:
        wanted = OpenSession(Start(), AudioFormat("container"))
        session = store.open(wanted, owner="a", meter=IdleMeter()).session
        listener = await heard(session, flac(4))
    answers = [outcome for outcome in listener.outcomes if isinstance(outcome.cause, AudioPiece)]
    assert len(answers) > 6, "it takes longer than one answer may"
    assert not any(outcome.error for outcome in listener.outcomes)


async def test_a_final_acknowledges_the_audio_of_its_words_and_never_more_than_was_heard() -> None:
    async with sessions() as store:
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
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
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
        listener = await heard(session, pcm(17, 0, 0, 0, 18))
    items = [item for outcome in listener.outcomes for item in outcome.events]
    finals = [(item.event.text, item.acknowledged) for item in items if isinstance(item.event, Final)]
    assert [text for text, _ in finals] == ["w17", "w18"]
    assert finals[0][1] <= 4 * 1_600
    assert finals[1][1] == 5 * 1_600


async def test_what_was_missed_is_told_again_without_partials() -> None:
    async with sessions() as store:
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
        await heard(session, pcm(17, 0, 0, 0, 18, 0, 0, 0, 19))
        missed = [item.event for item in session.missed(1)]
        assert {event.utterance for event in missed} == {1, 2}
        assert not any(isinstance(event, Partial) for event in missed)


async def test_one_who_missed_more_than_is_remembered_starts_over_at_its_acknowledgement() -> None:
    async with sessions() as store:
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
        listener = await heard(session, pcm(*[17, 0, 0, 0] * 200))
        assert session.detach(listener)
        store.keep(session)
        resume = Resume(session=session.id, acknowledged=3_200, utterance=3)
        opened = store.open(OpenSession(Start(resume=resume)), owner="a", meter=IdleMeter())
    assert (opened.resumed, opened.first_sample, opened.missed) == ("position", 3_200, ())


async def test_only_so_many_sessions_wait_and_the_oldest_has_to_go() -> None:
    async with sessions(waiting=2) as store:
        opened = [store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session for _ in range(3)]
        for session in opened:
            store.keep(session)
        assert len(store) == 2
        await until(lambda: not opened[0].alive)
        assert opened[1].alive


async def test_lag_counts_what_waits_before_the_recognizer() -> None:
    recognition = ScriptedRecognition(delay=0.05)
    async with sessions(recognition) as store:
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
        listener = await heard(session, *[pcm(17) * 10] * 3)
    partials = [item.event for outcome in listener.outcomes for item in outcome.events]
    assert max(event.lag for event in partials) > 1.5
    assert partials[-1].lag < 1
    assert isinstance(partials[-1], SpeechEnded)


async def test_a_fault_while_nobody_listens_is_counted() -> None:
    meter = IdleMeter()
    async with sessions() as store:
        session = store.open(OpenSession(Start(encoding="float32")), owner="a", meter=meter).session
        await session.take(PushAudio(b"\xff" * 400))
        await until(lambda: not session.alive)
    assert meter.errors == ["bad_audio"]


async def test_closing_ends_the_workers_and_lets_go_of_the_streams() -> None:
    recognition = ScriptedRecognition()
    async with sessions(recognition) as store:
        session = store.open(OpenSession(Start()), owner="a", meter=IdleMeter()).session
        await asyncio.sleep(0)
    assert not session.alive
    assert all(stream.closed for stream in recognition.streams)


async def test_coded_audio_of_a_session_is_recognized() -> None:
    file = io.BytesIO()
    soundfile.write(file, tone_words([17, 18, 0, 0, 0, 0]), SAMPLE_RATE, format="FLAC")
    async with sessions() as store:
        wanted = OpenSession(Start(), AudioFormat("container"))
        listener = await heard(store.open(wanted, owner="a", meter=IdleMeter()).session, file.getvalue())
    finals = [item.event for outcome in listener.outcomes for item in outcome.events if isinstance(item.event, Final)]
    assert [final.text for final in finals] == ["w17 w18"]
    assert listener.outcomes[-1].position == pytest.approx(0.6)


async def test_what_decodes_to_more_than_a_stream_may_hold_ends_in_an_error() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(30 * SAMPLE_RATE, np.int16), SAMPLE_RATE, format="FLAC")
    async with sessions(rules=SessionRules(stream_seconds=10)) as store:
        wanted = OpenSession(Start(), AudioFormat("container"))
        session = store.open(wanted, owner="a", meter=IdleMeter()).session
        listener = Listener()
        session.attach(listener)
        await session.take(PushAudio(file.getvalue()))
        await until(lambda: not session.alive)
    error = listener.outcomes[-1].error
    assert error is not None
    assert (error.code, listener.outcomes[-1].position < 11) == ("too_long", True)


async def test_nothing_is_taken_of_a_connection_that_was_superseded() -> None:
    """Its reader may wait for room while the client has come back, and sends the same audio again."""
    recognition = ScriptedRecognition(delay=0.05)
    async with sessions(recognition, rules=SessionRules(inbox_seconds=0.5)) as store:
        session = store.open(OpenSession(Start()), owner="me", meter=IdleMeter()).session
        old, new = Listener(), Listener()
        session.attach(old)
        reading = asyncio.create_task(session.take(PushAudio(pcm(*[17] * 100)), listener=old))
        await until(lambda: session.received > 0)
        assert not reading.done()
        session.attach(new)
        told = session.received
        await asyncio.wait_for(reading, 10)
        await session.take(PushAudio(pcm(18)), listener=old)
        assert session.received == told
        await session.take(PushAudio(pcm(18)), listener=new)
        assert session.received == told + 1_600
