"""Named weights of a checkpoint, checked for shape, and the linear layers and norms that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, cast

import torch
import torch.nn.functional as F

from streaming_asr.errors import CheckpointError
from streaming_asr.model.quantization import TYPICAL_ROWS, QuantizedLinear

SMALLEST_QUANTIZED: Final = 32
"""Inputs below which an int8 product costs more than it saves."""


class Linear(Protocol):
    """An affine map of the last dimension: (..., inputs) -> (..., outputs)."""

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class FloatLinear:
    """An affine map in floating point; `weight` is (outputs, inputs), `bias` (outputs,) or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        return F.linear(inputs, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """An affine map in float32 on the CPU whose weight lies in the order in which oneDNN reads it.

    A step multiplies few rows with many weights; packed once, they are read about 1.5 times faster than as they come.
    """

    weight: torch.Tensor
    """(outputs, inputs), opaque."""
    bias: torch.Tensor | None

    @classmethod
    def of(cls, weight: torch.Tensor, bias: torch.Tensor | None) -> PackedLinear:
        """Pack a weight (outputs, inputs)."""
        return cls(torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), TYPICAL_ROWS), bias)

    @staticmethod
    def works(weight: torch.Tensor) -> bool:
        """Whether this build of torch packs weights of this kind."""
        built = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
        return built and weight.device.type == "cpu" and weight.dtype == torch.float32

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., inputs) -> (..., outputs)."""
        product = torch.ops.mkldnn._linear_pointwise(inputs.contiguous(), self.weight, self.bias, "none", [], "")
        return cast(torch.Tensor, product)


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """Zero mean and unit variance over the last dimension, then scale and shift where the norm has them."""

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    width: int
    epsilon: float

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        return F.layer_norm(inputs, (self.width,), self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors under one name of a checkpoint, handed out on the right device and in the right precision."""

    tensors: Mapping[str, torch.Tensor]
    device: torch.device
    dtype: torch.dtype
    quantized: bool = False
    prefix: str = ""

    def __getitem__(self, name: str) -> Weights:
        """The weights below `name`."""
        return replace(self, prefix=f"{self.prefix}{name}.")

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.tensors

    def tensor(self, name: str, *shape: int) -> torch.Tensor:
        """The tensor called `name`; CheckpointError if it is missing or not of the expected shape."""
        full = self.prefix + name
        if full not in self.tensors:
            raise CheckpointError(f"the checkpoint has no weight called {full!r}, which its configuration asks for")
        found = self.tensors[full]
        if tuple(found.shape) != shape:
            raise CheckpointError(f"weight {full!r} has shape {tuple(found.shape)}, its configuration asks for {shape}")
        return found.to(self.device, self.dtype)

    def linear(self, name: str, inputs: int, outputs: int) -> Linear:
        """The affine map `name`.weight (outputs, inputs), `name`.bias (outputs,)."""
        here = self[name]
        return self.affine(here.tensor("weight", outputs, inputs), here.tensor("bias", outputs))

    def affine(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
        """The affine map with this weight (outputs, inputs), in int8 where that is asked for and pays."""
        if self.quantized and weight.shape[1] >= SMALLEST_QUANTIZED:
            return QuantizedLinear.of(weight, bias)
        return PackedLinear.of(weight, bias) if PackedLinear.works(weight) else FloatLinear(weight.contiguous(), bias)

    def norm(self, name: str, width: int, epsilon: float) -> LayerNorm:
        """The layer norm `name`.weight, `name`.bias, both (width,)."""
        here = self[name]
        return LayerNorm(here.tensor("weight", width), here.tensor("bias", width), width, epsilon)
