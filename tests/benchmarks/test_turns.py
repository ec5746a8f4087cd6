"""What the benchmark of turns counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.turn_pauses import Pause, apply, separation
from benchmarks.turn_recordings import join
from streaming_asr import EndpointOptions
from streaming_asr.audio.samples import milliseconds_to_samples as samples_of

FIXED = EndpointOptions(trailing_silence_ms=500)
ADAPTIVE = EndpointOptions(turn="adaptive", shortest_silence_ms=200, longest_silence_ms=1000)
NEVER, CERTAIN = 0.0, 1.0


def pause(begin_ms: int, silence_ms: int, completeness: float, *, at_end: bool = False) -> Pause:
    return Pause(samples_of(begin_ms), samples_of(silence_ms), at_end, completeness)


def test_a_pause_inside_that_is_long_enough_cuts_the_turn() -> None:
    short = [pause(1000, 400, NEVER), pause(3000, 2500, CERTAIN, at_end=True)]
    long = [pause(1000, 600, NEVER), pause(3000, 2500, CERTAIN, at_end=True)]
    outcome = apply("fixed", FIXED, [short, long])
    assert (outcome.turns, outcome.cut, outcome.delays) == (2, 1, (0.5, 0.5))


def test_an_adaptive_rule_waits_inside_and_is_fast_at_the_end() -> None:
    outcome = apply("adaptive", ADAPTIVE, [[pause(1000, 600, NEVER), pause(3000, 2500, CERTAIN, at_end=True)]])
    assert (outcome.cut, outcome.delays) == (0, (0.2,))


def test_sound_behind_the_last_word_delays_the_end_and_is_no_cut() -> None:
    click = [pause(3000, 300, NEVER, at_end=True), pause(3400, 2500, NEVER, at_end=True)]
    assert apply("fixed", FIXED, [click]).delays == (0.9,)
    early = apply("fixed", EndpointOptions(trailing_silence_ms=300), [click])
    assert (early.cut, early.delays) == (0, (0.3,))


def test_separation_counts_the_pauses_that_are_long_enough() -> None:
    turns = [[pause(0, 300, 0.1), pause(900, 200, 0.9), pause(3000, 2500, 0.5, at_end=True)]]
    assert separation(turns, 250) == (1, 1.0)
    assert separation(turns, 200) == (2, 0.5)


def test_sentences_are_joined_with_their_words_and_those_without_speech_left_out() -> None:
    gap, nothing = np.zeros(8_000, np.float32), np.zeros(16_000, np.float32)
    assert join([(nothing, ["unheard"])], gap).turns == ()


@pytest.mark.parametrize("milliseconds", [205, 219])
def test_silence_is_counted_in_whole_frames(milliseconds: int) -> None:
    outcome = apply("fixed", EndpointOptions(trailing_silence_ms=milliseconds), [[pause(0, 2500, 1.0, at_end=True)]])
    assert outcome.delays == (0.22,)
