"""The figures of a live transcript, on runs that can be counted by hand."""

from __future__ import annotations

import pytest

from streaming_asr.command_line.measures import Arrival, measure, percentiles
from streaming_asr.events import Event, Final, Partial, SpeechStarted, Word


def words(text: str) -> tuple[Word, ...]:
    """Word number n ends at n + 1 seconds."""
    return tuple(Word(word, index + 0.5, index + 1.0, 1.0) for index, word in enumerate(text.split()))


def partial(committed: str, tail: str, utterance: int = 0) -> Partial:
    return Partial(utterance, committed, tail, words(f"{committed} {tail}"), 0.5, 3.0, 0.0)


def final(text: str, utterance: int = 0) -> Final:
    return Final(utterance, text, words(text), 0.5, 3.0, 1.0, (), "silence", 0.0)


def run(*events: tuple[float, Event]) -> list[Arrival]:
    return [Arrival(time, event) for time, event in events]


RUN = run(
    (0.7, SpeechStarted(0, 0.5, 0.0)),
    (1.5, partial("", "good mor")),
    (2.5, partial("good", "mourning")),
    (3.5, partial("good morning", "all")),
    (4.0, final("good morning all")),
)


def test_words_taken_back_are_counted_by_final_words() -> None:
    measures = measure(RUN)
    assert (measures.finals, measures.final_words) == (1, 3)
    assert measures.unstable_words == pytest.approx(2 / 3)
    assert measures.edit_overhead == pytest.approx(4 / 7)


def test_a_last_word_that_goes_on_is_no_revision_in_the_second_count() -> None:
    measures = measure(
        run((1.0, partial("", "good mor")), (2.0, partial("", "good morning")), (3.0, final("good morning")))
    )
    assert measures.unstable_words == pytest.approx(1 / 2)
    assert measures.unstable_words_but_growing == 0


def test_a_committed_word_that_changed_is_found() -> None:
    assert measure(RUN).committed_revisions == 0
    broken = run((1.0, partial("good", "")), (2.0, partial("could", "")), (3.0, final("would")))
    assert measure(broken).committed_revisions == 2


def test_delays_are_from_the_audio_to_the_picture() -> None:
    measures = measure(RUN)
    assert measures.first_word is not None
    assert measures.first_word.p50 == pytest.approx(1.0)
    assert measures.commit is not None
    assert measures.commit.maximum == pytest.approx(1.5)
    assert measures.commit.count == 3
    assert measures.final is not None
    assert measures.final.p50 == pytest.approx(1.0)


def test_utterances_are_measured_apart() -> None:
    measures = measure([*RUN, *run((5.0, partial("", "so", 1)), (6.0, final("so", 1)))])
    assert (measures.finals, measures.final_words) == (2, 4)
    assert measures.unstable_words == pytest.approx(2 / 4)


def test_of_silence_there_are_no_figures() -> None:
    measures = measure([])
    assert (measures.final_words, measures.unstable_words, measures.commit) == (0, None, None)


def test_percentiles_are_those_of_all_values() -> None:
    found = percentiles(value / 100 for value in range(101))
    assert found is not None
    assert found.p50 == pytest.approx(0.5)
    assert found.p95 == pytest.approx(0.95)
    assert (found.maximum, found.count) == (1.0, 101)
