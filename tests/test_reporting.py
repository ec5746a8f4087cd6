"""Which events a session makes, and when: numbers, evidence, intervals and lag, without audio or a model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from streaming_asr.decoding import Alphabet, GreedySearch
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted
from streaming_asr.model import Chunk, Context
from streaming_asr.reporting import Reporter
from streaming_asr.stabilizer import Stabilizer
from streaming_asr.utterance import Utterance
from tests.tones import HOP, ToneEncoder, silence

LABELS = ("", " ", "a", "b")


def utterance(labels: Sequence[str] = LABELS) -> Utterance:
    stabilizer = Stabilizer(GreedySearch(Alphabet(labels, by_character=True)), agreement_delay=None)
    stream = ToneEncoder().open(Context(chunk=1))
    return Utterance(0, hop=HOP, lead=0, clock_start=0, special=(), stream=stream, stabilizer=stabilizer)


def say(reporter: Reporter, spoken: Utterance, *columns: int) -> None:
    """Frames on which one label each stands out, and then the step of the reporter."""
    logits = torch.full((len(columns), len(LABELS)), -9.0)
    logits[range(len(columns)), list(columns)] = 5.0
    spoken.feed(silence(len(columns)))
    reporter.received += len(columns) * HOP
    spoken.take(Chunk(logits=logits, lookahead=logits[:0]))
    reporter.step(spoken, speech=True)


def end(reporter: Reporter, spoken: Utterance, *, speech: bool = True) -> None:
    reporter.utterance_ended(spoken, "silence", spoken.finish(1), speech=speech)


def shown(reporter: Reporter) -> list[str]:
    """The texts of the partials since the last call."""
    return [event.text for event in reporter.events() if isinstance(event, Partial)]


def kinds(events: Sequence[Event]) -> list[type]:
    return [type(event) for event in events]


def test_utterances_that_were_reported_are_numbered() -> None:
    reporter = Reporter(first_utterance=7)
    for columns in ((2, 2, 1), (0, 0, 0), (3, 1)):
        spoken = utterance()
        say(reporter, spoken, *columns)
        end(reporter, spoken)
    events = reporter.events()
    assert kinds(events) == [SpeechStarted, Partial, Final, SpeechEnded] * 2
    assert [event.utterance for event in events] == [7] * 4 + [8] * 4
    assert reporter.events() == []


def test_speech_is_reported_once_and_ended_although_it_has_no_words() -> None:
    reporter, spoken = Reporter(), utterance()
    reporter.speech_started(spoken, 0.5)
    reporter.speech_started(spoken, 0.7)
    end(reporter, spoken)
    assert kinds(reporter.events()) == [SpeechStarted, SpeechEnded]


@pytest.mark.parametrize(
    ("minimum", "speech", "reported"), [(0.5, True, True), (5.0, True, False), (0.5, False, False)]
)
def test_words_without_evidence_or_speech_give_no_event(minimum: float, speech: bool, reported: bool) -> None:
    reporter, spoken = Reporter(minimum_evidence=minimum, partials=False), utterance()
    say(reporter, spoken, 2, 0, 3, 1)
    end(reporter, spoken, speech=speech)
    assert bool(reporter.events()) is reported


def test_partials_are_as_far_apart_as_asked_for() -> None:
    close, far = Reporter(), Reporter(partial_interval_ms=100)
    for reporter in (close, far):
        spoken = utterance()
        for column in (2, 3, 2, 3, 2, 3):
            say(reporter, spoken, column, 1)
    assert kinds(close.events()) == [SpeechStarted] + [Partial] * 6
    assert kinds(far.events()) == [SpeechStarted] + [Partial] * 2


def test_lag_is_the_audio_that_was_received_and_not_decoded() -> None:
    reporter, spoken = Reporter(), utterance()
    say(reporter, spoken, 2, 1)
    reporter.received += 16_000
    say(reporter, spoken, 3, 1)
    first, *_, last = reporter.events()
    assert (first.lag, last.lag) == (0.0, 1.0)


def test_a_word_that_is_still_being_said_is_shown_when_it_was_heard_out() -> None:
    reporter, spoken = Reporter(), utterance()
    say(reporter, spoken, 2, 0, 1, 3, 2)
    assert shown(reporter) == ["a"]
    say(reporter, spoken, 0)
    assert shown(reporter) == []
    say(reporter, spoken, 0)
    assert shown(reporter) == ["a ba"]


def test_a_word_of_which_a_part_was_shown_already_grows_at_once() -> None:
    reporter, spoken = Reporter(), utterance()
    say(reporter, spoken, 2, 0, 0)
    say(reporter, spoken, 3)
    assert shown(reporter) == ["a", "ab"]


def test_characters_that_stand_alone_do_not_grow_and_are_shown_at_once() -> None:
    reporter, spoken = Reporter(), utterance(("", " ", "我", "b"))
    say(reporter, spoken, 2)
    assert shown(reporter) == ["我"]


def test_the_final_has_a_word_that_was_never_heard_out() -> None:
    reporter, spoken = Reporter(), utterance()
    say(reporter, spoken, 2, 0, 1, 3)
    end(reporter, spoken)
    assert [event.text for event in reporter.events() if isinstance(event, (Partial, Final))] == ["a", "a b"]
