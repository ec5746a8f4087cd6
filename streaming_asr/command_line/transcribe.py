"""`streaming-asr transcribe`: files to text, subtitles or objects."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from streaming_asr.audio.sources import Source, paced
from streaming_asr.command_line.captioning import caption
from streaming_asr.command_line.consoles import live_stage, progress_stage
from streaming_asr.command_line.failures import INTERRUPTED, Failures
from streaming_asr.command_line.inputs import check_input, duration, open_input
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ModelOptions, RawAudioOptions, RecognitionOptions
from streaming_asr.command_line.recognizers import Ears, open_ears
from streaming_asr.command_line.stages import EventStage, Stage
from streaming_asr.command_line.transcripts import GrowingTranscript, check_output, write
from streaming_asr.errors import OptionError, StreamingAsrError

OutputFormat: TypeAlias = Literal["text", "json", "srt", "vtt", "events"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be written where; `events` is no transcript but all that a stream says, as it comes."""

    output_format: OutputFormat
    output: Path | None
    realtime: bool
    several: bool

    def stage(self, name: str, source: Source) -> Stage:
        """Where events are shown while they come."""
        if self.output_format == "events":
            return EventStage(sys.stdout)
        if self.realtime:
            return live_stage(lines=self._lines, times=False)
        return progress_stage(name, duration(source))

    def write(self, transcript: GrowingTranscript) -> None:
        """Write the transcript, unless the stage has shown it already."""
        if self.output_format != "events" and not (self.realtime and self._lines):
            write(transcript, self.output_format, self.output, several=self.several)

    @property
    def _lines(self) -> bool:
        """Whether finals may go to standard output one by one."""
        return self.output_format == "text" and self.output is None


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Audio or video files; - is standard input.", show_default=False),
    ],
    model: ModelOptions,
    recognition: RecognitionOptions,
    raw: RawAudioOptions,
    output_format: Annotated[
        OutputFormat,
        typer.Option("--format", "-f", help="What to write; events is everything the stream says, as it comes."),
    ] = "text",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="File to write; an existing folder for several inputs."),
    ] = None,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play at the pace of speech and show live captions.")
    ] = False,
) -> None:
    """Turn recordings into text, subtitles (srt, vtt) or JSON.

    Every format that libsndfile or FFmpeg reads is taken, videos too. Standard input (-) may be a whole file or raw
    samples. Ctrl-C ends the audio there: what was heard is still written, and the exit code is 130.

    Examples:

      streaming-asr transcribe talk.mp3

      streaming-asr transcribe *.wav --format srt --output subtitles/

      streaming-asr transcribe call.wav --hotword Streamwell:8 --hotword Ada:8

      ffmpeg -i film.mkv -f s16le -ac 1 -ar 16000 - | streaming-asr transcribe -
    """
    delivery = Delivery(output_format, output, realtime, several=len(files) > 1)
    if output_format != "events":
        check_output(files, output_format, output)
    elif output is not None:
        raise OptionError(f"--output {output}: events go to standard output only; redirect it")
    failures = Failures()
    there = _existing(files, failures)
    if not there:
        raise typer.Exit(failures.code)
    with open_ears(model, recognition) as ears, Interruption() as interruption:
        for name in there:
            if not interruption.asked:
                with failures.told():
                    transcribe_input(name, ears, raw, delivery=delivery, interruption=interruption)
    raise typer.Exit(INTERRUPTED if interruption.asked else failures.code)


def _existing(names: list[str], failures: Failures) -> list[str]:
    """The inputs that are there; the others are told before a model is loaded."""
    there = []
    for name in names:
        with failures.told():
            check_input(name)
            there.append(name)
    return there


def transcribe_input(
    name: str,
    ears: Ears,
    raw: RawAudioOptions,
    *,
    delivery: Delivery,
    interruption: Interruption,
) -> None:
    """Transcribe one input; where it is damaged, what was heard before is written before the error goes on."""
    transcript = GrowingTranscript(name)
    with open_input(name, raw) as source:
        pieces = interruption.until_asked(paced(source) if delivery.realtime else source)
        stream = ears.stream(sample_rate=source.sample_rate, channels=source.channels)
        try:
            with delivery.stage(name, source) as stage:
                caption(stream, pieces, sample_rate=source.sample_rate, stage=stage, transcript=transcript)
        except StreamingAsrError:
            if transcript.finals:
                delivery.write(transcript)
            raise
    delivery.write(transcript)
