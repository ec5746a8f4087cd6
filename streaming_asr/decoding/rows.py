"""What `compiled` knows of beams and words: rows of numbers."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int32]
Reals = npt.NDArray[np.float64]
Integer: TypeAlias = Any
"""A whole number of any width."""

MISSING = -1

# Rows of what is known of beams.
LOGIT, TOTAL = 0, 1
HISTORY, PART, LAST, SPOKEN, START, END = range(6)
BEAM_ROWS = 6

# Rows of unfinished words: a tree, where children are found from FIRST on by NEXT. The vocabulary's words from LOW to
# HIGH begin with the letters, of which there are DEPTH in its case. ODD have a label of more than one letter. HOT is
# the node of the hotwords' tree with the same letters, WHOLE the first of the complete words that end with them.
FIRST, NEXT, TOKEN, PARENT, LENGTH, DEPTH, LOW, HIGH, ODD, HOT, WHOLE = range(11)
PART_ROWS = 11

# Rows of complete words: all scores, those of the language model, those of hotwords; the words BEFORE the last one,
# that WORD, the next words that end with it, how many words and hotwords there are, and behind these the language
# model's state: how many rows it has, and which.
BONUS, LANGUAGE, HOTWORDS = 0, 1, 2
SCORE_ROWS = 3
BEFORE, WORD, ALIKE, DEEP, COUNT, ROWS, STATE = range(7)

# Rows of when the words of a beam were spoken: those before the last one, that one, and its frames.
EARLIER, LATEST, BEGUN, ENDED = range(4)
SPOKEN_ROWS = 4

# Where the scores of words and of letters come from: they are asked for, nothing scores them, or the loop knows.
ASKED, ZERO, KNOWN = range(3)

# What is counted.
BEAMS, REQUESTS, PARTS, HISTORIES, SPOKENS = range(5)


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
        known, unknown: the most that a language model can give to a word, where that is `limited`.
        in_turn: whether the scores of words and of letters are added one after the other.
        spelling, words: where the language model's scores of letters and of words come from.
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
    words: int


class Hotwords(NamedTuple):
    """The beginnings of hotwords as a tree.

    Attributes:
        nodes: (3, nodes), where FIRST, NEXT and TOKEN are as for unfinished words.
        scores: (2, nodes), what an unfinished word earns with these letters, and what a whole one does.
        whole: (nodes,), whether the letters are a hotword.
        uniform: whether all weigh the same, `weight`: these are counted, and `earlier` is what was earned before.
    """

    nodes: Integers
    scores: Reals
    whole: npt.NDArray[np.bool_]
    uniform: bool
    weight: float
    earlier: float


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
    """The beams, and all that they and their forks have read.

    Attributes:
        scores, states: the beams, (2, places) and (6, places).
        parts, part_scores: unfinished words, (11, places) and (places,).
        histories, history_scores: complete words, (6 + state, places) and (3, places).
        spoken: when they were spoken, (4, places).
        tried, tried_scores: what was scored lately and did not matter, (2, slots) and (slots,): complete words and an
            unfinished one, or an unfinished one and -2 - token.
        requests: (places, 3), what is asked for: history, part, token.
        counts: how many there are.
    """

    scores: Reals
    states: Integers
    parts: Integers
    part_scores: Reals
    histories: Integers
    history_scores: Reals
    spoken: Integers
    tried: Integers
    tried_scores: Reals
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
