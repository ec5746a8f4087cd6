"""The stream cache: one row of preallocated tensors per stream, shared by all streams of one context.

A step gathers the rows of its streams, computes them as one batch and writes them back; keys and values are written in
place. Nothing is allocated per step, and nothing grows with the length of a stream whose left context is bounded. With
unlimited left context the ring is as long as the stream, in powers of two.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Final

import torch

from streaming_asr.model.attention import AttentionView, CacheWindow, Ring
from streaming_asr.model.context import Context
from streaming_asr.model.features import FeatureEncoder
from streaming_asr.model.transformer import Transformer

SHORTEST_RING: Final = 512
"""Frames that a ring holds at first where its context allows for more."""


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """Which frame lies where in a ring: first the lookahead of the last step, then the sinks, then the last frames.

    The frame that a new one overwrites is always one that no later step sees.
    """

    context: Context
    frames: int
    """Places for chunk frames; as many as the context can ask for, or fewer while a stream is short."""

    @classmethod
    def of(cls, context: Context, step: int) -> CacheLayout:
        """The layout that holds everything up to the chunk of step number `step`."""
        needed = max(SHORTEST_RING, 1 << ((step + 1) * context.chunk - 1).bit_length())
        return cls(context, min(context.sinks + context.ring, needed))

    @property
    def places(self) -> int:
        """The length of the ring."""
        return self.context.lookahead + self.frames

    def places_of(self, step: torch.Tensor, rows: int) -> torch.Tensor:
        """Where the first `rows` rows of steps (batch,) are written: (batch, rows)."""
        context = self.context
        row = torch.arange(rows, device=step.device)
        frame = step[:, None] * context.chunk + row
        wrapped = context.sinks + (frame - context.sinks) % context.ring
        place = context.lookahead + torch.where(frame < context.sinks, frame, wrapped)
        return torch.where(row < context.chunk, place, row - context.chunk)

    def frames_at(self, step: torch.Tensor, used: int) -> torch.Tensor:
        """The frame in each of the first `used` places after the rows of steps (batch,) are written: (batch, used).

        Negative where nothing is.
        """
        context = self.context
        place = torch.arange(used, device=step.device)
        ahead = (step[:, None] + 1) * context.chunk + place
        slot = place - context.lookahead
        latest = (step[:, None] + 1) * context.chunk - 1
        in_ring = latest - (latest - slot) % context.ring
        in_ring = torch.where(in_ring < context.sinks, -1, in_ring)
        frame = torch.where(slot < context.sinks, slot, in_ring)
        frame = torch.where(frame > latest, -1, frame)
        return torch.where(place < context.lookahead, ahead, frame)

    def used(self, step: int) -> int:
        """Places that hold something after step number `step`."""
        return self.context.lookahead + min(self.frames, (step + 1) * self.context.chunk)


@dataclass(slots=True)
class StreamCache:
    """The cache rows of all streams of one layout."""

    layout: CacheLayout
    rings: tuple[Ring, ...]
    carries: tuple[torch.Tensor, ...]
    """Per convolution but the first: (streams, kernel - stride, channels)."""
    frames: torch.Tensor
    """(streams, reach + lookahead, width): the last projected frames."""
    free: list[int] = field(default_factory=list)

    @classmethod
    def empty(cls, layout: CacheLayout, features: FeatureEncoder, transformer: Transformer) -> StreamCache:
        """A cache for one stream."""
        projected = features.config.width
        like = transformer.norm.weight
        assert like is not None

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros(1, *shape, dtype=like.dtype, device=like.device)

        return cls(
            layout=layout,
            rings=tuple(Ring(zeros(layout.places, 2 * projected)) for _ in transformer.layers),
            carries=tuple(zeros(layer.carry, layer.shape.channels_in) for layer in features.layers),
            frames=zeros(transformer.positional.reach + layout.context.lookahead, projected),
            free=[0],
        )

    @property
    def idle(self) -> bool:
        """No stream uses it."""
        return len(self.free) == len(self.frames)

    def reserve(self) -> int:
        """A free row; the cache doubles if there is none."""
        if not self.free:
            rows = len(self.frames)
            self.rings = tuple(Ring(_doubled(ring.pairs)) for ring in self.rings)
            self.carries = tuple(map(_doubled, self.carries))
            self.frames = _doubled(self.frames)
            self.free.extend(range(2 * rows - 1, rows - 1, -1))
        return self.free.pop()

    def copy(self, row: int, other: StreamCache, other_row: int) -> None:
        """Copy a stream's row from another, shorter cache of the same context."""
        for mine, theirs in zip(self.rings, other.rings, strict=True):
            mine.pairs[row, : theirs.pairs.shape[1]] = theirs.pairs[other_row]
        for carry, from_carry in zip(self.carries, other.carries, strict=True):
            carry[row] = from_carry[other_row]
        self.frames[row] = other.frames[other_row]

    def view(self, rows: list[int], steps: list[int], counts: list[int], height: int, distances: bool) -> AttentionView:
        """What `height` rows of each stream see at its step, if only the first `counts` of its rows are real.

        The streams lie in `rows` of this cache. distances: whether the network asks for them.
        """
        device = self.frames.device
        step, count = torch.tensor(steps), torch.tensor(counts)
        used = max(map(self.layout.used, steps))
        first = step[:, None] * self.layout.context.chunk
        frame = self.layout.frames_at(step, used)
        counted = (frame >= 0) & (frame < first + count[:, None])
        offsets = frame[:, None] - (first + torch.arange(height))[:, :, None]
        consecutive = rows == list(range(rows[0], rows[0] + len(rows)))
        window = CacheWindow(
            streams=torch.tensor(rows, device=device),
            first=rows[0] if consecutive else None,
            places=self.layout.places_of(step, height).to(device),
            used=used,
        )
        return AttentionView(
            additive(counted, self.frames.dtype, device), offsets.to(device) if distances else None, window
        )


@dataclass(slots=True)
class CacheRow:
    """One stream's row of a cache; it is free again when the stream is over or garbage-collected."""

    cache: StreamCache
    row: int
    finalizer: weakref.finalize[[int], object]

    @classmethod
    def reserve(cls, cache: StreamCache, owner: object) -> CacheRow:
        """A row for `owner`, released at the latest when the owner is garbage-collected."""
        row = cache.reserve()
        finalizer = weakref.finalize(owner, cache.free.append, row)
        finalizer.atexit = False
        return cls(cache, row, finalizer)

    def release(self) -> None:
        """Make the row free again; a second time does nothing."""
        self.finalizer()


def additive(counted: torch.Tensor, dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
    """A mask to add to attention scores, (batch, keys) -> (batch, 1, 1, keys); None if everything counts."""
    if bool(counted.all()):
        return None
    mask = torch.zeros(counted.shape, dtype=dtype).masked_fill_(~counted, -torch.inf)
    return mask[:, None, None].to(device)


def _doubled(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat((tensor, torch.zeros_like(tensor)))
