"""What was said, as it grows, and where it is written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streaming_asr import events
from streaming_asr.errors import OptionError
from streaming_asr.exports import Format
from streaming_asr.transcript import Transcript

SUFFIXES: Final[dict[Format, str]] = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@dataclass(slots=True)
class GrowingTranscript:
    """What one source has said so far: its finals with words, and the seconds of audio that were pushed."""

    name: str
    finals: list[events.Final] = field(default_factory=list)
    seconds: float = 0.0

    def exported(self, output_format: Format) -> str:
        """All of it in a format, ending in a newline unless it is empty."""
        return Transcript(tuple(self.finals), self.seconds, self.name).export(output_format)


def format_of(path: Path) -> Format:
    """The format that a file's name asks for; text if it says nothing."""
    return next((name for name, suffix in SUFFIXES.items() if suffix == path.suffix.lower()), "text")


def write(transcript: GrowingTranscript, output_format: Format, output: Path | None, *, several: bool) -> None:
    """Write a transcript to its file, or to standard output, there under its name if it is text and one of several."""
    text = transcript.exported(output_format)
    if output is not None:
        path_for(transcript.name, output_format, output).write_text(text, encoding="utf-8")
        return
    heading = f"==> {transcript.name} <==\n" if several and output_format == "text" else ""
    sys.stdout.write(heading + text)
    sys.stdout.flush()


def path_for(name: str, output_format: Format, output: Path) -> Path:
    """The file for the transcript of an input: `output` itself, or in that folder one named after the input."""
    if not output.is_dir():
        return output
    stem = "standard-input" if name == "-" else Path(name).stem
    return output / f"{stem}{SUFFIXES[output_format]}"


def check_output(names: Sequence[str], output_format: Format, output: Path | None) -> None:
    """Refuse, before any work, an output that cannot be written.

    Raises:
        OptionError: its folder is not there, several inputs would share one file, or several subtitles one stream.
    """
    if output is None:
        if len(names) > 1 and output_format in ("srt", "vtt"):
            raise OptionError(f"{len(names)} inputs give {len(names)} {output_format} files; name a folder by --output")
        return
    if not output.is_dir() and not output.absolute().parent.is_dir():
        raise OptionError(f"--output {output}: there is no folder {output.parent}; make it first")
    paths = [path_for(name, output_format, output) for name in names]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise OptionError(f"--output {output}: several inputs would be written to {twice}; name an existing folder")
