"""Beams as lists of Python objects, and the loop over frames, beams and tokens in Python.

It reads every alphabet. Where numba is installed, `numbered_beams` does the same for alphabets of letters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from operator import sub
from typing import Any, Final, Self

from streaming_asr.decoding.alphabet import Alphabet, unmarked
from streaming_asr.decoding.choice import choose
from streaming_asr.decoding.frames import FrameScan
from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.language_model import LanguageModel
from streaming_asr.decoding.readings import as_beam, beam_words, denied
from streaming_asr.decoding.search import Beam, BeamWord, common_words
from streaming_asr.decoding.word_histories import (
    Hypothesis,
    Prefix,
    WordHistory,
    WordHistoryTree,
    ancestor,
    shared_history,
    words_of,
)

_SEPARATION: Final = 1e-6
"""Beams further apart than this cannot change places by the rounding of common shifts."""


class ListedBeams:
    """The live beams, best first, and what they are ordered by.

    The lists are replaced, never changed in place, so that a shallow copy is a fork. `width`, `prune` and
    `history_words` (0 for none) are those of the search; without `beams` there is one that has read nothing.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        width: int,
        prune: float,
        tree: WordHistoryTree,
        *,
        history_words: int = 0,
        frames: int = 0,
        beams: Sequence[Hypothesis] = (),
        totals: Sequence[float] = (),
    ) -> None:
        self.alphabet: Final = alphabet
        self.width: Final = width
        self.prune: Final = prune
        self.tree = tree
        self.frames = frames
        self._history_words: Final = history_words
        self._break_next = False
        self._distinct = not beams
        no_token = len(alphabet.labels)
        self.beams: list[Hypothesis] = list(beams) or [(0.0, (tree.root, ""), no_token, None, -1, -1)]
        self.totals: list[float] = list(totals) or [0.0]

    @property
    def live(self) -> int:
        """How many beams there are."""
        return len(self.beams)

    @property
    def histories(self) -> int:
        """How many sequences of words are kept."""
        return self.tree.size

    @property
    def state(self) -> Any:
        """The language model's context behind the best beam's complete words."""
        return self.beams[0][1][0].state

    def push(self, scan: FrameScan) -> None:
        """Read frames."""
        done = 0
        for index, tokens, scores in scan.busy:
            if index > done:
                self._pass_blanks(scan.best[done:index])
            self._step(tokens, scores)
            done = index + 1
        if len(scan.best) > done:
            self._pass_blanks(scan.best[done:])
        self.tree.sweep(self._histories())

    def fork(self) -> Self:
        """A copy that goes its own way from here."""
        twin = copy(self)
        twin.tree = self.tree.fork()
        return twin

    def listed(self) -> ListedBeams:
        """The beams as lists."""
        return self

    def readings(self, limit: int, skip: int) -> list[Beam]:
        """The beams as they are told: those that differ only in blanks and delimiters are one."""
        return [as_beam(beam, logit, logit + extra, skip) for logit, extra, beam in self._readings()[:limit]]

    def _readings(self) -> list[tuple[float, float, Hypothesis]]:
        """Logit score, the other scores and the first beam of each reading, best first."""
        merged: dict[WordHistory | Prefix, tuple[float, float, Hypothesis]] = {}
        for beam, total in zip(self.beams, self.totals, strict=True):
            key = self.tree.existing(beam[1]) or beam[1]
            if key in merged:
                logit, extra_score, first = merged[key]
                merged[key] = (log_sum(logit, beam[0]), extra_score, first)
            else:
                merged[key] = (beam[0], total - beam[0], beam)
        return sorted(merged.values(), key=lambda entry: entry[0] + entry[1], reverse=True)

    def doubts(self, skip: int) -> list[float]:
        """For each complete word of the best reading behind the first `skip`, the share of those that deny it."""
        readings = self._readings()
        histories = [beam[1][0] for _, _, beam in readings]
        scores = [logit + extra for logit, extra, _ in readings]
        shared = [shared_history([histories[0], history]).depth for history in histories]
        return denied([score - scores[0] for score in scores], shared, histories[0].depth)[skip:]

    def agreed(self, skip: int) -> tuple[BeamWord, ...]:
        """The complete words that all beams share, with the best beam's frames, without the first `skip`."""
        shared = shared_history(self._histories())
        _, prefix, _, frames, _, _ = self.beams[0]
        return tuple(beam_words(prefix[0], frames, skip)[: max(0, shared.depth - skip)])

    def holdable(self, words: Sequence[str], skip: int) -> int:
        """With how many of these words some beam begins, as all do with the first `skip`."""
        read = (list(map(unmarked, words_of(history, skip))) for history in self._histories())
        return skip + max(common_words(words[skip:], some) for some in read)

    def hold(self, words: Sequence[str]) -> bool:
        """Drop every beam that does not begin with these words; False, and nothing is dropped, where none does."""
        stems = [ancestor(beam[1][0], len(words)) for beam in self.beams]
        fitting = {stem for stem in set(stems) if stem and list(map(unmarked, words_of(stem, 0))) == list(words)}
        kept = [index for index, stem in enumerate(stems) if stem in fitting]
        if kept:
            self.beams = [self.beams[index] for index in kept]
            self.totals = [self.totals[index] for index in kept]
        return bool(kept)

    def with_hotwords(self, hotwords: Hotwords, language_model: LanguageModel | None) -> ListedBeams:
        """The same beams, whose words count anew from the first one on that not all of them share."""
        base = shared_history(self._histories())
        tree = WordHistoryTree(language_model, hotwords, base=base, last_words=self._history_words)
        beams: list[Hypothesis] = []
        for logit, (history, part), last, frames, start, end in self.beams:
            regrown = tree.root
            for word in words_of(history, base.depth):
                regrown = tree.completed((regrown, word))
            beams.append((logit, (regrown, part), last, frames, start, end))
        twin = copy(self)
        twin.tree = tree
        twin._select(beams)
        return twin

    def finish(self, limit: int | None) -> tuple[list[Beam], Any]:
        """The final readings, best first, and the language model's context behind the best one's words."""
        ended: dict[WordHistory, Hypothesis] = {}
        for beam in self.beams:
            completed = self.tree.completed(beam[1])
            ended[completed] = _merged(ended[completed], beam) if completed in ended else beam
        beams = list(ended.values())
        beams, totals = self._best(beams, self.tree.final_totals(beams))
        best = list(zip(beams, totals, strict=True))[:limit]
        told = [
            as_beam(beam, beam[0], total, finished=True, state=self.tree.final_state(beam[1])) for beam, total in best
        ]
        return told, self.tree.completed(beams[0][1]).state

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
        totals = self.totals
        limit = totals[0] + self.prune + _SEPARATION
        return totals[-1] > limit and min(map(sub, totals, totals[1:]), default=math.inf) > _SEPARATION

    def _shift(self, scores: list[float]) -> None:
        """Read blank frames that change no beam's text and no order: all scores shift alike."""
        logits = [beam[0] for beam in self.beams]
        for score in scores:
            logits = [logit + score for logit in logits]
        blank = self.alphabet.blank
        self.beams = [
            (logit, prefix, blank, frames, start, end)
            for logit, (_, prefix, _, frames, start, end) in zip(logits, self.beams, strict=True)
        ]
        self.totals = self.tree.totals(self.beams)
        self.frames += len(scores)

    def _step(self, tokens: list[int], scores: list[float]) -> None:
        """Read one frame: extend every beam by every candidate, add up equal readings, keep the best."""
        alphabet, frame = self.alphabet, list(zip(map(self.alphabet.symbols.__getitem__, tokens), scores, strict=True))
        # Equal prefixes can only come from the same token, so each has its own dictionary.
        found: dict[int, dict[Prefix, Hypothesis]] = {}
        beams = self.beams
        choice = None if self._break_next else choose(self.tree, alphabet, beams, self.totals, frame, self.prune)
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
        self.frames += 1
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
        frame = self.frames
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
        alphabet, frame = self.alphabet, self.frames
        begun = (frame, frame + 1) if alphabet.is_bpe else (-1, -1)
        for logit, prefix, last, frames, start, end in beams:
            if last == token:
                end = frame + 1
            elif alphabet.opens[token] or self._break_next:
                self._break_next = alphabet.closes[token]
                frames = (frames, start, end) if prefix[1] else frames
                prefix = (self.tree.completed(prefix), alphabet.pieces[token])
                start, end = begun
            else:
                prefix = (prefix[0], prefix[1] + alphabet.labels[token])
                start, end = frame if start < 0 else start, frame + 1
            beam = (logit + score, prefix, token, frames, start, end)
            found[prefix] = _merged(found[prefix], beam) if prefix in found else beam

    def _extend_by_character(self, token: int, score: float, found: dict[Prefix, Hypothesis]) -> None:
        """Extend every beam by a token that may begin a word for one and go on with the word of another."""
        alphabet, frame = self.alphabet, self.frames
        begun = (frame, frame + 1) if alphabet.pieces[token] else (-1, -1)
        for logit, prefix, last, frames, start, end in self.beams:
            if last == token:
                end = frame + 1
            elif alphabet.begins(prefix[1], token):
                frames = (frames, start, end) if prefix[1] else frames
                prefix = (self.tree.completed(prefix), alphabet.begun(prefix[1], token))
                start, end = begun
            else:
                prefix = (prefix[0], prefix[1] + alphabet.pieces[token])
                start, end = frame if start < 0 else start, frame + 1
            beam = (logit + score, prefix, token, frames, start, end)
            found[prefix] = _merged(found[prefix], beam) if prefix in found else beam

    def _select(self, beams: list[Hypothesis]) -> None:
        """Keep the best of these beams, best first, equal ones in their order."""
        self.beams, self.totals = self._best(beams, self.tree.totals(beams))
        if self._history_words and len(self.beams) > 1:
            self._drop_alike()

    def _drop_alike(self) -> None:
        """Of beams that no later frame can tell apart, keep the best."""
        symbols = self.alphabet.symbols
        first: dict[tuple[tuple[str, ...], str, int], int] = {}
        for index, (_, (history, part), last, *_) in enumerate(self.beams):
            first.setdefault((history.last_words, part, symbols[last]), index)
        self.beams = [self.beams[index] for index in first.values()]
        self.totals = [self.totals[index] for index in first.values()]

    def _best(self, beams: list[Hypothesis], totals: list[float]) -> tuple[list[Hypothesis], list[float]]:
        if len(beams) == 1:
            return beams, totals
        order = sorted(range(len(beams)), key=totals.__getitem__, reverse=True)[: self.width]
        floor = totals[order[0]] + self.prune
        while totals[order[-1]] < floor:
            order.pop()
        return [beams[index] for index in order], [totals[index] for index in order]

    def _histories(self) -> set[WordHistory]:
        return {beam[1][0] for beam in self.beams}


def log_sum(one: float, other: float) -> float:
    """The logarithm of the sum of two probabilities, rounded as pyctcdecode rounds it."""
    upper, lower = (one, other) if one >= other else (other, one)
    return upper + math.log(1 + math.exp(lower - upper))


def _merged(first: Hypothesis, beam: Hypothesis) -> Hypothesis:
    """Two beams of one prefix as one, with the frames of the second."""
    return (log_sum(first[0], beam[0]), *beam[1:])
