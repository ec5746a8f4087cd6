from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.corpus import Corpus
from training.read_aloud import choose_sentences, read_aloud, read_otherwise
from training.voices import at_our_rate

HEARD = ["THE BOY WALKED INTO THE WIDE FIELD"] * 20
LINES = (
    *["The boy walked into the wide field."] * 3,
    *(f"The {word} walked into the wide field." for word in ("badger", "heron", "weasel") for _ in range(3)),
    "A heron and a badger sat by the old brook in the rain.",
    "The weazle walked into the wide field again.",
    "He paid 5 crowns for the badger.",
    "The heron.",
)


def choose(held_out: list[str], seed: int = 0) -> list[str]:
    return choose_sentences(LINES, HEARD, held_out, np.random.default_rng(seed))


def voice(text: str, speed: float = 1.0, seed: int = 0) -> Samples:
    """100 ms of a tone for each word."""
    time = np.arange(round(len(text.split()) * 0.1 / speed * SAMPLE_RATE)) / SAMPLE_RATE
    return np.asarray(0.2 * np.sin(2 * np.pi * 500 * time), dtype=np.float32)


def test_sentences_with_rare_words_are_chosen() -> None:
    """No sentence of known words alone, of a word that stands once, with figures, or of two words."""
    chosen = choose([])
    assert sorted(chosen) == sorted(
        {f"The {word} walked into the wide field." for word in ("heron", "badger", "weasel")}
    )


def test_what_is_held_out_is_not_chosen() -> None:
    assert not any("heron" in one for one in choose(["THE HERON WALKED INTO THE WIDE FIELD"]))


def test_the_choice_is_a_function_of_the_seed() -> None:
    assert choose([], 1) == choose([], 1)


def test_no_two_readings_are_alike_and_all_are_as_loud() -> None:
    generator = np.random.default_rng(0)
    readings = [read_otherwise("one two three four", voice, generator) for _ in range(8)]
    assert len({len(one) for one in readings}) == len(readings)
    peaks = [np.argmax(np.abs(np.fft.rfft(one, 16000))) for one in readings]
    assert np.ptp(peaks) > 50
    assert all(0.45 < np.abs(one).max() < 0.6 for one in readings)


def test_a_corpus_of_so_many_hours_is_written(tmp_path: Path) -> None:
    sentences = ["one two three four five six seven eight"] * 50
    wanted = 10 / 3600
    utterances = read_aloud([*sentences, "one"], voice, tmp_path, wanted, np.random.default_rng(0))
    seconds = sum(one.duration for one in utterances)
    assert 10 <= seconds < 12
    written = Corpus.open(tmp_path)
    assert written.utterances == utterances
    assert {one.transcript for one in utterances} == {sentences[0].upper()}
    assert {one.part for one in utterances} == {"train"}
    assert np.abs(written.samples(utterances[0])).max() == pytest.approx(0.5, abs=0.1)


def test_readings_that_are_too_short_are_left_out(tmp_path: Path) -> None:
    assert read_aloud(["one two"] * 5, voice, tmp_path, 1.0, np.random.default_rng(0)) == ()


def test_any_rate_becomes_ours() -> None:
    assert len(at_our_rate(np.zeros(24000), 24000)) == SAMPLE_RATE
