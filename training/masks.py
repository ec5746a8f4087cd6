"""Chunk masks: how a streamed pass sees its frames, laid out so that one offline pass does the same.

Rows are grouped by chunk: the `chunk` main frames of a chunk, then copies of the `lookahead` frames behind it.
Main rows of a chunk see the main rows of earlier chunks and all rows of their own; copies are seen by nobody else.
"""

from __future__ import annotations

import torch
from torch import Tensor

from streaming_asr.model import Context


def whole(frames: int) -> Context:
    """Full context: all of that many frames are one chunk."""
    return Context(chunk=max(frames, 1))


def chunks(context: Context, frames: int) -> int:
    """How many chunks that many frames make; the last may be short."""
    return -(-frames // context.chunk)


def frame_of_row(context: Context, frames: int) -> Tensor:
    """The frame that each row stands for, (rows,); rows at or beyond `frames` stand for nothing."""
    starts = torch.arange(chunks(context, frames)) * context.chunk
    return (starts[:, None] + torch.arange(context.rows)).reshape(-1)


def visible(context: Context, frames: int) -> Tensor:
    """Whether a row (first axis) may attend to a row (second axis), bool, (rows, rows)."""
    frame = frame_of_row(context, frames)
    owner = torch.arange(chunks(context, frames)).repeat_interleave(context.rows)
    is_main = frame < (owner + 1) * context.chunk
    earlier = is_main & (owner[None, :] < owner[:, None])
    if context.left is not None:
        oldest = (owner * context.chunk - context.left)[:, None]
        earlier &= (frame >= oldest) | (frame < context.sinks)
    return (earlier | (owner[None, :] == owner[:, None])) & (frame < frames)


def windows(features: Tensor, context: Context, before: int, after: int) -> Tensor:
    """Frames of each chunk with real frames before it and nothing behind its lookahead.

    (batch, frames, width) -> (batch, chunks, before + window + after, width); what lies outside is zero.
    """
    frames = features.shape[1]
    count = chunks(context, frames)
    tail = count * context.chunk + context.lookahead - frames
    padded = torch.nn.functional.pad(features, (0, 0, before, tail))
    pieces = padded.unfold(1, before + context.rows, context.chunk).transpose(2, 3)
    return torch.nn.functional.pad(pieces[:, :count], (0, 0, 0, after))


def main_rows(rows: Tensor, context: Context, frames: int) -> Tensor:
    """Drops the lookahead copies: (batch, rows, width) -> (batch, frames, width)."""
    batch, _, width = rows.shape
    grouped = rows.reshape(batch, -1, context.rows, width)[:, :, : context.chunk]
    return grouped.reshape(batch, -1, width)[:, :frames]
