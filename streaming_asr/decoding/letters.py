"""Texts as numbers, for a compiled loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

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
