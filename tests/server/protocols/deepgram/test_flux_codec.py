"""Deepgram's conversational protocol, driven by scripted events: turns, their endings, and what takes them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming_asr_server.adapter.interface import (
    CodecFailure,
    EndStream,
    EndUtterance,
    OpenStream,
    PushAudio,
    Turns,
    UpdateHotwords,
    UpdateTurns,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.deepgram.flux_codec import FluxCodec
from streaming_asr_server.protocols.deepgram.flux_options import Thresholds, parse_flux
from streaming_asr_server.protocols.deepgram.options import UnusableQueryError

from streaming_asr.events import (
    Alternative,
    EndReason,
    Event,
    Final,
    Formatted,
    Partial,
    SpeechEnded,
    SpeechStarted,
    TurnEnding,
    TurnResumed,
    Word,
)

AUDIO = b"\0\0"


def flux(query: str = "") -> FluxCodec:
    """A connection that has said `Connected` and on which audio has come."""
    made = FluxCodec(parse_flux(parse_qsl(f"encoding=linear16&sample_rate=16000&{query}")), "request-1")
    assert [message["type"] for message in sent(made.greeting())] == ["Connected"]
    assert isinstance(made.receive(AUDIO)[0], OpenStream)
    return made


def sent(actions: Sequence[object]) -> list[dict[str, Any]]:
    return [json.loads(action.data) for action in actions if isinstance(action, Send)]


def tell(codec: FluxCodec, *events: Event) -> list[dict[str, Any]]:
    return [message for event in events for message in sent(codec.event(0, event))]


def words(text: str, start: float) -> tuple[Word, ...]:
    return tuple(Word(word, start + index, start + index + 0.5, 0.9) for index, word in enumerate(text.split()))


def partial(text: str, start: float = 1.0, utterance: int = 0) -> Partial:
    heard = words(text, start)
    shown = Formatted("", text.capitalize(), words(text.capitalize(), start))
    end = heard[-1].end if heard else start
    return Partial(utterance, "", text, heard, start, end, 0.0, shown)


def final(text: str, start: float = 1.0, utterance: int = 0, reason: EndReason = "silence") -> Final:
    heard = words(text, start)
    shown = Formatted(f"{text.capitalize()}.", "", words(f"{text.capitalize()}.", start))
    alternatives = (Alternative(text, 0.0, heard),)
    return Final(utterance, text, heard, start, heard[-1].end, 0.9, alternatives, reason, 0.0, shown)


def ending(completeness: float) -> TurnEnding:
    return TurnEnding(0, "good morning", 3.0, completeness, 0.0)


RESUMED = TurnResumed(0, 3.4, 0.0)


def kinds(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [message["event"] for message in messages]


def test_a_turn_begins_with_its_first_word_and_ends_once() -> None:
    told = tell(
        flux(),
        SpeechStarted(0, 0.5, 0.0),
        partial("good"),
        partial("good morning"),
        final("good morning"),
        SpeechEnded(0, 3.0, "silence", 0.0),
        partial("thank", 6.0, 1),
    )
    assert kinds(told) == ["StartOfTurn", "Update", "EndOfTurn", "StartOfTurn"]
    assert [message["turn_index"] for message in told] == [0, 0, 0, 1]
    assert told[2]["transcript"] == "Good morning."
    assert [word["word"] for word in told[2]["words"]] == ["Good", "morning."]
    assert (told[2]["audio_window_start"], told[2]["audio_window_end"]) == (1.0, 2.5)


def test_speech_without_a_word_is_no_turn() -> None:
    assert tell(flux(), SpeechStarted(0, 0.5, 0.0), partial(""), SpeechEnded(0, 1.0, "silence", 0.0)) == []


def test_a_final_without_a_partial_begins_its_turn() -> None:
    assert kinds(tell(flux(), final("yes"))) == ["StartOfTurn", "EndOfTurn"]


def test_an_eager_end_is_told_to_those_who_asked_and_taken_back() -> None:
    events = (partial("good morning"), ending(0.6), RESUMED, ending(0.9), final("good morning"))
    assert kinds(tell(flux("eager_eot_threshold=0.5"), *events)) == [
        "StartOfTurn",
        "EagerEndOfTurn",
        "TurnResumed",
        "EagerEndOfTurn",
        "EndOfTurn",
    ]
    assert kinds(tell(flux(), *events)) == ["StartOfTurn", "EndOfTurn"]
    assert kinds(tell(flux("eager_eot_threshold=0.8"), *events)) == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]


@pytest.mark.parametrize(
    ("events", "reason", "trigger"),
    [
        ((ending(0.8),), "silence", "model"),
        ((), "silence", "timeout"),
        ((ending(0.8), RESUMED), "silence", "timeout"),
        ((), "finalize", "manual"),
        ((ending(0.8),), "finish", "manual"),
    ],
)
def test_the_end_of_a_turn_says_what_ended_it(events: tuple[Event, ...], reason: EndReason, trigger: str) -> None:
    last = tell(flux(), partial("good morning"), *events, final("good morning", reason=reason))[-1]
    assert (last["event"], last["trigger"]) == ("EndOfTurn", trigger)
    assert last["end_of_turn_confidence"] == (0.8 if events and events[-1] == ending(0.8) else 0.0)


def test_an_utterance_that_was_cut_goes_on_in_its_turn() -> None:
    codec = flux()
    told = tell(
        codec,
        partial("good"),
        final("good", reason="maximum_length"),
        partial("morning", 9.0, 1),
        final("morning", 9.0, 1),
    )
    assert kinds(told) == ["StartOfTurn", "Update", "EndOfTurn"]
    assert told[-1]["transcript"] == "Good. Morning."
    assert told[-1]["audio_window_start"] == 1.0


def test_nothing_of_a_cut_turn_is_left_behind_at_the_end() -> None:
    codec = flux()
    tell(codec, partial("good"), final("good", reason="maximum_length"))
    actions = codec.finished(9.0)
    assert [(message["event"], message["transcript"]) for message in sent(actions)] == [("EndOfTurn", "Good.")]
    assert actions[-1] == Close(1000)


def test_messages_are_numbered_one_after_the_other() -> None:
    codec = flux()
    told = [*tell(codec, partial("good"), final("good")), *sent(codec.receive("nonsense"))]
    assert [message["sequence_id"] for message in told] == [1, 2, 3]


def test_thresholds_become_the_bounds_of_the_silence() -> None:
    def bounds(query: str) -> Turns | None:
        return parse_flux(parse_qsl(f"encoding=linear16&sample_rate=16000&{query}")).open().turns

    assert bounds("") == Turns(520.0, 5_000)
    assert bounds("eot_threshold=0.5&eot_timeout_ms=3000") == Turns(200.0, 3_000)
    assert bounds("eot_threshold=1") == Turns(5_000, 5_000), "only the timeout ends a turn"
    assert bounds("eot_threshold=0.9&eot_timeout_ms=500") == Turns(500, 500)


@pytest.mark.parametrize(
    "query", ["eot_threshold=0.4", "eager_eot_threshold=0.95", "eot_timeout_ms=20", "eot_threshold=x"]
)
def test_a_threshold_out_of_its_range_is_refused_with_its_value(query: str) -> None:
    name, _, value = query.partition("=")
    with pytest.raises(UnusableQueryError, match=rf"{name} is '?{value}"):
        parse_flux(parse_qsl(f"encoding=linear16&sample_rate=16000&{query}"))


def test_configure_changes_only_what_it_names() -> None:
    codec = flux("keyterm=Streamwell&eot_threshold=0.8")
    actions = codec.receive(json.dumps({"type": "Configure", "thresholds": {"eot_timeout_ms": 3000}}))
    assert actions[0] == UpdateTurns(Thresholds(eot=0.8, timeout_ms=3_000).turns())
    (answer,) = sent(actions)
    assert answer["thresholds"] == {"eot_threshold": 0.8, "eot_timeout_ms": 3000}
    assert answer["keyterms"] == ["Streamwell"]
    actions = codec.receive(json.dumps({"type": "Configure", "keyterms": ["Ada", "Ada", " "]}))
    assert UpdateHotwords({"Ada": 10.0}) in actions


@pytest.mark.parametrize("thresholds", [{"eot_threshold": 2}, {"eot_threshold": "high"}, {"eager_eot_threshold": True}])
def test_a_configure_that_cannot_be_done_changes_nothing(thresholds: dict[str, object]) -> None:
    codec = flux()
    actions = codec.receive(json.dumps({"type": "Configure", "thresholds": thresholds}))
    assert [message["type"] for message in sent(actions)] == ["ConfigureFailure"]
    assert len(actions) == 1
    (after,) = sent(codec.receive(json.dumps({"type": "Configure"})))
    assert after["thresholds"] == {"eot_threshold": 0.7, "eot_timeout_ms": 5000}


def test_force_and_close_and_audio_become_actions() -> None:
    codec = flux()
    assert codec.receive(json.dumps({"type": "ForceEndTurn"})) == [EndUtterance(None)]
    assert codec.receive(AUDIO) == [PushAudio(AUDIO)]
    assert codec.receive(b"") == []
    assert codec.receive(json.dumps({"type": "CloseStream"})) == [EndStream()]
    assert codec.receive(AUDIO) == [], "nothing counts behind the end"


def test_a_failure_is_told_before_the_close() -> None:
    actions = flux().failed(CodecFailure("limit", "the stream is too long"))
    assert [(message["type"], message["description"]) for message in sent(actions)] == [
        ("Error", "the stream is too long")
    ]
    assert actions[-1] == Close(1008, "the stream is too long")


@given(
    st.text() | st.binary() | st.builds(json.dumps, st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
)
def test_nothing_that_a_client_sends_is_an_exception(raw: str | bytes) -> None:
    flux().receive(raw)
