"""Beam search over CTC frames that keeps its state between pushes.

Beams and their scores equal those of pyctcdecode 0.5.0's `decode_beams` on all frames at once, for any cut of
the frames. How they are kept is different: what a beam has read is shared and interned, so a step costs the same
however long the utterance is. The beams are Python objects (`listed_beams`), or numbers (`numbered_beams`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from typing import Any, Final, Protocol, Self

import numpy as np

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.frames import FrameScan, check_log_probs, clip_log_probs, scan_frames
from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.language_model import LanguageModel
from streaming_asr.decoding.listed_beams import ListedBeams
from streaming_asr.decoding.numbered_beams import NumberedBeams, compiled_core, compiles
from streaming_asr.decoding.search import Beam, BeamWord, HotwordInput
from streaming_asr.decoding.word_histories import WordHistoryTree
from streaming_asr.errors import MissingExtraError, OptionError, StreamClosedError


class _Beams(Protocol):
    """The live beams of a search, however they are kept."""

    @property
    def frames(self) -> int: ...

    @property
    def live(self) -> int: ...

    @property
    def histories(self) -> int: ...

    @property
    def state(self) -> Any: ...

    def push(self, scan: FrameScan) -> None: ...

    def fork(self) -> Self: ...

    def readings(self, limit: int, skip: int) -> list[Beam]: ...

    def agreed(self, skip: int) -> tuple[BeamWord, ...]: ...

    def doubts(self, skip: int) -> list[float]: ...

    def holdable(self, words: Sequence[str], skip: int) -> int: ...

    def hold(self, words: Sequence[str]) -> bool: ...

    def finish(self, limit: int | None) -> tuple[list[Beam], Any]: ...

    def listed(self) -> ListedBeams: ...


class BeamSearch:
    """CTC beam search with language model and hotwords, as a machine that is pushed frames.

    Args:
        alphabet: the labels of the model's columns.
        beam_width: most beams kept after a frame.
        language_model: scores words while they are read; None for none.
        hotwords: words that earn extra, with their weights (10.0 if there are none).
        beam_prune_logp: beams further than this below the best are dropped; natural logarithm, at most 0.
        token_min_logp: tokens below this are not tried, unless they are the most probable of their frame.
        start: `language_model_state` of an earlier search, whose words then count as context.
        history_words: of beams that agree in this many last complete words, the unfinished word and the last token,
            only the best is kept; None keeps all. pyctcdecode's history pruning is a language model's order less one,
            and at least 1.
        compiled: whether frames are read by a loop that numba compiles (the extra `speed`), several times faster and
            with the same beams; None where numba is installed. Word pieces, scripts without spaces and `history_words`
            always take the loop in Python.

    Raises OptionError for values that cannot work, MissingExtraError where `compiled` is asked for without numba.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        *,
        beam_width: int = 50,
        language_model: LanguageModel | None = None,
        hotwords: HotwordInput = None,
        beam_prune_logp: float = -10.0,
        token_min_logp: float = -5.0,
        start: Any = None,
        history_words: int | None = None,
        compiled: bool | None = None,
    ) -> None:
        _check_options(beam_width, beam_prune_logp, token_min_logp, history_words)
        self.alphabet: Final = alphabet
        self._token_min = token_min_logp
        self._is_blank = np.array([not label for label in alphabet.labels])
        self._language_model = language_model
        self._hotwords = Hotwords.of(hotwords, alphabet)
        self._state: Any = None
        self._finished = False
        self._compiles = _may_compile(compiled) and compiles(alphabet) and not history_words
        tree = WordHistoryTree(language_model, self._hotwords, start=start, last_words=history_words or 0)
        listed = ListedBeams(alphabet, beam_width, beam_prune_logp, tree, history_words=history_words or 0)
        self._beams: _Beams = self._numbered(listed)

    def _numbered(self, listed: ListedBeams) -> _Beams:
        """The beams as numbers, where a compiled loop can read them."""
        core = compiled_core() if self._compiles else None
        return listed if core is None else NumberedBeams(listed, core, self._language_model)

    @property
    def frames(self) -> int:
        """Frames pushed so far."""
        return self._beams.frames

    @property
    def compiled(self) -> bool:
        """Whether the compiled loop reads the frames."""
        return isinstance(self._beams, NumberedBeams)

    @property
    def live(self) -> int:
        """How many beams there are now; a frame costs in proportion to them, whatever was read before."""
        return self._beams.live

    @property
    def histories(self) -> int:
        """How many sequences of words are kept; memory follows them, and they follow the live beams."""
        return self._beams.histories

    @property
    def hotwords(self) -> Hotwords:
        """The hotwords in force, with those that cannot be spelled."""
        return self._hotwords

    @property
    def language_model_state(self) -> Any:
        """The language model's context behind the best beam's complete words, after `finish` behind all its words."""
        return self._state if self._finished else self._beams.state

    def push(self, log_probs: FloatArray) -> None:
        """Read frames, shape (frames, vocabulary), natural logarithms of probabilities.

        Raises OptionError where the shape is wrong or a value is NaN, StreamClosedError after `finish`.
        """
        self._refuse_if_finished()
        clipped = clip_log_probs(check_log_probs(log_probs, len(self.alphabet.labels)))
        self._beams.push(scan_frames(clipped, self._token_min, self._is_blank))

    def fork(self) -> Self:
        """A copy that goes its own way from here; what was read is shared, so it costs next to nothing."""
        self._refuse_if_finished()
        twin = copy(self)
        twin._beams = self._beams.fork()
        return twin

    def beams(self, limit: int = 1, skip: int = 0) -> list[Beam]:
        """The live readings, best first, at most `limit`, without end-of-sentence scores.

        Beams that differ only in blanks and delimiters are one reading here, their probabilities added.
        The first `skip` words of each are left out of text and words.
        """
        self._refuse_if_finished()
        return self._beams.readings(limit, skip)

    def agreed(self, skip: int = 0) -> tuple[BeamWord, ...]:
        """The complete words that all live beams share, from their first on, with the best beam's frames.

        A word is complete when its delimiter, or the next word's first piece, was read. Beams only ever grow behind
        their complete words, so every later result begins with these. The first `skip` words are left out.
        """
        self._refuse_if_finished()
        return self._beams.agreed(skip)

    def doubts(self, skip: int = 0) -> list[float]:
        """For each complete word of the best reading, how much of the probability other readings have that deny it.

        A reading denies a word if it does not begin with the words up to it. Shares of what all live readings have
        together, from 0 to 1, which never fall from word to word. The first `skip` words are left out.
        """
        self._refuse_if_finished()
        return self._beams.doubts(skip)

    def holdable(self, words: Sequence[str], skip: int = 0) -> int:
        """With how many of these words, from the first on, some live beam begins, as complete words.

        The first `skip` are known to be `agreed`, and not looked at.
        """
        self._refuse_if_finished()
        return self._beams.holdable(words, skip)

    def hold(self, words: Sequence[str]) -> None:
        """Drop every beam that does not begin with these complete words; they begin every later result.

        A beam that has not completed them yet is dropped too, even if it still could: it could also go on otherwise.
        Raises OptionError, and drops nothing, where no live beam begins with them.
        """
        self._refuse_if_finished()
        if not self._beams.hold(words):
            raise OptionError(f"no live beam begins with the complete words {list(words)!r}")

    def set_hotwords(self, hotwords: HotwordInput) -> None:
        """Replace the hotwords from here on.

        Words that all live beams share keep what they earned; words still open are scored anew.
        """
        self._refuse_if_finished()
        self._hotwords = Hotwords.of(hotwords, self.alphabet)
        self._beams = self._numbered(self._beams.listed().with_hotwords(self._hotwords, self._language_model))

    def finish(self, limit: int | None = None) -> list[Beam]:
        """The final readings, best first, at most `limit`, in order, score and frames as pyctcdecode's.

        The search is then over. Each reading costs as much as it has words, so ask for no more than are wanted.
        """
        self._refuse_if_finished()
        readings, self._state = self._beams.finish(limit)
        self._finished = True
        return readings

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise StreamClosedError("the search was finished; make a new one")


def warm_up_search(alphabet: Alphabet, language_model: LanguageModel | None) -> None:
    """Compile now, or load from disk, what the first search would otherwise wait for."""
    if not compiles(alphabet) or compiled_core() is None:
        return
    letters = [label for label in alphabet.labels if label.strip()]
    search = BeamSearch(alphabet, beam_width=10, language_model=language_model, hotwords=letters[:1])
    all_alike = np.full((3, len(alphabet.labels)), -math.log(len(alphabet.labels)))
    search.push(all_alike)
    search.agreed()
    search.doubts()
    search.hold([])
    search.set_hotwords(None)
    search.push(all_alike)
    search.beams()
    if isinstance(search._beams, NumberedBeams):
        search._beams.sift()


def _check_options(beam_width: int, beam_prune_logp: float, token_min_logp: float, history_words: int | None) -> None:
    if isinstance(beam_width, bool) or not isinstance(beam_width, int) or beam_width < 1:
        raise OptionError(f"beam_width is {beam_width!r}; it must be a whole number of at least 1")
    if not beam_prune_logp <= 0:
        raise OptionError(f"beam_prune_logp is {beam_prune_logp!r}; it is a natural logarithm and must be at most 0")
    if not token_min_logp <= 0:
        raise OptionError(f"token_min_logp is {token_min_logp!r}; it is a natural logarithm and must be at most 0")
    if history_words is not None and (type(history_words) is not int or history_words < 1):
        raise OptionError(f"history_words is {history_words!r}; it must be a whole number of at least 1, or None")


def _may_compile(compiled: bool | None) -> bool:
    if compiled and compiled_core() is None:
        raise MissingExtraError("the compiled search", "speed")
    return compiled is not False
