"""The transformer of the wav2vec2 kind, with norms after or before attention and feed-forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from streaming_asr.checkpoints.config import ACTIVATIONS, Activation, Config
from streaming_asr.model.attention import Attention, AttentionView, DistanceTable, Ring, distance_table
from streaming_asr.model.language import BatchLanguages
from streaming_asr.model.parameters import LayerNorm, Linear, Weights
from streaming_asr.model.positional import PositionalEmbedding


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
class Layer:
    """One transformer layer."""

    norm_first: bool
    attention: Attention
    attention_norm: LayerNorm
    feed_forward: FeedForward
    feed_forward_norm: LayerNorm

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
        )

    def __call__(
        self, rows: torch.Tensor, view: AttentionView | None, ring: Ring | None, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, width)."""
        if not self.norm_first:
            rows = self.attention_norm(rows + self.attention(rows, view, ring, bias))
            return self.feed_forward_norm(rows + self.feed_forward(rows))
        rows = rows + self.attention(self.attention_norm(rows), view, ring, bias)
        return rows + self.feed_forward(self.feed_forward_norm(rows))


@dataclass(frozen=True, slots=True)
class Transformer:
    """Position embedding, layers and norms: all but what belongs to a language."""

    norm_first: bool
    positional: PositionalEmbedding
    norm: LayerNorm
    distances: DistanceTable | None
    layers: tuple[Layer, ...]

    @classmethod
    def build(cls, config: Config, weights: Weights) -> Transformer:
        """Take the transformer out of the weights of a checkpoint."""
        encoder = weights["encoder"]
        return cls(
            norm_first=config.norm_first,
            positional=PositionalEmbedding.build(config, encoder["pos_conv_embed"]),
            norm=encoder.norm("layer_norm", config.width, config.norm_epsilon),
            distances=distance_table(config, encoder),
            layers=tuple(Layer.build(config, encoder[f"layers.{index}"]) for index in range(config.layers)),
        )

    def __call__(
        self,
        frames: torch.Tensor,
        languages: BatchLanguages,
        valid: torch.Tensor | None = None,
        view: AttentionView | None = None,
        rings: Sequence[Ring] | None = None,
    ) -> torch.Tensor:
        """Score the labels: projected frames (batch, reach + rows, width) -> (batch, rows, labels).

        The first `positional.reach` frames only give the others their position. valid: (batch, reach + rows), where
        frames are real, None if all are. Without a view every row sees every row; without rings nothing is cached.
        """
        rows = frames[:, self.positional.reach :] + self.positional(frames, valid)
        rows = rows if self.norm_first else self.norm(rows)
        bias = self._bias(rows.shape[1], view)
        for index, layer in enumerate(self.layers):
            rows = languages.adapt(index, layer(rows, view, None if rings is None else rings[index], bias))
        return languages.score(self.norm(rows) if self.norm_first else rows)

    def _bias(self, rows: int, view: AttentionView | None) -> torch.Tensor | None:
        if self.distances is None:
            return None
        if view is not None and view.distances is not None:
            return self.distances(view.distances)
        positions = torch.arange(rows, device=self.distances.table.device)
        return self.distances((positions[None, :] - positions[:, None])[None])
