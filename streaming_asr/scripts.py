"""What scripts differ in: where words end without a space, and how wide characters are shown."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_RANGES: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x0F00, 0x0FFF),  # Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x19E0, 0x1AAF),  # Khmer symbols, Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FFF),  # radicals
    (0x3005, 0x3007),  # ideographic iteration mark and zero
    (0x3021, 0x3029),
    (0x3031, 0x303C),
    (0x3041, 0x312F),  # Hiragana, Katakana, Bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xA000, 0xA4CF),  # Yi
    (0xA980, 0xA9DF),  # Javanese
    (0xA9E0, 0xA9FF),
    (0xAA60, 0xAADF),  # Burmese, Tai Viet
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # Katakana of half width
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words: classes ID and SA of Unicode's line breaking (UAX 14), Tibetan, Balinese and
Javanese; not Hangul, which has spaces."""

_STARTS: Final = [start for start, _ in _RANGES]
_SPACING_MARKS: Final = frozenset("ำຳ")
"""Vowels that are letters to Unicode's categories, and belong to the letter before them (UAX 29)."""


@lru_cache(maxsize=4096)
def stands_alone(character: str) -> bool:
    """Whether it is of a script without spaces, and no mark on the character before it."""
    if continues(character):
        return False
    place = bisect_right(_STARTS, ord(character)) - 1
    return place >= 0 and ord(character) <= _RANGES[place][1]


@lru_cache(maxsize=4096)
def continues(character: str) -> bool:
    """Whether it is a mark on the character before it."""
    return unicodedata.category(character)[0] == "M" or character in _SPACING_MARKS


def columns(text: str) -> int:
    """How wide a text is shown: two columns for wide characters, none for marks and controls (UAX 11)."""
    return sum(map(_columns, text))


@lru_cache(maxsize=4096)
def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def joined_texts(parts: Iterable[tuple[str, bool]]) -> str:
    """Texts in a row, each with whether it follows the one before it without a space."""
    return "".join(part if joined else f" {part}" for part, joined in parts).removeprefix(" ")
