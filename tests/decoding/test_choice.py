"""Leaving out early what will be dropped changes nothing, to the last bit."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import (
    Alphabet,
    Beam,
    BeamSearch,
    LanguageModel,
    LanguageModelOptions,
    NgramLanguageModel,
    read_arpa,
)

Make = Callable[..., FloatArray]
Softmax = Callable[[FloatArray], FloatArray]

CHARACTERS = ["<pad>", "|", *"abcdef'"]
PIECES = ["<pad>", "▁a", "▁ab", "a", "b", "ab", "▁b", "c", "▁ca", "ca", "<unk>"]


class WithoutLimits:
    """The same language model, of which nothing is known beforehand."""

    def __init__(self, model: LanguageModel) -> None:
        self.start = model.start
        self.score = model.score
        self.score_last = model.score_last
        self.score_partial = model.score_partial


def beams(log_probs: FloatArray, labels: Sequence[str], model: Any, **settings: Any) -> list[list[Beam]]:
    """The live beams after every seventh frame, and those of the end."""
    search = BeamSearch(Alphabet(labels), language_model=model, **settings)
    told = []
    for at in range(0, len(log_probs), 7):
        search.push(log_probs[at : at + 7])
        told.append(search.beams(200))
    return [*told, search.finish()]


@pytest.mark.parametrize("labels", [CHARACTERS, PIECES], ids=["characters", "pieces"])
@pytest.mark.parametrize(
    "options",
    [
        LanguageModelOptions(),
        LanguageModelOptions(alpha=2.0, beta=-3.0),
        LanguageModelOptions(unk_score_offset=-0.5),
        LanguageModelOptions(unk_score_offset=3.0),
        LanguageModelOptions(alpha=-0.5),
    ],
    ids=["usual", "heavy", "unknown words are welcome", "unknown words are better", "upside down"],
)
@pytest.mark.parametrize("listed", [True, False], ids=["vocabulary", "no vocabulary"])
def test_a_language_model_with_limits_gives_the_same_beams(
    labels: list[str],
    options: LanguageModelOptions,
    listed: bool,
    arpa: Path,
    words: Sequence[str],
    random_logits: Make,
    log_softmax: Softmax,
) -> None:
    model = NgramLanguageModel(read_arpa(arpa), words if listed else None, options)
    for case in range(12):
        chance = random.Random(case)
        log_probs = log_softmax(random_logits(chance, chance.randrange(5, 45), len(labels)))
        settings = {
            "beam_width": chance.choice([3, 20, 50]),
            "beam_prune_logp": chance.choice([-10.0, -3.0, -1.0]),
            "token_min_logp": chance.choice([-5.0, -10.0]),
        }
        found = beams(log_probs, labels, model, **settings)
        assert found == beams(log_probs, labels, WithoutLimits(model), **settings), f"case {case}: {settings}"


class OnlyLetters:
    """A language model that says nothing, and of which nothing is known."""

    def start(self) -> None:
        return None

    def score(self, state: None, word: str) -> tuple[float, None]:
        return 0.0, None

    def score_last(self, state: None, word: str) -> float:
        return 0.0

    def score_partial(self, part: str) -> float:
        return 0.0


@pytest.mark.parametrize("labels", [CHARACTERS, PIECES], ids=["characters", "pieces"])
def test_without_a_language_model_the_beams_are_the_same_too(
    labels: list[str], random_logits: Make, log_softmax: Softmax
) -> None:
    for case in range(12):
        chance = random.Random(case)
        log_probs = log_softmax(random_logits(chance, chance.randrange(5, 45), len(labels)))
        settings = {"beam_prune_logp": chance.choice([-10.0, -3.0, -1.0])}
        assert beams(log_probs, labels, None, **settings) == beams(log_probs, labels, OnlyLetters(), **settings)


def test_limits_are_not_believed_where_letters_are_written_by_what_follows(arpa: Path) -> None:
    ngrams = read_arpa(arpa)
    model = NgramLanguageModel(ngrams, None, case="lower")
    assert model.limits is None
    assert NgramLanguageModel(ngrams, ["abc"], case="lower").limits is not None
    assert math.isfinite(ngrams.highest)
