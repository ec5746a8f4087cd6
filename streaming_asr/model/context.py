"""How much a stream sees: its chunk, lookahead and left context, all in encoder frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streaming_asr.errors import OptionError

UNLIMITED: Final = 1 << 40
"""A chunk or a left context of more frames than any recording has."""


@dataclass(frozen=True, slots=True)
class Context:
    """What each frame of a stream may attend to, in encoder frames.

    A step computes one `chunk` of frames and, provisionally, the `lookahead` frames behind it. All of them see the
    `left` frames before the chunk (None: everything since the start), the first `sinks` frames of the stream, and each
    other. The next step computes the lookahead frames again, now as part of its chunk (Shi et al. 2021, "Emformer",
    section 2). Only chunk frames are cached. OptionError on a chunk below 1 or anything below 0.
    """

    chunk: int
    lookahead: int = 0
    left: int | None = None
    sinks: int = 0

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise OptionError(f"chunk is {self.chunk} frames, it has to be at least 1")
        for name, value in (("lookahead", self.lookahead), ("left", self.left or 0), ("sinks", self.sinks)):
            if value < 0:
                raise OptionError(f"{name} is {value} frames, it has to be at least 0")

    @classmethod
    def whole(cls) -> Context:
        """The whole input as one chunk: nothing is emitted before the input is closed, and nothing is approximated."""
        return cls(chunk=UNLIMITED)

    @property
    def rows(self) -> int:
        """Frames that one full step computes."""
        return self.chunk + self.lookahead

    @property
    def ring(self) -> int:
        """Chunk frames that a stream caches behind its sinks: the left context and the chunk itself."""
        return (UNLIMITED if self.left is None else self.left) + self.chunk

    def visible(self, step: int) -> int:
        """Frames from the start of the stream that step number `step` can see, as long as the input lasts."""
        return step * self.chunk + self.rows
