"""The transformer of the wav2vec2 kind, with norms after or before attention and feed-forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F

from streaming_asr.checkpoints.config import ACTIVATIONS, Activation, Config
from streaming_asr.model.attention import Attention, AttentionView, DistanceTable, Ring, distance_table
from streaming_asr.model.parameters import FloatLinear, LayerNorm, Linear, Weights
from streaming_asr.model.positional import PositionalEmbedding

ADAPTER_EPSILON: Final = 1e-5


@dataclass(frozen=True, slots=True)
class FeedForward:
    """Two products with an activation between them."""

    widen: Linear
    activation: Activation
    narrow: Linear

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        return self.narrow(self.activation(self.widen(rows)))


@dataclass(frozen=True, slots=True)
class Adapter:
    """The small language-specific layer of MMS (Pratap et al. 2023, section 4.1)."""

    norm: LayerNorm
    narrow: Linear
    widen: Linear

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        return rows + self.widen(F.relu(self.narrow(self.norm(rows))))


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer."""

    norm_first: bool
    attention: Attention
    attention_norm: LayerNorm
    feed_forward: FeedForward
    feed_forward_norm: LayerNorm
    adapter: Adapter | None

    @classmethod
    def build(cls, config: Config, weights: Weights) -> Layer:
        """Take one layer out of the weights of a checkpoint ("encoder.layers.N")."""
        dense = weights["feed_forward"]
        widen = dense.linear("intermediate_dense", config.width, config.feed_forward)
        narrow = dense.linear("output_dense", config.feed_forward, config.width)
        return cls(
            norm_first=config.norm_first,
            attention=Attention.build(config, weights["attention"]),
            attention_norm=weights.norm("layer_norm", config.width, config.norm_epsilon),
            feed_forward=FeedForward(widen, ACTIVATIONS[config.activation], narrow),
            feed_forward_norm=weights.norm("final_layer_norm", config.width, config.norm_epsilon),
            adapter=_adapter(config, config.adapter, weights["adapter_layer"]) if config.adapter else None,
        )

    def __call__(
        self, rows: torch.Tensor, view: AttentionView | None, ring: Ring | None, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, width)."""
        if not self.norm_first:
            rows = self.attention_norm(rows + self.attention(rows, view, ring, bias))
            return self.feed_forward_norm(rows + self.feed_forward(rows))
        rows = rows + self.attention(self.attention_norm(rows), view, ring, bias)
        rows = rows + self.feed_forward(self.feed_forward_norm(rows))
        return rows if self.adapter is None else self.adapter(rows)


@dataclass(frozen=True, slots=True)
class Transformer:
    """Position embedding, layers, norms and the head that scores the labels."""

    norm_first: bool
    positional: PositionalEmbedding
    norm: LayerNorm
    distances: DistanceTable | None
    layers: tuple[Layer, ...]
    head: Linear

    @classmethod
    def build(cls, config: Config, labels: int, weights: Weights) -> Transformer:
        """Take the transformer and the head for `labels` labels out of the weights of a checkpoint."""
        encoder, head = weights["encoder"], weights["lm_head"]
        return cls(
            norm_first=config.norm_first,
            positional=PositionalEmbedding.build(config, encoder["pos_conv_embed"]),
            norm=encoder.norm("layer_norm", config.width, config.norm_epsilon),
            distances=distance_table(config, encoder),
            layers=tuple(Layer.build(config, encoder[f"layers.{index}"]) for index in range(config.layers)),
            # The head stays in floating point: it is small, and its scores are what everything behind it compares.
            head=FloatLinear(head.tensor("weight", labels, config.width), head.tensor("bias", labels)),
        )

    def __call__(
        self,
        frames: torch.Tensor,
        valid: torch.Tensor | None = None,
        view: AttentionView | None = None,
        rings: Sequence[Ring] | None = None,
    ) -> torch.Tensor:
        """Score the labels: projected frames (batch, reach + rows, width) -> (batch, rows, labels).

        The first `positional.reach` frames only give the others their position. valid: (batch, reach + rows), where
        frames are real, None if all are. Without a view every row sees every row; without rings nothing is remembered.
        """
        rows = frames[:, self.positional.reach :] + self.positional(frames, valid)
        rows = rows if self.norm_first else self.norm(rows)
        bias = self._bias(rows.shape[1], view)
        for index, layer in enumerate(self.layers):
            rows = layer(rows, view, None if rings is None else rings[index], bias)
        return self.head(self.norm(rows) if self.norm_first else rows)

    def _bias(self, rows: int, view: AttentionView | None) -> torch.Tensor | None:
        if self.distances is None:
            return None
        if view is not None and view.distances is not None:
            return self.distances(view.distances)
        positions = torch.arange(rows, device=self.distances.table.device)
        return self.distances((positions[None, :] - positions[:, None])[None])


def _adapter(config: Config, width: int, weights: Weights) -> Adapter:
    norm = weights.norm("norm", config.width, ADAPTER_EPSILON)
    narrow, widen = weights.linear("linear_1", config.width, width), weights.linear("linear_2", width, config.width)
    return Adapter(norm, narrow, widen)
