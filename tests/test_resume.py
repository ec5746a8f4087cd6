"""Resume without loss, without sockets: whatever is dropped when, the server hears every sample once."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Event, Final, SpeechEnded, SpeechStarted
from streaming_asr.protocol import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    ClientStream,
    Clock,
    Finalize,
    Finish,
    Finished,
    Limits,
    ProtocolError,
    Resumed,
    Start,
    Started,
    Update,
)


def started(first_sample: int = 0, resumed: Resumed = "no") -> Started:
    return Started(
        session="s",
        model="m",
        first_sample=first_sample,
        resumed=resumed,
        options=Start(),
        unspellable=(),
        limits=Limits(),
    )


def final(utterance: int) -> Final:
    return Final(utterance, "word", (), 0.0, 1.0, 1.0, (), "silence", 0.0)


@given(st.integers(8_000, 192_000), st.integers(0, 10**9))
def test_both_clocks_meet_exactly_where_audio_is_acknowledged(rate: int, position: int) -> None:
    clock = Clock(rate)
    samples = clock.to_client(position)
    back = clock.from_client(samples)
    assert back is not None
    assert Fraction(samples, rate) == Fraction(back, SAMPLE_RATE)
    assert back <= position < back + SAMPLE_RATE


def test_where_the_clocks_do_not_meet_nothing_was_acknowledged() -> None:
    assert Clock(44_100).from_client(441) == 160
    assert Clock(44_100).from_client(440) is None


@pytest.mark.parametrize("seed", range(30))
def test_the_server_hears_every_byte_once_and_every_command_at_its_place(seed: int) -> None:
    """A client talks, its connection drops at any place, the server may or may not remember: it makes no difference."""
    rng = random.Random(seed)
    client = ClientStream(Start())
    said = rng.randbytes(2 * rng.randint(50, 400))
    places = sorted(2 * rng.randint(0, len(said) // 2) for _ in range(3))
    heard, taken, acknowledged, drops = bytearray(), 0, 0, 5
    finalized: list[int] = []
    client.connected()
    while client.finished is None:
        if taken < len(said) and rng.random() < 0.5:
            stop = min(taken + rng.randint(1, 40), len(said), *(place for place in places if place > taken))
            client.audio(said[taken:stop])
            taken = stop
            if taken in places:
                client.finalize()
        if taken == len(said):
            client.finish()
        message = client.next_message()
        match message:
            case Start(resume=None):
                heard.clear()
                finalized.clear()
                client.received(started())
            case Start(resume=resume):
                assert resume is not None
                assert resume.acknowledged == acknowledged
                first = rng.choice([acknowledged, len(heard) // 2])
                del heard[2 * first :]
                finalized = [place for place in finalized if place < 2 * first]
                client.received(started(first, "position"))
            case Audio(data=data):
                heard += data
            case Finalize():
                finalized.append(len(heard))
            case Finish():
                client.received(Finished(len(heard) // 2, 1.0))
        if rng.random() < 0.1:
            acknowledged = max(acknowledged, rng.randint(acknowledged, max(acknowledged, len(heard) // 2)))
            client.received(Acknowledged(acknowledged))
        if drops and rng.random() < 0.1:
            drops -= 1
            client.connected()
    assert bytes(heard) == said
    assert finalized == sorted(set(places))


def test_memory_is_the_audio_that_is_not_acknowledged() -> None:
    client = ClientStream(Start())
    client.connected()
    client.next_message()
    client.received(started())
    for second in range(1, 60):
        client.audio(bytes(32_000))
        while client.next_message() is not None:
            pass
        client.received(Acknowledged(16_000 * second))
        assert client.held_bytes == 0


def test_a_final_takes_its_audio_with_it() -> None:
    client = ClientStream(Start())
    client.connected()
    client.next_message()
    client.received(started())
    client.audio(bytes(100))
    client.next_message()
    assert client.received(AcknowledgedFinal(final(0), 30)) == [final(0)]
    client.connected()
    message = client.next_message()
    assert isinstance(message, Start)
    assert message.resume is not None
    assert (message.resume.acknowledged, message.resume.utterance) == (30, 1)


def test_what_the_application_has_had_does_not_come_again() -> None:
    client = ClientStream(Start())
    client.connected()
    client.next_message()
    client.received(started())
    began = SpeechStarted(0, 0.0, 0.0)
    assert client.received(began) == [began]
    client.connected()
    client.next_message()
    assert client.received(started(0, "session")) == []
    assert client.received(began) == []
    assert client.received(AcknowledgedFinal(final(0), 0)) == [final(0)]
    client.connected()
    client.next_message()
    ended: list[Event] = [SpeechEnded(0, 1.0, "silence", 0.0)]
    assert client.received(started(0, "position")) == ended, "the end that was lost is made up for"
    assert client.received(AcknowledgedFinal(final(0), 0)) == []


def test_audio_waits_for_the_answer_only_when_a_stream_is_resumed() -> None:
    client = ClientStream(Start())
    client.audio(b"12")
    client.connected()
    assert client.next_message() == Start()
    assert client.next_message() == Audio(b"12")
    client.received(started())
    client.connected()
    assert isinstance(client.next_message(), Start)
    assert client.next_message() is None
    client.received(started(0, "position"))
    assert client.next_message() == Audio(b"12")


def test_options_of_a_resumed_stream_are_those_at_the_acknowledged_sample() -> None:
    client = ClientStream(Start(hotwords={"one": 1.0}))
    client.connected()
    client.next_message()
    client.received(started())
    client.audio(bytes(20))
    client.update(Update(hotwords={"two": 2.0}))
    client.audio(bytes(20))
    while client.next_message() is not None:
        pass
    client.connected()
    first = client.next_message()
    assert isinstance(first, Start)
    assert first.hotwords == {"one": 1.0}
    client.received(started(0, "position"))
    while client.next_message() is not None:
        pass
    client.received(Acknowledged(15))
    client.connected()
    second = client.next_message()
    assert isinstance(second, Start)
    assert second.hotwords == {"two": 2.0}


def test_a_server_that_wants_audio_which_is_gone_breaks_the_protocol() -> None:
    client = ClientStream(Start())
    client.audio(bytes(40))
    client.connected()
    client.next_message()
    client.received(started())
    client.next_message()
    client.received(Acknowledged(10))
    client.connected()
    client.next_message()
    with pytest.raises(ProtocolError):
        client.received(started(5, "session"))
