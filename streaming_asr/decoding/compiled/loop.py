"""The loop over frames, beams and tokens of `BeamSearch`.

Words and their letters are numbers here. `numbered_beams` knows what the numbers stand for: where the loop comes to
something that only Python can score, and that can matter, it stops and asks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from streaming_asr.decoding.compiled.machine import compiled
from streaming_asr.decoding.compiled.words import (
    add_history,
    add_part,
    child_of,
    completed,
    earned_by,
    hotter,
    language_score,
    letters_score,
    range_of,
)
from streaming_asr.decoding.rows import (
    ASKED,
    BEAMS,
    BEGUN,
    BONUS,
    EARLIER,
    END,
    ENDED,
    HISTORIES,
    HISTORY,
    HOT,
    KNOWN,
    LAST,
    LATEST,
    LOGIT,
    MISSING,
    ODD,
    PART,
    PARTS,
    REQUESTS,
    SPOKEN,
    SPOKENS,
    START,
    TOTAL,
    Frames,
    Hotwords,
    Integer,
    Integers,
    Known,
    Levels,
    Reals,
    Rules,
    Scratch,
    Vocabulary,
)

_ROUNDING = 1e-6


@compiled
def log_sum(one: float, other: float) -> float:
    """The logarithm of the sum of two probabilities."""
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
def sort(keys: Reals, order: Integers, spare: Integers, count: int) -> None:
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
    states: Integers, parts: Integers, histories: Integers, beam: int, token: int, opening: bool
) -> tuple[Integer, Integer]:
    """Where a beam leads with a token other than blank and its last one; MISSING what is new."""
    history, part = states[HISTORY, beam], states[PART, beam]
    if not opening:
        return history, child_of(parts, part, token)
    return (history, part) if part == 0 else (completed(parts, histories, history, part), np.int32(0))


@compiled
def _gain(known: Known, rules: Rules, hotwords: Hotwords, part: int, token: int, opening: bool) -> Any:
    """The most that language model and hotwords can add to a beam by a token behind its unfinished word."""
    hot, earned = known.parts[HOT, part], known.part_scores[part]
    if hot == MISSING:
        # Letters with which no word begins stay so.
        if not opening:
            return 0.0
        return rules.known if earned == 0.0 else rules.unknown - earned
    if opening:
        return rules.known + (hotwords.scores[1, hot] if hotwords.whole[hot] else 0.0) - earned
    hot = child_of(hotwords.nodes, hot, token)
    return -earned if hot == MISSING else hotwords.scores[0, hot] - earned


@compiled
def _make(
    known: Known,
    rules: Rules,
    vocabulary: Vocabulary,
    levels: Levels,
    hotwords: Hotwords,
    beam: int,
    token: int,
    score: float,
    least: float,
    rows: Integers,
) -> tuple[float, int, int]:
    """Make what a beam leads to with a token if its total can matter, or ask for it; returns the total and that."""
    history, node = known.states[HISTORY, beam], known.states[PART, beam]
    opening = rules.opens[token]
    if opening:
        asked = rules.words == ASKED or (rules.words == KNOWN and known.parts[ODD, node])
    else:
        asked = rules.spelling == ASKED and hotter(known, hotwords, node, token) == MISSING
    if asked:
        request = known.counts[REQUESTS]
        known.counts[REQUESTS] += 1
        known.requests[request, 0], known.requests[request, 1], known.requests[request, 2] = history, node, token
        return -math.inf, MISSING, MISSING
    logit = known.scores[LOGIT, beam] + score
    before = 0.0 if opening else known.history_scores[BONUS, history]
    # Beams stay for many frames, and come to the same things that do not matter.
    one, other = (history, node) if opening else (node, -2 - token)
    slot = (one * 31 + other * 7919) & (len(known.tried_scores) - 1)
    if known.tried[0, slot] == one and known.tried[1, slot] == other:
        total = logit + (before + known.tried_scores[slot])
        if total < least:
            return total, MISSING, MISSING
    if opening:
        language = language_score(known, vocabulary, levels, history, node, rows) if rules.words == KNOWN else 0.0
        count, earned = earned_by(known, hotwords, history, node)
        more = language + earned
        if logit + more >= least:
            return logit + more, add_history(known, history, node, language, count, earned, rows), 0
    else:
        low, high = range_of(known, vocabulary, node, token) if rules.spelling == KNOWN else (0, 0)
        more = letters_score(known, rules, vocabulary, hotwords, node, token, low < high)
        if logit + (before + more) >= least:
            part = add_part(known, vocabulary, hotwords, node, token, more, low, high)
            return logit + (before + more), history, part
    known.tried[0, slot], known.tried[1, slot], known.tried_scores[slot] = one, other, more
    return logit + (before + more), MISSING, MISSING


@compiled
def _lead(
    known: Known,
    rules: Rules,
    vocabulary: Vocabulary,
    levels: Levels,
    hotwords: Hotwords,
    frames: Frames,
    at: int,
    targets: Integers,
) -> None:
    """Where every beam leads with every token of a frame; MISSING stays what cannot matter or is asked for."""
    states, scores, parts, part_scores = known.states, known.scores, known.parts, known.part_scores
    histories, history_scores, opens = known.histories, known.history_scores, rules.opens
    begin, end, beams = frames.offsets[at], frames.offsets[at + 1], known.counts[BEAMS]
    missing = 0
    best = -math.inf
    for place in range(begin, end):
        token, score = frames.tokens[place], frames.scores[place]
        for beam in range(beams):
            candidate = (place - begin) * beams + beam
            history, part = states[HISTORY, beam], states[PART, beam]
            if token != rules.blank and states[LAST, beam] != token:
                history, part = _follow(states, parts, histories, beam, token, opens[token])
            targets[candidate, 0], targets[candidate, 1] = history, part
            if history == MISSING or part == MISSING:
                missing += 1
            else:
                best = max(best, scores[LOGIT, beam] + score + (history_scores[BONUS, history] + part_scores[part]))
    if missing == 0:
        return
    behind = rules.prune - math.log(2.0 * _most_alike(states, beams)) - _ROUNDING
    rows = np.zeros(len(levels.starts) + 2, np.int32)
    for place in range(begin, end):
        token, score, opening = frames.tokens[place], frames.scores[place], opens[frames.tokens[place]]
        for beam in range(beams):
            candidate = (place - begin) * beams + beam
            if targets[candidate, 0] != MISSING and targets[candidate, 1] != MISSING:
                continue
            least = -math.inf
            # A better beam of the same prefix may have made it by now.
            history, part = _follow(states, parts, histories, beam, token, opening)
            if history == MISSING or part == MISSING:
                matters = True
                if rules.limited:
                    least = best + behind
                    most = scores[TOTAL, beam] + score
                    most += _gain(known, rules, hotwords, states[PART, beam], token, opening)
                    matters = most >= least or beam == 0
                if matters:
                    total, history, part = _make(
                        known, rules, vocabulary, levels, hotwords, beam, token, score, least, rows
                    )
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
                sums[same] = log_sum(sums[same], logit)
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
    sort(scratch.totals, scratch.order, scratch.spare, count)
    return min(count, rules.width)


@compiled
def _keep(known: Known, rules: Rules, frames: Frames, at: int, scratch: Scratch, count: int) -> None:
    """Let the best readings be the beams."""
    frame = frames.number + at
    for rank in range(count):
        reading = scratch.order[rank]
        beam, token = scratch.kept[reading, 0], frames.tokens[scratch.kept[reading, 1]]
        spoken, start, stop = known.states[SPOKEN, beam], known.states[START, beam], known.states[END, beam]
        if token == rules.blank:
            pass
        elif known.states[LAST, beam] == token:
            stop = frame + 1
        elif rules.opens[token]:
            if known.states[PART, beam] != 0:
                place = known.counts[SPOKENS]
                known.counts[SPOKENS] += 1
                known.spoken[EARLIER, place], known.spoken[LATEST, place] = spoken, known.states[PART, beam]
                known.spoken[BEGUN, place], known.spoken[ENDED, place] = start, stop
                spoken = place
            start, stop = -1, -1
        else:
            start, stop = (frame if start < 0 else start), frame + 1
        scratch.scores[LOGIT, rank], scratch.scores[TOTAL, rank] = scratch.logits[reading], scratch.totals[reading]
        scratch.states[HISTORY, rank], scratch.states[PART, rank] = scratch.kept[reading, 2], scratch.kept[reading, 3]
        scratch.states[LAST, rank], scratch.states[SPOKEN, rank] = token, spoken
        scratch.states[START, rank], scratch.states[END, rank] = start, stop
    known.scores[:, :count] = scratch.scores[:, :count]
    known.states[:, :count] = scratch.states[:, :count]
    known.counts[BEAMS] = count


@compiled
def advance(
    index: int,
    frames: Frames,
    rules: Rules,
    vocabulary: Vocabulary,
    levels: Levels,
    hotwords: Hotwords,
    known: Known,
) -> int:
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
        room = min(known.parts.shape[1] - known.counts[PARTS], known.spoken.shape[1] - known.counts[SPOKENS])
        if min(room, known.histories.shape[1] - known.counts[HISTORIES]) < more:
            return at
        _lead(known, rules, vocabulary, levels, hotwords, frames, at, scratch.targets)
        if known.counts[REQUESTS]:
            return at
        found = _add_up(known, rules, frames, at, scratch, stamp)
        stamp += tokens
        _keep(known, rules, frames, at, scratch, _best(known, rules, scratch, found))
    return len(frames.offsets) - 1
