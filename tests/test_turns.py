"""Ends of utterances that follow the sense, and what is told before they are sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.samples import Samples
from streaming_asr.decoding import Alphabet, BeamSearch
from streaming_asr.detection import Decoding
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import OptionError
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed
from streaming_asr.model import Context
from streaming_asr.session import Session, SessionOptions
from streaming_asr.text import FormatOptions, Formatter, TextModel
from streaming_asr.turns import required_silence_ms
from tests.text.conftest import decided_model
from tests.tones import HOP, LABELS, LoudDetector, ToneEncoder, silence, spoken

ADAPTIVE = EndpointOptions(turn="adaptive", shortest_silence_ms=200, longest_silence_ms=1000)
FRAME = 0.02


@pytest.fixture(scope="module")
def sense(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    """ "abc" ends a sentence, "de" never does."""
    return decided_model(tmp_path_factory.mktemp("sense"), ("abc",), ("de", "fgh"))


def told(
    sense: TextModel,
    samples: Samples,
    cuts: Sequence[int] = (),
    endpoint: EndpointOptions = ADAPTIVE,
    formatted: FormatOptions | None = FormatOptions(),  # noqa: B008
) -> list[Event]:
    encoder = ToneEncoder()
    session = Session(
        SessionOptions(endpoint=endpoint),
        hop=HOP,
        decodings=[
            Decoding(
                None,
                lambda: encoder.open(Context(chunk=8, lookahead=4)),
                lambda: BeamSearch(Alphabet(LABELS), beam_width=8),
                formatter=Formatter(sense, formatted or FormatOptions(punctuate=False, numbers=False)),
            )
        ],
        formatted=formatted is not None,
        detector=LoudDetector(),
    )
    events: list[Event] = []

    def drive() -> None:
        while streams := session.advance():
            session.take(encoder.step(streams))
        events.extend(session.events())

    for piece in np.split(samples, sorted(cuts)):
        session.push(piece)
        drive()
    session.finish()
    drive()
    return events


def kinds(events: Sequence[Event]) -> list[type]:
    shown = [type(event) for event in events if not isinstance(event, Partial)]
    return [kind for kind in shown if kind not in (SpeechStarted, SpeechEnded)]


@pytest.mark.parametrize("shortest_ms", [60, 500])
@pytest.mark.parametrize("size", [160, 6_400])
def test_audio_that_waits_changes_no_turn_and_makes_none_late(sense: TextModel, shortest_ms: int, size: int) -> None:
    endpoint = replace(ADAPTIVE, shortest_silence_ms=shortest_ms)
    shown: set[type] = set()
    for before in range(13):  # chunks end at other places in the words
        speech = [spoken("abc"), silence(15), spoken("de abc"), silence(60), spoken("abc de"), silence(60)]
        audio = np.concatenate([silence(20), spoken("a" * before), *speech])
        cuts = range(size, len(audio), size)
        patient = told(sense, audio, cuts, endpoint)
        shown |= set(kinds(patient))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "patience", 0)
            patch.setattr(Session, "_least_decisive", lambda self: 0)  # and frame by frame
            assert told(sense, audio, cuts, endpoint) == patient  # with its lag: the audio that had come by then
    assert shown >= ({TurnEnding, TurnResumed, Final} if shortest_ms == 500 else {Final})


def test_a_complete_sentence_ends_after_a_shorter_silence(sense: TextModel) -> None:
    pause = silence(30)  # 600 ms
    whole = told(sense, np.concatenate([spoken("de abc"), pause, spoken("de"), pause]))
    assert [event.text for event in whole if isinstance(event, Final)] == ["de abc", "de"]
    open_ended = told(sense, np.concatenate([spoken("abc de"), pause, spoken("abc"), pause]))
    assert [event.text for event in open_ended if isinstance(event, Final)] == ["abc de abc"]


def test_an_unfinished_sentence_ends_after_the_longest_silence(sense: TextModel) -> None:
    events = told(sense, np.concatenate([spoken("abc de"), silence(60), spoken("fgh"), silence(60)]))
    assert [(event.text, event.reason) for event in events if isinstance(event, Final)] == [
        ("abc de", "silence"),
        ("fgh", "silence"),
    ]


def test_an_ending_is_told_before_the_final(sense: TextModel) -> None:
    events = told(sense, np.concatenate([spoken("de abc"), silence(40)]))
    assert kinds(events) == [TurnEnding, Final]
    ending = next(event for event in events if isinstance(event, TurnEnding))
    assert ending.text == "de abc"
    assert ending.formatted is not None
    assert ending.formatted.text == "De abc."
    assert ending.completeness > 0.5
    assert ending.time == pytest.approx(len(spoken("de abc")) / 16_000, abs=FRAME)


def test_an_ending_is_taken_back_when_the_speaker_goes_on(sense: TextModel) -> None:
    slow = replace(ADAPTIVE, shortest_silence_ms=900)
    events = told(sense, np.concatenate([spoken("abc"), silence(30), spoken("de"), silence(60)]), endpoint=slow)
    assert kinds(events) == [TurnEnding, TurnResumed, Final]


@pytest.mark.parametrize("formatted", [None, FormatOptions(punctuate=False)])
def test_turns_follow_the_sense_of_words_that_are_not_formatted(
    sense: TextModel, formatted: FormatOptions | None
) -> None:
    samples = np.concatenate([spoken("de abc"), silence(30), spoken("abc de"), silence(30), spoken("abc"), silence(30)])
    usual, raw = told(sense, samples), told(sense, samples, formatted=formatted)
    assert [event.text for event in raw if isinstance(event, Final)] == ["de abc", "abc de abc"]
    assert kinds(raw) == kinds(usual)
    shown = [event.formatted.text for event in raw if isinstance(event, Final) and event.formatted is not None]
    assert shown == ([] if formatted is None else ["de abc", "abc de abc"])


def test_the_fixed_rule_tells_no_endings(sense: TextModel) -> None:
    events = told(sense, np.concatenate([spoken("abc"), silence(60)]), endpoint=EndpointOptions())
    assert kinds(events) == [Final]


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 40_000), max_size=8))
def test_cutting_the_audio_does_not_change_the_turns(sense: TextModel, cuts: list[int]) -> None:
    samples = np.concatenate([spoken("abc"), silence(8), spoken("de"), silence(20), spoken("fgh abc"), silence(40)])
    whole, pieces = told(sense, samples), told(sense, samples, [min(cut, len(samples)) for cut in cuts])
    assert [replace(event, lag=0.0) for event in pieces] == [replace(event, lag=0.0) for event in whole]


def test_the_silence_lies_between_its_bounds() -> None:
    required = [required_silence_ms(ADAPTIVE, share / 20) for share in range(21)]
    assert required == sorted(required, reverse=True)
    assert (required[0], required[-1]) == (1000, 200)
    assert required_silence_ms(ADAPTIVE, None) == 1000


def test_adaptive_turns_need_a_text_model() -> None:
    with pytest.raises(OptionError, match="needs a text model"):
        Session(
            SessionOptions(endpoint=ADAPTIVE),
            hop=HOP,
            decodings=[
                Decoding(
                    None,
                    lambda: ToneEncoder().open(Context(chunk=8, lookahead=4)),
                    lambda: BeamSearch(Alphabet(LABELS), beam_width=8),
                )
            ],
            detector=LoudDetector(),
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turn": "clever"}, "turn is 'clever'"),
        ({"shortest_silence_ms": 900, "longest_silence_ms": 300}, "shortest_silence_ms is 900"),
        ({"shortest_silence_ms": 0}, "shortest_silence_ms is 0"),
    ],
)
def test_bounds_that_cannot_work_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        EndpointOptions(**options)  # type: ignore[arg-type]
