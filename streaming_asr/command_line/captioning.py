"""The loop at the heart of every command: audio from a source into a stream, its events onto a stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from streaming_asr.audio.encodings import Frames
from streaming_asr.command_line.stages import Stage
from streaming_asr.command_line.transcripts import GrowingTranscript
from streaming_asr.events import Final
from streaming_asr.recognition import SpeechStream, stream_events


def nothing(final: Final) -> None:
    """What most commands do when an utterance is final: nothing yet."""


def caption(
    stream: SpeechStream,
    pieces: Iterable[Frames],
    *,
    sample_rate: int,
    stage: Stage,
    transcript: GrowingTranscript,
    on_final: Callable[[Final], None] = nothing,
) -> None:
    """Push every piece, (frames, channels), finish the stream, and fill the transcript.

    Where the source breaks off with an error, what was read before is recognized first, and then the error is raised.
    """

    def shown() -> Iterator[Frames]:
        for piece in pieces:
            seconds = len(piece) / sample_rate
            stage.heard(piece, seconds)
            transcript.seconds += seconds
            yield piece

    for event in stream_events(stream, shown()):
        stage.show([event])
        if isinstance(event, Final) and event.text:
            transcript.finals.append(event)
            on_final(event)
