"""What `transcribe` writes, where, and when."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from streaming_asr.audio.sources import Source
from streaming_asr.command_line.displays import Display, EventLines
from streaming_asr.command_line.inputs import duration
from streaming_asr.command_line.terminals import live_display, progress_display
from streaming_asr.command_line.transcripts import GrowingTranscript, Input, check_output, format_of, print_text, write
from streaming_asr.errors import OptionError
from streaming_asr.exports import Format

OutputFormat: TypeAlias = Literal["text", "json", "srt", "vtt", "events"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be written where; `format` is None for events, all that a stream says, as it comes."""

    format: Format | None
    output: Path | None
    realtime: bool
    several: bool

    @property
    def lines(self) -> bool:
        """Whether finals go to standard output one by one."""
        return self.format == "text" and self.output is None

    def display(self, label: str, source: Source) -> Display:
        """Where events are shown while they come."""
        if self.format is None:
            return EventLines(sys.stdout)
        if self.realtime:
            return live_display(lines=self.lines, times=False)
        return progress_display(label, duration(source), lines=self.lines)

    def begin(self, label: str) -> None:
        """Name the input above its lines, if it is one of several."""
        if self.several and self.lines:
            print_text(f"==> {label} <==\n")

    def write(self, transcript: GrowingTranscript) -> None:
        """Write the transcript, unless the display has shown it already."""
        if self.format is not None and not self.lines:
            write(transcript, self.format, self.output)


def delivery_of(
    inputs: Sequence[Input], output_format: OutputFormat | None, output: Path | None, *, realtime: bool
) -> Delivery:
    """What the options ask for; an output that cannot be, or that would destroy a recording, is refused.

    Raises:
        OptionError: see `check_output` and `format_of`.
    """
    several = len(inputs) > 1
    if output_format == "events":
        if output is not None:
            raise OptionError(f"--output {output}: events go to standard output only; redirect it")
        return Delivery(None, None, realtime, several)
    chosen: Format = output_format or ("text" if output is None else format_of(output))
    check_output(inputs, chosen, output)
    return Delivery(chosen, output, realtime, several)
