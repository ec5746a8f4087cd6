"""What every search gives and promises, whatever it does inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding.alphabet import JOINED, unmarked
from streaming_asr.scripts import joined_texts

if TYPE_CHECKING:
    from streaming_asr.decoding.alphabet import Alphabet
    from streaming_asr.decoding.hotwords import Hotwords


@dataclass(frozen=True, slots=True)
class BeamWord:
    """One word and the frames from its first letter, `start_frame`, to behind its last letter, `end_frame`.

    `joined`: it follows the word before it without a space, as characters of scripts without spaces do.
    """

    text: str
    start_frame: int
    end_frame: int
    joined: bool = False

    @classmethod
    def read(cls, word: str, start_frame: int, end_frame: int) -> Self:
        """A word of a history, which begins with `JOINED` if it is joined."""
        return cls(unmarked(word), start_frame, end_frame, joined=word[:1] == JOINED)


def text_of(words: Iterable[BeamWord]) -> str:
    """Words as a text."""
    return joined_texts((word.text, word.joined) for word in words)


def common_words(some: Sequence[str], others: Sequence[str]) -> int:
    """With how many words both begin."""
    alike = (one == other for one, other in zip(some, others, strict=False))
    return sum(1 for _ in takewhile(bool, alike))


@dataclass(frozen=True, slots=True)
class Beam:
    """One reading of the frames.

    `logit_score` is the natural logarithm of its acoustic probability, `score` adds language model and hotwords and
    is what beams are ordered by. `unfinished` says that the last word may still grow. `language_model_state` is the
    language model's context behind a final reading, with which another search may start.
    """

    text: str
    words: tuple[BeamWord, ...]
    score: float
    logit_score: float
    unfinished: bool = False
    language_model_state: Any = field(default=None, compare=False, repr=False)


HotwordInput: TypeAlias = "Hotwords | Mapping[str, float] | Iterable[str] | None"
"""Hotwords as a caller may give them: words with weights, words alone, or none."""


class Search(Protocol):
    """A search over the frames of one utterance: push pieces of any length, then finish.

    Any cut of the frames gives the same result. A word is complete once its delimiter, or the next word's first token,
    was read; complete words never change inside a beam, so what all live beams share can never be revised.
    """

    @property
    def alphabet(self) -> Alphabet: ...

    @property
    def frames(self) -> int:
        """Frames pushed so far."""

    @property
    def hotwords(self) -> Hotwords:
        """The hotwords in force, with those that cannot be spelled."""

    def push(self, log_probs: FloatArray) -> None:
        """Read frames, shape (frames, vocabulary), natural logarithms of probabilities.

        Raises OptionError where the shape is wrong or a value is not a number, StreamClosedError after `finish`.
        """

    def fork(self) -> Self:
        """A copy that goes its own way from here; it costs no more than the live beams are many."""

    def beams(self, limit: int = 1, skip: int = 0) -> list[Beam]:
        """The live readings, best first, at most `limit`, without end-of-sentence scores.

        The first `skip` words of each are left out of text and words, which keeps the cost flat in a long utterance.
        """

    def agreed(self, skip: int = 0) -> tuple[BeamWord, ...]:
        """The complete words that all live beams share, from their first on, with the best beam's frames.

        They begin every later result. The first `skip` words are left out.
        """

    def doubts(self, skip: int = 0) -> list[float]:
        """For each complete word of the best reading, how much of the probability other readings have that deny it.

        A reading denies a word if it does not begin with the words up to it. Shares of what all live readings have
        together, from 0 to 1, which never fall from word to word. The first `skip` words are left out.
        """

    def holdable(self, words: Sequence[str], skip: int = 0) -> int:
        """With how many of these words, from the first on, some live beam begins, as complete words.

        The first `skip` are known to be `agreed`, and not looked at.
        """

    def hold(self, words: Sequence[str]) -> None:
        """Drop every beam that does not begin with these complete words; they begin every later result.

        Beams that could still come to these words but have not completed them are dropped too.
        Raises OptionError, and drops nothing, where no live beam begins with them.
        """

    def set_hotwords(self, hotwords: HotwordInput) -> None:
        """Replace the hotwords from here on.

        Words that all live beams share keep what they earned; words still open are scored anew.
        """

    def finish(self, limit: int | None = None) -> list[Beam]:
        """The final readings, best first, at most `limit`; the search is then over."""
