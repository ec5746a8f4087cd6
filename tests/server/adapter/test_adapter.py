"""A foreign codec on a connection: what it is told, and in which order, whatever is under way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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
from streaming_asr_server.connection.connection import Instruction, ToClient, ToStream
from streaming_asr_server.connection.outbox import Send
from streaming_asr_server.sessions.session import Outcome

from streaming_asr import protocol as native
from streaming_asr.events import Event
from streaming_asr.protocol import ProtocolError


class Noting:
    """A codec that does what the test says and notes what it is told."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self.actions = list(actions)
        self.noted: list[str] = []

    def greeting(self) -> Sequence[Outgoing]:
        return []

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        return [self.actions.pop(0)]

    def separated(self, channels: int) -> None:
        self.noted.append(f"separated {channels}")

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        return [Send(f"event {channel}")]

    def taken(self, pieces: int, position: float) -> Sequence[Outgoing]:
        return self._note("taken", pieces, position)

    def finalized(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        return self._note("finalized", channel, position)

    def finished(self, position: float) -> Sequence[Outgoing]:
        return self._note("finished", position)

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        return self._note(failure.kind)

    def _note(self, *words: object) -> Sequence[Outgoing]:
        self.noted.append(" ".join(map(str, words)))
        return [Send(self.noted[-1])]


class Rig:
    """A bridge, and what it has told each stream and not yet heard about."""

    def __init__(self, *actions: Action) -> None:
        self.codec = Noting(actions)
        self.bridge = ProtocolAdapter(self.codec)
        self.waiting: dict[int, list[native.ClientMessage]] = {}
        self.opened: dict[int, native.Start] = {}
        self.decoded: dict[int, int] = {}

    def step(self) -> list[Instruction]:
        """The next action of the codec."""
        instructions = list(self.bridge.receive(b""))
        for instruction in instructions:
            if isinstance(instruction, ToStream) and isinstance(instruction.message, native.Start):
                self.opened[instruction.stream] = instruction.message
            elif isinstance(instruction, ToStream):
                self.waiting.setdefault(instruction.stream, []).append(instruction.message)
        return instructions

    def answer(self, stream: int) -> None:
        """A stream deals with the oldest message that it has."""
        cause = self.waiting[stream].pop(0)
        if isinstance(cause, native.Audio):
            self.decoded[stream] = self.decoded.get(stream, 0) + len(cause.data) // 4
        self.bridge.outcome(stream, Outcome(cause, (), 0, self.decoded.get(stream, 0)))

    def run(self) -> list[str]:
        while self.codec.actions:
            self.step()
        while any(self.waiting.values()):
            self.answer(next(stream for stream, messages in self.waiting.items() if messages))
        return self.codec.noted


SECOND = np.zeros(16_000, "<i2").tobytes()
MONO = OpenStream(audio=AudioFormat())
STEREO = OpenStream(audio=AudioFormat(channels=2, separate=True))


def test_answers_come_when_their_audio_is_done_and_not_before() -> None:
    rig = Rig(MONO, PushAudio(SECOND), EndUtterance(), PushAudio(SECOND), EndStream())
    for _ in range(5):
        rig.step()
    assert rig.codec.noted == []
    rig.answer(0)
    assert rig.codec.noted == ["taken 1 1.0"]
    rig.answer(0)
    assert rig.codec.noted[1:] == ["finalized None 1.0"]
    rig.answer(0)
    rig.answer(0)
    assert rig.codec.noted[2:] == ["taken 1 2.0", "finished 2.0"]


def test_a_flush_before_any_audio_is_answered_at_once() -> None:
    rig = Rig(MONO, EndUtterance())
    assert rig.step() == []
    assert rig.step() == [ToClient((Send("finalized None 0.0"),))]


def test_each_piece_is_counted_although_pieces_are_joined_on_the_way() -> None:
    rig = Rig(MONO, PushAudio(SECOND), PushAudio(SECOND[:1]), PushAudio(b""), PushAudio(SECOND[1:]))
    assert sum(int(note.split()[1]) for note in rig.run()) == 4


def test_channels_are_streams_and_a_flush_waits_for_all_of_them() -> None:
    rig = Rig(STEREO, PushAudio(SECOND), EndUtterance(), EndUtterance(1))
    for _ in range(4):
        rig.step()
    assert list(rig.opened) == [0, 1]
    assert rig.codec.noted == ["separated 2"]
    for stream in (1, 1, 1):
        rig.answer(stream)
    assert rig.codec.noted == ["separated 2"], "channel 0 has not answered"
    rig.answer(0)
    rig.answer(0)
    assert rig.codec.noted[1:] == ["taken 1 0.5", "finalized None 0.5", "finalized 1 0.5"]


def test_what_streams_are_opened_with() -> None:
    wanted = OpenStream(
        audio=AudioFormat("mulaw", 8_000), hotwords={"Ada": 3.0}, silence_ms=500, language="en", alternatives=2
    )
    rig = Rig(wanted, PushAudio(bytes(800)), UpdateHotwords({"Bob": 1.0}), UpdateSilence(None), UpdateSilence(300))
    for _ in range(5):
        rig.step()
    start = rig.opened[0]
    assert (start.encoding, start.sample_rate, start.channels) == ("float32", 16_000, 1)
    assert (start.hotwords, start.endpoint) == ({"Ada": 3.0}, {"trailing_silence_ms": 500})
    assert (start.language, start.alternatives, start.partials) == ("en", 2, True)
    hotwords, usual, silence = (one for one in rig.waiting[0] if isinstance(one, native.Update))
    assert hotwords.hotwords == {"Bob": 1.0}
    assert usual.endpoint == {"trailing_silence_ms": USUAL_SILENCE_MS}
    assert silence.endpoint == {"trailing_silence_ms": 300}


def test_changes_before_the_streams_are_known_are_kept_for_them() -> None:
    rig = Rig(MONO, UpdateHotwords({"Ada": 1.0}), UpdateSilence(300), PushAudio(SECOND))
    rig.run()
    assert rig.opened[0].hotwords == {"Ada": 1.0}
    assert rig.opened[0].endpoint == {"trailing_silence_ms": 300}


def test_bad_audio_is_a_failure_of_the_audio_only() -> None:
    nan = np.full(4, np.nan, "<f4").tobytes()
    rig = Rig(OpenStream(audio=AudioFormat("float32")), PushAudio(nan), PushAudio(bytes(64_000)))
    assert rig.run() == ["audio", "taken 1 1.0"]


def test_every_error_of_a_session_has_a_meaning() -> None:
    kinds = {
        "idle": "idle",
        "start_timeout": "idle",
        "too_long": "limit",
        "minutes_used_up": "limit",
        "slow_reader": "limit",
        "bad_option": "request",
        "bad_audio": "audio",
        "going_away": "shutdown",
        "internal": "server",
        "stalled": "server",
    }
    for code, kind in kinds.items():
        rig = Rig()
        rig.bridge.failed(ProtocolError(code, "why"))  # type: ignore[arg-type]
        assert rig.codec.noted == [kind]


PIECES = st.lists(st.sampled_from(["audio", "one", "all", "zero"]), max_size=12)


@settings(max_examples=50, deadline=None)
@given(PIECES, st.randoms(use_true_random=False))
def test_everything_asked_for_is_answered_once_and_in_order(kinds: list[str], random: object) -> None:
    actions: dict[str, Action] = {
        "audio": PushAudio(SECOND),
        "one": EndUtterance(1),
        "all": EndUtterance(),
        "zero": EndUtterance(0),
    }
    rig = Rig(STEREO, *(actions[kind] for kind in kinds), EndStream())
    while rig.codec.actions or any(rig.waiting.values()):
        ready = [stream for stream, messages in rig.waiting.items() if messages]
        if rig.codec.actions and (not ready or random.random() < 0.5):  # type: ignore[attr-defined]
            rig.step()
        else:
            rig.answer(random.choice(ready))  # type: ignore[attr-defined]
    told = [note.rsplit(" ", 1)[0] for note in rig.codec.noted if note.startswith("fin")]
    wanted = {"one": ["finalized 1"], "all": ["finalized None"], "zero": ["finalized 0"], "audio": []}
    assert told == [*(answer for kind in kinds for answer in wanted[kind]), "finished"]
    taken = [int(note.split()[1]) for note in rig.codec.noted if note.startswith("taken")]
    assert sum(taken) == kinds.count("audio")
