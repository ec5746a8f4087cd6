"""`BeamSearch`'s loop compiled by numba, where that is installed (the extra `speed`): the same beams, bit for bit.

What a beam has read becomes numbers before a push and a prefix again behind it. Words that come up in between are made
here, by the same `WordHistoryTree`, so language models and hotwords score them as they always do. Letters of unfinished
words are scored by the loop itself, as far as a vocabulary tells what they score; else they are asked for here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.frames import FrameScan
from streaming_asr.decoding.language_model import LanguageModel, NgramLanguageModel, WordLimits
from streaming_asr.decoding.letters import Integers, Letters
from streaming_asr.decoding.ngrams import Ngrams
from streaming_asr.decoding.word_histories import Hypothesis, WordFrames, WordHistory, WordHistoryTree

Reals: TypeAlias = npt.NDArray[np.float64]

_PLACES: Final = 1024
"""Unfinished words that there is room for at first."""

_MOST_PARTS: Final = 8192
"""Unfinished words that are kept from push to push; when there are more, all without beams are forgotten."""


def compiles(alphabet: Alphabet) -> bool:
    """Whether the compiled loop can search with an alphabet: one of letters, whose texts can be read in one way."""
    letters = [label for label in alphabet.labels if label not in ("", " ")]
    one_way = not any(one != other and other.startswith(one) for one in letters for other in letters)
    unique = len(set(alphabet.labels)) == len(alphabet.labels)
    return one_way and unique and not alphabet.is_bpe and not alphabet.by_character


@cache
def compiled_core() -> ModuleType | None:
    """The module of the compiled loop; None without numba."""
    try:
        from streaming_asr.decoding import compiled_core
    except ImportError:
        return None
    return compiled_core


class Parts:
    """The letters of unfinished words as a tree of numbered nodes, which the compiled loop lets grow."""

    def __init__(self, core: ModuleType, alphabet: Alphabet, words: int) -> None:
        self._core: Final = core
        self._labels: Final = alphabet.labels
        self._words: Final = words
        self.nodes: Integers = np.zeros((core.PART_ROWS, _PLACES), np.int32)
        self.nodes[core.FIRST, 0] = core.MISSING
        self.nodes[core.HIGH, 0] = words
        self.scores: Reals = np.zeros(_PLACES)
        self.count = 1
        self.texts: Final[dict[int, str]] = {0: ""}
        self.numbers: Final[dict[str, int]] = {"": 0}

    def text(self, number: int) -> str:
        """The letters of a node."""
        text = self.texts.get(number)
        if text is None:
            parent, token = int(self.nodes[self._core.PARENT, number]), int(self.nodes[self._core.TOKEN, number])
            text = self.texts[number] = self.text(parent) + self._labels[token]
            self.numbers[text] = number
        return text

    def make_room(self) -> None:
        """Twice the room for nodes."""
        self.nodes = np.concatenate([self.nodes, self.nodes], axis=1)
        self.scores = np.concatenate([self.scores, self.scores])


class CompiledLoop:
    """The compiled loop of one search, with the language model and hotwords of its tree."""

    def __init__(
        self,
        core: Any,
        alphabet: Alphabet,
        width: int,
        prune: float,
        language_model: LanguageModel | None,
        tree: WordHistoryTree,
    ) -> None:
        self.core: Final = core
        self.alphabet: Final = alphabet
        plain = language_model if type(language_model) is NgramLanguageModel and not tree.hotwords else None
        own = plain if plain is not None and plain.limits is not None else None
        self.vocabulary: Final = _vocabulary(core, alphabet, own)
        nothing_counts = language_model is None and not tree.hotwords
        limits = tree.limits or WordLimits()
        ngrams = None if own is None else _scoring(own, alphabet, tree)
        self.levels: Final = core.Levels(*(_NO_LEVELS if ngrams is None else ngrams.flat))
        self.rules: Final = core.Rules(
            np.array(alphabet.opens),
            alphabet.blank,
            width,
            prune,
            tree.limits is not None,
            limits.known,
            limits.unknown,
            tree.adds_in_turn,
            core.VOCABULARY if own is not None else core.ZERO if nothing_counts else core.ASKED,
            ngrams is not None,
        )
        self._parts = self._no_parts()

    def _no_parts(self) -> Parts:
        return Parts(self.core, self.alphabet, len(self.vocabulary.begins) - 1)

    def push(
        self,
        tree: WordHistoryTree,
        beams: Sequence[Hypothesis],
        totals: Sequence[float],
        scan: FrameScan,
        first_frame: int,
    ) -> tuple[list[Hypothesis], list[float]]:
        """Beams behind some frames, and what they are ordered by; `first_frame` is the number of the first one.

        `tree` is the loop's own, or a fork of it.
        """
        if self._parts.count > _MOST_PARTS:
            self._parts = self._no_parts()
        *candidates, widest = _candidates(scan, self.alphabet.blank)
        frames = self.core.Frames(*candidates, first_frame)
        push = _Push(self, tree, self._parts, beams, totals, len(scan.best), widest)
        index = 0
        while index < len(scan.best):
            index = self.core.advance(index, frames, self.rules, self.vocabulary, self.levels, push.known)
            if index < len(scan.best):
                push.answer()
        return push.beams()


class _Push:
    """What the numbers of one push stand for."""

    def __init__(
        self,
        loop: CompiledLoop,
        tree: WordHistoryTree,
        parts: Parts,
        beams: Sequence[Hypothesis],
        totals: Sequence[float],
        frames: int,
        widest: int,
    ) -> None:
        self._loop: Final = loop
        self._tree: Final = tree
        self._parts: Final = parts
        live, places = len(beams), max(loop.rules.width, len(beams))
        self._most: Final = places * widest
        self._histories: Final = {beam[1][0]: None for beam in beams}
        self._objects: Final[dict[int, WordHistory]] = dict(enumerate(self._histories))
        self._numbers: Final[dict[WordHistory, int]] = {history: number for number, history in self._objects.items()}
        self._chains: Final[dict[int, WordFrames]] = {place: beam[3] for place, beam in enumerate(beams)}
        order = len(loop.levels.starts)
        self.known = loop.core.Known(
            np.empty((2, places)),
            np.empty((6, places), np.int32),
            parts.nodes,
            parts.scores,
            np.empty((3 + order, places + max(self._most, _PLACES)), np.int32),
            np.empty((2, places + max(self._most, _PLACES))),
            np.full(len(parts.scores), loop.core.MISSING, np.int32),
            np.empty((3, places + max(self._most, _PLACES)), np.int32),
            np.empty((3, live + places * frames), np.int32),
            np.empty((self._most, 3), np.int32),
            np.array([live, parts.count, 0, 0, live, 0], np.int32),
        )
        for history in self._numbers:
            self._describe(history)
        self.known.scores[:, :live] = [beam[0] for beam in beams], totals
        numbers = self._numbers
        rows = [
            (numbers[history], self._number(part), last, place, start, end)
            for place, (_, (history, part), last, _, start, end) in enumerate(beams)
        ]
        self.known.states[:, :live] = np.array(rows, np.int32).T
        # Whoever comes to the words of another beam must find that it is there.
        for history, number in self._numbers.items():
            if history.parent in numbers:
                loop.core.link(self.known, numbers[history.parent], self._number(history.word), number)

    def _describe(self, history: WordHistory) -> int:
        """Tell the loop of a history, as the next number."""
        core, known = self._loop.core, self.known
        number = int(known.counts[core.HISTORIES])
        known.counts[core.HISTORIES] += 1
        known.history_scores[:, number] = history.extra_score, history.language_score
        if self._loop.rules.modelled:
            known.histories[core.ROWS : core.STATE + len(history.state), number] = len(history.state), *history.state
        return number

    def _number(self, part: str) -> int:
        """The node of the letters of an unfinished word."""
        number = self._parts.numbers.get(part)
        if number is None:
            labels = self._loop.alphabet.labels
            token = next(token for token, label in enumerate(labels) if label and part.endswith(label))
            number = self._longer(self._number(part.removesuffix(labels[token])), token)
        return number

    def _longer(self, node: int, token: int) -> int:
        """The node of the letters of another one and a token, made where it is new."""
        parts, core = self._parts, self._loop.core
        self._make_room(1)
        text = parts.text(node) + self._loop.alphabet.labels[token]
        number = int(core.longer(self.known, self._loop.vocabulary, node, token, self._tree.part_scores[text]))
        parts.texts[number], parts.numbers[text] = text, number
        parts.count = int(self.known.counts[core.PARTS])
        return number

    def _make_room(self, more: int) -> None:
        """Room for so many more parts, histories and edges."""
        core, known, parts = self._loop.core, self.known, self._parts
        if known.counts[core.PARTS] + more > len(parts.scores):
            parts.make_room()
            first = np.concatenate([known.first, known.first])
            known = known._replace(parts=parts.nodes, part_scores=parts.scores, first=first)
        if max(known.counts[core.HISTORIES], known.counts[core.EDGES]) + more > known.edges.shape[1]:
            histories, scores = np.tile(known.histories, 2), np.tile(known.history_scores, 2)
            known = known._replace(histories=histories, history_scores=scores, edges=np.tile(known.edges, 2))
        self.known = known

    def answer(self) -> None:
        """Make what the loop asks for, and room for more."""
        core, alphabet = self._loop.core, self._loop.alphabet
        self._parts.count = int(self.known.counts[core.PARTS])
        asked = self.known.requests[: self.known.counts[core.REQUESTS]].tolist()
        for history, part, token in {tuple(request): None for request in asked}:
            if alphabet.opens[token]:
                completed = self._tree.completed((self._history(history), self._parts.text(part)))
                if completed not in self._numbers:
                    self._make_room(1)
                    number = self._numbers[completed] = self._describe(completed)
                    self._objects[number] = completed
                core.link(self.known, history, part, self._numbers[completed])
            else:
                self._longer(part, token)
        self._make_room(self._most)

    def _history(self, number: int) -> WordHistory:
        """The words that a number stands for."""
        history = self._objects.get(number)
        if history is None:
            core, histories = self._loop.core, self.known.histories
            before, word = self._history(int(histories[core.BEFORE, number])), int(histories[core.WORD, number])
            history = self._objects[number] = self._tree.completed((before, self._parts.text(word)))
            self._numbers[history] = number
        return history

    def beams(self) -> tuple[list[Hypothesis], list[float]]:
        """The beams as they are now, and what they are ordered by."""
        core, known = self._loop.core, self.known
        self._parts.count = int(known.counts[core.PARTS])
        live = known.counts[core.BEAMS]
        logits, totals = known.scores[:, :live].tolist()
        history, text, chain = self._history, self._parts.text, self._chain
        beams: list[Hypothesis] = [
            (logit, (history(number), text(part)), last, chain(spoken), start, end)
            for logit, number, part, last, spoken, start, end in zip(
                logits, *known.states[:, :live].tolist(), strict=True
            )
        ]
        return beams, totals

    def _chain(self, spoken: int) -> WordFrames:
        """The frames of complete words; those of the same words are shared."""
        waiting = []
        while spoken not in self._chains:
            waiting.append(spoken)
            spoken = int(self.known.spoken[0, spoken])
        chain = self._chains[spoken]
        for number in reversed(waiting):
            start, end = self.known.spoken[1:, number].tolist()
            chain = self._chains[number] = (chain, start, end)
        return chain


_NO_LEVELS: Final = (
    np.zeros(0, np.uint32),
    np.zeros(0, np.float32),
    np.zeros(0, np.float32),
    np.zeros(0, np.uint32),
    np.zeros(1, np.int64),
    np.zeros(0, np.int64),
)


def _vocabulary(core: Any, alphabet: Alphabet, language_model: NgramLanguageModel | None) -> Any:
    """What the loop knows of words: all of a language model's, or none."""
    lengths = np.array(list(map(len, alphabet.labels)), np.int32)
    odd = (lengths > 1).astype(np.int32)
    if language_model is None:
        words, labels, numbers = Letters.of([]), Letters.of(alphabet.labels), np.zeros(0, np.int32)
        return core.Vocabulary(
            words.points, words.begins, labels.points, labels.begins, lengths, odd, numbers, 0, 0.0, 0.0, 0.0
        )
    options, labels = language_model.options, Letters.of(list(map(language_model.cased, alphabet.labels)))
    words, numbers = language_model.letters
    others = language_model.ngrams.unknown if isinstance(language_model.ngrams, Ngrams) else core.MISSING
    return core.Vocabulary(
        words.points,
        words.begins,
        labels.points,
        labels.begins,
        lengths,
        odd,
        numbers,
        others,
        options.unk_score_offset,
        options.alpha,
        options.beta,
    )


def _scoring(language_model: NgramLanguageModel, alphabet: Alphabet, tree: WordHistoryTree) -> Ngrams | None:
    """What the loop can score words with itself: where the vocabulary tells them all, and nothing else counts."""
    ngrams, root = language_model.ngrams, tree.root
    marks = any(letter in alphabet.labels for letter in "<>")
    alone = root.hotword_score == 0.0 and root.extra_score == root.language_score
    return ngrams if isinstance(ngrams, Ngrams) and language_model.knows_all and alone and not marks else None


def _candidates(scan: FrameScan, blank: int) -> tuple[Any, ...]:
    """The candidates of all frames in a row: where each frame begins, tokens, scores, and the most of one frame."""
    offsets, tokens, scores, widest = [0], list[int](), list[float](), 1
    busy = {index: (tokens, scores) for index, tokens, scores in scan.busy}
    for index, best in enumerate(scan.best):
        of_frame = busy.get(index)
        if of_frame is None:
            tokens.append(blank)
            scores.append(best)
        else:
            tokens += of_frame[0]
            scores += of_frame[1]
            widest = max(widest, len(of_frame[0]))
        offsets.append(len(tokens))
    return np.array(offsets, np.int32), np.array(tokens, np.int32), np.array(scores), widest
