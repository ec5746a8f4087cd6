"""The convolutional front end: samples in, feature frames out, in one piece or in many.

Activations are kept as (time, channel). In that layout the inputs of one output of a strided convolution lie one
behind the other, so the convolution is a matrix product on a strided view of its input: nothing is copied, layer norms
need no transposes, and the product can run in int8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
import torch

from streaming_asr.audio.samples import FloatArray
from streaming_asr.checkpoints.config import ACTIVATIONS, Activation, Config, Convolution
from streaming_asr.model.normalization import Moments, Statistics
from streaming_asr.model.parameters import FloatLinear, LayerNorm, Linear, Weights

NORM_EPSILON: Final = 1e-5
"""The norms of the front end have their own epsilon, whatever `layer_norm_eps` says."""

CACHED_FRAMES: Final = 64
"""Frames computed at once on a CPU; the activations of more leave its caches, which costs up to 1.7 times as much."""

BLOCK_FRAMES: Final = 1024
"""Frames of one stream computed at once elsewhere, so that memory does not grow with the length of a recording."""

Carries: TypeAlias = tuple[torch.Tensor, ...]
"""What the layers behind the first still need of their inputs: one (batch, kernel - stride, channels) per layer."""


def windows(inputs: torch.Tensor, layer: Convolution) -> torch.Tensor:
    """A view on the inputs of each output: (batch, time, channels) -> (batch, outputs, kernel * channels)."""
    batch, time, channels = inputs.shape
    outputs = (time - layer.kernel) // layer.stride + 1
    strides = (time * channels, layer.stride * channels, 1)
    return inputs.contiguous().as_strided((batch, outputs, layer.kernel * channels), strides)


class FirstLayer(Protocol):
    """Samples (batch, samples), as they came, to (batch, outputs, channels), normalized by each row's statistics."""

    def __call__(self, samples: torch.Tensor, statistics: Sequence[Statistics]) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class WaveformNorm:
    """Brings raw samples to the level that the network was trained on: zero mean and unit variance, or as they are."""

    normalize: bool
    dtype: torch.dtype

    def __call__(self, samples: torch.Tensor, statistics: Sequence[Statistics]) -> torch.Tensor:
        """(batch, samples) -> (batch, samples)."""
        if self.normalize:
            scale = samples.new_tensor([[entry.mean, entry.deviation] for entry in statistics])
            samples = (samples - scale[:, :1]) / scale[:, 1:]
        return samples.to(self.dtype)


@dataclass(frozen=True, slots=True)
class ConvolutionLayer:
    """A strided convolution, a layer norm where the network has one, and the activation."""

    shape: Convolution
    product: Linear
    norm: LayerNorm | None
    activation: Activation

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, time, channels) -> (batch, outputs, channels)."""
        views = windows(inputs, self.shape)
        # Rows of a single stream are a view still; those of several are copied, which costs little beside the product.
        outputs = self.product(views.reshape(-1, views.shape[2])).view(*views.shape[:2], -1)
        return self.activation(outputs if self.norm is None else self.norm(outputs))

    @property
    def carry(self) -> int:
        """Inputs that the last outputs of a piece share with the first outputs of the next."""
        return max(0, self.shape.kernel - self.shape.stride)

    @property
    def gap(self) -> int:
        """Inputs between two pieces that no output needs."""
        return max(0, self.shape.stride - self.shape.kernel)


@dataclass(frozen=True, slots=True)
class LayerNormFirst:
    """The first layer of a front end without group norm."""

    waveform_norm: WaveformNorm
    layer: ConvolutionLayer

    def __call__(self, samples: torch.Tensor, statistics: Sequence[Statistics]) -> torch.Tensor:
        """(batch, samples) -> (batch, outputs, channels)."""
        return self.layer(self.waveform_norm(samples, statistics)[:, :, None])


@dataclass(frozen=True, slots=True)
class GroupNormFirst:
    """The first layer of a front end with group norm, which is folded into the weights of each stream.

    The norm measures each channel over time. Its mean and variance follow from the moments of the samples (see
    `normalization`), so that norm and convolution are one product with scaled weights. A bias of the convolution
    cancels out.
    """

    waveform_norm: WaveformNorm
    shape: Convolution
    weight: torch.Tensor
    """(channels, kernel)"""
    scale: torch.Tensor
    """(channels,)"""
    shift: torch.Tensor
    """(channels,)"""
    activation: Activation

    def __call__(self, samples: torch.Tensor, statistics: Sequence[Statistics]) -> torch.Tensor:
        """(batch, samples) -> (batch, outputs, channels)."""
        views = windows(self.waveform_norm(samples, statistics)[:, :, None], self.shape)
        folded = [self._folded(entry) for entry in statistics]
        weight = torch.stack([weight for weight, _ in folded]).to(views)
        shift = torch.stack([shift for _, shift in folded]).to(views)
        return self.activation(torch.baddbmm(shift[:, None], views, weight.transpose(1, 2)))

    def _folded(self, statistics: Statistics) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights (channels, kernel) and shift (channels,) that convolve and normalize at once, in double precision."""
        assert statistics.frames is not None
        mean, covariance = (torch.from_numpy(value) for value in (statistics.frames.mean, statistics.frames.covariance))
        if self.waveform_norm.normalize:
            mean = (mean - statistics.mean) / statistics.deviation
            covariance = covariance / statistics.deviation**2
        variance = ((self.weight @ covariance) * self.weight).sum(1)
        scale = self.scale / torch.sqrt(variance + NORM_EPSILON)
        return self.weight * scale[:, None], self.shift - scale * (self.weight @ mean)


@dataclass(frozen=True, slots=True)
class FeatureEncoder:
    """All convolutions and the projection to the width of the transformer."""

    config: Config
    first: FirstLayer
    layers: tuple[ConvolutionLayer, ...]
    """All but the first."""
    norm: LayerNorm | None
    projection: Linear
    device: torch.device

    @classmethod
    def build(cls, config: Config, normalize: bool, weights: Weights) -> FeatureEncoder:
        """Take the front end out of the weights of a checkpoint."""
        extractor, projection = weights["feature_extractor.conv_layers"], weights["feature_projection"]
        rest = enumerate(config.convolutions[1:], start=1)
        channels = config.convolutions[-1].channels_out
        return cls(
            config=config,
            first=_first(config, normalize, extractor["0"]),
            layers=tuple(_layer(config, shape, extractor[str(index)]) for index, shape in rest),
            norm=projection.norm("layer_norm", channels, config.norm_epsilon) if config.projection_norm else None,
            projection=projection.linear("projection", channels, config.width),
            device=weights.device,
        )

    def __call__(
        self, samples: torch.Tensor, statistics: Sequence[Statistics], carries: Carries | None
    ) -> tuple[torch.Tensor, Carries]:
        """The frames that follow the ones the carries come from, and the carries for the next piece.

        samples: (batch, samples), raw: from the first one that the next output of the first layer needs to the last one
        that the last new frame needs. carries: None at the start of the streams. -> (batch, frames, width)
        """
        hidden = self.first(samples, statistics)
        kept = []
        for index, layer in enumerate(self.layers):
            if carries is not None:
                hidden = torch.cat((carries[index], hidden[:, layer.gap :]), dim=1)
            kept.append(hidden[:, hidden.shape[1] - layer.carry :])
            hidden = layer(hidden)
        hidden = hidden if self.norm is None else self.norm(hidden)
        return self.projection(hidden), tuple(kept)

    def run(
        self, samples: torch.Tensor, statistics: Sequence[Statistics], before: int, frames: int, carries: Carries | None
    ) -> tuple[torch.Tensor, Carries]:
        """The `frames` frames behind the first `before`, at least one, as many at once as is good for the device.

        samples: (batch, samples) from the first one that they need. -> (batch, frames, width)
        """
        together = max(1, CACHED_FRAMES // frames) if self.device.type == "cpu" else len(samples)
        parts = []
        for first in range(0, len(samples), together):
            some = slice(first, first + together)
            carried = None if carries is None else tuple(carry[some] for carry in carries)
            parts.append(self._in_blocks(samples[some], statistics[some], before, frames, carried))
        if len(parts) == 1:
            return parts[0]
        kept = zip(*(carries_after for _, carries_after in parts), strict=True)
        return torch.cat([projected for projected, _ in parts]), tuple(map(torch.cat, kept))

    def _in_blocks(
        self, samples: torch.Tensor, statistics: Sequence[Statistics], before: int, frames: int, carries: Carries | None
    ) -> tuple[torch.Tensor, Carries]:
        """As `run`, all streams together, but not too many frames at once."""
        block = CACHED_FRAMES if self.device.type == "cpu" else BLOCK_FRAMES
        origin, end = self.config.needed_from(before), before + frames
        blocks = []
        for first in range(before, end, block):
            start, stop = self.config.needed_from(first), self.config.samples(min(first + block, end))
            projected, carries = self(samples[:, start - origin : stop - origin], statistics, carries)
            blocks.append(projected)
        assert carries is not None
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1), carries

    def measure(self, samples: FloatArray, start: int, stop: int, origin: int = 0) -> Statistics:
        """The statistics of samples [start, stop) and of the first layer's frames that end among them.

        samples: (samples,), of which the first is number `origin` of the stream and not behind the first frame that
        ends after `start`.
        """
        frames = None
        if isinstance(self.first, GroupNormFirst):
            kernel, stride = self.first.shape.kernel, self.first.shape.stride
            earlier, later = self.config.first_outputs(start), self.config.first_outputs(stop)
            views = np.lib.stride_tricks.sliding_window_view(samples[earlier * stride - origin : stop - origin], kernel)
            frames = Moments.of(views[::stride][: later - earlier])
        return Statistics(Moments.of(samples[start - origin : stop - origin, None]), frames)


def _first(config: Config, normalize: bool, weights: Weights) -> FirstLayer:
    shape = config.convolutions[0]
    waveform_norm = WaveformNorm(normalize, weights.dtype)
    if config.convolution_norm == "layer":
        return LayerNormFirst(waveform_norm, _layer(config, shape, weights))
    exact = Weights(weights.tensors, torch.device("cpu"), torch.float64, prefix=weights.prefix)
    return GroupNormFirst(
        waveform_norm=waveform_norm,
        shape=shape,
        weight=exact.tensor("conv.weight", shape.channels_out, 1, shape.kernel)[:, 0],
        scale=exact.tensor("layer_norm.weight", shape.channels_out),
        shift=exact.tensor("layer_norm.bias", shape.channels_out),
        activation=ACTIVATIONS[config.convolution_activation],
    )


def _layer(config: Config, shape: Convolution, weights: Weights) -> ConvolutionLayer:
    weight = weights.tensor("conv.weight", shape.channels_out, shape.channels_in, shape.kernel)
    bias = weights.tensor("conv.bias", shape.channels_out) if config.convolution_bias else None
    # (out, in, tap) to (out, tap * in): the order in which a window lies in memory
    flat = weight.transpose(1, 2).reshape(shape.channels_out, shape.kernel * shape.channels_in)
    has_norm = config.convolution_norm == "layer"
    return ConvolutionLayer(
        shape=shape,
        product=FloatLinear(flat, bias) if shape.channels_in == 1 else weights.affine(flat, bias),
        norm=weights.norm("layer_norm", shape.channels_out, NORM_EPSILON) if has_norm else None,
        activation=ACTIVATIONS[config.convolution_activation],
    )
