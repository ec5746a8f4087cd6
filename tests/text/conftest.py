"""A text model of random weights: its marks make no sense, but they are marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streaming_asr.text.features import PAUSES
from streaming_asr.text.model import CASES, MARKS, TextModel, packed, save

WORDS = ("one", "twenty", "six", "and", "march", "dollars", "the", "of", "iphone", "well", "i", "hundred")
WIDTH, MEMORY, BLOCKS, HIDDEN, LOOKAHEADS, PIECES = 12, 16, 2, 10, 4, 50


def random_model(folder: Path, *, seed: int = 0, language: str = "en") -> TextModel:
    """A small text model that was written to a folder and read again."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    outputs = len(MARKS) + len(CASES)
    plain = {
        "pauses": draw(PAUSES, WIDTH),
        "going_on": draw(PAUSES, HIDDEN),
        "gain": draw(WIDTH),
        "here": draw(LOOKAHEADS, HIDDEN, WIDTH),
        "here_bias": draw(LOOKAHEADS, HIDDEN),
        "ahead": draw(LOOKAHEADS - 1, HIDDEN, WIDTH),
        "heads": draw(LOOKAHEADS, outputs, HIDDEN),
        "head_biases": draw(LOOKAHEADS, outputs) + np.array([1.5] + [0.0] * (outputs - 1), np.float32),
    }
    for block in range(BLOCKS):
        plain |= {
            f"block{block}_gain": draw(WIDTH),
            f"block{block}_taps": draw(3, WIDTH),
            f"block{block}_inward": draw(3 * MEMORY, WIDTH),
            f"block{block}_bias": draw(3 * MEMORY),
            f"block{block}_outward": draw(WIDTH, MEMORY),
        }
    weights: dict[str, np.ndarray] = {}
    for name, values in plain.items():
        weights |= packed(name, values, as_bytes=False)
    weights |= packed("words", draw(len(WORDS) + 1, WIDTH), as_bytes=True)
    weights |= packed("pieces", draw(PIECES, WIDTH), as_bytes=True)
    save(folder, weights, language=language, words=WORDS, spellings={"iphone": "iPhone"}, blocks=BLOCKS)
    return TextModel.load(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    return random_model(tmp_path_factory.mktemp("text"))


def decided_model(folder: Path, complete: tuple[str, ...], incomplete: tuple[str, ...]) -> TextModel:
    """A text model that takes some words for the end of a sentence, whatever came before, and others never."""
    words = (*complete, *incomplete)
    table = np.zeros((len(words) + 1, 2), np.float32)
    table[1 : len(complete) + 1, 0] = 1
    table[len(complete) + 1 :, 1] = 1
    head = np.zeros((len(MARKS) + len(CASES), 2), np.float32)
    head[MARKS.index("."), 0] = head[0, 1] = head[len(MARKS), 0] = head[len(MARKS), 1] = 10
    plain = {
        "pauses": np.zeros((PAUSES, 2), np.float32),
        "going_on": np.zeros((PAUSES, 2), np.float32),
        "gain": np.ones(2, np.float32),
        "here": np.stack([np.eye(2, dtype=np.float32)] * 2),
        "here_bias": np.zeros((2, 2), np.float32),
        "ahead": np.zeros((1, 2, 2), np.float32),
        "heads": np.stack([head] * 2),
        "head_biases": np.zeros((2, len(head)), np.float32),
        "block0_gain": np.ones(2, np.float32),
        "block0_taps": np.zeros((3, 2), np.float32),
        "block0_inward": np.zeros((3, 2), np.float32),
        "block0_bias": np.zeros(3, np.float32),
        "block0_outward": np.zeros((2, 1), np.float32),
    }
    weights: dict[str, np.ndarray] = {}
    for name, values in plain.items():
        weights |= packed(name, values, as_bytes=False)
    weights |= packed("words", table, as_bytes=True) | packed("pieces", np.zeros((4, 2), np.float32), as_bytes=True)
    save(folder, weights, language="en", words=words, spellings={}, blocks=1)
    return TextModel.load(folder)
