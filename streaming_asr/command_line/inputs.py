"""What a file name on the command line means: a recording, raw samples, or a pipe that holds either."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from streaming_asr.audio.joined import index_comes_last
from streaming_asr.audio.sniffing import (
    ENOUGH_BYTES,
    FEW_BYTES,
    is_container,
    is_text,
    may_be_chain,
)
from streaming_asr.audio.sources import ByteStream, FileSource, Pipe, Source, StandardInput
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.command_line.terminals import announce
from streaming_asr.errors import AudioError

STANDARD_INPUT: Final = "-"
RAW_SUFFIXES: Final = frozenset({".raw", ".pcm", ".ul", ".ulaw", ".al", ".alaw"})
"""Files of these names have no header; what they are is said by the options for raw audio."""
PIECE_MS: Final = 500
"""Files are read in larger pieces than a microphone gives: there is less to do per second of audio."""


@contextmanager
def open_input(
    name: str, raw: RawAudioOptions, *, channel: int | None = None, track: int | str | None = None
) -> Iterator[Source]:
    """The audio that an argument names; `-` is standard input.

    A pipe (standard input, a FIFO, a process substitution) holds a whole file of a known format, heard as it comes, or
    raw samples.

    Raises:
        AudioError: it is not there, or nothing that can be read.
    """
    if name == STANDARD_INPUT:
        with _opened(_standard_input(), "standard input", raw, channel=channel, track=track) as source:
            yield source
    elif is_pipe(name):
        with _file(name) as file, _opened(file, name, raw, channel=channel, track=track) as source:
            yield source
    elif is_raw(name):
        with _file(name) as file:
            yield _samples(file, raw, channel)
    else:
        with FileSource(name, piece_ms=PIECE_MS, channel=channel, track=track) as source:
            yield source


def check_input(name: str) -> None:
    """Refuse a name of nothing, before a model is loaded for it. Raises AudioError."""
    if name != STANDARD_INPUT and not os.path.exists(name):
        raise AudioError(f"{name} is not there; give an audio file")


def duration(source: Source) -> float | None:
    """Seconds of audio, where the source knows."""
    return source.duration if isinstance(source, FileSource) else None


def is_raw(name: str) -> bool:
    """Whether a name says that the file has no header."""
    return Path(name).suffix.lower() in RAW_SUFFIXES


def is_pipe(name: str) -> bool:
    """Whether a path leads to something that can be read only once, from its beginning on."""
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise AudioError("standard input is closed; pipe audio into it, or name a file")
    if sys.stdin.isatty():
        raise AudioError("standard input is the keyboard; pipe audio into it, like: sox talk.wav -t raw - | ... -")
    return sys.stdin.buffer


@contextmanager
def _opened(
    file: BinaryIO, name: str, raw: RawAudioOptions, *, channel: int | None, track: int | str | None
) -> Iterator[Source]:
    """A pipe, or a file that the shell has opened, by what its first bytes are."""
    if file.seekable():
        head = file.read(ENOUGH_BYTES)
        file.seek(-len(head), os.SEEK_CUR)
        stream: BinaryIO | Pipe = file
    else:
        stream = Pipe(cast(ByteStream, file))
        head = _head(stream)
    if not head:
        raise AudioError(f"{name} is empty; it must hold audio")
    if is_text(head[:FEW_BYTES]):
        raise AudioError(f"{name} is text, not audio: it begins with {head[:20].decode('ascii')!r}")
    if not is_container(head):
        yield _samples(stream, raw, channel)
        return
    if isinstance(stream, Pipe) and index_comes_last(stream):
        announce(
            f"streaming-asr: {name} is an MP4 file whose index comes last: it is read to its end before it is heard"
        )
    with FileSource(stream, piece_ms=PIECE_MS, channel=channel, track=track, name=name) as source:
        yield source


def _head(pipe: Pipe) -> bytes:
    head = pipe.peek(FEW_BYTES)
    return pipe.peek(ENOUGH_BYTES) if may_be_chain(head) else head


def _samples(stream: BinaryIO | Pipe, raw: RawAudioOptions, channel: int | None) -> StandardInput:
    return StandardInput(raw.encoding, raw.sample_rate, raw.channels, channel=channel, stream=cast(ByteStream, stream))


def _file(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise AudioError(f"{name} cannot be opened: {error.strerror}; give an audio file") from error
