"""MP4 files one behind the other: FFmpeg reads the first of them only, since each has an index of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Final

from streaming_asr.audio.encodings import Block
from streaming_asr.audio.readers import Damage, Reader
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
        header = file.read(_LONG_HEADER_BYTES)
        size, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if kind == b"ftyp" and at:
            starts.append(at)
        if size == 1 and len(header) == _LONG_HEADER_BYTES:
            size = int.from_bytes(header[8:], "big")
        if size < _HEADER_BYTES:
            break
        at += size
    file.seek(0)
    return list(zip(starts, [*starts[1:], length], strict=True))


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
        position, failure = 0.0, None
        for reader in self._readers:
            began = position
            try:
                for block in reader.blocks() if reader is not None else ():
                    position += len(block.frames) / block.sample_rate
                    yield block
            except AudioError as error:
                failure = error
            self._add(reader, began, lost=position == began)
        if position == 0 and failure is not None:
            raise failure

    def _add(self, reader: Reader | None, began: float, *, lost: bool) -> None:
        found = Damage() if reader is None else reader.damage
        for number in range(found.packets):
            self.damage.count(found.seconds if number == 0 else 0.0, began + found.first)
        if lost and not found.packets:
            self.damage.count(0.0, began)

    def close(self) -> None:
        """Free the decoders."""
        for reader in self._readers:
            if reader is not None:
                reader.close()


def _sum(lengths: Sequence[float | None]) -> float | None:
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None
