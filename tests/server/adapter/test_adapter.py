"""A foreign codec on a session: what it is told, and in which order, whatever is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.adapter.adapter import USUAL_SILENCE_MS, ProtocolAdapter
from streaming_asr_server.adapter.interface import (
    Action,
    AudioFormat,
    CodecFailure,
    EndStream,
    EndUtterance,
    OpenStream,
    Outgoing,
    PushAudio,
    UpdateHotwords,
    UpdateSilence,
)
from streaming_asr_server.connection.connection import Instruction, ToClient, ToSession
from streaming_asr_server.connection.outbox import Send
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.sessions.messages import OpenSession
from streaming_asr_server.sessions.outcomes import Outcome
from streaming_asr_server.sessions.registry import SessionRegistry
from streaming_asr_server.sessions.session import ServerSession, SessionRules

from streaming_asr.events import Event, Final
from streaming_asr.protocol import ProtocolError, Update
from tests.server.sessions.meters import IdleMeter
from tests.server.speaking import pcm, until

pytestmark = pytest.mark.anyio


class Noting:
    """A codec that does what the test says and notes what it is told."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self.actions = list(actions)
        self.noted: list[str] = []

    def greeting(self) -> Sequence[Outgoing]:
        return []

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        return [self.actions.pop(0)]

    def channels_known(self, channels: int) -> None:
        self.noted.append(f"channels_known {channels}")

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        return self._note("final", channel, event.text) if isinstance(event, Final) else []

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        return self._note("audio_recognized", pieces, position)

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        return self._note("utterance_ended", channel, position)

    def finished(self, position: float) -> Sequence[Outgoing]:
        return self._note("finished", position)

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        return self._note(failure.kind)

    def _note(self, *words: object) -> Sequence[Outgoing]:
        self.noted.append(" ".join(map(str, words)))
        return [Send(self.noted[-1])]


def instructions(*actions: Action) -> list[Instruction]:
    adapter = ProtocolAdapter(Noting(actions))
    return [instruction for _ in actions for instruction in adapter.receive(b"")]


class AdapterListener:
    """Hands outcomes to an adapter, as a connection does."""

    def __init__(self, adapter: ProtocolAdapter) -> None:
        self.adapter = adapter
        self.outcomes: list[Outcome] = []

    def notify(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.adapter.outcome(outcome)

    async def room(self) -> None: ...


@asynccontextmanager
async def session_of(adapter: ProtocolAdapter) -> AsyncIterator[tuple[ServerSession, AdapterListener]]:
    """A session as the adapter's first action opens it."""
    registry = SessionRegistry(ScriptedRecognition(), rules=SessionRules())
    (opening,) = adapter.receive(b"")
    assert isinstance(opening, ToSession)
    assert isinstance(opening.message, OpenSession)
    session = registry.open(opening.message, owner="a", meter=IdleMeter()).session
    listener = AdapterListener(adapter)
    session.attach(listener)
    yield session, listener
    await registry.close()


async def noted(*actions: Action, last: str = "finished") -> list[str]:
    """What a codec is told when it does these actions."""
    codec = Noting(actions)
    adapter = ProtocolAdapter(codec)
    async with session_of(adapter) as (session, listener):
        while codec.actions:
            for instruction in adapter.receive(b""):
                assert isinstance(instruction, ToSession)
                assert not isinstance(instruction.message, OpenSession)
                await session.take(instruction.message)
        await until(lambda: any(note.startswith(last) for note in codec.noted))
        assert not any(outcome.error for outcome in listener.outcomes)
    return codec.noted


SECOND = np.zeros(16_000, "<i2").tobytes()
MONO = OpenStream(audio=AudioFormat())
STEREO = OpenStream(audio=AudioFormat(channels=2, separate=True))


async def test_answers_come_in_the_order_of_what_was_asked() -> None:
    told = await noted(MONO, PushAudio(SECOND), EndUtterance(), PushAudio(pcm(17)), EndStream())
    assert told == [
        "audio_recognized 1 1.0",
        "utterance_ended None 1.0",
        "audio_recognized 1 1.1",
        "final 0 w17",
        "finished 1.1",
    ]


async def test_a_flush_before_any_audio_is_answered() -> None:
    assert await noted(MONO, EndUtterance(), last="utterance_ended") == ["utterance_ended None 0.0"]


async def test_each_piece_is_counted_although_pieces_are_joined_on_the_way() -> None:
    told = await noted(
        MONO, PushAudio(SECOND), PushAudio(SECOND[:1]), PushAudio(b""), PushAudio(SECOND[1:]), EndStream()
    )
    assert sum(int(note.split()[1]) for note in told if note.startswith("audio_recognized")) == 4


async def test_each_channel_is_recognized_for_itself() -> None:
    both = np.stack([tone_words([17, 18]), tone_words([0, 19])], axis=1)
    audio = (both * 32_767).astype("<i2").tobytes()
    told = await noted(STEREO, PushAudio(audio), EndUtterance(1), EndStream())
    assert told == [
        "channels_known 2",
        "audio_recognized 1 0.2",
        "final 1 w19",
        "utterance_ended 1 0.2",
        "final 0 w17 w18",
        "finished 0.2",
    ]


async def test_bad_audio_is_a_failure_of_the_audio_only() -> None:
    nan, opened = np.full(4, np.nan, "<f4").tobytes(), OpenStream(audio=AudioFormat("float32"))
    told = await noted(opened, PushAudio(nan), PushAudio(bytes(64_000)), EndStream())
    assert told == ["audio", "audio_recognized 1 1.0", "finished 1.0"]


def test_what_sessions_are_opened_with() -> None:
    wanted = OpenStream(
        audio=AudioFormat("mulaw", 8_000), hotwords={"Ada": 3.0}, silence_ms=500, language="en", alternatives=2
    )
    (opened,) = instructions(wanted)
    assert isinstance(opened, ToSession)
    assert isinstance(opened.message, OpenSession)
    start = opened.message.start
    assert opened.message.audio == AudioFormat("mulaw", 8_000, detect=True)
    assert (start.hotwords, start.endpoint) == ({"Ada": 3.0}, {"trailing_silence_ms": 500})
    assert (start.language, start.alternatives, start.partials) == ("en", 2, True)


def test_changes_become_updates() -> None:
    changed = instructions(UpdateHotwords({"Bob": 1.0}), UpdateSilence(None), UpdateSilence(300))
    assert changed == [
        ToSession(Update(hotwords={"Bob": 1.0})),
        ToSession(Update(endpoint={"turn": "fixed", "trailing_silence_ms": USUAL_SILENCE_MS})),
        ToSession(Update(endpoint={"turn": "fixed", "trailing_silence_ms": 300})),
    ]


def test_what_a_codec_says_at_once_is_sent_at_once() -> None:
    assert instructions(Send("hello")) == [ToClient((Send("hello"),))]


def test_every_error_of_a_session_has_a_meaning() -> None:
    kinds = {
        "idle": "idle",
        "start_timeout": "idle",
        "too_long": "limit",
        "minutes_used_up": "limit",
        "overloaded": "limit",
        "slow_reader": "limit",
        "too_fast": "limit",
        "bad_option": "request",
        "bad_audio": "audio",
        "going_away": "shutdown",
        "internal": "server",
        "stalled": "server",
    }
    for code, kind in kinds.items():
        codec = Noting([])
        ProtocolAdapter(codec).failed(ProtocolError(code, "why"))  # type: ignore[arg-type]
        assert codec.noted == [kind]


PIECES = st.lists(st.sampled_from(["audio", "one", "all", "zero"]), max_size=12)


@settings(max_examples=20, deadline=None)
@given(PIECES)
async def test_everything_asked_for_is_answered_once_and_in_order(kinds: list[str]) -> None:
    audio, utterances = PushAudio(SECOND), {"one": EndUtterance(1), "all": EndUtterance(), "zero": EndUtterance(0)}
    actions: dict[str, Action] = {"audio": audio, **utterances}
    notes = await noted(STEREO, *(actions[kind] for kind in kinds), EndStream())
    told = [note.rsplit(" ", 1)[0] for note in notes if note.startswith(("utterance_ended", "finished"))]
    wanted = {"one": ["utterance_ended 1"], "all": ["utterance_ended None"], "zero": ["utterance_ended 0"], "audio": []}
    assert told == [*(answer for kind in kinds for answer in wanted[kind]), "finished"]
    taken = [int(note.split()[1]) for note in notes if note.startswith("audio_recognized")]
    assert sum(taken) == kinds.count("audio")
