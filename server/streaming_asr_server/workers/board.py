"""What workers of one machine know of each other at once: a few bytes of shared memory for each."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streaming_asr_server.access.admission import Readiness

_ROW: Final = struct.Struct("<iii")
_STATES: Final = (None, Readiness.STARTING, Readiness.READY, Readiness.DRAINING)

_PER_CONNECTION_SECONDS: Final = 0.005
_LONGEST_PATIENCE_SECONDS: Final = 0.1
_FULL_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Row:
    """A worker that runs: open connections, and how many streams it can carry more."""

    readiness: Readiness
    connections: int
    room: int

    @property
    def takes_streams(self) -> bool:
        return self.readiness is Readiness.READY and self.room > 0


class Board:
    """A file that all workers map into memory; each writes its own row, and reads the others'."""

    def __init__(self, file: Path, workers: int) -> None:
        self._workers: Final = workers
        with file.open("r+b") as opened:
            self._memory: Final = mmap.mmap(opened.fileno(), _ROW.size * workers)

    @staticmethod
    def create(file: Path, workers: int) -> Board:
        """A new one, with no worker on it."""
        file.write_bytes(bytes(_ROW.size * workers))
        return Board(file, workers)

    def put(self, index: int, row: Row | None) -> None:
        """Write the row of a worker; None for one that does not run."""
        values = (0, 0, 0) if row is None else (_STATES.index(row.readiness), row.connections, row.room)
        _ROW.pack_into(self._memory, index * _ROW.size, *values)

    @property
    def rows(self) -> Sequence[Row | None]:
        """Of all workers, by index."""
        return [self._row(index) for index in range(self._workers)]

    def others(self, index: int) -> list[Row]:
        """Those that run, but for this one."""
        return [row for other, row in enumerate(self.rows) if row is not None and other != index]

    def _row(self, index: int) -> Row | None:
        state, connections, room = _ROW.unpack_from(self._memory, index * _ROW.size)
        readiness = _STATES[state]
        return None if readiness is None else Row(readiness, connections, room)


def patience(own: Row, others: Sequence[Row]) -> float:
    """How long a connection is left to the others, in seconds: the longer, the more this worker has to do."""
    able = [row for row in others if row.takes_streams]
    if not able:
        return 0.0
    if not own.takes_streams:
        return _FULL_SECONDS
    more = own.connections - min(row.connections for row in able)
    return min(_LONGEST_PATIENCE_SECONDS, max(0.0, more * _PER_CONNECTION_SECONDS))


def status_of_all(own: str, others: Sequence[Row]) -> str:
    """For `/readyz`: whether any worker would take a stream, else what this one says."""
    return "ready" if any(row.takes_streams for row in others) else own
