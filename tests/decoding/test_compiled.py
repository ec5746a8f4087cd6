"""The compiled loop finds the beams of the loop in Python, to the last bit, whatever it is asked for in between."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import (
    Alphabet,
    Beam,
    BeamSearch,
    LanguageModelOptions,
    NgramLanguageModel,
    numbered_words,
    read_arpa,
    warm_up_search,
)
from streaming_asr.decoding import beam as beam_module
from streaming_asr.decoding import compiled as core
from streaming_asr.errors import MissingExtraError

CHARACTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdef'")
UPPER = ("<pad>", "|", *"ABCDEF")
HOTWORDS: tuple[Any, ...] = (None, ["ab", "abc"], {"cab": 4.0, "b": -1.5}, ["a b", "fed"])

Models = dict[str, Any]


class Remembering:
    """A language model in plain Python, of which nothing is known."""

    def start(self) -> str:
        return ""

    def score(self, state: str, word: str) -> tuple[float, str]:
        return -0.7 * len(word) + 0.3 * (len(state) % 4), word

    def score_last(self, state: str, word: str) -> float:
        return self.score(state, word)[0] - 0.4

    def score_partial(self, part: str) -> float:
        return -0.6 * (len(part) % 3)


@pytest.fixture(scope="session")
def models(arpa: Path, words: Sequence[str]) -> Models:
    ngrams = read_arpa(arpa)
    heavy = LanguageModelOptions(alpha=2.0, beta=-3.0, unk_score_offset=-0.5)
    return {
        "none": None,
        "all words": NgramLanguageModel(ngrams, ngrams.words),
        "all words, heavy": NgramLanguageModel(ngrams, ngrams.words, heavy),
        "some words": NgramLanguageModel(ngrams, [*words[:5], "unheard"]),
        "no vocabulary": NgramLanguageModel(ngrams, None),
        "no words": NgramLanguageModel(ngrams, []),
        "in lower case": NgramLanguageModel(ngrams, ngrams.words, case="lower"),
        "without boundaries": NgramLanguageModel(ngrams, ngrams.words, LanguageModelOptions(score_boundary=False)),
        "upside down": NgramLanguageModel(ngrams, ngrams.words, LanguageModelOptions(alpha=-0.5)),
        "unknown words are better": NgramLanguageModel(ngrams, ngrams.words, LanguageModelOptions(unk_score_offset=3)),
        "in Python": Remembering(),
    }


def log_probs_of(chance: np.random.Generator, frames: int, labels: int, spread: float, blank: float) -> FloatArray:
    """Log-probabilities (frames, labels), sometimes with ties."""
    logits = chance.normal(size=(frames, labels)) * spread
    logits[:, 0] += blank * (chance.random(frames) < 0.6)
    logits = np.round(logits) if chance.random() < 0.2 else logits
    result: FloatArray = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return result.astype(np.float32) if chance.random() < 0.3 else result


def told(search: BeamSearch, log_probs: FloatArray, chance: random.Random) -> list[Any]:
    """All that is seen of a search while it is pushed pieces, forked, held and given other hotwords."""
    seen: list[Any] = []
    at = 0
    kept = search.fork()
    while at < len(log_probs):
        size = chance.choice([1, 2, 7, 20])
        search.push(log_probs[at : at + size])
        at += size
        fork = search.fork()
        fork.push(log_probs[at : at + 5])
        kept.push(log_probs[at : at + 3])
        seen += [search.beams(200), search.agreed(), search.live, search.language_model_state]
        seen += [fork.beams(200), kept.beams(3, skip=1), kept.agreed(skip=1), fork.doubts(), kept.doubts(skip=1)]
        words = [word.text for word in fork.beams()[0].words]
        agreed = len(search.agreed())
        assert search.holdable(words, agreed) == search.holdable(words) >= min(agreed, len(words))
        seen.append(search.holdable(words))
        if chance.random() < 0.2:
            seen += [kept.finish(), kept.language_model_state]
            kept = fork
        if chance.random() < 0.1:
            search.hold([word.text for word in search.beams()[0].words[:-1] if len(search.agreed()) > 0][:1])
        if chance.random() < 0.1:
            search.set_hotwords(chance.choice(HOTWORDS))
    return [*seen, search.finish(chance.choice([None, 2])), search.language_model_state]


@pytest.mark.parametrize(
    "model",
    [
        "none",
        "all words",
        "all words, heavy",
        "some words",
        "no vocabulary",
        "no words",
        "in lower case",
        "without boundaries",
        "upside down",
        "unknown words are better",
        "in Python",
    ],
)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    frames=st.integers(1, 60),
    spread=st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    blank=st.sampled_from([0.0, 3.0, 10.0]),
    width=st.sampled_from([1, 3, 20, 50]),
    prune=st.sampled_from([-10.0, -3.0, -25.0]),
    least=st.sampled_from([-5.0, -2.0, -10.0]),
    hotwords=st.sampled_from(HOTWORDS),
)
def test_both_loops_find_the_same_beams(
    models: Models,
    model: str,
    seed: int,
    frames: int,
    spread: float,
    blank: float,
    width: int,
    prune: float,
    least: float,
    hotwords: Any,
) -> None:
    labels = UPPER if model == "in lower case" else CHARACTERS
    log_probs = log_probs_of(np.random.default_rng(seed), frames, len(labels), spread, blank)
    options = {"beam_width": width, "beam_prune_logp": prune, "token_min_logp": least, "hotwords": hotwords}
    found = []
    for compiled in (True, False):
        search = BeamSearch(Alphabet(labels), language_model=models[model], compiled=compiled, **options)
        assert search.compiled is compiled
        found.append(told(search, log_probs, random.Random(seed)))
    assert found[0] == found[1]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    model=st.sampled_from(["none", "all words", "some words", "in Python"]),
    spread=st.sampled_from([2.0, 4.0]),
    hotwords=st.sampled_from(HOTWORDS),
)
def test_the_same_beams_with_room_for_next_to_nothing(
    models: Models, model: str, seed: int, spread: float, hotwords: Any
) -> None:
    log_probs = log_probs_of(np.random.default_rng(seed), 60, len(CHARACTERS), spread, 3.0)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"_PLACES": 1, "_MOST_WORDS": 3, "_MOST_PARTS": 5, "_SLOTS": 4}.items():
            patch.setattr(numbered_words, name, value)
        found = []
        for compiled in (True, False):
            search = BeamSearch(
                Alphabet(CHARACTERS), language_model=models[model], compiled=compiled, hotwords=hotwords, beam_width=20
            )
            found.append(told(search, log_probs, random.Random(seed)))
    assert found[0] == found[1]


def test_a_long_utterance_keeps_no_more_than_it_needs(models: Models) -> None:
    searches = [BeamSearch(Alphabet(CHARACTERS), language_model=models["none"], compiled=way) for way in (True, False)]
    chance = np.random.default_rng(3)
    for _ in range(60):
        log_probs = log_probs_of(chance, 100, len(CHARACTERS), 2.0, 3.0)
        seen: list[list[Beam]] = []
        for search in searches:
            search.push(log_probs)
            search.hold([word.text for word in search.beams()[0].words[:-1]])
            seen.append(search.beams(50))
        assert seen[0] == seen[1]
        assert searches[0].histories < 2_500


@pytest.mark.parametrize("model", ["none", "all words", "some words", "in Python"])
def test_nothing_is_compiled_behind_the_warm_up(models: Models, model: str) -> None:
    alphabet = Alphabet(CHARACTERS)
    warm_up_search(alphabet, models[model])
    functions = [getattr(core, name) for name in core.__all__]
    before = [len(function.signatures) for function in functions]
    log_probs = log_probs_of(np.random.default_rng(1), 200, len(CHARACTERS), 4.0, 3.0)
    told(BeamSearch(alphabet, language_model=models[model], hotwords=["ab"]), log_probs, random.Random(1))
    assert [len(function.signatures) for function in functions] == before


@pytest.mark.parametrize(
    "alphabet",
    [
        Alphabet(["", "▁", "▁a", "a", "b"]),
        Alphabet(["", " ", "a", "ab", "b"]),
        Alphabet(["", "<pad>", "|", "a"]),
        Alphabet(["", "|", "中", "国"], by_character=True),
    ],
    ids=["pieces", "texts that can be read in two ways", "two blanks", "characters that are words"],
)
def test_other_alphabets_take_the_loop_in_python(alphabet: Alphabet) -> None:
    assert not BeamSearch(alphabet).compiled
    assert not BeamSearch(Alphabet(CHARACTERS), history_words=2).compiled


def test_without_numba_the_loop_in_python_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    monkeypatch.setattr(beam_module, "compiled_core", nothing)
    assert not BeamSearch(Alphabet(CHARACTERS)).compiled
    with pytest.raises(MissingExtraError, match=r"streaming-asr\[speed\]"):
        BeamSearch(Alphabet(CHARACTERS), compiled=True)
