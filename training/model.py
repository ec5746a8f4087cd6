"""The trainable network: wav2vec2 CTC with one forward for full context and for chunk masks.

Parameter names are those of transformers without the family prefix. Sources: Baevski et al. 2020 (wav2vec 2.0),
Shi et al. 2021 (Emformer: chunks with copied right context).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streaming_asr.model import Context
from training.masks import frame_of_row, main_rows, visible, whole, windows


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network, named as in config.json."""

    conv_dim: tuple[int, ...]
    conv_kernel: tuple[int, ...]
    conv_stride: tuple[int, ...]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_conv_pos_embeddings: int
    num_conv_pos_embedding_groups: int
    vocab_size: int
    conv_bias: bool = True
    group_norm: bool = False
    pre_norm: bool = True
    buckets: int = 0
    """Buckets of distances for WavLM's relative positions; 0 where the family has none."""
    farthest: int = 0

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Shape:
        """The sizes in a config.json of wav2vec2, HuBERT or WavLM."""
        family = config.get("model_type")
        if family not in ("wav2vec2", "hubert", "wavlm") or config.get("add_adapter"):
            raise ValueError(f"model_type {family!r}: only plain wav2vec2, hubert and wavlm can be trained")
        return cls(
            conv_dim=tuple(config["conv_dim"]),
            conv_kernel=tuple(config["conv_kernel"]),
            conv_stride=tuple(config["conv_stride"]),
            hidden_size=config["hidden_size"],
            intermediate_size=config["intermediate_size"],
            num_hidden_layers=config["num_hidden_layers"],
            num_attention_heads=config["num_attention_heads"],
            num_conv_pos_embeddings=config["num_conv_pos_embeddings"],
            num_conv_pos_embedding_groups=config["num_conv_pos_embedding_groups"],
            vocab_size=config["vocab_size"],
            conv_bias=config["conv_bias"],
            group_norm=config["feat_extract_norm"] == "group",
            pre_norm=config["do_stable_layer_norm"],
            buckets=config["num_buckets"] if family == "wavlm" else 0,
            farthest=config["max_bucket_distance"] if family == "wavlm" else 0,
        )

    def frames(self, samples: int) -> int:
        """How many frames that many samples give."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = max((samples - kernel) // stride + 1, 0)
        return samples

    def samples(self, frames: int) -> int:
        """The fewest samples that give that many frames."""
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            frames = (frames - 1) * stride + kernel
        return frames


class ConvLayer(nn.Module):
    """A strided convolution as a matrix product, layer norm, GELU: (batch, time, channels) in and out."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, bias: bool, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=bias)
        self.norm = norm
        if norm == "layer":
            self.layer_norm: nn.Module = nn.LayerNorm(outputs)
        elif norm == "group":
            self.layer_norm = nn.GroupNorm(outputs, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """(batch, time, channels) -> (batch, shorter time, outputs)."""
        outputs = convolve(inputs, self.conv.weight, self.conv.bias, self.conv.stride[0])
        if self.norm == "layer":
            outputs = self.layer_norm(outputs)
        elif self.norm == "group":
            outputs = self.layer_norm(outputs.transpose(1, 2)).transpose(1, 2)
        return F.gelu(outputs)


def convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """A strided convolution in (batch, time, channels) layout.

    With kernel = 2 * stride it is two matrix products on a view of the input cut into blocks of one stride.
    """
    outputs, channels, kernel = weight.shape
    batch, time, _ = inputs.shape
    if kernel != 2 * stride or channels == 1:
        return F.conv1d(inputs.transpose(1, 2), weight, bias, stride).transpose(1, 2)
    blocks = inputs[:, : time // stride * stride].reshape(batch, time // stride, stride * channels)
    halves = weight.permute(0, 2, 1).reshape(outputs, 2, stride * channels)
    return F.linear(blocks[:, :-1], halves[:, 0], bias) + F.linear(blocks[:, 1:], halves[:, 1])


class FeatureExtractor(nn.Module):
    """Raw audio to frames: (batch, samples) -> (batch, frames, channels)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        channels = (1, *shape.conv_dim)
        norms = ["group"] + ["none"] * len(shape.conv_dim) if shape.group_norm else ["layer"] * len(shape.conv_dim)
        self.conv_layers = nn.ModuleList(
            ConvLayer(channels[index], channels[index + 1], kernel, stride, shape.conv_bias, norms[index])
            for index, (kernel, stride) in enumerate(zip(shape.conv_kernel, shape.conv_stride, strict=True))
        )

    def forward(self, samples: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, channels)."""
        hidden = samples[:, :, None]
        for layer in self.conv_layers:
            frozen = not any(parameter.requires_grad for parameter in layer.parameters())
            with torch.set_grad_enabled(torch.is_grad_enabled() and not (frozen and not hidden.requires_grad)):
                hidden = layer(hidden)
        return hidden


class FeatureProjection(nn.Module):
    """Layer norm and a matrix product to the width of the transformer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(shape.conv_dim[-1])
        self.projection = nn.Linear(shape.conv_dim[-1], shape.hidden_size)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, channels) -> (batch, frames, width)."""
        projected: Tensor = self.projection(self.layer_norm(features))
        return projected


class PositionalConvolution(nn.Module):
    """The grouped convolution that tells frames their neighbourhood; it never sees beyond chunk and lookahead."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, kernel = shape.hidden_size, shape.num_conv_pos_embeddings
        self.conv = nn.Conv1d(width, width, kernel, groups=shape.num_conv_pos_embedding_groups)

    def forward(self, features: Tensor, context: Context) -> Tensor:
        """(batch, frames, width) -> (batch, rows, width)."""
        kernel = self.conv.kernel_size[0]
        before = kernel // 2
        pieces = windows(features, context, before, kernel - 1 - before)
        batch, chunks, length, width = pieces.shape
        moved = self.conv(pieces.reshape(batch * chunks, length, width).transpose(1, 2))
        return F.gelu(moved).transpose(1, 2).reshape(batch, chunks * context.rows, width)


def buckets_of(distances: Tensor, buckets: int, farthest: int) -> Tensor:
    """WavLM's bucket of each distance (key minus query, in frames): one each for small ones, logarithmic beyond."""
    half = buckets // 2
    exact = half // 2
    size = distances.abs()
    growth = torch.log(size.clamp(min=1).float() / exact) / math.log(farthest / exact) * (half - exact)
    far = (exact + growth).long().clamp(max=half - 1)
    return torch.where(size < exact, size, far) + (distances > 0).long() * half


class Attention(nn.Module):
    """Plain softmax attention; the backward of the fused CPU kernel is slower than this at these lengths.

    With relative positions (WavLM, Chen et al. 2021) the first layer holds the table of all layers.
    """

    def __init__(self, shape: Shape, *, first: bool = False) -> None:
        super().__init__()
        width = shape.hidden_size
        self.heads = shape.num_attention_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.gated = shape.buckets > 0
        if self.gated:
            self.gru_rel_pos_linear = nn.Linear(width // self.heads, 8)
            self.gru_rel_pos_const = nn.Parameter(torch.ones(1, self.heads, 1, 1))
            if first:
                self.rel_attn_embed = nn.Embedding(shape.buckets, self.heads)

    def gate(self, hidden: Tensor) -> Tensor:
        """How much of the distance bias each row lets through: (batch, rows, width) -> (batch, heads, rows, 1)."""
        batch, rows, width = hidden.shape
        heads = hidden.view(batch, rows, self.heads, width // self.heads).transpose(1, 2)
        sums = self.gru_rel_pos_linear(heads).view(batch, self.heads, rows, 2, 4).sum(-1)
        first, second = torch.sigmoid(sums).chunk(2, dim=-1)
        gates: Tensor = first * (second * self.gru_rel_pos_const - 1.0) + 2.0
        return gates

    def forward(self, hidden: Tensor, bias: Tensor, distance: Tensor | None = None) -> Tensor:
        """(batch, rows, width) with an additive mask that broadcasts to (batch, heads, rows, rows).

        `distance` is the bias by distance before its gate, (heads, rows, rows).
        """
        batch, rows, width = hidden.shape
        weight = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        offset = torch.cat([self.q_proj.bias, self.k_proj.bias, self.v_proj.bias])
        projected = F.linear(hidden, weight, offset).view(batch, rows, 3, self.heads, width // self.heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        scores = (query * (width // self.heads) ** -0.5) @ key.transpose(2, 3)
        if distance is not None:
            scores = torch.addcmul(scores, self.gate(hidden), distance.to(scores.dtype))
        mixed = torch.softmax(scores + bias.to(scores.dtype), dim=-1) @ value
        attended: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(batch, rows, width))
        return attended


class FeedForward(nn.Module):
    """Two matrix products with a GELU between."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.output_dense = nn.Linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, rows, width) -> the same."""
        moved: Tensor = self.output_dense(F.gelu(self.intermediate_dense(hidden)))
        return moved


class TransformerLayer(nn.Module):
    """Attention and feed-forward with residuals; norms before (stable) or after them."""

    def __init__(self, shape: Shape, *, first: bool = False) -> None:
        super().__init__()
        self.pre_norm = shape.pre_norm
        self.attention = Attention(shape, first=first)
        self.layer_norm = nn.LayerNorm(shape.hidden_size)
        self.feed_forward = FeedForward(shape)
        self.final_layer_norm = nn.LayerNorm(shape.hidden_size)

    def forward(self, hidden: Tensor, bias: Tensor, distance: Tensor | None = None) -> Tensor:
        """(batch, rows, width) -> the same."""
        if self.pre_norm:
            hidden = hidden + self.attention(self.layer_norm(hidden), bias, distance)
            hidden = hidden + self.feed_forward(self.final_layer_norm(hidden))
            return hidden
        hidden = self.layer_norm(hidden + self.attention(hidden, bias, distance))
        hidden = self.final_layer_norm(hidden + self.feed_forward(hidden))
        return hidden


class Encoder(nn.Module):
    """Positional convolution and transformer layers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pre_norm = shape.pre_norm
        self.buckets, self.farthest = shape.buckets, shape.farthest
        self.pos_conv_embed = PositionalConvolution(shape)
        self.layer_norm = nn.LayerNorm(shape.hidden_size)
        self.layers = nn.ModuleList(TransformerLayer(shape, first=not n) for n in range(shape.num_hidden_layers))

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        context: Context,
        taps: Sequence[int],
        skipped: Sequence[int] = (),
        held: int = -1,
    ) -> list[Tensor]:
        """(batch, frames, width) -> the main rows behind each layer in `taps` (by count), (batch, frames, width).

        Rows are as the layers leave them (`normed` makes the last ones what the head reads); the tap 0 is what the
        first layer reads. The layers in `skipped` (by count) are left out; what lies above the first `held` ones sends
        no gradient into them.
        """
        frames = features.shape[1]
        inside = torch.arange(frames, device=features.device) < lengths[:, None]
        features = features * inside[:, :, None]
        rows = frame_of_row(context, frames).to(features.device)
        hidden = features[:, rows.clamp(max=frames - 1)] + self.pos_conv_embed(features, context)
        bias = _bias(context, frames, rows, lengths)
        distance = self._distance(rows)
        if not self.pre_norm:
            hidden = self.layer_norm(hidden)
        outputs = {0: hidden}
        for count, layer in enumerate(self.layers, start=1):
            below = hidden.detach() if count == held + 1 else hidden
            outputs[count] = hidden = below if count in skipped else layer(below, bias, distance)
        return [main_rows(outputs[tap], context, frames) for tap in taps]

    def normed(self, hidden: Tensor) -> Tensor:
        """What a head reads: (batch, frames, width) -> the same."""
        outputs: Tensor = self.layer_norm(hidden) if self.pre_norm else hidden
        return outputs

    def _distance(self, rows: Tensor) -> Tensor | None:
        """The bias by distance between the frames of two rows, (heads, rows, rows), where the family has one."""
        if not self.buckets:
            return None
        table = self.get_parameter("layers.0.attention.rel_attn_embed.weight")
        places = buckets_of(rows[None, :] - rows[:, None], self.buckets, self.farthest)
        return table.t()[:, places]


def _bias(context: Context, frames: int, rows: Tensor, lengths: Tensor) -> Tensor:
    """Zero where a row may look, very negative elsewhere: (batch, 1, rows, rows)."""
    seen = visible(context, frames).to(lengths.device) & (rows < lengths[:, None])[:, None, :]
    return torch.where(seen, 0.0, -30000.0)[:, None]


class StreamingCtc(nn.Module):
    """Audio to logits, with full context or as a stream would see it."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.feature_extractor = FeatureExtractor(shape)
        self.feature_projection = FeatureProjection(shape)
        self.encoder = Encoder(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size)
        self.phone_head: nn.Linear | None = None

    def learn_phones(self, count: int) -> None:
        """Adds a head for the layers in between that is trained, but never part of a model folder."""
        self.phone_head = nn.Linear(self.shape.hidden_size, count)

    def features(self, samples: Tensor) -> Tensor:
        """(batch, samples) -> (batch, frames, channels)."""
        features: Tensor = self.feature_extractor(samples)
        return features

    def transform(
        self,
        features: Tensor,
        lengths: Tensor,
        context: Context | None = None,
        taps: Sequence[int] = (),
        skipped: Sequence[int] = (),
    ) -> list[Tensor]:
        """Logits behind each layer in `taps` (by count) and, last, behind all: (batch, frames, vocabulary) each.

        Those in between are of phones if the network learns them.
        """
        *between, last = self.states(features, lengths, context, (*taps, self.shape.num_hidden_layers), skipped)
        heads = [*[self.phone_head or self.lm_head] * len(between), self.lm_head]
        return [head(self.encoder.normed(state)) for head, state in zip(heads, (*between, last), strict=True)]

    def states(
        self,
        features: Tensor,
        lengths: Tensor,
        context: Context | None,
        taps: Sequence[int],
        skipped: Sequence[int] = (),
        held: int = -1,
    ) -> list[Tensor]:
        """What the layers in `taps` (by count; 0: what the first one reads) leave: (batch, frames, width) each."""
        context = context or whole(features.shape[1])
        states: list[Tensor] = self.encoder(self.feature_projection(features), lengths, context, taps, skipped, held)
        return states

    def forward(self, samples: Tensor, lengths: Tensor, context: Context | None = None) -> Tensor:
        """(batch, samples) and frames per row -> (batch, frames, vocabulary)."""
        return self.transform(self.features(samples), lengths, context)[-1]
