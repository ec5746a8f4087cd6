"""When the audio of a track was heard: a track may pause, and its words shall still stand where they were said."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from typing import Final

LONGEST_FILL_MS: Final = 5_000
"""Silence that stands for a pause, so that what was said before it ends; longer pauses only move the clock."""

SHORTEST_GAP_MS: Final = 100
"""Timestamps waver; a smaller gap is none."""

_REMEMBERED: Final = 256
_SILENCE: Final[Mapping[str, bytes]] = {"mulaw": b"\xff", "alaw": b"\xd5", "linear16": b"\0\0"}


class TrackClock:
    """The audio of one track against the clock of its stream."""

    def __init__(self, encoding: str, sample_rate: int) -> None:
        self._silence: Final = _SILENCE[encoding]
        self._per_ms: Final = sample_rate / 1000
        self._samples = 0
        self._moved_ms = 0.0
        self._moves: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)
        """Seconds of audio from which on the clock is ahead of the audio, and by how many seconds."""

    def before(self, data: bytes, timestamp: int | None) -> bytes:
        """The silence to be heard before this piece, whose timestamp is in milliseconds; the piece is counted."""
        gap = 0.0 if timestamp is None else timestamp - self._moved_ms - self._samples / self._per_ms
        filled = min(gap, LONGEST_FILL_MS) if gap >= SHORTEST_GAP_MS else 0.0
        silent = round(filled * self._per_ms)
        self._samples += silent
        if gap > LONGEST_FILL_MS:
            self._moved_ms += gap - LONGEST_FILL_MS
            self._moves.append((self._samples / self._per_ms / 1000, self._moved_ms / 1000))
        self._samples += len(data) // len(self._silence)
        return self._silence * silent

    def time(self, audio: float) -> float:
        """Seconds of audio as seconds of the stream."""
        index = bisect_right(self._moves, audio, key=lambda move: move[0])
        return audio + (self._moves[index - 1][1] if index else 0.0)
