from __future__ import annotations

import numpy as np
import pytest

from training.kneser_ney import BEGIN, Ids, Order, Reals, discounts, estimate, importance, prune

VOCABULARY = 12


@pytest.fixture
def sentences() -> list[Ids]:
    generator = np.random.default_rng(1)
    return [3 + generator.binomial(VOCABULARY - 4, 0.3, generator.integers(1, 8)) for _ in range(300)]


def probabilities(orders: list[Order], history: list[int]) -> Reals:
    """The probability of every word behind a history, by backing off as an ARPA model says."""
    if not history:
        return orders[0].probability
    lower = probabilities(orders, history[1:])
    row = find(orders, history)
    if row is None:
        return lower
    order = orders[len(history)]
    result: Reals = orders[len(history) - 1].weight[row] * lower
    explicit = order.context == row
    result[order.word[explicit]] = order.probability[explicit]
    return result


def find(orders: list[Order], words: list[int]) -> int | None:
    row = words[0]
    for order, word in zip(orders[1:], words[1:], strict=False):
        matches = np.flatnonzero((order.context == row) & (order.word == word))
        if not len(matches):
            return None
        row = int(matches[0])
    return row


@pytest.mark.parametrize("kept", [10_000, 60])
def test_probabilities_behind_every_context_sum_to_one(sentences: list[Ids], kept: int) -> None:
    orders = prune(estimate(sentences, 3, VOCABULARY), kept)
    assert (len(orders[1]) + len(orders[2]) < 200) == (kept == 60)
    for history in [[], [BEGIN], *([one] for one in range(3, VOCABULARY)), [BEGIN, 5], [5, 4], [6, 6], [11, 3]]:
        seen = probabilities(orders, history)
        assert seen.sum() == pytest.approx(1.0, abs=1e-9)
        assert seen[BEGIN] == 0.0
        assert np.delete(seen, BEGIN).min() > 0.0


def test_discounts_are_those_of_chen_and_goodman() -> None:
    count = np.repeat([1, 2, 3, 4], [40, 20, 10, 5])
    base = 40 / (40 + 2 * 20)
    expected = [0.0, 1 - 2 * base * 20 / 40, 2 - 3 * base * 10 / 20, 3 - 4 * base * 5 / 10]
    np.testing.assert_allclose(discounts(count), expected)


def test_lower_orders_count_different_words_before_and_not_occurrences() -> None:
    often_after_one = [np.array([3, 4])] * 10
    after_many = [np.array([word, 5]) for word in range(6, 11)]
    orders = estimate(often_after_one + after_many, 2, VOCABULARY)
    assert orders[0].probability[5] > 2 * orders[0].probability[4]


def test_what_matters_least_is_pruned_first(sentences: list[Ids]) -> None:
    orders = estimate(sentences, 2, VOCABULARY)
    scores = importance(orders, 1)
    kept = prune(orders, 20)[1]
    remaining = {(int(a), int(b)) for a, b in zip(kept.context, kept.word, strict=True)}
    best = np.argsort(scores)[::-1][:20]
    assert remaining == {(int(orders[1].context[row]), int(orders[1].word[row])) for row in best}
