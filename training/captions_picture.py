"""Draw the picture of the live captions for the README, from the real events of the bundled recording.

    python -m training.captions_picture docs/images/captions.svg [SECOND]

It shows what the terminal shows at that second of the recording.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from streaming_asr import Final, Recognizer
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.captions import Captions, after, final_line, heard, picture
from streaming_asr.command_line.demo import RECORDING

WIDTH = 84
THEME = TerminalTheme(
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

WEB_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""rich has the picture load its font from a server of others; any monospaced font will do."""


def draw(console: Console, second: float) -> None:
    """Print to the console what the terminal shows at that second."""
    captions = Captions()
    with Recognizer.load() as recognizer, FileSource(RECORDING, piece_ms=50) as source:
        stream = recognizer.stream(sample_rate=source.sample_rate, channels=source.channels)
        for piece in source:
            captions = heard(captions, piece, len(piece) / source.sample_rate)
            for event in stream.push(piece):
                captions = after(captions, event)
                if isinstance(event, Final):
                    console.print(final_line(event))
            if captions.position >= second:
                break
    console.print(picture(captions, width=WIDTH, height=10))


def main() -> None:
    target, second = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 13.0
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print("[bold]$[/] streaming-asr demo", highlight=False)
    draw(console, second)
    drawing = console.export_svg(title="streaming-asr demo", theme=THEME)
    target.write_text(WEB_FONT.sub("", drawing), encoding="utf-8")


if __name__ == "__main__":
    main()
