"""The loop over frames, beams and tokens of `BeamSearch`, for numba to compile; imported only where numba is installed.

Words and their letters are numbers here. `compiled` knows what the numbers stand for: where the loop comes to something
that only Python can score, and that can matter, it stops and asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Integers = npt.NDArray[np.int32]
Reals = npt.NDArray[np.float64]
Integer: TypeAlias = Any
"""A whole number of any width."""

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, and keep the machine code on disk, if there is a place for it."""
    try:
        made: Function = njit(function, cache=True)
    except RuntimeError:
        made = njit(function)
    return made


MISSING = -1
_ROUNDING = 1e-6
_NATURAL = 1.0 / math.log10(math.e)
_UNLISTED = -100.0

# Rows of what is known of beams.
LOGIT, TOTAL = 0, 1
HISTORY, PART, LAST, FRAMES, START, END = range(6)

# Rows of unfinished words: a tree, where children are found from FIRST on by NEXT. The vocabulary's words from LOW to
# HIGH begin with the letters, of which there are DEPTH in its case. ODD have a label of more than one letter.
FIRST, NEXT, TOKEN, PARENT, LENGTH, DEPTH, LOW, HIGH, ODD = range(9)
PART_ROWS = 9

# Rows of complete words: the score of language model and hotwords, that of the language model alone; the words before
# the last one, that one, and behind these the language model's state: how many rows it has, and which.
BONUS, LANGUAGE = 0, 1
BEFORE, WORD, ROWS, STATE = range(4)

# Where the scores of unfinished words come from.
ASKED, ZERO, VOCABULARY = range(3)

# What is counted.
BEAMS, PARTS, HISTORIES, EDGES, SPOKEN, REQUESTS = range(6)


class Frames(NamedTuple):
    """Where the `tokens` of each frame and their scores begin, (frames + 1,); `number` is that of frame 0."""

    offsets: Integers
    tokens: Integers
    scores: Reals
    number: int


class Rules(NamedTuple):
    """What holds for a whole search.

    Attributes:
        opens: (labels,), which tokens end a word.
        blank: the token of blank; `width` beams are kept that are at most -`prune` below the best.
        known, unknown: the most that a word can score, where that is `limited`.
        in_turn: whether the scores of words and of letters are added one after the other.
        spelling: where the scores of letters come from.
        modelled: whether words are scored here, by `Ngrams`.
    """

    opens: npt.NDArray[np.bool_]
    blank: int
    width: int
    prune: float
    limited: bool
    known: float
    unknown: float
    in_turn: bool
    spelling: int
    modelled: bool


class Vocabulary(NamedTuple):
    """The words that a language model knows, in alphabetical order, and the labels in the same case.

    Attributes:
        letters, begins: the words' letters, and where each word begins, (words + 1,).
        labels, label_begins: the same of the labels.
        lengths: of the labels as they are; `odd` are those of more than one letter.
        numbers: of the words in the language model; `others` is that of all other words.
        offset: what is lost by others, and by letters with which no word begins.
        alpha, beta: the weights of the language model.
    """

    letters: Integers
    begins: Integers
    labels: Integers
    label_begins: Integers
    lengths: Integers
    odd: Integers
    numbers: Integers
    others: int
    offset: float
    alpha: float
    beta: float


class Levels(NamedTuple):
    """N-grams of all orders in a row; those of an order begin at `starts`, and their children at `first_starts`."""

    words: npt.NDArray[np.uint32]
    log10: npt.NDArray[np.float32]
    backoff: npt.NDArray[np.float32]
    first: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    first_starts: npt.NDArray[np.int64]


class Known(NamedTuple):
    """What grows in a push.

    Attributes:
        scores, states: the beams, (2, places) and (6, places).
        parts, part_scores: unfinished words, (9, places) and (places,).
        histories, history_scores: complete words, (3 + state, places) and (2, places).
        first, edges: from a part by its edges (next edge, history before it, history with it) to complete words.
        spoken: (3, places), the frames of words: words before it, start, end.
        requests: (places, 3), what is asked for: history, part, token.
        counts: how many there are.
    """

    scores: Reals
    states: Integers
    parts: Integers
    part_scores: Reals
    histories: Integers
    history_scores: Reals
    first: Integers
    edges: Integers
    spoken: Integers
    requests: Integers
    counts: Integers


class Scratch(NamedTuple):
    """Room for the candidates of a frame."""

    targets: Integers
    kept: Integers
    logits: Reals
    totals: Reals
    order: Integers
    spare: Integers
    slots: Integers
    used: Integers
    scores: Reals
    states: Integers


@compiled
def _child(parts: Integers, node: int, token: int) -> Integer:
    """The unfinished word behind another one and a token, or MISSING."""
    child = parts[FIRST, node]
    while child >= 0 and parts[TOKEN, child] != token:
        child = parts[NEXT, child]
    return child


@compiled
def _completed(first: Integers, edges: Integers, history: int, part: int) -> Integer:
    """The words that are complete with an unfinished one, or MISSING."""
    edge = first[part]
    while edge >= 0 and edges[1, edge] != history:
        edge = edges[0, edge]
    return MISSING if edge < 0 else edges[2, edge]


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
def _range(known: Known, vocabulary: Vocabulary, node: int, token: int) -> tuple[int, int]:
    """The words of the vocabulary that begin with letters and a token."""
    depth, low, high = known.parts[DEPTH, node], known.parts[LOW, node], known.parts[HIGH, node]
    low = _border(vocabulary, low, high, depth, token, False)
    return low, _border(vocabulary, low, high, depth, token, True)


@compiled
def _spelled(known: Known, vocabulary: Vocabulary, node: int, token: int, some: bool) -> float:
    """The score of letters and a token, with which `some` word begins or none."""
    if some:
        return 0.0
    length = known.parts[LENGTH, node] + vocabulary.lengths[token]
    return vocabulary.offset * length / 6 if length > 6 else vocabulary.offset


@compiled
def _add_part(
    known: Known, vocabulary: Vocabulary, node: int, token: int, score: float, low: int, high: int
) -> Integer:
    parts, part = known.parts, known.counts[PARTS]
    known.counts[PARTS] += 1
    known.part_scores[part] = score
    known.first[part] = MISSING
    parts[FIRST, part] = MISSING
    parts[NEXT, part], parts[FIRST, node] = parts[FIRST, node], part
    parts[TOKEN, part], parts[PARENT, part] = token, node
    parts[LENGTH, part] = parts[LENGTH, node] + vocabulary.lengths[token]
    parts[DEPTH, part] = parts[DEPTH, node] + vocabulary.label_begins[token + 1] - vocabulary.label_begins[token]
    parts[LOW, part], parts[HIGH, part] = low, high
    parts[ODD, part] = parts[ODD, node] | vocabulary.odd[token]
    return part


@compiled
def longer(known: Known, vocabulary: Vocabulary, node: int, token: int, score: float) -> Integer:
    """The unfinished word behind another one and a token; where it is new, it has this score."""
    part = _child(known.parts, node, token)
    if part == MISSING:
        low, high = _range(known, vocabulary, node, token)
        part = _add_part(known, vocabulary, node, token, score, low, high)
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
def _language(known: Known, vocabulary: Vocabulary, levels: Levels, history: int, part: int, rows: Integers) -> Any:
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
def link(known: Known, history: int, part: int, completed: int) -> None:
    """Note what words are complete with an unfinished one."""
    edge = known.counts[EDGES]
    known.counts[EDGES] += 1
    known.edges[0, edge], known.edges[1, edge], known.edges[2, edge] = known.first[part], history, completed
    known.first[part] = edge


@compiled
def _add_history(known: Known, history: int, part: int, language: float, rows: Integers) -> Integer:
    completed = known.counts[HISTORIES]
    known.counts[HISTORIES] += 1
    known.history_scores[BONUS, completed] = known.history_scores[LANGUAGE, completed] = language
    known.histories[BEFORE, completed], known.histories[WORD, completed] = history, part
    for row in range(rows[0] + 1):
        known.histories[ROWS + row, completed] = rows[row]
    link(known, history, part, completed)
    return completed


@compiled
def _log_sum(one: float, other: float) -> float:
    upper, lower = (one, other) if one >= other else (other, one)
    return upper + math.log(1 + math.exp(lower - upper))


@compiled
def _most_alike(states: Integers, beams: int) -> int:
    """How many beams share a prefix at most."""
    most = 1
    for beam in range(beams):
        alike = 1
        for other in range(beam + 1, beams):
            alike += states[HISTORY, beam] == states[HISTORY, other] and states[PART, beam] == states[PART, other]
        most = max(most, alike)
    return most


@compiled
def _sort(keys: Reals, order: Integers, spare: Integers, count: int) -> None:
    """Sort numbers of keys by falling key, equal ones in their order: merges of runs of doubling length."""
    width = 1
    while width < count:
        for left in range(0, count, 2 * width):
            middle, right = min(left + width, count), min(left + 2 * width, count)
            one, other = left, middle
            for place in range(left, right):
                if one < middle and (other >= right or keys[order[one]] >= keys[order[other]]):
                    spare[place] = order[one]
                    one += 1
                else:
                    spare[place] = order[other]
                    other += 1
        order[:count] = spare[:count]
        width *= 2


@compiled
def _follow(
    states: Integers, parts: Integers, first: Integers, edges: Integers, beam: int, token: int, opening: bool
) -> tuple[Integer, Integer]:
    """Where a beam leads with a token other than blank and its last one; MISSING what is new."""
    history, part = states[HISTORY, beam], states[PART, beam]
    if not opening:
        return history, _child(parts, part, token)
    return (history, part) if part == 0 else (_completed(first, edges, history, part), np.int32(0))


@compiled
def _make(
    known: Known,
    rules: Rules,
    vocabulary: Vocabulary,
    levels: Levels,
    beam: int,
    token: int,
    score: float,
    least: float,
    rows: Integers,
) -> tuple[float, int, int]:
    """Make what a beam leads to with a token if its total can matter, or ask for it; returns the total and that."""
    history, node = known.states[HISTORY, beam], known.states[PART, beam]
    opening = rules.opens[token]
    here = rules.modelled and not known.parts[ODD, node] if opening else rules.spelling != ASKED
    if not here:
        request = known.counts[REQUESTS]
        known.counts[REQUESTS] += 1
        known.requests[request, 0], known.requests[request, 1], known.requests[request, 2] = history, node, token
        return -math.inf, MISSING, MISSING
    logit = known.scores[LOGIT, beam] + score
    if opening:
        language = _language(known, vocabulary, levels, history, node, rows)
        total = logit + language
        made = _add_history(known, history, node, language, rows) if total >= least else MISSING
        return total, made, 0
    low, high, letters = 0, 0, 0.0
    if rules.spelling == VOCABULARY:
        low, high = _range(known, vocabulary, node, token)
        letters = _spelled(known, vocabulary, node, token, low < high)
    total = logit + (known.history_scores[BONUS, history] + letters)
    made = _add_part(known, vocabulary, node, token, letters, low, high) if total >= least else MISSING
    return total, history, made


@compiled
def _lead(
    known: Known, rules: Rules, vocabulary: Vocabulary, levels: Levels, frames: Frames, at: int, targets: Integers
) -> None:
    """Where every beam leads with every token of a frame; MISSING stays what cannot matter or is asked for."""
    states, scores, parts, part_scores = known.states, known.scores, known.parts, known.part_scores
    history_scores, first, edges, opens = known.history_scores, known.first, known.edges, rules.opens
    begin, end, beams = frames.offsets[at], frames.offsets[at + 1], known.counts[BEAMS]
    missing = 0
    best = -math.inf
    for place in range(begin, end):
        token, score = frames.tokens[place], frames.scores[place]
        for beam in range(beams):
            candidate = (place - begin) * beams + beam
            history, part = states[HISTORY, beam], states[PART, beam]
            if token != rules.blank and states[LAST, beam] != token:
                history, part = _follow(states, parts, first, edges, beam, token, opens[token])
            targets[candidate, 0], targets[candidate, 1] = history, part
            if history == MISSING or part == MISSING:
                missing += 1
            else:
                best = max(best, scores[LOGIT, beam] + score + (history_scores[BONUS, history] + part_scores[part]))
    if missing == 0:
        return
    behind = rules.prune - math.log(2.0 * _most_alike(states, beams)) - _ROUNDING
    rows = np.empty(len(levels.starts) + 2, np.int32)
    for place in range(begin, end):
        token, score, opening = frames.tokens[place], frames.scores[place], opens[frames.tokens[place]]
        for beam in range(beams):
            candidate = (place - begin) * beams + beam
            if targets[candidate, 0] != MISSING and targets[candidate, 1] != MISSING:
                continue
            least = -math.inf
            if rules.limited:
                least, most = best + behind, scores[TOTAL, beam] + score
                if opening:
                    earned = part_scores[states[PART, beam]]
                    most += rules.known if earned == 0.0 else rules.unknown - earned
                if most < least and beam > 0:
                    # A better beam of the same prefix may have made it by now.
                    history, part = _follow(states, parts, first, edges, beam, token, opening)
                    targets[candidate, 0], targets[candidate, 1] = history, part
                    continue
            history, part = _follow(states, parts, first, edges, beam, token, opening)
            if history == MISSING or part == MISSING:
                total, history, part = _make(known, rules, vocabulary, levels, beam, token, score, least, rows)
                best = max(best, total)
            targets[candidate, 0], targets[candidate, 1] = history, part


@compiled
def _add_up(known: Known, rules: Rules, frames: Frames, at: int, scratch: Scratch, stamp: int) -> int:
    """Make readings of a frame's candidates: equal ones of one token are added up, the last one gives the frames."""
    begin, end, beams = frames.offsets[at], frames.offsets[at + 1], known.counts[BEAMS]
    scores, tokens, targets, sums = known.scores, frames.scores, scratch.targets, scratch.logits
    kept, slots, used, mask = scratch.kept, scratch.slots, scratch.used, len(scratch.slots) - 1
    found = 0
    for place in range(begin, end):
        stamp += 1
        for beam in range(beams):
            candidate = (place - begin) * beams + beam
            history, part = targets[candidate, 0], targets[candidate, 1]
            if history == MISSING or part == MISSING:
                continue
            logit = scores[LOGIT, beam] + tokens[place]
            slot = (history * 31 + part * 7919) & mask
            while used[slot] == stamp and (kept[slots[slot], 2] != history or kept[slots[slot], 3] != part):
                slot = (slot + 1) & mask
            if used[slot] == stamp:
                same = slots[slot]
                sums[same] = _log_sum(sums[same], logit)
                kept[same, 0] = beam
            else:
                used[slot], slots[slot] = stamp, found
                sums[found] = logit
                kept[found, 0], kept[found, 1] = beam, place
                kept[found, 2], kept[found, 3] = history, part
                found += 1
    return found


@compiled
def _best(known: Known, rules: Rules, scratch: Scratch, found: int) -> int:
    """Order the readings; how many of them are kept."""
    top = -math.inf
    for reading in range(found):
        bonus = known.history_scores[BONUS, scratch.kept[reading, 2]]
        letters = known.part_scores[scratch.kept[reading, 3]]
        logit = scratch.logits[reading]
        scratch.totals[reading] = logit + bonus + letters if rules.in_turn else logit + (bonus + letters)
        top = max(top, scratch.totals[reading])
    floor = top + rules.prune
    count = 0
    for reading in range(found):
        if scratch.totals[reading] >= floor:
            scratch.order[count] = reading
            count += 1
    _sort(scratch.totals, scratch.order, scratch.spare, count)
    return min(count, rules.width)


@compiled
def _keep(known: Known, rules: Rules, frames: Frames, at: int, scratch: Scratch, count: int) -> None:
    """Let the best readings be the beams."""
    frame = frames.number + at
    for rank in range(count):
        reading = scratch.order[rank]
        beam, token = scratch.kept[reading, 0], frames.tokens[scratch.kept[reading, 1]]
        spoken, start, stop = known.states[FRAMES, beam], known.states[START, beam], known.states[END, beam]
        if token == rules.blank:
            pass
        elif known.states[LAST, beam] == token:
            stop = frame + 1
        elif rules.opens[token]:
            if known.states[PART, beam] != 0:
                place = known.counts[SPOKEN]
                known.counts[SPOKEN] += 1
                known.spoken[0, place], known.spoken[1, place], known.spoken[2, place] = spoken, start, stop
                spoken = place
            start, stop = -1, -1
        else:
            start, stop = (frame if start < 0 else start), frame + 1
        scratch.scores[LOGIT, rank], scratch.scores[TOTAL, rank] = scratch.logits[reading], scratch.totals[reading]
        scratch.states[HISTORY, rank], scratch.states[PART, rank] = scratch.kept[reading, 2], scratch.kept[reading, 3]
        scratch.states[LAST, rank], scratch.states[FRAMES, rank] = token, spoken
        scratch.states[START, rank], scratch.states[END, rank] = start, stop
    known.scores[:, :count] = scratch.scores[:, :count]
    known.states[:, :count] = scratch.states[:, :count]
    known.counts[BEAMS] = count


@compiled
def advance(index: int, frames: Frames, rules: Rules, vocabulary: Vocabulary, levels: Levels, known: Known) -> int:
    """Read frames from number `index` on, until all are read, something is asked for, or there is no room for more.

    Returns the frame that is next.
    """
    places, size = len(known.requests), 1
    while size < 4 * known.scores.shape[1]:
        size *= 2
    scratch = Scratch(
        np.empty((places, 2), np.int32),
        np.empty((places, 4), np.int32),
        np.empty(places, np.float64),
        np.empty(places, np.float64),
        np.empty(places, np.int32),
        np.empty(places, np.int32),
        np.empty(size, np.int32),
        np.zeros(size, np.int32),
        np.empty_like(known.scores),
        np.empty_like(known.states),
    )
    known.counts[REQUESTS] = 0
    stamp = 0
    for at in range(index, len(frames.offsets) - 1):
        tokens = frames.offsets[at + 1] - frames.offsets[at]
        more = tokens * known.counts[BEAMS]
        room = min(known.parts.shape[1] - known.counts[PARTS], known.edges.shape[1] - known.counts[EDGES])
        if min(room, known.histories.shape[1] - known.counts[HISTORIES]) < more:
            return at
        _lead(known, rules, vocabulary, levels, frames, at, scratch.targets)
        if known.counts[REQUESTS]:
            return at
        found = _add_up(known, rules, frames, at, scratch, stamp)
        stamp += tokens
        _keep(known, rules, frames, at, scratch, _best(known, rules, scratch, found))
    return len(frames.offsets) - 1
