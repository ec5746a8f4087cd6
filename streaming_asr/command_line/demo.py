"""`streaming-asr demo`: a bundled recording turns into live captions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from streaming_asr.audio.sources import FileSource, paced
from streaming_asr.command_line.failures import INTERRUPTED
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognition_loop import recognize_and_show
from streaming_asr.command_line.recognizers import open_recognizer
from streaming_asr.command_line.terminals import announce, live_display
from streaming_asr.command_line.transcripts import GrowingTranscript, Input

EMBEDDED: Final = Path(__file__).parent.parent / "embedded"
RECORDING: Final = EMBEDDED / "demo.flac"
REFERENCE: Final = EMBEDDED / "demo.txt"
"""What is said in the recording, one sentence per line."""


def demo(model: ModelOptions, recognition: RecognitionOptions) -> None:
    """Watch a bundled recording turn into live captions.

    The recording goes the same way as a microphone, at the pace of speech. Bright words stand and will not change; dim
    words may. When the voice pauses, the line is finished and scrolls up with its time.
    """
    with (
        open_recognizer(model, recognition) as configured,
        FileSource(RECORDING) as source,
        Interruption() as interruption,
    ):
        stream = configured.stream(sample_rate=source.sample_rate, channels=source.channels)
        with live_display(lines=True, times=True, partials=True) as display:
            recognize_and_show(
                stream,
                interruption.until_asked(paced(source)),
                sample_rate=source.sample_rate,
                display=display,
                transcript=GrowingTranscript(Input(RECORDING.name)),
            )
    if interruption.asked:
        raise typer.Exit(interruption.exit_code or INTERRUPTED)
    announce(f"\nThe voice said: {' '.join(REFERENCE.read_text(encoding='utf-8').split())}")
    announce("Now with your own voice: streaming-asr listen")
