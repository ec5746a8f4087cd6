"""The one loop from a source of audio to events, for recognizers in this process and on servers alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol

from streaming_asr.audio.encodings import Frames, PcmPiece
from streaming_asr.audio.sources import FileSource, Source
from streaming_asr.errors import AudioError, DeviceError
from streaming_asr.events import Event
from streaming_asr.transcript import Transcript

PIECE_MS: Final = 500
"""Files are read in larger pieces than a microphone gives: there is less to do per second of audio."""


class SpeechStream(Protocol):
    """One stream, in this process or on a server: audio in, events out."""

    def push(self, piece: PcmPiece, /) -> list[Event]: ...
    def finalize(self) -> list[Event]: ...
    def finish(self) -> list[Event]: ...


def stream_events(stream: SpeechStream, pieces: Iterable[PcmPiece]) -> Iterator[Event]:
    """Push every piece and finish the stream; the events come as soon as they are there.

    Where the pieces break off with AudioError, DeviceError or Ctrl-C, what was pushed before is recognized first, and
    then the error is raised.
    """
    failure: BaseException | None = None
    source = iter(pieces)
    while failure is None:
        try:
            piece = next(source)
        except StopIteration:
            break
        except (AudioError, DeviceError, KeyboardInterrupt) as error:
            failure = error
        else:
            yield from stream.push(piece)
    yield from stream.finish()
    if failure is not None:
        raise failure


def recognize(
    open_stream: Callable[..., SpeechStream], source: Source | str | Path, options: Mapping[str, Any]
) -> Iterator[Event]:
    """The events of a source, or of the file of that name. A file or option that cannot work is refused at once."""
    with ExitStack() as stack:
        audio = stack.enter_context(_opened(source))
        stream = open_stream(sample_rate=audio.sample_rate, channels=audio.channels, **options)
        opened = stack.pop_all()
    return _until_closed(opened, stream_events(stream, audio))


def transcribe(
    open_stream: Callable[..., SpeechStream], source: Source | str | Path, options: Mapping[str, Any]
) -> Transcript:
    """The transcript of a source, or of the file of that name."""
    with _opened(source) as audio:
        stream = open_stream(sample_rate=audio.sample_rate, channels=audio.channels, **options)
        measured = _Measured(audio)
        told = list(stream_events(stream, measured))
    return Transcript.of(told, duration=measured.seconds, file=str(source) if isinstance(source, str | Path) else None)


class _Measured:
    """The pieces of a source, and how many seconds of it were given."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._frames = 0

    @property
    def seconds(self) -> float:
        return self._frames / self._source.sample_rate

    def __iter__(self) -> Iterator[Frames]:
        for piece in self._source:
            self._frames += len(piece)
            yield piece


def _opened(source: Source | str | Path) -> AbstractContextManager[Source]:
    """A file is opened here and closed behind its last event; another source is its owner's to close."""
    return FileSource(source, piece_ms=PIECE_MS) if isinstance(source, str | Path) else nullcontext(source)


def _until_closed(opened: ExitStack, told: Iterator[Event]) -> Iterator[Event]:
    with opened:
        yield from told
