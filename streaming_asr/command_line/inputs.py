"""What a file name on the command line means: a recording, raw samples, or standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from streaming_asr.audio.encodings import HEADER_BYTES, container_name
from streaming_asr.audio.sources import ByteStream, FileSource, Source, StandardInput
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.errors import AudioError

STANDARD_INPUT: Final = "-"
RAW_SUFFIXES: Final = frozenset({".raw", ".pcm", ".ul", ".ulaw", ".al", ".alaw"})
"""Files of these names have no header; what they are is said by the options for raw audio."""
PIECE_MS: Final = 500
"""Files are read in larger pieces than a microphone gives: there is less to do per second of audio."""


@contextmanager
def open_input(name: str, raw: RawAudioOptions) -> Iterator[Source]:
    """The audio that an argument names; `-` is standard input, raw samples or a whole file of a known format.

    Raises:
        AudioError: it is not there, or nothing that can be read.
    """
    if name == STANDARD_INPUT:
        with _standard_input(raw) as source:
            yield source
    elif Path(name).suffix.lower() in RAW_SUFFIXES:
        with _open_bytes(Path(name)) as stream:
            yield _raw(raw, cast(ByteStream, stream))
    else:
        with FileSource(name, piece_ms=PIECE_MS) as source:
            yield source


def check_input(name: str) -> None:
    """Refuse a name of nothing, before a model is loaded for it. Raises AudioError."""
    if name != STANDARD_INPUT and not Path(name).exists():
        raise AudioError(f"{name} is not there; give an audio file")


def duration(source: Source) -> float | None:
    """Seconds of audio, where the source knows."""
    return source.duration if isinstance(source, FileSource) else None


@contextmanager
def _standard_input(raw: RawAudioOptions) -> Iterator[Source]:
    if sys.stdin.isatty():
        raise AudioError("standard input is the keyboard; pipe audio into it, like: sox talk.wav -t raw - | ... -")
    head = sys.stdin.buffer.read(HEADER_BYTES)
    stream = Rewound(head, cast(ByteStream, sys.stdin.buffer))
    if container_name(head) is None:
        yield _raw(raw, stream)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard-input"
        with path.open("wb") as file:
            shutil.copyfileobj(cast("IO[bytes]", stream), file)
        with FileSource(path, piece_ms=PIECE_MS) as source:
            yield source


def _raw(raw: RawAudioOptions, stream: ByteStream) -> StandardInput:
    return StandardInput(raw.encoding, raw.sample_rate, raw.channels, stream=stream)


def _open_bytes(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}; give an audio file") from error


class Rewound:
    """A stream of bytes whose first ones have been looked at already and are given again."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream

    def read1(self, size: int, /) -> bytes:
        """What is there, at most `size` bytes; nothing at the end."""
        if not self._head:
            return self._stream.read1(size)
        first, self._head = self._head[:size], self._head[size:]
        return first

    read = read1
