from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from streaming_asr.model import Context
from training.corpus import Corpus
from training.evaluate import evaluate, letter_error_rate, recognize, ways, word_error_rate
from training.evaluation_sets import Example, evaluation_sets
from training.model import StreamingCtc


def test_the_sets_are_the_collections_and_two_kinds_made_of_them(corpus: Corpus) -> None:
    noise = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    sets = evaluation_sets(corpus, [noise])
    assert list(sets) == ["sung", "telephone band", "noisy"]
    assert [len(examples) for examples in sets.values()] == [24, 6, 6]
    again = evaluation_sets(corpus, [noise], limit=3)
    assert [len(examples) for examples in again.values()] == [3, 3, 3]
    for name, examples in again.items():
        for one, other in zip(examples, sets[name], strict=False):
            assert one.transcript == other.transcript
            assert np.array_equal(one.samples, other.samples)


def test_noise_and_telephone_change_the_audio_and_not_the_length(corpus: Corpus) -> None:
    sets = evaluation_sets(corpus, [np.ones(100, np.float32)])
    clean = {len(one.samples): one for one in sets["sung"]}
    for name in ("telephone band", "noisy"):
        assert all(len(one.samples) in clean for one in sets[name])


def test_texts_come_in_the_order_of_the_examples(model: StreamingCtc, corpus: Corpus) -> None:
    examples = evaluation_sets(corpus, [])["sung"][:5]
    together = recognize(model, examples, Context(8, 4), rows=3)
    alone = [recognize(model, [one], Context(8, 4))[0] for one in examples]
    assert together == alone


def test_error_rates_are_words_over_words() -> None:
    examples = [Example(np.zeros(1, np.float32), "A B C"), Example(np.zeros(1, np.float32), "D")]
    assert word_error_rate(examples, ["A C", "D E"]) == 0.5


def test_error_rates_of_letters_count_spaces_too() -> None:
    assert letter_error_rate([Example(np.zeros(1, np.float32), "AB CD")], ["ab cde"]) == 0.2


def test_the_table_has_a_row_per_way_and_a_mean(model: StreamingCtc, corpus: Corpus, tmp_path: Path) -> None:
    sets = evaluation_sets(corpus, [], limit=2)
    known = ways(hop_ms=40.0)
    assert known["640+320"] == Context(16, 8, 100)
    table = evaluate(model, sets, {"offline": None, "320": known["320"]})
    assert list(table) == ["offline", "320"]
    assert list(table["offline"]) == ["sung", "telephone band", "all"]
    json.dumps(table)
