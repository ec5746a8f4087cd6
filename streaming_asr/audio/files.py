"""A file or a pipe that holds audio in any container, as a source at 16 kHz."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, Self

import numpy as np

from streaming_asr.audio.conversion import Conversion
from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.joined import JoinedReader, Part, PipedMovies, movie_parts
from streaming_asr.audio.readers import AvReader, ReadableBytes, Reader, StreamReader, is_read_here
from streaming_asr.audio.samples import SAMPLE_RATE, Samples, milliseconds_to_samples, seconds
from streaming_asr.audio.sniffing import is_mp4
from streaming_asr.errors import AudioError, OptionError

_HEAD_BYTES: Final = 12
_TAIL_BYTES: Final = 65_536


class ByteStream(Protocol):
    """A readable stream of bytes, such as `sys.stdin.buffer`."""

    def read1(self, size: int, /) -> bytes:
        """At least one byte as soon as there is one, at most `size`; nothing at the end."""
        ...


class Pipe:
    """Bytes that come when they come and cannot be sought in, but whose first ones can be looked at."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream: Final = stream
        self._head = b""

    def peek(self, count: int) -> bytes:
        """The first bytes, `count` or all that there ever will be; they are read again."""
        while len(self._head) < count and (more := self._stream.read1(count - len(self._head))):
            self._head += more
        return self._head

    def read(self, size: int, /) -> bytes:
        """At least one byte as soon as there is one, at most `size`; nothing at the end."""
        if not self._head:
            return self._stream.read1(size)
        first, self._head = self._head[:size], self._head[size:]
        return first

    read1 = read

    def unread(self, data: bytes, /) -> None:
        """Put back what was read last; it is read again."""
        self._head = data + self._head


class FileSource:
    """The audio of a file, or of a pipe while it comes: whatever FFmpeg reads, the audio track of a video included.

    What comes out is mono at 16 kHz, the mean of all channels unless one is named. Times are the container's: sound
    that begins late, and holes between packets, are silence here. Everything that can be decoded is read, also behind
    damage, behind the length that a header states, and where one file follows another; `notes` says what is missing.

    Args:
        file: a path; or an open binary file, or a `Pipe`.
        piece_ms: length of a piece in milliseconds, over 0; from a pipe pieces come as soon as they can.
        channel: the one channel to recognize, from 0.
        track: number of the audio track to read, from 0, or its language as the file names it; None for its default.
        name: what the file is called in errors; None for its path.

    Raises:
        AudioError: there is no such file, or no audio in it that can be read.
        OptionError: an argument is out of range.
        MissingExtraError: it is no WAV file, and PyAV is not installed.
    """

    sample_rate: Final = SAMPLE_RATE
    channels: Final = 1

    def __init__(
        self,
        file: str | Path | BinaryIO | Pipe,
        *,
        piece_ms: int = 100,
        channel: int | None = None,
        track: int | str | None = None,
        name: str | None = None,
    ) -> None:
        if piece_ms < 1:
            raise OptionError(f"piece_ms is {piece_ms}; it must be at least 1")
        self.name: Final = name if name is not None else str(file) if isinstance(file, str | Path) else "the stream"
        self.notes: Final[list[str]] = []
        """Sentences about what could not be read; complete when all was read."""
        self._piece: Final = milliseconds_to_samples(piece_ms)
        self._opened: Final = contextlib.ExitStack()
        self._conversion: Final = Conversion(channel=channel)
        self._live: Final = isinstance(file, Pipe)
        self._failure: AudioError | None = None
        with self._closed_on_error(), self._named():
            self._reader: Final = self._open(file, track)
            if self._reader.channels:
                self._conversion.expect(self._reader.channels)

    @property
    def duration(self) -> float | None:
        """Seconds of audio as far as they are known before it was read."""
        return self._reader.duration

    @property
    def file_channels(self) -> int:
        """Channels that the file says it has, each of which can be heard alone; 0 if it says nothing."""
        return self._reader.channels

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded so far."""
        return self._reader.damage.packets

    def __iter__(self) -> Iterator[Frames]:
        """Read the file once, in pieces of shape (samples, 1), and close it.

        Raises:
            AudioError: it can be read no further; what came before has been given.
        """
        produced = 0
        with self._opened, self._named():
            for samples in self._pieces():
                produced += len(samples)
                yield samples.reshape(-1, 1)
            if self._failure is not None:
                raise self._failure
            if not produced:
                raise AudioError("there is no audio in it")
        self._note(seconds(produced))

    def close(self) -> None:
        """Close the file."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, file: str | Path | BinaryIO | Pipe, track: int | str | None) -> Reader:
        match file:
            case Pipe():
                return self._keep(_open_pipe(file, track))
            case str() | Path():
                return self._keep(_open_file(self._opened.enter_context(_open_path(Path(file))), track))
            case _:
                return self._keep(_open_file(file, track))

    def _keep(self, reader: Reader) -> Reader:
        self._opened.callback(reader.close)
        return reader

    def _pieces(self) -> Iterator[Samples]:
        """All samples, in pieces of one length, or of a pipe as they come."""
        waiting: list[Samples] = []
        length = 0
        for samples in self._samples():
            waiting.append(samples)
            length += len(samples)
            if self._live or length >= self._piece:
                joined = np.concatenate(waiting)
                whole = length if self._live else length - length % self._piece
                yield from recut(joined[:whole], self._piece)
                waiting, length = [joined[whole:]], length - whole
        yield from recut(np.concatenate([*waiting, self._conversion.nothing()]), self._piece)

    def _samples(self) -> Iterator[Samples]:
        try:
            for block in self._reader.blocks():
                yield from self._conversion.push(block)
        except AudioError as error:
            # It is told when what came before was heard to its end.
            self._failure = error
        yield self._conversion.finish()

    def _note(self, read: float) -> None:
        promised, damage = self._reader.promised, self._reader.damage
        self.notes.extend(damage.sentences())
        if promised is not None and promised - read - damage.seconds > max(0.3, promised / 100):
            self.notes.append(f"it ends at {read:.1f} s; its header promises {promised:.1f} s")

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors inside say which file they are about."""
        try:
            yield
        except AudioError as error:
            raise AudioError(f"{self.name} cannot be read as audio: {error}") from error
        except OSError as error:
            raise AudioError(f"{self.name} cannot be read: {error.strerror or error}") from error

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise


def recut(frames: Any, most: int) -> Iterator[Any]:
    """Cut an array into pieces of at most `most` frames."""
    for start in range(0, len(frames), most):
        yield frames[start : start + most]


def _open_path(path: Path) -> BinaryIO:
    if path.is_dir():
        raise AudioError("it is a folder; give an audio file")
    if not path.exists():
        raise AudioError("it is not there; give an audio file")
    return path.open("rb")


def _open_file(file: BinaryIO, track: int | str | None) -> Reader:
    length = file.seek(0, 2)
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if not head:
        raise AudioError("it is empty")
    if head[4:8] == b"ftyp" and len(parts := movie_parts(file)) > 1:
        pieces = [Part(file, start, stop) for start, stop in parts]
        return JoinedReader(pieces, lambda part: AvReader(part, live=False, track=track))
    if track is not None or not is_read_here(head):
        return AvReader(file, live=False, track=track)
    try:
        return StreamReader(file, length, tail=_tail(file, length))
    except AudioError as error:
        # Some WAV files hold MP3 or ADPCM, some Ogg files Speex.
        file.seek(0)
        return _other_content(file, error, live=False)


def _tail(file: BinaryIO, length: int) -> bytes:
    file.seek(max(0, length - _TAIL_BYTES))
    tail = file.read()
    file.seek(0)
    return tail


def _other_content(file: ReadableBytes, refusal: AudioError, *, live: bool) -> Reader:
    try:
        return AvReader(file, live=live, track=None)
    except AudioError:
        raise refusal from None


class _Kept:
    """A pipe that keeps what is read from it, as long as it `keeps`."""

    def __init__(self, pipe: Pipe) -> None:
        self.bytes: Final = bytearray()
        self.keeps = True
        self._pipe: Final = pipe

    def read(self, size: int, /) -> bytes:
        data = self._pipe.read(size)
        if self.keeps:
            self.bytes.extend(data)
        return data


def _open_pipe(pipe: Pipe, track: int | str | None) -> Reader:
    head = pipe.peek(_HEAD_BYTES)
    if not head:
        raise AudioError("it is empty")
    if track is None and is_read_here(head):
        kept = _Kept(pipe)
        try:
            reader = StreamReader(kept)
        except AudioError as error:
            pipe.unread(bytes(kept.bytes))
            return _other_content(pipe, error, live=True)
        kept.keeps = False
        return reader
    if is_mp4(head):
        return PipedMovies(pipe, lambda part, live: AvReader(part, live=live, track=track))
    return AvReader(pipe, live=True, track=track)
