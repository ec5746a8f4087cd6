"""The text model word by word: which mark stands behind a word, and how the word is written.

The network is that of `training.text.network`, in numpy: a row for the word and the mean of the rows of its pieces,
blocks of a short causal convolution and a gated linear recurrence, and heads for each look ahead. All that it knows of
the past is a `State` of fixed size, so what a word costs does not depend on how many there were before.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from streaming_asr.errors import CheckpointError
from streaming_asr.text.features import PAUSES, piece_rows

Floats: TypeAlias = npt.NDArray[np.float32]
Mark: TypeAlias = Literal["", ",", ".", "?"]
Case: TypeAlias = Literal["lower", "capital", "capitals"]

MARKS: Final[tuple[Mark, ...]] = ("", ",", ".", "?")
CASES: Final[tuple[Case, ...]] = ("lower", "capital", "capitals")

CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "weights.npz"
_FORMAT: Final = 1
_EPSILON: Final = np.float32(1e-6)
_ONE: Final = np.float32(1)

BIASES: Final = "biases"
"""The entry of the configuration with what is added where a mark or a case is chosen."""

_KNOWN_VECTORS: Final = 4096
"""Words whose vectors are kept: a few words are most of what is said, and partials say the same ones again."""


@dataclass(frozen=True, slots=True)
class State:
    """What was read before: per block the last convolution inputs (kernel - 1, width) and the memory (memory,)."""

    taps: tuple[Floats, ...]
    memories: tuple[Floats, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """The text up to a word: the state behind it, and the network's output at it (width,)."""

    state: State
    output: Floats


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model says of a word: the chosen mark behind it and case, and the logits that they were chosen by.

    The capital of a sentence's first word is not in `case`. `logits` are those of `MARKS`, then those of `CASES`.
    """

    mark: Mark
    case: Case
    logits: Floats

    @property
    def marks(self) -> Floats:
        """Probabilities of the marks, in the order of `MARKS`."""
        return _softmax(self.logits[: len(MARKS)])

    @property
    def cases(self) -> Floats:
        """Probabilities of the cases, in the order of `CASES`."""
        return _softmax(self.logits[len(MARKS) :])

    @property
    def completeness(self) -> float:
        """The probability that a sentence is complete with this word."""
        marks = self.marks
        return float(marks[2] + marks[3])


@dataclass(frozen=True, slots=True)
class _Block:
    gain: Floats
    taps: Floats
    inward: Floats
    bias: Floats
    outward: Floats


class TextModel:
    """Marks and capitals for one language, read from a folder; shared by any number of streams, never changed.

    `language` is the code of its language, such as "en". `lookahead` is the most words it looks ahead. `spellings` are
    the words that are written in a way of their own, as "iphone": "iPhone". `biases` (look aheads, marks and cases) are
    added to the logits where one is chosen, as the measured balance of precision and recall asks; probabilities are
    those without them.
    """

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self.language: Final = str(config["language"])
        self.spellings: Final[Mapping[str, str]] = dict(config["spellings"])
        self._rows = {word: row for row, word in enumerate(config["words"], start=1)}
        arrays = {name: restored(name, weights) for name in weights if not name.endswith(_SCALE)}
        self._words, self._pieces = arrays["words"], arrays["pieces"]
        self._pauses, self._going_on = arrays["pauses"], arrays["going_on"]
        self._blocks = [
            _Block(*(arrays[f"block{n}_{name}"] for name in ("gain", "taps", "inward", "bias", "outward")))
            for n in range(int(config["blocks"]))
        ]
        self._gain = arrays["gain"]
        self._here, self._here_bias = arrays["here"], arrays["here_bias"]
        self._ahead, self._heads, self._head_biases = arrays["ahead"], arrays["heads"], arrays["head_biases"]
        self.lookahead: Final = len(self._ahead)
        self.biases: Final = np.zeros_like(self._head_biases) + np.float32(config.get(BIASES, 0))
        self._vector = lru_cache(_KNOWN_VECTORS)(self._new_vector)
        if len(self._pauses) != PAUSES:
            raise CheckpointError(f"the text model has {len(self._pauses)} classes of pauses; {PAUSES} are expected")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder of `training.text.export`.

        Raises:
            CheckpointError: the folder holds no text model, or one that this version does not read.
        """
        try:
            config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
            with np.load(folder / WEIGHTS_FILE) as file:
                weights = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{folder} holds no text model: {error}") from error
        if not isinstance(config, dict) or config.get("format") != _FORMAT:
            raise CheckpointError(f"{folder} is no text model of format {_FORMAT}")
        try:
            return cls(config, weights)
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{folder} is no whole text model: {error!r} is missing or wrong") from error

    @property
    def initial_state(self) -> State:
        """The state before the first word."""
        kernel, width = self._blocks[0].taps.shape
        memory = self._blocks[0].outward.shape[1]
        count = len(self._blocks)
        return State((np.zeros((kernel - 1, width), np.float32),) * count, (np.zeros(memory, np.float32),) * count)

    def read(self, state: State, word: str, pause: int = 0) -> Reading:
        """Read one word, lower case; `pause` is the class of the pause before it, by `pause_class`."""
        hidden = self._vector(word) + self._pauses[pause]
        taps, memories = [], []
        for block, before, memory in zip(self._blocks, state.taps, state.memories, strict=True):
            window = np.concatenate((before, _normalized(hidden, block.gain)[None]))
            inner = _product(block.inward, np.add.reduce(window * block.taps)) + block.bias
            size = len(memory)
            keep, gate = _sigmoid(inner[:size]), inner[2 * size :]
            memory = keep * memory + (_ONE - keep) * inner[size : 2 * size]
            hidden = hidden + block.outward @ (memory * gate * _sigmoid(gate))
            taps.append(window[1:])
            memories.append(memory)
        return Reading(State(tuple(taps), tuple(memories)), _normalized(hidden, self._gain))

    def judge(self, at: Reading, later: Reading | None = None, ahead: int = 0, pause: int = 0) -> Judgement:
        """What stands behind and in the word that `at` has read last.

        `later` is the reading `ahead` words further on. Without it `pause` is the class of the silence that has lasted
        behind the word so far.
        """
        hidden = self._here[ahead] @ at.output + self._here_bias[ahead]
        hidden = hidden + (self._going_on[pause] if later is None else self._ahead[ahead - 1] @ later.output)
        logits = self._heads[ahead] @ (hidden * _sigmoid(hidden)) + self._head_biases[ahead]
        weighed = (logits + self.biases[ahead]).tolist()
        marks, cases = weighed[: len(MARKS)], weighed[len(MARKS) :]
        return Judgement(MARKS[marks.index(max(marks))], CASES[cases.index(max(cases))], logits)

    def _new_vector(self, word: str) -> Floats:
        pieces = self._pieces[piece_rows(word, len(self._pieces))]
        vector: Floats = self._words[self._rows.get(word, 0)] + pieces.mean(0)
        return vector


_SCALE: Final = "_scale"
_LOWEST: Final = np.float32(-30)


def restored(name: str, weights: Mapping[str, npt.NDArray[Any]]) -> Floats:
    """Weights as float32; tables of bytes have a scale for each row."""
    values = weights[name].astype(np.float32)
    return values * weights[name + _SCALE].astype(np.float32)[:, None] if name + _SCALE in weights else values


def packed(name: str, values: Floats, *, as_bytes: bool) -> dict[str, npt.NDArray[Any]]:
    """Weights as they are stored: as bytes with a scale for each row, or as float16."""
    if not as_bytes:
        return {name: values.astype(np.float16)}
    scale = np.maximum(np.abs(values).max(1) / 127, 1e-5).astype(np.float16)
    rounded = np.clip(np.rint(values / scale.astype(np.float32)[:, None]), -127, 127)
    return {name: rounded.astype(np.int8), name + _SCALE: scale}


def save(
    folder: Path,
    weights: Mapping[str, npt.NDArray[Any]],
    *,
    language: str,
    words: Sequence[str],
    spellings: Mapping[str, str],
    blocks: int,
    biases: Sequence[Sequence[float]] = (),
) -> None:
    """Write a folder that `TextModel.load` reads; `words` are those of the rows from 1, `biases` those of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"format": _FORMAT, "language": language, "blocks": blocks}
    config |= {BIASES: [list(one) for one in biases]} if biases else {}
    config |= {"spellings": dict(spellings), "words": list(words)}
    (folder / CONFIG_FILE).write_text(json.dumps(config, ensure_ascii=False) + "\n", encoding="utf-8")
    with (folder / WEIGHTS_FILE).open("wb") as file:
        arrays: dict[str, Any] = dict(weights)
        np.savez_compressed(file, **arrays)


def _product(matrix: Floats, values: Floats) -> Floats:
    """Without BLAS, whose other threads would wait for more, at full speed, some 20 ms after each word."""
    result: Floats = np.einsum("ij,j->i", matrix, values)
    return result


def _normalized(values: Floats, gain: Floats) -> Floats:
    result: Floats = values * (gain / np.sqrt(values @ values / np.float32(len(values)) + _EPSILON))
    return result


def _sigmoid(values: Floats) -> Floats:
    result: Floats = _ONE / (_ONE + np.exp(-np.maximum(values, _LOWEST)))
    return result


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    result: Floats = powers / powers.sum()
    return result
