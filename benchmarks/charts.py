"""Small line charts as SVG, for the documentation: readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

COLOURS: Final = ("#3f51b5", "#e07a1f", "#2a9d6f", "#b03a6b")
_WIDTH: Final = 380
_HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 56, 46
_GRID_LINES: Final = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: a value for each label of the chart; None leaves a gap."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over the same labels, from 0 to `highest`; `unit` stands in the title."""

    title: str
    labels: Sequence[str]
    lines: Sequence[Line]
    highest: float


def drawing(charts: Sequence[Chart]) -> str:
    """The charts side by side, as the text of an SVG file."""
    width = _WIDTH * len(charts)
    parts = (part for place, chart in enumerate(charts) for part in _chart(chart, place * _WIDTH))
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" font-family="sans-serif">',
            f'<rect width="{width}" height="{_HEIGHT}" rx="6" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        )
    )


def _chart(chart: Chart, left: int) -> Iterator[str]:
    yield f'<g transform="translate({left} 0)" font-size="11" fill="#333333">'
    yield f'<text x="{_LEFT}" y="20" font-size="13" font-weight="bold">{escape(chart.title)}</text>'
    for step in range(_GRID_LINES + 1):
        value = chart.highest * step / _GRID_LINES
        y = _y(value, chart)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for place, label in enumerate(chart.labels):
        yield f'<text x="{_x(place, chart):.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{escape(label)}</text>'
    for line, colour, place in zip(chart.lines, COLOURS, range(len(COLOURS)), strict=False):
        yield from _line(line, colour, chart)
        x, y = _LEFT + 160 * (place % 2), 30 + 14 * (place // 2)
        yield f'<rect x="{x}" y="{y}" width="10" height="3" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y + 6}">{escape(line.name)}</text>'
    yield "</g>"


def _line(line: Line, colour: str, chart: Chart) -> Iterator[str]:
    points = [(_x(place, chart), _y(value, chart)) for place, value in enumerate(line.values) if value is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _x(place: int, chart: Chart) -> float:
    space = (_WIDTH - _LEFT - _RIGHT) / len(chart.labels)
    return _LEFT + space * (place + 0.5)


def _y(value: float, chart: Chart) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / chart.highest
