"""`streaming-asr listen`: the microphone as live captions."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.microphone import Microphone
from streaming_asr.command_line.failures import tell
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognition_loop import recognize_and_show
from streaming_asr.command_line.recognizers import open_recognizer
from streaming_asr.command_line.terminals import announce, live_display
from streaming_asr.command_line.transcripts import GrowingTranscript, Input, check_output, format_of, save_as
from streaming_asr.events import Final


def listen(
    model: ModelOptions,
    recognition: RecognitionOptions,
    microphone: Annotated[
        str | None,
        typer.Option(
            "--microphone",
            "-m",
            metavar="NAME",
            help="Index or part of a name of `streaming-asr devices`.",
            show_default="the system's",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            "-s",
            metavar="PATH",
            help="Keep it there too: .txt, .srt, .vtt or .json, whole after each line.",
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
    keeper = Keeper(GrowingTranscript(Input("microphone")), save)
    if save is not None:
        check_output([keeper.transcript.input], format_of(save), save)
    with (
        closing(Microphone(_device(microphone))) as device,  # found before the model is loaded, and started after it
        open_recognizer(model, recognition) as configured,
        device as source,
        Interruption() as interruption,
    ):
        announce(f"Listening to {source.name}; Ctrl-C stops.")
        try:
            with live_display(lines=True, times=True) as display:
                recognize_and_show(
                    configured.stream(sample_rate=source.sample_rate, channels=source.channels),
                    until_stopped(source, interruption),
                    sample_rate=source.sample_rate,
                    display=display,
                    transcript=keeper.transcript,
                    on_final=keeper.keep,
                )
        finally:
            tell_losses(source)
    keeper.finish()


def until_stopped(microphone: Microphone, interruption: Interruption) -> Iterator[Frames]:
    """What the microphone gives until Ctrl-C, and what its queue holds then: that was said before, too."""
    yield from interruption.until_asked(microphone)
    microphone.close()
    yield from microphone


class Keeper:
    """Writes the whole transcript anew after every utterance, so that the file is complete whatever comes next."""

    def __init__(self, transcript: GrowingTranscript, path: Path | None) -> None:
        self.transcript: typing.Final = transcript
        self._path: typing.Final = path
        self._format: typing.Final = format_of(path) if path is not None else None
        self._told = False

    def keep(self, final: Final) -> None:
        """Write it, or say once that it cannot be written now: a full disk is no reason to stop listening."""
        try:
            self.finish()
        except OSError as error:
            if not self._told:
                tell(error)
            self._told = True

    def finish(self) -> None:
        """Write it; raises OSError."""
        if self._path is not None and self._format is not None:
            save_as(self.transcript, self._format, self._path)


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
