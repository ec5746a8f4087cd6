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
from streaming_asr.command_line.recognizers import ConfiguredRecognizer, open_recognizer
from streaming_asr.command_line.terminals import announce, live_display
from streaming_asr.command_line.transcripts import GrowingTranscript, Input

EMBEDDED: Final = Path(__file__).parent.parent / "embedded"
RECORDING: Final = EMBEDDED / "demo.flac"
REFERENCE: Final = EMBEDDED / "demo.txt"
"""What is said in the recording, one sentence per line."""
NAME_RECORDING: Final = EMBEDDED / "name.flac"
NAME: Final = "Streamwell"
"""A name that is said there, and that no model knows."""
NAME_WEIGHT: Final = 8.0


def demo(model: ModelOptions, recognition: RecognitionOptions) -> None:
    """Watch a bundled recording turn into live captions.

    The recording goes the same way as a microphone, at the pace of speech. Bright words stand and will not change; dim
    words may. When the voice pauses, the line is finished and scrolls up with its time.
    """
    with open_recognizer(model, recognition) as configured, Interruption() as interruption:
        _show(configured, RECORDING, interruption)
        if not interruption.asked:
            announce("\nA name that it does not know:")
            _show(configured, NAME_RECORDING, interruption)
        if not interruption.asked:
            announce(f"The same with --hotword {NAME}:{NAME_WEIGHT:g}:")
            _show(configured.with_hotword(NAME, NAME_WEIGHT), NAME_RECORDING, interruption)
    if interruption.asked:
        raise typer.Exit(interruption.exit_code or INTERRUPTED)
    announce(f"\nThe voice said: {' '.join(REFERENCE.read_text(encoding='utf-8').split())}")
    announce("Now with your own voice: streaming-asr listen")


def _show(configured: ConfiguredRecognizer, recording: Path, interruption: Interruption) -> None:
    """One recording, live, at the pace of speech."""
    with FileSource(recording) as source, live_display(lines=True, times=True, partials=True) as display:
        recognize_and_show(
            configured.stream(sample_rate=source.sample_rate, channels=source.channels),
            interruption.until_asked(paced(source)),
            sample_rate=source.sample_rate,
            display=display,
            transcript=GrowingTranscript(Input(recording.name)),
        )
