"""Where audio comes from: files, standard input and the microphone, each an iterator of pieces."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast

import numpy as np

from streaming_asr.audio.encodings import BYTES_PER_SAMPLE, Encoding, Frames, PcmDecoder
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.microphone import InputDevice, Microphone, devices
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.errors import AudioError, MissingExtraError, OptionError

__all__ = [
    "FileSource",
    "InputDevice",
    "Microphone",
    "Paced",
    "PipedFile",
    "Source",
    "StandardInput",
    "devices",
    "paced",
    "recut",
]


class Source(Protocol):
    """Audio in pieces, shape (frames, channels), float32, full scale is 1.0."""

    @property
    def sample_rate(self) -> int:
        """Frames per second."""
        ...

    @property
    def channels(self) -> int:
        """Columns of every piece."""
        ...

    def __iter__(self) -> Iterator[Frames]: ...


class FileSource:
    """The audio of a file: whatever libsndfile or FFmpeg read, the audio track of a video included.

    Pieces hold at most `piece_ms`, so that memory does not grow with the file. Packets that cannot be decoded are left
    out and counted in `damaged_packets`.

    Args:
        path: the file.
        piece_ms: length of a piece in milliseconds, over 0.

    Raises:
        AudioError: there is no such file, or no audio in it that can be read.
        MissingExtraError: neither soundfile nor PyAV is installed.
    """

    def __init__(self, path: str | Path, *, piece_ms: int = 100) -> None:
        if piece_ms < 1:
            raise OptionError(f"piece_ms is {piece_ms}; it must be at least 1")
        self.path: Final = Path(path)
        if not self.path.is_file():
            raise AudioError(f"{self.path} is {'a folder' if self.path.is_dir() else 'not there'}; give an audio file")
        self._reader: Final = _open_file(self.path)
        self._piece: Final = max(1, self.sample_rate * piece_ms // 1000)

    @property
    def sample_rate(self) -> int:
        """Frames per second, as the file has them."""
        return self._reader.sample_rate

    @property
    def channels(self) -> int:
        """Columns of every piece."""
        return self._reader.channels

    @property
    def duration(self) -> float | None:
        """Seconds of audio, as the file's header says; None if it does not."""
        return self._reader.duration

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded so far."""
        return self._reader.damaged_packets

    def __iter__(self) -> Iterator[Frames]:
        """Read the file once; raises AudioError where it can be read no further."""
        for frames in self._reader.read(self._piece):
            yield from recut(frames, self._piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def recut(frames: Frames, most: int) -> Iterator[Frames]:
    """Cut (frames, channels) into pieces of at most `most` frames."""
    for start in range(0, len(frames), most):
        yield frames[start : start + most]


class _Reader(Protocol):
    sample_rate: int
    channels: int
    duration: float | None
    damaged_packets: int

    def read(self, most: int) -> Iterator[Frames]: ...
    def close(self) -> None: ...


def _open_file(path: Path) -> _Reader:
    """libsndfile first, for it starts faster; FFmpeg for the rest. The reason of the last refusal is told."""
    missing, reason = 0, "no audio was found"
    for reader in (_SoundFileReader, _PyAvReader):
        try:
            return reader(path)
        except ImportError:
            missing += 1
        except _UnreadableError as error:
            reason = str(error)
    if missing == 2:
        raise MissingExtraError("reading audio files", "recognizer")
    raise AudioError(f"{path} cannot be read as audio: {reason}; give a WAV, FLAC, Ogg, MP3, MP4, WebM or similar file")


class _UnreadableError(Exception):
    """One reader does not know this file."""


class _SoundFileReader:
    damaged_packets = 0

    def __init__(self, path: Path) -> None:
        import soundfile

        self._error: Final[type[Exception]] = soundfile.SoundFileError
        self._path: Final = path
        try:
            self._file: Final[Any] = soundfile.SoundFile(str(path))
        except self._error as error:
            raise _UnreadableError(str(error)) from error
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        # What libsndfile cannot seek in has a length of 2**63 - 1.
        self.duration: float | None = self._file.frames / self.sample_rate if self._file.frames < 1 << 62 else None

    def read(self, most: int) -> Iterator[Frames]:
        while True:
            try:
                frames: Frames = self._file.read(most, dtype="float32", always_2d=True)
            except self._error as error:
                raise AudioError(f"{self._path} is damaged behind {self._second():.1f} s: {error}") from error
            if not len(frames):
                return
            yield frames

    def _second(self) -> float:
        return float(self._file.tell() / self.sample_rate)

    def close(self) -> None:
        self._file.close()


class _PyAvReader:
    def __init__(self, path: Path) -> None:
        import av

        self._container: Final[Any] = _open_container(path)
        streams = self._container.streams.audio
        if not streams:
            self._container.close()
            raise _UnreadableError("it has no audio track")
        self._stream: Final = streams[0]
        self.sample_rate: int = self._stream.codec_context.sample_rate
        self.channels: int = self._stream.codec_context.channels
        if not (self.sample_rate and self.channels):
            self._container.close()
            raise _UnreadableError("its audio track names neither rate nor channels")
        self.duration: float | None = self._known_duration(av.time_base)
        self.damaged_packets = 0
        self._resampler: Final[Any] = av.AudioResampler(
            format="flt", layout=self._stream.codec_context.layout.name, rate=self.sample_rate
        )

    def _known_duration(self, container_ticks: int) -> float | None:
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / container_ticks if self._container.duration else None

    def read(self, most: int) -> Iterator[Frames]:
        import av

        for packet in self._packets():
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                self.damaged_packets += 1
                continue
            for frame in decoded:
                yield from self._converted(frame)
        with contextlib.suppress(ValueError):  # what PyAV raises if nothing was ever resampled
            yield from self._converted(None)

    def _packets(self) -> Iterator[Any]:
        import av

        try:
            yield from self._container.demux(self._stream)
        except av.error.FFmpegError as error:
            raise AudioError(f"{self._container.name} is damaged and can be read no further: {error}") from error

    def _converted(self, frame: Any) -> Iterator[Frames]:
        for piece in self._resampler.resample(frame):
            frames = np.asarray(piece.to_ndarray(), np.float32).reshape(-1, self.channels)
            # Damaged packets decode into anything, and what is said after them must still be heard.
            yield np.clip(np.nan_to_num(frames), -1.0, 1.0)

    def close(self) -> None:
        self._container.close()


def _open_container(path: Path) -> Any:
    import av

    try:
        return av.open(str(path))
    except av.error.FFmpegError as error:
        raise _UnreadableError(error.strerror or str(error)) from error


class ByteStream(Protocol):
    """A readable stream of bytes, such as `sys.stdin.buffer`."""

    def read1(self, size: int, /) -> bytes:
        """At least one byte as soon as there is one, at most `size`; nothing at the end."""
        ...


class StandardInput:
    """Raw PCM on standard input, handed on as it arrives.

    Args:
        encoding: how a sample is written.
        sample_rate: frames per second.
        channels: interleaved channels.
        stream: where to read; None is standard input.

    Raises:
        OptionError: an unknown encoding or a channel count out of range.
    """

    def __init__(
        self,
        encoding: Encoding = "linear16",
        sample_rate: int = 16_000,
        channels: int = 1,
        *,
        stream: ByteStream | None = None,
    ) -> None:
        self.sample_rate: Final = sample_rate
        self.channels: Final = channels
        self._decoder: Final = PcmDecoder(encoding, channels)
        self._stream: Final = stream if stream is not None else cast(ByteStream, sys.stdin.buffer)
        self._most: Final = max(1, sample_rate // 10) * channels * BYTES_PER_SAMPLE[encoding]

    @property
    def dropped_bytes(self) -> int:
        """Bytes of an unfinished last frame."""
        return self._decoder.dropped_bytes

    def __iter__(self) -> Iterator[Frames]:
        """Read up to the end; raises AudioError if a file with a header, or NaN, comes in."""
        while data := self._stream.read1(self._most):
            frames = self._decoder.push(data)
            if len(frames):
                yield frames
        rest = self._decoder.finish()
        if len(rest):
            yield rest


class PipedFile:
    """A file that comes through a pipe: WAV, Ogg, WebM, FLAC, MP3 or AAC, decoded to mono at 16 kHz as it arrives.

    Args:
        stream: where to read; None is standard input.
    """

    def __init__(self, *, stream: ByteStream | None = None) -> None:
        self.sample_rate: Final = SAMPLE_RATE
        self.channels: Final = 1
        self._decoder: Final = AudioInput(encoding="container")
        self._stream: Final = stream if stream is not None else cast(ByteStream, sys.stdin.buffer)

    def __iter__(self) -> Iterator[Frames]:
        """Read up to the end; raises AudioError if what comes is no file known here."""
        while data := self._stream.read1(4096):
            samples = self._decoder.push(data)
            if len(samples):
                yield samples.reshape(-1, 1)
        rest = self._decoder.finish()
        if len(rest):
            yield rest.reshape(-1, 1)


class Paced:
    """Plays a source in real time: each piece comes when its last frame would have been spoken.

    A consumer that is late gets the pieces it missed at once, as from a microphone's queue.

    Args:
        source: what to play.
        piece_ms: longest piece in milliseconds.
        clock: seconds that never run backwards.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        source: Source,
        *,
        piece_ms: int = 50,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if piece_ms < 1:
            raise OptionError(f"piece_ms is {piece_ms}; it must be at least 1")
        self.sample_rate: Final = source.sample_rate
        self.channels: Final = source.channels
        self._source: Final = source
        self._piece: Final = max(1, source.sample_rate * piece_ms // 1000)
        self._clock: Final = clock
        self._sleep: Final = sleep

    def __iter__(self) -> Iterator[Frames]:
        """Play once, from now on."""
        start, played = self._clock(), 0
        for frames in self._source:
            for piece in recut(frames, self._piece):
                played += len(piece)
                wait = start + played / self.sample_rate - self._clock()
                if wait > 0:
                    self._sleep(wait)
                yield piece


def paced(
    source: Source,
    *,
    piece_ms: int = 50,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Paced:
    """Play a source in real time; see `Paced`."""
    return Paced(source, piece_ms=piece_ms, clock=clock, sleep=sleep)
