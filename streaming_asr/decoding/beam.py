"""Beam search over CTC frames that keeps its state between pushes.

Beams and their scores equal those of pyctcdecode 0.5.0's `decode_beams` on all frames at once, for any cut of
the frames. How they are kept is different: what a beam has read is a shared, interned object (see
`word_histories`), so a step costs the same however long the utterance is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from operator import sub
from typing import Any, Final, Self

import numpy as np

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding.alphabet import Alphabet, unmarked
from streaming_asr.decoding.choice import choose
from streaming_asr.decoding.compiled import CompiledLoop, compiled_core, compiles
from streaming_asr.decoding.frames import FrameScan, check_log_probs, clip_log_probs, scan_frames
from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.language_model import LanguageModel
from streaming_asr.decoding.readings import as_beam, beam_words
from streaming_asr.decoding.search import Beam, BeamWord, HotwordInput
from streaming_asr.decoding.word_histories import (
    Hypothesis,
    Prefix,
    WordHistory,
    WordHistoryTree,
    ancestor,
    shared_history,
    words_of,
)
from streaming_asr.errors import MissingExtraError, OptionError, StreamClosedError

_SEPARATION: Final = 1e-6
"""Beams further apart than this cannot change places by the rounding of common shifts."""


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
        self._width = beam_width
        self._prune = beam_prune_logp
        self._token_min = token_min_logp
        self._is_blank = np.array([not label for label in alphabet.labels])
        self._language_model = language_model
        self._history_words = history_words or 0
        given = Hotwords.of(hotwords, alphabet)
        self._tree = WordHistoryTree(language_model, given, start=start, last_words=self._history_words)
        self._frames = 0
        self._break_next = False
        self._distinct = True
        self._finished = False
        self._state: Any = None
        # The live beams, best first, and what they are ordered by. The lists are replaced, never changed in place, so
        # that a shallow copy of the search is a fork.
        no_token = len(alphabet.labels)
        self._beams: list[Hypothesis] = [(0.0, (self._tree.root, ""), no_token, None, -1, -1)]
        self._totals = [0.0]
        self._compiles = _may_compile(compiled) and compiles(alphabet) and not history_words
        self._loop = self._open_loop()

    @property
    def frames(self) -> int:
        """Frames pushed so far."""
        return self._frames

    @property
    def compiled(self) -> bool:
        """Whether the compiled loop reads the frames."""
        return self._loop is not None

    @property
    def live(self) -> int:
        """How many beams there are now; a frame costs in proportion to them, whatever was read before."""
        return len(self._beams)

    @property
    def histories(self) -> int:
        """How many sequences of words are kept; memory follows them, and they follow the live beams."""
        return self._tree.size

    @property
    def hotwords(self) -> Hotwords:
        """The hotwords in force, with those that cannot be spelled."""
        return self._tree.hotwords

    @property
    def language_model_state(self) -> Any:
        """The language model's context behind the best beam's complete words, after `finish` behind all its words."""
        return self._state if self._finished else self._beams[0][1][0].state

    def push(self, log_probs: FloatArray) -> None:
        """Read frames, shape (frames, vocabulary), natural logarithms of probabilities.

        Raises OptionError where the shape is wrong or a value is NaN, StreamClosedError after `finish`.
        """
        self._refuse_if_finished()
        clipped = clip_log_probs(check_log_probs(log_probs, len(self.alphabet.labels)))
        scan = scan_frames(clipped, self._token_min, self._is_blank)
        if self._loop is not None:
            beams = self._beams, self._totals
            self._beams, self._totals = self._loop.push(self._tree, *beams, scan, self._frames)
            self._frames += len(scan.best)
        else:
            self._read(scan)
        self._tree.sweep(self._histories())

    def fork(self) -> Self:
        """A copy that goes its own way from here; what was read is shared, so it costs next to nothing."""
        self._refuse_if_finished()
        twin = copy(self)
        twin._tree = self._tree.fork()
        return twin

    def beams(self, limit: int = 1, skip: int = 0) -> list[Beam]:
        """The live readings, best first, at most `limit`, without end-of-sentence scores.

        Beams that differ only in blanks and delimiters are one reading here, their probabilities added.
        The first `skip` words of each are left out of text and words.
        """
        self._refuse_if_finished()
        merged: dict[WordHistory | Prefix, tuple[float, float, Hypothesis]] = {}
        for beam, total in zip(self._beams, self._totals, strict=True):
            key = self._tree.existing(beam[1]) or beam[1]
            if key in merged:
                logit, extra_score, first = merged[key]
                merged[key] = (_log_sum(logit, beam[0]), extra_score, first)
            else:
                merged[key] = (beam[0], total - beam[0], beam)
        best = sorted(merged.values(), key=lambda entry: entry[0] + entry[1], reverse=True)[:limit]
        return [as_beam(beam, logit, logit + extra_score, skip) for logit, extra_score, beam in best]

    def agreed(self, skip: int = 0) -> tuple[BeamWord, ...]:
        """The complete words that all live beams share, from their first on, with the best beam's frames.

        A word is complete when its delimiter, or the next word's first piece, was read. Beams only ever grow behind
        their complete words, so every later result begins with these. The first `skip` words are left out.
        """
        self._refuse_if_finished()
        shared = shared_history(self._histories())
        _, prefix, _, frames, _, _ = self._beams[0]
        return tuple(beam_words(prefix[0], frames, skip)[: max(0, shared.depth - skip)])

    def hold(self, words: Sequence[str]) -> None:
        """Drop every beam that does not begin with these complete words; they begin every later result.

        A beam that has not completed them yet is dropped too, even if it still could: it could also go on otherwise.
        Raises OptionError, and drops nothing, where no live beam begins with them.
        """
        self._refuse_if_finished()
        stems = [ancestor(beam[1][0], len(words)) for beam in self._beams]
        fitting = {stem for stem in set(stems) if stem and list(map(unmarked, words_of(stem, 0))) == list(words)}
        kept = [index for index, stem in enumerate(stems) if stem in fitting]
        if not kept:
            raise OptionError(f"no live beam begins with the complete words {list(words)!r}")
        self._beams = [self._beams[index] for index in kept]
        self._totals = [self._totals[index] for index in kept]

    def set_hotwords(self, hotwords: HotwordInput) -> None:
        """Replace the hotwords from here on.

        Words that all live beams share keep what they earned; words still open are scored anew.
        """
        self._refuse_if_finished()
        base = shared_history(self._histories())
        given = Hotwords.of(hotwords, self.alphabet)
        tree = WordHistoryTree(self._language_model, given, base=base, last_words=self._history_words)
        beams: list[Hypothesis] = []
        for logit, (history, part), last, frames, start, end in self._beams:
            regrown = tree.root
            for word in words_of(history, base.depth):
                regrown = tree.completed((regrown, word))
            beams.append((logit, (regrown, part), last, frames, start, end))
        self._tree = tree
        self._loop = self._open_loop()
        self._select(beams)

    def finish(self, limit: int | None = None) -> list[Beam]:
        """The final readings, best first, at most `limit`, in order, score and frames as pyctcdecode's.

        The search is then over. Each reading costs as much as it has words, so ask for no more than are wanted.
        """
        self._refuse_if_finished()
        self._finished = True
        ended: dict[WordHistory, Hypothesis] = {}
        for beam in self._beams:
            completed = self._tree.completed(beam[1])
            ended[completed] = _merged(ended[completed], beam) if completed in ended else beam
        beams = list(ended.values())
        beams, totals = self._best(beams, self._tree.final_totals(beams))
        self._state = self._tree.completed(beams[0][1]).state
        best = list(zip(beams, totals, strict=True))[:limit]
        return [
            as_beam(beam, beam[0], total, finished=True, state=self._tree.final_state(beam[1])) for beam, total in best
        ]

    # One frame after the other.

    def _read(self, scan: FrameScan) -> None:
        """Read frames without the compiled loop."""
        done = 0
        for index, tokens, scores in scan.busy:
            if index > done:
                self._pass_blanks(scan.best[done:index])
            self._step(tokens, scores)
            done = index + 1
        if len(scan.best) > done:
            self._pass_blanks(scan.best[done:])

    def _pass_blanks(self, scores: list[float]) -> None:
        """Read frames whose only candidate is blank, with these scores."""
        if not self._distinct:
            # Beams that differ in their last token alone become one.
            self._step([self.alphabet.blank], scores[:1])
            scores = scores[1:]
        if scores and self._separated():
            self._shift(scores)
        else:
            for score in scores:
                self._step([self.alphabet.blank], [score])

    def _separated(self) -> bool:
        """Whether no two beams, and no beam and the pruning limit, are so close that rounding could swap them."""
        totals = self._totals
        limit = totals[0] + self._prune + _SEPARATION
        return totals[-1] > limit and min(map(sub, totals, totals[1:]), default=math.inf) > _SEPARATION

    def _shift(self, scores: list[float]) -> None:
        """Read blank frames that change no beam's text and no order: all scores shift alike."""
        logits = [beam[0] for beam in self._beams]
        for score in scores:
            logits = [logit + score for logit in logits]
        blank = self.alphabet.blank
        self._beams = [
            (logit, prefix, blank, frames, start, end)
            for logit, (_, prefix, _, frames, start, end) in zip(logits, self._beams, strict=True)
        ]
        self._totals = self._tree.totals(self._beams)
        self._frames += len(scores)

    def _step(self, tokens: list[int], scores: list[float]) -> None:
        """Read one frame: extend every beam by every candidate, add up equal readings, keep the best."""
        alphabet, frame = self.alphabet, list(zip(map(self.alphabet.symbols.__getitem__, tokens), scores, strict=True))
        # Equal prefixes can only come from the same token, so each has its own dictionary.
        found: dict[int, dict[Prefix, Hypothesis]] = {}
        beams = self._beams
        choice = None if self._break_next else choose(self._tree, alphabet, beams, self._totals, frame, self._prune)
        for symbol, score in frame:
            into = found.setdefault(symbol, {})
            if symbol == alphabet.blank:
                self._extend_by_blank(choice.by_blank(score) if choice else beams, symbol, score, into)
            elif alphabet.by_character:
                self._extend_by_character(symbol, score, into)
            elif alphabet.opens[symbol] or self._break_next:
                self._start_words(choice.by_opening(symbol, score) if choice else beams, symbol, score, into)
            else:
                self._extend_words(choice.by_letters(symbol, score) if choice else beams, symbol, score, into)
        self._frames += 1
        self._distinct = len(found) == 1
        self._select([beam for beams in found.values() for beam in beams.values()])

    # In these three loops equal prefixes are added up, and the last one gives the frames, as in pyctcdecode.

    def _extend_by_blank(
        self, beams: Sequence[Hypothesis], blank: int, score: float, found: dict[Prefix, Hypothesis]
    ) -> None:
        """Extend beams by blank."""
        insert = found.setdefault
        for logit, prefix, _, frames, start, end in beams:
            beam = (logit + score, prefix, blank, frames, start, end)
            first = insert(prefix, beam)
            if first is not beam:
                found[prefix] = _merged(first, beam)

    def _extend_words(
        self, beams: Sequence[Hypothesis], token: int, score: float, found: dict[Prefix, Hypothesis]
    ) -> None:
        """Extend beams by a token that goes on with the word, or repeats the last token."""
        label = self.alphabet.labels[token]
        frame = self._frames
        behind = frame + 1
        insert = found.setdefault
        for logit, prefix, last, frames, start, _ in beams:
            if last != token:
                prefix = (prefix[0], prefix[1] + label)
                if start < 0:
                    start = frame
            beam = (logit + score, prefix, token, frames, start, behind)
            first = insert(prefix, beam)
            if first is not beam:
                found[prefix] = _merged(first, beam)

    def _start_words(
        self, beams: Sequence[Hypothesis], token: int, score: float, found: dict[Prefix, Hypothesis]
    ) -> None:
        """Extend beams by a token that begins a word for all of them, or, behind a piece like "▁⁇▁", for one."""
        alphabet, frame = self.alphabet, self._frames
        begun = (frame, frame + 1) if alphabet.is_bpe else (-1, -1)
        for logit, prefix, last, frames, start, end in beams:
            if last == token:
                end = frame + 1
            elif alphabet.opens[token] or self._break_next:
                self._break_next = alphabet.closes[token]
                frames = (frames, start, end) if prefix[1] else frames
                prefix = (self._tree.completed(prefix), alphabet.pieces[token])
                start, end = begun
            else:
                prefix = (prefix[0], prefix[1] + alphabet.labels[token])
                start, end = frame if start < 0 else start, frame + 1
            beam = (logit + score, prefix, token, frames, start, end)
            found[prefix] = _merged(found[prefix], beam) if prefix in found else beam

    def _extend_by_character(self, token: int, score: float, found: dict[Prefix, Hypothesis]) -> None:
        """Extend every beam by a token that may begin a word for one and go on with the word of another."""
        alphabet, frame = self.alphabet, self._frames
        begun = (frame, frame + 1) if alphabet.pieces[token] else (-1, -1)
        for logit, prefix, last, frames, start, end in self._beams:
            if last == token:
                end = frame + 1
            elif alphabet.begins(prefix[1], token):
                frames = (frames, start, end) if prefix[1] else frames
                prefix = (self._tree.completed(prefix), alphabet.begun(prefix[1], token))
                start, end = begun
            else:
                prefix = (prefix[0], prefix[1] + alphabet.pieces[token])
                start, end = frame if start < 0 else start, frame + 1
            beam = (logit + score, prefix, token, frames, start, end)
            found[prefix] = _merged(found[prefix], beam) if prefix in found else beam

    def _open_loop(self) -> CompiledLoop | None:
        """The compiled loop, with the tree as it is now."""
        core = compiled_core() if self._compiles else None
        if core is None:
            return None
        return CompiledLoop(core, self.alphabet, self._width, self._prune, self._language_model, self._tree)

    def _select(self, beams: list[Hypothesis]) -> None:
        """Keep the best of these beams, best first, equal ones in their order."""
        self._beams, self._totals = self._best(beams, self._tree.totals(beams))
        if self._history_words and len(self._beams) > 1:
            self._drop_alike()

    def _drop_alike(self) -> None:
        """Of beams that no later frame can tell apart, keep the best."""
        symbols = self.alphabet.symbols
        first: dict[tuple[tuple[str, ...], str, int], int] = {}
        for index, (_, (history, part), last, *_) in enumerate(self._beams):
            first.setdefault((history.last_words, part, symbols[last]), index)
        self._beams = [self._beams[index] for index in first.values()]
        self._totals = [self._totals[index] for index in first.values()]

    def _best(self, beams: list[Hypothesis], totals: list[float]) -> tuple[list[Hypothesis], list[float]]:
        if len(beams) == 1:
            return beams, totals
        order = sorted(range(len(beams)), key=totals.__getitem__, reverse=True)[: self._width]
        floor = totals[order[0]] + self._prune
        while totals[order[-1]] < floor:
            order.pop()
        return [beams[index] for index in order], [totals[index] for index in order]

    def _histories(self) -> set[WordHistory]:
        return {beam[1][0] for beam in self._beams}

    def _refuse_if_finished(self) -> None:
        if self._finished:
            raise StreamClosedError("the search was finished; make a new one")


def warm_up_search(alphabet: Alphabet) -> None:
    """Compile now, or load from disk, what the first search with an alphabet would otherwise wait for."""
    if compiles(alphabet) and compiled_core() is not None:
        letters = [label for label in alphabet.labels if label.strip()]
        all_alike = np.full((3, len(alphabet.labels)), -math.log(len(alphabet.labels)))
        BeamSearch(alphabet, hotwords=letters[:1]).push(all_alike)


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


def _log_sum(one: float, other: float) -> float:
    """The logarithm of the sum of two probabilities, rounded as pyctcdecode rounds it."""
    upper, lower = (one, other) if one >= other else (other, one)
    return upper + math.log(1 + math.exp(lower - upper))


def _merged(first: Hypothesis, beam: Hypothesis) -> Hypothesis:
    """Two beams of one prefix as one, with the frames of the second."""
    return (_log_sum(first[0], beam[0]), *beam[1:])
