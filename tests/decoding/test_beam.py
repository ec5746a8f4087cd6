"""Law 4: chunked search is one-shot search, bit for bit, with pyctcdecode 0.5.0 as the oracle."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyctcdecode.alphabet import Alphabet as OracleAlphabet
from pyctcdecode.decoder import BeamSearchDecoderCTC
from pyctcdecode.language_model import AbstractLanguageModel
from pyctcdecode.language_model import LanguageModel as OracleLanguageModel

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import (
    Alphabet,
    Beam,
    BeamSearch,
    KenNgrams,
    LanguageModelOptions,
    NgramLanguageModel,
    read_arpa,
)
from streaming_asr.errors import OptionError, StreamClosedError

CHARACTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdef'")
LABELS = {
    "characters": CHARACTERS,
    "pieces": ("", "▁", "▁⁇▁", "▁a", "▁ab", "a", "b", "ab", "c", "▁c", "bc", "c▁"),
    "hashes": ("[PAD]", "[UNK]", "a", "ab", "##a", "##b", "c", "##bc"),
    "two blanks": ("", "<pad>", "|", "a", "b", "ab", "c"),
}
HOTWORDS = (["ab", "abc"], ["a b", "ab", "cab", "c"], ["bc"])
CASES = 260

Make = Callable[[random.Random, int, int], FloatArray]
Softmax = Callable[[FloatArray], FloatArray]
Plain = Callable[[Any], list[Any]]


class ToyModel(AbstractLanguageModel):  # type: ignore[misc]
    """A word model in plain Python, in pyctcdecode's interface and in ours, so that kenlm is not needed."""

    order = 2

    def get_start_state(self) -> Any:
        return "<s>"

    def score_partial_token(self, partial_token: str) -> float:
        return -0.7 * (len(partial_token) % 3)

    def score(self, prev_state: Any, word: str, is_last_word: bool = False) -> tuple[float, Any]:
        value = -1.1 * len(word) + 0.3 * (len(prev_state) % 4) - (0.9 if word[:1] == "a" else 0.2)
        return (value - 0.45 * len(word) if is_last_word else value), word

    def start(self) -> Any:
        return self.get_start_state()

    def score_last(self, state: Any, word: str) -> float:
        return self.score(state, word, is_last_word=True)[0]

    def score_partial(self, part: str) -> float:
        return self.score_partial_token(part)


def push_in_pieces(search: BeamSearch, log_probs: FloatArray, chance: random.Random) -> None:
    at = 0
    while at < len(log_probs):
        size = chance.choice([1, 2, 3, 7, 20, 60])
        search.push(log_probs[at : at + size])
        at += size
        if chance.random() < 0.2:
            # What one may ask on the way must not change what comes out.
            search.fork().push(log_probs[at - size : at])
            search.beams(3)
            search.agreed()


def options(chance: random.Random) -> dict[str, Any]:
    return {
        "beam_width": chance.choice([1, 2, 5, 20, 50]),
        "beam_prune_logp": chance.choice([-10.0, -3.0, -25.0]),
        "token_min_logp": chance.choice([-5.0, -2.0, -10.0, -1.0]),
    }


def check(
    case: int,
    labels: Sequence[str],
    models: Callable[[random.Random], tuple[Any, Any]],
    random_logits: Make,
    log_softmax: Softmax,
    comparable: Plain,
    comparable_oracle: Plain,
) -> None:
    chance = random.Random(case)
    logits = random_logits(chance, chance.randrange(1, 45), len(labels))
    theirs, ours = models(chance)
    hotwords, weight = chance.choice([None, None, *HOTWORDS]), chance.choice([10.0, 0.1, 3.3])
    settings = options(chance)
    oracle = BeamSearchDecoderCTC(OracleAlphabet.build_alphabet(list(labels)), theirs)
    try:
        wanted = oracle.decode_beams(logits, hotwords=hotwords, hotword_weight=weight, **settings)
    finally:
        oracle.cleanup()
    weights = dict.fromkeys(hotwords, weight) if hotwords else None
    search = BeamSearch(Alphabet(labels), language_model=ours, hotwords=weights, **settings)
    push_in_pieces(search, log_softmax(logits), chance)
    assert comparable(search.finish()) == comparable_oracle(wanted), f"case {case}: {settings}, {weights}"


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("with_model", [False, True], ids=["no model", "toy model"])
def test_any_cut_equals_pyctcdecode_on_the_whole(
    kind: str,
    with_model: bool,
    random_logits: Make,
    log_softmax: Softmax,
    comparable: Plain,
    comparable_oracle: Plain,
) -> None:
    toy = ToyModel() if with_model else None
    for case in range(CASES if kind in ("characters", "pieces") else CASES // 4):
        check(case, LABELS[kind], lambda _: (toy, toy), random_logits, log_softmax, comparable, comparable_oracle)


@pytest.mark.lm
@pytest.mark.parametrize("kind", ["characters", "pieces"])
def test_any_cut_equals_pyctcdecode_with_kenlm(
    kind: str,
    arpa: Path,
    words: Sequence[str],
    random_logits: Make,
    log_softmax: Softmax,
    comparable: Plain,
    comparable_oracle: Plain,
) -> None:
    import kenlm

    model = kenlm.Model(str(arpa))

    def models(chance: random.Random) -> tuple[Any, Any]:
        unigrams = chance.choice([None, [], list(words), [*words[:5], "unheard"]])
        weights: dict[str, Any] = {
            "alpha": chance.choice([0.5, 1.3]),
            "beta": chance.choice([1.5, -0.4]),
            "unk_score_offset": chance.choice([-10.0, -2.2]),
            "score_boundary": chance.random() < 0.5,
        }
        ours = NgramLanguageModel(KenNgrams(model), unigrams, LanguageModelOptions(**weights))
        return OracleLanguageModel(model, unigrams, **weights), ours

    for case in range(CASES):
        check(case, LABELS[kind], models, random_logits, log_softmax, comparable, comparable_oracle)


def test_any_cut_gives_the_same_with_our_own_ngrams(
    arpa: Path, random_logits: Make, log_softmax: Softmax, comparable: Plain
) -> None:
    ngrams = read_arpa(arpa)
    language_model = NgramLanguageModel(ngrams, ngrams.words)
    for case in range(40):
        chance = random.Random(case)
        log_probs = log_softmax(random_logits(chance, 40, len(CHARACTERS)))
        whole, pieces = (BeamSearch(Alphabet(CHARACTERS), language_model=language_model) for _ in range(2))
        whole.push(log_probs)
        cuts = sorted(chance.choices(range(41), k=5))
        for start, end in pairwise([0, *cuts, 40]):
            pieces.push(log_probs[start:end])
        assert comparable(pieces.finish()) == comparable(whole.finish())


@pytest.mark.lm
def test_language_model_state_carries_context_as_pyctcdecode_does(
    arpa: Path,
    words: Sequence[str],
    random_logits: Make,
    log_softmax: Softmax,
    comparable: Plain,
    comparable_oracle: Plain,
) -> None:
    import kenlm

    model = kenlm.Model(str(arpa))
    oracle = BeamSearchDecoderCTC(OracleAlphabet.build_alphabet(list(CHARACTERS)), OracleLanguageModel(model, words))
    ours = NgramLanguageModel(KenNgrams(model), words)
    for case in range(20):
        first, second = (random_logits(random.Random(case + part), 30, len(CHARACTERS)) for part in (0, 1000))
        search = BeamSearch(Alphabet(CHARACTERS), language_model=ours)
        search.push(log_softmax(first))
        search.finish()
        following = BeamSearch(Alphabet(CHARACTERS), language_model=ours, start=search.language_model_state)
        following.push(log_softmax(second))
        wanted = oracle.decode_beams(second, beam_width=50, lm_start_state=search.language_model_state)
        assert comparable(following.finish()) == comparable_oracle(wanted)
    oracle.cleanup()


def rows(text: str, labels: Sequence[str] = CHARACTERS, rest: float = -30.0) -> FloatArray:
    """Log-probabilities (frames, vocabulary) that are certain of one character per frame; "_" is blank."""
    certain = np.full((len(text), len(labels)), rest)
    for frame, character in enumerate(text):
        certain[frame, {"_": 0, " ": 4}.get(character) or labels.index(character) if character != "_" else 0] = 0.0
    return certain


def doubtful(text: str, other: str, share: float, labels: Sequence[str] = CHARACTERS) -> FloatArray:
    """Frames of `text` where `other` has a share of the probability."""
    mixed: FloatArray = np.log(np.exp(rows(text, labels)) * (1 - share) + np.exp(rows(other, labels)) * share)
    return mixed


def test_words_come_with_the_frames_on_which_they_were_said() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(rows("_aa_b  c__d"))
    best = search.finish()[0]
    assert best.text == "ab cd"
    assert [(word.text, word.start_frame, word.end_frame) for word in best.words] == [("ab", 1, 5), ("cd", 7, 11)]


def test_no_more_final_readings_than_are_asked_for() -> None:
    found = []
    for limit in (None, 2, 1):
        search = BeamSearch(Alphabet(CHARACTERS))
        search.push(doubtful("ab a", "ac b", 0.3))
        found.append(search.finish(limit))
    assert found[1] == found[0][:2]
    assert found[2] == found[0][:1]


def test_live_beams_show_the_unfinished_word() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(rows("ab ca"))
    best = search.beams()[0]
    assert (best.text, best.unfinished) == ("ab ca", True)
    assert search.beams(1, skip=1)[0].text == "ca"
    search.push(rows(" "))
    assert (search.beams()[0].text, search.beams()[0].unfinished) == ("ab ca", False)
    assert search.beams(1, skip=2)[0].text == ""


def test_live_beams_of_one_text_are_one_beam() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(doubtful("ab a", "ab__", 0.4))
    texts = [beam.text for beam in search.beams(50)]
    assert len(texts) == len(set(texts))
    assert sorted(texts) == ["ab", "ab a", "aba"]


def test_what_live_beams_agree_on_begins_every_later_result(random_logits: Make, log_softmax: Softmax) -> None:
    agreements = 0
    for case in range(80):
        chance = random.Random(case)
        log_probs = log_softmax(random_logits(chance, 120, len(CHARACTERS)))
        search = BeamSearch(Alphabet(CHARACTERS), beam_width=chance.choice([3, 10, 50]))
        agreed: list[str] = []
        for at in range(0, len(log_probs), 10):
            search.push(log_probs[at : at + 10])
            now = [word.text for word in search.agreed()]
            assert now[: len(agreed)] == agreed
            assert [word.text for word in search.agreed(skip=1)] == now[1:]
            assert all([word.text for word in beam.words[: len(now)]] == now for beam in search.beams(50))
            agreed = now
        agreements += len(agreed)
        assert all([word.text for word in beam.words[: len(agreed)]] == agreed for beam in search.finish())
    assert agreements > 100


@pytest.mark.parametrize("compiled", [True, False])
def test_doubts_are_the_shares_of_readings_that_deny_a_word(
    random_logits: Make, log_softmax: Softmax, compiled: bool
) -> None:
    doubted = 0
    for case in range(40):
        chance = random.Random(case)
        log_probs = log_softmax(random_logits(chance, 60, len(CHARACTERS)))
        search = BeamSearch(Alphabet(CHARACTERS), hotwords=chance.choice([None, ["ab"]]), compiled=compiled)
        for at in range(0, len(log_probs), 15):
            search.push(log_probs[at : at + 15])
            readings = [(_complete(beam), math.exp(beam.score)) for beam in search.beams(50)]
            best, total = readings[0][0], sum(weight for _, weight in readings)
            wanted = [
                sum(weight for words, weight in readings if words[:end] != best[:end]) / total
                for end in range(1, len(best) + 1)
            ]
            assert search.doubts() == pytest.approx(wanted, abs=1e-9)
            assert search.doubts(skip=1) == search.doubts()[1:]
            doubted += sum(0.01 < doubt < 0.99 for doubt in wanted)
    assert doubted > 100


def _complete(beam: Beam) -> list[str]:
    return [word.text for word in beam.words[: len(beam.words) - beam.unfinished]]


@pytest.mark.parametrize("compiled", [True, False])
def test_what_can_be_held_is_what_some_beam_has_completed(compiled: bool) -> None:
    search = BeamSearch(Alphabet(CHARACTERS), compiled=compiled)
    search.push(doubtful("ab a b", "ac a_b", 0.45))
    found = [search.holdable(words.split()) for words in ("ab a b", "ab b", "ac", "ac a", "a", "")]
    assert found == [2, 1, 1, 2, 0, 0]


def test_words_are_not_agreed_before_their_delimiter_in_all_beams() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(rows("ab"))
    assert search.agreed() == ()
    search.push(doubtful(" ", "c", 0.3))
    assert search.agreed() == ()
    search.push(rows("d  "))
    assert [beam.text for beam in search.beams(5)] == ["ab d", "abcd"]
    assert search.agreed() == ()


def test_hold_drops_what_contradicts_now_and_later() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(doubtful("ab a", "ac a", 0.45))
    search.push(doubtful("b ", "b_", 0.45))
    assert {beam.words[0].text for beam in search.beams(50)} == {"ab", "ac"}
    search.hold(["ac"])
    assert {beam.words[0].text for beam in search.beams(50)} == {"ac"}
    assert [word.text for word in search.agreed()] == ["ac"]
    search.push(rows("c"))
    assert {beam.words[0].text for beam in search.finish()} == {"ac"}


def test_hold_also_drops_beams_that_have_not_completed_the_words() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(np.concatenate([rows("ab"), doubtful(" ", "_", 0.4)]))
    search.hold(["ab"])
    search.push(rows("c"))
    assert [beam.text for beam in search.finish()] == ["ab c"]


def test_hold_refuses_words_that_no_beam_has_and_changes_nothing() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(rows("ab a"))
    for words in (["ac"], ["ab", "a"], ["ab", "a", "b"]):
        with pytest.raises(OptionError, match="no live beam begins"):
            search.hold(words)
    search.hold([])
    assert search.finish()[0].text == "ab a"


def test_a_fork_goes_its_own_way(random_logits: Make, log_softmax: Softmax, comparable: Plain) -> None:
    for case in range(12):
        chance = random.Random(case)
        start, left, right = (log_softmax(random_logits(chance, 40, len(CHARACTERS))) for _ in range(3))
        search = BeamSearch(Alphabet(CHARACTERS), hotwords=["ab", "fed"])
        search.push(start)
        fork = search.fork()
        for piece in range(0, 40, 5):
            search.push(left[piece : piece + 5])
            fork.push(right[piece : piece + 5])
        for found, end in ((search, left), (fork, right)):
            alone = BeamSearch(Alphabet(CHARACTERS), hotwords=["ab", "fed"])
            alone.push(np.concatenate([start, end.astype(start.dtype)]))
            if start.dtype == end.dtype:
                assert comparable(found.finish()) == comparable(alone.finish())


def test_blank_frames_cost_nothing_and_change_nothing() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(doubtful("ab", "cd", 0.3))
    before = [beam.text for beam in search.beams(50)]
    search.push(rows("_" * 5000))
    assert search.frames == 5002
    assert [beam.text for beam in search.beams(50)] == before


def test_what_no_beam_has_any_more_is_not_kept() -> None:
    search = BeamSearch(Alphabet(CHARACTERS), beam_width=20)
    chance = np.random.default_rng(1)
    for _ in range(60):
        noise = chance.normal(size=(100, len(CHARACTERS)))
        search.push(noise - np.log(np.exp(noise).sum(axis=1, keepdims=True)))
        # Without this, beams may disagree for ever about the very first word.
        search.hold([word.text for word in search.beams()[0].words[:-1]])
        assert search.histories < 2_500


def test_no_frames_give_one_empty_beam() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.push(np.zeros((0, len(CHARACTERS))))
    assert [(beam.text, beam.words, beam.score) for beam in search.finish()] == [("", (), 0.0)]


def test_a_finished_search_is_over() -> None:
    search = BeamSearch(Alphabet(CHARACTERS))
    search.finish()
    calls: list[Callable[[], Any]] = [
        lambda: search.push(rows("a")),
        search.fork,
        search.beams,
        search.agreed,
        lambda: search.hold([]),
        lambda: search.set_hotwords([]),
        search.finish,
    ]
    for call in calls:
        with pytest.raises(StreamClosedError, match="finished"):
            call()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"beam_width": 0}, "beam_width is 0"),
        ({"beam_prune_logp": 1.0}, "beam_prune_logp is 1.0"),
        ({"token_min_logp": float("nan")}, "token_min_logp is nan"),
        ({"hotwords": "word"}, "must be a list of strings"),
    ],
)
def test_bad_options_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        BeamSearch(Alphabet(CHARACTERS), **settings)


@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 2, 12)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match=r"\(frames, 12\) is needed"):
        BeamSearch(Alphabet(CHARACTERS)).push(np.zeros(shape))


def test_nan_is_refused() -> None:
    with pytest.raises(OptionError, match="NaN"):
        BeamSearch(Alphabet(CHARACTERS)).push(np.full((1, 12), np.nan))
