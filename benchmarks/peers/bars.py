"""Two pictures of what `python -m benchmarks.peers --json FILE` wrote: `python -m benchmarks.peers.bars FILE FOLDER`.

`peers-words.svg` has words and cost, `peers-delays.svg` the delays: a bar for each recognizer that was measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

_OURS, _OTHERS = "#3f51b5", "#e07a1f"
_WIDTH, _NAMES, _BAR, _ROW, _TOP = 760, 210, 150, 22, 44

PICTURES: Final = {
    "peers-words.svg": (("word_error_rate", "words wrong", 100, "%"), ("cpu", "CPU seconds per second", 1, "s")),
    "peers-delays.svg": (
        ("first_word", "speech to first word", 1, "s"),
        ("final_median", "end of speech to final, median", 1, "s"),
    ),
}
"""For each picture its two columns: the figure, its title, what it is multiplied by, its unit."""


def drawing(rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str, int, str]]) -> str:
    """Bars as the text of an SVG file, a row for each recognizer."""
    height = _TOP + _ROW * len(rows) + 12
    parts = (part for place, column in enumerate(columns) for part in _column(rows, column, _NAMES + place * 275))
    names = (
        f'<text x="{_NAMES - 8}" y="{_TOP + _ROW * row + 14}" text-anchor="end">{escape(one["name"])}</text>'
        for row, one in enumerate(rows)
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
            f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
            '<g font-size="12" fill="#333333">',
            *names,
            *parts,
            "</g>",
            "</svg>\n",
        )
    )


def _column(rows: Sequence[Mapping[str, Any]], column: tuple[str, str, int, str], left: int) -> Iterator[str]:
    key, title, factor, unit = column
    highest = max((row[key] for row in rows if row[key] is not None), default=0.0) or 1.0
    yield f'<text x="{left}" y="26" font-size="13" font-weight="bold">{escape(title)}</text>'
    for place, row in enumerate(rows):
        value, top = row[key], _TOP + _ROW * place
        if value is None:
            yield f'<text x="{left}" y="{top + 14}" fill="#888888">not measured</text>'
            continue
        width, colour = _BAR * value / highest, _OURS if row["name"].startswith("ours") else _OTHERS
        yield f'<rect x="{left}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 7}" rx="2" fill="{colour}"/>'
        yield f'<text x="{left + width + 6:.1f}" y="{top + 14}">{factor * value:.3g} {unit}</text>'


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    rows = json.loads(options.figures.read_text(encoding="utf-8"))
    for name, columns in PICTURES.items():
        options.folder.joinpath(name).write_text(drawing(rows, columns), encoding="utf-8")


if __name__ == "__main__":
    main()
