"""`streaming-asr demo`: a bundled recording turns into live captions."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from streaming_asr.audio.sources import FileSource, paced
from streaming_asr.command_line.captioning import caption
from streaming_asr.command_line.consoles import announce, live_stage
from streaming_asr.command_line.failures import INTERRUPTED
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognizers import open_ears
from streaming_asr.command_line.transcripts import GrowingTranscript

EMBEDDED: Final = Path(__file__).parent.parent / "embedded"
RECORDING: Final = EMBEDDED / "demo.flac"
REFERENCE: Final = EMBEDDED / "demo.txt"
"""What is said in the recording, one sentence per line."""


def demo(model: ModelOptions, recognition: RecognitionOptions) -> None:
    """Watch a bundled recording turn into live captions.

    The recording goes the same way as a microphone, at the pace of speech. Bright words stand and will not change; dim
    words may. When the voice pauses, the line is finished and scrolls up with its time.
    """
    with open_ears(model, recognition) as ears, FileSource(RECORDING) as source, Interruption() as interruption:
        stream = ears.stream(sample_rate=source.sample_rate, channels=source.channels)
        with live_stage(lines=True, times=True, partials=True) as stage:
            caption(
                stream,
                interruption.until_asked(paced(source)),
                sample_rate=source.sample_rate,
                stage=stage,
                transcript=GrowingTranscript(RECORDING.name),
            )
    if interruption.asked:
        raise typer.Exit(INTERRUPTED)
    announce(f"\nThe voice said: {' '.join(REFERENCE.read_text(encoding='utf-8').split())}")
    announce("Now with your own voice: streaming-asr listen")
