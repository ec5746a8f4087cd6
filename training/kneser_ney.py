"""Modified Kneser-Ney estimation and entropy pruning of word n-grams, in numpy.

Sources: Chen and Goodman 1998 (interpolated, three discounts per order), Stolcke 1998 (relative entropy pruning).
An n-gram of order n is a row: the row of its first n - 1 words among the n-grams of order n - 1 (`context`), its last
word, and the row of its last n - 1 words (`suffix`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

UNKNOWN: Final = 0
BEGIN: Final = 1
END: Final = 2


@dataclass(frozen=True)
class Order:
    """All n-grams of one order, shape (n-grams,) each; probabilities are interpolated, not logarithms.

    `raw` counts occurrences, `count` is what Kneser-Ney estimates from: occurrences for the highest order and behind
    <s>, else the number of different words before. `weight` is the back-off weight of the n-gram as a context.
    """

    context: Ids
    word: Ids
    suffix: Ids
    raw: Ids
    count: Ids
    probability: Reals
    weight: Reals

    def __len__(self) -> int:
        return len(self.word)


def count_orders(sentences: Sequence[Ids], highest: int, vocabulary: int) -> list[Order]:
    """The n-grams of order 1 to `highest` of sentences, each (words,) of ids above `END` or `UNKNOWN`."""
    words = np.concatenate([np.concatenate(([BEGIN], sentence, [END])) for sentence in sentences]).astype(np.int64)
    sentence = np.repeat(np.arange(len(sentences)), [len(one) + 2 for one in sentences])
    unigrams = np.bincount(words, minlength=vocabulary).astype(np.int64)
    everything = np.arange(vocabulary, dtype=np.int64)
    orders = [_order(np.zeros(vocabulary, np.int64), everything, np.zeros(vocabulary, np.int64), unigrams)]
    rows = words
    for order in range(2, highest + 1):
        ends = np.flatnonzero(sentence[order - 1 :] == sentence[: len(sentence) - order + 1]) + order - 1
        keys, inverse, raw = np.unique(
            rows[ends - 1] * vocabulary + words[ends], return_inverse=True, return_counts=True
        )
        suffix = np.empty(len(keys), np.int64)
        suffix[inverse] = rows[ends] if order > 2 else words[ends]
        orders.append(_order(keys // vocabulary, keys % vocabulary, suffix, raw.astype(np.int64)))
        rows = np.full(len(words), -1, np.int64)
        rows[ends] = inverse
    return [_adjusted(orders, index) for index in range(len(orders))]


def _order(context: Ids, word: Ids, suffix: Ids, raw: Ids) -> Order:
    nothing = np.zeros(len(word))
    return Order(context, word, suffix, raw, raw, nothing, np.ones(len(word)))


def _adjusted(orders: Sequence[Order], index: int) -> Order:
    """Continuation counts below the highest order; what begins with <s> has nothing before it and keeps its count."""
    order = orders[index]
    if index == len(orders) - 1:
        return order
    different = np.bincount(orders[index + 1].suffix, minlength=len(order)).astype(np.int64)
    return replace(order, count=np.where(_begins(orders, index), order.raw, different))


def _begins(orders: Sequence[Order], index: int) -> npt.NDArray[np.bool_]:
    """Whether each n-gram begins with <s>."""
    first = orders[0].word
    for order in orders[1 : index + 1]:
        first = first[order.context]
    begins: npt.NDArray[np.bool_] = first == BEGIN
    return begins


def discounts(count: Ids) -> Reals:
    """The discounts of counts 0, 1, 2 and 3 or more, (4,); small data without such counts gets half of each count."""
    ones, twos, threes, fours = (float(np.sum(count == number)) for number in (1, 2, 3, 4))
    if min(ones, twos, threes, fours) == 0:
        return np.array([0.0, 0.5, 0.5, 0.5])
    base = ones / (ones + 2 * twos)
    estimated = [0.0, 1 - 2 * base * twos / ones, 2 - 3 * base * threes / twos, 3 - 4 * base * fours / threes]
    clipped: npt.NDArray[np.float64] = np.clip(np.array(estimated), 0.0, [0.0, 0.99, 1.99, 2.99])
    return clipped


def estimate(sentences: Sequence[Ids], highest: int, vocabulary: int) -> list[Order]:
    """Interpolated modified Kneser-Ney of every order; of <s> only the back-off weight means something."""
    counted = count_orders(sentences, highest, vocabulary)
    estimated: list[Order] = []
    for index, order in enumerate(counted):
        is_word = order.word != BEGIN if index == 0 else np.ones(len(order), np.bool_)
        count = np.where(is_word, order.count, 0)
        contexts = 1 if index == 0 else len(counted[index - 1])
        discount = discounts(count)[np.minimum(count, 3)]
        total = np.bincount(order.context, weights=count, minlength=contexts)
        left_over = np.bincount(order.context, weights=discount, minlength=contexts)
        weight = np.divide(left_over, total, out=np.ones(contexts), where=total > 0)
        lower = 1.0 / (vocabulary - 1) if index == 0 else estimated[index - 1].probability[order.suffix]
        own = np.divide(count - discount, total[order.context], out=np.zeros(len(order)), where=count > 0)
        probability = np.where(is_word, own + weight[order.context] * lower, 0.0)
        estimated.append(replace(order, probability=probability))
        if index:
            estimated[index - 1] = replace(estimated[index - 1], weight=weight)
    return estimated


def importance(orders: Sequence[Order], index: int) -> Reals:
    """How much the training data would lose, in nats per word, without each n-gram of an order alone."""
    order, contexts = orders[index], orders[index - 1]
    lower = orders[index - 1].probability[order.suffix]
    explicit, explained = _explicit(orders, index)
    rest, lower_rest = np.maximum(1 - explicit, 1e-12), np.maximum(1 - explained, 1e-12)
    old = np.log(contexts.weight[order.context])
    new = np.log((rest[order.context] + order.probability) / (lower_rest[order.context] + lower))
    changed = order.probability * (np.log(lower) + new - np.log(order.probability)) + rest[order.context] * (new - old)
    return np.asarray(-contexts.raw[order.context] / orders[0].raw.sum() * changed)


def prune(orders: Sequence[Order], kept: int) -> list[Order]:
    """Keeps the unigrams, the `kept` most important longer n-grams and the contexts of what is kept."""
    scores = [np.full(len(orders[0]), np.inf), *(importance(orders, index) for index in range(1, len(orders)))]
    longer = np.concatenate(scores[1:])
    if kept < len(longer):
        limit = np.partition(longer, len(longer) - kept)[len(longer) - kept]
        keep = [score >= limit for score in scores]
    else:
        keep = [np.ones(len(score), np.bool_) for score in scores]
    for index in range(len(orders) - 1, 0, -1):
        keep[index - 1][orders[index].context[keep[index]]] = True
        keep[index - 1][orders[index].suffix[keep[index]]] = True
    return with_weights([_selected(orders, keep, index) for index in range(len(orders))])


def _selected(orders: Sequence[Order], keep: Sequence[npt.NDArray[np.bool_]], index: int) -> Order:
    order, chosen = orders[index], keep[index]
    fields = {name: getattr(order, name)[chosen] for name in Order.__dataclass_fields__}
    if index:
        moved = np.cumsum(keep[index - 1]) - 1
        fields |= {name: moved[fields[name]] for name in ("context", "suffix")}
    return Order(**fields)


def with_weights(orders: Sequence[Order]) -> list[Order]:
    """Back-off weights that make the probabilities behind every context sum to one."""
    weighted = list(orders)
    for index in range(1, len(orders)):
        explicit, explained = _explicit(weighted, index)
        weight = np.maximum(1 - explicit, 1e-9) / np.maximum(1 - explained, 1e-9)
        weighted[index - 1] = replace(weighted[index - 1], weight=weight)
    return weighted


def _explicit(orders: Sequence[Order], index: int) -> tuple[Reals, Reals]:
    """For each context: the summed probability of its n-grams, and what the order below gives to the same words."""
    order, contexts = orders[index], len(orders[index - 1])
    lower = orders[index - 1].probability[order.suffix]
    own, explained = (
        np.bincount(order.context, weights=values, minlength=contexts).astype(np.float64)
        for values in (order.probability, lower)
    )
    return own, explained
