"""From pieces to events to what is seen and kept: the loop at the heart of every command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from streaming_asr.audio.encodings import Frames
from streaming_asr.command_line.displays import Display
from streaming_asr.command_line.transcripts import GrowingTranscript
from streaming_asr.events import Event, Final
from streaming_asr.recognition import SpeechStream, stream_events


def nothing(final: Final) -> None:
    """What most commands do when an utterance is final: nothing yet."""


def recognize_and_show(
    stream: SpeechStream,
    pieces: Iterable[Frames],
    *,
    sample_rate: int,
    display: Display,
    transcript: GrowingTranscript,
    on_final: Callable[[Final], None] = nothing,
) -> None:
    """Push every piece, (frames, channels), finish the stream, and fill the transcript.

    Where the source breaks off with an error, what was read before is recognized first, and then the error is raised.
    """
    events = stream_events(stream, watched(pieces, sample_rate, display, transcript))
    show(events, display, transcript, on_final=on_final)


def watched(
    pieces: Iterable[Frames], sample_rate: int, display: Display, transcript: GrowingTranscript
) -> Iterator[Frames]:
    """The pieces, which the display and the transcript take note of as they pass."""
    for piece in pieces:
        seconds = len(piece) / sample_rate
        display.pushed(piece, seconds)
        transcript.take_audio(piece, seconds)
        yield piece


def show(
    events: Iterable[Event],
    display: Display,
    transcript: GrowingTranscript,
    *,
    on_final: Callable[[Final], None] = nothing,
) -> None:
    """Show every event, and keep the finals that have words."""
    for event in events:
        display.show([event])
        if isinstance(event, Final) and event.text:
            transcript.finals.append(event)
            on_final(event)
