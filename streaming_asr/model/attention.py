"""Self-attention whose keys and values of earlier frames lie in a ring that is overwritten in place.

Attention in this family has no positional term (WavLM's depends on distances only), so where a key lies in memory does
not matter: the ring is never rolled, and a mask says which of its places count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from streaming_asr.checkpoints.config import Config, RelativeBias
from streaming_asr.model.parameters import FloatLinear, Linear, Weights


@dataclass(frozen=True, slots=True)
class Ring:
    """Cached keys and values of one layer, for every stream that shares a cache.

    pairs: (streams, places, 2 * width), a key and its value beside each other; overwritten in place.
    """

    pairs: torch.Tensor


@dataclass(frozen=True, slots=True)
class CacheWindow:
    """The part of the rings that belongs to the streams of a batch, and where in it their new rows go."""

    streams: torch.Tensor
    """(batch,): which streams of the rings these are."""
    first: int | None
    """The number of the first stream if they lie one behind the other, which saves gathering them."""
    places: torch.Tensor
    """(batch, rows): where the rows are written."""
    used: int
    """How many places hold something afterwards, the first ones."""

    def update(self, ring: Ring, pairs: torch.Tensor) -> torch.Tensor:
        """Write keys and values (batch, rows, 2 * width), and return all cached ones: (batch, used, 2 * width)."""
        ring.pairs[self.streams[:, None], self.places] = pairs
        if self.first is not None:
            return ring.pairs[self.first : self.first + len(self.streams), : self.used]
        return ring.pairs[:, : self.used].index_select(0, self.streams)


@dataclass(frozen=True, slots=True)
class AttentionView:
    """What the rows of one step may see, the same for all layers.

    Without rings the rows see one another; with rings their own keys and values are written first, and they see all
    that is cached.
    """

    mask: torch.Tensor | None
    """(batch, 1, 1, keys), 0 where a key counts and minus infinity where not; None if all count."""
    distances: torch.Tensor | None = None
    """(batch, rows, keys): the position of the key minus that of the row; only where the network asks for it."""
    window: CacheWindow | None = None
    """Where in the rings the rows are; None without rings."""


@dataclass(frozen=True, slots=True)
class DistanceTable:
    """WavLM's bias for every bucket of distances: (buckets, heads)."""

    shape: RelativeBias
    table: torch.Tensor

    def __call__(self, distances: torch.Tensor) -> torch.Tensor:
        """(batch, rows, keys) -> (batch, heads, rows, keys)."""
        return F.embedding(self._buckets(distances), self.table).permute(0, 3, 1, 2)

    def _buckets(self, distances: torch.Tensor) -> torch.Tensor:
        """Half of the buckets are for keys ahead; in each half one bucket per small distance, logarithmic beyond."""
        half = self.shape.buckets // 2
        exact = half // 2
        size = distances.abs()
        # float32 whatever the precision: at the borders of the buckets rounding decides, and transformers rounds here
        growth = torch.log(size.float() / exact) / math.log(self.shape.distance / exact) * (half - exact)
        far = (exact + growth.nan_to_num(0.0, 0.0, 0.0)).long().clamp(max=half - 1)
        return torch.where(size < exact, size, far) + (distances > 0).long() * half


@dataclass(frozen=True, slots=True)
class BiasGate:
    """How much of the distance bias each row lets through (Chi et al. 2021, XLM-E, section 3.1)."""

    linear: FloatLinear
    """head width -> 8"""
    constant: torch.Tensor
    """(1, heads, 1, 1)"""

    def __call__(self, heads: torch.Tensor) -> torch.Tensor:
        """(batch, heads, rows, head width) -> (batch, heads, rows, 1)."""
        sums = self.linear(heads).view(*heads.shape[:-1], 2, 4).sum(-1)
        first, second = torch.sigmoid(sums).chunk(2, dim=-1)
        return first * (second * self.constant - 1.0) + 2.0


@dataclass(frozen=True, slots=True)
class Attention:
    """Multi-head self-attention; queries, keys and values come from one product."""

    heads: int
    width: int
    inputs: Linear
    """width -> 3 * width: query, key, value"""
    outputs: Linear
    gate: BiasGate | None

    @classmethod
    def build(cls, config: Config, weights: Weights) -> Attention:
        """Take one layer's attention out of the weights of a checkpoint."""
        parts = [weights[f"{name}_proj"] for name in ("q", "k", "v")]
        weight = torch.cat([part.tensor("weight", config.width, config.width) for part in parts])
        bias = torch.cat([part.tensor("bias", config.width) for part in parts])
        gate = _gate(config, weights) if config.relative_bias else None
        output = weights.linear("out_proj", config.width, config.width)
        return cls(config.heads, config.width, weights.affine(weight, bias), output, gate)

    def __call__(
        self, rows: torch.Tensor, view: AttentionView | None, ring: Ring | None, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, width); without a view every row sees every row.

        bias: (batch or 1, heads, rows, keys), the distance bias before its gate, where the network has one.
        """
        projected = self.inputs(rows)
        queries, pairs = projected[..., : self.width], projected[..., self.width :]
        if view is not None and view.window is not None and ring is not None:
            pairs = view.window.update(ring, pairs)
        keys, values = self._split(pairs[..., : self.width]), self._split(pairs[..., self.width :])
        mask = None if view is None or view.mask is None else view.mask.expand(-1, -1, rows.shape[1], -1)
        if self.gate is not None and bias is not None:
            gated = self.gate(self._split(rows)) * bias
            mask = gated if mask is None else gated + mask
        seen = F.scaled_dot_product_attention(self._split(queries), keys, values, attn_mask=mask)
        return self.outputs(seen.transpose(1, 2).flatten(2))

    def _split(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, width) -> (batch, heads, rows, head width)."""
        return rows.view(*rows.shape[:2], self.heads, -1).transpose(1, 2)


def distance_table(config: Config, weights: Weights) -> DistanceTable | None:
    """The bias table, which the first layer holds for all; None where the network has none."""
    if config.relative_bias is None:
        return None
    table = weights["layers.0.attention.rel_attn_embed"].tensor("weight", config.relative_bias.buckets, config.heads)
    return DistanceTable(config.relative_bias, table)


def _gate(config: Config, weights: Weights) -> BiasGate:
    linear = weights["gru_rel_pos_linear"]
    product = FloatLinear(linear.tensor("weight", 8, config.width // config.heads), linear.tensor("bias", 8))
    return BiasGate(product, weights.tensor("gru_rel_pos_const", 1, config.heads, 1, 1))
