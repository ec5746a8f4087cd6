"""What the text model reads of a word: a row for the word itself, rows for its pieces, and the pause before it."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final
from zlib import crc32

PAUSE_BOUNDS: Final = (0.06, 0.16, 0.3, 0.5, 0.8, 1.3)
"""Seconds that part the classes of pauses."""

PAUSES: Final = len(PAUSE_BOUNDS) + 2
"""Classes of pauses; class 0 is a pause that nobody measured."""

_SHORTEST_AFFIX: Final = 2
_LONGEST_AFFIX: Final = 4
_PIECE: Final = 3


def pause_class(seconds: float | None) -> int:
    """The class of a pause; None is one that nobody measured."""
    return 0 if seconds is None else 1 + bisect_right(PAUSE_BOUNDS, seconds)


def piece_rows(word: str, rows: int) -> list[int]:
    """The rows, from 0, that stand for the beginnings, ends and inner pieces of a word in a table of `rows` rows.

    Pieces share rows by their hash, so that words nobody listed have a meaning by their spelling (cf. Bojanowski et
    al. 2017, section 3.2).
    """
    marked = f"<{word}>"
    affixes = range(_SHORTEST_AFFIX, min(_LONGEST_AFFIX, len(marked) - 1) + 1)
    pieces = {f"^{marked[:size]}" for size in affixes} | {f"{marked[-size:]}$" for size in affixes}
    pieces |= {marked[at : at + _PIECE] for at in range(1, len(marked) - _PIECE)}
    return [crc32(piece.encode()) % rows for piece in sorted(pieces)]
