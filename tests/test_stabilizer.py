"""Beams in; text that stands and text that may change out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearch, BeamWord, GreedySearch
from streaming_asr.stabilizer import Hypothesis, Stabilizer

LABELS = ("", " ", "a", "b", "c")
NONE_AHEAD = np.zeros((0, len(LABELS)))


def frames_of(text: str, *, doubt: float = 0.0, other: str = "") -> FloatArray:
    """One frame per character, "_" for blank; with `doubt`, the characters of `other` get that share."""
    shares = np.full((len(text), len(LABELS)), 1e-4)
    for frame, character in enumerate(text):
        shares[frame, LABELS.index(character.replace("_", ""))] += 1 - doubt
        if other:
            shares[frame, LABELS.index(other[frame].replace("_", ""))] += doubt
    return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True)))


def random_frames(seed: int, frames: int, sharpness: float) -> FloatArray:
    logits = np.random.default_rng(seed).normal(size=(frames, len(LABELS))) * sharpness
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def stabilizer(*, width: int = 20, delay: int | None = None, held: tuple[BeamWord, ...] = ()) -> Stabilizer:
    return Stabilizer(BeamSearch(Alphabet(LABELS), beam_width=width), agreement_delay=delay, held=held)


def test_words_that_all_beams_share_are_committed() -> None:
    hypothesis = stabilizer().push(frames_of("ab_ c_ab"), NONE_AHEAD)
    assert (hypothesis.committed_text, hypothesis.tail_text) == ("ab", "cab")


def test_the_word_under_way_is_never_committed() -> None:
    assert stabilizer().push(frames_of("ab"), NONE_AHEAD).committed == 0


def test_the_tail_sees_the_lookahead_and_the_search_does_not() -> None:
    machine = stabilizer()
    shown = machine.push(frames_of("ab "), frames_of("ca"))
    assert (shown.committed_text, shown.tail_text) == ("ab", "ca")
    assert machine.best().text == "ab"
    assert machine.push(frames_of("bb "), NONE_AHEAD).committed_text == "ab b"


def test_beams_that_disagree_are_overruled_after_the_agreement_delay() -> None:
    doubtful = frames_of("a_ b_", doubt=0.45, other="c_ b_")
    later = frames_of(" c_ c_ c_ c_ c_")
    patient, hasty = stabilizer(), stabilizer(delay=6)
    for machine in (patient, hasty):
        machine.push(doubtful, NONE_AHEAD)
    assert patient.push(later, NONE_AHEAD).committed == 0
    assert hasty.push(later, NONE_AHEAD).committed_text.startswith("a b")


@pytest.mark.parametrize(
    ("doubt", "delay", "stands"),
    [(0.01, 30, True), (0.01, 200, False), (0.01, None, False), (0.1, 30, False), (0.1, 15, True), (0.45, 0, True)],
)
def test_a_word_stands_the_sooner_the_less_probable_the_other_beams_are(
    doubt: float, delay: int | None, stands: bool
) -> None:
    machine = stabilizer(delay=delay)
    machine.push(frames_of("a_ ", doubt=doubt, other="c_ "), NONE_AHEAD)
    hypothesis = machine.push(frames_of("b________"), NONE_AHEAD)
    assert hypothesis.words[0].text == "a"
    assert bool(hypothesis.committed) is stands


class Twice:
    """A language model that expects every word to be said twice."""

    def start(self) -> str:
        return ""

    def score(self, state: str, word: str) -> tuple[float, str]:
        return (5.0 if word == state else 0.0), word

    def score_last(self, state: str, word: str) -> float:
        return self.score(state, word)[0]

    def score_partial(self, part: str) -> float:
        return 0.0


@pytest.mark.parametrize("said", ["a", "c"])
def test_the_lookahead_has_a_say_in_which_beams_are_probable(said: str) -> None:
    machine = Stabilizer(BeamSearch(Alphabet(LABELS), language_model=Twice()), agreement_delay=12)
    doubtful = frames_of("a ____", doubt=0.4, other="c ____")
    assert machine.push(doubtful, NONE_AHEAD).committed == 0
    assert machine.push(NONE_AHEAD, frames_of(f"{said} _")).committed_text == said


def test_the_last_word_is_unfinished_until_its_delimiter_was_read() -> None:
    assert stabilizer().push(frames_of("ab c"), NONE_AHEAD).unfinished
    assert not stabilizer().push(frames_of("ab c"), frames_of("c ")).unfinished
    assert not stabilizer(held=(BeamWord("cc", 0, 9),)).push(frames_of("a"), NONE_AHEAD).unfinished


def test_words_held_from_an_earlier_life_stay_whatever_is_said_now() -> None:
    held = (BeamWord("cc", 0, 2),)
    machine = stabilizer(held=held)
    hypothesis = machine.push(frames_of("ab cb "), NONE_AHEAD)
    assert hypothesis.words[0] == held[0]
    assert machine.finish(1)[0].text == "cc cb"


def test_confidence_tells_a_sure_word_from_a_doubtful_one() -> None:
    machine = stabilizer()
    words = machine.push(np.concatenate([frames_of("ab "), frames_of("cc ", doubt=0.4, other="aa ")]), NONE_AHEAD).words
    sure, doubtful = (machine.word_confidence(word) for word in words)
    assert 0 < doubtful < sure <= 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sharpness=st.sampled_from([0.5, 1.5, 4.0]),
    pieces=st.lists(st.integers(0, 12), min_size=1, max_size=10),
    delay=st.sampled_from([None, 0, 5, 20]),
    greedy=st.booleans(),
    held=st.sampled_from([(), (BeamWord("cc", 0, 2),), (BeamWord("a", 0, 2), BeamWord("bb", 4, 6))]),
)
def test_committed_words_never_change_and_begin_every_final(
    seed: int, sharpness: float, pieces: list[int], delay: int | None, greedy: bool, held: tuple[BeamWord, ...]
) -> None:
    alphabet = Alphabet(LABELS)
    search = GreedySearch(alphabet) if greedy else BeamSearch(alphabet, beam_width=10)
    machine = Stabilizer(search, agreement_delay=delay, held=held)
    frames = random_frames(seed, sum(pieces) + 4, sharpness)
    history: list[Hypothesis] = []
    at = 0
    for size in pieces:
        history.append(machine.push(frames[at : at + size], frames[at + size : at + size + 4]))
        at += size
    committed = [held, *(hypothesis.words[: hypothesis.committed] for hypothesis in history)]
    assert all(later[: len(earlier)] == earlier for earlier, later in itertools.pairwise(committed))
    for beam in machine.finish(5):
        assert beam.words[: len(committed[-1])] == committed[-1]


@pytest.mark.parametrize("delay", [3, 10])
def test_the_agreement_delay_bounds_how_far_the_committed_text_lags(delay: int) -> None:
    machine = stabilizer(delay=delay)
    frames = random_frames(7, 400, 1.0)
    for at in range(0, 400, 5):
        machine.push(frames[at : at + 5], NONE_AHEAD)
        finished = machine.best().words[:-1]
        assert all(word.end_frame > machine.frames - delay for word in finished[len(machine.committed) :])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sharpness=st.sampled_from([1.5, 4.0]),
    pieces=st.lists(st.integers(1, 12), min_size=1, max_size=10),
)
def test_without_an_agreement_delay_just_what_all_beams_share_stands(
    seed: int, sharpness: float, pieces: list[int]
) -> None:
    machine, search = stabilizer(), BeamSearch(Alphabet(LABELS), beam_width=20)
    frames = random_frames(seed, sum(pieces) + 4, sharpness)
    at = 0
    for size in pieces:
        hypothesis = machine.push(frames[at : at + size], frames[at + size : at + size + 4])
        search.push(frames[at : at + size])
        at += size
        assert hypothesis.committed == len(search.agreed())
