"""Beams as numbers, for the loop that numba compiles where it is installed (the extra `speed`): the same beams as
`ListedBeams`, bit for bit.

The loop scores letters and words itself as far as a vocabulary, our own n-grams and hotwords tell what they score;
other words it asks for, all of a frame at once. Numbers become texts only where somebody reads them.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from copy import copy
from dataclasses import replace
from functools import cache, lru_cache
from types import ModuleType
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streaming_asr.decoding import rows
from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.frames import FrameScan
from streaming_asr.decoding.hotwords import Hotwords
from streaming_asr.decoding.language_model import LanguageModel, NgramLanguageModel, WordLimits
from streaming_asr.decoding.letters import Integers, Letters, tokens_of
from streaming_asr.decoding.listed_beams import ListedBeams, log_sum
from streaming_asr.decoding.ngrams import Ngrams
from streaming_asr.decoding.numbered_words import NumberedWords
from streaming_asr.decoding.readings import denied
from streaming_asr.decoding.search import Beam, BeamWord, common_words, text_of
from streaming_asr.decoding.word_histories import Hypothesis, WordFrames, WordHistory, limits_of, words_of

Reals: TypeAlias = npt.NDArray[np.float64]


@lru_cache
def compiles(alphabet: Alphabet) -> bool:
    """Whether the compiled loop can search with an alphabet: one of letters, whose texts can be read in one way."""
    letters = [label for label in alphabet.labels if label not in ("", " ")]
    one_way = not any(one != other and other.startswith(one) for one in letters for other in letters)
    unique = len(set(alphabet.labels)) == len(alphabet.labels)
    return one_way and unique and not alphabet.is_bpe and not alphabet.by_character


@cache
def compiled_core() -> ModuleType | None:
    """The package of the compiled loop; None without numba."""
    try:
        from streaming_asr.decoding import compiled
    except ImportError:
        return None
    return compiled


class NumberedBeams:
    """The live beams of one search, with the language model and hotwords of its tree.

    The arrays of beams are replaced, never changed in place, so that a shallow copy is a fork.
    """

    _scores: Reals
    _states: Integers

    def __init__(self, listed: ListedBeams, core: Any, language_model: LanguageModel | None) -> None:
        self._core: Final = core
        self._listed: Final = listed
        self._language_model: Final = language_model
        labels, tree = listed.alphabet.labels, listed.tree
        own = language_model if type(language_model) is NgramLanguageModel and language_model.limits else None
        ngrams = None if own is None else _scoring(own, listed.alphabet)
        limits = limits_of(language_model)
        unscored = rows.ZERO if language_model is None else rows.ASKED
        self._rules: Final = rows.Rules(
            np.array(listed.alphabet.opens),
            listed.alphabet.blank,
            listed.width,
            listed.prune,
            limits is not None,
            *((limits or WordLimits()).known, (limits or WordLimits()).unknown),
            tree.adds_in_turn,
            unscored if own is None else rows.KNOWN,
            unscored if ngrams is None else rows.KNOWN,
        )
        self._vocabulary: Final = _vocabulary(labels, own)
        self._levels: Final = rows.Levels(*(_NO_LEVELS if ngrams is None else ngrams.flat))
        self._hotwords: Final = _hot(labels, tree.hotwords, tree.root.earlier_hotword_score)
        self._store = NumberedWords(core, labels, 0 if ngrams is None else ngrams.order)
        self.frames = listed.frames
        self._place(listed.beams, listed.totals)

    @property
    def live(self) -> int:
        """How many beams there are."""
        return len(self._scores[0])

    @property
    def histories(self) -> int:
        """How many sequences of words are kept."""
        return int(self._store.counts[rows.HISTORIES])

    @property
    def state(self) -> Any:
        """The language model's context behind the best beam's complete words."""
        return self._state(int(self._states[rows.HISTORY, 0]))

    def push(self, scan: FrameScan) -> None:
        """Read frames."""
        if not scan.best:
            return
        core, store, alphabet = self._core, self._store, self._listed.alphabet
        frames, widest = _candidates(scan, alphabet.blank, self.frames)
        live, places = self.live, max(self._listed.width, self.live)
        most = places * widest
        scores, states = np.empty((2, places)), np.empty((rows.BEAM_ROWS, places), np.int32)
        scores[:, :live], states[:, :live] = self._scores, self._states
        index = 0
        while index < len(scan.best):
            store.make_room(most)
            known = store.known(scores, states, live, most)
            index = core.advance(index, frames, self._rules, self._vocabulary, self._levels, self._hotwords, known)
            self._answer(known)
            store.take(known)
            live = int(known.counts[rows.BEAMS])
        self._scores, self._states = scores[:, :live].copy(), states[:, :live].copy()
        self.frames += len(scan.best)
        if store.is_crowded:
            self.sift()

    def sift(self) -> None:
        """Forget what no beam needs."""
        self._store, self._states = self._store.sifted(self._scores, self._states)

    def fork(self) -> Self:
        """A copy that goes its own way from here."""
        return copy(self)

    def listed(self) -> ListedBeams:
        """The beams as lists."""
        listed, store = self._listed, self._store
        histories: dict[int, WordHistory] = {0: listed.tree.root}
        chains: dict[int, WordFrames] = {rows.MISSING: None}
        beams: list[Hypothesis] = []
        for logit, number, part, last, spoken, start, end in zip(
            self._scores[0].tolist(), *self._states.tolist(), strict=True
        ):
            for made in _unmade(number, store.histories[rows.BEFORE], histories):
                before, word = store.histories[[rows.BEFORE, rows.WORD], made].tolist()
                histories[made] = listed.tree.completed((histories[before], store.text(word)))
            for made in _unmade(spoken, store.spoken[rows.EARLIER], chains):
                word, earlier = store.told(made)
                chains[made] = (chains[earlier], word.start_frame, word.end_frame)
            prefix = histories[number], store.text(part)
            beams.append((logit, prefix, last, chains[spoken], start, end))
        totals = self._scores[1].tolist()
        return ListedBeams(
            listed.alphabet, listed.width, listed.prune, listed.tree, frames=self.frames, beams=beams, totals=totals
        )

    def readings(self, limit: int, skip: int) -> list[Beam]:
        """The beams as they are told: those that differ only in blanks and delimiters are one."""
        _, order, scores = self._readings()
        best = order[:limit]
        return [
            self._told(beam, logit_score, score, skip)
            for beam, (logit_score, score) in zip(best.tolist(), scores[:, best].T.tolist(), strict=True)
        ]

    def _readings(self) -> tuple[Any, Integers, Reals]:
        """What was read, a beam of each reading, best first, and their scores by the number of the beam."""
        known = self._store.known(self._scores, self._states)
        keys, _ = self._core.endings(known, self._hotwords)
        return known, *self._core.readings(known, keys)

    def doubts(self, skip: int) -> list[float]:
        """For each complete word of the best reading behind the first `skip`, the share of those that deny it."""
        known, order, scores = self._readings()
        totals = scores[rows.TOTAL, order]
        deep = int(self._store.histories[rows.DEEP, self._states[rows.HISTORY, order[0]]])
        return denied((totals - totals[0]).tolist(), self._core.depths(known, order).tolist(), deep)[skip:]

    def agreed(self, skip: int) -> tuple[BeamWord, ...]:
        """The complete words that all beams share, with the best beam's frames, without the first `skip`."""
        shared = self._core.shared(self._store.known(self._scores, self._states))
        deep = int(self._store.histories[rows.DEEP, shared])
        return tuple(self._words(0, skip)[: max(0, deep - skip)])

    def holdable(self, words: Sequence[str], skip: int) -> int:
        """With how many of these words some beam begins, as all do with the first `skip`."""
        examples = dict(zip(self._states[rows.HISTORY].tolist(), range(self.live), strict=True))
        read = ([word.text for word in self._words(beam, skip)] for beam in examples.values())
        return skip + max(common_words(words[skip:], some) for some in read)

    def hold(self, words: Sequence[str]) -> bool:
        """Drop every beam that does not begin with these words; False, and nothing is dropped, where none does."""
        stems = self._core.beginnings(self._store.known(self._scores, self._states), len(words)).tolist()
        examples = {stem: beam for beam, stem in enumerate(stems) if stem != rows.MISSING}
        fitting = {
            stem
            for stem, beam in examples.items()
            if [word.text for word in self._words(beam, 0)[: len(words)]] == list(words)
        }
        kept = [beam for beam, stem in enumerate(stems) if stem in fitting]
        if kept:
            self._scores, self._states = self._scores[:, kept].copy(), self._states[:, kept].copy()
        return bool(kept)

    def finish(self, limit: int | None) -> tuple[list[Beam], Any]:
        """The final readings, best first, and the language model's context behind the best one's words."""
        keys, earned = self._core.endings(self._store.known(self._scores, self._states), self._hotwords)
        ended: dict[tuple[int, int], tuple[float, int]] = {}
        for beam, (logit, key) in enumerate(
            zip(self._scores[0].tolist(), zip(*keys.tolist(), strict=True), strict=True)
        ):
            # As in pyctcdecode, the last one gives the frames.
            ended[key] = (log_sum(ended[key][0], logit) if key in ended else logit, beam)
        totals = {beam: logit + self._ending_score(beam, float(earned[beam])) for logit, beam in ended.values()}
        best = sorted(ended.values(), key=lambda entry: totals[entry[1]], reverse=True)[: self._listed.width]
        floor = totals[best[0][1]] + self._listed.prune
        told = [
            replace(self._told(beam, logit, totals[beam], 0), unfinished=False, language_model_state=self._behind(beam))
            for logit, beam in best[:limit]
            if totals[beam] >= floor
        ]
        _, beam = best[0]
        return told, self._behind(beam) if self._states[rows.PART, beam] else self._state(self._states[0, beam])

    def _ending_score(self, beam: int, earned: float) -> float:
        """What language model and hotwords give to a beam that ends here."""
        if self._language_model is None:
            return earned
        history, part = self._states[:2, beam].tolist()
        last = self._language_model.score_last(self._state(history), self._store.text(part))
        return (float(self._store.history_scores[rows.LANGUAGE, history]) + last) + earned

    def _behind(self, beam: int) -> Any:
        """The language model's context behind a beam that ends here; as in pyctcdecode, behind a delimiter too, where
        it is that behind an unknown word.
        """
        if self._language_model is None:
            return None
        history, part = self._states[:2, beam].tolist()
        return self._language_model.score(self._state(history), self._store.text(part))[1]

    def _words(self, beam: int, skip: int) -> list[BeamWord]:
        """The complete words of a beam behind its first `skip`."""
        store = self._store
        deep = int(store.histories[rows.DEEP, self._states[rows.HISTORY, beam]])
        spoken = int(self._states[rows.SPOKEN, beam])
        words = []
        for _ in range(deep - skip):
            word, spoken = store.told(spoken)
            words.append(word)
        return words[::-1]

    def _told(self, beam: int, logit_score: float, score: float, skip: int) -> Beam:
        """A beam as it is told, without its first `skip` words."""
        store = self._store
        history, part, _, _, start, end = self._states[:, beam].tolist()
        words = self._words(beam, skip)
        if part and store.histories[rows.DEEP, history] >= skip:
            words.append(BeamWord(store.text(part), start, end))
        return Beam(text_of(words), tuple(words), score, logit_score, unfinished=bool(part))

    def _answer(self, known: Any) -> None:
        """Make what the loop asks for."""
        core, store, opens = self._core, self._store, self._listed.alphabet.opens
        if not known.counts[rows.REQUESTS]:
            return
        asked = list(dict.fromkeys(map(tuple, known.requests[: known.counts[rows.REQUESTS]].tolist())))
        words = [request for request in asked if opens[request[2]]]
        if words:
            assert self._language_model is not None, "without a language model no words are asked for"
            scores, states = zip(
                *(self._language_model.score(self._state(history), store.text(part)) for history, part, _ in words),
                strict=True,
            )
            state_rows = np.zeros((len(words), store.histories.shape[0] - rows.STATE + 1), np.int32)
            if self._rules.words == rows.KNOWN:
                for row, state in zip(state_rows, states, strict=True):
                    row[: len(state) + 1] = len(state), *state
            made = core.complete(
                known, self._hotwords, np.array(words, np.int32), np.array(scores, np.float64), state_rows
            )
            if self._rules.words != rows.KNOWN:
                store.states.update(zip(made.tolist(), states, strict=True))
        letters = list(dict.fromkeys((part, token) for _, part, token in asked if not opens[token]))
        if letters:
            self._lengthen(known, letters)

    def _lengthen(self, known: Any, letters: Sequence[tuple[int, int]]) -> list[int]:
        """The letters of nodes and tokens."""
        labels, score = self._listed.alphabet.labels, self._listed.tree.part_scores
        scores = np.array([score[self._store.text(part) + labels[token]] for part, token in letters])
        made = self._core.lengthen(known, self._vocabulary, self._hotwords, np.array(letters, np.int32), scores)
        numbers: list[int] = made.tolist()
        return numbers

    def _state(self, history: int) -> Any:
        """The language model's context behind words."""
        store = self._store
        if self._rules.words != rows.KNOWN:
            return store.states.get(history)
        state = store.histories[rows.ROWS :, history].tolist()
        return tuple(state[1 : 1 + state[0]])

    # From lists to numbers.

    def _place(self, beams: Sequence[Hypothesis], totals: Sequence[float]) -> None:
        """Let these be the beams; the words of the tree's root are number 0."""
        store, tree = self._store, self._listed.tree
        store.parts[[rows.FIRST, rows.WHOLE], 0] = rows.MISSING
        store.parts[rows.HOT, 0] = 0 if tree.hotwords.weights else rows.MISSING
        store.parts[rows.HIGH, 0] = len(self._vocabulary.begins) - 1
        store.counts[rows.PARTS] = 1
        parts = {"": 0}
        histories: dict[WordHistory, int] = {}
        chains: dict[int, int] = {id(None): rows.MISSING}
        self._describe(histories, tree.root, 0)
        placed = []
        for _, (history, part), last, frames, start, end in beams:
            for node in _path(history, histories):
                self._describe(histories, node, self._spell(parts, node.word))
            chain = self._chain(chains, frames, [self._spell(parts, word) for word in words_of(history, 0)])
            placed.append((histories[history], self._spell(parts, part), last, chain, start, end))
        self._scores = np.array([[beam[0] for beam in beams], totals])
        self._states = np.array(placed, np.int32).T.copy()

    def _describe(self, histories: dict[WordHistory, int], history: WordHistory, word: int) -> None:
        """Give complete words the next number; the first ones are the tree's root."""
        store = self._store
        store.make_room(1)
        number = histories[history] = int(store.counts[rows.HISTORIES])
        store.counts[rows.HISTORIES] += 1
        column = store.histories[:, number]
        column[rows.WORD] = word
        column[[rows.DEEP, rows.COUNT]] = history.depth, history.hotword_count
        if number and history.parent is not None:
            column[rows.BEFORE] = histories[history.parent]
            column[rows.ALIKE], store.parts[rows.WHOLE, word] = store.parts[rows.WHOLE, word], number
        if self._rules.words == rows.KNOWN:
            column[rows.ROWS : rows.STATE + len(history.state)] = len(history.state), *history.state
        elif self._language_model is not None:
            store.states[number] = history.state
        scores = store.history_scores[:, number]
        scores[rows.BONUS], scores[rows.LANGUAGE] = history.extra_score, history.language_score
        scores[rows.HOTWORDS] = history.hotword_score

    def _spell(self, parts: dict[str, int], text: str) -> int:
        """The number of the letters of a word."""
        labels, spelled = self._listed.alphabet.labels, ""
        for token in tokens_of(text, labels) if text not in parts else ():
            longer = spelled + labels[token]
            if longer not in parts:
                self._store.make_room(1)
                known = self._store.known(np.empty((2, 0)), np.empty((rows.BEAM_ROWS, 0), np.int32))
                [parts[longer]] = self._lengthen(known, [(parts[spelled], token)])
                self._store.take(known)
            spelled = longer
        return parts[text]

    def _chain(self, chains: dict[int, int], frames: WordFrames, words: Sequence[int]) -> int:
        """The number of the last one of words and when they were spoken."""
        store = self._store
        path = []
        while id(frames) not in chains and frames is not None:
            path.append(frames)
            frames = frames[0]
        number = chains[id(frames)]
        for spoken, word in zip(reversed(path), words[len(words) - len(path) :], strict=True):
            store.make_room(1)
            earlier, number = number, int(store.counts[rows.SPOKENS])
            store.counts[rows.SPOKENS] += 1
            store.spoken[[rows.EARLIER, rows.LATEST, rows.BEGUN, rows.ENDED], number] = earlier, word, *spoken[1:]
            chains[id(spoken)] = number
        return number


def _path(history: WordHistory, known: Container[WordHistory]) -> list[WordHistory]:
    """A history and those before it, the first one first, as far as they are not known."""
    path = []
    node: WordHistory | None = history
    while node is not None and node not in known:
        path.append(node)
        node = node.parent
    return path[::-1]


def _unmade(number: int, before: Integers, made: Container[int]) -> list[int]:
    """A number and those before it, the first one first, as far as nothing was made of them."""
    path = []
    while number not in made:
        path.append(number)
        number = int(before[number])
    return path[::-1]


_NO_LEVELS: Final = (
    np.zeros(0, np.uint32),
    np.zeros(0, np.float32),
    np.zeros(0, np.float32),
    np.zeros(0, np.uint32),
    np.zeros(1, np.int64),
    np.zeros(0, np.int64),
)


def _vocabulary(labels: Sequence[str], language_model: NgramLanguageModel | None) -> Any:
    """What the loop knows of words: all of a language model's, or none."""
    lengths = np.array(list(map(len, labels)), np.int32)
    odd = (lengths > 1).astype(np.int32)
    if language_model is None:
        words, spelled, numbers = Letters.of([]), Letters.of(labels), np.zeros(0, np.int32)
        return rows.Vocabulary(
            words.points, words.begins, spelled.points, spelled.begins, lengths, odd, numbers, 0, 0.0, 0.0, 0.0
        )
    options, spelled = language_model.options, Letters.of(list(map(language_model.cased, labels)))
    words, numbers = language_model.letters
    others = language_model.ngrams.unknown if isinstance(language_model.ngrams, Ngrams) else rows.MISSING
    return rows.Vocabulary(
        words.points,
        words.begins,
        spelled.points,
        spelled.begins,
        lengths,
        odd,
        numbers,
        others,
        options.unk_score_offset,
        options.alpha,
        options.beta,
    )


def _scoring(language_model: NgramLanguageModel, alphabet: Alphabet) -> Ngrams | None:
    """What the loop can score words with itself: where the vocabulary tells them all."""
    ngrams = language_model.ngrams
    marks = any(letter in alphabet.labels for letter in "<>")
    return ngrams if isinstance(ngrams, Ngrams) and language_model.knows_all and not marks else None


def _hot(labels: Sequence[str], hotwords: Hotwords, earlier: float) -> Any:
    """What the loop knows of hotwords, behind what earlier ones have earned."""
    tree = hotwords.tree(labels)
    uniform = hotwords.uniform is not None
    return rows.Hotwords(tree.nodes, tree.scores, tree.whole, uniform, hotwords.uniform or 0.0, earlier)


def _candidates(scan: FrameScan, blank: int, number: int) -> tuple[rows.Frames, int]:
    """The candidates of all frames in a row, and the most of one frame; `number` is that of the first frame."""
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
    arrays = np.array(offsets, np.int32), np.array(tokens, np.int32), np.array(scores)
    return rows.Frames(*arrays, number), widest
