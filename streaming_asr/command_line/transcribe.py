"""`streaming-asr transcribe`: files to text, subtitles or objects."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.delivery import Delivery, OutputFormat, delivery_of
from streaming_asr.command_line.failures import Failures
from streaming_asr.command_line.inputs import STANDARD_INPUT, check_input, is_pipe, is_raw
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ChoiceOptions, ModelOptions, RawAudioOptions, RecognitionOptions
from streaming_asr.command_line.transcripts import Input
from streaming_asr.command_line.work import Wish, Work
from streaming_asr.command_line.workers import MOST_WORKERS, usable_cores
from streaming_asr.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What is written, and where."""

    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            "-f",
            help="What to write; events is everything the stream says, as it comes.",
            show_default="what the name of --output says, else text",
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="File to write; an existing folder for several inputs."),
    ] = None


def transcribe(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Audio or video files; - is standard input.", show_default=False),
    ],
    model: ModelOptions,
    recognition: RecognitionOptions,
    raw: RawAudioOptions,
    choice: ChoiceOptions,
    writing: OutputOptions,
    realtime: Annotated[
        bool, typer.Option("--realtime", help="Play at the pace of speech and show live captions.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processes for a long recording.",
            show_default=f"one for each core, {MOST_WORKERS} at most",
        ),
    ] = None,
) -> None:
    """Turn recordings into text, subtitles (srt, vtt) or JSON.

    Everything that FFmpeg reads is taken, videos too. Standard input (-), like any pipe, may be a whole file or raw
    samples; text comes line by line as it is final. Ctrl-C ends the audio there: what was heard is still written.

    Examples:

      streaming-asr transcribe talk.mp3

      streaming-asr transcribe *.wav --format srt --output subtitles/

      streaming-asr transcribe film.mkv --track eng --output film.srt

      streaming-asr transcribe call.wav --hotword Streamwell:8 --channel each

      arecord -f S16_LE -r 16000 -t wav | streaming-asr transcribe -
    """
    failures = Failures()
    inputs = _inputs(files, raw, choice, failures)
    if not inputs:
        raise typer.Exit(failures.code)
    delivery = delivery_of(inputs, writing.output_format, writing.output, realtime=realtime)
    wish = Wish(model, recognition, raw, choice, _worker_count(workers, model, delivery))
    with ExitStack() as stack, Interruption() as interruption:
        work = Work(stack, wish, delivery, interruption)
        for one in inputs:
            if not interruption.asked:
                work.prepare(one)
                with failures.told():
                    work.transcribe(one)
    raise typer.Exit(interruption.exit_code if interruption.exit_code is not None else failures.code)


def _inputs(names: Sequence[str], raw: RawAudioOptions, choice: ChoiceOptions, failures: Failures) -> list[Input]:
    """The inputs that are there, or their channels; the others are told before a model is loaded."""
    inputs: list[Input] = []
    for name in names:
        with failures.told():
            check_input(name)
            if choice.each_channel:
                inputs += [Input(name, channel, apart=True) for channel in range(_channels(name, raw, choice))]
            else:
                inputs.append(Input(name, choice.one_channel))
    return inputs


def _channels(name: str, raw: RawAudioOptions, choice: ChoiceOptions) -> int:
    if name == STANDARD_INPUT or is_pipe(name):
        raise OptionError(f"--channel each: {name} can be read only once; name a file, or one channel")
    if is_raw(name):
        return raw.channels
    with FileSource(name, track=choice.track_key) as source:
        return source.file_channels


def _worker_count(asked: int | None, model: ModelOptions, delivery: Delivery) -> int:
    """Processes that a long recording gets; 1 where parts cannot be recognized apart."""
    if delivery.format is None or delivery.realtime or model.server is not None or model.device != "cpu":
        return 1
    return asked or min(usable_cores(), MOST_WORKERS)
