"""A stream that leaves its language open: each utterance is decoded in all candidates, and goes on in the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.samples import Samples
from streaming_asr.decoding import Alphabet, GreedySearch
from streaming_asr.detection import DETECTION_MS, Decoding
from streaming_asr.engine import Engine
from streaming_asr.events import Event, Final, Partial
from streaming_asr.model import Chunk, Context, EncoderStream
from streaming_asr.session import Session, SessionOptions
from tests.tones import HOP, LABELS, LoudDetector, ToneEncoder, ToneStream, silence, spoken

CONTEXT = Context(chunk=8, lookahead=4)
LANGUAGES = {"aa": "abcd", "bb": "efgh", "cc": "adeh"}
"""Each language knows some tones, and is unsure of all others."""


class UnsureStream(ToneStream):
    """Hears the tones of its own letters, and every letter a little in others."""

    def __init__(self, context: Context, letters: str) -> None:
        super().__init__(context)
        self._foreign = [label not in ("", " ", *letters) for label in LABELS]

    def step(self) -> Chunk:
        chunk = super().step()
        return Chunk(logits=self._unsure(chunk.logits), lookahead=self._unsure(chunk.lookahead))

    def _unsure(self, logits: torch.Tensor) -> torch.Tensor:
        foreign = torch.tensor(self._foreign)[logits.argmax(dim=1)] if len(logits) else torch.zeros(0, dtype=torch.bool)
        logits = logits.clone()
        logits[foreign] = torch.tensor([-2.0, -2.0] + [-2.0 if away else 0.0 for away in self._foreign[2:]]).double()
        return logits


def session_of(encoder: ToneEncoder, languages: Sequence[str]) -> Session:
    def decoding(code: str) -> Decoding:
        return Decoding(
            code,
            lambda: cast(EncoderStream, UnsureStream(CONTEXT, LANGUAGES[code])),
            lambda: GreedySearch(Alphabet(LABELS)),
        )

    return Session(SessionOptions(), hop=HOP, decodings=[decoding(code) for code in languages], detector=LoudDetector())


def events_of(audio: Samples, languages: Sequence[str] = tuple(LANGUAGES), cuts: Sequence[int] = ()) -> list[Event]:
    encoder, events = ToneEncoder(), []
    session = session_of(encoder, languages)
    for piece in (*np.split(audio, sorted(cuts)), None):
        if piece is None:
            session.finish()
        else:
            session.push(piece)
        while streams := session.advance():
            session.take(encoder.step(streams))
        events += session.events()
    return events


def told(events: Sequence[Event]) -> list[tuple[str, str | None]]:
    """Text and language of every final."""
    finals = [event for event in events if isinstance(event, Final)]
    return [(final.text, final.language.code if final.language else None) for final in finals]


def without_language(events: Sequence[Event]) -> list[Event]:
    plain = [replace(event, lag=0.0) for event in events]
    return [replace(one, language=None) if isinstance(one, Partial | Final) else one for one in plain]


LONG = "abcd dcba abdc bacd " * 3
SPEECH = np.concatenate(
    [spoken("abcd ba"), silence(60), spoken("efgh fe"), silence(60), spoken("adeh ha"), silence(60)]
)


def test_each_utterance_is_in_the_language_that_knows_its_sounds() -> None:
    events = events_of(SPEECH)
    assert told(events) == [("abcd ba", "aa"), ("efgh fe", "bb"), ("adeh ha", "cc")]
    for event in events:
        if isinstance(event, Final):
            assert event.language is not None
            assert 0.9 < event.language.confidence <= 1.0


def test_the_order_of_the_candidates_does_not_matter() -> None:
    assert told(events_of(SPEECH, ("cc", "bb", "aa"))) == told(events_of(SPEECH))


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, len(SPEECH)), max_size=6))
def test_cutting_does_not_matter(cuts: list[int]) -> None:
    assert without_language(events_of(SPEECH, cuts=cuts)) == without_language(events_of(SPEECH))
    assert told(events_of(SPEECH, cuts=cuts)) == told(events_of(SPEECH))


def test_from_the_decision_on_it_is_as_in_a_stream_of_that_language() -> None:
    audio = np.concatenate([spoken(LONG), silence(60)])
    found, alone = without_language(events_of(audio)), without_language(events_of(audio, ("aa",)))
    assert [one for one in found if not isinstance(one, Partial)] == [
        one for one in alone if not isinstance(one, Partial)
    ]
    partials = [one for one in found if isinstance(one, Partial)]
    assert partials
    assert partials == [one for one in alone if isinstance(one, Partial)][-len(partials) :]
    first = next(event for event in events_of(audio) if isinstance(event, Partial))
    assert first.language is not None
    assert first.language.code == "aa"
    assert first.end <= DETECTION_MS / 1000 + CONTEXT.chunk * HOP / 16_000 + 0.1


def test_a_stream_of_one_language_tells_none() -> None:
    assert told(events_of(SPEECH, ("aa",)))[0] == ("abcd ba", None)


def test_after_the_decision_only_one_language_is_computed() -> None:
    encoder = ToneEncoder()
    session = session_of(encoder, tuple(LANGUAGES))
    session.push(np.concatenate([spoken(LONG), silence(60)]))
    while streams := session.advance():
        session.take(encoder.step(streams))
    assert set(encoder.batches) == {1, 3}
    assert encoder.batches == sorted(encoder.batches, reverse=True)
    assert 3 * encoder.batches.count(3) < len(encoder.batches) + 3 * round(DETECTION_MS / 1000 / 0.16 + 2)


@pytest.mark.parametrize("step", [1, 8, 20])
def test_a_fault_before_or_after_the_decision_changes_nothing(step: int) -> None:
    audio = np.concatenate([spoken(LONG), silence(60)])
    encoder = ToneEncoder()
    session = session_of(encoder, tuple(LANGUAGES))
    session.push(audio)
    session.finish()
    for _ in range(step):
        streams = session.advance()
        assert streams
        session.take(encoder.step(streams))
    session.replay()
    while streams := session.advance():
        session.take(encoder.step(streams))
    assert told(session.events()) == told(events_of(audio))


def test_an_engine_steps_candidates_in_one_batch_and_mends_faults() -> None:
    encoder = ToneEncoder()
    engine = Engine(encoder, maximum_batch=4)
    try:
        encoder.faults = 1
        answers = [
            engine.submit(session_of(encoder, languages), lambda session: session.push(SPEECH))
            for languages in (tuple(LANGUAGES), ("aa", "bb"), ("aa",))
        ]
        said = [told(answer.result(20)) for answer in answers]
    finally:
        engine.close()
    assert said[0] == told(events_of(SPEECH))
    assert [code for _, code in said[1]][:2] == ["aa", "bb"]
    assert said[2] == told(events_of(SPEECH, ("aa",)))
    assert max(encoder.batches) <= 4
