"""Words and their letters as numbers: made, found and scored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streaming_asr.decoding.compiled.machine import compiled
from streaming_asr.decoding.rows import (
    ALIKE,
    BEFORE,
    BONUS,
    COUNT,
    DEEP,
    DEPTH,
    FIRST,
    HIGH,
    HISTORIES,
    HOT,
    HOTWORDS,
    KNOWN,
    LANGUAGE,
    LENGTH,
    LOW,
    MISSING,
    NEXT,
    ODD,
    PARENT,
    PARTS,
    ROWS,
    STATE,
    TOKEN,
    WHOLE,
    WORD,
    Hotwords,
    Integer,
    Integers,
    Known,
    Levels,
    Reals,
    Rules,
    Vocabulary,
)

_NATURAL = 1.0 / math.log10(math.e)
_UNLISTED = -100.0


@compiled
def child_of(nodes: Integers, node: int, token: int) -> Integer:
    """The letters behind others and a token, in a tree of letters; MISSING if they are not there."""
    child = nodes[FIRST, node]
    while child >= 0 and nodes[TOKEN, child] != token:
        child = nodes[NEXT, child]
    return child


@compiled
def completed(parts: Integers, histories: Integers, history: int, part: int) -> Integer:
    """The words that are complete with an unfinished one, or MISSING."""
    found = parts[WHOLE, part]
    while found >= 0 and histories[BEFORE, found] != history:
        found = histories[ALIKE, found]
    return found


@compiled
def _border(vocabulary: Vocabulary, low: int, high: int, depth: int, token: int, behind: bool) -> int:
    """The first word of a range that goes on at `depth` with no less than a label, or, `behind`, with more."""
    while low < high:
        middle = (low + high) // 2
        at, stop = vocabulary.begins[middle] + depth, vocabulary.begins[middle + 1]
        less = behind
        for place in range(vocabulary.label_begins[token], vocabulary.label_begins[token + 1]):
            if at >= stop or vocabulary.letters[at] < vocabulary.labels[place]:
                less = True
                break
            if vocabulary.letters[at] > vocabulary.labels[place]:
                less = False
                break
            at += 1
        if less:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def range_of(known: Known, vocabulary: Vocabulary, node: int, token: int) -> tuple[int, int]:
    """The words of the vocabulary that begin with letters and a token."""
    depth, low, high = known.parts[DEPTH, node], known.parts[LOW, node], known.parts[HIGH, node]
    low = _border(vocabulary, low, high, depth, token, False)
    return low, _border(vocabulary, low, high, depth, token, True)


@compiled
def letters_score(
    known: Known, rules: Rules, vocabulary: Vocabulary, hotwords: Hotwords, node: int, token: int, some: bool
) -> Any:
    """The score of letters and a token, with which `some` word of the vocabulary begins or none."""
    hot = hotter(known, hotwords, node, token)
    if hot != MISSING:
        return hotwords.scores[0, hot]
    if some or rules.spelling != KNOWN:
        return 0.0
    length = known.parts[LENGTH, node] + vocabulary.lengths[token]
    return vocabulary.offset * length / 6 if length > 6 else vocabulary.offset


@compiled
def hotter(known: Known, hotwords: Hotwords, node: int, token: int) -> Integer:
    """The node of the hotwords' tree behind letters and a token; MISSING where no hotword begins so."""
    hot = known.parts[HOT, node]
    return MISSING if hot == MISSING else child_of(hotwords.nodes, hot, token)


@compiled
def add_part(
    known: Known, vocabulary: Vocabulary, hotwords: Hotwords, node: int, token: int, score: float, low: int, high: int
) -> Integer:
    """New letters: those of a node and a token."""
    parts, part = known.parts, known.counts[PARTS]
    known.counts[PARTS] += 1
    known.part_scores[part] = score
    parts[WHOLE, part] = MISSING
    parts[FIRST, part] = MISSING
    parts[NEXT, part], parts[FIRST, node] = parts[FIRST, node], part
    parts[TOKEN, part], parts[PARENT, part] = token, node
    parts[LENGTH, part] = parts[LENGTH, node] + vocabulary.lengths[token]
    parts[DEPTH, part] = parts[DEPTH, node] + vocabulary.label_begins[token + 1] - vocabulary.label_begins[token]
    parts[LOW, part], parts[HIGH, part] = low, high
    parts[ODD, part] = parts[ODD, node] | vocabulary.odd[token]
    parts[HOT, part] = hotter(known, hotwords, node, token)
    return part


@compiled
def _row(levels: Levels, level: int, row: int, number: int) -> Integer:
    """The n-gram of another one, in a row of its level, and a word; or MISSING."""
    children, start = levels.first_starts[level] + row, levels.starts[level + 1]
    low, behind = np.int64(levels.first[children]), np.int64(levels.first[children + 1])
    high = behind
    while low < high:
        middle = (low + high) // 2
        if levels.words[start + middle] < number:
            low = middle + 1
        else:
            high = middle
    return low if low < behind and levels.words[start + low] == number else MISSING


@compiled
def _log10(known: Known, levels: Levels, history: int, number: int, rows: Integers) -> Any:
    """As `Ngrams.score`: the logarithm of a word's probability; `rows` becomes the state, led by its length."""
    state = known.histories[ROWS, history]
    order = len(levels.starts) - 1
    rows[1] = number
    for level in range(state):
        row = known.histories[STATE + level, history]
        rows[2 + level] = MISSING if row == MISSING or number == MISSING else _row(levels, level, row, number)
    rows[0] = min(state + 1, order - 1)
    score = 0.0
    for level in range(state, -1, -1):
        if rows[1 + level] != MISSING:
            return score + levels.log10[levels.starts[level] + rows[1 + level]]
        if level > 0 and known.histories[STATE + level - 1, history] != MISSING:
            score += levels.backoff[levels.starts[level - 1] + known.histories[STATE + level - 1, history]]
    rows[0] = 0
    return score + _UNLISTED


@compiled
def language_score(
    known: Known, vocabulary: Vocabulary, levels: Levels, history: int, part: int, rows: Integers
) -> Any:
    """The language model's score of words and an unfinished one that is complete now."""
    low, high = known.parts[LOW, part], known.parts[HIGH, part]
    listed = low < high and vocabulary.begins[low + 1] - vocabulary.begins[low] == known.parts[DEPTH, part]
    number = vocabulary.numbers[low] if listed else vocabulary.others
    score = _log10(known, levels, history, number, rows)
    if not listed:
        score = score + vocabulary.offset
    weighted = vocabulary.alpha * score * _NATURAL + vocabulary.beta
    return known.history_scores[LANGUAGE, history] + weighted


@compiled
def earned_by(known: Known, hotwords: Hotwords, history: int, part: int) -> tuple[Any, Any]:
    """How many hotwords there are among words and an unfinished one that is complete now, and what they earn."""
    hot = known.parts[HOT, part]
    whole = hot != MISSING and hotwords.whole[hot]
    count = known.histories[COUNT, history] + whole
    if hotwords.uniform:
        # A product rather than a sum, to round as pyctcdecode does.
        return count, hotwords.earlier + hotwords.weight * count
    return count, known.history_scores[HOTWORDS, history] + (hotwords.scores[1, hot] if whole else 0.0)


@compiled
def link(parts: Integers, histories: Integers, history: int) -> None:
    """Let complete words be found from the letters of the last one."""
    part = histories[WORD, history]
    histories[ALIKE, history], parts[WHOLE, part] = parts[WHOLE, part], history


@compiled
def add_history(
    known: Known, history: int, part: int, language: float, count: int, earned: float, rows: Integers
) -> Integer:
    """New complete words: others and an unfinished one; `rows` is their state, led by its length."""
    made = known.counts[HISTORIES]
    known.counts[HISTORIES] += 1
    known.history_scores[BONUS, made] = language + earned
    known.history_scores[LANGUAGE, made], known.history_scores[HOTWORDS, made] = language, earned
    known.histories[BEFORE, made], known.histories[WORD, made] = history, part
    known.histories[DEEP, made], known.histories[COUNT, made] = known.histories[DEEP, history] + 1, count
    known.histories[ROWS, made] = rows[0]
    for row in range(rows[0]):
        known.histories[STATE + row, made] = rows[1 + row]
    link(known.parts, known.histories, made)
    return made


@compiled
def complete(known: Known, hotwords: Hotwords, asked: Integers, scores: Reals, rows: Integers) -> Integers:
    """The words that are complete with unfinished ones, made where they are new with scores that were asked for.

    `asked` has histories and parts, (words, 2) or more, `rows` the language model's states, each led by its length.
    """
    made = np.empty(len(asked), np.int32)
    for place in range(len(asked)):
        history, part = asked[place, 0], asked[place, 1]
        made[place] = completed(known.parts, known.histories, history, part)
        if made[place] == MISSING:
            count, earned = earned_by(known, hotwords, history, part)
            language = known.history_scores[LANGUAGE, history] + scores[place]
            made[place] = add_history(known, history, part, language, count, earned, rows[place])
    return made


@compiled
def lengthen(known: Known, vocabulary: Vocabulary, hotwords: Hotwords, asked: Integers, scores: Reals) -> Integers:
    """The letters of nodes and tokens, (letters, 2), made where they are new with scores that were asked for."""
    made = np.empty(len(asked), np.int32)
    for place in range(len(asked)):
        node, token = asked[place, 0], asked[place, 1]
        made[place] = child_of(known.parts, node, token)
        if made[place] == MISSING:
            low, high = range_of(known, vocabulary, node, token)
            made[place] = add_part(known, vocabulary, hotwords, node, token, scores[place], low, high)
    return made
