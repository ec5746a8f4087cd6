"""What beams have read, as numbers: words, letters of unfinished words, and when they were spoken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from streaming_asr.decoding import rows
from streaming_asr.decoding.letters import Integers
from streaming_asr.decoding.rows import Reals
from streaming_asr.decoding.search import BeamWord

_PLACES: Final = 256
"""Words and parts of words that there is room for at first."""

_SLOTS: Final = 1024
"""Scores that did not matter lately: as many are remembered; a power of 2."""

_MOST_WORDS: Final = 512
_MOST_PARTS: Final = 2048
"""Complete and unfinished words that are kept; when there are more, all that no beam needs are forgotten."""


class NumberedWords:
    """All that a search and its forks have read, in rows that the compiled loop lets grow.

    What is in a row never changes, so forks share it; each goes on behind what the others have added.
    """

    def __init__(self, core: Any, labels: Sequence[str], state_rows: int, places: int | None = None) -> None:
        places = places or _PLACES
        self._core: Final = core
        self._labels: Final = labels
        self._state_rows: Final = state_rows
        self.parts: Integers = np.zeros((rows.PART_ROWS, places), np.int32)
        self.part_scores: Reals = np.zeros(places)
        self.histories: Integers = np.zeros((rows.STATE + state_rows, places), np.int32)
        self.history_scores: Reals = np.zeros((rows.SCORE_ROWS, places))
        self.spoken: Integers = np.zeros((rows.SPOKEN_ROWS, places), np.int32)
        self._tried: Final = np.full((2, _SLOTS), rows.MISSING, np.int32), np.zeros(_SLOTS)
        self.counts: Integers = np.zeros(rows.SPOKENS + 1, np.int32)
        self.states: Final[dict[int, Any]] = {}
        """The language model's states, where they are not rows."""
        self._texts: Final[dict[int, str]] = {0: ""}
        self._told: Final[dict[int, tuple[BeamWord, int]]] = {}
        self._most_words, self._most_parts = _MOST_WORDS, _MOST_PARTS

    def text(self, part: int) -> str:
        """The letters of an unfinished word."""
        text = self._texts.get(part)
        if text is None:
            parent, token = int(self.parts[rows.PARENT, part]), int(self.parts[rows.TOKEN, part])
            text = self._texts[part] = self.text(parent) + self._labels[token]
        return text

    def told(self, spoken: int) -> tuple[BeamWord, int]:
        """A complete word with its frames, and the number of the one before it."""
        found = self._told.get(spoken)
        if found is None:
            earlier, part, start, end = self.spoken[:, spoken].tolist()
            found = self._told[spoken] = BeamWord(self.text(part), start, end), earlier
        return found

    def make_room(self, more: int) -> None:
        """Room for so many more of everything."""
        while self.counts.max() + more > len(self.part_scores):
            self.parts, self.part_scores = np.tile(self.parts, 2), np.tile(self.part_scores, 2)
            self.histories, self.history_scores = np.tile(self.histories, 2), np.tile(self.history_scores, 2)
            self.spoken = np.tile(self.spoken, 2)

    @property
    def is_crowded(self) -> bool:
        """Whether so much was read that what no beam needs is to be forgotten."""
        words = max(self.counts[rows.HISTORIES], self.counts[rows.SPOKENS])
        return bool(words >= self._most_words or self.counts[rows.PARTS] >= self._most_parts)

    def sifted(self, scores: Reals, states: Integers) -> tuple[NumberedWords, Integers]:
        """What beams need of all this, and their states in it."""
        core = self._core
        known = self.known(scores, states)
        parts, histories, spoken = core.needed(known)
        kept = NumberedWords(core, self._labels, self._state_rows, len(self.part_scores))
        states = states.copy()
        core.keep(known, parts, histories, spoken, into := kept.known(scores, states))
        kept.take(into)
        for number, state in self.states.items():
            if histories[number] != rows.MISSING:
                kept.states[int(histories[number])] = state
        # Beams may disagree for long; doubling keeps the cost in proportion to what was made in between.
        kept._most_words = max(2 * int(max(kept.counts[rows.HISTORIES], kept.counts[rows.SPOKENS])), _MOST_WORDS)
        kept._most_parts = max(2 * int(kept.counts[rows.PARTS]), _MOST_PARTS)
        return kept, states

    def known(self, scores: Reals, states: Integers, live: int | None = None, requests: int = 0) -> Any:
        """The beams and what they have read, as the compiled functions take it; of beams, all or `live`."""
        counts = self.counts.copy()
        counts[rows.BEAMS] = scores.shape[1] if live is None else live
        return rows.Known(
            scores,
            states,
            self.parts,
            self.part_scores,
            self.histories,
            self.history_scores,
            self.spoken,
            *self._tried,
            np.empty((requests, 3), np.int32),
            counts,
        )

    def take(self, known: Any) -> None:
        """Note what was added."""
        self.counts[rows.PARTS :] = known.counts[rows.PARTS :]
