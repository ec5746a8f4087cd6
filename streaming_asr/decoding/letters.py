"""Texts as numbers, for a compiled loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Letters:
    """The code points of texts in a row, and where each text begins, shape (texts + 1,)."""

    points: Integers
    begins: Integers

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Texts in the same order."""
        points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<i4").astype(np.int32)
        return cls(points, np.cumsum([0, *map(len, texts)], dtype=np.int32))

    def __len__(self) -> int:
        return len(self.begins) - 1


def tokens_of(text: str, labels: Sequence[str]) -> list[int]:
    """The labels that a text is put together of, from its start as far as they go; none begins with another one."""
    numbers = {label: token for token, label in enumerate(labels) if label}
    longest = max(map(len, numbers), default=0)
    tokens: list[int] = []
    at = 0
    while at < len(text):
        fitting = (numbers.get(text[at : at + length]) for length in range(1, longest + 1))
        token = next((token for token in fitting if token is not None), None)
        if token is None:
            break
        tokens.append(token)
        at += len(labels[token])
    return tokens


class LetterTree:
    """The beginnings of texts, label by label.

    Attributes:
        nodes: (3, nodes): the first of those that go on, the next one that goes on from the same, the last label; -1
            for none. Node 0 has no letters.
        texts: the letters of each node.
    """

    def __init__(self, labels: Sequence[str], texts: Iterable[str]) -> None:
        rows, self.texts = [[-1, -1, -1]], [""]
        children: dict[tuple[int, int], int] = {}
        for text in texts:
            node = 0
            for token in tokens_of(text, labels):
                child = children.get((node, token))
                if child is None:
                    child = children[node, token] = len(rows)
                    rows.append([-1, rows[node][0], token])
                    rows[node][0] = child
                    self.texts.append(self.texts[node] + labels[token])
                node = child
        self.nodes: Final[Integers] = np.array(rows, np.int32).T.copy()
