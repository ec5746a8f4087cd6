"""Hotwords in scripts without spaces: found anywhere in a text, character by character."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PhraseState:
    """What a text has earned: `earned` by whole phrases, and `promised` by `begun`, characters that one begins with.

    What is promised is taken back where the text goes on otherwise.
    """

    begun: str = ""
    earned: float = 0.0
    promised: float = 0.0

    @property
    def score(self) -> float:
        """Both together."""
        return self.earned + self.promised


NOTHING: Final = PhraseState()


_REMEMBERED: Final = 65_536
"""Ways to go on that are remembered; when there are more, all are forgotten."""


class Phrases:
    """Phrases with their weights. Where one begins with another, the longer one earns what it is worth more."""

    __slots__ = ("_behind", "_values", "_whole")

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._whole: Final = dict(weights)
        self._values: Final = _values(weights)
        self._behind: dict[tuple[str, str], PhraseState] = {}

    def __bool__(self) -> bool:
        return bool(self._whole)

    def after(self, state: PhraseState, text: str) -> PhraseState:
        """The state behind some more characters."""
        behind = self._going_on(state.begun, text)
        if behind is NOTHING and not state.earned:
            return behind
        return PhraseState(behind.begun, state.earned + behind.earned, behind.promised)

    def gain(self, state: PhraseState, text: str) -> float:
        """What some more characters add to the score."""
        return self._going_on(state.begun, text).score - state.promised

    def _going_on(self, begun: str, text: str) -> PhraseState:
        """What is earned by some characters more behind those that a phrase begins with, and what is promised then."""
        known = self._behind.get((begun, text))
        if known is None:
            if len(self._behind) >= _REMEMBERED:
                self._behind.clear()
            known = self._behind[begun, text] = self._read(PhraseState(begun), text)
        return known

    def _read(self, state: PhraseState, text: str) -> PhraseState:
        for character in text:
            state = self._step(state, character)
        return state if state.begun or state.earned else NOTHING

    def _step(self, state: PhraseState, character: str) -> PhraseState:
        begun = state.begun + character
        if begun in self._values:
            earned = state.earned + self._held(begun) - self._held(state.begun)
            return PhraseState(begun, earned, self._values[begun] - self._held(begun))
        if not state.begun:
            return PhraseState("", state.earned)
        # A phrase may have begun inside of what broke off.
        used = max((end for end in range(1, len(begun)) if begun[:end] in self._whole), default=1)
        return self._read(PhraseState("", state.earned), begun[used:])

    def _held(self, begun: str) -> float:
        """What the whole phrases at the beginning of these characters earn."""
        whole = (self._whole[begun[:end]] for end in range(1, len(begun) + 1) if begun[:end] in self._whole)
        return max(whole, key=abs, default=0.0)


def _values(weights: Mapping[str, float]) -> dict[str, float]:
    """For each beginning of a phrase the most that it is worth: its share of a phrase, or a whole one inside."""
    values: dict[str, float] = {}
    for phrase, weight in weights.items():
        whole = 0.0
        for end in range(1, len(phrase) + 1):
            begun = phrase[:end]
            whole = max(whole, weights.get(begun, 0.0), key=abs)
            values[begun] = max(values.get(begun, 0.0), whole, weight * end / len(phrase), key=abs)
    return values
