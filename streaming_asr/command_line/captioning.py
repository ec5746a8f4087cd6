"""The loop at the heart of every command: audio from a source into a stream, its events onto a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from streaming_asr.audio.encodings import Frames
from streaming_asr.command_line.recognizers import SpeechStream
from streaming_asr.command_line.stages import Stage
from streaming_asr.command_line.transcripts import Transcript
from streaming_asr.errors import AudioError, DeviceError
from streaming_asr.events import Event, Final


def nothing(final: Final) -> None:
    """What most commands do when an utterance is final: nothing yet."""


def caption(
    stream: SpeechStream,
    pieces: Iterable[Frames],
    *,
    sample_rate: int,
    stage: Stage,
    transcript: Transcript,
    on_final: Callable[[Final], None] = nothing,
) -> None:
    """Push every piece, (frames, channels), finish the stream, and fill the transcript.

    Where the source breaks off with an error, what was heard before is recognized first, and then the error goes on.
    """

    def take(events: Sequence[Event]) -> None:
        stage.show(events)
        for event in events:
            if isinstance(event, Final) and event.text:
                transcript.finals.append(event)
                on_final(event)

    try:
        for piece in pieces:
            seconds = len(piece) / sample_rate
            stage.heard(piece, seconds)
            take(stream.push(piece))
            transcript.seconds += seconds
    except (AudioError, DeviceError):
        take(stream.finish())
        raise
    take(stream.finish())
