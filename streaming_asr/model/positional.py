"""The convolutional position embedding, limited to the frames that a step can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F

from streaming_asr.checkpoints.config import ACTIVATIONS, Activation, Config
from streaming_asr.model.parameters import LayerNorm, Weights
from streaming_asr.model.quantization import QuantizedConvolution

STACK_EPSILON: Final = 1e-5
BATCH_NORM_EPSILON: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Affine:
    """A batch norm in evaluation: scale and shift per channel, both (width,)."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        return torch.addcmul(self.shift, inputs, self.scale)


@dataclass(frozen=True, slots=True)
class FloatConvolution:
    """A grouped convolution of stride 1 in floating point."""

    weight: torch.Tensor
    """(width, width / groups, kernel)"""
    bias: torch.Tensor
    groups: int

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, time, width) -> (batch, time - kernel + 1, width)."""
        return F.conv1d(inputs.transpose(1, 2), self.weight, self.bias, groups=self.groups).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class PositionalLayer:
    """One grouped convolution over frames; output t sees the inputs from t - kernel // 2 to t + (kernel - 1) // 2."""

    kernel: int
    convolution: FloatConvolution | QuantizedConvolution
    norm: LayerNorm | None
    activation: Activation

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, kernel // 2 + frames, width) -> (batch, frames, width); behind the inputs everything is zero."""
        outputs = self.convolution(F.pad(inputs, (0, 0, 0, (self.kernel - 1) // 2)))
        return self.activation(outputs if self.norm is None else self.norm(outputs))


@dataclass(frozen=True, slots=True)
class PositionalEmbedding:
    """The position embedding of every frame, made of the frames around it.

    In a stream it is what the offline embedding would be if the input ended with the last frame that the step sees:
    frames behind the chunk and its lookahead are zero, frames before are known exactly.
    """

    reach: int
    """Frames before the first one that it needs."""
    normalizer: Affine | None
    layers: tuple[PositionalLayer, ...]

    @classmethod
    def build(cls, config: Config, weights: Weights) -> PositionalEmbedding:
        """Take the embedding out of the weights of a checkpoint ("encoder.pos_conv_embed")."""
        count = config.positional.depth
        names = [f"layers.{index}.conv" for index in range(count)] if config.positional.stacked else ["conv"]
        normalizer = _batch_norm(config.width, weights["batch_norm"]) if config.positional.batch_norm else None
        return cls(config.positional_reach, normalizer, tuple(_layer(config, weights[name]) for name in names))

    def __call__(self, frames: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
        """(batch, reach + frames, width) -> (batch, frames, width).

        valid: (batch, reach + frames) where frames are real; all others count as zero in every layer. None: all are.
        """
        hidden = frames if self.normalizer is None else self.normalizer(frames)
        for layer in self.layers:
            if valid is not None:
                hidden = torch.where(valid[:, valid.shape[1] - hidden.shape[1] :, None], hidden, 0.0)
            hidden = layer(hidden)
        return hidden


def _layer(config: Config, weights: Weights) -> PositionalLayer:
    shape = config.positional
    weight = weights.tensor("weight", config.width, config.width // shape.groups, shape.kernel)
    bias = weights.tensor("bias", config.width)
    quantized = QuantizedConvolution.of(weight, bias, shape.groups) if weights.quantized else None
    return PositionalLayer(
        kernel=shape.kernel,
        convolution=quantized or FloatConvolution(weight, bias, shape.groups),
        norm=LayerNorm(None, None, config.width, STACK_EPSILON) if shape.stacked else None,
        activation=ACTIVATIONS[config.convolution_activation],
    )


def _batch_norm(width: int, weights: Weights) -> Affine:
    deviation = torch.sqrt(weights.tensor("running_var", width) + BATCH_NORM_EPSILON)
    scale = weights.tensor("weight", width) / deviation
    return Affine(scale, weights.tensor("bias", width) - weights.tensor("running_mean", width) * scale)
