"""What was said, as it grows, and where it is written."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streaming_asr import events
from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.sniffing import ENOUGH_BYTES, is_container
from streaming_asr.command_line.hints import SoundCheck
from streaming_asr.errors import OptionError
from streaming_asr.exports import Format
from streaming_asr.transcript import Transcript

SUFFIXES: Final[dict[Format, str]] = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@dataclass(frozen=True, slots=True)
class Input:
    """What one transcript is of: a file, or one channel of it that is recognized by itself."""

    name: str
    channel: int | None = None
    apart: bool = False
    """Whether the other channels have transcripts of their own."""

    @property
    def label(self) -> str:
        """What it is called in headings and messages."""
        name = "standard input" if self.name == "-" else self.name
        return f"{name}, channel {self.channel}" if self.apart else name

    @property
    def stem(self) -> str:
        """What its transcript is called in a folder of transcripts."""
        stem = "standard-input" if self.name == "-" else Path(self.name).stem
        return f"{stem}.channel-{self.channel}" if self.apart else stem


@dataclass(slots=True)
class GrowingTranscript:
    """What one source has said so far: its finals with words, and the audio that was pushed."""

    input: Input
    finals: list[events.Final] = field(default_factory=list)
    sound: SoundCheck = field(default_factory=SoundCheck)

    @property
    def seconds(self) -> float:
        """Of audio that was pushed."""
        return self.sound.seconds

    def take_audio(self, piece: Frames, seconds: float) -> None:
        """Take note of a piece, (frames, channels), of some seconds."""
        self.sound.push(piece, seconds)

    def exported(self, output_format: Format) -> str:
        """All of it in a format, ending in a newline unless it is empty."""
        text = Transcript(tuple(self.finals), self.seconds, self.input.name).export(output_format)
        if output_format != "json" or not self.input.apart:
            return text
        values = json.loads(text)
        return (
            json.dumps({"file": values.pop("file"), "channel": self.input.channel} | values, ensure_ascii=False) + "\n"
        )


def format_of(path: Path) -> Format:
    """The format that a file's name asks for; text if it has no suffix, or is a folder.

    Raises:
        OptionError: its suffix says no format.
    """
    suffix = path.suffix.lower()
    if not suffix or path.is_dir():
        return "text"
    for name, known in SUFFIXES.items():
        if suffix == known:
            return name
    raise OptionError(f"{path}: {suffix} says no format; end it in {', '.join(SUFFIXES.values())}, or give --format")


def write(transcript: GrowingTranscript, output_format: Format, output: Path | None) -> None:
    """Write a transcript to its file, or to standard output; there too where the file cannot be written.

    Raises:
        OSError: it could not be written where it should.
    """
    if output is None:
        print_text(transcript.exported(output_format))
        return
    try:
        save_as(transcript, output_format, path_for(transcript.input, output_format, output))
    except OSError as error:
        print_text(transcript.exported(output_format))
        raise OSError(f"{error}; the transcript is on standard output") from error


def save_as(transcript: GrowingTranscript, output_format: Format, path: Path) -> None:
    """Write a transcript to a file; raises OSError, which names it."""
    try:
        # In JSON stand names of files, which need not be UTF-8.
        path.write_text(transcript.exported(output_format), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}") from error


def print_text(text: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def path_for(source: Input, output_format: Format, output: Path) -> Path:
    """The file for the transcript of an input: `output` itself, or in that folder one named after the input."""
    return output / f"{source.stem}{SUFFIXES[output_format]}" if output.is_dir() else output


def check_output(inputs: Sequence[Input], output_format: Format, output: Path | None) -> None:
    """Refuse, before any work, an output that cannot be written, or that would destroy a recording.

    Raises:
        OptionError: its folder is not there, several inputs would share one file, or several subtitles one stream.
    """
    if output is None:
        if len(inputs) > 1 and output_format in ("srt", "vtt"):
            count = len(inputs)
            raise OptionError(f"{count} inputs give {count} {output_format} files; name a folder by --output")
        if getattr(sys.stdout, "name", None) == os.devnull:
            raise OptionError("standard output is closed; name a file by --output")
        return
    if not output.is_dir() and not output.absolute().parent.is_dir():
        raise OptionError(f"{output}: there is no folder {output.parent}; make it first")
    paths = [path_for(source, output_format, output) for source in inputs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise OptionError(f"{output}: several inputs would be written to {twice}; name an existing folder")
    for path in paths:
        _check_not_audio(path, inputs)


def _check_not_audio(path: Path, inputs: Sequence[Input]) -> None:
    if not path.exists():
        return
    if any(os.path.exists(source.name) and path.samefile(source.name) for source in inputs):
        raise OptionError(f"{path} is an input; it is not overwritten, name another output")
    if path.is_file():
        with path.open("rb") as file:
            if is_container(file.read(ENOUGH_BYTES)):
                raise OptionError(f"{path} is a recording; it is not overwritten, name another output")
