"""The fast path: the most probable token of each frame, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Final, Self

import numpy as np

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.frames import check_log_probs, clip_log_probs
from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.search import Beam, BeamWord, HotwordInput, common_words, text_of
from streaming_asr.errors import OptionError, StreamClosedError


class GreedySearch:
    """A search with one beam that is never revised, so every complete word is agreed at once.

    It reads as `BeamSearch` of width 1 that looks at each frame's most probable token only, many times faster.
    It has no place for a language model or hotwords.
    """

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet: Final = alphabet
        self._symbols = np.asarray(alphabet.symbols)
        self._hotwords = Hotwords(None, alphabet)
        self._frames = 0
        self._score = 0.0
        self._last = -1
        self._break_next = False
        self._finished = False
        self._words: tuple[BeamWord, ...] = ()
        self._part = ""
        self._start = -1
        self._end = -1

    @property
    def frames(self) -> int:
        """Frames pushed so far."""
        return self._frames

    @property
    def hotwords(self) -> Hotwords:
        """No hotwords: this search cannot weigh them."""
        return self._hotwords

    def push(self, log_probs: FloatArray) -> None:
        """Read frames, shape (frames, vocabulary), natural logarithms of probabilities.

        Raises OptionError where the shape is wrong or a value is NaN, StreamClosedError after `finish`.
        """
        self._refuse_if_finished()
        clipped = clip_log_probs(check_log_probs(log_probs, len(self.alphabet.labels)))
        if not len(clipped):
            return
        winners = clipped.argmax(axis=1)
        scores = clipped[np.arange(len(clipped)), winners].astype(np.float64)
        # Added up one by one, so that the cut of the frames does not show in the rounding.
        self._score = float(np.add.accumulate(np.concatenate(([self._score], scores)))[-1])
        self._read(self._symbols[winners])
        self._frames += len(clipped)

    def _read(self, tokens: np.typing.NDArray[np.intp]) -> None:
        """Read the best tokens, shape (frames,), run by run."""
        borders = np.flatnonzero(np.diff(tokens)) + 1
        starts = [0, *borders.tolist()]
        ends = [*borders.tolist(), len(tokens)]
        fresh: list[BeamWord] = []
        for token, start, end in zip(tokens[starts].tolist(), starts, ends, strict=True):
            self._read_run(token, self._frames + start, self._frames + end, fresh)
        self._words += tuple(fresh)

    def _read_run(self, token: int, start: int, end: int, words: list[BeamWord]) -> None:
        """Read one token that lasts from frame `start` to `end`; a word that it completes goes to `words`."""
        alphabet = self.alphabet
        if token == alphabet.blank:
            pass
        elif token == self._last:
            # The run began in an earlier push.
            self._end = end
        elif self._begins(token):
            self._break_next = alphabet.closes[token]
            if self._part:
                words.append(BeamWord.read(self._part, self._start, self._end))
            self._part = alphabet.begun(self._part, token) if alphabet.by_character else alphabet.pieces[token]
            self._start, self._end = (start, end) if alphabet.is_bpe or self._part else (-1, -1)
        else:
            self._part += alphabet.pieces[token] if alphabet.by_character else alphabet.labels[token]
            self._start, self._end = start if self._start < 0 else self._start, end
        self._last = token

    def _begins(self, token: int) -> bool:
        """Whether a token ends the word before it."""
        if self.alphabet.by_character:
            return self.alphabet.begins(self._part, token)
        return self.alphabet.opens[token] or self._break_next

    def fork(self) -> Self:
        """A copy that goes its own way from here."""
        self._refuse_if_finished()
        return copy(self)

    def beams(self, limit: int = 1, skip: int = 0) -> list[Beam]:
        """The one reading, the unfinished last word included, without its first `skip` words."""
        self._refuse_if_finished()
        return [self._beam(skip)][:limit]

    def agreed(self, skip: int = 0) -> tuple[BeamWord, ...]:
        """All complete words behind the first `skip`."""
        self._refuse_if_finished()
        return self._words[skip:]

    def doubts(self, skip: int = 0) -> list[float]:
        """0 for every complete word behind the first `skip`: there is no other reading."""
        return [0.0] * len(self.agreed(skip))

    def holdable(self, words: Sequence[str], skip: int = 0) -> int:
        """With how many of these words the reading begins, of which the first `skip` are not looked at."""
        return skip + common_words(words[skip:], [word.text for word in self.agreed(skip)])

    def hold(self, words: Sequence[str]) -> None:
        """Nothing to do, since nothing is ever revised; raises OptionError if these are not the first words."""
        self._refuse_if_finished()
        read = [word.text for word in self._words[: len(words)]]
        if read != list(words):
            raise OptionError(f"the reading does not begin with the complete words {list(words)!r} but with {read!r}")

    def set_hotwords(self, hotwords: HotwordInput) -> None:
        """Raises OptionError unless there are none: use `BeamSearch` for hotwords."""
        self._refuse_if_finished()
        asked = Hotwords.of(hotwords, self.alphabet)
        if asked.taken:
            raise OptionError(f"greedy search cannot weigh hotwords such as {asked.taken[0]!r}; use beam search")
        self._hotwords = asked

    def finish(self, limit: int | None = None) -> list[Beam]:
        """The one final reading; the search is then over."""
        self._refuse_if_finished()
        self._finished = True
        return [self._beam(0)][:limit]

    def _beam(self, skip: int) -> Beam:
        part = (BeamWord.read(self._part, self._start, self._end),) if self._part and len(self._words) >= skip else ()
        words = self._words[skip:] + part
        return Beam(text_of(words), words, self._score, self._score, unfinished=bool(self._part) and not self._finished)

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise StreamClosedError("the search was finished; make a new one")
