"""What is read off the beams: which are alike, what they agree on; and what of all that was read is still needed."""

from __future__ import annotations

import numpy as np

from streaming_asr.decoding.compiled.loop import log_sum, sort
from streaming_asr.decoding.compiled.machine import compiled
from streaming_asr.decoding.compiled.words import completed, earned_by, link
from streaming_asr.decoding.rows import (
    BEAMS,
    BEFORE,
    DEEP,
    EARLIER,
    FIRST,
    HISTORIES,
    HISTORY,
    HOTWORDS,
    LATEST,
    LOGIT,
    MISSING,
    NEXT,
    PARENT,
    PART,
    PARTS,
    SPOKEN,
    SPOKENS,
    TOTAL,
    WHOLE,
    WORD,
    Hotwords,
    Integer,
    Integers,
    Known,
    Reals,
)


@compiled
def endings(known: Known, hotwords: Hotwords) -> tuple[Integers, Reals]:
    """What is read if each beam's last word is complete: its number, or that of complete and of unfinished words where
    it is new, (2, beams); and what hotwords earn then, (beams,).
    """
    beams = known.counts[BEAMS]
    keys, earned = np.empty((2, beams), np.int32), np.empty(beams)
    for beam in range(beams):
        history, part = known.states[HISTORY, beam], known.states[PART, beam]
        whole = history if part == 0 else completed(known.parts, known.histories, history, part)
        if whole == MISSING:
            keys[0, beam], keys[1, beam] = history, part
            _, earned[beam] = earned_by(known, hotwords, history, part)
        else:
            keys[0, beam], keys[1, beam] = whole, 0
            earned[beam] = known.history_scores[HOTWORDS, whole]
    return keys, earned


@compiled
def readings(known: Known, keys: Integers) -> tuple[Integers, Reals]:
    """The different readings, best first: a beam of each, (readings,), and scores, (2, beams).

    Beams of the same `keys` are one. Row LOGIT has what they add up to, row TOTAL that with the other scores, both by
    the number of the beam.
    """
    beams = known.counts[BEAMS]
    scores, order, spare = np.empty((2, beams)), np.empty(beams, np.int32), np.empty(beams, np.int32)
    found = 0
    for beam in range(beams):
        first = 0
        while first < found and (keys[0, order[first]] != keys[0, beam] or keys[1, order[first]] != keys[1, beam]):
            first += 1
        logit = known.scores[LOGIT, beam]
        if first < found:
            scores[LOGIT, order[first]] = log_sum(scores[LOGIT, order[first]], logit)
        else:
            order[found] = beam
            scores[LOGIT, beam], scores[TOTAL, beam] = logit, known.scores[TOTAL, beam] - logit
            found += 1
    for reading in range(found):
        beam = order[reading]
        scores[TOTAL, beam] = scores[LOGIT, beam] + scores[TOTAL, beam]
    sort(scores[TOTAL], order, spare, found)
    return order[:found], scores


@compiled
def _shared_by_two(histories: Integers, one: int, other: int) -> Integer:
    while one != other:
        ahead = histories[DEEP, one] - histories[DEEP, other]
        if ahead >= 0:
            one = histories[BEFORE, one]
        if ahead <= 0:
            other = histories[BEFORE, other]
    return one


@compiled
def shared(known: Known) -> Integer:
    """The longest complete words with which all beams begin."""
    one = known.states[HISTORY, 0]
    for beam in range(1, known.counts[BEAMS]):
        one = _shared_by_two(known.histories, one, known.states[HISTORY, beam])
    return one


@compiled
def depths(known: Known, order: Integers) -> Integers:
    """How many complete words each of some beams shares with the first of them, (beams,)."""
    found = np.empty(len(order), np.int32)
    for place in range(len(order)):
        both = _shared_by_two(known.histories, known.states[HISTORY, order[0]], known.states[HISTORY, order[place]])
        found[place] = known.histories[DEEP, both]
    return found


@compiled
def beginnings(known: Known, words: int) -> Integers:
    """The first so many complete words of each beam, (beams,): the words that all have stand for fewer than these.

    MISSING where there are not as many.
    """
    histories, found = known.histories, np.empty(known.counts[BEAMS], np.int32)
    for beam in range(known.counts[BEAMS]):
        history = known.states[HISTORY, beam]
        if histories[DEEP, history] < words:
            history = MISSING
        while history > 0 and histories[DEEP, history] > words:
            history = histories[BEFORE, history]
        found[beam] = history
    return found


@compiled
def needed(known: Known) -> tuple[Integers, Integers, Integers]:
    """What the beams need of all that was read: new numbers of unfinished words, complete words and when they were
    spoken, each (places,); MISSING for what no beam needs.
    """
    parts = np.full(known.counts[PARTS], MISSING, np.int32)
    histories = np.full(known.counts[HISTORIES], MISSING, np.int32)
    spoken = np.full(known.counts[SPOKENS], MISSING, np.int32)
    parts[0] = histories[0] = 0
    for beam in range(known.counts[BEAMS]):
        parts[known.states[PART, beam]] = histories[known.states[HISTORY, beam]] = 0
        if known.states[SPOKEN, beam] != MISSING:
            spoken[known.states[SPOKEN, beam]] = 0
    # What is needed for something was there before it.
    for number in range(len(histories) - 1, 0, -1):
        if histories[number] != MISSING:
            histories[known.histories[BEFORE, number]] = parts[known.histories[WORD, number]] = 0
    for number in range(len(spoken) - 1, -1, -1):
        if spoken[number] != MISSING:
            parts[known.spoken[LATEST, number]] = 0
            if known.spoken[EARLIER, number] != MISSING:
                spoken[known.spoken[EARLIER, number]] = 0
    for number in range(len(parts) - 1, 0, -1):
        if parts[number] != MISSING:
            parts[known.parts[PARENT, number]] = 0
    _count(parts)
    _count(histories)
    _count(spoken)
    return parts, histories, spoken


@compiled
def _count(numbers: Integers) -> None:
    """Number what is needed."""
    count = 0
    for place in range(len(numbers)):
        if numbers[place] != MISSING:
            numbers[place] = count
            count += 1


@compiled
def keep(known: Known, parts: Integers, histories: Integers, spoken: Integers, into: Known) -> None:
    """Copy what is needed, by its new numbers, into rows that have room for it, and the beams with it."""
    for number in range(len(parts)):
        new = parts[number]
        if new != MISSING:
            into.parts[:, new], into.part_scores[new] = known.parts[:, number], known.part_scores[number]
            into.parts[FIRST, new] = into.parts[WHOLE, new] = MISSING
            if number > 0:
                parent = parts[known.parts[PARENT, number]]
                into.parts[PARENT, new] = parent
                into.parts[NEXT, new], into.parts[FIRST, parent] = into.parts[FIRST, parent], new
            into.counts[PARTS] = new + 1
    for number in range(len(histories)):
        new = histories[number]
        if new != MISSING:
            into.histories[:, new] = known.histories[:, number]
            into.history_scores[:, new] = known.history_scores[:, number]
            if number > 0:
                into.histories[BEFORE, new] = histories[known.histories[BEFORE, number]]
                into.histories[WORD, new] = parts[known.histories[WORD, number]]
                link(into.parts, into.histories, new)
            into.counts[HISTORIES] = new + 1
    for number in range(len(spoken)):
        new = spoken[number]
        if new != MISSING:
            into.spoken[:, new] = known.spoken[:, number]
            into.spoken[LATEST, new] = parts[known.spoken[LATEST, number]]
            if known.spoken[EARLIER, number] != MISSING:
                into.spoken[EARLIER, new] = spoken[known.spoken[EARLIER, number]]
            into.counts[SPOKENS] = new + 1
    for beam in range(known.counts[BEAMS]):
        into.states[HISTORY, beam] = histories[known.states[HISTORY, beam]]
        into.states[PART, beam] = parts[known.states[PART, beam]]
        if known.states[SPOKEN, beam] != MISSING:
            into.states[SPOKEN, beam] = spoken[known.states[SPOKEN, beam]]
