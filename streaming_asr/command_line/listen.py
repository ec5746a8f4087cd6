"""`streaming-asr listen`: the microphone as live captions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.microphone import Microphone
from streaming_asr.command_line.captioning import caption
from streaming_asr.command_line.consoles import announce, live_stage
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognizers import open_ears
from streaming_asr.command_line.transcripts import GrowingTranscript, check_output, format_of, path_for


def listen(
    model: ModelOptions,
    recognition: RecognitionOptions,
    microphone: Annotated[
        str | None,
        typer.Option(
            "--microphone",
            "-m",
            metavar="NAME",
            help="Index or part of the name, as `streaming-asr devices` lists them.",
            show_default="the system's",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            "-s",
            metavar="PATH",
            help="Keep the transcript there too: .txt, .srt, .vtt or .json. It is complete after every utterance.",
        ),
    ] = None,
) -> None:
    """Show what the microphone hears as live captions.

    Bright words stand and will not change; dim words may. When you pause, the line is finished and scrolls up with its
    time. Stop with Ctrl-C: what was heard is finished first, and the exit code is 0.

    Examples:

      streaming-asr listen

      streaming-asr listen --save meeting.srt --hotword Streamwell:8

      streaming-asr listen --server ws://captions.local:8765

      streaming-asr listen > notes.txt
    """
    if save is not None:
        check_output(["microphone"], format_of(save), save)
    with (
        closing(Microphone(_device(microphone))) as device,  # found before the model is loaded, and started after it
        open_ears(model, recognition) as ears,
        device as source,
        Interruption() as interruption,
    ):
        announce(f"Listening to {source.name}; Ctrl-C stops.")
        transcript = GrowingTranscript("microphone")
        stream = ears.stream(sample_rate=source.sample_rate, channels=source.channels)
        try:
            with live_stage(lines=True, times=True) as stage:
                caption(
                    stream,
                    until_stopped(source, interruption),
                    sample_rate=source.sample_rate,
                    stage=stage,
                    transcript=transcript,
                    on_final=lambda final: keep(transcript, save),
                )
        finally:
            tell_losses(source)
    keep(transcript, save)


def until_stopped(microphone: Microphone, interruption: Interruption) -> Iterator[Frames]:
    """What the microphone gives until Ctrl-C, and what its queue holds then: that was said before, too."""
    yield from interruption.until_asked(microphone)
    microphone.close()
    yield from microphone


def keep(transcript: GrowingTranscript, path: Path | None) -> None:
    """Write the whole transcript anew, so that the file is complete whatever comes next."""
    if path is not None:
        output_format = format_of(path)
        path_for(transcript.name, output_format, path).write_text(transcript.exported(output_format), encoding="utf-8")


def tell_losses(microphone: Microphone) -> None:
    """Say so if audio was lost because this machine was too slow."""
    if microphone.overflows:
        lost = microphone.dropped_samples / microphone.sample_rate
        announce(
            f"streaming-asr: audio was lost {microphone.overflows} times ({lost:.1f} s): this machine is too slow for "
            "these settings; try --precision int8, a longer --chunk, a smaller model or --server"
        )


def _device(microphone: str | None) -> int | str | None:
    return int(microphone) if microphone is not None and microphone.isdecimal() else microphone
