"""MP4 files one behind the other: FFmpeg reads the first of them only, since each has an index of its own."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, Final, Protocol, TypeAlias

from streaming_asr.audio.encodings import Block
from streaming_asr.audio.readers import Damage, ReadableBytes, Reader
from streaming_asr.audio.sniffing import FEW_BYTES, is_mp4, needs_seeking
from streaming_asr.errors import AudioError

_MOST_PARTS: Final = 100
"""What lies behind so many files belongs to the last of them."""

_HEADER_BYTES: Final = 8
_LONG_HEADER_BYTES: Final = 16


def movie_parts(file: BinaryIO) -> list[tuple[int, int]]:
    """From where to where the MP4 files in a file reach, each with its `ftyp` in front (ISO/IEC 14496-12, 4.2).

    One that is whole, or no MP4 file at all, is one part. The file's position is set to its beginning.
    """
    length = file.seek(0, io.SEEK_END)
    starts, at = [0], 0
    while at + _HEADER_BYTES <= length and len(starts) < _MOST_PARTS:
        file.seek(at)
        size, kind = _box(file.read(_LONG_HEADER_BYTES))
        if kind == b"ftyp" and at:
            starts.append(at)
        if size is None:
            break
        at += size
    file.seek(0)
    return list(zip(starts, [*starts[1:], length], strict=True))


def _box(header: bytes) -> tuple[int | None, bytes]:
    """Bytes of the box that begins so, None if it goes on to the end, and its kind (ISO/IEC 14496-12, 4.2)."""
    size = int.from_bytes(header[:4], "big")
    if size == 1 and len(header) == _LONG_HEADER_BYTES:
        size = int.from_bytes(header[8:], "big")
    return size if size >= _HEADER_BYTES else None, header[4:8]


class Part(io.RawIOBase):
    """Some bytes of an open file as a file of their own."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file: Final = file
        self._start: Final = start
        self._length: Final = stop - start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._length - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


class JoinedReader:
    """Files that lie one behind the other in one, each read by what `open_part` gives.

    Their times go on where the file before them ended. One that cannot be read counts as a damaged packet.

    Raises:
        AudioError: none of them can be read.
    """

    def __init__(self, parts: Sequence[Part], open_part: Callable[[Part], Reader]) -> None:
        self.damage: Final = Damage()
        self._readers: Final[list[Reader | None]] = []
        refusal: AudioError | None = None
        for part in parts:
            try:
                self._readers.append(open_part(part))
            except AudioError as error:
                refusal = refusal or error
                self._readers.append(None)
        readable = [reader for reader in self._readers if reader is not None]
        if not readable and refusal is not None:
            raise refusal
        self.channels: int = max(reader.channels for reader in readable)
        self.duration: float | None = _sum([reader.duration for reader in readable])
        self.promised: float | None = _sum([reader.promised for reader in readable])

    def blocks(self) -> Iterator[Block]:
        """Read once; raises AudioError where nothing at all can be decoded."""
        return _in_turn(self._readers, self.damage)

    def close(self) -> None:
        """Free the decoders."""
        for reader in self._readers:
            if reader is not None:
                reader.close()


def _sum(lengths: Sequence[float | None]) -> float | None:
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


def _in_turn(readers: Iterable[Reader | None], damage: Damage) -> Iterator[Block]:
    """The blocks of readers, None for one that could not be opened; adds up what is damaged."""
    position, failure = 0.0, None
    for reader in readers:
        began = position
        try:
            for block in reader.blocks() if reader is not None else ():
                position += len(block.frames) / block.sample_rate
                yield block
        except AudioError as error:
            failure = error
        found = Damage() if reader is None else reader.damage
        for number in range(found.packets):
            damage.count(found.seconds if number == 0 else 0.0, began + found.first)
        if position == began and not found.packets:
            damage.count(0.0, began)
    if position == 0 and failure is not None:
        raise failure


class PeekedBytes(ReadableBytes, Protocol):
    """A pipe whose next bytes can be looked at."""

    def peek(self, count: int, /) -> bytes: ...


OpenPart: TypeAlias = Callable[[ReadableBytes, bool], Reader]
"""Opens an MP4 file; whether it is a pipe comes with it."""


class PipedMovies:
    """MP4 files one behind the other in a pipe, each opened when the one before it was read.

    One whose index comes last is kept on disk first, since it cannot be understood before.

    Raises:
        AudioError: none of them can be read.
    """

    def __init__(self, pipe: PeekedBytes, open_part: OpenPart) -> None:
        self.damage: Final = Damage()
        self.promised: float | None = None
        self._pipe: Final = pipe
        self._open_part: Final = open_part
        self._part = _PipedPart(pipe)
        self._lost = 0
        self._opened: Final = contextlib.ExitStack()
        self._reader = self._first()
        self.channels: int = self._reader.channels
        self.duration: float | None = self._reader.duration

    def blocks(self) -> Iterator[Block]:
        """Read once; raises AudioError where nothing at all can be decoded."""
        return _in_turn(self._each(), self.damage)

    def close(self) -> None:
        """Free the decoder."""
        self._opened.close()

    def _first(self) -> Reader:
        """The first that can be read."""
        while True:
            try:
                return self._open()
            except AudioError:
                self._lost += 1
                if not self._go_on():
                    raise

    def _each(self) -> Iterator[Reader | None]:
        yield from [None] * self._lost
        yield self._reader
        while self._go_on():
            self._opened.close()
            try:
                self._reader = self._open()
            except AudioError:
                yield None
            else:
                yield self._reader

    def _go_on(self) -> bool:
        """Pass over what was not read of a file; whether there is another one."""
        self._part.skip()
        self._part = _PipedPart(self._pipe)
        return bool(self._pipe.peek(1))

    def _open(self) -> Reader:
        if index_comes_last(self._pipe):
            reader = self._open_part(self._opened.enter_context(_on_disk(self._part)), False)
        else:
            reader = self._open_part(self._part, True)
        self._opened.callback(reader.close)
        if reader.promised is not None:
            self.promised = (self.promised or 0.0) + reader.promised
        return reader


_COPIED_BYTES: Final = 1 << 20
_LONGEST_INDEX: Final = 64 << 20
"""Bytes in which an MP4 file must say whether its index stands in front."""


def index_comes_last(pipe: PeekedBytes) -> bool:
    """Whether a pipe holds an MP4 file that has its index behind its audio."""
    count = FEW_BYTES
    head = pipe.peek(count)
    while is_mp4(head) and len(head) >= count <= _LONGEST_INDEX:
        answer = needs_seeking(head)
        if answer is not None:
            return answer
        count *= 2
        head = pipe.peek(count)
    return False


class _PipedPart:
    """The bytes of a pipe up to the `ftyp` of the next MP4 file."""

    def __init__(self, pipe: PeekedBytes) -> None:
        self._pipe: Final = pipe
        self._left: int | None = 0
        self._begun = False

    def read(self, size: int, /) -> bytes:
        """At least one byte as soon as there is one, at most `size`; nothing at the end."""
        if self._left == 0 and not self._enter_box():
            return b""
        data = self._pipe.read(size if self._left is None else min(size, self._left))
        self._left = self._left if self._left is None else self._left - len(data)
        return data

    def _enter_box(self) -> bool:
        """Go on with the next box, if it belongs to this file."""
        size, kind = _box(self._pipe.peek(_LONG_HEADER_BYTES)[:_LONG_HEADER_BYTES])
        if kind == b"ftyp" and self._begun:
            return False
        self._left, self._begun = size, True
        return True

    def skip(self) -> None:
        """Read to the end."""
        while self.read(_COPIED_BYTES):
            pass


@contextlib.contextmanager
def _on_disk(part: ReadableBytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        while data := part.read(_COPIED_BYTES):
            file.write(data)
        file.seek(0)
        yield file
