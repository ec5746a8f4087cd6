"""Draw the moving picture of the live captions for the README, from the real events of the bundled recording.

    python -m training.captions_picture docs/images/captions.svg

It shows what the terminal shows, second by second, and begins anew at the end. It needs no script: SVG with CSS. Who
has asked the system for less motion sees the last moment.
"""

from __future__ import annotations

import io
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import escape

from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from streaming_asr import Final, Recognizer
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.captions import Captions, after_audio, after_event, final_line, picture
from streaming_asr.command_line.demo import RECORDING

WIDTH: typing.Final = 84
"""Columns of the terminal."""

ROWS: typing.Final = 9
STEP: typing.Final = 0.5
"""Seconds between two frames."""

HOLD: typing.Final = 4
"""Frames for which the last one stays."""

CELL_WIDTH, CELL_HEIGHT, MARGIN, TITLE = 8.4, 20, 16, 34
FONTS: typing.Final = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'
THEME: typing.Final = TerminalTheme(
    (17, 20, 28),
    (226, 230, 238),
    [
        (17, 20, 28),
        (232, 93, 93),
        (126, 200, 120),
        (233, 190, 98),
        (97, 160, 235),
        (190, 130, 220),
        (95, 190, 200),
        (200, 205, 215),
    ],
)

Frame: TypeAlias = Sequence[Sequence[Segment]]
"""What the terminal shows at one moment: lines of styled text."""


def frames() -> Iterator[Frame]:
    """The terminal at every step of the recording."""
    console = Console(width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    captions, lines = Captions(), list[RenderableType]()
    shown = 0.0
    with Recognizer.load() as recognizer, FileSource(RECORDING, piece_ms=50) as source:
        stream = recognizer.stream(sample_rate=source.sample_rate, channels=source.channels)
        for piece in source:
            captions = after_audio(captions, piece, len(piece) / source.sample_rate)
            for event in stream.push(piece):
                captions = after_event(captions, event)
                lines += [final_line(event)] if isinstance(event, Final) else []
            if captions.position >= shown:
                shown += STEP
                yield _render(console, lines, captions)
        lines += [final_line(event) for event in stream.finish() if isinstance(event, Final)]
    yield from [_render(console, lines, Captions(position=captions.position))] * HOLD


def _render(console: Console, lines: Sequence[RenderableType], captions: Captions) -> Frame:
    prompt = Text.assemble(("$ ", "bold"), "streaming-asr demo")
    rows = console.render_lines(Group(*lines, picture(captions, width=WIDTH, height=4)), pad=False)
    return [*console.render_lines(prompt, pad=False), *rows[-(ROWS - 1) :]]


def drawing(shown: Sequence[Frame]) -> str:
    """The frames, one after the other, as the text of an SVG file."""
    width, height = round(WIDTH * CELL_WIDTH) + 2 * MARGIN, ROWS * CELL_HEIGHT + TITLE + MARGIN
    seconds = len(shown) * STEP
    groups = "\n".join(_group(frame, place, len(shown)) for place, frame in enumerate(shown))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
text {{ font: 14px {FONTS}; fill: {_hex(THEME.foreground_color)}; white-space: pre; }}
g {{ visibility: hidden; animation: shown {seconds:g}s step-end infinite; }}
@keyframes shown {{ 0% {{ visibility: visible; }} {100 / len(shown):.4f}% {{ visibility: hidden; }} }}
@media (prefers-reduced-motion: reduce) {{ g {{ animation: none; }} g:last-of-type {{ visibility: visible; }} }}
</style>
<rect width="{width}" height="{height}" rx="8" fill="{_hex(THEME.background_color)}"/>
<circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/>
<circle cx="60" cy="18" r="6" fill="#28c840"/>
{groups}
</svg>
"""


def _group(frame: Frame, place: int, count: int) -> str:
    delay = (place - count) * STEP
    lines = "".join(
        f'<text x="{MARGIN}" y="{TITLE + CELL_HEIGHT * (row + 1)}">{"".join(map(_span, line))}</text>'
        for row, line in enumerate(frame)
        if any(segment.text.strip() for segment in line)
    )
    return f'<g style="animation-delay:{delay:g}s">{lines}</g>'


def _span(segment: Segment) -> str:
    text, style = escape(segment.text.rstrip("\n")), segment.style or Style()
    look = {
        "fill": _hex(tuple(style.color.get_truecolor(THEME))) if style.color and not style.color.is_default else "",
        "font-weight": "bold" if style.bold else "",
        "font-style": "italic" if style.italic else "",
        "opacity": "0.6" if style.dim else "",
    }
    given = "".join(f' {name}="{value}"' for name, value in look.items() if value)
    return f"<tspan{given}>{text}</tspan>" if given else text


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)


def main() -> None:
    Path(sys.argv[1]).write_text(drawing(list(frames())), encoding="utf-8")


if __name__ == "__main__":
    main()
