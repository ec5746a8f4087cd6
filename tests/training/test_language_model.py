from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from streaming_asr.decoding import Ngrams
from training.kneser_ney import estimate
from training.language_model import choose_words, encode_sentences, once, without, write_folder

TEXT = ["THE CAT SAT", "THE DOG SAT DOWN", "A CAT SAT DOWN", "THE CAT RAN", "A DOG RAN", "THE BIRD SANG"] * 3


def test_held_out_sentences_and_their_long_runs_are_left_out() -> None:
    held_out = ["ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE", "SHORT ONE"]
    free = ["SHORT ONE", "A SHORT ONE", "SO TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE", "TWO THREE FOUR"]
    assert list(without(free, held_out)) == ["A SHORT ONE", "TWO THREE FOUR"]


def test_a_long_sentence_counts_once_and_a_short_one_as_often_as_it_is_said() -> None:
    long = "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT"
    assert list(once([long, "YES SIR", long, "YES SIR"])) == [long, "YES SIR", "YES SIR"]


def test_words_are_chosen_by_frequency() -> None:
    assert choose_words(["A B B C", "B A"], 2, 10) == ["B", "A"]
    assert choose_words(["A B B C", "B A"], 1, 1) == ["B"]


def test_with_arpa_the_folder_has_exactly_the_files_of_a_processor(tmp_path: Path) -> None:
    words = choose_words(TEXT, 1, 100)
    orders = estimate(encode_sentences(TEXT, words), 3, len(words) + 3)
    write_folder(tmp_path, orders, words, (0.5, 1.0), arpa=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attrs.json", "lm.arpa", "unigrams.txt"]
    assert (tmp_path / "unigrams.txt").read_text().split() == sorted(words)


def test_what_was_estimated_is_a_distribution_behind_any_words(tmp_path: Path) -> None:
    words = choose_words(TEXT, 1, 100)
    write_folder(tmp_path, estimate(encode_sentences(TEXT, words), 3, len(words) + 3), words, (0.7, 1.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attrs.json", "ngrams.npz"]
    ngrams = Ngrams.read(tmp_path / "ngrams.npz")
    assert ngrams.words == words
    for before in ([], ["THE"], ["THE", "CAT"], ["CAT", "SAT"], ["NEVER-SEEN"]):
        state = ngrams.start(boundary=True)
        for word in before:
            _, state = ngrams.score(state, word)
        shares = [10 ** ngrams.score(state, word)[0] for word in (*words, "</s>", "NEVER-SEEN")]
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.lm
def test_kenlm_reads_what_was_estimated(tmp_path: Path) -> None:
    kenlm = pytest.importorskip("kenlm")
    words = choose_words(TEXT, 1, 100)
    orders = estimate(encode_sentences(TEXT, words), 3, len(words) + 3)
    write_folder(tmp_path, orders, words, (0.5, 1.0), arpa=True)
    model = kenlm.Model(str(tmp_path / "lm.arpa"))
    unigram = orders[0].probability[words.index("BIRD") + 3]
    assert model.score("BIRD", bos=False, eos=False) == pytest.approx(math.log10(unigram), abs=2e-3)
    every = [*words, "</s>", "NEVER-SEEN"]
    for before in ("", "THE", "THE CAT", "CAT SAT"):
        start = model.score(before, bos=True, eos=False)
        behind = [model.score(f"{before} {word}".strip(), bos=True, eos=False) - start for word in every]
        behind[-2] = model.score(before, bos=True, eos=True) - start
        assert np.sum(10.0 ** np.array(behind)) == pytest.approx(1.0, abs=2e-2)
