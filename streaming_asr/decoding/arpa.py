r"""ARPA files: `\data\` with a count per order, a section `\n-grams:` for each, and `\end\`; gzipped or not.

Format: https://www.speech.sri.com/projects/srilm/manpages/ngram-format.5.html; what stands before
`\data\` is a comment.
"""

from __future__ import annotations

import gzip
import math
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from streaming_asr.decoding.ngrams import MARKS, UNKNOWN, Integers, Ngrams, Reals, make_levels
from streaming_asr.errors import CheckpointError

_DATA: Final = "\\data\\"
_END: Final = "\\end\\"
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = b"\xef\xbb\xbf"
_COMMENT: Final = 65_536
"""The most bytes that a comment may have before `\\data\\`."""


def is_arpa(path: Path) -> bool:
    """Whether a file begins as an ARPA file does, whatever its name."""
    with _opened(path) as file:
        return any(_is(line, _DATA) for line in file.read(_COMMENT).splitlines())


def read_arpa(path: Path) -> Ngrams:
    """The model in an ARPA file; raises CheckpointError with the line for what cannot be understood."""
    with _opened(path) as file:
        return _Reader(file).model()


def read_arpa_words(path: Path) -> list[str]:
    """The words in an ARPA file, without the marks; raises CheckpointError as `read_arpa` does."""
    with _opened(path) as file:
        return _Reader(file).words()


def read_arpa_contexts(path: Path) -> list[str]:
    """The words in an ARPA file, "<s>" among them, that have a backoff weight: what pyctcdecode takes for known."""
    with _opened(path) as file:
        return _Reader(file).contexts()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.open(file) as unpacked:
                yield unpacked
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise CheckpointError(f"{path} is not an ARPA file that can be read: {error}") from error


class _Reader:
    """One pass over the lines of a file, as bytes: only ASCII's white space parts words."""

    def __init__(self, file: BinaryIO | gzip.GzipFile) -> None:
        self._lines = enumerate(file, start=1)
        self._numbers: dict[str, int] = {}

    def model(self) -> Ngrams:
        orders = [self._section(order, count) for order, count in enumerate(self._counts(), start=1)]
        self._expect(_END)
        return Ngrams(list(self._numbers), make_levels(self._numbers, orders))

    def words(self) -> list[str]:
        self._section(1, self._counts()[0])
        return [word for word in self._numbers if word not in MARKS]

    def contexts(self) -> list[str]:
        numbers, _, backoff = self._section(1, self._counts()[0], missing=math.nan)
        names = list(self._numbers)
        return [names[number] for number in numbers[~np.isnan(backoff), 0]]

    def _counts(self) -> list[int]:
        r"""The numbers below `\data\`, up to the empty line behind them."""
        if not any(_is(line, _DATA) for _, line in self._lines):
            raise ValueError(f"it has no line '{_DATA}'")
        counts: list[int] = []
        for number, line in self._lines:
            if not line.strip():
                break
            name, _, count = line.partition(b"=")
            if name.split() != [b"ngram", b"%d" % (len(counts) + 1)] or not count.strip().isdigit():
                raise ValueError(f"line {number} is {_shown(line)}; it must be 'ngram {len(counts) + 1}=NUMBER'")
            counts.append(int(count))
        if not counts:
            raise ValueError("it counts no n-grams")
        return counts

    def _section(self, order: int, count: int, missing: float = 0.0) -> tuple[Integers, Reals, Reals]:
        """The n-grams of one order: numbers of their words (n-grams, order), log10 and backoff (n-grams,).

        An n-gram without a backoff weight has the `missing` one.
        """
        self._expect(f"\\{order}-grams:")
        numbers, log10, backoff = array("i"), array("f"), array("f")
        for line, text in islice(self._lines, count):
            fields = text.split()
            if not order + 1 <= len(fields) <= order + 2:
                raise ValueError(f"line {line} has {len(fields)} fields; a {order}-gram has {order + 1} or {order + 2}")
            try:
                log10.append(float(fields[0]))
                backoff.append(float(fields[order + 1]) if len(fields) == order + 2 else missing)
                numbers.extend(self._number(_text(word), order) for word in fields[1 : order + 1])
            except ValueError as error:
                raise ValueError(f"line {line}: {error}") from error
        return np.array(numbers).reshape(-1, order), np.array(log10), np.array(backoff)

    def _number(self, word: str, order: int) -> int:
        word = UNKNOWN if word == UNKNOWN.upper() else word
        if (order == 1) == (word in self._numbers):
            raise ValueError(f"{word!r} {'comes twice' if order == 1 else 'is no 1-gram'}")
        return self._numbers.setdefault(word, len(self._numbers))

    def _expect(self, mark: str) -> None:
        """Skip empty lines up to this one."""
        for number, line in self._lines:
            if line.strip():
                if _is(line, mark):
                    return
                raise ValueError(f"line {number} is {_shown(line)}; it must be '{mark}'")
        raise ValueError(f"it ends before '{mark}'")


def _is(line: bytes, mark: str) -> bool:
    return line.removeprefix(_BOM).strip() == mark.encode()


def _text(piece: bytes) -> str:
    return piece.decode(errors="replace")


def _shown(line: bytes) -> str:
    return repr(_text(line.strip()[:80]))
