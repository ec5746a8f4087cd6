"""Our n-grams against the definition of back-off, against KenLM, and through a file."""

from __future__ import annotations

import math
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from streaming_asr.decoding import KenNgrams, Ngrams, read_arpa
from streaming_asr.decoding.ngrams import Level, make_levels
from streaming_asr.errors import CheckpointError

MARKS = ("<unk>", "<s>", "</s>")
WORDS = (*MARKS, "a", "b", "c", "d")

Table = dict[tuple[str, ...], tuple[float, float]]
"""log10 and backoff of each n-gram."""


def make_table(seed: int, order: int, *, whole: bool = True) -> Table:
    """Random n-grams whose first words are n-grams too and, if `whole`, their last words as well."""
    chance = random.Random(seed)
    table: Table = {(word,): values(chance) for word in WORDS}
    for length in range(2, order + 1):
        before = [ngram for ngram in table if len(ngram) == length - 1 and ngram[-1] != "</s>"]
        for ngram, word in product(before, WORDS):
            follows = (*ngram, word)
            if word != "<s>" and chance.random() < 0.4 and (not whole or follows[1:] in table):
                table[follows] = values(chance)
    return table


def values(chance: random.Random) -> tuple[float, float]:
    return round(chance.uniform(-4, -0.1), 3), round(chance.uniform(-1, 0.3), 3)


def make_ngrams(table: Table) -> Ngrams:
    numbers = {word: number for number, word in enumerate(WORDS)}
    orders = []
    for order in range(1, max(map(len, table)) + 1):
        some = [ngram for ngram in table if len(ngram) == order]
        ids = np.array([[numbers[word] for word in ngram] for ngram in some]).reshape(-1, order)
        columns = np.array([table[ngram] for ngram in some], np.float32)
        orders.append((ids, columns[:, 0], columns[:, 1]))
    return Ngrams(WORDS, make_levels(numbers, orders))


def write_table(path: Path, table: Table) -> Path:
    highest = max(map(len, table))
    sections = [[ngram for ngram in table if len(ngram) == order] for order in range(1, highest + 1)]
    lines = ["\\data\\", *(f"ngram {order}={len(one)}" for order, one in enumerate(sections, start=1)), ""]
    for order, one in enumerate(sections, start=1):
        lines.append(f"\\{order}-grams:")
        ends = [f"\t{table[ngram][1]}" if order < highest else "" for ngram in one]
        lines += [f"{table[ngram][0]}\t{' '.join(ngram)}{end}" for ngram, end in zip(one, ends, strict=True)]
        lines.append("")
    path.write_text("\n".join([*lines, "\\end\\", ""]), encoding="utf-8")
    return path


def expected(table: Table, context: tuple[str, ...], word: str) -> float:
    """The definition: the n-gram's own probability, or the context's weight and a shorter context."""
    if (*context, word) in table:
        return table[*context, word][0]
    return table.get(context, (0.0, 0.0))[1] + expected(table, context[1:], word)


def read(ngrams: Ngrams | KenNgrams, text: list[str], *, boundary: bool) -> list[float]:
    state, scores = ngrams.start(boundary=boundary), []
    for word in text:
        score, state = ngrams.score(state, word)
        scores.append(score)
    return scores


@pytest.mark.parametrize("seed", range(12))
def test_scores_are_those_of_the_definition(seed: int) -> None:
    order = 1 + seed % 4
    table = make_table(seed, order, whole=seed < 8)
    ngrams = make_ngrams(table)
    assert (ngrams.order, len(ngrams)) == (order, len(table))
    for boundary in (True, False):
        text = random.Random(seed).choices([*WORDS[3:], "never heard"], k=60)
        behind = ["<s>"] if boundary else []
        known = behind + [word if word in WORDS else "<unk>" for word in text]
        wanted = [
            expected(table, tuple(known[:place][1 - order :] if order > 1 else ()), known[place])
            for place in range(len(behind), len(known))
        ]
        assert read(ngrams, text, boundary=boundary) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.lm
@pytest.mark.parametrize("order", [2, 3, 4])
def test_scores_are_kenlms(tmp_path: Path, order: int) -> None:
    kenlm = pytest.importorskip("kenlm")
    path = write_table(tmp_path / "a.arpa", make_table(order, order))
    ours, theirs = read_arpa(path), KenNgrams(kenlm.Model(str(path)))
    for boundary in (True, False):
        text = random.Random(order).choices([*WORDS[2:], "", "x"], k=200)
        assert read(ours, text, boundary=boundary) == pytest.approx(read(theirs, text, boundary=boundary), abs=1e-5)
    assert [word in ours for word in (*WORDS, "x")] == [word in theirs for word in (*WORDS, "x")]


def test_a_model_without_unknown_words_gives_them_minus_100() -> None:
    level = Level(np.zeros(2, int), np.arange(2), np.array([-1.0, -1.0]), np.zeros(2))
    ngrams = Ngrams(["<s>", "</s>"], [level])
    assert ngrams.score(ngrams.start(boundary=True), "x") == (-100.0, ())


def test_a_saved_model_of_few_values_is_the_same_model(tmp_path: Path) -> None:
    ngrams = make_ngrams(make_table(3, 3))
    ngrams.save(tmp_path / "ngrams.npz")
    loaded = Ngrams.read(tmp_path / "ngrams.npz")
    text = random.Random(0).choices([*WORDS[3:], "x"], k=100)
    assert loaded.words == ngrams.words == ["a", "b", "c", "d"]
    assert read(loaded, text, boundary=True) == read(ngrams, text, boundary=True)


def test_of_many_values_the_nearest_of_256_are_saved(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    words = ["<s>", "</s>", *map(str, range(5000))]
    log10 = np.concatenate(([-99.0], chance.normal(-4, 1, len(words) - 1)))
    backoff = np.where(chance.random(len(words)) < 0.5, 0.0, chance.normal(-0.5, 0.2, len(words)))
    first = Level(np.zeros(len(words), int), np.arange(len(words)), log10, backoff)
    second = Level(np.arange(10), np.full(10, 1), np.full(10, -0.5), np.zeros(10))
    ngrams = Ngrams(words, [first, second])
    ngrams.save(tmp_path / "a.npz")
    loaded = Ngrams.read(tmp_path / "a.npz")

    def unigram(model: Ngrams, word: str) -> float:
        return model.score((), word)[0]

    errors = [unigram(loaded, word) - unigram(ngrams, word) for word in words]
    assert max(map(abs, errors)) < 0.15
    assert math.isclose(sum(errors) / len(errors), 0, abs_tol=1e-3)
    assert unigram(loaded, "<s>") == -99.0
    unweighted = next(row for row in range(11, len(words)) if backoff[row] == 0.0)
    assert loaded.score((unweighted,), "7")[0] == unigram(loaded, "7")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ngrams.npz"
    make_ngrams(make_table(1, 3)).save(path)
    whole = path.read_bytes()
    arrays = dict(np.load(path))
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"ngrams\.npz is not a language model of this project"):
            Ngrams.read(path)
    broken = [
        {"words": np.frombuffer(b"a\nb", np.uint8)},
        {"children_1": arrays["children_1"][:-1]},
        {"words_2": arrays["words_2"][::-1]},
        {"words_3": arrays["words_3"] + 100},
        {"log10_2": arrays["log10_2"][1:]},
        {"log10_2": np.full_like(arrays["log10_2"], 255)},
        {"children_2": arrays["children_2"].astype(float)},
    ]
    for change in broken:
        np.savez(path, **(arrays | change))
        with pytest.raises(CheckpointError, match="is not a language model of this project"):
            Ngrams.read(path)
    with pytest.raises(CheckpointError, match=r"nowhere\.npz"):
        Ngrams.read(tmp_path / "nowhere.npz")
