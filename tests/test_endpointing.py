"""The three rules that end an utterance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_asr.decoding import BeamWord
from streaming_asr.endpointing import Endpoint, Endpointer, EndpointOptions
from streaming_asr.errors import OptionError

FRAME_MS = 20
RULES = EndpointOptions(no_words_ms=1_000, trailing_silence_ms=400, maximum_length_ms=4_000)


def decide(words: list[tuple[int, int]], frames: int, committed: int = 0) -> Endpoint | None:
    spoken = [BeamWord("word", start, end) for start, end in words]
    return Endpointer(RULES, frame_ms=FRAME_MS).decide(spoken, frames=frames, committed=committed)


def test_an_utterance_without_words_ends_after_its_time() -> None:
    assert decide([], 49) is None
    assert decide([], 50) == Endpoint(50, "no_words")


def test_silence_after_the_last_word_ends_an_utterance() -> None:
    assert decide([(0, 10)], 29) is None
    assert decide([(0, 10)], 30) == Endpoint(30, "silence")


def test_a_long_utterance_is_cut_in_the_middle_of_its_longest_pause() -> None:
    words = [(0, 60), (70, 100), (101, 140), (142, 200)]
    assert decide(words, 200) == Endpoint(65, "maximum_length")


def test_committed_words_stay_in_front_of_the_cut() -> None:
    words = [(0, 60), (70, 100), (101, 140), (142, 200)]
    assert decide(words, 200, committed=3) == Endpoint(141, "maximum_length")


def test_before_the_maximum_only_a_long_pause_is_good_enough() -> None:
    assert decide([(0, 100), (101, 155)], 155) is None
    assert decide([(0, 100), (119, 155)], 155) == Endpoint(109, "maximum_length")


def test_speech_without_any_pause_is_cut_at_the_maximum_length() -> None:
    assert decide([(0, 199)], 199) is None
    assert decide([(0, 200)], 200) == Endpoint(200, "maximum_length")


def test_rules_that_are_off_end_nothing() -> None:
    rules = EndpointOptions(no_words_ms=None, trailing_silence_ms=None, maximum_length_ms=None)
    endpointer = Endpointer(rules, frame_ms=FRAME_MS)
    assert endpointer.decide([], frames=10**6, committed=0) is None
    assert endpointer.decide([BeamWord("word", 0, 5)], frames=10**6, committed=0) is None


def test_the_maximum_length_ends_speech_without_words_too() -> None:
    endpointer = Endpointer(EndpointOptions(no_words_ms=None, maximum_length_ms=1_000), frame_ms=FRAME_MS)
    assert endpointer.decide([], frames=50, committed=0) == Endpoint(50, "no_words")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=40), st.integers(0, 300), st.data())
def test_a_cut_lies_between_the_committed_words_and_the_end(
    shape: list[tuple[int, int]], rest: int, data: st.DataObject
) -> None:
    words, at = [], 0
    for gap, length in shape:
        words.append((at + gap, at + gap + length))
        at += gap + length
    committed = data.draw(st.integers(0, len(words)))
    endpoint = decide(words, at + rest, committed)
    if endpoint is not None:
        assert endpoint.frame <= at + rest
        assert not committed or endpoint.frame >= words[committed - 1][1]
        assert not any(start < endpoint.frame < end for start, end in words)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_time_that_cannot_work_is_refused_with_its_value(value: float) -> None:
    with pytest.raises(OptionError, match=rf"trailing_silence_ms is {value}"):
        EndpointOptions(trailing_silence_ms=value)


def test_a_maximum_shorter_than_a_second_is_refused() -> None:
    with pytest.raises(OptionError, match="maximum_length_ms is 999; it must be 1000 or more"):
        EndpointOptions(maximum_length_ms=999)
