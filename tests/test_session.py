"""One stream's whole way, with a model that recognizes tones instead of speech."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.gate import GateOptions
from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.decoding import Alphabet, BeamSearch
from streaming_asr.detection import Decoding
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import OptionError, StreamClosedError
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted
from streaming_asr.model import Context
from streaming_asr.session import Session, SessionOptions
from tests.tones import HOP, LABELS, LoudDetector, ToneEncoder, silence, spoken

CONTEXT = Context(chunk=8, lookahead=4)
PAUSE = silence(60)


class Line:
    """A session with its own tone encoder; `push` and friends drive it to the end of its input."""

    def __init__(self, options: SessionOptions | None = None, *, first_sample: int = 0) -> None:
        self.encoder = ToneEncoder()
        self.session = Session(
            options or SessionOptions(),
            hop=HOP,
            decodings=[
                Decoding(None, lambda: self.encoder.open(CONTEXT), lambda: BeamSearch(Alphabet(LABELS), beam_width=8))
            ],
            detector=LoudDetector(),
            first_sample=first_sample,
        )

    def push(self, samples: Samples) -> list[Event]:
        self.session.push(samples)
        return self.drive()

    def finalize(self) -> list[Event]:
        self.session.finalize()
        return self.drive()

    def finish(self) -> list[Event]:
        self.session.finish()
        return self.drive()

    def drive(self) -> list[Event]:
        while streams := self.session.advance():
            self.session.take(self.encoder.step(streams))
        return self.session.events()


def events_of(samples: Samples, options: SessionOptions | None = None, cuts: Sequence[int] = ()) -> list[Event]:
    line = Line(options)
    pieces = np.split(samples, sorted(cuts))
    return [event for piece in pieces for event in line.push(piece)] + line.finish()


def texts(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]


def without_lag(events: Sequence[Event]) -> list[Event]:
    return [replace(event, lag=0.0) for event in events]


def test_two_sentences_become_two_finals() -> None:
    events = events_of(np.concatenate([spoken("abc de"), PAUSE, spoken("fgh"), PAUSE]))
    assert texts(events) == ["abc de", "fgh"]
    assert [event.utterance for event in events if isinstance(event, Final)] == [0, 1]


def test_an_utterance_starts_then_shows_partials_then_its_final_then_ends() -> None:
    events = events_of(np.concatenate([PAUSE, spoken("abc de fg ha bc"), PAUSE]))
    kinds = [type(event) for event in events]
    assert kinds[0] is SpeechStarted
    assert kinds[-2:] == [Final, SpeechEnded]
    assert set(kinds[1:-2]) == {Partial}
    assert len(kinds) > 5


def test_committed_text_only_grows_and_begins_the_final() -> None:
    events = events_of(np.concatenate([spoken("abc de fg ha bc de fg"), PAUSE]))
    committed = [event.committed for event in events if isinstance(event, Partial)]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(committed))
    assert committed[-1]
    assert texts(events)[0].startswith(committed[-1])


def test_words_lie_where_they_were_spoken() -> None:
    before = silence(100)
    events = events_of(np.concatenate([before, spoken("abc de"), PAUSE]))
    final = next(event for event in events if isinstance(event, Final))
    assert [word.text for word in final.words] == ["abc", "de"]
    assert final.words[0].start == pytest.approx(seconds(len(before)), abs=0.021)
    assert final.words[1].start == pytest.approx(seconds(len(before) + 18 * HOP), abs=0.021)
    assert final.start == final.words[0].start
    assert final.end == final.words[-1].end


def test_the_audio_clock_can_begin_anywhere() -> None:
    line, shifted = Line(), Line(first_sample=48_000)
    audio = np.concatenate([spoken("abc"), PAUSE])
    plain = [event for event in line.push(audio) if isinstance(event, Final)]
    late = [event for event in shifted.push(audio) if isinstance(event, Final)]
    assert late[0].start == pytest.approx(plain[0].start + 3.0)
    assert shifted.session.acknowledged == line.session.acknowledged + 48_000


def test_finish_flushes_speech_up_to_the_last_sample() -> None:
    assert texts(events_of(spoken("abc de"))) == ["abc de"]


def test_finalize_ends_the_utterance_and_the_stream_goes_on() -> None:
    line = Line()
    events = line.push(spoken("abc de")) + line.finalize()
    assert texts(events) == ["abc de"]
    assert isinstance(events[-1], SpeechEnded)
    assert events[-1].reason == "finalize"
    assert texts(line.push(spoken("fgh")) + line.finish()) == ["fgh"]


def test_finalize_in_silence_tells_nothing() -> None:
    line = Line()
    assert line.push(PAUSE) + line.finalize() == []


def test_work_may_be_put_in_before_any_of_it_is_done() -> None:
    line = Line()
    line.session.push(spoken("abc"))
    line.session.finalize()
    line.session.push(spoken("de"))
    line.session.finish()
    assert texts(line.drive()) == ["abc", "de"]


def test_silence_is_never_encoded() -> None:
    line = Line()
    assert line.push(silence(3_000)) == []
    assert line.encoder.batches == []


def test_with_the_gate_off_all_audio_is_encoded() -> None:
    options = SessionOptions(gate=GateOptions(enabled=False))
    line = Line(options)
    line.push(silence(160))
    assert len(line.encoder.batches) == (15 + 160 - CONTEXT.lookahead) // CONTEXT.chunk  # 15 frames of padding


def test_noise_without_words_is_told_once_and_then_kept_quiet() -> None:
    options = SessionOptions(gate=GateOptions(enabled=False), endpoint=EndpointOptions(no_words_ms=500))
    events = events_of(silence(1_000), options)
    assert [type(event) for event in events] == [SpeechStarted, SpeechEnded]
    assert events[1] == SpeechEnded(0, events[1].time, "no_words", events[1].lag)  # type: ignore[union-attr]


def test_the_endpoint_rule_cuts_where_the_gate_stays_open_and_no_word_is_lost() -> None:
    options = SessionOptions(gate=GateOptions(enabled=False), endpoint=EndpointOptions(trailing_silence_ms=400))
    events = events_of(np.concatenate([spoken("abc"), PAUSE, spoken("de"), PAUSE, spoken("fg")]), options)
    assert texts(events) == ["abc", "de", "fg"]


def test_long_speech_is_cut_at_pauses_and_no_word_is_lost_or_said_twice() -> None:
    options = SessionOptions(endpoint=EndpointOptions(maximum_length_ms=3_000))
    words = [a + b + c for a in "abc" for b in "def" for c in "gh"]
    events = events_of(spoken(" ".join(words)), options)
    assert len(texts(events)) > 2
    assert " ".join(texts(events)).split() == words


def test_endpoint_rules_can_change_while_an_utterance_is_under_way() -> None:
    line = Line()
    line.push(spoken("abc"))
    line.session.set_endpoint(EndpointOptions(trailing_silence_ms=200))
    assert texts(line.push(silence(11))) == ["abc"]


def test_options_of_partials_are_kept() -> None:
    audio = np.concatenate([spoken("abc de fg ha bc de fg"), PAUSE])
    quiet = events_of(audio, SessionOptions(partials=False))
    assert [type(event) for event in quiet] == [SpeechStarted, Final, SpeechEnded]
    often = [event for event in events_of(audio) if isinstance(event, Partial)]
    seldom = [
        event for event in events_of(audio, SessionOptions(partial_interval_ms=700)) if isinstance(event, Partial)
    ]
    assert 0 < len(seldom) < len(often)


def test_an_utterance_with_too_little_evidence_is_never_told() -> None:
    audio = np.concatenate([spoken("ab"), PAUSE, spoken("abc de"), PAUSE])
    options = SessionOptions(minimum_evidence=2.5)
    assert texts(events_of(audio)) == ["ab", "abc de"]
    assert texts(events_of(audio, options)) == ["abc de"]
    assert all(event.start > 1.0 for event in events_of(audio, options) if isinstance(event, Partial))


def test_what_was_told_once_is_always_told_to_its_end() -> None:
    options = SessionOptions(minimum_evidence=2.5)
    events = events_of(np.concatenate([spoken("abc de fg ha bc"), PAUSE]), options)
    assert any(isinstance(event, Partial) for event in events)
    assert texts(events) == ["abc de fg ha bc"]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_shortest_patience_still_goes_on(enabled: bool) -> None:
    rules = EndpointOptions(no_words_ms=1, trailing_silence_ms=1, maximum_length_ms=1_000)
    options = SessionOptions(gate=GateOptions(enabled=enabled), endpoint=rules)
    events = events_of(np.concatenate([spoken("abc"), PAUSE, spoken("de fg"), PAUSE]), options)
    assert "".join(" ".join(texts(events)).split()) == "abcdefg"


def test_what_is_acknowledged_is_in_finals_or_was_silence() -> None:
    line = Line()
    line.push(np.concatenate([silence(100), spoken("abc")]))
    during = line.session.acknowledged
    assert 0 < during <= 100 * HOP
    line.push(PAUSE)
    assert line.session.acknowledged >= 100 * HOP + 12 * HOP


def test_a_new_session_goes_on_from_what_was_acknowledged() -> None:
    audio = np.concatenate([spoken("abc de"), PAUSE, spoken("fg ha bc de"), PAUSE])
    for cut in range(HOP * 5, len(audio), HOP * 7):
        line = Line()
        told = line.push(audio[:cut])
        start = line.session.acknowledged
        heir = Line(first_sample=start)
        rest = heir.push(audio[start:]) + heir.finish()
        assert texts(told) + texts(rest) == ["abc de", "fg ha bc de"], cut


def test_a_fault_is_replayed_without_losing_or_changing_a_word() -> None:
    audio = np.concatenate([spoken("abc de fg ha bc de"), PAUSE])
    undisturbed = without_lag(events_of(audio))
    for step in range(1, 8):
        line = Line()
        line.session.push(audio)
        for _ in range(step):
            streams = line.session.advance()
            assert streams
            line.session.take(line.encoder.step(streams))
        line.session.replay()
        events = line.drive()
        finals = [event for event in without_lag(events) if isinstance(event, Final)]
        assert finals == [event for event in undisturbed if isinstance(event, Final)]
        committed = [event.committed for event in events if isinstance(event, Partial)]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(committed))


def test_a_finished_session_takes_nothing_more() -> None:
    line = Line()
    line.finish()
    with pytest.raises(StreamClosedError):
        line.push(PAUSE)
    with pytest.raises(StreamClosedError):
        line.finalize()


def test_lag_is_the_audio_that_waits() -> None:
    line = Line()
    events = line.push(np.concatenate([spoken("abc de fg"), spoken("abc de fg")]))
    first, last = events[1], events[-1]
    assert first.lag > last.lag >= 0


@settings(max_examples=40, deadline=None)
@given(
    text=st.text("abcdefgh ", min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 30_000), max_size=8),
    enabled=st.booleans(),
)
def test_cutting_the_audio_does_not_change_the_events(text: str, cuts: list[int], enabled: bool) -> None:
    audio = np.concatenate([spoken(text, letter_frames=7), PAUSE, spoken("ab")])
    options = SessionOptions(
        gate=GateOptions(enabled=enabled), endpoint=EndpointOptions(maximum_length_ms=1_500, trailing_silence_ms=300)
    )
    assert without_lag(events_of(audio, options, [cut % len(audio) for cut in cuts])) == without_lag(
        events_of(audio, options)
    )


def told_by_push(audio: Samples, size: int, options: SessionOptions) -> list[list[Event]]:
    line = Line(options)
    told = [line.push(audio[start : start + size]) for start in range(0, len(audio), size)]
    return [*told, line.finish()]


@settings(max_examples=40, deadline=None)
@given(
    text=st.text("abcdefgh ", min_size=1, max_size=12),
    size=st.integers(40, 1_500),
    enabled=st.booleans(),
    pause=st.integers(1, 40),
)
def test_audio_that_waits_changes_no_event_and_makes_none_late(text: str, size: int, enabled: bool, pause: int) -> None:
    audio = np.concatenate([silence(pause), spoken(text, letter_frames=3), silence(pause), spoken("ab"), PAUSE])
    options = SessionOptions(gate=GateOptions(enabled=enabled), endpoint=EndpointOptions(trailing_silence_ms=300))
    patient = told_by_push(audio, size, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "patience", 0)
        patch.setattr(Session, "_least_decisive", lambda self: 0)  # and frame by frame
        assert patient == told_by_push(audio, size, options)


def test_nothing_comes_of_audio_within_the_patience() -> None:
    line = Line()
    audio = np.concatenate([silence(50), spoken("abc de fg ha bc"), PAUSE])
    at, kept = 0, 0
    while at < len(audio):
        patience = line.session.patience
        kept += patience
        if patience:
            assert line.push(audio[at : at + patience - 1]) == []
        at += max(patience - 1, 0)
        line.push(audio[at : at + 1])
        at += 1
    assert texts(line.finish()) == []
    assert kept > 0.9 * len(audio)


@pytest.mark.parametrize("before", range(1, 14))
def test_rules_that_change_while_audio_waits_count_from_there(before: int) -> None:
    def run() -> list[list[Event]]:
        line = Line()
        told = [line.push(spoken("abc")), *(line.push(silence(1)) for _ in range(before))]
        line.session.set_endpoint(EndpointOptions(trailing_silence_ms=100))
        return [*told, *(line.push(silence(1)) for _ in range(40))]

    patient = run()
    assert texts([event for events in patient for event in events]) == ["abc"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "patience", 0)
        assert patient == run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agreement_delay_ms": -1}, "agreement_delay_ms is -1"),
        ({"partial_interval_ms": -5}, "partial_interval_ms is -5"),
        ({"alternatives": 0}, "alternatives is 0"),
        ({"minimum_evidence": -1}, "minimum_evidence is -1"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SessionOptions(**options)  # type: ignore[arg-type]
