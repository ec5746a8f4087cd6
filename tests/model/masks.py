"""One masked offline pass that computes what a stream computes, for training and for checking.

A stream computes the frames behind each chunk twice: provisionally as lookahead, then as part of their own chunk. A
masked pass over a whole recording therefore has more rows than frames: first every frame once (the main rows), then,
chunk by chunk, copies of the frames that the chunk looks ahead at. Every row attends to the main rows that its chunk
remembers or contains and to the copies that belong to its own chunk (Shi et al. 2021, "Emformer", section 3.1). The
scores of the main rows are those of the stream.

Only two things depend on the chunks: the attention mask and the position embedding. All else is done row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from streaming_asr.model.context import Context


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a masked pass over one recording."""

    frames: int
    """Main rows; they come first, one per frame."""
    positions: torch.Tensor
    """(rows,): the frame of each row."""
    chunks: torch.Tensor
    """(rows,): the chunk that each row is computed with."""

    @property
    def copies(self) -> torch.Tensor:
        """(rows,): which rows are copies of frames that their chunk looks ahead at."""
        return torch.arange(len(self.positions), device=self.positions.device) >= self.frames


def rows(frames: int, context: Context, device: torch.device | str = "cpu") -> Rows:
    """The rows of a masked pass over a recording of that many frames."""
    main = torch.arange(frames, device=device)
    chunk = min(context.chunk, max(frames, 1))
    borders = torch.arange(chunk, frames, chunk, device=device)
    ahead = borders[:, None] + torch.arange(min(context.lookahead, frames), device=device)
    real = ahead < frames
    owners = torch.arange(len(borders), device=device)[:, None].expand_as(ahead)
    positions = torch.cat((main, ahead[real]))
    return Rows(frames, positions, torch.cat((main // chunk, owners[real])))


def attention_mask(layout: Rows, context: Context) -> torch.Tensor:
    """Which rows (first dimension) may attend to which (second): (rows, rows), true where they may."""
    chunk = min(context.chunk, max(layout.frames, 1))
    row_chunk, position = layout.chunks[:, None], layout.positions[None, :]
    oldest = row_chunk * chunk - (layout.frames if context.left is None else context.left)
    remembered = (position >= oldest) | (position < context.sinks)
    main = remembered & (position < (row_chunk + 1) * chunk)
    return torch.where(layout.copies[None, :], layout.chunks[None, :] == row_chunk, main)


def masked_positions(
    embed: Callable[[torch.Tensor], torch.Tensor], projected: torch.Tensor, layout: Rows, context: Context, reach: int
) -> torch.Tensor:
    """The position embedding of every row: projected frames (batch, frames, width) -> (batch, rows, width).

    embed: the offline embedding of whole sequences, (batch, frames, width) -> (batch, frames, width), zero padded on
    both sides. reach: the frames before a frame that its embedding is made of. Each chunk gets what `embed` says of a
    recording that ends with the last frame that the chunk sees.
    """
    chunk = min(context.chunk, max(layout.frames, 1))
    main, copies = [], []
    for start in range(0, layout.frames, chunk):
        first = max(0, start - reach)
        embedded = embed(projected[:, first : start + chunk + context.lookahead])[:, start - first :]
        main.append(embedded[:, :chunk])
        copies.append(embedded[:, chunk:])
    return torch.cat((*main, *copies), dim=1)


def main_rows(scores: torch.Tensor, layout: Rows) -> torch.Tensor:
    """The scores that the stream emits: (batch, rows, labels) -> (batch, frames, labels)."""
    return scores[:, : layout.frames]
