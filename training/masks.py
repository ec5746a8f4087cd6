"""Chunk masks: how a streamed pass sees its frames, laid out so that one offline pass does the same.

Rows are grouped by chunk: the `chunk` main frames of a chunk, then copies of the `lookahead` frames behind it.
Main rows of a chunk see the main rows of earlier chunks and all rows of their own; copies are seen by nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Chunking:
    """What a streamed pass sees, in encoder frames; `left` None is unlimited, `sinks` are always visible."""

    chunk: int
    lookahead: int = 0
    left: int | None = None
    sinks: int = 0

    def __post_init__(self) -> None:
        if self.chunk < 1 or self.lookahead < 0 or self.sinks < 0 or (self.left is not None and self.left < 0):
            raise ValueError(f"{self}: chunk must be at least 1, the others at least 0")

    @property
    def window(self) -> int:
        """Rows that one chunk takes: its frames and its lookahead."""
        return self.chunk + self.lookahead

    def chunks(self, frames: int) -> int:
        """How many chunks that many frames make; the last may be short."""
        return -(-frames // self.chunk)

    @classmethod
    def whole(cls, frames: int) -> Chunking:
        """Full context: everything is one chunk."""
        return cls(chunk=max(frames, 1))


def frame_of_row(chunking: Chunking, frames: int) -> Tensor:
    """The frame that each row stands for, (rows,); rows at or beyond `frames` stand for nothing."""
    starts = torch.arange(chunking.chunks(frames)) * chunking.chunk
    return (starts[:, None] + torch.arange(chunking.window)).reshape(-1)


def visible(chunking: Chunking, frames: int) -> Tensor:
    """Whether a row (first axis) may attend to a row (second axis), bool, (rows, rows)."""
    frame = frame_of_row(chunking, frames)
    owner = torch.arange(chunking.chunks(frames)).repeat_interleave(chunking.window)
    is_main = frame < (owner + 1) * chunking.chunk
    earlier = is_main & (owner[None, :] < owner[:, None])
    if chunking.left is not None:
        oldest = (owner * chunking.chunk - chunking.left)[:, None]
        earlier &= (frame >= oldest) | (frame < chunking.sinks)
    return (earlier | (owner[None, :] == owner[:, None])) & (frame < frames)


def windows(features: Tensor, chunking: Chunking, before: int, after: int) -> Tensor:
    """Frames of each chunk with real frames before it and nothing behind its lookahead.

    (batch, frames, width) -> (batch, chunks, before + window + after, width); what lies outside is zero.
    """
    frames = features.shape[1]
    count = chunking.chunks(frames)
    tail = count * chunking.chunk + chunking.lookahead - frames
    padded = torch.nn.functional.pad(features, (0, 0, before, tail))
    pieces = padded.unfold(1, before + chunking.window, chunking.chunk).transpose(2, 3)
    return torch.nn.functional.pad(pieces[:, :count], (0, 0, 0, after))


def main_rows(rows: Tensor, chunking: Chunking, frames: int) -> Tensor:
    """Drops the lookahead copies: (batch, rows, width) -> (batch, frames, width)."""
    batch, _, width = rows.shape
    grouped = rows.reshape(batch, -1, chunking.window, width)[:, :, : chunking.chunk]
    return grouped.reshape(batch, -1, width)[:, :frames]
