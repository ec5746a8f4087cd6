"""Live audio in, stable words out: streaming speech recognition with any wav2vec2 CTC checkpoint.

The names below are imported on first use, so that a client machine needs neither torch nor a model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streaming_asr.audio.gate import GateOptions
    from streaming_asr.audio.microphone import Microphone
    from streaming_asr.audio.samples import SAMPLE_RATE
    from streaming_asr.audio.sources import FileSource, Source
    from streaming_asr.endpointing import EndpointOptions
    from streaming_asr.errors import (
        AudioError,
        CheckpointError,
        DeviceError,
        MissingExtraError,
        OptionError,
        OverwrittenError,
        StreamClosedError,
        StreamingAsrError,
    )
    from streaming_asr.events import (
        Alternative,
        Event,
        Final,
        Formatted,
        Partial,
        SpeechEnded,
        SpeechStarted,
        TurnEnding,
        TurnResumed,
        Word,
    )
    from streaming_asr.exports import SubtitleOptions
    from streaming_asr.latency import Latency
    from streaming_asr.recognizer import Recognizer, Stream
    from streaming_asr.text.formatting import FormatOptions
    from streaming_asr.transcript import Transcript

__version__ = "0.1.0"

__all__ = [
    "SAMPLE_RATE",
    "Alternative",
    "AudioError",
    "CheckpointError",
    "DeviceError",
    "EndpointOptions",
    "Event",
    "FileSource",
    "Final",
    "FormatOptions",
    "Formatted",
    "GateOptions",
    "Latency",
    "Microphone",
    "MissingExtraError",
    "OptionError",
    "OverwrittenError",
    "Partial",
    "Recognizer",
    "Source",
    "SpeechEnded",
    "SpeechStarted",
    "Stream",
    "StreamClosedError",
    "StreamingAsrError",
    "SubtitleOptions",
    "Transcript",
    "TurnEnding",
    "TurnResumed",
    "Word",
]

_HOMES = {
    "audio.microphone": ("Microphone",),
    "audio.samples": ("SAMPLE_RATE",),
    "audio.sources": ("FileSource", "Source"),
    "endpointing": ("EndpointOptions",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "events": (
        *("Alternative", "Event", "Final", "Formatted", "Partial", "SpeechEnded", "SpeechStarted", "TurnEnding"),
        *("TurnResumed", "Word"),
    ),
    "audio.gate": ("GateOptions",),
    "exports": ("SubtitleOptions",),
    "latency": ("Latency",),
    "recognizer": ("Recognizer", "Stream"),
    "text.formatting": ("FormatOptions",),
    "transcript": ("Transcript",),
}


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
