"""Labels, random log-probabilities, a language model and pyctcdecode as the oracle."""

from __future__ import annotations

import importlib.util
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyctcdecode.decoder import _log_softmax

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, Beam

CHARACTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdef'")
WORD_PIECES = ("", "▁", "▁⁇▁", "▁a", "▁ab", "a", "b", "ab", "c", "▁c", "bc", "c▁")
HASHES = ("[PAD]", "[UNK]", "a", "ab", "##a", "##b", "c", "##bc")
WORDS = ("ab", "abc", "cab", "ba", "c", "fed", "a", "dad", "bcc", "bead", "abcabcabc")

Comparable = tuple[str, tuple[tuple[str, int, int], ...], float, float]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("kenlm") is None:
        skip = pytest.mark.skip(reason="kenlm (the extra 'lm') is not installed")
        for item in items:
            if item.get_closest_marker("lm"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def characters() -> Alphabet:
    return Alphabet(CHARACTERS)


@pytest.fixture(scope="session")
def word_pieces() -> Alphabet:
    return Alphabet(WORD_PIECES)


@pytest.fixture(scope="session")
def words() -> tuple[str, ...]:
    """The words that the ARPA file knows."""
    return WORDS


@pytest.fixture(scope="session")
def write_arpa() -> Callable[[Path, Iterable[str]], Path]:
    """Writes a bigram model over some words, with scores that depend on the words alone."""

    def write(path: Path, words: Iterable[str]) -> Path:
        known = list(words)
        chance = random.Random(7)
        unigrams = [f"{chance.uniform(-3, -0.5):.4f}\t{word}\t{chance.uniform(-1, 0):.4f}" for word in known]
        pairs = [(one, other) for one in ["<s>", *known] for other in [*known, "</s>"] if chance.random() < 0.4]
        bigrams = [f"{chance.uniform(-2, -0.1):.4f}\t{one} {other}" for one, other in pairs]
        marks = ["-2.0\t<unk>\t0", "-99\t<s>\t-0.3", "-1.5\t</s>"]
        counts = f"ngram 1={len(unigrams) + len(marks)}\nngram 2={len(bigrams)}\n"
        sections = ["\\1-grams:", *marks, *unigrams, "", "\\2-grams:", *bigrams, "", "\\end\\", ""]
        path.write_text("\\data\\\n" + counts + "\n" + "\n".join(sections), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def arpa(tmp_path_factory: pytest.TempPathFactory, write_arpa: Callable[[Path, Iterable[str]], Path]) -> Path:
    return write_arpa(tmp_path_factory.mktemp("language_model") / "words.arpa", WORDS)


@pytest.fixture(scope="session")
def random_logits() -> Callable[[random.Random, int, int], FloatArray]:
    """Logits (frames, vocabulary): peaky or uncertain, mostly blank or not, sometimes with ties, in both precisions."""

    def make(chance: random.Random, frames: int, vocabulary: int) -> FloatArray:
        generator = np.random.default_rng(chance.getrandbits(32))
        logits: FloatArray = generator.normal(size=(frames, vocabulary)) * chance.choice([1, 2, 4, 8])
        logits[:, 0] += chance.choice([0, 2, 5, 10]) * (generator.random(frames) < chance.choice([0.3, 0.6, 0.9]))
        if chance.random() < 0.2:
            logits = np.round(logits)
        if math.isclose(logits.sum(axis=1).mean(), 1):
            logits += 1  # or pyctcdecode takes them for probabilities
        return logits.astype(np.float32) if chance.random() < 0.3 else logits

    return make


@pytest.fixture(scope="session")
def log_softmax() -> Callable[[FloatArray], FloatArray]:
    """pyctcdecode's own, so that both sides start from the same bits."""

    def apply(logits: FloatArray) -> FloatArray:
        result: FloatArray = _log_softmax(logits, axis=1)
        return result

    return apply


@pytest.fixture(scope="session")
def comparable() -> Callable[[Iterable[Beam]], list[Comparable]]:
    """Our final beams as plain values."""

    def plain(beams: Iterable[Beam]) -> list[Comparable]:
        return [
            (beam.text, tuple((w.text, w.start_frame, w.end_frame) for w in beam.words), beam.logit_score, beam.score)
            for beam in beams
        ]

    return plain


@pytest.fixture(scope="session")
def comparable_oracle() -> Callable[[Iterable[Any]], list[Comparable]]:
    """pyctcdecode's output beams as plain values."""

    def plain(beams: Iterable[Any]) -> list[Comparable]:
        return [
            (text, tuple((word, start, end) for word, (start, end) in frames), float(logit_score), float(score))
            for text, _, frames, logit_score, score in beams
        ]

    return plain
